"""Cross-validation of the frame choice: no leaks, even folds, known comparisons."""

import json

import numpy as np
import pytest

import train_bubblenet
from models.bubblenets import VARIANTS
from tests.measured_table import write_table
from train_bubblenet import Config
from utils import paths
from utils.errors import UsageError
from utils.frame_choice import cross_validation
from utils.frame_choice.cross_validation import (
    compare,
    format_comparison,
    make_folds,
    pairs_right,
)


def test_no_frame_of_a_held_out_video_is_trained_on(tmp_path, videos, monkeypatch):
    trained = []

    def spy(variant, training, settings):
        trained.append((variant, {video.name for video in training}))
        return len(trained) - 1  # stands for the network

    fitted = []
    monkeypatch.setattr(cross_validation, "train_bubblenet", spy)
    real = cross_validation.fit_linear_rule
    monkeypatch.setattr(
        cross_validation,
        "fit_linear_rule",
        lambda training: fitted.append({v.name for v in training}) or real(training),
    )
    used = []

    def rank(network, vectors, candidates, seed):
        [name] = [v.name for v in videos if np.array_equal(v.features.vectors, vectors)]
        used.append((name, *trained[network]))
        return [int(frame) for frame in candidates]

    monkeypatch.setattr(cross_validation, "rank_by_bubblenet", rank)
    table = write_table(tmp_path / "table", videos)
    train_bubblenet.main(Config(table=table, cross_validate=True, folds=3, results=tmp_path))
    for variant in VARIANTS:
        chosen_by = {name: names for name, which, names in used if which == variant}
        assert chosen_by.keys() == {"cat", "dove", "eel", "fox"}
        assert len([name for name, which, _ in used if which == variant]) == 4
        for name, names in chosen_by.items():
            assert name not in names and len(names) >= 2
    record = json.loads((tmp_path / paths.FRAME_SELECTION / "cross_validation.json").read_text())
    everyone = {"cat", "dove", "eel", "fox"}
    assert [everyone - set(fold) for fold in record["folds"]] == fitted
    assert sorted(name for fold in record["folds"] for name in fold) == sorted(everyone)


@pytest.mark.parametrize("num_videos, num_folds", [(27, 9), (27, 27), (10, 3), (2, 2)])
def test_folds_divide_the_videos_evenly(num_videos, num_folds):
    folds = make_folds(num_videos, num_folds, seed=1)
    assert sorted(sum(folds, [])) == list(range(num_videos))
    assert max(map(len, folds)) - min(map(len, folds)) <= 1


@pytest.mark.parametrize("num_folds", [0, 1, 5])
def test_folds_that_leave_nothing_to_train_or_test_are_a_usage_error(num_folds):
    with pytest.raises(UsageError, match="--folds"):
        make_folds(4, num_folds, seed=0)


def test_comparison_of_known_choices(videos):
    for video, scores in zip(videos, ([1, 2, 3, 4, 5], [5, 4, 3, 2, 1]) * 2, strict=True):
        video.scores[video.measured] = scores
    forwards = {video.name: [11, 8, 5, 3, 0] for video in videos}
    central = {video.name: [5, 3, 8, 0, 11] for video in videos}
    summary = compare(videos, {"late": forwards, "middle": central})
    assert summary["oracle"]["mean"] == 5 and summary["random (mean of all)"]["mean"] == 3
    assert summary["middle"]["mean"] == 3 and summary["late"]["mean"] == 3
    assert summary["late"]["pairs_right"] == pytest.approx(0.5)
    assert summary["late"]["scores"] == {"cat": 5, "dove": 1, "eel": 5, "fox": 1}
    low, high = summary["late"]["interval"]
    assert low == 1 and high == 5  # of four values 1, 5, 1, 5, all alike once in 128 samples
    assert summary["middle"]["minus_middle_interval"] == [0, 0]
    assert summary["oracle"]["minus_middle"] == 2
    assert list(summary)[0] == "oracle"
    text = format_comparison(summary, 4)
    assert "mean of 4 videos" in text and "late" in text


@pytest.mark.parametrize(
    "ranking, share", [([2, 1, 0], 1.0), ([0, 1, 2], 0.0), ([2, 0, 1], 2 / 3), ([3, 4], 0.5)]
)
def test_share_of_pairs_in_the_right_order(ranking, share):
    assert pairs_right(np.array([0.1, 0.2, 0.3, 0.7, 0.7]), ranking) == pytest.approx(share)
