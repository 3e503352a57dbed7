"""Which labelled animals are mostly hidden in their label."""

import cv2
import numpy as np

from utils.media.labels import VOID
from utils.stage3.sharing import Sharing

BESIDE_PX = 4  # from outline to outline; between two animals there may be void


def hidden_animals(label: np.ndarray, sharing: Sharing) -> list[int]:
    """The animals of which a label shows but a sliver, beside what hides the rest: another animal,
    or the frame's edge. A young animal beside its mother is as small, but most of its outline is
    free.

    Args:
        label: uint8 (h, w), 0 background, 1..254 animals, 255 void; at working size.
        sharing: says how small a sliver is, and how much of its outline is not free.

    Returns: their numbers, in increasing order.
    """
    numbers = [int(number) for number in np.unique(label) if number not in (0, VOID)]
    masks = [label == number for number in numbers]
    largest = max(map(np.count_nonzero, masks), default=0)
    return [
        number
        for number, mask in zip(numbers, masks, strict=True)
        if np.count_nonzero(mask) < sharing.sliver * largest
        and _share_not_free(mask, label) > sharing.not_free
    ]


def _share_not_free(mask: np.ndarray, label: np.ndarray) -> float:
    """Share of an animal's outline that lies beside other animals or the frame's edge."""
    square = np.ones((2 * BESIDE_PX + 1,) * 2, "uint8")
    others = (label > 0) & (label != VOID) & ~mask
    framed = cv2.copyMakeBorder(others.astype("uint8"), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    beside = cv2.dilate(framed, square)[1:-1, 1:-1] > 0
    inside = cv2.erode(mask.astype("uint8"), np.ones((3, 3), "uint8"), borderValue=0) > 0
    return float(beside[mask & ~inside].mean())
