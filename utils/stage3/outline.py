"""Redraws an animal's outline along the edges of the image, after the animal has been followed and
before animals are merged."""

import cv2
import numpy as np

from utils.media.images import resize_labels
from utils.media.regions import rectangle_around, touching
from utils.stage3.dense_crf import dense_crf
from utils.stage3.guided_filter import guided_filter
from utils.stage3.partial_run import to_bytes
from utils.stage3.settings import DenseCrf, GuidedFilter

REFERENCE_LINES = 480  # distances in the settings are pixels at this size

OutlineFilter = DenseCrf | GuidedFilter


def redraw_outline(
    probability: np.ndarray,
    region: np.ndarray,
    image: np.ndarray,
    settings: OutlineFilter,
    threshold: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Filters the probability around the animal, and lets its region grow or shrink with it.

    Args:
        probability: uint8 (h, w) for 0..1.
        region: bool (H, W) of any size, the pixels that continue the animal.
        image: uint8 (h, w, 3), RGB.
        settings: which filter, and its parameters.
        threshold: probability above which a pixel is animal.

    Returns: probability, uint8 (h, w), and region, bool (h, w).
    """
    region = region_at(region, *probability.shape)
    if not region.any():
        return probability, region
    scale = min(probability.shape) / REFERENCE_LINES
    box = rectangle_around(region, round(settings.reach_px * scale)).slices
    redrawn = probability.copy()
    redrawn[box] = to_bytes(
        _filter(probability[box].astype("float32") / 255, image[box], settings, scale)
    )
    return redrawn, regrow(redrawn, probability, region, threshold)


def regrow(
    redrawn: np.ndarray, probability: np.ndarray, region: np.ndarray, threshold: float
) -> np.ndarray:
    """The region of a probability that has been changed.

    What the network found but the temporal filter dropped stays out, as far as it may be connected
    now: it is something else.

    Args:
        redrawn: uint8 (h, w) for 0..1, after the change.
        probability: the same before.
        region: bool (H, W) of any size, the pixels that continued the animal before.
        threshold: probability above which a pixel is animal.

    Returns: bool (h, w).
    """
    region = region_at(region, *probability.shape)
    dropped = (probability > threshold * 255) & ~region
    return touching((redrawn > threshold * 255) & ~dropped, region)


def region_at(region: np.ndarray, height: int, width: int) -> np.ndarray:
    """A region at another size, bool (height, width); a pixel wider there, because the outline
    comes from the finer probability and the region only says which parts count."""
    if region.shape == (height, width):
        return region
    region = cv2.dilate(region.astype("uint8"), np.ones((3, 3), "uint8"))
    return resize_labels(region, height, width).astype(bool)


def _filter(
    probability: np.ndarray, image: np.ndarray, settings: OutlineFilter, scale: float
) -> np.ndarray:
    if isinstance(settings, DenseCrf):
        return dense_crf(probability, image, settings, scale)
    radius = max(1, round(settings.radius_px * scale))
    return np.clip(guided_filter(probability, image, radius, settings.epsilon), 0, 1)
