"""From a fine-tuned network to the probability of the animal in every pixel of a frame."""

from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np

from utils.media.images import resize_image, scaled_size
from utils.training.probability import sigmoid


class Network(Protocol):
    """What segments images: a model of `models.build_model`, or what stands in for one."""

    def predict_on_batch(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Segments images, (n, H, W, 3) RGB in 0..255: {"mask": logits, float32 (n, H, W, 1)}."""


def predict_probability(
    model: Network, image: np.ndarray, flip: bool = True, scales: Sequence[float] = (1.0,)
) -> np.ndarray:
    """Segments one image, with test-time augmentation.

    Args:
        model: the network.
        image: uint8 (H, W, 3) RGB at working size.
        flip: average with the mirrored image, both in one batch (as the original does).
        scales: sizes at which the network sees the image; the results are averaged.

    Returns: float32 (H, W), probability 0..1.
    """
    height, width = image.shape[:2]
    total = np.zeros((height, width), "float32")
    for scale in scales:
        size = scaled_size(height, width, scale)
        scaled = image if scale == 1 else resize_image(image, *size)
        views = np.stack([scaled, scaled[:, ::-1]]) if flip else scaled[None]
        logits = model.predict_on_batch(views)["mask"][..., 0]
        probability = sigmoid(logits)
        mean = (probability[0] + probability[1][:, ::-1]) / 2 if flip else probability[0]
        if mean.shape != total.shape:
            mean = cv2.resize(mean, (width, height), interpolation=cv2.INTER_LINEAR)
        total += mean
    return total / len(scales)
