"""A second input of the network: where the animal was in the frame before.

After Perazzi et al., "Learning Video Object Segmentation from Static Images" (CVPR 2017). Differs:
the mask does not lie beside the colours, where it would need an ImageNet backbone that learns anew
from its first layer, but is added to the features of stride 8, before most of the backbone and the
decoder.
"""

import keras
from keras import layers

CHANNELS = (16, 32, 64)  # of strides 2, 4 and 8
PREFIX = "previous_mask_"  # of the names of its layers


def previous_mask_features(
    previous_mask: keras.KerasTensor, filters: int, width: float = 1.0
) -> keras.KerasTensor:
    """Adds the encoder of a mask to a functional graph.

    No layer has an offset: where nothing is known the features are zero, and the network is the
    one without this input.

    Args:
        previous_mask: (batch, h, w, 1): 1 animal, -1 none, 0 nothing is known; odd sides, such
            that all strides divide.
        filters: channels of the map that it is added to.
        width: multiplies the other numbers of channels.

    Returns: (batch, h', w', filters) at stride 8; zeros with untrained weights.
    """
    x = previous_mask
    for stride, count in zip((2, 4, 8), CHANNELS, strict=True):
        name = f"{PREFIX}conv_stride{stride}"
        x = layers.Conv2D(
            max(4, round(count * width)), 3, strides=2, padding="same", use_bias=False,
            kernel_initializer="he_normal", name=name,
        )(x)  # fmt: skip
        x = layers.Activation("relu", name=f"{name}_act")(x)
    return layers.Conv2D(
        filters, 1, use_bias=False, kernel_initializer="zeros", name=f"{PREFIX}project"
    )(x)
