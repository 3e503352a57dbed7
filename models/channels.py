"""A network with a channel for each of several animals, made from the network for one."""

import keras
from keras import layers, ops

FUSING_LAYER = "mask_logits"  # the last convolution of every head


def with_channels(model: keras.Model, count: int) -> keras.Model:
    """The same network with `count` filters in its last convolution, each of them a copy of the one
    that is there.

    All other layers are those of `model`: what the one network learns, the other one knows.

    Args:
        model: of `build_model`.
        count: of channels.

    Returns: a model with the output "mask" alone, float32 logits (batch, height, width, count).
    """
    fusing = model.get_layer(FUSING_LAYER)

    def replace_fusing(layer):
        if layer is not fusing:
            return layer
        return layers.Conv2D.from_config({**layer.get_config(), "filters": count})

    several = keras.models.clone_model(model, clone_function=replace_fusing)
    several = keras.Model(several.input, {"mask": several.output["mask"]}, name=model.name)
    several.get_layer(FUSING_LAYER).set_weights(
        [repeat_channel(value, count) for value in fusing.get_weights()]
    )
    return several


def repeat_channel(value, count: int):
    """A weight of the last convolution, an array (..., 1), for `count` channels: (..., count)."""
    return ops.convert_to_numpy(ops.repeat(value, count, axis=-1))


def take_channel(several: keras.Model, model: keras.Model, channel: int) -> None:
    """The network for one animal becomes one channel of that for several.

    Args:
        several: of `with_channels`.
        model: what it was made from.
        channel: counted from 0.
    """
    kernel, bias = several.get_layer(FUSING_LAYER).get_weights()
    only = slice(channel, channel + 1)
    model.get_layer(FUSING_LAYER).set_weights([kernel[..., only], bias[only]])
