"""Finds the shot changes of a video: cuts, after which nothing is where it was."""

from collections import deque
from collections.abc import Callable, Iterable

import cv2
import numpy as np

from utils.media.videos import Video

THUMBNAIL_PX = 128, 72  # width and height at which colours are counted
BINS = 6  # per channel
NEIGHBOURS = 4  # frames before and after, whose changes show how restless the video is
# On the 32 training and development videos of DAVIS: no false alarm in any of them, and 991 of the
# 992 cuts from the middle of one to the middle of another. Twice the neighbours' change: 971.
MIN_CHANGE = 0.25  # share of the picture whose colours are others
TIMES_NEIGHBOURS = 1.5
SAME_PICTURE = 0.125  # share of the picture whose colours may be others when it comes back
COVERED_FRAMES = 12  # an arm in front of the camera, at most; shots are longer


def find_shot_changes(
    video: Video, show_progress: Callable[[Iterable[int]], Iterable[int]] = iter
) -> list[int]:
    """The first frames of new shots.

    A frame begins a new shot if its colours differ from those of the frame before, and more than
    those of the frames around it differ: fast motion and a swaying camera change all of them. A
    flash makes two changes in a row, and is none; nor is what covers the camera for a few frames,
    after which the picture is the one before. Fades and dissolves are not found, nor are cuts
    within one scene that keep its colours.

    Args:
        video: all of its frames are read.
        show_progress: hands the numbers of the frames on, one by one.

    Returns: indices, increasing.
    """
    seen = deque(maxlen=NEIGHBOURS + 1)  # an arm does not come all at once
    changes, sides = [], {}
    for index in show_progress(range(len(video))):
        colours = count_colours(video.read(index))
        changes.append(_difference(colours, seen[-1]) if seen else 0.0)
        if changes[-1] >= MIN_CHANGE:
            sides[index] = tuple(seen), colours
        seen.append(colours)
    cuts = find_cuts(np.array(changes))

    def comes_back(first: int, last: int) -> bool:
        before, after = sides[first][0], sides[last][1]
        return min(_difference(colours, after) for colours in before) < SAME_PICTURE

    return leave_out_covers(cuts, comes_back)


def find_cuts(changes: np.ndarray) -> list[int]:
    """Which frames begin a new shot.

    Args:
        changes: per frame its change from the one before, 0..1; 0 for the first.
    """
    cuts = []
    for index in np.flatnonzero(changes >= MIN_CHANGE).tolist():
        low = max(1, index - NEIGHBOURS)
        around = np.delete(changes[low : index + NEIGHBOURS + 1], index - low)
        if changes[index] >= TIMES_NEIGHBOURS * around.max(initial=0):
            cuts.append(index)
    return cuts


def leave_out_covers(cuts: list[int], comes_back: Callable[[int, int], bool]) -> list[int]:
    """Leaves out the cuts between which something covers the camera.

    Args:
        cuts: increasing.
        comes_back: whether the picture after the second of two cuts is the one before the first.
    """
    left, place = [], 0
    while place < len(cuts):
        ends = [
            later
            for later in range(place + 1, len(cuts))
            if cuts[later] - cuts[place] <= COVERED_FRAMES and comes_back(cuts[place], cuts[later])
        ]
        if not ends:
            left.append(cuts[place])
        place = max(ends, default=place) + 1
    return left


def _difference(colours: np.ndarray, others: np.ndarray) -> float:
    """The share of the picture whose colours are others, 0..1."""
    return float(np.abs(colours - others).sum()) / 2


def count_colours(image: np.ndarray) -> np.ndarray:
    """The share of the picture in each of BINS x BINS x BINS colours, float32, sum 1.

    Args:
        image: uint8 (H, W, 3).
    """
    small = cv2.resize(image, THUMBNAIL_PX, interpolation=cv2.INTER_AREA)
    counts = cv2.calcHist([small], [0, 1, 2], None, [BINS] * 3, [0, 256] * 3).ravel()
    return counts / counts.sum()
