"""Which labelled frame the network may see: the choice, and the chosen labels as read."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from utils.errors import InputError, UsageError
from utils.inputs.sequences import VideoSequence
from utils.media.images import VOID, read_annotations, resize_labels, working_size

# Who is trusted to choose the frame, before whom: `--guidance auto` and annotate.py go by the first
# of these files that there is, bubblenet_select.py names the choice of the first that can choose.
# What `train_bubblenet.py --cross-validate` found best comes first (weights/README.md has its
# table); `--guidance bubblenet` means BubbleNets whatever stands here.
TRUSTED = ("rule", "BNLF", "BN0")
DEFAULT_RULE = "middle"  # what rule.txt holds: one of `utils.frame_choice.rules.RULES`


@dataclass(frozen=True)
class Guidance:
    """The labelled frames that fine-tuning sees, and in words why these."""

    frames: tuple[int, ...]
    reason: str


def choose_guidance(
    sequence: VideoSequence, guidance: str, selected: Sequence[int], selected_by: str = ""
) -> Guidance:
    """Decides which labelled frame the network sees, by file names alone.

    Args:
        sequence: the video and its labels.
        guidance: "auto", "bubblenet", "first", "middle", "last" or frame numbers "12" or "12,40".
        selected: frames of `selection_files.find_selection`, best first. "bubblenet" needs one,
            "auto" does without.
        selected_by: who selected them, in words.

    Raises: InputError for a frame that the video does not have, and for one without a label,
        naming the file to make.
    """
    num_frames, labels = len(sequence.video), sequence.labels
    if guidance == "auto":
        return _automatic_guidance(sequence, selected, selected_by)
    if guidance in ("first", "middle", "last"):
        frames = {"first": 0, "middle": num_frames // 2, "last": num_frames - 1}[guidance]
        frames, reason = (frames,), f"--guidance {guidance}"
    elif guidance == "bubblenet":
        frames, reason = (selected[0],), f"chosen by {selected_by}"
    else:
        frames = tuple(sorted({int(number) for number in guidance.split(",")}))
        reason = f"--guidance {guidance}"
    for frame in frames:
        if frame >= num_frames:
            raise InputError(
                f"{sequence.name}: there is no frame {frame}, the video has frames 0 to "
                f"{num_frames - 1}."
            )
        if frame not in labels:
            stem = sequence.video.frame_names[frame]
            raise InputError(
                f"{sequence.name}: frame {frame} ({reason}) has no label. "
                f"Make {sequence.label_path.replace('{}', stem)}, or choose a labelled frame with "
                "--guidance" + (f" ({_few(labels)})." if labels else ".")
            )
    return Guidance(frames, reason)


def parse_guidance(text: str) -> str:
    """Checks the form of `--guidance`. Raises: UsageError."""
    if text in ("auto", "bubblenet", "first", "middle", "last") or re.fullmatch(
        r"\d+(,\d+)*", text
    ):
        return text
    raise UsageError(
        "--guidance must be auto, bubblenet, first, middle, last or frame numbers (12 or 12,40), "
        f"not {text!r}."
    )


def read_labels(sequence: VideoSequence, frames: Iterable[int]) -> dict[int, np.ndarray]:
    """Reads the chosen labels, and no other annotation.

    An animal has one number in all labels of a video (`media.images.read_annotations`). A label
    need not show all animals; one that it does not show is background in it.

    Returns: frame index -> uint8 (H, W), 0 background, 1..254 animals, 255 void.

    Raises: InputError naming the file: unreadable, of another size than the video, without animal
        or without background.
    """
    frames = list(frames)
    height, width = sequence.video.height, sequence.video.width
    labels = read_annotations([sequence.labels[frame] for frame in frames])
    for frame, label in zip(frames, labels, strict=True):
        path = sequence.labels[frame]
        if label.shape != (height, width):
            raise InputError(
                f"{path}: the label is {label.shape[0]}x{label.shape[1]}, the video "
                f"{height}x{width} "
                "(height x width). Label a frame of this video at its full size."
            )
        if not list_animals([label]):
            raise InputError(f"{path}: the label marks no animal. Paint the animal white on black.")
        if not (label == 0).any():
            raise InputError(f"{path}: the label has no background. Paint the background black.")
    from utils.media.labels import LabelMap

    animals = tuple(list_animals(labels))
    return {f: LabelMap(label, animals) for f, label in zip(frames, labels, strict=True)}


def list_animals(labels: Iterable[np.ndarray]) -> list[int]:
    """The numbers of the animals in labels (uint8, 0 background, 255 void), in increasing order."""
    used = np.zeros(256, bool)
    for label in labels:
        used |= np.bincount(label.ravel(), minlength=256) > 0
    return [int(number) for number in np.flatnonzero(used) if number not in (0, VOID)]


def check_visible(sequence: VideoSequence, labels: dict[int, np.ndarray], lines: int) -> None:
    """Raises: InputError if a label's animals, or one animal in all labels, are so small that they
    vanish at working size."""
    size = working_size(sequence.video.height, sequence.video.width, lines)
    labels = {f: label.values for f, label in labels.items()}
    small = {frame: list_animals([resize_labels(label, *size)]) for frame, label in labels.items()}
    visible = {animal for animals in small.values() for animal in animals}
    for frame, label in labels.items():
        lost = [animal for animal in list_animals([label]) if animal not in visible]
        if lost or not small[frame]:
            which = f"animal {lost[0]}" if lost and visible else "the animal"
            raise InputError(
                f"{sequence.labels[frame]}: {which} vanishes at {size[0]}x{size[1]}, the size "
                "at which the network works. Label a frame where it is larger."
            )


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
    several, hint = f"of {len(labels)} annotated frames", ""
    if sequence.source == "datasets/labels":  # made to be used, unlike annotations to score with
        several = f"of {len(labels)} labelled frames"
        hint = f"; for all: --guidance {','.join(map(str, sorted(labels)))}"
    for frame in selected:
        if frame in labels:
            return Guidance((frame,), f"{several} the best by {selected_by}{hint}")
    middle = (len(sequence.video) - 1) / 2
    nearest = min(labels, key=lambda frame: (abs(frame - middle), frame))
    return Guidance((nearest,), f"{several} the one nearest the middle{hint}")


def _few(frames: Iterable[int]) -> str:
    frames = sorted(frames)
    return ", ".join(map(str, frames[:8])) + (", ..." if len(frames) > 8 else "")
