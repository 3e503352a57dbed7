"""Optical flow from a frame to the one before it, and where it can be trusted."""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

# Of 4, 5, 6, 8 on the development videos (docs/experiments.md). Without it an animal that comes
# out from behind a tree was background.
MAX_GREY_DIFFERENCE = 5
# Share of a region in which the flow has to be reliable, or nothing says where the region comes
# from: .28 and more where rules that follow the flow tell animals apart, .08 and less where they
# fail (docs/experiments.md).
MIN_RELIABLE = 0.15
PATCH_PX = 8  # of dense inverse search
MAX_SIDE_PX = 32_000  # cv2.remap takes no more
BLUR_PX = 1.5  # of frames before grey levels are compared


@dataclass(frozen=True)
class Motion:
    """From a frame to the one that is compared with it.

    Attributes:
        flow: float32 (H, W, 2), pixels to go right and down.
        reliable: bool (H, W), where flow forth and back agree and the grey levels are the same.
    """

    flow: np.ndarray
    reliable: np.ndarray


def to_grey(image: np.ndarray) -> np.ndarray:
    """What motion is found in: uint8 (H, W, 3) RGB -> uint8 (H, W)."""
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def can_find_motion(height: int, width: int) -> bool:
    """Whether OpenCV finds motion in frames of this size. In others it ends the process.

    From 32 px on, any shape will do. Below, OpenCV halves frames as often as their width suggests,
    and not even a patch of 8 px may be left of a wide and flat one.
    """
    if max(height, width) > MAX_SIDE_PX or min(height, width) < 12:
        return False
    if min(height, width) >= 32:
        return True
    times_halved = max(0, int(np.log2(2 * width / (5 * PATCH_PX))))
    return height >> times_halved >= PATCH_PX


def find_motion(frame: np.ndarray, other: np.ndarray) -> Motion | None:
    """Where each pixel of a frame is in another one, by dense inverse search (Kroeger et al., "Fast
    Optical Flow using Dense Inverse Search", ECCV 2016).

    Forth and back agree within 1.5 px and a twentieth of the way (after Sundaram et al., "Dense
    Point Trajectories by GPU-Accelerated Large Displacement Optical Flow", ECCV 2010).

    Args:
        frame, other: uint8 (H, W), grey.

    Returns: the motion; None for frames of a shape in which it cannot be found.
    """
    if not can_find_motion(*frame.shape):
        return None
    frame, other = np.ascontiguousarray(frame), np.ascontiguousarray(other)  # OpenCV asks for it
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    flow = search.calc(frame, other, None)
    back = _sample_at(search.calc(other, frame, None), flow)
    closed = np.abs(flow + back).sum(-1) < 1.5 + 0.05 * np.abs(flow).sum(-1)
    soft, soft_other = (
        cv2.GaussianBlur(x.astype("float32"), (0, 0), BLUR_PX) for x in (frame, other)
    )
    alike = np.abs(soft - _sample_at(soft_other, flow)) < MAX_GREY_DIFFERENCE
    return Motion(flow, closed & alike)


def reliable_share(motion: Motion | None, region: np.ndarray) -> float:
    """The share of a region, bool (H, W), in which the flow is reliable; 1 where nothing is known
    of the motion, or the region is empty."""
    if motion is None or not region.any():
        return 1.0
    return float(motion.reliable[region].mean())


def warp_mask(mask: np.ndarray, motion: Motion | None) -> np.ndarray:
    """Moves a mask of the other frame to the one that the flow starts from.

    Args:
        mask: bool (H, W).
        motion: None leaves the mask where it is.

    Returns: bool (H, W); what comes from outside the picture is empty.
    """
    if motion is None or not mask.any():
        return mask
    return warp_values(mask.astype("float32"), motion) > 0.5


def warp_labels(labels: np.ndarray, motion: Motion | None) -> np.ndarray:
    """Moves numbers of pixels of the other frame, uint8 (H, W), as `warp_mask` moves a mask."""
    return labels if motion is None else _sample_at(labels, motion.flow, cv2.INTER_NEAREST)


def warp_values(values: np.ndarray, motion: Motion) -> np.ndarray:
    """Moves numbers that are interpolated, float32 (H, W), as `warp_mask` moves a mask."""
    return _sample_at(values, motion.flow)


@lru_cache(maxsize=4)  # few sizes in each frame, and each of them is asked for several times
def _grid(height, width):
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y], axis=-1).astype("float32")


def _sample_at(values, flow, interpolation=cv2.INTER_LINEAR):
    return cv2.remap(values, _grid(*flow.shape[:2]) + flow, None, interpolation)
