"""Separable convolutions: the sum of shifted maps that JAX computes is Keras's convolution."""

import keras
import numpy as np
import pytest

from models.separable import SeparableConv2D, depthwise_by_shifts


@pytest.mark.parametrize("dilation", [(1, 1), (2, 2), (18, 18), (1, 3)])
def test_a_sum_of_shifts_is_the_depthwise_convolution(dilation):
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(2, 13, 17, 5)).astype("float32")
    kernel = rng.normal(size=(3, 3, 5, 1)).astype("float32")
    expected = keras.ops.depthwise_conv(maps, kernel, padding="same", dilation_rate=dilation)
    found = depthwise_by_shifts(maps, kernel, dilation)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_half_precision_is_summed_in_full():
    maps = keras.ops.ones((1, 5, 5, 3), "bfloat16")
    kernel = keras.ops.full((3, 3, 3, 1), 1 / 3, "float32")
    found = depthwise_by_shifts(maps, kernel, (1, 1))
    assert found.dtype == maps.dtype
    np.testing.assert_array_equal(keras.ops.cast(found, "float32")[0, 2, 2], 3.0)


def test_what_jax_computes_is_the_layer_of_the_other_backends(monkeypatch):
    layer = SeparableConv2D(4, 3, padding="same", dilation_rate=2, activation="relu")
    maps = np.random.default_rng(1).normal(size=(1, 9, 11, 6)).astype("float32")
    expected = layer(maps)
    layer.bias.assign([0.1, -0.2, 0.3, 0.0])
    with_bias = layer(maps)
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    np.testing.assert_allclose(layer(maps), with_bias, atol=1e-5)
    assert not np.allclose(with_bias, expected)


@pytest.mark.parametrize(
    "options", [{}, {"padding": "same", "strides": 2}, {"padding": "same", "depth_multiplier": 2}]
)
def test_what_it_cannot_compute_with_every_backend_is_refused(options):
    with pytest.raises(ValueError, match="expected stride 1"):
        SeparableConv2D(4, 3, **options)


def test_it_is_restored_from_its_configuration():
    layer = SeparableConv2D(4, 3, padding="same", dilation_rate=2, name="layer")
    assert SeparableConv2D.from_config(layer.get_config()).dilation_rate == (2, 2)
