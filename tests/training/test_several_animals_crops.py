"""Crops with a target for each of several animals, one of which has its turn."""

import numpy as np
import pytest

from utils.media.labels import VOID
from utils.training.augmentation import Augmentation
from utils.training.several_animals import AnimalBatches, TurnSample, augment_turn

SIZE = (60, 80)
COLOURS = np.array([(60, 60, 60), (250, 20, 20), (20, 250, 20), (20, 20, 250)], "uint8")
STILL = Augmentation(flip=0, object_centred=1)
MOVING = Augmentation(scale=(0.8, 1.2), rotation_degrees=20, object_centred=0.5, recompose=1)


def frame(void=()):
    """Three animals of their own colours on grey: two that touch, one by itself."""
    numbers = np.zeros(SIZE, "uint8")
    numbers[10:26, 10:30] = 1
    numbers[26:40, 10:30] = 2
    numbers[10:30, 60:72] = 3
    targets = np.stack([numbers == n for n in (1, 2, 3)]).astype("uint8")
    for rows, columns in void:
        targets[:, rows, columns] = VOID
    return COLOURS[numbers], targets


def shown(image, number):
    """Where an image clearly has the colour of an animal."""
    difference = np.abs(image.astype(int) - COLOURS[number].astype(int)).max(-1)
    return difference < 40


@pytest.mark.parametrize("turn", range(3))
@pytest.mark.parametrize("augmentation", [STILL, MOVING])
def test_each_target_is_where_its_animal_is_seen(turn, augmentation):
    image, targets = frame()
    for seed in range(6):
        rng = np.random.default_rng(seed)
        sample = TurnSample(image, targets, turn)
        crop, found = augment_turn(sample, (48, 64), augmentation, rng)
        is_inside = (found[turn] != VOID) & (np.stack(found) != VOID).all(0)
        for number, target in enumerate(found, start=1):
            wrong = (target == 1) & shown(crop, 0) & is_inside
            others = [shown(crop, n) for n in (1, 2, 3) if n != number]
            wrong |= (target == 1) & np.any(others, axis=0)
            assert wrong.sum() <= 0.03 * target.size, (seed, number)
            seen = shown(crop, number) & is_inside
            # What was painted over where the animal was may have a neighbour's colour.
            assert (target[seen] == 1).mean() > 0.8 if seen.sum() > 50 else True
        assert (np.stack(found) == 1).sum(0).max() <= 1


def test_a_crop_is_placed_around_the_animal_whose_turn_it_is():
    image, targets = frame()
    for turn, column in ((0, 20), (2, 66)):
        crop, found = augment_turn(
            TurnSample(image, targets, turn), (30, 40), STILL, np.random.default_rng(1)
        )
        assert (found[turn] == 1).any(), column


def test_what_is_painted_over_beside_a_neighbour_is_void_for_it_and_background_for_the_mover():
    image, targets = frame()
    still = Augmentation(flip=0, object_centred=0, recompose=1)
    outside = 0
    for seed in range(8):
        crop, (mover, neighbour, far) = augment_turn(
            TurnSample(image, targets, 0), SIZE, still, np.random.default_rng(seed)
        )
        gone = (slice(12, 22), slice(12, 28))  # where the first animal was
        free = mover[gone] == 0
        outside += free.sum()
        assert (neighbour[gone][free] == VOID).all() and (far[gone][free] == 0).all()
        assert set(np.unique(mover)) <= {0, 1}
    assert outside


def test_an_animal_with_an_unknown_outline_is_not_moved():
    image, targets = frame()
    sample = TurnSample(image, targets, 0, moves=False)
    still = Augmentation(flip=0, object_centred=0, recompose=1)
    crop, found = augment_turn(sample, SIZE, still, np.random.default_rng(0))
    np.testing.assert_array_equal(np.stack(found), targets)
    np.testing.assert_array_equal(crop, image)


def test_void_is_void_for_all():
    image, targets = frame(void=[(slice(45, 60), slice(0, 80))])
    found = augment_turn(TurnSample(image, targets, 2), SIZE, STILL, np.random.default_rng(0))[1]
    voids = [target == VOID for target in found]
    assert voids[0].any()
    np.testing.assert_array_equal(voids[0] & (found[1] != 1), voids[1] & (found[0] != 1))


def test_batches_have_a_channel_for_each_animal_and_can_be_repeated():
    image, targets = frame()
    samples = [TurnSample(image, targets, turn) for turn in range(3)]
    batches = AnimalBatches(samples, (32, 48), 3, 2, MOVING, seed=1)
    images, found = batches[1]
    assert images.shape == (2, 32, 48, 3) and found["mask"].shape == (2, 32, 48, 3)
    assert found["mask"].dtype == np.uint8
    again = batches[1]
    np.testing.assert_array_equal(again[0], images)
    np.testing.assert_array_equal(again[1]["mask"], found["mask"])
