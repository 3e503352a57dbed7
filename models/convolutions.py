"""The convolutions of the heads: each with per-pixel layer normalisation and ReLU."""

import keras
from keras import layers, ops

from models.separable import SeparableConv2D


@keras.saving.register_keras_serializable("one_shot")
class PixelNorm(layers.LayerNormalization):
    """Keras's own, over the channels of a pixel; with TensorFlow, in half as many passes over the
    map, which on a CPU are what it costs."""

    def call(self, inputs):
        if keras.backend.backend() != "tensorflow":
            return super().call(inputs)
        maps = ops.cast(inputs, "float32")
        maps = maps - ops.mean(maps, axis=-1, keepdims=True)
        variance = ops.mean(ops.square(maps), axis=-1, keepdims=True)
        maps = maps * ops.rsqrt(variance + self.epsilon) * self.gamma + self.beta
        return ops.cast(maps, self.compute_dtype)


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
    x = PixelNorm(epsilon=1e-3, name=f"{name}_norm")(x)
    return layers.Activation("relu", name=f"{name}_act")(x)
