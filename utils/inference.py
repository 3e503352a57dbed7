"""From a fine-tuned network to the probability of the animal in every pixel of a frame."""

from collections.abc import Sequence

import cv2
import keras
import numpy as np

from utils.images import resize_image


def predict_probability(
    model: keras.Model,
    image: np.ndarray,
    flip: bool = True,
    scales: Sequence[float] = (1.0,),
    previous_mask: np.ndarray | None = None,
) -> np.ndarray:
    """Segments one image, with test-time augmentation.

    Args:
        model: of `models.build_model`.
        image: uint8 (H, W, 3) RGB at working size.
        flip: average with the mirrored image, both in one batch (as the original does).
        scales: sizes at which the network sees the image; the results are averaged.
        previous_mask: bool (H, W), where the animal was in the frame before, for a model with mask
            guidance; None: nothing is known.

    Returns: float32 (H, W), probability 0..1.
    """
    height, width = image.shape[:2]
    signed = np.zeros((height, width), "float32")
    if previous_mask is not None:
        signed = np.where(previous_mask, 1, -1).astype("float32")
    total = np.zeros((height, width), "float32")
    for scale in scales:
        size = (max(1, round(height * scale)), max(1, round(width * scale)))
        scaled = image if scale == 1 else resize_image(image, *size)
        # Nearest: linear would say "unknown" along the outline.
        mask = cv2.resize(signed, size[::-1], interpolation=cv2.INTER_NEAREST)
        total += _predict(model, scaled, mask, flip, (height, width))
    return total / len(scales)


def takes_previous_mask(model: keras.Model) -> bool:
    """Whether a model was built with mask guidance."""
    return len(model.inputs) > 1


def _predict(model, image, previous_mask, flip, size):
    """At one size, with the mirrored image or without; float32 of another size."""
    views = np.stack([image, image[:, ::-1]] if flip else [image])
    if takes_previous_mask(model):
        masks = np.stack([previous_mask, previous_mask[:, ::-1]] if flip else [previous_mask])
        views = {"images": views, "previous_mask": masks[..., None]}
    logits = model.predict_on_batch(views)["mask"][..., 0]
    # 0.5 * (1 + tanh(x / 2)) is the sigmoid, and overflows nowhere.
    probability = 0.5 * (1 + np.tanh(0.5 * np.asarray(logits, "float32")))
    mean = (probability[0] + probability[1][:, ::-1]) / 2 if flip else probability[0]
    if mean.shape != size:
        mean = cv2.resize(mean, size[::-1], interpolation=cv2.INTER_LINEAR)
    return mean
