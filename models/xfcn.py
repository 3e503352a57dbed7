"""The paper's XFCN head: side outputs of five blocks, up-sampled, concatenated and fused, each
supervised.

Xue et al., IEEE TII 2022, built like OSVOS (Caelles et al., CVPR 2017). Differs from the paper's
code in the backbone (all of Xception's middle flow with its ImageNet weights, batch statistics
kept) and in up-sampling that neither shifts nor needs cropping.
"""

import keras
from keras import layers

from models.backbone import BACKBONE
from models.resampling import Interpolate

SIDE_CHANNELS = 16
SIDE_DILATIONS = (1, 2, 4, 4, 8)  # of the 3x3 convolution of each side output, from fine to coarse


def xfcn_head(
    features: dict[str, keras.KerasTensor], output_stride: int = 32, width: float = 1.0
) -> dict[str, keras.KerasTensor]:
    """Adds the head to a functional graph.

    Args:
        features: of `xception_features`, sides such that all strides divide (see `PadToGrid`).
        output_stride: that of the last block's features; the paper's is 32.
        width: multiplies the numbers of channels.

    Returns:
        logits (batch, 4 (h - 1) + 1, 4 (w - 1) + 1, 1) for a stride-4 map of h x w: "mask", the
        fused output, then "side2" to "side6" for deep supervision.
    """
    channels = max(4, round(SIDE_CHANNELS * width))
    sides, upsampled = {}, []
    blocks = zip(BACKBONE.side_blocks, SIDE_DILATIONS, strict=True)
    for number, (block, dilation) in enumerate(blocks, start=2):  # the paper counts from side 2
        name, stride = f"side{number}", BACKBONE.stride(block, output_stride)
        x = layers.Conv2D(channels, 3, padding="same", dilation_rate=dilation, name=f"{name}_conv")(
            features[block]
        )
        upsampled.append(Interpolate(stride, name=f"{name}_features_up")(x))
        logits = layers.Conv2D(1, 1, name=f"{name}_logits")(x)
        sides[name] = Interpolate(stride, name=f"{name}_up")(logits)
    x = layers.Concatenate(name="fuse_concat")(upsampled)
    return {"mask": layers.Conv2D(1, 1, name="mask_logits")(x), **sides}
