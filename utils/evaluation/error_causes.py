"""Why a mask is wrong: its wrong pixels by measurable cause.

A wrong pixel near what it should belong to is a matter of the outline: a false one near the animal,
a missed one near what was found of it. The causes of all others are named by their shape.
"""

import cv2
import numpy as np

from utils.evaluation.outline_errors import FAR
from utils.media.regions import touching

CAUSES = (
    "within 1 px",
    f"2 to {FAR} px",
    "false, connected",
    "false piece",
    "missed, thin",
    "missed, larger",
    "lost",
)
NEAR, CLOSE, CONNECTED, PIECE, THIN, LARGER, LOST = range(1, len(CAUSES) + 1)
THIN_PX = 8  # radius at 480 lines of the opening that removes legs, tails and horns
LOST_SHARE = 0.1  # of the animal; where less of it is found, it is lost


def sort_errors(mask: np.ndarray, truth: np.ndarray, void: np.ndarray) -> np.ndarray:
    """Gives each wrong pixel its cause.

    - within 1 px, 2 to 3 px: so far from the nearest pixel of the animal, if it is false, or from
      the nearest one that was found, if it is missed.
    - false, connected: farther away, in a region that covers a part of the animal.
    - false piece: farther away, in a region of its own.
    - missed, thin: farther away, in a part that an opening with a radius of `THIN_PX` removes.
    - missed, larger: farther away, in another part.
    - lost: every wrong pixel, where hardly any of the animal is found, or none is to be seen.

    Args:
        mask, truth: bool (H, W), the animal.
        void: bool (H, W), pixels that are not scored.

    Returns: uint8 (H, W), 0 where the mask is right or not scored, otherwise one more than the
        index in `CAUSES`.
    """
    truth = truth & ~void
    found, false, missed = mask & truth, mask & ~truth & ~void, truth & ~mask
    causes = np.zeros(mask.shape, "uint8")
    if np.count_nonzero(found) <= LOST_SHARE * np.count_nonzero(truth):
        causes[false | missed] = LOST
        return causes
    causes[false] = PIECE
    causes[false & touching(mask, found)] = CONNECTED
    causes[missed] = LARGER
    causes[missed & thin_parts(truth)] = THIN
    # The animal may end anywhere in what is void.
    for wrong, right in ((false, truth | void), (missed, found)):
        distance = cv2.distanceTransform(
            1 - right.astype("uint8"), cv2.DIST_L2, cv2.DIST_MASK_PRECISE
        )
        causes[wrong & (distance <= FAR)] = CLOSE
        causes[wrong & (distance <= 1)] = NEAR
    return causes


def lost_j(causes: np.ndarray, mask: np.ndarray, truth: np.ndarray, void: np.ndarray) -> np.ndarray:
    """How much J is lost by each cause.

    Args:
        causes: of `sort_errors`.
        mask, truth, void: as there.

    Returns: float64 (len(CAUSES),), whose sum is 1 - J.
    """
    union = np.count_nonzero((mask | truth) & ~void)
    counts = np.bincount(causes.ravel(), minlength=len(CAUSES) + 1)[1:]
    return counts / max(1, union)


def thin_parts(truth: np.ndarray) -> np.ndarray:
    """The parts of an animal that are thin, such as legs, tails and horns; corners are not.

    Args:
        truth: bool (H, W), the animal.

    Returns: bool (H, W).
    """
    radius = max(1, round(THIN_PX * min(truth.shape) / 480))
    border = 2 * radius
    # Beyond the frame the animal goes on as it is at its edge: there it is not thin.
    padded = cv2.copyMakeBorder(
        truth.astype("uint8"), border, border, border, border, cv2.BORDER_REPLICATE
    )
    opened = cv2.morphologyEx(padded, cv2.MORPH_OPEN, _disk(radius))
    # The opening rounds off corners by less than half a radius.
    thick = cv2.dilate(opened, _disk(-(-radius // 2)))
    return truth & ~thick[border:-border, border:-border].astype(bool)


def _disk(radius: int) -> np.ndarray:
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    return (x * x + y * y <= radius * radius).astype("uint8")
