"""Xception, blocks 1 to 13, as a feature extractor with a chosen output stride.

Layer for layer `keras.applications.Xception` up to block 13 (Chollet, CVPR 2017; the paper's
network stops there too), with every layer named, the shortcuts included, and strides traded for
dilation.
"""

import keras
from keras import layers

from models.backbone import BACKBONE
from models.resampling import DilatedMaxPooling2D
from models.separable import SeparableConv2D

BATCH_NORM_EPSILON = 1e-3
NUM_BLOCKS = BACKBONE.num_blocks


@keras.saving.register_keras_serializable("one_shot")
class FixedBatchNorm(layers.BatchNormalization):
    """Batch normalisation by its moving mean and variance in training too; scale and offset learn.

    A layer of its own: a functional model overrides a `training=False` given to a plain one.
    """

    def call(self, inputs, training=None, mask=None):
        return super().call(inputs, training=False, mask=mask)


def xception_features(
    images: keras.KerasTensor,
    output_stride: int = 16,
    width: float = 1.0,
    train_batch_statistics: bool = False,
) -> dict[str, keras.KerasTensor]:
    """Adds blocks 1-13 to a functional graph.

    Args:
        images: (batch, height, width, 3), RGB scaled to [-1, 1].
        output_stride: 32, 16 or 8; strides beyond it become dilation, so that the weights serve
            all three.
        width: multiplies every number of channels (tests use narrow networks; the ImageNet weights
            need 1).
        train_batch_statistics: True lets the moving mean and variance of batch normalisation
            follow the training data; False (fine-tuning, and every test) keeps them fixed whatever
            mode the model runs in.

    Returns:
        block name -> map (batch, h, w, channels), those that `BACKBONE.strides` lists, before the
        next block's activation: block1 (64 channels, after its own activation), block2 (128),
        block3 (256), block4 and block12 (728), block13 (1024).

    Raises:
        ValueError: for another output stride.
    """
    if output_stride not in (8, 16, 32):
        raise ValueError(f"output_stride must be 8, 16 or 32, got {output_stride}.")
    batch_norm_class = layers.BatchNormalization if train_batch_statistics else FixedBatchNorm

    def channels(count):
        return max(4, round(count * width))

    def batch_norm(x, name):
        return batch_norm_class(epsilon=BATCH_NORM_EPSILON, name=f"{name}_bn")(x)

    def conv(x, filters, name, **options):
        x = layers.Conv2D(channels(filters), use_bias=False, name=name, **options)(x)
        return batch_norm(x, name)

    def sepconv(x, filters, name, dilation):
        x = SeparableConv2D(
            channels(filters), 3, padding="same", dilation_rate=dilation, use_bias=False, name=name
        )(x)
        return batch_norm(x, name)

    def down_block(x, filters, name, stride, dilation, first_activation=True):
        """Two separable convolutions, pooling, and a 1x1 shortcut: blocks 2, 3, 4 and 13."""
        shortcut = conv(
            x, filters[1], f"{name}_shortcut", kernel_size=1, strides=stride, padding="same"
        )
        if first_activation:
            x = layers.Activation("relu", name=f"{name}_sepconv1_act")(x)
        x = sepconv(x, filters[0], f"{name}_sepconv1", dilation)
        x = layers.Activation("relu", name=f"{name}_sepconv2_act")(x)
        x = sepconv(x, filters[1], f"{name}_sepconv2", dilation)
        if stride == 2:
            x = layers.MaxPooling2D(3, strides=2, padding="same", name=f"{name}_pool")(x)
        else:
            x = DilatedMaxPooling2D(dilation, name=f"{name}_pool")(x)
        return layers.Add(name=f"{name}_add")([x, shortcut])

    features = {}
    x = conv(images, 32, "block1_conv1", kernel_size=3, strides=2)
    x = layers.Activation("relu", name="block1_conv1_act")(x)
    x = conv(x, 64, "block1_conv2", kernel_size=3)
    features["block1"] = x = layers.Activation("relu", name="block1_conv2_act")(x)
    features["block2"] = x = down_block(x, (128, 128), "block2", 2, 1, first_activation=False)
    features["block3"] = x = down_block(x, (256, 256), "block3", 2, 1)

    stride = 1 if output_stride == 8 else 2
    features["block4"] = x = down_block(x, (728, 728), "block4", stride, 1)
    dilation = 2 // stride
    for block in range(5, 13):
        shortcut = x
        for unit in (1, 2, 3):
            name = f"block{block}_sepconv{unit}"
            x = layers.Activation("relu", name=f"{name}_act")(x)
            x = sepconv(x, 728, name, dilation)
        x = layers.Add(name=f"block{block}_add")([x, shortcut])
    features["block12"] = x

    stride = 2 if output_stride == 32 else 1
    features["block13"] = down_block(x, (728, 1024), "block13", stride, dilation)
    return features


def freeze_first_blocks(model: keras.Model, num_blocks: int) -> None:
    """Stops the backbone's first blocks from learning.

    What they see is the same in all images, and their gradients, at full resolution, are the most
    expensive.

    Args:
        model: of `build_model`; call this before compiling it.
        num_blocks: 0 to `NUM_BLOCKS`.
    """
    for layer in model.layers:
        block = BACKBONE.block_number(layer.name)
        if block is not None and block <= num_blocks:
            layer.trainable = False
