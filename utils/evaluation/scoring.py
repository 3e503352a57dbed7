"""Scores the masks of one video from its folders: which frames count, under which protocol.

Protocols (never mixed in one mean):
- "first": frame 0 was labelled; comparable with all published tables.
- "chosen": another frame, or several, were labelled, or the network had learnt another video or
  frame before; the official frames are scored.
- "chosen, labelled frame left out": the same without the labelled frames; the honest number.
- "no label": a network that was fine-tuned on other videos found the animals. Several annotated
  ones are matched with those that it found, whatever their numbers.
- "unknown": there is no record of what was labelled.
"""

import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import SEPARATING_LINE, tabulate

from utils import paths
from utils.errors import InputError
from utils.evaluation.corrected_masks import describe_applied
from utils.evaluation.measures import NUMBERS, match_animals, mean_scores, score_sequence
from utils.evaluation.temporal_stability import temporal_stability
from utils.inputs.sequences import VideoSequence
from utils.media.images import list_frames
from utils.media.label_content import used_values
from utils.media.labels import VOID, number_animals, read_label
from utils.media.video_part import VideoPart
from utils.stage3.correction_files import MaskFolder

FIRST, CHOSEN, UNKNOWN = "first", "chosen", "unknown"
NO_LABEL = "no label"
LEFT_OUT = "chosen, labelled frame left out"
STABILITY = "T-Mean"  # where it was asked for; see `temporal_stability`
NUM_WITH_STABILITY = "num_with_T"  # videos in its mean: not those of several animals


class NothingToScoreError(InputError):
    """No frame is annotated but those that do not count (first, last, labelled)."""


@dataclass(frozen=True)
class SequenceScore:
    """The scores of one video and how they were computed.

    Attributes:
        sequence: the video's name.
        protocol: one of those above.
        labelled_frames: indices, also of frames that the network had learnt before; empty where no
            label of the video was used; None if unknown.
        num_frames: of the video.
        num_annotated: frames that have an annotation.
        frames: stems of the scored frames.
        scores: as `utils.evaluation.measures.score_sequence` returns them; with T also "T-Mean" and
            "T", a list with one value per pair of consecutive frames, None where a mask is empty.
        corrections: how many corrections a person made in the masks, and where, in words; empty if
            there are none.
        comparison: what to know of the comparison, in words: that all masks together were compared
            with one animal, or that the masks are of other frames; empty if there is nothing.
    """

    sequence: str
    protocol: str
    labelled_frames: list[int] | None
    num_frames: int
    num_annotated: int
    frames: list[str]
    scores: dict
    corrections: str = ""
    comparison: str = ""

    @property
    def note(self) -> str:
        """For the screen, a line each: that the masks were corrected, and what was compared; empty
        if there is nothing to say."""
        corrections = self.corrections and (
            f"these are scores of corrected masks: {self.corrections}"
        )
        texts = filter(None, (corrections, self.comparison))
        return "\n".join(f"note: {self.sequence}: {text}." for text in texts)

    def means(self) -> dict:
        """The scores without those of single frames; with several animals, also each animal's."""
        means = {key: self.scores[key] for key in (*NUMBERS, STABILITY) if key in self.scores}
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
    tuned_on: Sequence[dict[str, Any]] = (),
    frames_sha256: str = "",
    exclude_guidance: bool = False,
    stability: bool = False,
) -> SequenceScore:
    """Scores `prediction_dir/STEM.png` of every annotated frame that counts.

    Of several annotated animals each is compared with the animal of its number or, where no label
    gave the numbers (`labelled_frames` is empty), with that which `match_animals` finds for it.

    Args:
        sequence_name: for the record and for messages.
        prediction_dir: masks as `utils.media.labels.write_label` writes them.
        annotation_dir: annotations named after the frames' stems; need not be complete.
        frame_names: stems of all frames of the video, in natural order.
        labelled_frames: indices of the frames that the fine-tuning saw, none if the animals were
            found without a label; None if unknown.
        tuned_on: what the network had learnt before, as `SavedNetwork.tuned_on`. Frames of a video
            of this name, which may be a part of it, count as labelled.
        frames_sha256: of the video's frames; with others of this name the network has learnt
            another video. Empty if it is not known.
        exclude_guidance: leaves all frames that were learnt out of the score.
        stability: also computes T, of all frames but the first and the last one, if there is one
            animal. It takes about half a second per frame.

    Returns: the scores and how they were computed.

    Raises:
        NothingToScoreError: No frame is annotated but those that do not count.
        InputError: A mask is missing, unreadable or of another size, an annotation belongs to no
            frame, or the labelled frames are to be left out but unknown.
    """
    annotations = {path.stem: path for path in _list_annotations(sequence_name, annotation_dir)}
    _check_frames(sequence_name, annotations, frame_names, labelled_frames, exclude_guidance)
    # A few names alone may not tell their order, as those of all frames do.
    annotations = {name: annotations[name] for name in frame_names if name in annotations}
    labelled, learnt = labelled_frames, None
    if labelled is not None:
        labelled = list(labelled)
        before = (n for one in tuned_on if one["video"] == sequence_name for n in one["frames"])
        learnt = sorted({*labelled, *(n for n in before if n < len(frame_names))})
    frames = _frames_that_count(frame_names, annotations, learnt, exclude_guidance)
    if not frames:
        raise NothingToScoreError(
            f"{sequence_name}: nothing to score, expected annotations besides the first, last and "
            f"labelled frame in {annotation_dir}, found {len(annotations)} of {len(frame_names)}"
        )
    predictions = _find_predictions(sequence_name, Path(prediction_dir), frames)
    is_alone = all(
        one["video"] == sequence_name and frames_sha256 in ("", one["sha256"]) for one in tuned_on
    )
    protocol = _protocol(learnt, labelled == learnt == [0] and is_alone, exclude_guidance)
    numbering = {frame_names[index] for index in labelled or ()}
    scores, comparison = _score_masks(predictions, annotations, numbering, match=labelled == [])
    if stability and "animals" not in scores:
        masks = _find_predictions(sequence_name, Path(prediction_dir), frame_names[1:-1])
        scores |= _score_stability(masks.values())
    return SequenceScore(
        sequence=sequence_name,
        protocol=protocol,
        labelled_frames=learnt,
        num_frames=len(frame_names),
        num_annotated=len(annotations),
        frames=frames,
        scores=scores,
        comparison=comparison,
    )


def score_run(
    sequence: VideoSequence,
    results: Path,
    labelled: Sequence[int],
    frames_sha256: str,
    tuned_on: Sequence[dict[str, Any]] = (),
) -> dict[str, Any] | None:
    """Scores the masks of a run where there are other annotations, which are opened only now.

    Args:
        sequence: the video.
        results: the results folder.
        labelled: indices of the frames that the fine-tuning saw.
        frames_sha256: of the frames; corrections of other ones were not applied.
        tuned_on: as of `score_folders`.

    Returns: for run.json; None where there is nothing to compare with, as for a part of a video.
    """
    if sequence.annotation_dir is None or isinstance(sequence.video, VideoPart):
        return None
    name, names = sequence.name, sequence.video.frame_names
    try:
        masks = results / paths.SEGMENTATION / name
        result = score_folders(
            name, masks, sequence.annotation_dir, names, labelled,
            tuned_on=tuned_on, frames_sha256=frames_sha256,
        )  # fmt: skip
    except NothingToScoreError:
        return None
    except (InputError, OSError) as error:  # the masks are finished; only the comparison is not
        print(f"{sequence.name}: not scored: {error}", flush=True)
        return None
    corrections = describe_applied(MaskFolder(results, name, names, (), frames_sha256))
    result = replace(result, corrections=corrections)
    print("\n".join(filter(None, (format_table([result]), result.note))), flush=True)
    facts = {"protocol": result.protocol, "num_scored": len(result.frames)}
    if corrections:
        facts["corrections"] = corrections
    return facts | result.means()


def mean_by_protocol(scores: Sequence[SequenceScore]) -> dict[str, dict]:
    """Means over the videos of each protocol; a long video counts as much as a short one.

    Args:
        scores: from `score_folders`.

    Returns: {protocol: {"num_sequences", "num_scored" (frames) and `measures.NUMBERS`}}; with
        "T-Mean", of the videos that have one, if any has, and "num_with_T", how many have.
    """
    groups: dict[str, list[SequenceScore]] = {}
    for score in scores:
        groups.setdefault(score.protocol, []).append(score)
    means = {}
    for protocol, group in groups.items():
        means[protocol] = {
            "num_sequences": len(group),
            "num_scored": sum(len(score.frames) for score in group),
            **mean_scores([score.scores for score in group]),
        }
        with_stability = [score.scores for score in group if STABILITY in score.scores]
        if with_stability:
            means[protocol] |= mean_scores(with_stability, (STABILITY,))
            means[protocol] |= {NUM_WITH_STABILITY: len(with_stability)}
    return means


def format_table(scores: Sequence[SequenceScore]) -> str:
    """A line per video and animal and a line with the mean of each protocol, for the screen.

    Args:
        scores: from `score_folders`.
    """

    keys = ("J-Mean", "J-Recall", "J-Decay", "F-Mean", "F-Recall", "F-Decay", "J&F-Mean")
    header = ("sequence", "frames", "J mean", "recall", "decay", "F mean", "recall", "decay", "J&F")
    if any(STABILITY in score.scores for score in scores):
        keys, header = (*keys, STABILITY), (*header, "T")
    header += ("protocol",)

    def row(name: str, num_frames: int, numbers: dict, protocol: str) -> tuple:
        return (name, num_frames, *map(numbers.get, keys), protocol)

    rows: list = []
    for score in scores:
        num_frames, protocol = len(score.frames), score.protocol
        rows.append(row(score.sequence, num_frames, score.scores, protocol))
        for animal, numbers in score.scores.get("animals", {}).items():
            rows.append(row(f"  animal {animal}", num_frames, numbers, protocol))
    rows.append(SEPARATING_LINE)
    for protocol, mean in mean_by_protocol(scores).items():
        rows.append(row(f"mean of {mean['num_sequences']}", mean["num_scored"], mean, protocol))
    texts = [0, len(header) - 1]
    return tabulate(
        rows, header, floatfmt=".3f", missingval="-", disable_numparse=texts,
        preserve_whitespace=True,
    )  # fmt: skip


def _protocol(learnt: Sequence[int] | None, is_first: bool, exclude_guidance: bool) -> str:
    if learnt is None:
        return UNKNOWN
    if not learnt:
        return NO_LABEL
    if is_first:
        return FIRST  # frame 0 is never scored, so leaving it out changes nothing
    return LEFT_OUT if exclude_guidance else CHOSEN


def _list_annotations(sequence_name: str, folder: Path) -> list[Path]:
    if folder.is_dir() and all(path.name.startswith(".") for path in folder.iterdir()):
        raise NothingToScoreError(
            f"{sequence_name}: nothing to score, expected annotations in {folder}, found none"
        )
    return list_frames(folder)


def _check_frames(
    sequence_name: str,
    annotations: dict[str, Path],
    frame_names: Sequence[str],
    labelled_frames: Sequence[int] | None,
    exclude_guidance: bool,
) -> None:
    known = set(frame_names)
    unexpected = [path for frame, path in annotations.items() if frame not in known]
    if unexpected:
        raise InputError(f"{unexpected[0]}: no frame of {sequence_name} has this name; rename it")
    if exclude_guidance and labelled_frames is None:
        raise InputError(
            f"{sequence_name}: the labelled frames are not known, so --exclude-guidance cannot "
            'leave them out; run.json needs "labelled_frames"'
        )
    if any(not 0 <= index < len(frame_names) for index in labelled_frames or ()):
        raise InputError(
            f"{sequence_name}: labelled frames {list(labelled_frames)} do not fit a video of "
            f"{len(frame_names)} frames; run finetune_test.py on these frames again"
        )


def _find_predictions(sequence_name: str, folder: Path, frames: Sequence[str]) -> dict[str, Path]:
    predictions = {frame: folder / f"{frame}.png" for frame in frames}
    missing = [path for path in predictions.values() if not path.is_file()]
    if missing:
        raise InputError(
            f"{sequence_name}: {len(missing)} of {len(frames)} masks are missing, the first is "
            f"{missing[0]}; run finetune_test.py --sequences {sequence_name}"
        )
    return predictions


def _score_masks(
    predictions: dict[str, Path],
    annotations: dict[str, Path],
    labelled: Collection[str],
    *,
    match: bool,
) -> tuple[dict, str]:
    """Scores the masks of one video, one frame at a time. Returns also what was compared, as
    `SequenceScore.comparison`.

    Args:
        predictions: frame -> mask, for the frames to score.
        annotations: frame -> annotation. All of the video, since they have one numbering.
        labelled: frames whose labels alone numbered the animals of the masks.
        match: of several animals, whether to match those of the masks with the annotated ones.
    """
    labels = [path for frame, path in annotations.items() if frame in labelled]
    numbers = number_animals(list(annotations.values()), labels)
    animals = sorted(numbers.values())
    several = len(animals) > 1
    # Accept any animal numbers, but reject an unnumbered (black/white) mask; what was found without
    # a label may be one animal where several are annotated. Colours are those of the annotations.
    accepted, of_masks = None, None
    if several and not match:
        accepted = range(1, VOID)
        of_masks = numbers | {number: number for number in accepted}

    segmented: set[int] = set()

    def read_pairs() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for frame, path in annotations.items():
            if frame not in predictions:
                continue
            prediction = _read_mask(predictions[frame], accepted, of_masks)
            annotation = read_label(path, numbers=numbers).values
            check_same_size(predictions[frame], prediction, path, annotation)
            segmented.update(used_values(prediction))
            yield prediction, annotation

    matched = np.arange(256, dtype=np.uint8)
    if several and match:  # a pass of its own, so that one frame at a time is in memory
        matched = match_animals(*_unzip(read_pairs()), animals)
    found, annotated = _unzip(read_pairs())
    scores = score_sequence((matched[mask] for mask in found), annotated, animals)
    own_numbers = [name for name in numbers if 1 < name < VOID]
    return scores, "" if several else _describe_union(segmented - {0}, own_numbers)


def _describe_union(segmented: Collection[int], annotated: Sequence[int]) -> str:
    """That the masks of several animals were compared with the one that is annotated, as DAVIS 2016
    does; `annotated`: the number above 1 that its files give it, if they do."""
    if len(segmented) < 2:
        return ""
    number = f", as number {annotated[0]}" if annotated else ""
    return (
        f"one animal is annotated{number}, {len(segmented)} were segmented: all masks together are "
        "compared"
    )


def _read_mask(path: Path, *numbering: Any) -> np.ndarray:
    """A mask as `read_label` reads it. Void, which other programs draw around animals, is
    background, as in tables and exports."""
    values = read_label(path, *numbering).values
    return np.where(values == VOID, np.uint8(0), values)


def _unzip(
    pairs: Iterable[tuple[np.ndarray, np.ndarray]],
) -> tuple[Iterator[np.ndarray], Iterator[np.ndarray]]:
    """The first and the second of all pairs; to be read at the same pace."""
    one, other = itertools.tee(pairs)
    return (first for first, _ in one), (second for _, second in other)


def _score_stability(mask_paths: Iterable[Path]) -> dict:
    """T of consecutive masks and its mean; nothing where there are no two masks that show it."""
    values = temporal_stability(_read_mask(path) != 0 for path in mask_paths)
    if np.isnan(values).all():
        return {}
    listed = [None if np.isnan(value) else value for value in values]
    return {STABILITY: float(np.nanmean(values)), "T": listed}


def _frames_that_count(
    frame_names: Sequence[str],
    annotations: dict[str, Path],
    labelled_frames: Sequence[int] | None,
    exclude_guidance: bool,
) -> list[str]:
    labelled = {frame_names[index] for index in labelled_frames or ()}
    frames = [frame for frame in frame_names[1:-1] if frame in annotations]
    unseen = [frame for frame in frames if frame not in labelled]
    # A score of nothing but the labels themselves would mean nothing.
    return unseen if exclude_guidance or not unseen else frames


def check_same_size(
    mask_path: Path, mask: np.ndarray, annotation_path: Path, annotation: np.ndarray
) -> None:
    """Raises InputError, naming both files, for a mask of another size than its annotation."""
    if mask.shape != annotation.shape:
        raise InputError(
            f"{mask_path}: the mask is {_size(mask.shape)}, its annotation {annotation_path} is "
            f"{_size(annotation.shape)} (height x width); segment the frames that were annotated"
        )


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
