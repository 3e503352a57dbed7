"""What may be a smoothed or lossy copy of a label rather than a label of several animals.

An edge that was smoothed, and the noise of JPEG or WebP, are further values. Where they are few,
as in a palette, they look like animals: narrow ones, each between a darker and a brighter one.
"""

from collections.abc import Sequence

import cv2
import numpy as np

MAX_EDGE_RADIUS_PX = 3.0  # of the largest disk in what may be an edge
MIN_EDGE_PX = 8  # fewer pixels say nothing about shape
SHARE_BETWEEN = 0.8  # of its pixels that have lower and higher values nearby
MIN_COLOUR_DISTANCE = 24  # per channel; colours of the DAVIS palette are at least 32 apart

Colour = tuple[int, int, int]


def find_doubtful(places: np.ndarray, colours: dict[int, Colour], *, by_colour: bool) -> list[int]:
    """Finds the values that can be understood as edges or noise of other values.

    Args:
        places: uint8 (height, width), what each pixel shows.
        colours: RGB of each value of `places` that occurs, in the order of the file's own numbers.
        by_colour: whether animals are told apart by their colours alone, so that two that are
            hardly different are in doubt whatever their shape.

    Returns: the doubtful values, in increasing order.
    """
    if len(colours) < 3:
        return []
    shown = list(colours)
    by_brightness = sorted(shown, key=lambda place: sum(colours[place]))
    doubtful = set()
    for place in shown[1:]:
        pixels = places == place
        twins = [
            other
            for other in shown
            if 0 < _distance(colours[place], colours[other]) < MIN_COLOUR_DISTANCE
        ]
        narrow = _narrow_parts(pixels)
        if by_colour and twins:
            doubtful.add(place)
        elif np.count_nonzero(narrow) < MIN_EDGE_PX:
            continue
        elif twins and np.array_equal(narrow, pixels):
            doubtful.add(place)
        elif any(_is_edge(places, narrow, place, order) for order in (shown, by_brightness)):
            doubtful.add(place)
    return sorted(doubtful)


def _distance(colour: Colour, other: Colour) -> int:
    return max(abs(a - b) for a, b in zip(colour, other, strict=True))


def _narrow_parts(pixels: np.ndarray) -> np.ndarray:
    """The pixels that no disk of more than MAX_EDGE_RADIUS_PX covers, bool (H, W)."""
    padded = np.pad(pixels.astype(np.uint8), 1)
    centres = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1] > MAX_EDGE_RADIUS_PX
    if not centres.any():
        return pixels
    from_centres = cv2.distanceTransform((~centres).astype(np.uint8), cv2.DIST_L2, 5)
    return pixels & (from_centres > MAX_EDGE_RADIUS_PX + 1)


def _is_edge(places: np.ndarray, narrow: np.ndarray, place: int, order: Sequence[int]) -> bool:
    """Whether nearly all of these pixels have both lower and higher values around them, and the
    higher ones border on them more than on the lower ones.

    An animal that is seen in a narrow gap beside another one is not everywhere around that one.
    """
    rank = order.index(place)
    lower, higher = np.isin(places, order[:rank]), np.isin(places, order[rank + 1 :])
    side = 2 * int(MAX_EDGE_RADIUS_PX + 1) + 1
    between = (_grow(lower, side) & _grow(higher, side))[narrow].mean() >= SHARE_BETWEEN
    border, direct = (np.count_nonzero(_grow(x, 3) & higher) for x in (narrow, lower))
    return bool(between and direct < border)


def _grow(pixels: np.ndarray, side: int) -> np.ndarray:
    grown = cv2.dilate(pixels.astype(np.uint8), np.ones((side, side), np.uint8))
    return grown.astype(bool)
