"""The networks: an Xception backbone with a DeepLab or an XFCN head. Only Keras is imported."""

import keras
from keras import layers

from models.deeplab import deeplab_head
from models.resampling import CropLike, PadToGrid
from models.xception import xception_features
from models.xfcn import xfcn_head

HEADS = ("deeplab", "xfcn")


def build_model(
    head: str = "deeplab",
    output_stride: int = 16,
    width: float = 1.0,
    train_batch_statistics: bool = False,
) -> keras.Model:
    """Builds the segmentation network with random weights.

    Args:
        head: "deeplab" (ASPP and a decoder to stride 2) or "xfcn" (the paper's five side outputs).
        output_stride: 8, 16 or 32, the stride of the coarsest features; "xfcn" always works at 32.
        width: multiplies the numbers of channels; 1 for every weights file, less only in tests.
        train_batch_statistics: see `xception_features`; leave False to fine-tune and to test.

    Returns: a model from images, RGB uint8 or float (batch, height, width, 3) in 0..255 at any
        size, to a dict of float32 logits (batch, height, width, 1): "mask" first; with "xfcn" also
        "side2" to "side6". Normalisation is inside. A logit above 0 means object.

    Raises: ValueError for an unknown head or output stride.
    """
    if head not in HEADS:
        raise ValueError(f"head must be one of {', '.join(HEADS)}, got {head!r}.")
    if head == "xfcn":
        output_stride = 32
    images = keras.Input((None, None, 3), name="images")
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="normalise")(images)
    x = PadToGrid(name="pad")(x)
    features = xception_features(x, output_stride, width, train_batch_statistics)
    if head == "deeplab":
        logits = deeplab_head(features, output_stride, width)
    else:
        logits = xfcn_head(features)
    outputs = {name: CropLike(name=name)([x, images]) for name, x in logits.items()}
    return keras.Model(images, outputs, name=f"xception_{head}")
