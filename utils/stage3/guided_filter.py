"""The guided filter (He, Sun and Tang, 2013): a map is redrawn so that its edges follow those of an
image. In every small window it becomes a linear function of the colours."""

import cv2
import numpy as np


def guided_filter(values: np.ndarray, image: np.ndarray, radius: int, epsilon: float) -> np.ndarray:
    """Filters a map with a colour image as guide.

    Args:
        values: float32 (H, W).
        image: uint8 (H, W, 3).
        radius: of the square windows, pixels.
        epsilon: variance of colour, in squares of 0..1, below which a window is flat.

    Returns: float32 (H, W).
    """
    size = (2 * radius + 1, 2 * radius + 1)

    def mean(x: np.ndarray) -> np.ndarray:
        return cv2.boxFilter(x, -1, size, borderType=cv2.BORDER_REFLECT)

    guide = image.astype("float32") / 255
    mean_guide, mean_values = mean(guide), mean(values.astype("float32"))
    covariance = mean(guide * values[..., None]) - mean_guide * mean_values[..., None]
    products = mean((guide[..., :, None] * guide[..., None, :]).reshape(*values.shape, 9))
    scatter = products.reshape(*values.shape, 3, 3)
    scatter = scatter - mean_guide[..., :, None] * mean_guide[..., None, :]
    scatter += np.float32(epsilon) * np.eye(3, dtype="float32")
    slope = np.linalg.solve(scatter, covariance[..., None])[..., 0].astype("float32")
    offset = mean_values - (slope * mean_guide).sum(axis=-1)
    return (mean(slope) * guide).sum(axis=-1) + mean(offset)
