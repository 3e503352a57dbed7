"""Where along the true outline a mask is wrong: lost J by distance, the offset of the outline, and
what a mask of a coarser grid could reach at best."""

from dataclasses import dataclass

import cv2
import numpy as np

from utils.evaluation.measures import region_similarity

DISTANCES = (1, 2, 3, 5)  # pixels from the true outline
FAR = 3  # pixels; errors farther off are another matter than the outline
MAX_OFFSET = 5  # pixels; farther errors say nothing about how the outline is misplaced


@dataclass(frozen=True)
class OutlineErrors:
    """The errors of one mask.

    Attributes:
        j: intersection over union, 0..1.
        forgiven: J if errors within each of `DISTANCES` of the true outline did not count.
        offset: mean displacement of the outline, pixels, outward positive.
        false, missed: area beyond `FAR` pixels, as a share of the true area.
    """

    j: float
    forgiven: tuple[float, ...]
    offset: float
    false: float
    missed: float


def outline_errors(mask: np.ndarray, truth: np.ndarray, void: np.ndarray) -> OutlineErrors:
    """Sorts the wrong pixels of a mask by their distance from the true outline.

    A pixel that touches the outline is 1 pixel away from it.

    Args:
        mask, truth: bool (H, W), the animal.
        void: bool (H, W), pixels that are not scored.

    Raises:
        ValueError: if the truth is empty.
    """
    area = np.count_nonzero(truth & ~void)
    if not area:
        raise ValueError("no pixel of the animal is annotated")
    distance = distance_from_outline(truth)
    false, missed = mask & ~truth & ~void, truth & ~mask & ~void

    def count(errors, beyond):
        return np.count_nonzero(errors & (distance > beyond))

    forgiven = tuple((area - count(missed, d)) / (area + count(false, d)) for d in DISTANCES)
    outline_length = np.count_nonzero(truth & ~void & (distance <= 1))
    near = distance <= MAX_OFFSET
    moved = np.count_nonzero(false & near) - np.count_nonzero(missed & near)
    return OutlineErrors(
        j=region_similarity(mask, truth, void),
        forgiven=forgiven,
        offset=moved / max(1, outline_length),
        false=count(false, FAR) / area,
        missed=count(missed, FAR) / area,
    )


def distance_from_outline(truth: np.ndarray) -> np.ndarray:
    """Distance of each pixel's centre to the nearest pixel on the other side of the outline.

    Args:
        truth: bool (H, W).

    Returns: float32 (H, W), pixels, at least 1; infinite where there is no outline.
    """
    if truth.all() or not truth.any():
        return np.full(truth.shape, np.inf, "float32")
    sides = truth.astype("uint8")
    inside = cv2.distanceTransform(sides, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return inside + cv2.distanceTransform(1 - sides, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def stride_ceiling(truth: np.ndarray, void: np.ndarray, stride: int) -> float:
    """J of the true mask itself after it was reduced to a coarser grid and enlarged again.

    Args:
        truth: bool (H, W).
        void: bool (H, W), pixels that are not scored.
        stride: pixels per cell of the coarse grid.
    """
    height, width = truth.shape
    size = (max(1, round(width / stride)), max(1, round(height / stride)))
    coarse = cv2.resize(truth.astype("float32"), size, interpolation=cv2.INTER_AREA)
    fine = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    return region_similarity(fine > 0.5, truth, void)
