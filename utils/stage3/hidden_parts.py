"""What was hidden of an animal and comes out again.

It may come out on the other side of a trunk, out of reach of the animal's mask in the frame before.
So a region that is neither near the animal nor known to be another one is a part of it if it stays
in sight and is no larger than what is missing of the animal, also in what was background in the
label; and so is a piece there that reaches out of the animal, such as a foot that was behind a
stone.
"""

from collections import deque

import cv2
import numpy as np

from utils.media.regions import distance_to
from utils.stage3.motion import Motion, warp_labels, warp_mask

MEMORY = 60  # frames that say how large the animal was
MAY_MOVE_PX = 4  # a region in doubt from frame to frame, beyond what the flow says
MIN_CARRIED = 0.25  # share of a region: with less of it the animal before, it may not be the animal


class HiddenParts:
    """The parts of one animal that were hidden; per frame, in this order: `move`, `look`, `decide`
    and `remember`.

    Args:
        patience: frames in a row that a region has to be in sight before it is a part; 0: none is.
        animal: bool (H, W), in the frame to start from.

    Attributes:
        limbs: bool (H, W), parts of the mask in known background.
    """

    def __init__(self, patience: int, animal: np.ndarray):
        self.patience = patience
        self.limbs = np.zeros_like(animal)
        self._returned = np.zeros_like(animal)
        self._limbs_in_sight = self.limbs  # of this frame, in doubt or not
        self._has_limbs = False  # in the frame before
        self._missing_since = 0  # the most pixels that were missing since then
        self._areas = deque([np.count_nonzero(animal)], MEMORY)
        self._frames_in_doubt = np.zeros(animal.shape, "uint8")  # in a row, of what may be a part

    @property
    def in_doubt(self) -> np.ndarray:
        """What may be a part of the animal, bool (H, W)."""
        return self._frames_in_doubt > 0

    def move(self, motion: Motion | None) -> None:
        """Carries all that is known on to the next frame.

        Args:
            motion: from that frame to the last one.
        """
        self._has_limbs = bool(self.limbs.any())
        self.limbs = warp_mask(self.limbs, motion)
        self._returned = warp_mask(self._returned, motion)
        self._frames_in_doubt = warp_labels(self._frames_in_doubt, motion)

    def look(
        self,
        found: np.ndarray,
        in_background: np.ndarray,
        animal: np.ndarray,
        to_animal: np.ndarray,
        others: np.ndarray,
        reach: float,
    ) -> tuple[np.ndarray, np.ndarray]:
        """What may be a part of the animal, of all that was found in known background.

        Args:
            found, in_background, others: bool (H, W), what the network found, where that is known
                background, and what is known to be something else.
            animal: bool (H, W), carried on.
            to_animal: float32 (H, W), pixels to it.
            reach: pixels.

        Returns: the parts that have come back, as `decide` found in an earlier frame, and what is
            in doubt, bool (H, W) each.
        """
        self._limbs_in_sight = nothing = np.zeros_like(found)
        if not (self.patience and in_background.any()):
            return nothing, nothing
        count, regions = cv2.connectedComponents(found.astype("uint8"), connectivity=8)
        of_animal = np.bincount(regions[found & animal], minlength=count)
        self._limbs_in_sight = self._find_limbs(regions, of_animal, in_background, others)
        areas, of_background, of_returned, of_others = (
            np.bincount(regions[found & mask], minlength=count)
            for mask in (found, in_background, self._returned, others)
        )
        seen = areas * (of_animal > 0)
        missing = max(self._areas) - (seen.sum() - seen)  # without the region itself
        is_part = (of_background > 0) & (of_others == 0) & (areas <= missing)
        is_part[[0, seen.argmax()]] = False  # the background, and most of the animal
        if not is_part.any():
            return nothing, self._limbs_in_sight
        nearest, nearest_other = np.full((2, count), np.inf, "float32")
        np.minimum.at(nearest, regions[found], to_animal[found])
        np.minimum.at(nearest_other, regions[found], distance_to(others)[found])
        is_part &= (nearest <= reach) & (nearest <= nearest_other)
        # Where a leg has come apart, most of it was the animal before.
        in_doubt = is_part & (of_returned == 0) & (of_animal < MIN_CARRIED * areas)
        returned = is_part & (of_returned > 0)
        self._returned = self._returned | returned[regions]
        return returned[regions], in_doubt[regions] | self._limbs_in_sight

    def _find_limbs(self, regions, of_animal, in_background, others):
        """Pieces of the known background that the animal's own region reaches into. Each is no
        larger than what is missing of the animal, or has been missing since the first of them was
        accepted, and touches nothing that is known to be something else.

        Args:
            regions: int32 (H, W), the connected regions of what was found.
            of_animal: (N,), how many pixels of each are the animal, carried on.
            in_background, others: as of `look`.

        Returns: bool (H, W).
        """
        # In the label's own frame, a pass's first, nothing is hidden.
        if len(self._areas) == 1 or not of_animal.any():
            return np.zeros_like(in_background)
        reaching = in_background & (regions == of_animal.argmax())
        seen = (of_animal > 0)[regions] & ~reaching
        missing = max(self._areas) - np.count_nonzero(seen)
        # An animal that comes nearer outgrows what it was.
        self._missing_since = max(missing, self._missing_since if self._has_limbs else 0)
        count, pieces = cv2.connectedComponents(reaching.astype("uint8"), connectivity=8)
        touched = cv2.dilate(others.astype("uint8"), np.ones((3, 3), "uint8")) > 0
        is_limb = np.bincount(pieces.ravel(), minlength=count) <= self._missing_since
        is_limb[pieces[touched]] = False
        is_limb[0] = False  # what is no piece
        return is_limb[pieces]

    def decide(self, in_doubt: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Which regions in doubt are a part of the animal, bool (H, W).

        Args:
            in_doubt: bool (H, W), what is neither in the mask nor something else.
            mask: bool (H, W), the animal without them.
        """
        counted, self._frames_in_doubt = self._frames_in_doubt, np.zeros(mask.shape, "uint8")
        parts = np.zeros_like(mask)
        if self.patience and in_doubt.any() and mask.any():
            counted = cv2.dilate(counted, np.ones((2 * MAY_MOVE_PX + 1,) * 2))
            count, regions = cv2.connectedComponents(in_doubt.astype("uint8"), connectivity=8)
            frames = np.zeros(count, "uint8")
            np.maximum.at(frames, regions[in_doubt], counted[in_doubt])
            frames = np.minimum(frames + 1, self.patience)
            missing = max(self._areas) - np.count_nonzero(mask)
            if self._has_limbs:
                missing = max(missing, self._missing_since)
            areas = np.bincount(regions.ravel(), minlength=count)
            areas[0] = frames[0] = 0  # what is not in doubt
            # All of them together: those that are longest in sight first, then the smallest.
            order = np.lexsort((areas, -frames.astype(int)))
            frames[order[np.cumsum(areas[order]) > missing]] = 0
            self._frames_in_doubt = frames[regions]
            parts = self._frames_in_doubt >= self.patience
        self._returned = (self._returned | parts) & (mask | parts)
        self.limbs = parts & self._limbs_in_sight
        return parts

    def remember(self, mask: np.ndarray) -> None:
        """Learns from the animal's whole mask, bool (H, W), how large it was."""
        if mask.any():
            area, rest = np.count_nonzero(mask), np.count_nonzero(mask & ~self.limbs)
            # Its limbs do not raise what the animal may have.
            self._areas.append(min(area, max(*self._areas, rest)))
        else:
            self.limbs = np.zeros_like(mask)

    def take_over(self, animal: np.ndarray) -> None:
        """The last mask was another one: `animal`, bool (H, W)."""
        self.limbs = np.zeros_like(animal)
        self._areas[-1] = np.count_nonzero(animal)

    def forget_areas(self) -> None:
        """Knows only from the last frame how large the animal was."""
        self._areas = deque([self._areas[-1]], MEMORY)
