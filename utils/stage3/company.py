"""Others of the animal's kind that the labelled frame shows as well, with a label or without.

To fine-tuning they are background, although they look like the animal. So the fine-tuned network
may lose the animal itself, or take slices of the others for it when they come near. The network
before fine-tuning does not know which animal is meant, but finds all of them. Where a labelled
frame has such company, both are asked: the kind first, then which one it is.
"""

from collections.abc import Collection

import cv2
import numpy as np

from models.backbone import BACKBONE
from utils.media.images import resize_image
from utils.media.labels import VOID
from utils.media.regions import distance_to
from utils.stage3.settings import Company

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
    if not knows_kind(found, mask):
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


def knows_kind(found: np.ndarray, mask: np.ndarray) -> bool:
    """Whether a network knows what an animal is that has not been fine-tuned on it.

    Args:
        found: bool (h, w), what the network finds.
        mask: bool (h, w), the animal.
    """
    recall = np.count_nonzero(found & mask) / max(np.count_nonzero(mask), 1)
    return bool(recall >= MIN_RECALL and found.mean() <= MAX_COVERED)


def mean_feature(features: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The mean of a coarse map, float32 (h', w', d), over a mask, bool (h, w): float32 (d,).

    Cell j of the map is centred at pixel j * stride of the frame (see `models.PadToGrid`).
    """
    # The map is of the padded frame, whose sides may be almost twice those of a small frame.
    padded = BACKBONE.grid_px * np.ceil((max(mask.shape) - 1) / BACKBONE.grid_px)
    stride = 2 ** round(np.log2(padded / (max(features.shape[:2]) - 1)))
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
    if not misses(found & region, (kind > threshold * 255) & region, min_found):
        return probability
    kind = resize_image(np.where(region, kind, 0).astype("uint8"), *probability.shape)
    return np.maximum(probability, kind)


def misses(found: np.ndarray, expected: np.ndarray, min_found: float) -> bool:
    """Whether less than a share of what was expected is found; bool (h, w), the first a part of the
    second or nearly so."""
    return np.count_nonzero(found) < min_found * np.count_nonzero(expected)


def is_followed(frames: Collection[int], settings: Company) -> bool:
    """Whether these frames are so near to each other that the company can be followed in them."""
    gaps = np.diff(sorted(frames))
    return bool(len(gaps)) and float(np.median(gaps)) <= settings.max_gap
