"""What a further label promises: in which frames of which videos the masks are doubtful."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from utils import paths
from utils.evaluation.confidence import consistency, read_confidence
from utils.evaluation.mask_tracks import follow_animals
from utils.evaluation.results import SegmentedVideo, read_masks
from utils.inputs.sequences import frames_of_label
from utils.media.images import FRAME_SUFFIXES, list_files

_BASE_DIFFICULTY = 0.25  # times the video's mean: a confident mask may be confidently wrong
_MAX_CANDIDATES = 200  # of a video: a label reaches far beyond its neighbours
MIN_GAIN_FRAMES = 1.0  # a label that gains less promises nothing much
MAX_LABELS_PER_VIDEO = 3  # that are proposed at once: after them, the masks are others


@dataclass(frozen=True)
class LabelGain:
    """A frame that is worth a label.

    Attributes:
        video: the video's name.
        frame: the index of the frame.
        gain: how much doubt the label would reach, in frames: 10 frames with a confidence of 0.5
            near it count 5. It adds to the labels there are, and to those before it in the list.
    """

    video: str
    frame: int
    gain: float


def rank_study(
    videos: Iterable[tuple[str, np.ndarray, Sequence[int]]],
    most_per_video: int = MAX_LABELS_PER_VIDEO,
) -> list[LabelGain]:
    """Ranks frames of many videos by what a label of each would gain.

    A video may occur several times: what the label before it reaches no longer counts for the next.

    Args:
        videos: name, difficulty of each frame (see `rank_next_frames`) and labelled frames.
        most_per_video: how often a video may occur.

    Returns: the frames, best first.
    """
    found = []
    for name, difficulty, labelled in videos:
        frames = list(labelled)
        step = max(1, len(difficulty) // _MAX_CANDIDATES)
        candidates = np.arange(step // 2, len(difficulty), step)
        for _ in range(most_per_video):
            gains = _find_gains(difficulty, frames, candidates)
            best = int(gains.argmax())
            if not gains[best] > 0:
                break
            frame = int(candidates[best])
            found.append(LabelGain(name, frame, float(gains[best])))
            frames.append(frame)
    return sorted(found, key=lambda one: -one.gain)


def find_labelled(video: SegmentedVideo) -> list[int]:
    """The frames with a label: those that the run had, and those labelled since.

    Args:
        video: from `open_segmented`.

    Returns: indices of frames, increasing.
    """
    return sorted(_find_made(video) | set(video.labelled_frames))


def find_without_file(video: SegmentedVideo, annotation_dir: Path | None) -> list[int]:
    """Those frames of which the run had a label that only `--label` finds.

    Args:
        video: from `open_segmented`.
        annotation_dir: of the data set's annotations of it, None if there are none.

    Returns: indices of frames, increasing.
    """
    has_folder = annotation_dir is not None and annotation_dir.is_dir()
    annotations = list_files(annotation_dir, FRAME_SUFFIXES) if has_folder else []
    stems, made = {path.stem for path in annotations}, _find_made(video)
    names = video.frame_names
    return [n for n in video.labelled_frames if n not in made and names[n] not in stems]


def _find_made(video: SegmentedVideo) -> set[int]:
    """Indices of the frames that have a label in datasets/labels."""
    folder = paths.LABELS / video.name
    made = list_files(folder, (".png",)) if folder.is_dir() else []
    found = [frames_of_label(path.stem, video.frame_names) for path in made]
    # None is of another part of the video. More than one is refused by finetune_test.py.
    return {frames[0] for frames in found if len(frames) == 1}


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
    difficulty = np.asarray(difficulty) / (np.mean(difficulty) or 1.0)
    frames = np.arange(len(difficulty))
    gains = _find_gains(difficulty, labelled, frames, least=_BASE_DIFFICULTY)
    ranking = np.argsort(-gains, kind="stable").tolist()
    return [frame for frame in ranking if frame not in set(labelled)]


def gain_of(difficulty: np.ndarray, labelled: Sequence[int], frame: int) -> float:
    """The gain of one frame's label, as of `LabelGain`.

    Args:
        difficulty, labelled: as of `rank_next_frames`.
        frame: its index.
    """
    return float(_find_gains(difficulty, labelled, np.array([frame]))[0])


def _find_gains(
    difficulty: np.ndarray, labelled: Sequence[int], candidates: np.ndarray, least: float = 0.0
) -> np.ndarray:
    """float (candidates,): the difficulty that a label of each would reach.

    `least` is added to the difficulty where all of it is 0.
    """
    difficulty = np.asarray(difficulty, float)
    difficulty = difficulty + (_BASE_DIFFICULTY * difficulty.mean() or least)
    frames = np.arange(len(difficulty))
    scale = max(1.0, len(frames) / 8)

    def reach(frame: int) -> np.ndarray:
        return np.exp(-np.abs(frames - frame) / scale)

    reached = np.max([reach(frame) for frame in labelled], axis=0) if len(labelled) else 0.0
    return np.array(
        [np.sum(difficulty * np.maximum(reach(frame) - reached, 0)) for frame in candidates]
    )
