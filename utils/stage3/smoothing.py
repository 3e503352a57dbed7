"""Evens out what flickers from frame to frame, after the animal has been followed.

Errors on the outline differ from frame to frame, and the outline itself moves with the animal: so
each pixel is asked for in the frames before and after as well, where the optical flow finds it.
"""

from collections.abc import Callable

import cv2
import numpy as np

from utils.media.images import resize_labels
from utils.media.regions import Rectangle, rectangle_around
from utils.stage3.animal_in_frame import AnimalInFrame
from utils.stage3.motion import Motion, find_motion, warp_values
from utils.stage3.outline import region_at, regrow
from utils.stage3.settings import Refinement

MARGIN = 0.05  # share of the diagonal around the animal in which motion is looked for


def smooth_over_time(
    found: AnimalInFrame,
    num_frames: int,
    read_found: Callable[[int], AnimalInFrame],
    read_grey: Callable[[int], np.ndarray],
    settings: Refinement,
) -> AnimalInFrame:
    """Averages an animal's probability with those of the frames before and after, moved along the
    flow.

    Pixels that cannot be found in a neighbour with certainty are not averaged with it.

    Args:
        found: in a frame; its region is at the size of the grey frames.
        num_frames: of the video.
        read_found: gives what was found of the same animal in another frame, by its index.
        read_grey: gives a frame by its index, uint8 (H, W).
        settings: threshold, and weight of a neighbour.

    Returns: the same, its region at the size of the probability; as it was where neighbours have no
        weight.
    """
    if not settings.neighbour_weight:
        return found
    probability, region = found.probability, found.region
    if not region.any():
        return AnimalInFrame(found.frame, probability, region_at(region, *probability.shape))
    grey = read_grey(found.frame)
    box = rectangle_around(region, round(MARGIN * float(np.hypot(*region.shape))))
    fine_box = _enlarge(box, region.shape, probability.shape)
    total = probability[fine_box.slices].astype("float32")
    weights = np.ones_like(total)
    for frame in (found.frame - 1, found.frame + 1):
        if not 0 <= frame < num_frames:
            continue
        other = read_found(frame)
        if _is_same(other, found):
            continue  # as in a frame that the network was not shown; it would change nothing
        motion = find_motion(grey[box.slices], read_grey(other.frame)[box.slices])
        if motion is None:
            continue
        motion = _resize_motion(motion, total.shape)
        values = _probability_of_region(other, settings.threshold)[fine_box.slices]
        share = settings.neighbour_weight * motion.reliable
        total += share * warp_values(values, motion)
        weights += share
    smooth = probability.copy()
    smooth[fine_box.slices] = np.clip(np.round(total / weights), 0, 255)
    return AnimalInFrame(
        found.frame, smooth, regrow(smooth, probability, region, settings.threshold)
    )


def _is_same(one: AnimalInFrame, other: AnimalInFrame) -> bool:
    return np.array_equal(one.region, other.region) and np.array_equal(
        one.probability, other.probability
    )


def _probability_of_region(found: AnimalInFrame, threshold: float) -> np.ndarray:
    """float32 (h, w), 0..255: 0 where the network found something that is not this animal."""
    region = region_at(found.region, *found.probability.shape)
    dropped = (found.probability > threshold * 255) & ~region
    return np.where(dropped, 0, found.probability).astype("float32")


def _enlarge(box: Rectangle, size: tuple[int, int], fine_size: tuple[int, int]) -> Rectangle:
    """The rectangle at another size of the frame."""
    down, across = np.array(fine_size) / size
    return Rectangle(
        round(box.top * down), round(box.left * across),
        round(box.bottom * down), round(box.right * across),
    )  # fmt: skip


def _resize_motion(motion: Motion, size: tuple[int, int]) -> Motion:
    """The motion in pixels of another size, (height, width)."""
    if motion.reliable.shape == size:
        return motion
    height, width = size
    flow = cv2.resize(motion.flow, (width, height), interpolation=cv2.INTER_LINEAR)
    flow *= np.array([width, height]) / motion.reliable.shape[::-1]
    return Motion(flow, resize_labels(motion.reliable.astype("uint8"), *size) > 0)
