"""The training state: every variable by its path, or an error that names it and changes nothing."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers

from utils import paths
from utils.errors import InputError
from utils.training.backup import Backup
from utils.training.optimizers import make_optimizer


def network(*names: str, channels: int = 4) -> keras.Model:
    """Convolutions of one shape with these names."""
    x = images = keras.Input((None, None, 3), name="images")
    x = layers.Conv2D(channels, 3, padding="same", name="block1_conv")(x)
    for name in names or ("block4_conv", "block5_conv"):
        x = layers.Conv2D(channels, 3, padding="same", name=name)(x)
    outputs = {"mask": layers.Conv2D(1, 1, name="mask_logits")(x)}
    model = keras.Model(images, outputs)
    model.compile(make_optimizer(1e-3, 1e-4), loss={"mask": "mse"})
    return model


def train(model: keras.Model, seed: int = 0) -> keras.Model:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (2, 8, 8, 3)).astype("float32")
    model.train_on_batch(images, {"mask": rng.random((2, 8, 8, 1)).astype("float32")})
    return model


def state_of(model: keras.Model) -> dict[str, np.ndarray]:
    variables = model.variables + model.optimizer.variables
    return {v.path: np.array(keras.ops.convert_to_numpy(v)) for v in variables}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


@pytest.fixture
def saved(tmp_path):
    """A backup after two steps, and the model it was made from."""
    model = train(train(network()))
    backup = Backup(tmp_path / "state.npz")
    backup.set_model(model)
    backup.on_epoch_end(4)
    return tmp_path / "state.npz", model


def rewrite(path, change) -> None:
    with np.load(path) as file:
        state = dict(file)
    np.savez(path, **(change(state) or state))


def test_weights_optimizer_and_epoch_come_back(saved):
    path, model = saved
    other = train(network(), seed=1)
    assert Backup(path).restore(other) == 5
    assert_same(state_of(other), state_of(model))
    assert_same(state_of(train(other, 2)), state_of(train(model, 2)))  # and go the same way
    assert os.listdir(path.parent) == ["state.npz"]


def test_without_a_file_nothing_is_restored(tmp_path):
    model = train(network())
    before = state_of(model)
    assert Backup(tmp_path / "state.npz").restore(model) == 0
    assert_same(state_of(model), before)


def test_layers_of_the_same_shape_in_another_order_get_their_own_values(saved):
    path, model = saved
    other = network("block5_conv", "block4_conv")
    Backup(path).restore(other)
    assert_same(state_of(other), state_of(model))
    assert [layer.name for layer in other.layers] != [layer.name for layer in model.layers]


def test_extra_variables_are_part_of_the_state(saved):
    path, model = saved
    count = keras.Variable(7, dtype="int32", trainable=False)
    backup = Backup(path, {"count": count})
    with pytest.raises(InputError, match="tensor extra/count is missing"):
        backup.restore(model)
    backup.on_epoch_end(0)
    count.assign(0)
    assert backup.restore(model) == 1
    assert int(count.numpy()) == 7


@pytest.mark.parametrize(
    "other, message",
    [
        (lambda: network("block4_conv"), "tensor model/block5_conv/.* is not part"),
        (lambda: network("block4_conv", "block5_conv", "block6_conv"), "block6_conv.* is missing"),
        (lambda: network(channels=5), r"tensor model/block1_conv/kernel has shape \(3, 3, 3, 4\)"),
    ],
)
def test_the_state_of_another_network_is_refused_by_tensor(saved, other, message):
    other = train(other())
    before = state_of(other)
    with pytest.raises(InputError, match=message) as error:
        Backup(saved[0]).restore(other)
    assert str(saved[0]) in str(error.value)
    assert_same(state_of(other), before)


def test_a_missing_moment_of_the_optimizer_is_named(saved):
    path, model = saved
    name = "optimizer/backbone_adamw/block4_conv_kernel_momentum"
    rewrite(path, lambda state: state.pop(name) is None)
    with pytest.raises(InputError, match=f"tensor {name} is missing"):
        Backup(path).restore(model)


@pytest.mark.parametrize(
    "change", [lambda state: {**state, "format": 1}, lambda state: {"epoch": 1, "00000": 0.0}]
)
def test_another_format_is_refused(saved, change):
    rewrite(saved[0], change)
    with pytest.raises(InputError, match="another version of this program"):
        Backup(saved[0]).restore(saved[1])


def test_paths_do_not_depend_on_what_the_process_built_before():
    code = (
        "import sys; from tests.training.test_backup import network, state_of, train\n"
        "for _ in range(int(sys.argv[1])): network()\n"
        "print(*sorted(state_of(train(network()))))"
    )
    first, second = (
        subprocess.run(
            [sys.executable, "-c", code, count],
            cwd=paths.ROOT, capture_output=True, text=True, timeout=300, check=True,
        ).stdout.split()
        for count in "02"
    )  # fmt: skip
    assert first == second and len(first) == len(set(first)) > 20


@pytest.mark.parametrize("size", [0, 100])
def test_a_state_that_a_power_cut_left_incomplete_is_named(saved, size):
    """It ended in a traceback, each time."""
    path, model = saved
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(InputError, match=r"state\.npz: cannot continue, it cannot be read"):
        Backup(path).restore(model)


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    model = train(network())
    backup = Backup(tmp_path / "state.npz")
    backup.set_model(model)
    model.get_layer("block4_conv").bias.assign(np.full(4, np.nan, "float32"))
    with pytest.raises(FloatingPointError, match="model/block4_conv/bias"):
        backup.on_epoch_end(0)
    assert not os.listdir(tmp_path)


def test_two_variables_of_one_path_are_not_saved(tmp_path):
    model = train(network())
    backup = Backup(tmp_path / "state.npz")
    backup.set_model(model)
    model.get_layer("block5_conv").kernel._path = "block4_conv/kernel"
    with pytest.raises(ValueError, match="same path"):
        backup.on_epoch_end(0)
    assert not os.listdir(tmp_path)
