"""Which further frame of a segmented video to label: where the masks are doubtful."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from utils import paths
from utils.errors import InputError
from utils.evaluation.confidence import consistency, read_confidence
from utils.evaluation.mask_tracks import follow_animals
from utils.evaluation.results import SegmentedVideo, open_segmented, read_masks
from utils.inputs.sequences import VideoSequence

_BASE_DIFFICULTY = 0.25  # times the video's mean: a confident mask may be confidently wrong


@dataclass(frozen=True)
class NextLabel:
    """The further frame to label.

    Attributes:
        frame: the frame, None if every frame is labelled.
        labelled: the frames that have a label now, in increasing order.
    """

    frame: int | None
    labelled: tuple[int, ...]


def find_next_label(sequence: VideoSequence, results: Path) -> NextLabel:
    """Finds the frame of a segmented video whose label promises most.

    Args:
        sequence: the video; labels made since the run count as well.
        results: the results folder.

    Raises:
        InputError: if the video has not been segmented.
    """
    video = sequence.video
    masks = results / paths.SEGMENTATION / video.name
    if not masks.is_dir():
        raise InputError(
            f"{masks}: --next looks at the masks of a finished run, found none. Run "
            "finetune_test.py first, or name its --results."
        )
    segmented = open_segmented(results, video.name)
    if len(segmented) != len(video) or not segmented.labelled_frames:
        raise InputError(
            f"{segmented.run_dir / paths.RUN_FILE}: expected the record of a run with "
            f"{len(video)} masks that names the labelled frames, found {len(segmented)} masks and "
            f"{len(segmented.labelled_frames)} labelled frames. Run finetune_test.py first."
        )
    labelled = set(segmented.labelled_frames)
    if sequence.source == "datasets/labels":
        labelled |= set(sequence.labels)
    labelled = tuple(sorted(labelled))
    ranking = rank_next_frames(frame_difficulty(segmented), labelled)
    return NextLabel(ranking[0] if ranking else None, labelled)


def frame_difficulty(segmented: SegmentedVideo) -> np.ndarray:
    """Estimates how doubtful the mask of each frame is.

    That is 1 minus the network's confidence if stage 3 saved it, else how much the masks jump; of
    several animals the worst counts.

    Returns:
        float (n,), 0..1.
    """
    confidence = read_confidence(segmented)
    if confidence is not None:
        return 1 - confidence.frames
    tracks = follow_animals(read_masks(segmented)).values()
    return 1 - np.min([consistency(track) for track in tracks], axis=0)


def rank_next_frames(difficulty: np.ndarray, labelled: Sequence[int]) -> list[int]:
    """Ranks the frames that have no label yet by how much a label would help.

    A label is assumed to help the frames around it, less with distance (1/e of it at an eighth of
    the video). A frame's promise is the difficulty that its label would reach beyond what the
    existing labels reach already.

    Args:
        difficulty: float (n,), not negative, on any scale: how doubtful each frame's mask is.
        labelled: frames with a label.

    Returns:
        the frames without a label, best first.
    """
    difficulty = np.asarray(difficulty) / (np.mean(difficulty) or 1.0) + _BASE_DIFFICULTY
    frames = np.arange(len(difficulty))
    scale = max(1.0, len(frames) / 8)

    def reach(frame):
        return np.exp(-np.abs(frames - frame) / scale)

    reached = np.max([reach(frame) for frame in labelled], axis=0) if len(labelled) else 0.0
    promise = [np.sum(difficulty * np.maximum(reach(frame) - reached, 0)) for frame in frames]
    ranking = np.argsort(-np.array(promise), kind="stable").tolist()
    return [frame for frame in ranking if frame not in set(labelled)]
