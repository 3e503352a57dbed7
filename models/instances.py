"""The instance head: a second, small decoder beside the prompted network's own. Without any prompt,
it tells the animals of a group from each other.

After Cheng et al., "Panoptic-DeepLab" (CVPR 2020): a heatmap of the animals' centres and, for each
pixel, the offset to the centre of its animal; besides, a border where two animals touch. It reads
maps of the prompted network, which stays as it is.
"""

import keras
from keras import layers

from models.backbone import BACKBONE
from models.convolutions import conv1x1, sepconv
from models.resampling import Interpolate

STRIDE = 4  # of the outputs; value j of a map sits on pixel STRIDE * j
OFFSET_PX = 64.0  # unit of the offsets
# Of each stride, from coarse to fine: layers of the prompted network that are read, and the number
# of channels that is taken from each.
MAPS = (
    ((BACKBONE.output_layers[BACKBONE.last_block], 256), ("aspp_project_act", 128)),
    ((BACKBONE.output_layers["block3"], 64), ("decoder_stride8_sepconv2_act", 64)),
    ((BACKBONE.output_layers["block2"], 48), ("decoder_stride4_sepconv2_act", 48)),
)
_COARSE_DILATIONS = (3, 6, 12, 18)
# Name, channels and first bias of the outputs; centres and borders are rare.
_OUTPUTS = (("centre", 1, -4.0), ("offset", 2, 0.0), ("border", 1, -3.0))


def build_trunk(prompted: keras.Model) -> keras.Model:
    """The prompted network with the maps that the head reads.

    Args:
        prompted: of `models.build_prompted_model`.

    Returns: from {"images", "prompt"} to {"maps": list of maps, "mask": logits}.
    """
    maps = [prompted.get_layer(name).output for stage in MAPS for name, _ in stage]
    outputs = {"maps": maps, "mask": prompted.output["mask"]}
    return keras.Model(prompted.input, outputs, name="trunk")


def build_instance_head(trunk: keras.Model) -> keras.Model:
    """An untrained head.

    Args:
        trunk: of `build_trunk`; only the shapes of its maps matter.

    Returns: from the list of the trunk's maps to float32 maps (batch, h, w, channels) at STRIDE:
        {"centre": logits (1), "offset": x and y in units of OFFSET_PX (2), "border": logits (1)}.
    """
    inputs = [
        keras.Input((None, None, x.shape[-1]), name=f"map{i}")
        for i, x in enumerate(trunk.output["maps"])
    ]
    channels = [count for stage in MAPS for _, count in stage]
    taken = [
        conv1x1(x, count, f"instance_take{i}")
        for i, (x, count) in enumerate(zip(inputs, channels, strict=True))
    ]
    x = layers.Concatenate(name="instance_coarse")(taken[:2])
    branches = [conv1x1(x, 128, "instance_aspp1")]
    branches += [sepconv(x, 128, f"instance_aspp_rate{d}", d) for d in _COARSE_DILATIONS]
    x = layers.Concatenate(name="instance_aspp_concat")(branches)
    x = conv1x1(x, 256, "instance_aspp_project")
    for dilation in (1, 2, 4):
        x = _residual(x, f"instance_spread_rate{dilation}", dilation)
    for stride, count, more in ((8, 160, taken[2:4]), (4, 96, taken[4:6])):
        x = Interpolate(2, name=f"instance_up{stride}")(x)
        x = layers.Concatenate(name=f"instance_concat{stride}")([x, *more])
        x = sepconv(x, count, f"instance_stride{stride}_sepconv1")
        x = _residual(x, f"instance_stride{stride}_sepconv2", 2)
    outputs = {name: _output(x, name, count, bias) for name, count, bias in _OUTPUTS}
    return keras.Model(inputs, outputs, name="instance_head")


def _residual(x, name, dilation):
    return layers.Add(name=f"{name}_add")([x, sepconv(x, x.shape[-1], name, dilation)])


def _output(x, name, channels, bias):
    x = sepconv(x, 48, f"instance_{name}_sepconv")
    return layers.Conv2D(
        channels,
        1,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
        bias_initializer=keras.initializers.Constant(bias),
        dtype="float32",
        name=f"instance_{name}",
    )(x)
