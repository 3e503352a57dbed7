"""Which animals are mostly hidden, as far as their masks tell."""

from collections.abc import Mapping

import cv2
import numpy as np

from utils.stage3.sharing import Sharing

BESIDE_PX = 4  # from outline to outline; between two animals there may be void


def hidden_animals(masks: Mapping[int, np.ndarray], sharing: Sharing) -> list[int]:
    """The animals of which only a sliver is in sight, beside what hides the rest: a larger animal,
    or the frame's edge. A young animal beside its mother may be just as small, but most of its
    outline is free.

    Args:
        masks: number -> bool (h, w) at working size; empty ones are none.
        sharing: says how small a sliver is, and how much of its outline is not free.

    Returns: their numbers, in the order of the masks.
    """
    areas = {number: np.count_nonzero(mask) for number, mask in masks.items()}
    largest = max(areas.values(), default=0)
    hidden = []
    for number, mask in masks.items():
        if not 0 < areas[number] < sharing.sliver * largest:
            continue
        others = {n: other for n, other in masks.items() if n != number}
        around = _around(mask)
        beside = [areas[n] for n, other in others.items() if (around & other).any()]
        is_sliver = areas[number] < sharing.sliver * max(beside, default=largest)
        hides = np.any([np.zeros_like(mask), *others.values()], axis=0)
        if is_sliver and _share_beside(mask, hides) > sharing.not_free:
            hidden.append(number)
    return hidden


def _share_beside(mask: np.ndarray, hides: np.ndarray) -> float:
    """Share of a mask's outline that lies beside another mask or the frame's edge."""
    framed = cv2.copyMakeBorder(hides.astype("uint8"), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    beside = _around(framed > 0)[1:-1, 1:-1]
    inside = cv2.erode(mask.astype("uint8"), np.ones((3, 3), "uint8"), borderValue=0) > 0
    return float(beside[mask & ~inside].mean())


def _around(mask: np.ndarray) -> np.ndarray:
    square = np.ones((2 * BESIDE_PX + 1,) * 2, "uint8")
    return cv2.dilate(mask.astype("uint8"), square) > 0
