"""Finds the shot changes of a video: cuts, after which nothing is where it was."""

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


def find_shot_changes(
    video: Video, show_progress: Callable[[Iterable[int]], Iterable[int]] = iter
) -> list[int]:
    """The first frames of new shots.

    A frame begins a new shot if its colours differ from those of the frame before, and more than
    those of the frames around it differ: fast motion and a swaying camera change all of them. A
    flash makes two changes in a row, and is none. Fades and dissolves are not found, nor are cuts
    within one scene that keep its colours.

    Args:
        video: all of its frames are read.
        show_progress: hands the numbers of the frames on, one by one.

    Returns: indices, increasing.
    """
    before, changes = None, []
    for index in show_progress(range(len(video))):
        colours = count_colours(video.read(index))
        changes.append(0.0 if before is None else float(np.abs(colours - before).sum()) / 2)
        before = colours
    return find_cuts(np.array(changes))


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


def count_colours(image: np.ndarray) -> np.ndarray:
    """The share of the picture in each of BINS x BINS x BINS colours, float32, sum 1.

    Args:
        image: uint8 (H, W, 3).
    """
    small = cv2.resize(image, THUMBNAIL_PX, interpolation=cv2.INTER_AREA)
    counts = cv2.calcHist([small], [0, 1, 2], None, [BINS] * 3, [0, 256] * 3).ravel()
    return counts / counts.sum()
