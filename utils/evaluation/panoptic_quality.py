"""Whether each animal of an image is found as one: panoptic quality of a single class.

After Kirillov et al., "Panoptic Segmentation" (CVPR 2019). A predicted animal and an annotated one
match if their IoU is above .5, which at most one pair of each can reach. SQ is the mean IoU of the
pairs, RQ the F1 score of finding them, and PQ = SQ * RQ.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

MATCHED_ABOVE = 0.5  # IoU
_VOID_FROM = 254  # 254: an animal, but it is not known which; 255: void


@dataclass(frozen=True)
class Matches:
    """What was found in one image.

    Attributes:
        ious: of the pairs that match, 0..1.
        num_found: predicted animals; those that lie mostly on void do not count, unless they match.
        num_animals: annotated animals.
    """

    ious: tuple[float, ...]
    num_found: int
    num_animals: int


@dataclass(frozen=True)
class PanopticQuality:
    """Of several images.

    Attributes:
        pq, sq, rq: 0..1; all 0 where nothing matches.
        num_matched: pairs that match.
        num_animals: annotated animals.
        num_false: predicted animals without a match.
        count_error: mean over the images of how far the number of animals is off, without sign.
        bias: the same with its sign: positive where there are too many.
    """

    pq: float
    sq: float
    rq: float
    num_matched: int
    num_animals: int
    num_false: int
    count_error: float
    bias: float


def match_animals(found: np.ndarray, animals: np.ndarray) -> Matches:
    """Matches the predicted animals of an image with the annotated ones.

    Args:
        found: int (H, W), 0 background, 1, 2, ... animals.
        animals: uint8 (H, W), 0 background, 1, 2, ... animals, 254 and 255 void, which counts
            nowhere.
    """
    if found.shape != animals.shape:
        raise ValueError(f"the prediction is {found.shape}, its annotation {animals.shape}")
    void = animals >= _VOID_FROM
    num_found, num_animals = int(found.max()) + 1, int(animals[~void].max(initial=0)) + 1
    pairs = found[~void].astype(np.int64) * num_animals + animals[~void]
    shared = np.bincount(pairs, minlength=num_found * num_animals)
    shared = shared.reshape(num_found, num_animals)
    areas, true_areas = shared.sum(axis=1), shared.sum(axis=0)
    unions = areas[:, None] + true_areas - shared
    ious = (shared / np.maximum(unions, 1))[1:, 1:]
    is_pair = ious > MATCHED_ABOVE
    on_void = np.bincount(found[void], minlength=num_found)
    counts = is_pair.any(axis=1) | (areas > on_void)[1:]
    return Matches(
        tuple(ious[is_pair].tolist()), int(counts.sum()), int(np.count_nonzero(true_areas[1:]))
    )


def panoptic_quality(images: Iterable[Matches]) -> PanopticQuality:
    """Sums up images; at least one."""
    images = list(images)
    ious = [iou for matches in images for iou in matches.ious]
    num_found = sum(matches.num_found for matches in images)
    num_animals = sum(matches.num_animals for matches in images)
    sq = float(np.mean(ious)) if ious else 0.0
    rq = 2 * len(ious) / (num_found + num_animals) if ious else 0.0
    errors = np.array([matches.num_found - matches.num_animals for matches in images])
    return PanopticQuality(
        sq * rq,
        sq,
        rq,
        len(ious),
        num_animals,
        num_found - len(ious),
        float(np.abs(errors).mean()),
        float(errors.mean()),
    )
