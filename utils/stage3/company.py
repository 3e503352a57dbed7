"""Others of the animal's kind that the labelled frame shows as well, with a label or without.

To fine-tuning they are background, although they look like the animal. So the fine-tuned network
may lose the animal itself, or take slices of the others for it when they come near. The network
before fine-tuning does not know which animal is meant, but finds all of them. Where a labelled
frame has such company, both are asked: the kind first, then which one it is.
"""

from collections.abc import Collection

import cv2
import numpy as np

from utils.media.images import resize_image
from utils.media.labels import VOID
from utils.media.regions import touching
from utils.stage3.motion import Motion, warp_mask
from utils.stage3.settings import Company, Refinement
from utils.stage3.temporal_filter import TemporalFilter, distance_to

AGREE = 0.8  # IoU of the animal in both filters, from which on they follow the same one
# The network before fine-tuning knows the kind if it finds so much of the animal, and not
# everything: an untrained head finds anything.
MIN_RECALL = 0.5
MAX_COVERED = 0.5


def find_company(
    kind: np.ndarray,
    features: np.ndarray,
    label: np.ndarray,
    animal: int,
    settings: Company,
) -> np.ndarray:
    """Which of the things in a labelled frame are others of the animal's kind.

    Args:
        kind: uint8 (h, w), the probability that the network finds before fine-tuning, 0..255.
        features: float32 (h', w', d), what its backbone sees, see `KindFrames`.
        label: uint8 (h, w), 0 background, 1..254 animals, 255 void.
        animal: number of the animal whose company it is.
        settings: see `Company`.

    Returns: bool (h, w).
    """
    mask, found = label == animal, kind > settings.probability * 255
    company = np.zeros_like(mask)
    if found.mean() > MAX_COVERED or found[mask].mean() < MIN_RECALL:
        return company
    margin = settings.margin * np.hypot(*mask.shape)
    outside = found & (distance_to(mask | (label == VOID)) > margin)
    if settings.labelled_only:
        outside &= label > 0
    count, pieces = cv2.connectedComponents(outside.astype("uint8"), connectivity=8)
    areas = np.bincount(pieces.ravel(), minlength=count)
    own = mean_feature(features, mask)
    for piece in range(1, count):
        if areas[piece] < settings.min_area * np.count_nonzero(mask):
            continue
        if cosine(own, mean_feature(features, pieces == piece)) >= settings.likeness:
            company |= pieces == piece
    return company


def mean_feature(features: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The mean of a coarse map, float32 (h', w', d), over a mask, bool (h, w): float32 (d,).

    Cell j of the map is centred at pixel j * stride of the frame (see `models.PadToGrid`).
    """
    stride = 2 ** round(np.log2(mask.shape[0] / features.shape[0]))
    shares = cv2.blur(mask.astype("float32"), (stride + 1, stride + 1))[::stride, ::stride]
    features = features[: shares.shape[0], : shares.shape[1]]
    shares = shares[: features.shape[0], : features.shape[1], None]
    return (features * shares).sum(axis=(0, 1)) / max(float(shares.sum()), 1e-6)


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    """The cosine of the angle between two vectors; 0 if one of them is zero."""
    length = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / length if length else 0.0


def add_where_missed(
    probability: np.ndarray,
    kind: np.ndarray,
    region: np.ndarray,
    threshold: float,
    min_found: float,
) -> np.ndarray:
    """An animal's probability where it has company.

    Args:
        probability: uint8 (H, W) for 0..1, of the fine-tuned network, at fine size.
        kind: uint8 (h, w) for 0..1, of the network before fine-tuning.
        region: bool (h, w), the pixels that continue the animal.
        threshold: probability above which a pixel is animal.
        min_found: see `Company`.

    Returns: uint8 (H, W): `probability`, or, if the fine-tuned network misses the animal, the
        larger one of both within the region.
    """
    found = resize_image(probability, *region.shape) > threshold * 255
    if not _misses(found & region, (kind > threshold * 255) & region, min_found):
        return probability
    kind = resize_image(np.where(region, kind, 0).astype("uint8"), *probability.shape)
    return np.maximum(probability, kind)


def _misses(found: np.ndarray, expected: np.ndarray, min_found: float) -> bool:
    return np.count_nonzero(found) < min_found * np.count_nonzero(expected)


class CompanyFilter:
    """A `TemporalFilter` for an animal among others of its kind.

    One filter follows the animal in what the fine-tuned network finds, as everywhere. Another one
    follows the animal and its company in all that the two networks find. As long as the fine-tuned
    network finds the animal and hardly any of its company, the first one is right: it does not
    give thin legs in front of another animal to that one. Else it is the second one.

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
        by_itself = self._by_itself(probability, motion, distance_frames)
        region = self._in_company(probability, motion, distance_frames, kind)
        self.tells_apart = False
        if not region.any():
            # A lost animal is not looked for among those that are known to be others.
            self._in_company.last_others = touching(self.found, warp_mask(others, motion))
            return region
        region = self._give_shared_pieces_away(region)
        self.tells_apart = self._tells_apart(
            probability > threshold, kind > threshold, by_itself, region
        )
        if self.tells_apart:
            self._in_company.take_over(by_itself | region, np.zeros_like(region))
            return by_itself
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

    def _tells_apart(self, found, kind, by_itself, region) -> bool:
        """Whether the fine-tuned network finds the animal, and hardly any of the company near
        it."""
        if not by_itself.any():
            return False
        reach = self.refinement.radius * np.hypot(*region.shape)
        near = self.last_others & self.found & (distance_to(region) <= reach)
        mistaken = np.count_nonzero(found & near)
        if mistaken > self.settings.max_mistaken * np.count_nonzero(near):
            return False
        if _misses(found & region, kind & region, self.settings.min_found):
            return False
        ours = region & found
        return np.count_nonzero(by_itself & ours) >= AGREE * np.count_nonzero(by_itself | ours)


def is_followed(frames: Collection[int], settings: Company) -> bool:
    """Whether these frames are so near to each other that the company can be followed in them."""
    gaps = np.diff(sorted(frames))
    return bool(len(gaps)) and float(np.median(gaps)) <= settings.max_gap
