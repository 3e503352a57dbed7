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

from utils.errors import InputError
from utils.evaluation.measures import NUMBERS, mean_scores, score_sequence
from utils.media.images import list_frames
from utils.media.labels import VOID, LabelMap, iterate_labels, read_label

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
    exclude_guidance: bool = False,
) -> SequenceScore:
    """Scores `prediction_dir/STEM.png` of every annotated frame that counts.

    Args:
        sequence_name: for the record and for messages.
        prediction_dir: masks as `utils.media.labels.write_label` writes them.
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

    def read_annotations() -> Iterator[tuple[str, LabelMap]]:
        yield from zip(annotations, iterate_labels(list(annotations.values())), strict=True)

    sizes, animals = {}, ()
    for frame, label in read_annotations():
        sizes[frame], animals = label.values.shape, label.animals
    known = range(1, VOID) if len(animals) > 1 else None

    def read_predictions() -> Iterator[np.ndarray]:
        for frame, path in predictions.items():
            prediction = read_label(path, known).values
            if prediction.shape != sizes[frame]:
                raise InputError(
                    f"{path}: the mask is {_size(prediction.shape)}, its annotation "
                    f"{annotations[frame]} is {_size(sizes[frame])} (height x width); "
                    "segment the frames that were annotated"
                )
            yield prediction

    scores = score_sequence(
        read_predictions(),
        (label.values for frame, label in read_annotations() if frame in frames),
        animals,
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
    """A line per video and animal and a line with the mean of each protocol, for the screen."""
    rows = []
    for score in scores:
        rows.append((score.sequence, len(score.frames), score.scores, score.protocol))
        for animal, numbers in score.scores.get("animals", {}).items():
            rows.append((f"  animal {animal}", len(score.frames), numbers, score.protocol))
    means = [
        (f"mean of {mean['num_sequences']}", mean["num_scored"], mean, protocol)
        for protocol, mean in mean_by_protocol(scores).items()
    ]
    width = max(len(name) for name, *_ in (*rows, *means, ("sequence",)))
    header = f"{'sequence':<{width}} frames  J mean recall  decay  F mean recall  decay     J&F  "
    rule = "-" * (len(header) + len("protocol"))
    keys = (("J-Mean", "J-Recall", "J-Decay"), ("F-Mean", "F-Recall", "F-Decay"), ("J&F-Mean",))
    lines = [header + "protocol", rule]
    for row in (*rows, None, *means):
        if row is None:
            lines.append(rule)
            continue
        name, num_frames, numbers, protocol = row
        cells = " ".join("".join(f"{numbers[key]:7.3f}" for key in group) for group in keys)
        lines.append(f"{name:<{width}} {num_frames:6d} {cells}  {protocol}")
    return "\n".join(lines)


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
