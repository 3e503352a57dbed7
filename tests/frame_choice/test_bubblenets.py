"""BN0 and BNLF: as published, imported from TensorFlow 1, trained on pairs, honestly compared."""

import json
import os

import keras
import numpy as np
import pytest

import train_bubblenet
from models.bubblenets import VARIANTS, build_bubblenet
from train_bubblenet import Config, compare, format_comparison, make_folds, pairs_right
from utils import paths
from utils.errors import InputError, UsageError
from utils.frame_choice.bubblenet_training import (
    MeasuredVideo,
    PairBatches,
    fit_bubblenet,
    read_table,
)
from utils.frame_choice.features import CUES, FrameFeatures, save_features
from utils.frame_choice.rules import rank_by_bubblenet
from utils.training.weights import load_weights, read_weights

SIZE = 6  # of the frame vectors in these tests


def random_weights(seed: int = 0, size: int = SIZE) -> dict[str, np.ndarray]:
    """Under the original's names."""
    rng = np.random.default_rng(seed)
    inputs = {"fc1": 5 * size + 5, "fc2": 261, "fc3": 133, "fc4": 69, "prediction": 32}
    outputs = {"fc1": 256, "fc2": 128, "fc3": 64, "fc4": 32, "prediction": 1}
    tensors = {}
    for layer, width in inputs.items():
        shape = (width, outputs[layer])
        tensors[f"deep_regression/{layer}/weights"] = rng.normal(size=shape) / np.sqrt(width)
        tensors[f"deep_regression/{layer}/biases"] = rng.normal(size=shape[1:])
    return {name: value.astype("float32") for name, value in tensors.items()}


def forward(weights: dict[str, np.ndarray], features: np.ndarray, indices: np.ndarray):
    """The published network without dropout, in NumPy."""

    def layer(x, name):
        return (
            x @ weights[f"deep_regression/{name}/weights"]
            + weights[f"deep_regression/{name}/biases"]
        )

    x = np.concatenate([features.reshape(len(features), -1), indices], axis=1)
    for name in ("fc1", "fc2", "fc3", "fc4"):
        x = layer(x, name)
        x = np.where(x > 0, x, 0.2 * x)
        x = x if name == "fc4" else np.concatenate([x, indices], axis=1)
    return layer(x, "prediction")


def some_inputs(count: int = 7, size: int = SIZE):
    rng = np.random.default_rng(5)
    features = rng.normal(size=(count, 5, size)).astype("float32")
    return {"features": features, "indices": rng.random((count, 5)).astype("float32")}


# The network


@pytest.mark.parametrize("variant", VARIANTS)
def test_sizes_are_the_published_ones(variant):
    model = build_bubblenet(variant, 2048)
    shapes = {v.path: tuple(v.shape) for v in model.variables if v.path.endswith("kernel")}
    assert shapes == {
        "fc1/kernel": (10_245, 256),
        "fc2/kernel": (261, 128),
        "fc3/kernel": (133, 64),
        "fc4/kernel": (69, 32),
        "prediction/kernel": (32, 1),
    }
    assert model.count_params() == 2_667_361


@pytest.mark.parametrize("layer", ["fc2", "fc3", "fc4"])
def test_bn0_may_drop_the_frame_numbers_and_bnlf_never_does(layer):
    inputs = some_inputs(200)
    seen = {}
    for variant in VARIANTS:
        model = build_bubblenet(variant, SIZE)
        tensor = model.get_layer(layer).input
        joined = keras.Model(model.input, tensor)(inputs, training=True)
        joined = keras.ops.convert_to_numpy(joined)
        seen[variant] = joined[:, -5:]
        hidden_dropped = np.mean(joined[:, :-5] == 0)
        assert 0.15 < hidden_dropped < 0.25
    np.testing.assert_array_equal(seen["BNLF"], inputs["indices"])
    assert 0.15 < np.mean(seen["BN0"] == 0) < 0.25


def test_kernels_are_penalised_by_their_absolute_sum_and_biases_are_not():
    model = build_bubblenet("BNLF", SIZE)
    for variable in model.weights:
        variable.assign(np.full(variable.shape, -2.0))
    penalty = float(sum(model.losses))
    count = sum(int(np.prod(v.shape)) for v in model.variables if v.path.endswith("kernel"))
    assert penalty == pytest.approx(2e-6 * 2 * count, rel=1e-4)


def test_an_unknown_variant_is_refused():
    with pytest.raises(ValueError, match="BN0, BNLF"):
        build_bubblenet("BN1")


# The importer


def write_checkpoint(folder, weights: dict[str, np.ndarray]):
    """As the original's Saver writes it: with Adam's slots."""
    tf = pytest.importorskip("tensorflow")
    v1 = tf.compat.v1
    prefix = folder / "BN0_181029.ckpt-10000000"
    with tf.Graph().as_default(), v1.Session() as session:
        variables = [
            v1.get_variable(name, initializer=value, use_resource=False)
            for name, value in weights.items()
        ]
        loss = tf.add_n([tf.reduce_sum(tf.square(variable)) for variable in variables])
        v1.train.AdamOptimizer().minimize(loss)
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(session, str(prefix), write_meta_graph=False)
        names = [name for name, _ in tf.train.list_variables(str(prefix))]
    assert "deep_regression/fc1/weights/Adam_1" in names and "beta1_power" in names
    return prefix


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_imported_checkpoint_gives_the_original_networks_output(tmp_path, variant):
    weights = random_weights()
    prefix = write_checkpoint(tmp_path, weights)
    train_bubblenet.main(Config(import_checkpoint=prefix, variant=variant, output=tmp_path))
    model = build_bubblenet(variant, SIZE)
    facts = load_weights(model, tmp_path / f"{variant}.safetensors")
    assert facts["features"] == "resnet50v2" and "non-commercial" in facts["licence"]
    inputs = some_inputs()
    expected = forward(weights, inputs["features"], inputs["indices"])
    np.testing.assert_allclose(model.predict_on_batch(inputs), expected, rtol=1e-4, atol=1e-5)
    assert np.ptp(expected) > 0.1


def test_weights_of_one_variant_do_not_load_as_the_other(tmp_path):
    prefix = write_checkpoint(tmp_path, random_weights())
    train_bubblenet.main(Config(import_checkpoint=prefix, variant="BN0", output=tmp_path))
    with pytest.raises(InputError, match="BN0"):
        load_weights(build_bubblenet("BNLF", SIZE), tmp_path / "BN0.safetensors")


@pytest.mark.parametrize("missing", ["fc3/biases", "prediction/weights"])
def test_a_checkpoint_without_a_variable_is_refused_by_its_name(tmp_path, missing):
    weights = random_weights()
    del weights[f"deep_regression/{missing}"]
    prefix = write_checkpoint(tmp_path, weights)
    with pytest.raises(InputError, match=f"deep_regression/{missing}"):
        train_bubblenet.main(Config(import_checkpoint=prefix, variant="BN0", output=tmp_path))
    assert not (tmp_path / "BN0.safetensors").exists()


def test_a_checkpoint_of_other_widths_is_refused_by_the_layer(tmp_path):
    weights = random_weights()
    weights["deep_regression/fc2/weights"] = np.zeros((256, 128), "float32")
    prefix = write_checkpoint(tmp_path, weights)
    with pytest.raises(InputError, match="fc2/kernel"):
        train_bubblenet.main(Config(import_checkpoint=prefix, variant="BN0", output=tmp_path))


def test_no_checkpoint_and_half_a_command_are_errors(tmp_path):
    pytest.importorskip("tensorflow")
    with pytest.raises(InputError, match="expected a TensorFlow checkpoint"):
        train_bubblenet.main(Config(import_checkpoint=tmp_path / "none", variant="BN0"))
    with pytest.raises(UsageError, match="go together"):
        train_bubblenet.main(Config(import_checkpoint=tmp_path / "none"))


# The table and its pairs


def make_video(name: str, seed: int, num_frames: int = 12, measured=(0, 3, 5, 8, 11)):
    """A video whose frames are the better the larger the first value of their vector."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(num_frames, SIZE)).astype("float32")
    cues = {cue: rng.random(num_frames).astype("float32") for cue in CUES}
    scores = np.full(num_frames, np.nan, "float32")
    scores[list(measured)] = 1 + 0.4 * np.tanh(vectors[list(measured), 0])
    features = FrameFeatures(vectors, cues, "xception", "ab" * 32, "cd" * 32)
    return MeasuredVideo(name, features, scores)


def write_table(folder, videos):
    for video in videos:
        save_features(folder / f"{video.name}.npz", video.features, video.scores)
    return folder


@pytest.fixture
def videos():
    return [make_video(name, seed) for seed, name in enumerate(("cat", "dove", "eel", "fox"))]


def test_a_table_is_read_as_it_was_written(tmp_path, videos):
    read = read_table(write_table(tmp_path, videos))
    assert [v.name for v in read] == ["cat", "dove", "eel", "fox"]
    for found, video in zip(read, videos, strict=True):
        np.testing.assert_array_equal(found.features.vectors, video.features.vectors)
        np.testing.assert_array_equal(found.scores, video.scores)
        assert found.features.weights_sha256 == "ab" * 32
        assert found.measured.tolist() == [0, 3, 5, 8, 11]


def test_features_and_scores_alone_make_a_table(tmp_path, videos):
    video = videos[0]
    np.savez(tmp_path / "cat.npz", features=video.features.vectors, scores=video.scores)
    [read] = read_table(tmp_path)
    assert read.features.cues == {} and read.measured.tolist() == [0, 3, 5, 8, 11]


@pytest.mark.parametrize(
    "arrays, words",
    [
        ({"features": np.ones((4, SIZE))}, "scores"),
        ({"scores": np.ones(4)}, "features"),
        ({"features": np.ones((4, SIZE)), "scores": np.ones(3)}, "a score per frame"),
        ({"features": np.full((4, SIZE), np.nan), "scores": np.ones(4)}, "finite"),
        ({"features": np.ones((4, SIZE)), "scores": [1, np.nan, np.nan, np.nan]}, "at least two"),
        ({"features": np.ones((4, SIZE + 1)), "scores": np.ones(4)}, "one backbone"),
    ],
)
def test_a_broken_table_is_refused(tmp_path, videos, arrays, words):
    write_table(tmp_path, videos[:2])
    np.savez(tmp_path / "broken.npz", **arrays)
    with pytest.raises(InputError, match=words):
        read_table(tmp_path)


def test_an_empty_table_is_refused(tmp_path):
    with pytest.raises(InputError, match="--table"):
        read_table(tmp_path)


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
    for number, five, target in zip(numbers[:, 0], frames, targets[:, 0], strict=True):
        assert len(set(five)) == 5
        scores = videos[number].scores
        assert target == pytest.approx(scores[five[0]] - scores[five[1]])
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
    fit_bubblenet(model, training, steps=150, batch_size=64, learning_rate=1e-3, seed=0)
    for video in (make_video("new", seed, 9, range(9)) for seed in (100, 101)):
        ranking = rank_by_bubblenet(model, video.features.vectors)
        assert pairs_right(video.scores, ranking) > 0.75


# Comparison


def test_no_frame_of_a_held_out_video_is_trained_on(tmp_path, videos, monkeypatch):
    trained = []

    def spy(config, variant, training):
        trained.append((variant, {video.name for video in training}))
        return len(trained) - 1  # stands for the network

    fitted = []
    monkeypatch.setattr(train_bubblenet, "train", spy)
    real = train_bubblenet.fit_rule
    monkeypatch.setattr(
        train_bubblenet,
        "fit_rule",
        lambda training: fitted.append({v.name for v in training}) or real(training),
    )
    used = []

    def rank(network, vectors, candidates, seed):
        [name] = [v.name for v in videos if np.array_equal(v.features.vectors, vectors)]
        used.append((name, *trained[network]))
        return [int(frame) for frame in candidates]

    monkeypatch.setattr(train_bubblenet, "rank_by_bubblenet", rank)
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
