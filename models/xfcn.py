"""The paper's XFCN head: side outputs of five blocks, up-sampled, concatenated and fused, each
supervised.

Xue et al., IEEE TII 2022, built like OSVOS (Caelles et al., CVPR 2017). Differs from the paper's
code in the backbone (all of Xception's middle flow with its ImageNet weights, batch statistics
kept) and in up-sampling that neither shifts nor needs cropping.
"""

import keras
from keras import layers

from models.resampling import Interpolate

SIDE_CHANNELS = 16
# name, block, stride and dilation of the 3x3 convolution of each side output
SIDES = (
    ("side2", "block2", 4, 1),
    ("side3", "block3", 8, 2),
    ("side4", "block4", 16, 4),
    ("side5", "block12", 16, 4),
    ("side6", "block13", 32, 8),
)


def xfcn_head(features: dict[str, keras.KerasTensor]) -> dict[str, keras.KerasTensor]:
    """Adds the head to a functional graph.

    Args:
        features: of `xception_features` at output stride 32, sides such that all strides divide
            (see `PadToGrid`).

    Returns: logits (batch, 4 (h - 1) + 1, 4 (w - 1) + 1, 1) for a stride-4 map of h x w:
        "mask", the fused output, then "side2" to "side6" for deep supervision.
    """
    sides, upsampled = {}, []
    for name, block, stride, dilation in SIDES:
        x = layers.Conv2D(
            SIDE_CHANNELS, 3, padding="same", dilation_rate=dilation, name=f"{name}_conv"
        )(features[block])
        upsampled.append(Interpolate(stride, name=f"{name}_features_up")(x))
        logits = layers.Conv2D(1, 1, name=f"{name}_logits")(x)
        sides[name] = Interpolate(stride, name=f"{name}_up")(logits)
    x = layers.Concatenate(name="fuse_concat")(upsampled)
    return {"mask": layers.Conv2D(1, 1, name="mask_logits")(x), **sides}
