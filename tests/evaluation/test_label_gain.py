"""What a further label promises, over the videos of a study."""

import numpy as np
import pytest

from tests.made_results import NUM_FRAMES, MadeResults, animal
from utils import paths
from utils.evaluation.label_gain import find_labelled, rank_next_frames, rank_study
from utils.evaluation.results import open_segmented
from utils.media.labels import write_label


def sure(num_frames: int) -> np.ndarray:
    return np.full(num_frames, 0.02)


def test_the_video_with_many_doubtful_frames_close_together_comes_first():
    one_dip, long_dip = sure(80), sure(80)
    one_dip[40] = 0.9
    long_dip[30:50] = 0.5
    ranking = rank_study([("a", one_dip, [0]), ("b", long_dip, [0]), ("c", sure(80), [0])], 1)
    assert [one.video for one in ranking] == ["b", "a", "c"]
    assert 30 <= ranking[0].frame < 50
    assert ranking[0].gain > 2 * ranking[1].gain


def test_a_label_nearby_leaves_less_to_gain():
    doubtful = sure(80)
    doubtful[30:50] = 0.5
    far, near = rank_study([("far", doubtful, [0]), ("near", doubtful, [40])], 1)
    assert (far.video, near.video) == ("far", "near") and far.gain > 2 * near.gain


def test_what_one_label_reaches_does_not_count_again():
    doubtful = sure(200)
    doubtful[40:60] = doubtful[150:160] = 0.5
    ranking = rank_study([("a", doubtful, [0])])
    assert len({one.frame for one in ranking}) == len(ranking) == 3
    assert 40 <= ranking[0].frame < 70 and 140 <= ranking[1].frame < 170
    gains = [one.gain for one in ranking]
    assert gains == sorted(gains, reverse=True)


def test_a_long_video_is_ranked_as_its_every_frame_would_be():
    doubtful = sure(1000)
    doubtful[700:760] = 0.6
    (first,) = rank_study([("a", doubtful, [100])], 1)
    assert abs(first.frame - rank_next_frames(doubtful, [100])[0]) <= 5


def test_nothing_is_proposed_where_nothing_is_doubtful_or_all_is_labelled():
    assert rank_study([("a", np.zeros(10), [0]), ("b", np.ones(2), [0, 1])]) == []


@pytest.mark.parametrize(
    "label, expected", [("frame_0007", [3, 7]), ("7", [3, 7]), ("007", [3, 7]), ("99", [3])]
)
def test_a_label_made_since_is_found_by_name_and_by_number(tmp_path, monkeypatch, label, expected):
    """One named by its number was proposed again, though stage 3 takes it."""
    monkeypatch.setattr(paths, "LABELS", tmp_path / "labels")
    made = MadeResults(tmp_path)
    made.add("hen", labelled=(3,), stems=[f"frame_{index:04d}" for index in range(NUM_FRAMES)])
    write_label(paths.LABELS / "hen" / f"{label}.png", animal(7))
    assert find_labelled(open_segmented(made.results, "hen")) == expected


def test_a_label_of_two_frames_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "LABELS", tmp_path / "labels")
    made = MadeResults(tmp_path)
    made.add("hen", labelled=(3,), stems=[f"{i // 6}_{i % 6}" for i in range(NUM_FRAMES)])
    write_label(paths.LABELS / "hen" / "5.png", animal(5))
    assert find_labelled(open_segmented(made.results, "hen")) == [3]
