"""Where a prompt enters the network: in the head, so that the backbone is computed once per frame,
whatever the number of animals and clicks.

The prompt is an image of four channels. A pyramid of strided convolutions brings it to the strides
of the head's maps, and it is added to the input of ASPP and to the decoder's low-level features.
Clicks are disks of a few pixels, as in RITM (Sofiiuk et al., 2021). RITM's prompt passes through
the whole backbone; here, ASPP alone would carry a click only to the few places that its dilated
kernels touch. Therefore, before ASPP, a few layers spread the prompt over the frame's coarse
features. What is added begins at zero: an untrained prompt changes nothing.
"""

import keras
from keras import layers

from models.backbone import BACKBONE
from models.resampling import PadToGrid
from models.separable import SeparableConv2D

# Of the frame: where a person said that the animal is and is not; the animal's mask, of this frame
# or an earlier one; and all that is known to be other animals.
PROMPT_CHANNELS = ("positive_clicks", "negative_clicks", "mask", "other_masks")
NUM_PROMPT_CHANNELS = len(PROMPT_CHANNELS)
CLICK_RADIUS_PX = 5  # of the disks
LAYER_PREFIX = "prompt_"  # of the name of every layer that the network without prompts lacks

_STRIDE_CHANNELS = {2: 16, 4: 24, 8: 48, 16: 64, 32: 64}  # of the prompt, by stride
_FEATURE_CHANNELS, _SPREAD_CHANNELS = 128, 192
_SPREAD_DILATIONS = (1, 2, 4, 8)  # at output stride 16: reaches a frame's side


class PromptPyramid:
    """Layers that add a prompt to maps of the head.

    Args:
        prompt: (batch, height, width, 4), of the image's size.
        output_stride: of the backbone.
        width: multiplies the numbers of channels.
    """

    def __init__(self, prompt: keras.KerasTensor, output_stride: int, width: float = 1.0):
        self._width = width
        self._dilation_scale = 16 / output_stride
        self._maps = {}
        x = PadToGrid(BACKBONE.grid_px, BACKBONE.margin_px, name="prompt_pad")(prompt)
        # The first convolutions of the backbone, which do not pad, take the margin away.
        x = layers.Cropping2D(BACKBONE.margin_px, name="prompt_crop")(x)
        for stride, channels in _STRIDE_CHANNELS.items():
            if stride > output_stride:
                break
            name = f"prompt_stride{stride}"
            x = layers.Conv2D(
                self._channels(channels), 3, strides=2, padding="same", name=name
            )(x)  # fmt: skip
            self._maps[stride] = x = layers.Activation("relu", name=f"{name}_act")(x)

    def add_to(self, x: keras.KerasTensor, stride: int, name: str) -> keras.KerasTensor:
        """The map `x` of the head, at a stride, with the prompt added.

        Args:
            name: of the place in the head; at the input of ASPP the prompt is first spread.
        """
        prompt = self._maps[stride]
        if name == "aspp_input":
            prompt = self._spread(x, prompt)
        residual = layers.Conv2D(
            x.shape[-1], 1, use_bias=False, kernel_initializer="zeros",
            name=f"prompt_{name}_residual",
        )(prompt)  # fmt: skip
        return layers.Add(name=f"prompt_{name}_add")([x, residual])

    def _spread(self, features, prompt):
        """The prompt, carried from where it was given to what looks as if it belonged to it."""
        x = layers.Conv2D(
            self._channels(_FEATURE_CHANNELS), 1, use_bias=False, name="prompt_spread_features"
        )(features)
        x = self._normalised(x, "prompt_spread_features")
        x = layers.Concatenate(name="prompt_spread_concat")([x, prompt])
        x = layers.Conv2D(
            self._channels(_SPREAD_CHANNELS), 1, use_bias=False, name="prompt_spread_input"
        )(x)
        x = self._normalised(x, "prompt_spread_input")
        for dilation in _SPREAD_DILATIONS:
            name = f"prompt_spread_rate{dilation}"
            y = SeparableConv2D(
                self._channels(_SPREAD_CHANNELS),
                3,
                padding="same",
                dilation_rate=max(1, round(dilation * self._dilation_scale)),
                use_bias=False,
                name=name,
            )(x)
            x = layers.Add(name=f"{name}_add")([x, self._normalised(y, name)])
        return x

    def _channels(self, count):
        return max(4, round(count * self._width))

    def _normalised(self, x, name):
        x = layers.LayerNormalization(epsilon=1e-3, name=f"{name}_norm")(x)
        return layers.Activation("relu", name=f"{name}_act")(x)


def split_prompted_model(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """Cuts the network in two, which share its layers.

    Args:
        model: of `models.build_prompted_model`.

    Returns:
        features: from images (batch, height, width, 3) to a list of those of the backbone's maps
            that the head reads.
        head: from the list of these maps and the prompt to {"mask": logits}.
    """
    maps = feature_maps(model)
    features = keras.Model(model.input["images"], maps, name="features")
    head = keras.Model([*maps, model.input["prompt"]], model.output, name="head")
    return features, head


def feature_maps(model: keras.Model) -> list[keras.KerasTensor]:
    """The maps of the backbone that the head of a prompted network reads."""
    blocks = (*BACKBONE.low_level_blocks, BACKBONE.last_block)
    return [model.get_layer(BACKBONE.output_layers[block]).output for block in blocks]
