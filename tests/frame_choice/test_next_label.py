"""Which further frame to label, from how doubtful the masks are."""

import numpy as np

from utils.evaluation.label_gain import LabelGain, gain_of, rank_next_frames, rank_study


def test_the_next_label_goes_where_the_masks_are_doubtful():
    difficulty = np.full(40, 0.02)
    difficulty[28:33] = 0.5
    assert 28 <= rank_next_frames(difficulty, [8])[0] <= 32


def test_equally_doubtful_frames_leave_the_choice_to_the_distance_from_labels():
    for value in (0.0, 0.01, 1.0):
        assert rank_next_frames(np.full(41, value), [0])[0] > 20
        assert 15 <= rank_next_frames(np.full(41, value), [0, 40])[0] <= 25


def test_a_doubtful_frame_beside_a_label_gains_less_than_one_far_away():
    difficulty = np.full(40, 0.02)
    difficulty[[11, 30]] = 0.4
    assert abs(rank_next_frames(difficulty, [10])[0] - 30) <= 3


def test_labelled_frames_are_not_proposed_again():
    assert sorted(rank_next_frames(np.ones(5), [1, 3])) == [0, 2, 4]
    assert rank_next_frames(np.ones(2), [0, 1]) == []
    assert sorted(rank_next_frames(np.ones(3), [])) == [0, 1, 2]


def test_the_gain_of_a_frame_is_that_of_the_list_of_all_videos():
    difficulty = np.full(40, 0.02)
    difficulty[28:33] = 0.5
    best = rank_study([("hen", difficulty, [8])])[0]
    assert best == LabelGain("hen", best.frame, gain_of(difficulty, [8], best.frame))
    assert best.gain > 1 > gain_of(difficulty, [8], 9)
