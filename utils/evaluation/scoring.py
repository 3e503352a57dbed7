"""Scores the masks of one video from its folders: which frames count, and under which protocol.

Protocols (never mixed in one mean):
- "first": frame 0 was labelled; comparable with all published tables.
- "chosen": another frame, or several, were labelled; the official frames are scored.
- "chosen, labelled frame left out": the same without the labelled frames; the honest number.
- "unknown": there is no record of what was labelled.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tabulate import SEPARATING_LINE, tabulate

from utils.errors import InputError
from utils.evaluation.measures import NUMBERS, VOID, mean_scores, score_sequence
from utils.media.images import list_frames, read_annotation

FIRST, CHOSEN, UNKNOWN = "first", "chosen", "unknown"
LEFT_OUT = "chosen, labelled frame left out"


class NothingToScoreError(InputError):
    """No frame is annotated but those that do not count (first, last, labelled)."""


@dataclass(frozen=True)
class SequenceScore:
    """The scores of one video and how they were taken."""

    sequence: str
    protocol: str
    labelled_frames: list[int] | None  # None: not known
    num_frames: int
    num_annotated: int
    frames: list[str]  # the scored ones, by stem
    scores: dict  # as returned by utils.evaluation.measures.score_sequence

    def means(self) -> dict:
        """The scores without those of each frame; of several animals also each one's."""
        means = {key: self.scores[key] for key in NUMBERS}
        animals = self.scores.get("animals", {})
        if animals:
            means["animals"] = {str(a): {k: s[k] for k in NUMBERS} for a, s in animals.items()}
        return means


def score_folders(
    sequence_name: str,
    prediction_dir: Path,
    annotation_dir: Path,
    frame_names: Sequence[str],
    labelled_frames: Sequence[int] | None = None,
    *,
    exclude_guidance: bool = False,
) -> SequenceScore:
    """Scores `prediction_dir/STEM.png` of every annotated frame that counts.

    Args:
        sequence_name: for the record and for messages.
        prediction_dir: masks as `utils.media.images.write_mask` writes them.
        annotation_dir: annotations under the frames' stems; need not be complete.
        frame_names: stems of all frames of the video, in natural order.
        labelled_frames: indices of the frames that the fine-tuning saw; None if not known.
        exclude_guidance: leaves these out of the score.

    Raises:
        NothingToScoreError: only frames are annotated that do not count.
        InputError: a mask is missing, unreadable or of another size, an annotation belongs to no
            frame, or the labelled frames are unknown and to be left out.
    """
    annotations = {path.stem: path for path in list_frames(annotation_dir)}
    _check_frames(sequence_name, annotations, frame_names, labelled_frames, exclude_guidance)
    frames = _frames_that_count(frame_names, annotations, labelled_frames, exclude_guidance)
    if not frames:
        raise NothingToScoreError(
            f"{sequence_name}: nothing to score, expected annotations besides the first, last and "
            f"labelled frame in {annotation_dir}, found {len(annotations)} of {len(frame_names)}"
        )
    predictions = {frame: Path(prediction_dir) / f"{frame}.png" for frame in frames}
    missing = [path for path in predictions.values() if not path.is_file()]
    if missing:
        raise InputError(
            f"{sequence_name}: {len(missing)} of {len(frames)} masks are missing, the first is "
            f"{missing[0]}; run finetune_test.py --sequences {sequence_name}"
        )

    sizes, several = {}, False
    for frame, path in annotations.items():
        annotation = read_annotation(path)
        sizes[frame] = annotation.shape
        several = several or bool(((annotation > 1) & (annotation != VOID)).any())
    read = _read_indices if several else read_annotation
    animals = {i for path in annotations.values() for i in _used(read(path))} if several else set()

    def read_predictions() -> Iterator[np.ndarray]:
        for frame, path in predictions.items():
            prediction = read(path)
            if prediction.shape != sizes[frame]:
                raise InputError(
                    f"{path}: the mask is {_size(prediction.shape)}, its annotation "
                    f"{annotations[frame]} is {_size(sizes[frame])} (height x width); "
                    "segment the frames that were annotated"
                )
            if several and VOID in _used(prediction):
                raise InputError(
                    f"{path}: expected a mask with an index per animal, as in {annotation_dir}, "
                    "found 255, as if there were one animal; label and segment each of them"
                )
            yield prediction

    scores = score_sequence(
        read_predictions(),
        (read(annotations[frame]) for frame in frames),
        sorted(animals - {0, VOID}),
    )
    return SequenceScore(
        sequence=sequence_name,
        protocol=_protocol(labelled_frames, exclude_guidance),
        labelled_frames=list(labelled_frames) if labelled_frames else None,
        num_frames=len(frame_names),
        num_annotated=len(annotations),
        frames=frames,
        scores=scores,
    )


def mean_by_protocol(scores: Sequence[SequenceScore]) -> dict[str, dict]:
    """Means over the videos of each protocol, a long video counting as much as a short one.

    Returns: {protocol: {"num_sequences", "num_scored" (frames) and `measures.NUMBERS`}}.
    """
    groups: dict[str, list[SequenceScore]] = {}
    for score in scores:
        groups.setdefault(score.protocol, []).append(score)
    return {
        protocol: {
            "num_sequences": len(group),
            "num_scored": sum(len(score.frames) for score in group),
            **mean_scores([score.scores for score in group]),
        }
        for protocol, group in groups.items()
    }


def format_table(scores: Sequence[SequenceScore]) -> str:
    """A line per video and animal and a line with the mean of each protocol, for the screen.

    Args:
        scores: From `score_folders`.
    """

    def row(name: str, num_frames: int, numbers: dict, protocol: str) -> tuple:
        keys = ("J-Mean", "J-Recall", "J-Decay", "F-Mean", "F-Recall", "F-Decay", "J&F-Mean")
        return (name, num_frames, *(numbers[key] for key in keys), protocol)

    header = ("sequence", "frames", "J mean", "recall", "decay", "F mean", "recall", "decay")
    header += ("J&F", "protocol")
    rows: list = []
    for score in scores:
        num_frames, protocol = len(score.frames), score.protocol
        rows.append(row(score.sequence, num_frames, score.scores, protocol))
        for animal, numbers in score.scores.get("animals", {}).items():
            rows.append(row(f"  animal {animal}", num_frames, numbers, protocol))
    rows.append(SEPARATING_LINE)
    for protocol, mean in mean_by_protocol(scores).items():
        rows.append(row(f"mean of {mean['num_sequences']}", mean["num_scored"], mean, protocol))
    return tabulate(rows, header, floatfmt=".3f", disable_numparse=[0, 9], preserve_whitespace=True)


def _protocol(labelled_frames: Sequence[int] | None, exclude_guidance: bool) -> str:
    if not labelled_frames:
        return UNKNOWN
    if list(labelled_frames) == [0]:
        return FIRST  # frame 0 is never scored, so leaving it out changes nothing
    return LEFT_OUT if exclude_guidance else CHOSEN


def _check_frames(
    sequence_name: str,
    annotations: dict[str, Path],
    frame_names: Sequence[str],
    labelled_frames: Sequence[int] | None,
    exclude_guidance: bool,
) -> None:
    strangers = [path for frame, path in annotations.items() if frame not in set(frame_names)]
    if strangers:
        raise InputError(f"{strangers[0]}: no frame of {sequence_name} has this name; rename it")
    if exclude_guidance and not labelled_frames:
        raise InputError(
            f"{sequence_name}: the labelled frames are not known, so --exclude-guidance cannot "
            'leave them out; run.json needs "labelled_frames"'
        )
    if any(not 0 <= index < len(frame_names) for index in labelled_frames or ()):
        raise InputError(
            f"{sequence_name}: labelled frames {list(labelled_frames)} do not fit a video of "
            f"{len(frame_names)} frames; run finetune_test.py on these frames again"
        )


def _frames_that_count(
    frame_names: Sequence[str],
    annotations: dict[str, Path],
    labelled_frames: Sequence[int] | None,
    exclude_guidance: bool,
) -> list[str]:
    labelled = {frame_names[index] for index in labelled_frames or ()}
    frames = [frame for frame in frame_names[1:-1] if frame in annotations]
    unseen = [frame for frame in frames if frame not in labelled]
    # A score of nothing but the label itself would say nothing.
    return unseen if exclude_guidance or not unseen else frames


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _used(labels: np.ndarray) -> list[int]:
    return np.flatnonzero(np.bincount(labels.ravel())).tolist()


def _read_indices(path: Path) -> np.ndarray:
    """Labels as numbered in the file: `read_annotation` would close the gap of an absent animal."""
    try:
        with Image.open(path) as image:
            if image.mode in ("P", "L"):
                return np.array(image)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error}); copy or segment it again") from error
    raise InputError(
        f"{path}: several animals are told apart by index, expected a palette or 8-bit grey PNG, "
        f"found mode {image.mode}; save it as one"
    )
