"""Grouping on maps that are drawn by hand."""

from dataclasses import replace

import numpy as np
import pytest

from utils.stage3.animal_grouping import Grouping, InstanceMaps, find_centres, group_animals

HEIGHT, WIDTH, STRIDE = 96, 120, 4
ROWS, COLUMNS = np.indices((25, 31)) * STRIDE  # of the small maps' values, in pixels
LEFT, RIGHT = (28, 40), (76, 40)  # x and y of two centres


def mask_of(*boxes) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.float32)
    for top, left, bottom, right in boxes:
        mask[top:bottom, left:right] = 0.9
    return mask


def maps_of(mask, peaks, edges=()) -> InstanceMaps:
    """Peaks: x, y -> probability. Between two edges, from left to right, all pixels vote for the
    same of these places."""
    centre, offset = np.zeros(ROWS.shape, np.float32), np.zeros((*ROWS.shape, 2), np.float32)
    for (x, y), probability in peaks.items():
        centre[y // STRIDE, x // STRIDE] = probability
    places = np.array([place for place, _ in edges] or [(0, 0)])
    which = np.searchsorted([edge for _, edge in edges][:-1], COLUMNS, side="right")
    offset[..., 0] = places[which, 0] - COLUMNS
    offset[..., 1] = places[which, 1] - ROWS
    return InstanceMaps(mask, centre, offset, STRIDE)


TWO = mask_of((20, 10, 60, 100))  # 40 x 90 pixels; the second animal begins at column 50
HALVES = ((LEFT, 50), (RIGHT, WIDTH))


def test_a_part_that_belongs_to_none_gets_a_number_of_its_own():
    # Eight animals side by side; a second piece of the mask votes for itself, nearest to the first.
    centres = [(12 + 12 * k, 20) for k in range(8)]
    mask = mask_of((10, 6, 30, 102), (70, 6, 90, 18))
    edges = [(place, place[0] + 6) for place in centres]
    grouping = Grouping(window=0.05, min_share=0, min_distance=0)
    maps = maps_of(mask, dict.fromkeys(centres, 0.9), edges)
    maps.offset[ROWS > 60] = 0
    found = group_animals(maps, grouping=grouping)
    below = found[80, 12]
    assert len(np.unique(found[mask > 0.5])) == 9
    assert below not in found[10:30]


def test_two_that_touch_are_split_where_the_votes_change():
    found = group_animals(maps_of(TWO, {LEFT: 0.9, RIGHT: 0.8}, HALVES))
    assert found.dtype == np.int32 and set(np.unique(found)) == {0, 1, 2}
    assert (found[20:60, 10:48] == found[40, 28]).all()
    assert (found[20:60, 52:100] == found[40, 76]).all() and found[40, 28] != found[40, 76]
    assert ((found > 0) == (TWO > 0.5)).all()


def test_without_a_clear_centre_every_piece_of_the_mask_is_an_animal():
    mask = mask_of((20, 10, 60, 50), (20, 60, 60, 100))
    found = group_animals(maps_of(mask, {LEFT: 0.2, RIGHT: 0.2}, HALVES))
    assert found[40, 28] == 1 and found[40, 76] == 2 and found.max() == 2
    assert not group_animals(maps_of(mask_of(), {LEFT: 0.9}, HALVES)).any()


def test_one_clear_centre_leaves_the_animal_whole():
    found = group_animals(maps_of(TWO, {LEFT: 0.9, RIGHT: 0.2}, HALVES))
    assert set(np.unique(found)) == {0, 1}


def test_a_centre_is_the_highest_around_it():
    maps = maps_of(TWO, {LEFT: 0.6, (36, 40): 0.7, RIGHT: 0.8}, HALVES)
    assert find_centres(maps, Grouping()).tolist() == [[76, 40], [36, 40]]  # window: 16 pixels
    assert len(find_centres(maps, replace(Grouping(), window=0.05))) == 3
    assert find_centres(maps, replace(Grouping(), min_peak=0.75)).tolist() == [[76, 40]]


def test_centres_that_are_too_near_are_one_animal():
    # 48 pixels apart; the smaller animal has 40 x 40 pixels, so that this is 1.2 of its sides.
    maps = maps_of(TWO, {LEFT: 0.9, RIGHT: 0.8}, HALVES)
    for min_distance, count in ((1.15, 2), (1.25, 1)):
        assert group_animals(
            maps, grouping=replace(Grouping(), min_distance=min_distance)
        ).max() == (count)


def test_an_animal_that_would_be_too_small_is_part_of_its_neighbour():
    maps = maps_of(TWO, {LEFT: 0.9, RIGHT: 0.8}, ((LEFT, 92), (RIGHT, WIDTH)))
    assert group_animals(maps).max() == 2  # 8 x 40 of 96 x 120 pixels: .028
    assert group_animals(maps, grouping=replace(Grouping(), min_share=0.04)).max() == 1


@pytest.mark.parametrize("away, count", [(0, 1), (40, 2)])
def test_a_part_beyond_a_gap_belongs_to_the_animal_that_it_votes_for(away, count):
    mask = mask_of((20, 10, 60, 50), (20, 54, 60, 60))
    votes = ((LEFT, 52), ((LEFT[0] + away, LEFT[1]), WIDTH))  # .7 of a side is 28 pixels
    found = group_animals(maps_of(mask, {LEFT: 0.9}, votes))
    assert set(np.unique(found)) == set(range(count + 1))
    assert (found[40, 57] == found[40, 28]) == (count == 1)
