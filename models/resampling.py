"""Layers that Keras lacks for resampling maps. All sizes may be unknown until call time."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("one_shot")
class PadToGrid(keras.layers.Layer):
    """Pads an image so that every feature of the backbone sits on a pixel of the image.

    Replicates the border: `margin` pixels at the top and left, and at the bottom and right so many
    that the sides become grid k + 1 + 2 margin. Then all pooled maps have odd sides, "same" padding
    is symmetric, and feature j of a stride-s map has its receptive field's centre exactly at image
    pixel s * j: coarse maps interpolate with no offset, at any image size (shown by a shifted image
    in the tests).

    Args:
        grid: the coarsest stride of the backbone.
        margin: pixels that convolutions without padding take away on each side.

    Call: (batch, height, width, channels) -> (batch, grid k + 1 + 2 margin, grid l + 1 + 2 margin,
        channels), same dtype.
    """

    def __init__(self, grid: int, margin: int, **kwargs):
        super().__init__(**kwargs)
        self.grid = grid
        self.margin = margin

    def call(self, images):
        for axis in (1, 2):
            size = ops.shape(images)[axis]
            index = ops.arange(self._padded(size), dtype="int32") - self.margin
            images = ops.take(images, ops.clip(index, 0, size - 1), axis=axis)
        return images

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        padded = [None if size is None else self._padded(size) for size in (height, width)]
        return (batch, *padded, channels)

    def get_config(self):
        return {**super().get_config(), "grid": self.grid, "margin": self.margin}

    def _padded(self, size):
        return self.grid * ((size + self.grid - 2) // self.grid) + 1 + 2 * self.margin


@keras.saving.register_keras_serializable("one_shot")
class Interpolate(keras.layers.Layer):
    """Bilinear up-sampling by a whole factor with the first and last samples kept ("align
    corners").

    n samples become factor * (n - 1) + 1, which is what maps of `PadToGrid` images need; Keras'
    own bilinear resizing keeps pixel areas instead and would shift them. The mean of `factor`
    neighbours in a repeated map is the interpolated value, which is four times cheaper than matrix
    products, forward and backward.

    Call: (batch, h, w, channels) -> (batch, factor * (h - 1) + 1, factor * (w - 1) + 1, channels).
    """

    def __init__(self, factor: int, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor
        self.steps = []
        for size in ((factor, 1), (1, factor)):
            self.steps.append(keras.layers.UpSampling2D(size))
            self.steps.append(keras.layers.AveragePooling2D(size, strides=1))

    def call(self, maps):
        for step in self.steps:
            maps = step(maps)
        return maps

    def compute_output_shape(self, input_shape):
        def fine(size):
            return None if size is None else self.factor * (size - 1) + 1

        batch, height, width, channels = input_shape
        return (batch, fine(height), fine(width), channels)

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


@keras.saving.register_keras_serializable("one_shot")
class CropLike(keras.layers.Layer):
    """Cuts maps at the bottom and right to the height and width of the images they belong to.

    Call: [maps (batch, >= h, >= w, c), images (batch, h, w, any)] -> (batch, h, w, c), float32.
    """

    def call(self, inputs):
        maps, images = inputs
        _, height, width, _ = ops.shape(images)
        # Logits leave the network in float32 also under a mixed policy: losses need it.
        return ops.cast(maps[:, :height, :width, :], "float32")

    def compute_output_spec(self, inputs):
        maps, images = inputs
        shape = (*images.shape[:3], maps.shape[-1])
        return keras.KerasTensor(shape, dtype="float32")


@keras.saving.register_keras_serializable("one_shot")
class DilatedMaxPooling2D(keras.layers.Layer):
    """3x3 max pooling of stride 1 whose nine samples lie `dilation` apart (Keras has none).

    Call: (batch, h, w, c) -> the same shape; outside the map counts as minus infinity.
    """

    def __init__(self, dilation: int, **kwargs):
        super().__init__(**kwargs)
        self.dilation = dilation

    def call(self, maps):
        step = self.dilation
        lowest = -6e4  # below any activation, and finite in half precision
        for axis in (1, 2):
            size = ops.shape(maps)[axis]
            padding = [(0, 0)] * 4
            padding[axis] = (step, step)
            padded = ops.pad(maps, padding, constant_values=lowest)
            for offset in (0, 2 * step):
                window = [slice(None)] * 4
                window[axis] = slice(offset, offset + size)
                maps = ops.maximum(maps, padded[tuple(window)])
        return maps

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "dilation": self.dilation}
