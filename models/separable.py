"""Separable convolutions that are fast with every backend of Keras."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("one_shot")
class SeparableConv2D(keras.layers.SeparableConv2D):
    """Keras's own layer; with JAX, its depthwise part is a sum of shifted maps.

    XLA, which compiles for JAX, is slow at convolving channels one by one. It merges the shifts and
    products into one pass over the map.

    Raises:
        ValueError: for anything but stride 1, "same" padding and one odd kernel for each channel.
    """

    def __init__(self, filters: int, kernel_size: int, **options):
        super().__init__(filters, kernel_size, **options)
        if (
            self.padding != "same"
            or self.data_format != "channels_last"
            or self.depth_multiplier != 1
            or set(self.strides) != {1}
            or any(size % 2 == 0 for size in self.kernel_size)
        ):
            raise ValueError(f"{self.name}: expected stride 1, padding 'same' and odd kernels.")

    def call(self, inputs):
        if keras.backend.backend() != "jax":
            return super().call(inputs)
        maps = ops.conv(self.depthwise(inputs), self.pointwise_kernel)
        if self.use_bias:
            maps = maps + self.bias
        return maps if self.activation is None else self.activation(maps)

    def depthwise(self, inputs):
        """The depthwise part alone: (batch, h, w, c) -> the same shape and dtype."""
        kernel = ops.cast(self.depthwise_kernel, inputs.dtype)
        if keras.backend.backend() == "jax":
            return depthwise_by_shifts(inputs, kernel, self.dilation_rate)
        return ops.depthwise_conv(
            inputs, kernel, padding=self.padding, dilation_rate=self.dilation_rate
        )


def depthwise_by_shifts(maps, kernel, dilation: tuple[int, int]):
    """Convolves each channel of maps with a kernel of its own, zeros around the maps.

    Args:
        maps: (batch, h, w, c), float.
        kernel: (rows, columns, c, 1), rows and columns odd.
        dilation: down and across.

    Returns: (batch, h, w, c) in the dtype of the maps; summed in float32.
    """
    rows, columns = kernel.shape[:2]
    down, across = dilation[0] * (rows // 2), dilation[1] * (columns // 2)
    _, height, width, _ = ops.shape(maps)
    padded = ops.pad(maps, [(0, 0), (down, down), (across, across), (0, 0)])
    kernel = ops.cast(kernel, "float32")
    total = 0.0
    for row in range(rows):
        for column in range(columns):
            y, x = row * dilation[0], column * dilation[1]
            shifted = padded[:, y : y + height, x : x + width, :]
            total = total + ops.cast(shifted, "float32") * kernel[row, column, :, 0]
    return ops.cast(total, maps.dtype)
