"""The convolutions of the heads: each with per-pixel layer normalisation and ReLU."""

import keras
from keras import layers

from models.separable import SeparableConv2D


def conv1x1(x: keras.KerasTensor, channels: int, name: str) -> keras.KerasTensor:
    """Adds a 1x1 convolution to a functional graph, with normalisation and activation."""
    x = layers.Conv2D(channels, 1, use_bias=False, kernel_initializer="he_normal", name=name)(x)
    return _normalised(x, name)


def sepconv(x: keras.KerasTensor, channels: int, name: str, dilation: int = 1) -> keras.KerasTensor:
    """As `conv1x1`, with a separable 3x3 convolution."""
    x = SeparableConv2D(
        channels,
        3,
        padding="same",
        dilation_rate=dilation,
        use_bias=False,
        depthwise_initializer="he_normal",
        pointwise_initializer="he_normal",
        name=name,
    )(x)
    return _normalised(x, name)


def _normalised(x, name):
    x = layers.LayerNormalization(epsilon=1e-3, name=f"{name}_norm")(x)
    return layers.Activation("relu", name=f"{name}_act")(x)
