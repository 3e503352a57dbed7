"""The Xception-DeepLab head: atrous spatial pyramid pooling and a decoder down to stride 2.

After Chen et al., "Encoder-Decoder with Atrous Separable Convolution" (ECCV 2018). Differs,
because masks of legs, tails and horns are a few pixels wide and frames come at any size:
- the decoder continues from stride 4 to stride 2, reading low-level features at strides 8, 4 and 2;
- no image-level pooling and per-pixel layer normalisation: a pixel's logit depends on its
  surroundings alone, so a crop, a shifted and a larger image give the same answer, and no batch
  statistics exist that could move.
"""

from collections.abc import Callable

import keras
from keras import layers

from models.backbone import BACKBONE
from models.convolutions import conv1x1, sepconv
from models.resampling import Interpolate

ASPP_CHANNELS = 256
ASPP_DILATIONS = (6, 12, 18)  # at output stride 16; doubled at 8, halved at 32
# Of each decoder stage, from coarse to fine: channels taken from the low-level features, channels.
DECODER = ((64, 128), (48, 96), (24, 48))


AddPrompt = Callable[[keras.KerasTensor, int, str], keras.KerasTensor]


def deeplab_head(
    features: dict[str, keras.KerasTensor],
    output_stride: int,
    width: float = 1.0,
    add_prompt: AddPrompt | None = None,
) -> dict[str, keras.KerasTensor]:
    """Adds the head to a functional graph.

    Args:
        features: of `xception_features`, sides such that all strides divide (see `PadToGrid`).
        output_stride: that of the last block's features: 32, 16 or 8.
        width: multiplies the numbers of channels.
        add_prompt: where the network takes prompts, from a map of the head, its stride and the name
            of the place to the map with the prompt added; see `models.prompted`.

    Returns: {"mask": logits (batch, 2 (h - 1) + 1, 2 (w - 1) + 1, 1)} for a stride-2 map of h x w.
    """

    def channels(count):
        return max(4, round(count * width))

    x = layers.Activation("relu", name="aspp_input_act")(features[BACKBONE.last_block])
    if add_prompt:
        x = add_prompt(x, output_stride, "aspp_input")
    branches = [conv1x1(x, channels(ASPP_CHANNELS), "aspp_conv1x1")]
    for rate in ASPP_DILATIONS:
        dilation = rate * 16 // output_stride
        branches.append(sepconv(x, channels(ASPP_CHANNELS), f"aspp_sepconv_rate{rate}", dilation))
    x = layers.Concatenate(name="aspp_concat")(branches)
    x = conv1x1(x, channels(ASPP_CHANNELS), "aspp_project")

    stride = output_stride
    for block, (low_level, filters) in zip(BACKBONE.low_level_blocks, DECODER, strict=True):
        fine_stride = BACKBONE.stride(block, output_stride)
        name = f"decoder_stride{fine_stride}"
        if stride != fine_stride:
            x = Interpolate(stride // fine_stride, name=f"{name}_up")(x)
        skip = conv1x1(features[block], channels(low_level), f"{name}_low_level")
        if add_prompt:
            skip = add_prompt(skip, fine_stride, name)
        x = layers.Concatenate(name=f"{name}_concat")([x, skip])
        x = sepconv(x, channels(filters), f"{name}_sepconv1")
        x = sepconv(x, channels(filters), f"{name}_sepconv2")
        stride = fine_stride
    x = layers.Conv2D(1, 1, name="mask_logits")(x)
    return {"mask": Interpolate(stride, name="mask_up")(x)}
