"""Which frames of a whole study to label next: all videos of a results folder, in one list."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from utils.errors import InputError, one_line
from utils.evaluation.label_gain import find_labelled, frame_difficulty, rank_study
from utils.evaluation.results import (
    SegmentedVideo,
    UnfinishedError,
    open_segmented,
    require_finished,
)


@dataclass(frozen=True)
class StudyLabel:
    """A frame that is worth a label.

    Attributes:
        video: the segmented video.
        number: the frame's number in the whole video.
        gain: as `LabelGain.gain`, in frames.
        labelled: the numbers of the frames that have a label now.
    """

    video: SegmentedVideo
    number: int
    gain: float
    labelled: tuple[int, ...]


@dataclass(frozen=True)
class StudyLabels:
    """The ranked frames, and the videos that could not be looked at: name -> why."""

    ranking: list[StudyLabel]
    left_out: dict[str, str]


def rank_results(results: Path, names: Sequence[str]) -> StudyLabels:
    """Ranks frames of several segmented videos by what a label of each promises.

    Args:
        results: the results folder.
        names: of its videos.
    """
    videos: dict[str, tuple[SegmentedVideo, list[int]]] = {}
    left_out: dict[str, str] = {}

    def look() -> Iterator[tuple[str, np.ndarray, list[int]]]:
        for name in names:
            try:
                video = open_segmented(results, name)
                require_finished(video)
                difficulty = frame_difficulty(video)
                videos[name] = video, find_labelled(video)
            except UnfinishedError as error:
                left_out[name] = error.advice
                continue
            except (InputError, OSError) as error:
                left_out[name] = one_line(error)
                continue
            yield name, difficulty, videos[name][1]

    ranking = []
    for one in rank_study(look()):
        video, frames = videos[one.video]
        labelled = tuple(frame + video.first_frame for frame in frames)
        ranking.append(StudyLabel(video, one.frame + video.first_frame, one.gain, labelled))
    return StudyLabels(ranking, left_out)
