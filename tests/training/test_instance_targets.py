"""What the instance head should answer, by maps small enough to draw."""

import numpy as np
import pytest

from utils.training.animals import UNNUMBERED
from utils.training.instance_targets import draw_heat, find_borders, instance_targets

VOID = 255


def two_animals():
    """On 40 x 40: number 7, 12 x 12 around (9.5, 9.5), and number 3, 8 x 16 around (27.5, 31.5)."""
    animals = np.zeros((40, 40), np.uint8)
    animals[4:16, 4:16] = 7
    animals[24:40, 24:32] = 3
    return animals


def test_centres_sizes_and_offsets():
    animals = two_animals()
    animals[20:24, 0:8] = UNNUMBERED
    animals[20:24, 8:16] = VOID
    centres, targets = instance_targets(animals)
    assert centres[:3].tolist() == [[9.5, 9.5, 1], [27.5, 31.5, 1], [0, 0, 0]]
    offset, assignment = targets["offset"], targets["assignment"]
    assert offset.shape == (10, 10, 3)
    # Place (2, 1) is the pixel x = 4, y = 8.
    assert offset[2, 1].tolist() == [5.5, 1.5, 12]
    assert offset[6, 6].tolist() == pytest.approx([3.5, 7.5, 128**0.5])
    assert assignment[6, 6].tolist() == pytest.approx([1, 128**0.5])
    for background in (offset[0, 9], offset[5, 0], offset[5, 2]):  # not, of whom, void
        assert background[2] == 0


def test_heat_is_one_at_the_place_next_to_each_centre_and_void_has_no_say():
    animals = two_animals()
    animals[20:24, 0:8] = UNNUMBERED
    heat, limit = np.moveaxis(instance_targets(animals)[1]["centre"], -1, 0)
    assert np.argwhere(heat == 1).tolist() == [[2, 2], [8, 7]]
    assert heat[2, 4] == pytest.approx(np.exp(-(8**2) / (2 * 4**2)))  # 4 pixels at the least
    assert (limit[5, 0], limit[0, 9], limit[2, 2]) == (-1, 2, 2)
    limit = instance_targets(animals, is_partly_labelled=True)[1]["centre"][..., 1]
    assert (limit[5, 0], round(float(limit[0, 9]), 3), limit[2, 2]) == (-1, 0.3, 2)


def test_heat_grows_with_the_animal_up_to_16_pixels():
    for size, deviation in ((10, 4), (100, 12), (1000, 16)):
        heat = draw_heat(np.array([[0.0, 0.0]]), np.array([size]), (9, 9))
        assert heat[0, 4] == pytest.approx(np.exp(-(16**2) / (2 * deviation**2)))


def test_borders_lie_between_animals_alone():
    animals = np.zeros((20, 30), np.uint8)
    animals[:, 5:15], animals[:, 15:25] = 1, 2
    animals[:, 25:] = UNNUMBERED
    border = find_borders(animals)
    assert border.all(axis=0).tolist() == [11 <= x <= 18 for x in range(30)]
    assert (border.any(axis=0) == border.all(axis=0)).all()
    target = instance_targets(animals)[1]["border"]
    assert target.shape == (5, 8, 1)
    assert target[0, :, 0].tolist() == [0, 0, 0, 1, 1, 0, 0, VOID]


def test_specks_and_more_animals_than_there_is_room_for_are_void():
    animals = np.zeros((384, 384), np.uint8)
    for number in range(26):
        side = 20 + number
        y, x = 60 * (number // 6), 60 * (number % 6)
        animals[y : y + side, x : x + side] = number + 1
    animals[300:312, 300:312] = 100  # 144 pixels
    centres, targets = instance_targets(animals)
    assert centres[:, 2].sum() == 24
    assert centres[0, :2].tolist() == [60 * 1 + 22, 60 * 4 + 22]  # the largest is the first
    size = targets["offset"][..., 2]
    assert not size[75:78, 75:78].any() and not size[0:5, 0:5].any() and size[0:5, 30:35].all()
