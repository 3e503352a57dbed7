"""Rectangles around masks, and the regions of one mask that touch another one."""

import numpy as np

from utils.media.regions import Rectangle, rectangle_around, touching

SIZE = (120, 200)


def disk(x, y, radius, size=SIZE):
    rows, columns = np.mgrid[: size[0], : size[1]]
    return (columns - x) ** 2 + (rows - y) ** 2 <= radius**2


def test_rectangle_holds_the_mask_and_its_margin_inside_the_frame():
    assert rectangle_around(disk(100, 60, 10), margin=5) == Rectangle(45, 85, 76, 116)
    assert rectangle_around(disk(3, 3, 10), margin=5) == Rectangle(0, 0, 19, 19)


def test_touching_keeps_whole_regions():
    left, right = disk(40, 60, 12), disk(160, 60, 12)
    kept = touching(left | right, disk(40, 60, 2))
    np.testing.assert_array_equal(kept, left)
    assert not touching(left, right).any()
