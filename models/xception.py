"""Xception, blocks 1 to 13, as a feature extractor with a chosen output stride.

Layer for layer `keras.applications.Xception` up to block 13 (Chollet, CVPR 2017; the paper's
network stops there too), with every layer named, the shortcuts included, and strides traded for
dilation.
"""

import keras
from keras import layers, ops

from models.backbone import BACKBONE
from models.resampling import DilatedMaxPooling2D
from models.separable import SeparableConv2D

BATCH_NORM_EPSILON = 1e-3
NUM_BLOCKS = BACKBONE.num_blocks


@keras.saving.register_keras_serializable("one_shot")
class FixedBatchNorm(layers.BatchNormalization):
    """A convolution and batch normalisation by its moving mean and variance, in training too; scale
    and offset learn.

    The kernel takes the scale, so that the map is not passed over a second time. The statistics are
    fixed here and not by `training=False`, which a functional model overrides.

    Args:
        convolution: without bias and activation, built; it is called by this layer alone.
    """

    def __init__(self, convolution: keras.Layer, **options):
        super().__init__(**options)
        self.convolution = convolution
        self.autocast = False  # kernels are scaled before they are rounded

    def build(self, input_shape):
        super().build(self.convolution.compute_output_shape(input_shape))
        self.input_spec = None  # what it is called with is the convolution's input

    def call(self, inputs, training=None, mask=None):
        scale = self.gamma * ops.rsqrt(self.moving_variance + self.epsilon)
        offset = self.beta - self.moving_mean * scale
        maps, convolution = ops.cast(inputs, self.compute_dtype), self.convolution
        if isinstance(convolution, SeparableConv2D):
            maps, kernel = convolution.depthwise(maps), convolution.pointwise_kernel
        else:
            kernel = convolution.kernel
        maps = ops.conv(
            maps,
            ops.cast(kernel * scale, maps.dtype),
            strides=convolution.strides,
            padding=convolution.padding,
        )
        return maps + ops.cast(offset, maps.dtype)

    def compute_output_shape(self, input_shape):
        return self.convolution.compute_output_shape(input_shape)

    def get_config(self):
        convolution = keras.saving.serialize_keras_object(self.convolution)
        return {**super().get_config(), "convolution": convolution}

    @classmethod
    def from_config(cls, config):
        convolution = keras.saving.deserialize_keras_object(config["convolution"])
        return cls(**{**config, "convolution": convolution})


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

    def channels(count):
        return max(4, round(count * width))

    def conv(x, filters, name, **options):
        convolution = layers.Conv2D(channels(filters), use_bias=False, name=name, **options)
        return normalised(x, convolution, train_batch_statistics)

    def sepconv(x, filters, name, dilation):
        options = {"padding": "same", "dilation_rate": dilation, "use_bias": False, "name": name}
        convolution = SeparableConv2D(channels(filters), 3, **options)
        return normalised(x, convolution, train_batch_statistics)

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
        if stride == 2 or dilation == 1:
            x = layers.MaxPooling2D(3, strides=stride, padding="same", name=f"{name}_pool")(x)
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


def normalised(
    x: keras.KerasTensor, convolution: keras.Layer, train_batch_statistics: bool = False
) -> keras.KerasTensor:
    """Adds a convolution and its batch normalisation, named after it, to a functional graph.

    Args:
        x: what the convolution sees.
        convolution: new, without bias and activation.
        train_batch_statistics: see `xception_features`.
    """
    options = {"epsilon": BATCH_NORM_EPSILON, "name": f"{convolution.name}_bn"}
    if train_batch_statistics:
        return layers.BatchNormalization(**options)(convolution(x))
    convolution.build(x.shape)  # here, so that its variables are named after it alone
    return FixedBatchNorm(convolution, **options)(x)


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
