"""Tells animals that touch from each other: which pixels of a mask vote for the same centre.

The instance head gives the probability of an animal's centre and, for each pixel, the offset to the
centre of its animal (Cheng et al., "Panoptic-DeepLab", CVPR 2020). A centre is a clear peak, and a
pixel belongs to the centre that is nearest to its vote.
"""

from dataclasses import dataclass

import cv2
import numpy as np

_MAX_CENTRES = 64  # each costs a map of distances


@dataclass(frozen=True)
class Grouping:
    """What counts as one animal of a group.

    Attributes:
        min_peak: probability of a centre.
        window: share of the image's longer side; a centre is the highest within half of it.
        min_share: of the image; an animal in a group is not smaller.
        min_distance: of two centres, in roots of the smaller animal's area.
        max_distance: of a part in another piece of the mask: mean distance of its votes from the
            animal's centre, in roots of the animal's area.
    """

    min_peak: float = 0.25
    window: float = 0.134
    min_share: float = 0.004
    min_distance: float = 0.5
    max_distance: float = 0.7


@dataclass(frozen=True, eq=False)
class InstanceMaps:
    """What the network sees in an image (H, W).

    Attributes:
        mask: float32 (H, W), probability of an animal, 0..1.
        centre: float32 (h, w), probability of an animal's centre, 0..1.
        offset: float32 (h, w, 2), x and y to the centre, pixels of the image.
        stride: value (i, j) of the small maps is that of pixel (stride * i, stride * j).
    """

    mask: np.ndarray
    centre: np.ndarray
    offset: np.ndarray
    stride: int


def group_animals(
    maps: InstanceMaps, threshold: float = 0.5, grouping: Grouping = Grouping()
) -> np.ndarray:
    """Numbers the animals of an image.

    Args:
        maps: of the network.
        threshold: probability above which a pixel is animal.
        grouping: what counts as one animal.

    Returns: int32 (H, W), 0 background, 1, 2, ... the animals and the pieces of the mask that
        belong to none of them, which may be as small as a pixel.
    """
    mask = maps.mask > threshold
    _, pieces = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    centres = find_centres(maps, grouping)
    if not len(centres) or not mask.any():
        return pieces
    distances = _vote_distances(maps, centres)
    labels = _assign(pieces, centres, distances, grouping)
    return _dense(_split_off_strays(labels, pieces, distances, grouping))


def find_centres(maps: InstanceMaps, grouping: Grouping) -> np.ndarray:
    """The peaks: float (n, 2), x and y in pixels of the image, the most probable first."""
    window = grouping.window * max(maps.mask.shape)
    size = 2 * int(window / (2 * maps.stride)) + 1
    highest = cv2.dilate(maps.centre, np.ones((size, size), np.uint8))
    is_peak = (maps.centre == highest) & (maps.centre > grouping.min_peak)
    rows, columns = np.nonzero(is_peak)
    order = np.argsort(-maps.centre[rows, columns], kind="stable")[:_MAX_CENTRES]
    return maps.stride * np.stack([columns[order], rows[order]], axis=1).astype(float)


def _vote_distances(maps, centres):
    """Distance of each pixel's vote from each centre, float32 (number of centres, H, W)."""
    rows, columns = np.indices(maps.centre.shape)
    votes = maps.offset + maps.stride * np.stack([columns, rows], axis=-1)
    to_image = np.array([[maps.stride, 0, 0], [0, maps.stride, 0]], float)
    # Distances are interpolated, not numbers: outlines between animals are finer than the maps.
    return np.stack(
        [
            cv2.warpAffine(
                np.linalg.norm(votes - centre, axis=-1).astype(np.float32),
                to_image,
                maps.mask.shape[::-1],
                flags=cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            )
            for centre in centres
        ]
    )


def _assign(pieces, centres, distances, grouping):
    """The number of each pixel's centre + 1; centres that stand for no animal are dropped, one at a
    time."""
    kept = np.arange(len(distances))
    while True:
        labels = np.where(pieces > 0, kept[distances[kept].argmin(axis=0)] + 1, 0)
        areas = np.bincount(labels.ravel(), minlength=len(distances) + 1)[1:]
        dropped = _smallest(kept, areas, grouping.min_share * labels.size)
        if dropped is None:
            dropped = _too_near(kept, areas, centres, grouping)
        if dropped is None or len(kept) == 1:
            return labels
        kept = kept[kept != dropped]


def _smallest(kept, areas, least):
    smallest = kept[areas[kept].argmin()]
    return smallest if areas[smallest] < least else None


def _too_near(kept, areas, centres, grouping):
    """The less probable of the two centres that are nearest, if they are too near."""
    best, dropped = grouping.min_distance, None
    for place, first in enumerate(kept):
        for second in kept[place + 1 :]:  # in the order of their probability
            side = np.sqrt(max(1, min(areas[first], areas[second])))
            distance = np.hypot(*(centres[first] - centres[second])) / side
            if distance < best:
                best, dropped = distance, second
    return dropped


def _split_off_strays(labels, pieces, distances, grouping):
    """Where the votes of a part in another piece of the mask are not near the animal's centre, it
    belongs to none."""
    result, count = labels, int(pieces.max()) + 1
    for number in np.unique(labels[labels > 0]):
        inside = labels == number
        areas = np.bincount(pieces[inside], minlength=count)
        sums = np.bincount(pieces[inside], distances[number - 1][inside], minlength=count)
        is_stray = sums > grouping.max_distance * np.sqrt(areas.max()) * areas
        is_stray[areas.argmax()] = False
        # Behind all numbers of animals, another one for each part of each animal.
        of_part = len(distances) + number * count + pieces
        result = np.where(inside & is_stray[pieces], of_part, result)
    return result


def _dense(labels):
    values, dense = np.unique(labels, return_inverse=True)
    return (dense.reshape(labels.shape) + (values[0] != 0)).astype(np.int32)
