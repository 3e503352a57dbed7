"""Confidence in each of several animals, once every pixel has an owner."""

import numpy as np
import pytest

from utils.stage3.animal_in_frame import AnimalInFrame
from utils.stage3.settings import Refinement
from utils.stage3.settlement import Settlement

SIZE, FINE_SIZE, NUM_FRAMES = (60, 80), (120, 160), 3
SURE, LESS_SURE = 250, 200


def square(left, size=SIZE):
    unit = size[0] // 60
    mask = np.zeros(size, bool)
    mask[20 * unit : 40 * unit, left * unit : (left + 20) * unit] = True
    return mask


def find(probability, *left):
    """What was found at these places, with the animal's region at the first of them."""
    everywhere = np.any([square(place, FINE_SIZE) for place in left], axis=0)
    return lambda frame: AnimalInFrame(
        frame, np.where(everywhere, probability, 2).astype("uint8"), square(left[0])
    )


def settle(*animals):
    """Settles a video of these animals; returns the masks and each one's confidence."""

    class Video:
        height, width = FINE_SIZE

        def __len__(self):
            return NUM_FRAMES

    class Frames:
        def grey(self, index):
            return np.zeros(SIZE, "uint8")

    settlement = Settlement(
        range(1, len(animals) + 1), Video(), Frames(),
        lambda animal, frame: animals[animal - 1](frame), Refinement(neighbour_weight=0), None,
    )  # fmt: skip
    masks = np.stack([mask for _, mask in settlement.masks()])
    return masks, list(settlement.confidence.values())


def test_the_confidence_of_a_single_animal_is_that_of_its_mask():
    found = find(SURE, 10, 50)
    _, (confidence,) = settle(found)
    assert confidence == [round(found(0).confidence, 4)] * NUM_FRAMES
    assert confidence[0] == pytest.approx(SURE / (255 + SURE), abs=0.01)


def test_an_animal_that_is_left_no_pixel_has_no_confidence():
    """It kept that of what it had claimed."""
    masks, (first, second) = settle(find(SURE, 10), find(LESS_SURE, 10))
    assert (masks == 1).any() and not (masks == 2).any()
    assert min(first) > 0.9 and second == [0] * NUM_FRAMES


def test_what_another_animal_owns_is_no_doubt():
    """To one network for both, each of them is an animal."""
    masks, confidences = settle(find(SURE, 10, 50), find(SURE, 50, 10))
    for number, left in ((1, 10), (2, 50)):
        np.testing.assert_array_equal(masks == number, [square(left, FINE_SIZE)] * NUM_FRAMES)
    assert np.min(confidences) > 0.9


def test_what_nobody_owns_is_still_doubt():
    _, (first, second) = settle(find(SURE, 10, 50), find(SURE, 30))
    assert max(first) < 0.6 and min(second) > 0.9
