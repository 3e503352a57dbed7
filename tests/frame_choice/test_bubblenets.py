"""The networks BN0 and BNLF as published, and their import from TensorFlow 1 checkpoints."""

from dataclasses import replace

import keras
import numpy as np
import pytest

import train_bubblenet
from models.bubblenets import VARIANTS, build_bubblenet
from train_bubblenet import Config
from utils.errors import InputError, UsageError
from utils.training.weights import load_weights, save_weights

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


@pytest.mark.parametrize("there", VARIANTS)
def test_an_import_beside_or_over_networks_of_other_features_is_refused(tmp_path, there):
    """The included one was replaced without a word, and then no frame could be chosen."""
    prefix = write_checkpoint(tmp_path, random_weights())
    known = tmp_path / "weights" / f"{there}.safetensors"
    facts = {"head": there, "features": "xception", "features_sha256": "ab" * 32}
    save_weights(build_bubblenet(there, SIZE), known, facts)
    before = known.read_bytes()
    config = Config(import_checkpoint=prefix, variant="BN0", output=known.parent)
    with pytest.raises(InputError, match=rf"{there}.*resnet50v2.*found one trained on xception"):
        train_bubblenet.main(config)
    assert known.read_bytes() == before
    known.unlink()
    for variant in VARIANTS:  # the two of the original go together
        train_bubblenet.main(replace(config, variant=variant))


def test_no_checkpoint_and_half_a_command_are_errors(tmp_path):
    pytest.importorskip("tensorflow")
    with pytest.raises(InputError, match="expected a TensorFlow checkpoint"):
        train_bubblenet.main(Config(import_checkpoint=tmp_path / "none", variant="BN0"))
    with pytest.raises(UsageError, match="go together"):
        train_bubblenet.main(Config(import_checkpoint=tmp_path / "none"))
