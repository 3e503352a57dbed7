"""Panoptic quality on cases that can be computed by hand."""

import numpy as np
import pytest

from utils.evaluation.panoptic_quality import Matches, match_animals, panoptic_quality


def test_one_pair_two_false_animals_and_two_that_were_missed():
    animals, found = np.zeros((4, 10), np.uint8), np.zeros((4, 10), int)
    animals[:, 0:2], animals[:, 2:4], animals[0, 9] = 1, 2, 3  # 8, 8 and 1 pixels
    found[:3, 0:2] = 1  # 6 of the 8 pixels: IoU .75
    found[0, 2:4] = 2  # 2 of the 8
    found[3, 9] = 4  # nothing is there
    matches = match_animals(found, animals)
    assert matches == Matches((0.75,), 3, 3)
    quality = panoptic_quality([matches])
    assert quality.sq == pytest.approx(0.75)
    assert quality.rq == pytest.approx(1 / (1 + 2 / 2 + 2 / 2))
    assert quality.pq == pytest.approx(0.25)
    assert (quality.num_matched, quality.num_false, quality.num_animals) == (1, 2, 3)
    assert quality.count_error == quality.bias == 0


def test_iou_of_one_half_is_no_match():
    animals, found = np.zeros((2, 4), np.uint8), np.zeros((2, 4), int)
    animals[:], found[:, :2] = 1, 1
    assert match_animals(found, animals) == Matches((), 1, 1)


def test_void_counts_nowhere():
    animals, found = np.zeros((2, 8), np.uint8), np.zeros((2, 8), int)
    animals[:, :3], animals[:, 3:6] = 1, 255
    found[:, :5] = 1
    assert match_animals(found, animals) == Matches((1.0,), 1, 1)
    animals[animals == 255] = 254
    assert match_animals(found, animals) == Matches((1.0,), 1, 1)


def test_a_prediction_that_is_mostly_void_is_no_mistake_but_may_match():
    animals, found = np.zeros((2, 8), np.uint8), np.zeros((2, 8), int)
    animals[:, :2], animals[:, 2:8] = 1, 255
    found[:, :2], found[:, 3:5] = 1, 2
    assert match_animals(found, animals) == Matches((1.0,), 1, 1)
    assert match_animals(np.ones((2, 8), int), animals) == Matches((1.0,), 1, 1)


def test_images_are_summed_before_they_are_divided():
    images = [Matches((0.8, 0.6), 2, 3), Matches((), 2, 0), Matches((), 0, 1)]
    quality = panoptic_quality(images)
    assert quality.sq == pytest.approx(0.7) and quality.rq == pytest.approx(4 / (4 + 4))
    assert quality.count_error == pytest.approx(4 / 3) and quality.bias == pytest.approx(0)


def test_nothing_found_and_nothing_there():
    nothing = match_animals(np.zeros((3, 3), int), np.zeros((3, 3), np.uint8))
    assert nothing == Matches((), 0, 0) and panoptic_quality([nothing]).pq == 0


def test_sizes_that_differ_are_refused():
    with pytest.raises(ValueError, match="annotation"):
        match_animals(np.zeros((3, 3), int), np.zeros((3, 4), np.uint8))
