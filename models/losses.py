"""Losses on logits and targets (batch, height, width, 1): target 1 object, 0 background, 255 void
(does not count).

All are means over the images of the batch. All but the original's do not grow with the image's
area; that one is a sum over pixels, so that its step size changes with the crop.
"""

import keras
from keras import ops


def valid_pixels(targets):
    """Separates void from targets.

    Returns:
        float32 1.0 where a target counts and 0.0 where it is void; float32 targets with void set to
        0. Both have the shape of `targets`.
    """
    valid = ops.cast(targets < 1.5, "float32")
    return valid, ops.cast(targets, "float32") * valid


def binary_cross_entropy(targets, logits):
    """Element-wise cross-entropy from logits, numerically safe, float32."""
    logits = ops.cast(logits, "float32")
    return ops.relu(logits) - logits * targets + ops.softplus(-ops.abs(logits))


@keras.saving.register_keras_serializable("one_shot")
class SegmentationLoss(keras.losses.Loss):
    """Cross-entropy, the mean over pixels, plus a soft Jaccard (region) loss.

    Args:
        region_weight: weight of 1 - soft intersection over union; 0 leaves it out.
    """

    def __init__(self, region_weight: float = 1.0, **kwargs):
        super().__init__(**kwargs)
        self.region_weight = region_weight

    def call(self, y_true, y_pred):
        valid, targets = valid_pixels(y_true)
        axes = (1, 2, 3)
        area = ops.maximum(ops.sum(valid, axis=axes, keepdims=True), 1.0)
        entropy = binary_cross_entropy(targets, y_pred) * valid
        loss = ops.sum(entropy / area, axis=axes)
        if self.region_weight:
            loss = loss + self.region_weight * soft_jaccard_loss(y_true, y_pred)
        return loss

    def get_config(self):
        return {**super().get_config(), "region_weight": self.region_weight}


@keras.saving.register_keras_serializable("one_shot")
class BalancedSumLoss(keras.losses.Loss):
    """The original's loss, and OSVOS's: cross-entropy summed over all pixels, where object and
    background each weigh as much as the other's share of the pixels.

    It grows with the image's area; an image without an object costs nothing.
    """

    def call(self, y_true, y_pred):
        valid, targets = valid_pixels(y_true)
        axes = (1, 2, 3)
        area = ops.maximum(ops.sum(valid, axis=axes, keepdims=True), 1.0)
        objects = ops.sum(targets, axis=axes, keepdims=True) / area
        weights = targets * (1 - objects) + (valid - targets) * objects
        return ops.sum(weights * binary_cross_entropy(targets, y_pred), axis=axes)


def soft_jaccard_loss(targets, logits):
    """Computes 1 - intersection over union with probabilities in place of masks.

    Returns: float32 (batch,), 0..1.
    """
    valid, targets = valid_pixels(targets)
    probabilities = ops.sigmoid(ops.cast(logits, "float32")) * valid
    axes = (1, 2, 3)
    intersection = ops.sum(probabilities * targets, axis=axes)
    union = ops.sum(probabilities + targets, axis=axes) - intersection
    # +1 avoids 0/0 on empty targets and still penalises false positives.
    return 1.0 - (intersection + 1.0) / (union + 1.0)
