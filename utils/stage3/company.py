"""Others of the animal's kind that the labelled frame shows as well, with a label or without.

To fine-tuning they are background, although they look like the animal. So the fine-tuned network
may lose the animal itself, or take slices of the others for it when they come near. The network
before fine-tuning does not know which animal is meant, but finds all of them. Where a labelled
frame has such company, both are asked: the kind first, then which one it is.
"""

from collections.abc import Collection

import cv2
import keras
import numpy as np

from models.backbone import BACKBONE
from utils.media.images import resize_image
from utils.media.labels import VOID
from utils.stage3.motion import Motion
from utils.stage3.settings import Company, Refinement
from utils.stage3.temporal_filter import TemporalFilter, distance_to

AGREE = 0.8  # IoU of what the two networks say of the animal, from which on it is the same one


def find_company(
    model: keras.Model,
    image: np.ndarray,
    kind: np.ndarray,
    label: np.ndarray,
    animal: int,
    settings: Company,
) -> np.ndarray:
    """Which of the things in a labelled frame are others of the animal's kind.

    Args:
        model: of `models.build_model`, before fine-tuning.
        image: uint8 (h, w, 3) RGB, the labelled frame at working size.
        kind: uint8 (h, w), the probability that this network finds in it, 0..255.
        label: uint8 (h, w), 0 background, 1..254 animals, 255 void.
        animal: number of the animal whose company it is.
        settings: see `Company`.

    Returns: bool (h, w).
    """
    mask = label == animal
    company = np.zeros_like(mask)
    margin = settings.margin * np.hypot(*mask.shape)
    outside = (kind > settings.probability * 255) & (distance_to(mask | (label == VOID)) > margin)
    if settings.labelled_only:
        outside &= label > 0
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(
        outside.astype("uint8"), connectivity=8
    )
    smallest = settings.min_area * np.count_nonzero(mask)
    large = [n for n in range(1, count) if stats[n, cv2.CC_STAT_AREA] >= smallest]
    if not large:
        return company
    features = appearance(model, image)
    own = mean_feature(features, mask)
    for piece in large:
        if cosine(own, mean_feature(features, pieces == piece)) >= settings.likeness:
            company |= pieces == piece
    return company


def appearance(model: keras.Model, image: np.ndarray) -> np.ndarray:
    """What the backbone sees in an image, uint8 (H, W, 3): its last map, float32 (h, w, d)."""
    last = model.get_layer(BACKBONE.output_layers[BACKBONE.last_block])
    features = keras.Model(model.input, last.output)(image[None], training=False)
    return np.maximum(keras.ops.convert_to_numpy(features)[0].astype("float32"), 0)


def mean_feature(features: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The mean over a mask, bool (H, W), of a coarser map of features, float32 (h, w, d): (d,)."""
    shares = resize_image(mask.astype("float32"), *features.shape[:2])[..., None]
    return (features * shares).sum(axis=(0, 1)) / max(float(shares.sum()), 1e-6)


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    """The cosine of the angle between two vectors; 0 if one of them is nothing."""
    length = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / length if length else 0.0


def with_kind(
    probability: np.ndarray, kind: np.ndarray, region: np.ndarray, threshold: float, least: float
) -> np.ndarray:
    """An animal's probability where its company is: if fine-tuning has unlearnt the animal together
    with the others, what the network found before counts as well.

    Args:
        probability: uint8 (H, W) for 0..1, of the fine-tuned network, at fine size.
        kind: uint8 (h, w), of the network before fine-tuning.
        region: bool (h, w), the pixels that continue the animal.
        threshold: probability above which a pixel is animal.
        least: share of what the kind's probability says of the animal that the fine-tuned network
            finds, with less of which it has unlearnt it.
    """
    found = resize_image(probability, *region.shape) > threshold * 255
    if not _misses(found & region, (kind > threshold * 255) & region, least):
        return probability
    kind = resize_image(np.where(region, kind, 0).astype("uint8"), *probability.shape)
    return np.maximum(probability, kind)


def _misses(found: np.ndarray, expected: np.ndarray, least: float) -> bool:
    return np.count_nonzero(found) < least * np.count_nonzero(expected)


class CompanyFilter:
    """A `TemporalFilter` for an animal among others of its kind.

    One filter follows the animal in what the fine-tuned network finds, as everywhere. Another one
    follows the animal and its company in all that the two networks find. As long as the fine-tuned
    network finds the animal and not its company, the first one is right: it does not mistake thin
    legs in front of another animal for that animal's. Else it is the second one.

    Args:
        refinement: see `Refinement`.
        settings: see `Company`.
        label, animal: as of `TemporalFilter`.
        company: bool (h, w), the others in the labelled frame.

    Attributes:
        found: bool (h, w), what the two networks found in the last frame.
        last_others: bool (h, w), what of it is something else.
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

    @property
    def found(self) -> np.ndarray:
        return self._in_company.found

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
            kind: uint8 (h, w), of the network before fine-tuning.

        Returns: bool (h, w).
        """
        threshold = 255 * self.refinement.threshold
        by_itself = self._by_itself(probability, motion, distance_frames)
        region = self._in_company(probability, motion, distance_frames, kind)
        region = self._whole_pieces(region)
        if self._tells_apart(probability > threshold, kind > threshold, by_itself, region):
            self._in_company.take_over(by_itself | region, np.zeros_like(region))
            return by_itself
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

    def _whole_pieces(self, region: np.ndarray) -> np.ndarray:
        """What the two share stays divided in the piece that has most of the animal alone; other
        pieces of which a fair share is another's are that one's as a whole."""
        others = self.last_others & self.found
        count, pieces = cv2.connectedComponents((region | others).astype("uint8"), connectivity=8)
        of_animal, of_others = (
            np.bincount(pieces[mask], minlength=count) for mask in (region, others)
        )
        given = (of_animal > 0) & (of_others >= self.settings.share * (of_animal + of_others))
        given[np.argmax(of_animal)] = False
        if not given.any():
            return region
        region = region & ~given[pieces]
        self._in_company.take_over(region, others | given[pieces])
        return region

    def _tells_apart(self, found, kind, by_itself, region) -> bool:
        """Whether the fine-tuned network finds the animal, and nothing of the company near it."""
        if not by_itself.any() or not region.any():
            return False
        reach = self.refinement.radius * np.hypot(*region.shape)
        near = self.last_others & self.found & (distance_to(region) <= reach)
        mistaken = np.count_nonzero(found & near)
        if mistaken > self.settings.mistaken * np.count_nonzero(near):
            return False
        if _misses(found & region, kind & region, self.settings.least):
            return False
        ours = region & found
        return np.count_nonzero(by_itself & ours) >= AGREE * np.count_nonzero(by_itself | ours)


def is_followed(frames: Collection[int], settings: Company) -> bool:
    """Whether these frames are so near to each other that the company can be followed in them."""
    gaps = np.diff(sorted(frames))
    return bool(len(gaps)) and float(np.median(gaps)) <= settings.max_gap
