"""A prompted network with a backbone of four convolutions and a narrow head: runs take seconds."""

import keras
from keras import layers

from models.backbone import BACKBONE
from models.deeplab import deeplab_head
from models.prompted import PromptPyramid
from models.resampling import CropLike, PadToGrid

WIDTH = 0.05


def tiny_prompted_network(train_batch_statistics: bool = False) -> keras.Model:
    images = keras.Input((None, None, 3), name="images")
    prompt = keras.Input((None, None, 4), name="prompt")
    inputs = {"images": images, "prompt": prompt}
    add_prompt = PromptPyramid(prompt, 16, WIDTH).add_to
    logits = deeplab_head(_features(images), 16, WIDTH, add_prompt)["mask"]
    outputs = {"mask": CropLike(name="mask")([logits, prompt])}
    return keras.Model(inputs, outputs, name="xception_prompted_deeplab")


def tiny_plain_network() -> keras.Model:
    """The same without prompts, as stage 1 has it."""
    images = keras.Input((None, None, 3), name="images")
    logits = deeplab_head(_features(images), 16, WIDTH)["mask"]
    return keras.Model(
        images, {"mask": CropLike(name="mask")([logits, images])}, name="xception_deeplab"
    )


def _features(images):
    x = layers.Rescaling(BACKBONE.pixel_scale, BACKBONE.pixel_offset, name="normalise")(images)
    x = PadToGrid(BACKBONE.grid_px, BACKBONE.margin_px, name="pad")(x)
    x = layers.Cropping2D(BACKBONE.margin_px, name="crop")(x)
    features = {}
    for block in ("block1", "block2", "block3", "block13"):
        x = layers.Conv2D(8, 3, strides=2, padding="same", name=f"{block}_conv")(x)
        output = BACKBONE.output_layers[block]
        features[block] = x = layers.Activation("relu", name=output)(x)
    return features
