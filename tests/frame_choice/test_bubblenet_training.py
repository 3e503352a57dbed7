"""Training BubbleNets on pairs of measured frames."""

import json
import os

import keras
import numpy as np
import pytest

import train_bubblenet
from models.bubblenets import VARIANTS, build_bubblenet
from tests.measured_table import SIZE, make_video, write_table
from train_bubblenet import Config
from utils import paths
from utils.errors import InputError, UsageError
from utils.frame_choice.bubblenet_training import (
    BubbleNetTraining,
    PairBatches,
    fit_bubblenet,
)
from utils.frame_choice.cross_validation import pairs_right
from utils.frame_choice.ranking import rank_by_bubblenet
from utils.training.weights import load_weights, read_weights


def test_a_pair_is_two_measured_frames_their_difference_and_three_others(videos):
    # Of vectors that name video and frame, so that a batch can be read back.
    for number, video in enumerate(videos):
        video.features.vectors[:, 1] = number
        video.features.vectors[:, 2] = np.arange(12)
    inputs, targets = PairBatches(videos, 10, 500, seed=0)[3]
    assert targets.shape == (500, 1)
    numbers = inputs["features"][..., 1].astype(int)
    frames = inputs["features"][..., 2].astype(int)
    assert (numbers == numbers[:, :1]).all()  # references are of the same video
    assert np.bincount(numbers[:, 0]).min() > 90  # each video as often
    np.testing.assert_allclose(inputs["indices"], frames / 12, rtol=1e-6)
    assert set(frames[:, :2].ravel()) == {0, 3, 5, 8, 11}
    assert set(frames[:, 2:].ravel()) == set(range(12))
    for number, input_frames, target in zip(numbers[:, 0], frames, targets[:, 0], strict=True):
        assert len(set(input_frames)) == 5
        scores = videos[number].scores
        assert target == pytest.approx(scores[input_frames[0]] - scores[input_frames[1]])
    assert (targets > 0).any() and (targets < 0).any()  # in either order


def test_a_batch_depends_on_seed_and_number_alone(videos):
    batches = PairBatches(videos, 10, 32, seed=1)
    first = batches[4]
    batches[5]
    again, other = PairBatches(videos, 99, 32, seed=1)[4], PairBatches(videos, 10, 32, seed=2)[4]
    np.testing.assert_array_equal(first[0]["features"], again[0]["features"])
    np.testing.assert_array_equal(first[1], again[1])
    assert not np.array_equal(first[1], other[1])


def test_training_finds_what_makes_a_frame_good_in_videos_it_has_not_seen():
    keras.utils.set_random_seed(0)
    model = build_bubblenet("BNLF", SIZE)
    training = [make_video(str(seed), seed, 12, range(12)) for seed in range(12)]
    fit_bubblenet(model, training, BubbleNetTraining(150, 64, 1e-3, seed=0))
    for video in (make_video("new", seed, 9, range(9)) for seed in (100, 101)):
        ranking = rank_by_bubblenet(model, video.features.vectors)
        assert pairs_right(video.scores, ranking) > 0.75


def test_final_training_writes_both_networks_and_what_they_were_trained_on(tmp_path, videos):
    table = write_table(tmp_path / "table", videos)
    config = Config(table=table, steps=3, batch_size=8, output=tmp_path / "weights")
    train_bubblenet.main(config)
    for variant in VARIANTS:
        model = build_bubblenet(variant, SIZE)
        facts = load_weights(model, config.output / f"{variant}.safetensors")
        assert (facts["features"], facts["features_sha256"]) == ("xception", "ab" * 32)
        assert facts["data"] == "4 videos, 20 measured frames"
    rule = json.loads((config.output / paths.LINEAR_RULE_FILE.name).read_text())
    assert len(rule["coefficients"]) == len(rule["cues"]) == 6
    assert sorted(os.listdir(config.output)) == [
        "BN0.safetensors",
        "BNLF.safetensors",
        "MANIFEST.json",
        "linear_rule.json",
    ]
    again = tmp_path / "again"
    train_bubblenet.main(Config(table=table, steps=3, batch_size=8, output=again))
    for variant in VARIANTS:  # same seed, same weights
        first, _ = read_weights(config.output / f"{variant}.safetensors")
        second, _ = read_weights(again / f"{variant}.safetensors")
        for name, value in first.items():
            np.testing.assert_array_equal(value, second[name])


@pytest.mark.parametrize(
    "flags, words",
    [
        ({"steps": 0}, "--steps must be 1 or more"),
        ({"batch_size": 0}, "--batch-size must be 1 or more"),
        ({"seed": -1}, "--seed must be 0 to"),
        ({"seed": -1, "measure": True}, "--seed must be 0 to"),
        ({"steps": 0, "cross_validate": True}, "--steps must be 1 or more"),
        ({"learning_rate": -1.0}, "--learning-rate must be between 0 and 1"),
    ],
)
def test_settings_that_cannot_be_are_usage_errors(tmp_path, videos, flags, words):
    """They ended in tracebacks."""
    table = write_table(tmp_path / "table", videos)
    with pytest.raises(UsageError, match=words):
        train_bubblenet.main(Config(table=table, output=tmp_path / "weights", **flags))


def test_networks_that_choose_together_are_replaced_together(tmp_path, videos, monkeypatch):
    """BN0 was replaced before BNLF was trained."""

    def train(variant, *_):
        if variant == VARIANTS[-1]:
            raise FloatingPointError(f"{variant}: the loss is not finite.")

    monkeypatch.setattr(train_bubblenet, "train_bubblenet", train)
    config = Config(table=write_table(tmp_path / "table", videos), output=tmp_path / "weights")
    with pytest.raises(FloatingPointError):
        train_bubblenet.main(config)
    assert not config.output.exists()


@pytest.mark.parametrize("flag", ["output", "results"])
def test_folders_that_cannot_be_written_are_said_before_the_training(
    tmp_path, videos, monkeypatch, flag
):
    """All networks were trained first, and were lost."""
    table = write_table(tmp_path / "table", videos)
    (tmp_path / "file").write_bytes(b"a file")
    for name in ("train_bubblenet", "cross_validate"):
        monkeypatch.setattr(train_bubblenet, name, lambda *_: pytest.fail("trained"))
    flags = {flag: tmp_path / "file", "cross_validate": flag == "results"}
    with pytest.raises(InputError, match=f"another folder with --{flag}"):
        train_bubblenet.main(Config(table=table, **flags))
