"""Normalisation in few passes over the map gives what Keras's own layers give."""

import keras
import numpy as np
import pytest
from keras import layers

from models.convolutions import PixelNorm
from models.separable import SeparableConv2D
from models.xception import FixedBatchNorm, normalised

CONVOLUTIONS = [
    lambda: layers.Conv2D(6, 3, strides=2, use_bias=False, name="conv"),
    lambda: layers.Conv2D(6, 1, strides=2, padding="same", use_bias=False, name="conv"),
    lambda: SeparableConv2D(6, 3, padding="same", dilation_rate=2, use_bias=False, name="conv"),
]


def network(convolution, train_batch_statistics):
    maps = keras.Input((None, None, 4), name="maps")
    return keras.Model(maps, normalised(maps, convolution, train_batch_statistics))


def random_values(model):
    """Of all variables, the same for two models whose variables have the same paths."""
    rng = np.random.default_rng(0)
    return {
        path: rng.uniform(0.5, 2, shape) * (1 if "variance" in path else rng.choice([-1, 1], shape))
        for path, shape in sorted((v.path, tuple(v.shape)) for v in model.weights)
    }


def same_two(make):
    """Ours, and Keras's two layers, with equal weights."""
    ours, theirs = network(make(), False), network(make(), True)
    values = random_values(theirs)
    assert {v.path for v in ours.weights} == set(values)
    for model in (ours, theirs):
        for variable in model.weights:
            variable.assign(values[variable.path])
    return ours, theirs


def random_maps():
    return np.random.default_rng(1).normal(size=(2, 9, 7, 4)).astype("float32")


@pytest.mark.parametrize("make", CONVOLUTIONS)
def test_a_scaled_kernel_gives_what_batch_normalisation_gives(make):
    ours, theirs = same_two(make)
    found, expected = ours(random_maps(), training=True), theirs(random_maps(), training=False)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("make", CONVOLUTIONS)
def test_it_learns_what_the_two_layers_learn(make):
    after = []
    for model in same_two(make):
        if not isinstance(model.layers[-1], FixedBatchNorm):
            model.layers[-1].call = fixed(model.layers[-1])
        model.compile(keras.optimizers.SGD(1e-3), loss="mse", run_eagerly=True)
        outputs = np.zeros(model.compute_output_shape((2, 9, 7, 4)), "float32")
        model.train_on_batch(random_maps(), outputs)
        after.append({v.path: np.asarray(v.value) for v in model.weights})
    for path, value in after[0].items():
        np.testing.assert_allclose(value, after[1][path], rtol=1e-4, atol=1e-4, err_msg=path)


def fixed(layer):
    """The layer's call, with its moving statistics in training too."""
    call = layer.call
    return lambda inputs, training=None, mask=None: call(inputs, training=False, mask=mask)


def test_it_comes_back_from_its_configuration():
    model = network(CONVOLUTIONS[2](), False)
    again = keras.Model.from_config(model.get_config())
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again(random_maps()), model(random_maps()))


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_a_pixels_norm_is_keras_own(dtype):
    kinds = (PixelNorm, layers.LayerNormalization)
    ours, theirs = (kind(epsilon=1e-3, dtype=dtype) for kind in kinds)
    maps = random_maps() * 3 + 5
    for layer in (ours, theirs):
        layer.build(maps.shape)
        layer.gamma.assign([1, -2, 0.5, 3])
        layer.beta.assign([0, 1, -1, 2])
    found, expected = (keras.ops.cast(layer(maps), "float32") for layer in (ours, theirs))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 if dtype == "float32" else 0.05)
