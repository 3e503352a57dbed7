"""How far each mask of a video can be trusted, so that people look at the doubtful ones first.

Confidence is the network's own, if stage 3 saved it in RESULTS/runs/SEQ/confidence.json (or under
the same names in run.json):

    {"confidence": [0.98, 0.97, ...],                     a number in 0..1 per frame
     "animals": {"1": [0.99, ...], "2": [0.97, ...]}}     optional: the same for each animal

Consistency is computed from the masks alone: how little a mask differs from its neighbours in
time. It is not a probability, and it misses an error that stays the same from frame to frame.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from utils import paths
from utils.errors import InputError
from utils.evaluation.mask_tracks import MaskTrack
from utils.evaluation.results import SegmentedVideo

WINDOW_FRAMES = 25  # on either side: what is usual for an animal's area, about a second
MAX_FRAMES_TO_CHECK = 6


@dataclass(frozen=True)
class Confidence:
    """The network's own confidence.

    Attributes:
        frames: float64 (frames,), 0..1.
        animals: the animal's number -> the same for this animal, where it was saved.
    """

    frames: np.ndarray
    animals: dict[int, np.ndarray]

    def of(self, animal: int) -> np.ndarray:
        """float64 (frames,) of one animal, or of the whole frame where the animal has none."""
        return self.animals.get(animal, self.frames)


def read_confidence(video: SegmentedVideo) -> Confidence | None:
    """Reads what stage 3 saved for a video.

    Args:
        video: from `open_segmented`.

    Returns: the confidence, None if none was saved.

    Raises:
        InputError: if it is not in the format above; the message names the file.
    """
    path = video.run_dir / paths.CONFIDENCE_FILE
    record: Any = video.record
    if path.is_file():
        try:
            record = json.loads(path.read_text(encoding="utf-8-sig"))
        except ValueError as error:
            raise InputError(f"{path}: not JSON ({error}); segment {video.name} again.") from error
    else:
        path = video.run_dir / paths.RUN_FILE
        if "confidence" not in record:
            return None
    try:
        frames = _check_values(record["confidence"], len(video))
        by_animal = record.get("animals", {})
        if isinstance(by_animal, list):  # run.json's list of animals
            by_animal = {}
        animals = {int(k): _check_values(v, len(video)) for k, v in by_animal.items()}
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise InputError(
            f'{path}: expected "confidence", a number in 0..1 for each of {len(video)} frames, '
            f"found something else ({error}); segment {video.name} again."
        ) from error
    return Confidence(frames, animals)


def consistency(track: MaskTrack) -> np.ndarray:
    """Measures how little each mask differs from its neighbours, as the product of

    - the mean overlap with the masks before and after, translation removed (`MaskTrack.overlaps`),
    - the ratio of its area to the median area of the 25 frames before and after, the smaller over
      the larger of the two,
    - the same ratio of its largest component's share of the area.

    Args:
        track: from `follow_animals`.

    Returns: float64 (frames,) in 0..1; 1 for an animal that is absent, as in the frames around.
    """
    area = track.column("area_px")
    largest = track.column("largest_component_px")
    share = np.divide(largest, area, out=np.ones_like(area), where=area > 0)
    if not len(track.overlaps):
        return np.ones_like(area)
    padded = np.concatenate([track.overlaps[:1], track.overlaps, track.overlaps[-1:]])
    overlap = (padded[:-1] + padded[1:]) / 2
    return overlap * _ratio_to_usual(area) * _ratio_to_usual(share)


def frames_to_check(values: np.ndarray, labelled: Collection[int] = ()) -> list[int]:
    """Lists the frames to look at first: the deepest dips of the curve, deepest first.

    Args:
        values: (frames,), confidence or consistency, 0..1.
        labelled: frames that a person labelled or has drawn since; they need no check.

    Returns:
        at most MAX_FRAMES_TO_CHECK indices that are at least 3 % of the video apart, none with a
        value that rounds to 1.00.
    """
    apart = max(2, round(0.03 * len(values)))
    chosen: list[int] = []
    for index in np.argsort(values, kind="stable").tolist():
        if len(chosen) == MAX_FRAMES_TO_CHECK or values[index] >= 0.995:
            break
        is_lowest_around = values[index] <= values[max(0, index - 1) : index + 2].min()
        is_apart = all(abs(index - other) >= apart for other in chosen)
        if index not in labelled and is_lowest_around and is_apart:
            chosen.append(index)
    return chosen


def _check_values(values: Any, num_frames: int) -> np.ndarray:
    if not isinstance(values, list) or not all(type(value) in (int, float) for value in values):
        raise ValueError("not a list of numbers")
    array = np.array(values, np.float64)
    if len(array) != num_frames:
        raise ValueError(f"{len(array)} numbers")
    if not np.all((array >= 0) & (array <= 1)):
        raise ValueError("numbers outside 0..1")
    return array


def _ratio_to_usual(values: np.ndarray) -> np.ndarray:
    """The smaller over the larger of each value and the median around it; 1 where both are 0."""
    last = len(values) - 1
    usual = np.empty_like(values)
    for index in range(len(values)):
        # As many frames before as after: an animal that comes closer steadily does not jump.
        reach = min(WINDOW_FRAMES, index, last - index)
        usual[index] = np.median(values[index - reach : index + reach + 1])
    larger = np.maximum(values, usual)
    return np.divide(np.minimum(values, usual), larger, out=np.ones_like(larger), where=larger > 0)
