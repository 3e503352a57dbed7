"""Which pieces of what a network finds are animals, and in which frame they are clearest."""

import numpy as np
import pytest

from utils.media.labels import VOID
from utils.stage3.find_animals import Pieces, clearest_frame, find_pieces
from utils.stage3.settings import Finding

FINDING = Finding()


def probability(*boxes, value=250):
    """uint8 (100, 200), boxes of (top, left, height, width)."""
    found = np.zeros((100, 200), "uint8")
    for top, left, height, width in boxes:
        found[top : top + height, left : left + width] = value
    return found


def pieces(count, confidence, area=400):
    return Pieces(np.zeros((2, 2), "uint8"), count, confidence, area)


def test_each_separate_piece_is_an_animal_the_largest_first():
    found = find_pieces(probability((10, 10, 20, 20), (50, 120, 30, 30)), 0.5, FINDING)
    assert (found.count, found.area) == (2, 400 + 900)
    assert found.values[60, 130] == 1 and found.values[15, 15] == 2
    assert set(np.unique(found.values)) == {0, 1, 2}


def test_parts_that_a_post_separates_are_one_animal():
    found = find_pieces(probability((10, 10, 20, 20), (10, 33, 20, 20)), 0.5, FINDING)
    assert found.count == 1 and found.values[15, 31] == 0


def test_a_piece_much_smaller_than_the_animal_is_none_and_is_left_open():
    found = find_pieces(probability((10, 10, 30, 30), (50, 120, 10, 10)), 0.5, FINDING)
    assert found.count == 1 and found.values[55, 125] == VOID


def test_specks_are_no_animals():
    found = find_pieces(probability((10, 10, 2, 2)), 0.5, FINDING)
    assert (found.count, found.confidence, found.area) == (0, 0, 0)


def test_an_empty_frame_shows_no_animal():
    assert find_pieces(probability(), 0.5, FINDING).count == 0
    assert clearest_frame({0: find_pieces(probability(), 0.5, FINDING)}, FINDING) is None


def test_the_frame_with_the_highest_confidence_is_the_clearest():
    assert clearest_frame({0: pieces(1, 0.7), 5: pieces(1, 0.9), 9: pieces(1, 0.8)}, FINDING) == 5


def test_of_equally_clear_frames_the_first_is_taken():
    assert clearest_frame({9: pieces(1, 0.9), 5: pieces(1, 0.9)}, FINDING) == 5


def test_a_frame_that_shows_all_animals_comes_before_a_clearer_one():
    found = {i: pieces(1, 0.9) for i in range(8)} | {8: pieces(2, 0.7), 9: pieces(2, 0.75)}
    assert clearest_frame(found, FINDING) == 9


def test_one_frame_of_many_in_which_an_animal_falls_into_two_does_not_count():
    found = {i: pieces(1, 0.8 + i / 100) for i in range(9)} | {9: pieces(2, 0.95)}
    assert clearest_frame(found, FINDING) == 8


def test_an_animal_that_is_entering_the_picture_is_not_clear():
    found = {0: pieces(1, 0.95, area=40)} | {i: pieces(1, 0.8) for i in range(1, 5)}
    assert clearest_frame(found, FINDING) == 1


@pytest.mark.parametrize("confidence, frame", [(0.4, None), (0.6, 3)])
def test_what_is_found_without_confidence_is_no_animal(confidence, frame):
    assert clearest_frame({3: pieces(1, confidence)}, FINDING) == frame
