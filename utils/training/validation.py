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
    scored = target != VOID
    found, annotated = (logits > 0) & scored, target == 1
    union = np.count_nonzero(found | annotated)
    return np.count_nonzero(found & annotated) / union if union else 1.0
