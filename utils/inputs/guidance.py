"""Which labelled frames the network may see: choosing them, reading and checking their labels."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from utils.errors import InputError, UsageError
from utils.inputs.sequences import VideoSequence
from utils.media.images import working_size
from utils.media.labels import LabelMap
from utils.media.labels import read_labels as read_label_files

# The ways to choose a frame, the most trusted first. `--guidance auto` and annotate.py follow the
# first of these selections that exists; bubblenet_select.py recommends the first that it can make.
# The order is what `train_bubblenet.py --cross-validate` measured (docs/experiments.md).
# `--guidance bubblenet` means BubbleNets, whatever the order is.
SELECTION_PREFERENCE = ("rule", "BNLF", "BN0")
MIN_ANIMAL_PX = 5  # of a further animal, where another one is a hundred times larger
DEFAULT_RULE = "middle"  # what rule.txt holds: one of `utils.frame_choice.rules.RULES`


@dataclass(frozen=True)
class Guidance:
    """The labelled frames that fine-tuning sees.

    Attributes:
        frames: their indices; none for a video that is segmented without a label.
        reason: why these, in words.
    """

    frames: tuple[int, ...]
    reason: str


def choose_guidance(
    sequence: VideoSequence,
    guidance: str,
    selected: Sequence[int],
    selected_by: str = "",
    *,
    takes_all: bool = False,
) -> Guidance:
    """Decides which labelled frames the network sees, by file names alone.

    Args:
        sequence: the video and its labels.
        guidance: "auto", "bubblenet", "first", "middle", "last" or frame numbers "12" or "12,40".
        selected: frames of `selection_files.find_selection`, best first. "bubblenet" needs at least
            one, "auto" needs none.
        selected_by: who selected them, in words.
        takes_all: "auto" takes all labels that were made for this (not annotations) in place of
            one.

    Returns: the frames and the reason.

    Raises:
        InputError: for a frame that the video does not have, and for one without a label, naming
            the file to create.
    """
    num_frames, labels = len(sequence.video), sequence.labels
    start = sequence.video.first_frame
    if guidance == "auto" and takes_all and sequence.source == "datasets/labels" and labels:
        return Guidance(tuple(sorted(labels)), "all labelled frames")
    if guidance == "auto":
        return _automatic_guidance(sequence, selected, selected_by)
    if guidance in ("first", "middle", "last"):
        frames = {"first": 0, "middle": num_frames // 2, "last": num_frames - 1}[guidance]
        frames, reason = (frames,), f"--guidance {guidance}"
    elif guidance == "bubblenet":
        if not selected:
            raise InputError(
                f"{sequence.name}: the frame that BubbleNets chose is not in the part that "
                "--frames takes. Name other --frames, or a labelled frame with --guidance."
            )
        frames, reason = (selected[0],), f"chosen by {selected_by}"
    else:
        frames = tuple(sorted({int(number) - start for number in guidance.split(",")}))
        reason = f"--guidance {guidance}"
    for frame in frames:
        if not 0 <= frame < num_frames:
            raise InputError(
                f"{sequence.name}: there is no frame {frame + start}, the video has frames {start} "
                f"to {start + num_frames - 1}."
            )
        if frame not in labels:
            stem = sequence.video.frame_names[frame]
            raise InputError(
                f"{sequence.name}: frame {frame + start} ({reason}) has no label. "
                f"Make {sequence.label_path.replace('{}', stem)}, or choose a labelled frame with "
                "--guidance" + (f" ({_few(f + start for f in labels)})." if labels else ".")
            )
    return Guidance(frames, reason)


def parse_guidance(text: str) -> str:
    """Checks the form of `--guidance`.

    Returns: `text` itself.

    Raises:
        UsageError: if it has none of the forms.
    """
    if text in ("auto", "bubblenet", "first", "middle", "last", "none") or re.fullmatch(
        r"\d+(,\d+)*", text
    ):
        return text
    raise UsageError(
        "--guidance must be auto, bubblenet, first, middle, last, none or frame numbers (12 or "
        f"12,40), not {text!r}."
    )


def read_labels(sequence: VideoSequence, frames: Iterable[int]) -> dict[int, LabelMap]:
    """Reads the labels of the chosen frames together, and opens no other annotation.

    Args:
        sequence: the video and its labels.
        frames: indices of labelled frames.

    Returns:
        frame index -> label map at the video's size. Their `animals` are those of all of these
        labels; each shows at least one of them, and those that it does not show are background.

    Raises:
        InputError: naming the file: unreadable, no label, of another size than the video, without
            an animal or without background.
    """
    frames = list(frames)
    height, width = sequence.video.height, sequence.video.width
    labels = dict(
        zip(frames, read_label_files([sequence.labels[frame] for frame in frames]), strict=True)
    )
    for frame, label in labels.items():
        path, size = sequence.labels[frame], label.values.shape
        if size != (height, width):
            raise InputError(
                f"{path}: the label is {size[0]}x{size[1]}, the video {height}x{width} "
                "(height x width). Label a frame of this video at its full size."
            )
        if not label.shown_animals:
            only_void = ", only void" if label.values.any() else ""
            raise InputError(
                f"{path}: the label marks no animal{only_void}. Paint the animal white on black."
            )
        if label.values.all():
            raise InputError(f"{path}: the label has no background. Paint the background black.")
    _check_stray_pixels(sequence, labels)
    return labels


def _check_stray_pixels(sequence: VideoSequence, labels: dict[int, LabelMap]) -> None:
    """Raises InputError for an animal beside others that is hardly a pixel in any label."""
    counts: dict[int, int] = {}
    for label in labels.values():
        for animal in label.shown_animals:
            num_pixels = int(np.count_nonzero(label.values == animal))
            counts[animal] = max(counts.get(animal, 0), num_pixels)
    stray = [animal for animal, count in counts.items() if count < MIN_ANIMAL_PX]
    if not stray or max(counts.values()) < 100 * MIN_ANIMAL_PX:
        return
    path = next(sequence.labels[f] for f, label in labels.items() if stray[0] in label.values)
    shown = ", ".join(f"{animal} ({count} px)" for animal, count in sorted(counts.items())[:8])
    raise InputError(
        f"{path}: expected animals of some size, found animals {shown}, which can be understood in "
        f"two ways: {stray[0]} as a tiny animal, or as stray pixels. Repaint them in the number of "
        "what they belong to, 0 for the background."
    )


def check_visible(sequence: VideoSequence, labels: dict[int, LabelMap], lines: int) -> None:
    """Checks that the animals are large enough at the size at which the network works.

    Args:
        sequence: the video, for its size and the names of the labels' files.
        labels: as `read_labels` returns them.
        lines: the preset's; see `media.images.working_size`.

    Raises:
        InputError: if all animals of one label, or one animal in all labels, are so small that they
            vanish at that size.
    """
    size = working_size(sequence.video.height, sequence.video.width, lines)
    small = {frame: label.resize(*size).shown_animals for frame, label in labels.items()}
    visible = {animal for animals in small.values() for animal in animals}
    for frame, label in labels.items():
        lost = [animal for animal in label.shown_animals if animal not in visible]
        if lost or not small[frame]:
            which = f"animal {lost[0]}" if lost and visible else "the animal"
            raise InputError(
                f"{sequence.labels[frame]}: {which} vanishes at {size[0]}x{size[1]}, the size "
                "at which the network works. Label a frame where it is larger."
            )


def describe_labels(sequence: VideoSequence, labels: dict[int, LabelMap]) -> list[str]:
    """Says of each label which frame it belongs to and what it shows, a line each.

    A person who sees the frame's file name and the animals' shares of the frame notices a label of
    another frame, and colours that were exchanged. Where the latter is likely, a warning follows,
    and a note where the label leaves an animal out.

    Args:
        sequence: the video and its labels.
        labels: as `read_labels` returns them.

    Returns: lines for the screen.
    """
    lines = []
    for frame, label in labels.items():
        shares = {n: float((label.values == n).mean()) for n in label.shown_animals}
        animals = ", ".join(f"animal {n} {_percent(share)}" for n, share in shares.items())
        path = sequence.labels[frame]
        lines.append(
            f"{sequence.name}: label {path}: frame {frame + sequence.video.first_frame} "
            f"({sequence.video.locate(frame)}), "
            f"{animals} of the frame"
        )
        lines += [
            f"note: {path}: animal {number} is not in this label, so it is learnt as background "
            "there. If the frame shows it, label it, too."
            for number in label.animals
            if number not in shares
        ]
        lines += [
            f"warning: {path}: animal {number} covers {_percent(share)} of the frame and all of "
            "its borders, as the background does. If black and white are exchanged, invert the "
            "label: the animal is white, the background black."
            for number, share in shares.items()
            if share > 0.5 and _covers_borders(label.values == number)
        ]
        lines += [
            f"warning: {path}: animal {number} is a line around an area that is not labelled. If "
            "the label shows the outline of the animal alone, fill it."
            for number in shares
            if _is_outline(label.values == number, label.values == 0)
        ]
    return lines


def _covers_borders(animal: np.ndarray) -> bool:
    sides = (animal[0], animal[-1], animal[:, 0], animal[:, -1])
    return all(side.any() for side in sides) and np.concatenate(sides).mean() > 0.5


def _is_outline(animal: np.ndarray, background: np.ndarray) -> bool:
    """Whether an animal encloses background that is larger than itself."""
    outside = np.pad(~animal, 1, constant_values=True).astype(np.uint8)
    cv2.floodFill(outside, None, (0, 0), 2)
    enclosed = (outside[1:-1, 1:-1] == 1) & background
    return bool(np.count_nonzero(enclosed) > 2 * np.count_nonzero(animal))


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.1 else f"{share:.1%}" if share >= 0.001 else "under 0.1%"


def _automatic_guidance(
    sequence: VideoSequence, selected: Sequence[int], selected_by: str
) -> Guidance:
    labels = sequence.labels
    if not labels:
        stem = sequence.video.frame_names[len(sequence.video) // 2]
        raise InputError(
            f"{sequence.name}: no frame is labelled. Make "
            f"{sequence.label_path.replace('{}', stem)} (animal white, background "
            "black), or name a label with --label."
        )
    if sequence.source == "--label":
        return Guidance(tuple(sorted(labels)), "given by --label")
    if len(labels) == 1:
        return Guidance(tuple(labels), "the only labelled frame")
    start = sequence.video.first_frame
    several, hint = f"of {len(labels)} annotated frames", ""
    if sequence.source == "datasets/labels":  # made to be used, unlike annotations to score with
        several = f"of {len(labels)} labelled frames"
        hint = f"; for all: --guidance {','.join(str(f + start) for f in sorted(labels))}"
    for frame in selected:
        if frame in labels:
            return Guidance((frame,), f"{several} the best by {selected_by}{hint}")
    middle = (len(sequence.video) - 1) / 2
    nearest = min(labels, key=lambda frame: (abs(frame - middle), frame))
    return Guidance((nearest,), f"{several} the one nearest the middle{hint}")


def _few(frames: Iterable[int]) -> str:
    frames = sorted(frames)
    return ", ".join(map(str, frames[:8])) + (", ..." if len(frames) > 8 else "")
