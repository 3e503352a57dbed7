"""A small world for the tests of stages 1 and 2: a network of three convolutions, so that a run
takes seconds; the scripts do not know. tests/training/conftest.py has the fixtures."""

from pathlib import Path

import keras
from keras import layers

import train_davis_objectness
import train_pascal_base
from models.xception import normalised
from utils.training.weights import save_weights

STAGES = {"pascal_base": train_pascal_base, "objectness": train_davis_objectness}


def tiny_network(head="deeplab", train_batch_statistics=False) -> keras.Model:
    image = keras.Input((None, None, 3), name="images")
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="normalise")(image)
    for name in ("block1_conv", "block4_conv"):
        x = normalised(
            x,
            layers.Conv2D(8, 3, padding="same", use_bias=False, name=name),
            train_batch_statistics,
        )
        x = layers.ReLU(name=f"{name}_act")(x)
    outputs = {"mask": layers.Conv2D(1, 1, name="mask_logits")(x)}
    if head == "xfcn":
        outputs["side2"] = layers.Conv2D(1, 1, name="side2_logits")(x)
    return keras.Model(image, outputs, name=f"xception_{head}")


def write_start(path: Path, stage: str, head: str = "deeplab") -> Path:
    keras.utils.set_random_seed(3)
    save_weights(tiny_network(head), path, {"stage": stage, "head": head})
    return path
