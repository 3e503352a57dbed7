"""How well a network does on images that it was not trained on."""

from collections.abc import Sequence

import keras
import numpy as np

from utils.media.labels import VOID
from utils.training.batches import Sample


def measure_iou(model: keras.Model, samples: Sequence[Sample]) -> dict[str, float]:
    """Averages `image_iou` over images.

    Args:
        model: of `models.build_model`.
        samples: images with their targets, read one at a time.

    Returns: {"validation_iou": 0..1}.
    """
    iou = float(np.mean([image_iou(model, sample) for sample in samples]))
    return {"validation_iou": round(iou, 5)}


def image_iou(model: keras.Model, sample: Sample) -> float:
    """Measures the intersection over union of one image at probability 0.5, void left out.

    Returns: 0..1; 1 if both masks are empty.
    """
    image, target, _ = sample.read()
    logits = np.asarray(model.predict_on_batch(image[None])["mask"])[0, ..., 0]
    return overlap(logits > 0, target)


def overlap(found: np.ndarray, target: np.ndarray) -> float:
    """Intersection over union of a mask with a target, void left out.

    Args:
        found: bool (H, W).
        target: uint8 (H, W), 1 object, 0 background, 255 void.

    Returns: 0..1; 1 if both are empty.
    """
    found, annotated = found & (target != VOID), target == 1
    union = np.count_nonzero(found | annotated)
    return np.count_nonzero(found & annotated) / union if union else 1.0
