"""Ranking by BubbleNets: comparing frames, bubble sort, references."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.bubblenets import build_bubblenet
from tests.frame_choice_world import SIZE, vectors
from utils.frame_choice.ranking import (
    MAX_CANDIDATES,
    bubble_sort,
    compare_frames,
    draw_references,
    rank_by_bubblenet,
)


@pytest.fixture(scope="module")
def untrained():
    keras.utils.set_random_seed(3)
    return build_bubblenet("BNLF", SIZE)


@settings(deadline=None)
@given(st.permutations(range(9)))
def test_consistent_comparisons_are_sorted_best_first(quality):
    margins = np.subtract.outer(quality, quality).astype("float32")
    assert [quality[i] for i in bubble_sort(margins)] == sorted(quality, reverse=True)


def test_a_negative_margin_means_that_the_second_is_better_and_moves_on():
    # 0 loses to 1, 1 beats 2, 0 beats 2: not below 0, the first one moves on.
    margins = np.array([[0, -1, 1], [1, 0, 1], [-1, -1, 0]], "float32")
    assert bubble_sort(margins) == [1, 0, 2]


def test_contradicting_comparisons_still_rank_every_frame_once():
    margins = np.array([[0, 1, -1], [-1, 0, 1], [1, -1, 0]], "float32")
    assert sorted(bubble_sort(margins)) == [0, 1, 2]


def test_the_network_is_asked_about_frames_in_the_published_order(reddest):
    x = vectors(12)
    margins = compare_frames(reddest, x, range(12))
    np.testing.assert_allclose(margins, np.subtract.outer(x[:, 0], x[:, 0]), atol=1e-5)
    assert rank_by_bubblenet(reddest, x) == np.argsort(-x[:, 0]).tolist()


def test_a_comparison_is_the_mean_of_the_whole_network_over_draws_and_orders(untrained):
    # Of two frames references are any of the two, so enough draws see all eight cases.
    x = vectors(2)
    draws = 400
    expected = 0.0
    for case in np.ndindex(2, 2, 2):
        for sign, pair in ((1, (0, 1)), (-1, (1, 0))):
            input_frames = np.array([*pair, *case])
            inputs = {
                "features": x[input_frames][None],
                "indices": (input_frames / 2)[None].astype("float32"),
            }
            expected += sign * float(untrained.predict_on_batch(inputs)[0, 0]) / 16
    margins = compare_frames(untrained, x, [0, 1], draws=draws)
    assert margins[0, 1] == pytest.approx(expected, abs=0.01)
    assert margins[1, 0] == -margins[0, 1] and abs(expected) > 0.02


@pytest.mark.parametrize("num_frames", [1, 2, 3, 4])
def test_short_videos_are_ranked(untrained, num_frames):
    ranking = rank_by_bubblenet(untrained, vectors(num_frames))
    assert sorted(ranking) == list(range(num_frames))


def test_the_same_seed_gives_the_same_ranking_and_no_other_randomness_counts(untrained):
    x = vectors(20)
    first = rank_by_bubblenet(untrained, x, seed=4)
    np.random.seed(99)
    keras.utils.set_random_seed(99)
    assert rank_by_bubblenet(untrained, x, seed=4) == first


def test_only_candidates_are_ranked(reddest):
    x = vectors(10)
    assert rank_by_bubblenet(reddest, x, [7, 2, 5]) == sorted([7, 2, 5], key=lambda i: -x[i, 0])


def test_of_a_long_video_evenly_spaced_frames_are_ranked(reddest, monkeypatch):
    monkeypatch.setattr("utils.frame_choice.ranking.MAX_CANDIDATES", 11)
    ranking = rank_by_bubblenet(reddest, vectors(101))
    assert sorted(ranking) == list(range(0, 101, 10))
    assert MAX_CANDIDATES == 1000


@settings(max_examples=30, deadline=None)
@given(st.integers(3, 40), st.integers(0, 2**32 - 1))
def test_references_are_others_than_the_pair_and_each_other(num_frames, seed):
    rng = np.random.default_rng(seed)
    first = rng.integers(num_frames, size=200)
    pairs = np.stack([first, (first + rng.integers(1, num_frames, size=200)) % num_frames], axis=1)
    references = draw_references(rng, pairs, num_frames)
    assert references.shape == (200, 3)
    assert references.min() >= 0 and references.max() < num_frames
    for pair, three in zip(pairs.tolist(), references.tolist(), strict=True):
        assert not set(pair) & set(three)
        assert num_frames < 5 or len(set(three)) == 3


def test_references_are_drawn_evenly():
    rng = np.random.default_rng(0)
    references = draw_references(rng, np.tile([5, 2], (60_000, 1)), 8)
    counts = np.bincount(references.ravel(), minlength=8) / references.size
    np.testing.assert_allclose(counts, [1 / 6, 1 / 6, 0, 1 / 6, 1 / 6, 0, 1 / 6, 1 / 6], atol=0.01)
