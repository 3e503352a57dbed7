"""The animal among others of its kind, frame by frame; see `utils.stage3.company`."""

import cv2
import numpy as np

from utils.media.regions import touching
from utils.stage3.company import misses
from utils.stage3.motion import Motion, warp_mask
from utils.stage3.settings import Company, Refinement
from utils.stage3.temporal_filter import TemporalFilter, distance_to

AGREE = 0.5  # IoU of the animal in both filters, from which on they follow the same one
MAX_FOUND = 0.3  # share of a slice of another animal that the fine-tuned network may find


class CompanyFilter:
    """A `TemporalFilter` for an animal among others of its kind.

    One filter follows the animal in what the fine-tuned network finds, as everywhere. Another one
    follows the animal and its company in all that the two networks find. As long as the fine-tuned
    network finds the animal and hardly any of its company, the first one is right: it does not
    give thin legs in front of another animal to that one. Else it is the second one.

    Where animals pass each other fast, the flow between them is wrong. So it is no evidence against
    the fine-tuned network where it is not reliable; and once the second filter has come to a slice
    of another animal, the animal is where the fine-tuned network finds a whole one.

    Args:
        refinement: see `Refinement`.
        settings: see `Company`.
        label, animal: as of `TemporalFilter`.
        company: bool (h, w), the others in the labelled frame.

    Attributes:
        found: bool (h, w), what the two networks found in the last frame.
        last_mask, last_others: bool (h, w), the animal when it was last seen, and what is something
            else.
        tells_apart: whether the fine-tuned network did so in the last frame.
    """

    def __init__(
        self,
        refinement: Refinement,
        settings: Company,
        label: np.ndarray,
        animal: int,
        company: np.ndarray,
    ):
        self.refinement = refinement
        self.settings = settings
        self._by_itself = TemporalFilter(refinement, label, animal)
        self._in_company = TemporalFilter(refinement, label, animal)
        self._in_company.last_others = self._in_company.last_others | company
        self.tells_apart = False

    @property
    def found(self) -> np.ndarray:
        return self._in_company.found

    @property
    def last_mask(self) -> np.ndarray:
        return self._in_company.last_mask

    @property
    def last_others(self) -> np.ndarray:
        return self._in_company.last_others

    def __call__(
        self,
        probability: np.ndarray,
        motion: Motion | None,
        distance_frames: int,
        kind: np.ndarray,
    ) -> np.ndarray:
        """The animal in the next frame.

        Args:
            probability: uint8 (h, w), 0..255, of the fine-tuned network.
            motion, distance_frames: as of `TemporalFilter`.
            kind: uint8 (h, w), 0..255, of the network before fine-tuning.

        Returns: bool (h, w).
        """
        threshold, others = 255 * self.refinement.threshold, self.last_others
        tuned, kind_found = probability > threshold, kind > threshold
        by_itself = self._by_itself(probability, motion, distance_frames)
        region = self._in_company(probability, motion, distance_frames, kind)
        self.tells_apart = False
        if region.any():
            region = self._give_shared_pieces_away(region)
            reliable = np.ones_like(region) if motion is None else motion.reliable
            self.tells_apart = self._tells_apart(tuned, kind_found, by_itself, region, reliable)
        if self.tells_apart:
            self._in_company.take_over(by_itself | region, np.zeros_like(region))
            return by_itself
        if not region.any():
            # A lost animal is not looked for among those that are known to be others.
            self._in_company.last_others = touching(self.found, warp_mask(others, motion))
            tuned = tuned & ~self.last_others
        whole = self._find_whole(tuned, region)
        if whole is not None:
            self.settle(whole)
            return whole
        if region.any():
            self._by_itself.take_over(region, self.last_others & self.found)
        return region

    def settle(self, animal: np.ndarray) -> None:
        """As of `TemporalFilter`."""
        self._by_itself.settle(animal)
        self._in_company.settle(animal)

    def expect(self, motion: Motion | None, *, with_others: bool = False) -> np.ndarray | None:
        """As of `TemporalFilter`."""
        return self._in_company.expect(motion, with_others=with_others)

    def _give_shared_pieces_away(self, region: np.ndarray) -> np.ndarray:
        """Only the piece with most of the animal stays divided; any other piece of which a fair
        share belongs to others is given to them whole. Returns what is left of the animal."""
        others = self.last_others & self.found
        count, pieces = cv2.connectedComponents((region | others).astype("uint8"), connectivity=8)
        of_animal, of_others = (
            np.bincount(pieces[mask], minlength=count) for mask in (region, others)
        )
        share = self.settings.min_share_of_others
        given = (of_animal > 0) & (of_others >= share * (of_animal + of_others))
        given[np.argmax(of_animal)] = False
        if not given.any():
            return region
        region = region & ~given[pieces]
        self._in_company.take_over(region, others | given[pieces])
        return region

    def _tells_apart(self, tuned, kind, by_itself, region, reliable) -> bool:
        """Whether the fine-tuned network finds the animal, and hardly any of the company near
        it."""
        if not by_itself.any():
            return False
        reach = self.refinement.radius * np.hypot(*region.shape)
        near = self.last_others & self.found & reliable & (distance_to(region) <= reach)
        mistaken = np.count_nonzero(tuned & near)
        if mistaken > self.settings.max_mistaken * np.count_nonzero(near):
            return False
        if misses(tuned & region, kind & region, self.settings.min_found):
            return False
        ours, theirs = region & tuned & reliable, by_itself & reliable
        return np.count_nonzero(theirs & ours) >= AGREE * np.count_nonzero(theirs | ours)

    def _find_whole(self, tuned: np.ndarray, region: np.ndarray) -> np.ndarray | None:
        """The piece that the fine-tuned network finds as a whole, while the region is a slice of
        another one, of which it finds next to nothing; None if there is none, or several."""
        if np.count_nonzero(tuned & region) > MAX_FOUND * np.count_nonzero(region):
            return None
        count, pieces = cv2.connectedComponents(self.found.astype("uint8"), connectivity=8)
        areas, of_tuned, of_region = (
            np.bincount(pieces[mask & self.found], minlength=count)
            for mask in (self.found, tuned, region)
        )
        most = int(np.argmax(of_region))
        if of_region[most] > self.settings.max_slice * areas[most]:
            return None
        low, high = np.median(self._in_company.areas) * np.array(self.settings.area)
        whole = (of_tuned >= self.settings.min_whole * areas) & (low <= areas) & (areas <= high)
        whole &= 2 * of_region < areas
        (numbers,) = np.nonzero(whole)
        return pieces == numbers[0] if len(numbers) == 1 else None
