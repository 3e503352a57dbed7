"""Who is who after a crossing: whole regions, by where both were heading."""

from dataclasses import replace

import numpy as np
import pytest

from utils.stage3.crossing import CrossingWatch, heading, likeness_of, moved, shared_region
from utils.stage3.motion import Motion
from utils.stage3.settings import Crossing

SIZE, SPEED = (40, 120), 6  # the other goes so many pixels to the right in each frame
ANIMAL_AT, LAST = 54, 18


def square(x, side=12):
    mask = np.zeros(SIZE, bool)
    mask[14 : 14 + side, max(0, x) : max(0, x + side)] = True
    return mask


ANIMAL, NOTHING = square(ANIMAL_AT), np.zeros(SIZE, bool)


def other_in(frame):
    return square(6 + SPEED * frame)


def motion_between(frame, other):
    """The flow from a frame to another one."""
    flow = np.zeros((*SIZE, 2), "float32")
    flow[other_in(frame) & ~ANIMAL, 0] = SPEED * (other - frame)
    return Motion(flow, np.ones(SIZE, bool))


def watch(settings, label_at_the_end, bystander=NOTHING, first=0):
    """The first thing that the watch says while the two cross: the frame, and what is corrected.
    From the middle of the crossing on the animal is what `label_at_the_end` makes of both."""
    label = (ANIMAL, other_in(first) & ~ANIMAL)
    crossing = CrossingWatch(settings, 20, motion_between, label)
    for frame in range(first, LAST):
        other = other_in(frame)
        found = ANIMAL | other | bystander
        animal = ANIMAL.copy()
        if other[:, ANIMAL_AT:].any():
            animal = label_at_the_end(ANIMAL | other)
        motion = motion_between(frame, max(first, frame - 1))
        if corrected := crossing(frame, found, animal, found & ~animal, motion):
            return frame, corrected
    return None


def upper_half(found):
    return found & (np.arange(SIZE[0])[:, None] < 20)


def test_regions_that_stand_apart_again_go_as_a_whole_to_who_was_heading_there():
    frame, corrected = watch(Crossing(), upper_half)
    assert not (ANIMAL & other_in(frame)).any() and not (ANIMAL & other_in(frame - 1)).any()
    np.testing.assert_array_equal(corrected[frame], ANIMAL)
    np.testing.assert_array_equal(corrected[frame - 1], ANIMAL)
    assert min(corrected) > 8  # what was before the middle stays


def test_a_crossing_may_begin_in_the_label():
    frame, corrected = watch(Crossing(), upper_half, first=7)  # they touch in it
    assert not (ANIMAL & other_in(frame)).any()
    np.testing.assert_array_equal(corrected[frame], ANIMAL)


def test_the_animals_area_outweighs_where_it_was_heading():
    large, small = square(20, side=16), square(60)
    crossing = CrossingWatch(Crossing(), 20, motion_between, (large, small))
    crossing._start = [(large, np.array([20.0, 0])), (small, np.array([-20.0, 0]))]
    crossing._crossing = [(1, large | small)]
    animal, other = crossing._tell_apart([small, large])  # both have turned back
    np.testing.assert_array_equal(animal, large)
    np.testing.assert_array_equal(other, small)
    crossing.settings = replace(crossing.settings, area_weight=0)
    assert crossing._tell_apart([small, large]) is None


def test_nothing_is_said_where_it_is_not_clear():
    assert not watch(replace(Crossing(), margin=4.0), upper_half)


def test_nothing_is_said_if_the_animal_would_have_another_area():
    assert not watch(replace(Crossing(), area=(1.1, 2.0)), upper_half)


def test_a_crossing_that_takes_too_long_is_given_up():
    assert watch(replace(Crossing(), memory=2), upper_half) is None


def test_what_stands_beside_a_crossing_is_no_part_of_it():
    frame, corrected = watch(Crossing(), upper_half, bystander=square(100))
    assert frame == watch(Crossing(), upper_half)[0]
    np.testing.assert_array_equal(corrected[frame], ANIMAL)


def test_an_animal_that_is_found_again_in_a_shared_region_is_not_judged():
    found_at_first = iter([NOTHING])

    def lost_at_first(found):
        return next(found_at_first, upper_half(found))

    assert watch(Crossing(), upper_half, first=7)
    assert watch(Crossing(), lost_at_first, first=7) is None


def test_an_animal_that_was_lost_ends_a_crossing():
    assert not watch(Crossing(), np.zeros_like)


def test_a_region_is_shared_if_enough_of_the_other_is_in_it():
    animal, other = square(10), square(22)
    np.testing.assert_array_equal(shared_region(animal | other, animal, other, 0.5), animal | other)
    assert shared_region(animal | other, animal, other, 1.5) is None
    apart = square(40)
    assert shared_region(animal | apart, animal, apart, 0.5) is None
    assert shared_region(animal, animal, np.zeros_like(animal), 0.0) is None


def test_heading_and_moved():
    np.testing.assert_array_equal(heading(other_in(2), motion_between(2, 1)), [SPEED, 0])
    np.testing.assert_array_equal(heading(ANIMAL, None), [0, 0])
    np.testing.assert_array_equal(moved(square(10), np.array([5, 0])), square(15))


def test_likeness_is_2_for_the_same_mask_and_falls_with_the_distance():
    assert likeness_of(square(10), square(10)) == pytest.approx(2)
    assert 0 < likeness_of(square(10), square(60)) < likeness_of(square(10), square(15)) < 2
    assert likeness_of(square(10), np.zeros(SIZE, bool)) == 0
