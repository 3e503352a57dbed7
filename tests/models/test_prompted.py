"""The prompted network: an untrained prompt changes nothing, a trained one does; its clicks."""

import cv2
import keras
import numpy as np
import pytest

from models import build_model, build_prompted_model
from models.click_training import (
    MAX_ROUNDS,
    SimulatedClicks,
    build_click_training,
    choose_error,
    draw_disks,
)
from models.losses import SegmentationLoss
from models.prompted import LAYER_PREFIX, split_prompted_model
from tests.tiny_prompted import network_with_tiny_backbone

WIDTH = 0.05


def copy_of(base: keras.Model, **options) -> keras.Model:
    """A prompted network with the weights of a plain one, and untrained prompt layers."""
    network = build_prompted_model(width=WIDTH, **options)
    own = {variable.path: variable for variable in network.weights}
    for variable in base.weights:
        own.pop(variable.path).assign(variable.value)
    assert all(path.startswith(LAYER_PREFIX) for path in own)
    return network


def random_input(height=70, width=101, seed=0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (2, height, width, 3)).astype("uint8")
    return images, (rng.random((2, height, width, 4)) > 0.5).astype("float32")


@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_an_untrained_prompt_leaves_every_logit_as_it_is(output_stride):
    base = build_model("deeplab", output_stride, width=WIDTH)
    network = copy_of(base, output_stride=output_stride)
    images, prompt = random_input()
    expected = base.predict_on_batch(images)["mask"]
    found = network.predict_on_batch({"images": images, "prompt": prompt})["mask"]
    np.testing.assert_array_equal(found, expected)


def test_the_two_halves_are_the_network():
    network = build_prompted_model(width=WIDTH)
    rng = np.random.default_rng(1)
    for variable in network.weights:
        if "residual" in variable.path:
            variable.assign(rng.normal(0, 0.3, variable.shape))
    images, prompt = random_input()
    features, head = split_prompted_model(network)
    maps = features.predict_on_batch(images)
    whole = network.predict_on_batch({"images": images, "prompt": prompt})["mask"]
    np.testing.assert_allclose(head.predict_on_batch([*maps, prompt])["mask"], whole, atol=1e-5)
    other = head.predict_on_batch([*maps, 1 - prompt])["mask"]
    assert np.abs(other - whole).max() > 1e-3
    assert {id(v) for v in [*features.weights, *head.weights]} == {id(v) for v in network.weights}


@pytest.fixture
def policy():
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_a_step_of_training_makes_the_prompt_count(policy, precision):
    policy(precision)
    keras.utils.set_random_seed(0)
    network = network_with_tiny_backbone()
    model = build_click_training(network, rounds=1)
    assert {id(v) for v in model.weights} == {id(v) for v in network.weights}
    images, prompt = random_input(64, 64)
    target = np.zeros((2, 64, 64, 1), "uint8")
    target[:, 16:48, 16:40] = 1
    target[:, :4] = 255
    draws = np.full((2, MAX_ROUNDS), -1, "float32")
    draws[0, :2] = 0.3
    # Eagerly, because it takes longer to trace than to run.
    optimizer = keras.optimizers.Adam(1e-2)
    model.compile(optimizer, {"mask": SegmentationLoss()}, run_eagerly=True)
    inputs = {"images": images, "prompt": prompt, "target": target, "draws": draws}
    for _ in range(2):  # the first one moves what begins at zero
        loss = model.train_on_batch(inputs, {"mask": target})
        assert np.isfinite(loss)
    given, empty = (
        keras.ops.convert_to_numpy(network({"images": images, "prompt": values})["mask"])
        for values in (prompt, 0 * prompt)
    )
    assert given.dtype == np.float32 and np.abs(given - empty).max() > 1e-3


# Simulated clicks


def errors(*boxes: tuple[int, int, int, int], size=(64, 80)) -> np.ndarray:
    maps = np.zeros((1, *size, 1), "float32")
    for top, left, bottom, right in boxes:
        maps[0, top:bottom, left:right] = 1
    return maps


@pytest.mark.parametrize("draw", [0.0, 0.5, 0.99])
@pytest.mark.parametrize("is_positive", [True, False])
def test_a_click_is_in_the_middle_of_the_largest_error(draw, is_positive):
    largest, smaller = errors((8, 8, 40, 60), (50, 60, 60, 70)), errors((44, 4, 60, 20))
    maps = (largest, smaller) if is_positive else (smaller, largest)
    y, x, positive, clicked = (
        keras.ops.convert_to_numpy(values)[0] for values in choose_error(*maps, np.float32([draw]))
    )
    assert clicked == 1 and positive == is_positive
    depth = cv2.distanceTransform(largest[0, ..., 0].astype("uint8"), cv2.DIST_L2, 5)
    # Half of the greatest distance, up to the cells of four pixels.
    assert depth[int(y), int(x)] >= depth.max() / 2 - 4


def test_pixels_at_the_border_are_no_middle():
    y, x, *_ = choose_error(errors((0, 0, 64, 24)), errors(), np.float32([0.5]))
    assert 4 < float(x[0]) < 20 and 4 < float(y[0]) < 60


@pytest.mark.parametrize("draw, maps", [(-1.0, errors((8, 8, 40, 60))), (0.5, errors())])
def test_without_a_draw_or_an_error_nothing_is_clicked(draw, maps):
    *_, clicked = choose_error(maps, errors(), np.float32([draw]))
    assert float(clicked[0]) == 0


def test_each_round_adds_a_disk_on_the_error_and_the_mask_that_was_found():
    found = errors((0, 40, 64, 80))  # what the network always sees: the right half
    target = (errors((16, 0, 48, 40)) + errors((0, 40, 64, 60))).astype("uint8")
    prompt = np.zeros((2, 64, 80, 4), "float32")
    prompt[..., 3] = 1
    layer = SimulatedClicks(lambda inputs: {"mask": keras.ops.convert_to_tensor(10 * found - 5)})
    draws = np.float32([[0.5, -1, -1], [-1, -1, -1]])
    two = np.concatenate([target, target])
    result = keras.ops.convert_to_numpy(layer([np.zeros((2, 1)), prompt, two, draws]))
    np.testing.assert_array_equal(result[1], prompt[1])
    np.testing.assert_array_equal(result[0, ..., 2:3], found[0])
    np.testing.assert_array_equal(result[0, ..., 3], 1)
    disk = result[0, ..., 0]
    assert disk.sum() == draw_disks((64, 80), np.float32([32]), np.float32([20])).numpy().sum()
    assert disk[16:48, :40].sum() == disk.sum() and not result[0, ..., 1].any()


def test_where_clicks_of_both_kinds_overlap_the_later_one_counts():
    prompt = np.zeros((1, 64, 80, 4), "float32")
    prompt[..., 1] = 1  # negative clicks everywhere
    target = errors((16, 0, 48, 40)).astype("uint8")
    layer = SimulatedClicks(lambda inputs: {"mask": keras.ops.zeros((1, 64, 80, 1)) - 5})
    draws = np.float32([[0.5, -1, -1]])
    result = keras.ops.convert_to_numpy(layer([np.zeros((1, 1)), prompt, target, draws]))
    clicked = result[0, ..., 0] == 1
    assert 0 < clicked.sum() < clicked.size
    np.testing.assert_array_equal(result[0, ..., 1], ~clicked)
