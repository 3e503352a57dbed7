"""Losses on logits and targets (batch, height, width, 1): target 1 object, 0 background, 255 void
(does not count).

All are means over the images of the batch and do not grow with the image's area (the original's
loss was a sum over pixels, so that its step size changed with the crop).
"""

import keras
from keras import ops


def valid_pixels(targets):
    """1.0 where a target counts, 0.0 where it is void; the targets with void set to 0."""
    valid = ops.cast(targets < 1.5, "float32")
    return valid, ops.cast(targets, "float32") * valid


def binary_cross_entropy(targets, logits):
    """Element-wise cross-entropy from logits, numerically safe, float32."""
    logits = ops.cast(logits, "float32")
    return ops.relu(logits) - logits * targets + ops.softplus(-ops.abs(logits))


@keras.saving.register_keras_serializable("one_shot")
class SegmentationLoss(keras.losses.Loss):
    """Cross-entropy, balanced between the classes as strongly as wished, plus a soft Jaccard
    (region) loss.

    Args:
        balance: 1 is the class-balanced cross-entropy of OSVOS (both classes weigh the same), 0
            the plain mean over pixels; between, the class weights are raised to this power.
            Balance finds small objects, and fattens masks.
        region_weight: weight of 1 - soft intersection over union; 0 leaves it out.
    """

    def __init__(self, balance: float = 1.0, region_weight: float = 0.0, **kwargs):
        super().__init__(**kwargs)
        self.balance = balance
        self.region_weight = region_weight

    def call(self, y_true, y_pred):
        valid, targets = valid_pixels(y_true)
        axes = (1, 2, 3)
        area = ops.maximum(ops.sum(valid, axis=axes, keepdims=True), 1.0)
        share = ops.sum(targets, axis=axes, keepdims=True) / area
        # Clipped, so that an image without object still teaches: it is all background.
        share = ops.clip(share, 1e-2, 1.0 - 1e-2)
        weight_object = ops.power(0.5 / share, self.balance)
        weight_background = ops.power(0.5 / (1.0 - share), self.balance)
        weights = valid * (targets * weight_object + (1.0 - targets) * weight_background)
        entropy = binary_cross_entropy(targets, y_pred) * weights
        loss = ops.sum(entropy / area, axis=axes)
        if self.region_weight:
            loss = loss + self.region_weight * soft_jaccard_loss(y_true, y_pred)
        return loss

    def get_config(self):
        return {
            **super().get_config(),
            "balance": self.balance,
            "region_weight": self.region_weight,
        }


def soft_jaccard_loss(targets, logits):
    """1 - intersection over union of probabilities in place of masks: float32 (batch,)."""
    valid, targets = valid_pixels(targets)
    probabilities = ops.sigmoid(ops.cast(logits, "float32")) * valid
    axes = (1, 2, 3)
    intersection = ops.sum(probabilities * targets, axis=axes)
    union = ops.sum(probabilities + targets, axis=axes) - intersection
    # The 1 keeps images without object defined: any false object then costs.
    return 1.0 - (intersection + 1.0) / (union + 1.0)
