"""What was found of an animal in a frame, and one mask from what was found of several."""

from dataclasses import dataclass

import numpy as np

from utils.media.images import resize_image, resize_labels
from utils.stage3.outline import region_at
from utils.stage3.temporal_filter import mask_confidence


@dataclass(frozen=True)
class AnimalInFrame:
    """What was found of one animal in one frame.

    Attributes:
        frame: index.
        probability: uint8 (h, w) for 0..1, at fine size (see `Pipeline`).
        region: bool (h, w), the pixels that continue the animal: at working size, or at fine size
            once it has been smoothed or redrawn.
    """

    frame: int
    probability: np.ndarray
    region: np.ndarray

    @property
    def region_at_fine_size(self) -> np.ndarray:
        return resize_labels(self.region.astype("uint8"), *self.probability.shape) > 0

    @property
    def confidence(self) -> float:
        return mask_confidence(resize_image(self.probability, *self.region.shape), self.region)


def without_others(found: AnimalInFrame, others: np.ndarray) -> AnimalInFrame:
    """What is left of an animal in a frame, once it is known what belongs to other ones.

    Args:
        found: of the animal.
        others: bool (H, W), at any size.
    """
    if not others.any():
        return found

    def left_of(values: np.ndarray) -> np.ndarray:
        return values * (resize_labels(others.astype("uint8"), *values.shape) == 0)

    return AnimalInFrame(found.frame, left_of(found.probability), left_of(found.region))


def merge_animals(
    candidates: list[AnimalInFrame], threshold: float, height: int, width: int
) -> np.ndarray:
    """One mask at the video's size from what was found of each animal.

    Args:
        candidates: per animal.
        threshold: probability above which a pixel is animal.
        height, width: of the mask.

    Returns: uint8 (height, width): 0, or 1..N, the place of the animal of the highest probability.
    """
    mask = np.zeros((height, width), "uint8")
    best = np.full((height, width), threshold * 255, "float32")
    for place, found in enumerate(candidates, start=1):
        probability = resize_image(found.probability.astype("float32"), height, width)
        wins = region_at(found.region, height, width) & (probability > best)
        mask[wins] = place
        best[wins] = probability[wins]
    return mask
