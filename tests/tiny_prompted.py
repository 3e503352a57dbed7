"""Prompted networks so small that runs take seconds; the training script does not know."""

import keras
from keras import layers

from models.backbone import BACKBONE
from models.deeplab import deeplab_head
from models.prompted import PromptPyramid
from models.resampling import CropLike, PadToGrid

WIDTH = 0.05
_NAME = "xception_prompted_deeplab"
_BLOCKS = ("block1", "block2", "block3", "block13")


def network_with_tiny_backbone() -> keras.Model:
    """A backbone of four convolutions with the real head, narrow."""
    images, prompt, inputs = _inputs()
    x = PadToGrid(BACKBONE.grid_px, BACKBONE.margin_px, name="pad")(_normalised(images))
    x = layers.Cropping2D(BACKBONE.margin_px, name="crop")(x)
    features = _features(x, strides=2)
    logits = deeplab_head(features, 16, WIDTH, PromptPyramid(prompt, 16, WIDTH).add_to)["mask"]
    outputs = {"mask": CropLike(name="mask")([logits, prompt])}
    return keras.Model(inputs, outputs, name=_NAME)


def tiny_prompted_network(train_batch_statistics: bool = False) -> keras.Model:
    """Convolutions at full resolution, and one that takes the prompt."""
    images, prompt, inputs = _inputs()
    features = _features(_normalised(images), strides=1)
    x = layers.Conv2D(8, 3, padding="same", name="prompt_conv")(prompt)
    x = layers.Conv2D(8, 1, use_bias=False, kernel_initializer="zeros", name="prompt_residual")(x)
    x = layers.Add(name="prompt_add")([_head_input(features), x])
    x = layers.Conv2D(1, 1, name="mask_logits")(x)
    # The prompt's size, as in the real one.
    return keras.Model(inputs, {"mask": CropLike(name="mask")([x, prompt])}, name=_NAME)


def tiny_plain_network() -> keras.Model:
    """The same without prompts, as stage 1 has it."""
    images = keras.Input((None, None, 3), name="images")
    x = _head_input(_features(_normalised(images), strides=1))
    logits = layers.Conv2D(1, 1, name="mask_logits")(x)
    return keras.Model(images, {"mask": logits}, name="xception_deeplab")


def _inputs():
    images = keras.Input((None, None, 3), name="images")
    prompt = keras.Input((None, None, 4), name="prompt")
    return images, prompt, {"images": images, "prompt": prompt}


def _normalised(images):
    return layers.Rescaling(BACKBONE.pixel_scale, BACKBONE.pixel_offset, name="normalise")(images)


def _features(x, strides):
    features = {}
    for block in _BLOCKS:
        x = layers.Conv2D(8, 3, strides, padding="same", name=f"{block}_conv")(x)
        output = BACKBONE.output_layers[block]
        features[block] = x = layers.Activation("relu", name=output)(x)
    return features


def _head_input(features):
    x = layers.Concatenate(name="head_concat")([features[block] for block in _BLOCKS])
    return layers.Conv2D(8, 1, name="head_conv")(x)
