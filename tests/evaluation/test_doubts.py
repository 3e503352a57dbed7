"""Frames that may be wrong: where animals meet, are lost, come back, jump, or confidence is low."""

import numpy as np
import pytest

from tests.crossing_animals import MEETING, NUM_FRAMES, segmented, truth
from utils.evaluation.doubts import DoubtFinder, find_touching, lowest_frames

END = NUM_FRAMES - 1


def all_doubts(finder: DoubtFinder, step: int = 1, **facts) -> list:
    found, at = [], -1 if step > 0 else NUM_FRAMES
    while doubt := finder.find(at, step, **facts)[0]:
        found.append(doubt)
        at = doubt.frame
    return found


def frame_of(*boxes) -> np.ndarray:
    labels = np.zeros((100, 120), np.uint8)
    for animal, top, left in boxes:
        labels[top : top + 20, left : left + 20] = animal
    return labels


def test_animals_that_begin_to_touch_and_that_have_parted_are_doubts():
    doubts = all_doubts(DoubtFinder(truth, NUM_FRAMES))
    assert [doubt.frame for doubt in doubts] == [MEETING[0], MEETING[1] + 1]
    assert doubts[0].reasons == ("animals 1 and 2 touch",) and doubts[0].pair == (1, 2)
    assert doubts[1].reasons == ("animals 1 and 2 have parted",) and doubts[1].pair == (1, 2)
    backwards = all_doubts(DoubtFinder(truth, NUM_FRAMES), -1)
    assert backwards == doubts[::-1]


def test_who_parts_for_a_moment_is_not_asked_about_twice():
    touching, apart = frame_of((1, 10, 10), (2, 10, 30)), frame_of((1, 10, 10), (2, 10, 38))
    masks = [apart, touching, apart, touching, touching, *[apart] * 7]
    doubts = all_doubts(DoubtFinder(masks.__getitem__, len(masks)))
    assert [doubt.frame for doubt in doubts] == [1, 5]


def test_an_animal_that_is_lost_comes_back_or_jumps_is_a_doubt():
    here, there = frame_of((1, 10, 10)), frame_of((1, 70, 90))
    masks = [here, here, frame_of(), frame_of(), here, here, there, *[there] * 5]
    doubts = all_doubts(DoubtFinder(masks.__getitem__, len(masks)))
    assert [(doubt.frame, doubt.reasons[0]) for doubt in doubts] == [
        (2, "animal 1 is lost"),
        (4, "animal 1 is back"),
        (6, "animal 1 jumps"),
    ]


def test_of_frames_with_a_low_confidence_the_lowest_is_a_doubt_until_it_is_drawn_by_hand():
    curve = [0.9, 0.7, 0.3, 0.6, 0.9, 0.9, 0.79, 0.9, 0.9, 0.9, 0.9, 0.5]
    assert lowest_frames(curve) == [2, 6, 11] and lowest_frames(()) == []
    finder = DoubtFinder(lambda frame: frame_of((1, 10, 10)), NUM_FRAMES, curve)
    assert [doubt.frame for doubt in all_doubts(finder)] == [2, 6, 11]
    assert [doubt.frame for doubt in all_doubts(finder, settled={2})] == [6, 11]


def test_the_next_crossing_is_where_a_pair_touches_again():
    apart, touching = frame_of((1, 10, 10), (2, 10, 38)), frame_of((1, 10, 10), (2, 10, 30))
    masks = [touching, touching, *[apart] * 6, touching, touching, apart, apart]
    finder = DoubtFinder(masks.__getitem__, len(masks))
    assert [finder.last_before_crossing(f, (2, 1)) for f in (0, 3, 7)] == [(7, 8), (7, 8), (7, 8)]
    assert finder.last_before_crossing(10, (1, 2)) == (11, 11)
    assert DoubtFinder(segmented, NUM_FRAMES).last_before_crossing(7, (1, 2)) == (END, END)


def test_a_search_for_the_next_crossing_goes_on_from_where_it_was_ended():
    apart, touching = frame_of((1, 10, 10), (2, 10, 38)), frame_of((1, 10, 10), (2, 10, 30))
    masks = [apart, touching, apart, touching, *[apart] * 5, touching, *[apart] * 90]
    read = []

    def read_mask(frame):
        read.append(frame)
        return masks[frame]

    finder, answers = DoubtFinder(read_mask, len(masks)), []
    while not answers or answers[-1][0] is None:
        answers.append(finder.last_before_crossing(1, (1, 2), seconds=0))
    assert answers == [*[(None, frame) for frame in range(2, 9)], (8, 9)]
    assert read == list(range(10))  # each mask once
    assert DoubtFinder(read_mask, len(masks)).last_before_crossing(1, (1, 2)) == (8, 9)


@pytest.mark.parametrize("gap, is_touching", [(0, True), (1, True), (4, False)])
def test_animals_touch_if_a_narrow_gap_is_between_them(gap, is_touching):
    pairs = find_touching(frame_of((3, 10, 10), (1, 10, 30 + gap), (2, 70, 70)))
    assert pairs == ({(1, 3)} if is_touching else set())


def test_masks_that_have_changed_are_looked_at_again():
    masks = [frame_of((1, 10, 10)) for _ in range(4)]
    finder = DoubtFinder(masks.__getitem__, 4)
    assert finder.find(-1, 1) == (None, 3)
    masks[2] = frame_of()
    finder.forget([2])
    assert finder.find(-1, 1)[1] == 2


def test_a_search_goes_on_from_where_it_was_ended():
    looked_at = []

    def read(frame):
        looked_at.append(frame)
        return frame_of((1, 10, 10)) if frame < 8 else frame_of()

    finder = DoubtFinder(read, NUM_FRAMES)
    for frame in range(1, 8):
        assert finder.find(frame - 1, 1, seconds=0) == (None, frame) and max(looked_at) == frame
    assert finder.find(7, 1, seconds=0)[0].frame == 8
    assert finder.find(END, 1, seconds=0) == (None, END)
