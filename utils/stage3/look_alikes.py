"""Animals of the labelled one's kind in a labelled frame that have no label themselves.

To call them background would teach the network that the same look is animal here and background
there, and its probabilities would wander between the two. Their pixels are void instead: the
network stays sure of the kind, and the temporal filter, which follows them as well, says which of
them is meant.
"""

import cv2
import numpy as np

from utils.media.labels import VOID
from utils.stage3.settings import LookAlikes


def find_look_alikes(
    probability: np.ndarray, label: np.ndarray, animal: int, settings: LookAlikes
) -> np.ndarray:
    """Finds unlabelled animals in a labelled frame.

    Args:
        probability: (H, W), 0..1, of the network before it is fine-tuned.
        label: uint8 (H, W), 0 background, 1..254 animals, 255 void.
        animal: number of the animal that is to be learnt.
        settings: see `LookAlikes`.

    Returns: bool (H, W); pieces that are large enough, without what is next to a label.
    """
    margin = round(settings.margin * np.hypot(*label.shape))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * margin + 1,) * 2)
    near_label = cv2.dilate((label != 0).astype("uint8"), kernel) > 0
    found = (probability > settings.threshold) & ~near_label
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(found.astype("uint8"))
    enough = stats[:, cv2.CC_STAT_AREA] >= settings.min_area * np.count_nonzero(label == animal)
    enough[0] = False
    # Their outlines, of which the network is less sure, are void as well.
    return cv2.dilate(enough[pieces].astype("uint8"), kernel).astype(bool) & (label == 0)


def target_of_label(label: np.ndarray, animal: int, look_alikes: np.ndarray) -> np.ndarray:
    """Training target of a labelled frame, uint8 (H, W): 1 the animal, 0 not, 255 void."""
    target = np.where(label == VOID, VOID, label == animal).astype("uint8")
    target[look_alikes] = VOID
    return target
