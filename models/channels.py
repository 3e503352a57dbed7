"""A network with a channel for each of several animals, made from the network for one.

The channels compete: a softmax over the animals and the background, whose logit is 0. Were each
channel trained by itself, all of them, which begin as the same one, would first learn that most
animals are background, and some would never recover. In competition what is an animal stays one,
and only which one it is has to be learnt.
"""

import keras
from keras import layers, ops

FUSING_LAYER = "mask_logits"  # the last convolution of every head
SMALLEST_SHARE = 1e-6  # of all others in the softmax; sums in float32 know no smaller one


def with_channels(model: keras.Model, count: int) -> keras.Model:
    """The same network with `count` filters in its last convolution, each of them a copy of the one
    that is there. They compete.

    All other layers are those of `model`: what the one network learns, the other one knows.

    Args:
        model: of `build_model`.
        count: of channels.

    Returns: a model with the output "mask" alone, float32 logits (batch, height, width, count),
        whose sigmoid is the softmax's probability of an animal.
    """
    fusing = model.get_layer(FUSING_LAYER)

    def replace_fusing(layer):
        if layer is not fusing:
            return layer
        return CompetingConv2D.from_config({**layer.get_config(), "filters": count})

    several = keras.models.clone_model(model, clone_function=replace_fusing)
    several = keras.Model(several.input, {"mask": several.output["mask"]}, name=model.name)
    several.get_layer(FUSING_LAYER).set_weights(
        [repeat_channel(value, count) for value in fusing.get_weights()]
    )
    return several


@keras.saving.register_keras_serializable("one_shot")
class CompetingConv2D(layers.Conv2D):
    """A convolution whose filters compete with each other and with the background."""

    def call(self, inputs):
        return compete(super().call(inputs))


def compete(logits):
    """Logits of a softmax over channels and a background of logit 0: each channel against all the
    rest.

    Args:
        logits: (..., channels).

    Returns: the same shape and dtype; the sigmoid of each is the channel's probability.
    """
    values = ops.cast(logits, "float32")
    highest = ops.stop_gradient(ops.relu(ops.max(values, axis=-1, keepdims=True)))
    weights = ops.exp(values - highest)
    rest = ops.sum(weights, axis=-1, keepdims=True) + ops.exp(-highest) - weights
    against_rest = values - highest - ops.log(ops.maximum(rest, SMALLEST_SHARE))
    return ops.cast(against_rest, logits.dtype)


def repeat_channel(value, count: int):
    """A weight of the last convolution, an array (..., 1), for `count` channels: (..., count)."""
    return ops.convert_to_numpy(ops.repeat(value, count, axis=-1))


def take_channel(several: keras.Model, model: keras.Model, channel: int) -> None:
    """The network for one animal becomes one channel of that for several, without competition: it
    may also mark what other channels would have taken from this one.

    Args:
        several: of `with_channels`.
        model: what it was made from.
        channel: counted from 0.
    """
    kernel, bias = several.get_layer(FUSING_LAYER).get_weights()
    only = slice(channel, channel + 1)
    model.get_layer(FUSING_LAYER).set_weights([kernel[..., only], bias[only]])
