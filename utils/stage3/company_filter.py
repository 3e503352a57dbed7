"""The animal among others of its kind, frame by frame; see `utils.stage3.company`."""

from collections import deque

import cv2
import numpy as np

from utils.media.regions import distance_to, touching
from utils.stage3.company import misses
from utils.stage3.hidden_parts import MEMORY
from utils.stage3.motion import Motion, reliable_share, warp_mask
from utils.stage3.settings import Company, Refinement
from utils.stage3.temporal_filter import TemporalFilter


class CompanyFilter:
    """A `TemporalFilter` for an animal among others of its kind.

    One filter follows the animal in what the fine-tuned network finds, as everywhere. Another one
    follows the animal and its company in all that the two networks find. As long as the fine-tuned
    network finds the animal and hardly any of its company, the first one is right: it does not
    give thin legs in front of another animal to that one. Else it is the second one.

    Where animals pass each other fast, the flow between them is wrong. So whether the fine-tuned
    network takes the company for the animal is counted where the flow is reliable. And if the
    second filter, along flow that mostly was not, has slid onto another animal and holds a slice of
    it, it returns to the animal where the fine-tuned network finds a whole one.

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
        self._in_company.known_others = self._in_company.last_others
        # Of the animal, while it is known; a slice of another one would not say how large it is.
        self._areas = deque([np.count_nonzero(label == animal)], MEMORY)
        # Share of the region with reliable flow, per frame since then.
        self._reliable_since: deque[float] = deque(maxlen=MEMORY)
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

    @property
    def is_in_doubt(self) -> bool:
        """Whether the track may have slid onto another animal, so that the animal is to be looked
        for everywhere."""
        since = self._reliable_since
        return bool(since) and float(np.median(since)) < self.settings.doubtful

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
        others = self.last_others  # in the frame before; the filters replace it
        threshold = 255 * self.refinement.threshold
        tuned_found, kind_found = probability > threshold, kind > threshold
        by_itself = self._by_itself(probability, motion, distance_frames)
        region = self._in_company(probability, motion, distance_frames, kind)
        self.tells_apart = False
        if not region.any():
            # A lost animal is not looked for among those that are known to be others.
            self._in_company.last_others = touching(self.found, warp_mask(others, motion))
            return region
        region = self._give_shared_pieces_away(region)
        reliable = np.ones_like(region) if motion is None else motion.reliable
        if self._tells_apart(tuned_found, kind_found, by_itself, region, reliable):
            self._in_company.take_over(by_itself | region, np.zeros_like(region))
            return self._know(by_itself)
        self._reliable_since.append(reliable_share(motion, region))
        if self.is_in_doubt:
            piece = self._find_whole(tuned_found & kind_found, region)
            if piece is not None:
                self._by_itself.settle(piece)
                self._in_company.settle(piece)
                return self._know(piece)
        self._by_itself.take_over(region, self.last_others & self.found)
        return region

    def settle(self, animal: np.ndarray) -> None:
        """As of `TemporalFilter`."""
        self._by_itself.settle(animal)
        self._in_company.settle(animal)
        self._areas.clear()
        self._areas.append(np.count_nonzero(animal))
        self._reliable_since.clear()

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

    def _know(self, animal: np.ndarray) -> np.ndarray:
        """Notes that the fine-tuned network has shown where the animal is."""
        self.tells_apart = True
        self._areas.append(np.count_nonzero(animal))
        self._reliable_since.clear()
        return animal

    def _tells_apart(self, tuned_found, kind_found, by_itself, region, reliable) -> bool:
        """Whether the fine-tuned network finds the animal, and hardly any of the company near
        it."""
        settings = self.settings
        if not by_itself.any() or misses(
            tuned_found & region, kind_found & region, settings.min_found
        ):
            return False
        reach = self.refinement.radius * np.hypot(*region.shape)
        near = self.last_others & self.found & (distance_to(region) <= reach)
        near = self._reliable_part(near, reliable)
        if np.count_nonzero(tuned_found & near) > settings.max_mistaken * np.count_nonzero(near):
            return False
        either = self._reliable_part(by_itself | region & tuned_found, reliable)
        both = by_itself & region & tuned_found & either
        return np.count_nonzero(both) >= settings.min_agreement * np.count_nonzero(either)

    def _reliable_part(self, mask: np.ndarray, reliable: np.ndarray) -> np.ndarray:
        """What of a mask has reliable flow; all of it, if that is too little to count."""
        part = mask & reliable
        is_enough = np.count_nonzero(part) >= self.settings.min_reliable * np.count_nonzero(mask)
        return part if is_enough else mask

    def _find_whole(self, found_by_both: np.ndarray, region: np.ndarray) -> np.ndarray | None:
        """The animal, if the region is a slice of another piece, of which the fine-tuned network
        finds little: the one piece of about the animal's size that both networks find as a whole.
        None if there is none, or several."""
        settings = self.settings
        if np.count_nonzero(found_by_both & region) > settings.max_found * np.count_nonzero(region):
            return None
        count, pieces = cv2.connectedComponents(self.found.astype("uint8"), connectivity=8)
        areas, of_both, of_region = (
            np.bincount(pieces[mask & self.found], minlength=count)
            for mask in (self.found, found_by_both, region)
        )
        if of_region.max() > settings.max_slice * areas[np.argmax(of_region)]:
            return None
        low, high = np.median(self._areas) * np.array(settings.area)
        is_whole = (of_both >= settings.min_whole * areas) & (low <= areas) & (areas <= high)
        (numbers,) = np.nonzero(is_whole & (of_region == 0))
        return pieces == numbers[0] if len(numbers) == 1 else None
