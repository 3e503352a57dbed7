"""The networks: an Xception backbone with one of the heads of `HEADS`. Only Keras is imported."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import keras
from keras import layers

from models.backbone import BACKBONE
from models.deeplab import deeplab_head
from models.prompted import NUM_PROMPT_CHANNELS, PromptPyramid
from models.resampling import CropLike, PadToGrid
from models.xception import xception_features
from models.xfcn import xfcn_head


@dataclass(frozen=True)
class Head:
    """What `build_model` knows about a head.

    Attributes:
        build: from the backbone's maps by block, the output stride and the width to a dict of
            logits, "mask" first.
        output_stride: of the backbone, unless another one is asked for.
        fixed_stride: whether the head works at this output stride alone, whatever is asked for.
    """

    build: Callable[[dict[str, keras.KerasTensor], int, float], dict[str, keras.KerasTensor]]
    output_stride: int
    fixed_stride: bool = False


# A new head is a file with its layers and a line here.
HEADS = {
    "deeplab": Head(deeplab_head, output_stride=16),
    "xfcn": Head(xfcn_head, output_stride=32, fixed_stride=True),
}
HeadName = Literal[*HEADS]  # the choices of every --head flag


def build_model(
    head: str = "deeplab",
    output_stride: int | None = None,
    width: float = 1.0,
    train_batch_statistics: bool = False,
) -> keras.Model:
    """Builds the segmentation network with random weights.

    Args:
        head: one of `HEADS`: "deeplab" (ASPP and a decoder to stride 2) or "xfcn" (the paper's
            five side outputs).
        output_stride: 8, 16 or 32, the stride of the coarsest features; None takes the head's own.
            "xfcn" always works at 32.
        width: multiplies the numbers of channels; 1 for every weights file, less only in tests.
        train_batch_statistics: see `xception_features`; leave False to fine-tune and to test.

    Returns:
        a model from images, RGB uint8 or float (batch, height, width, 3) in 0..255 at any size, to
        a dict of float32 logits (batch, height, width, 1): "mask" first; with "xfcn" also "side2"
        to "side6". Normalisation is inside. A logit above 0 means object.

    Raises:
        ValueError: for an unknown head or output stride.
    """
    if head not in HEADS:
        raise ValueError(f"head must be one of {', '.join(HEADS)}, got {head!r}.")
    facts = HEADS[head]
    if output_stride is None or facts.fixed_stride:
        output_stride = facts.output_stride
    images = keras.Input((None, None, 3), name="images")
    features = _backbone_features(images, output_stride, width, train_batch_statistics)
    logits = facts.build(features, output_stride, width)
    outputs = {name: CropLike(name=name)([x, images]) for name, x in logits.items()}
    return keras.Model(images, outputs, name=f"{BACKBONE.name}_{head}")


def build_prompted_model(
    output_stride: int = HEADS["deeplab"].output_stride,
    width: float = 1.0,
    train_batch_statistics: bool = False,
) -> keras.Model:
    """Builds the network that takes prompts: "deeplab", with a prompt that enters in its head.

    With the weights of `build_model("deeplab")` and untrained prompt layers, its logits are those
    of that network, whatever the prompt.

    Args:
        output_stride, width, train_batch_statistics: as of `build_model`.

    Returns:
        a model from {"images": as of `build_model`, "prompt": (batch, height, width, 4), 0..1, with
        the channels of `models.prompted.PROMPT_CHANNELS`} to {"mask": float32 logits (batch,
        height, width, 1)}. `models.prompted.split_prompted_model` cuts it in two, so that the
        backbone is computed once for many prompts.
    """
    images = keras.Input((None, None, 3), name="images")
    prompt = keras.Input((None, None, NUM_PROMPT_CHANNELS), name="prompt")
    features = _backbone_features(images, output_stride, width, train_batch_statistics)
    add_prompt = PromptPyramid(prompt, output_stride, width).add_to
    logits = deeplab_head(features, output_stride, width, add_prompt)
    outputs = {name: CropLike(name=name)([x, prompt]) for name, x in logits.items()}
    inputs = {"images": images, "prompt": prompt}
    return keras.Model(inputs, outputs, name=f"{BACKBONE.name}_prompted_deeplab")


def _backbone_features(images, output_stride, width, train_batch_statistics):
    x = layers.Rescaling(BACKBONE.pixel_scale, BACKBONE.pixel_offset, name="normalise")(images)
    x = PadToGrid(BACKBONE.grid_px, BACKBONE.margin_px, name="pad")(x)
    return xception_features(x, output_stride, width, train_batch_statistics)
