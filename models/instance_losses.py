"""The losses of the instance head, on maps at its stride.

After Zhou et al., "Objects as Points" (2019) for the centres and Panoptic-DeepLab (Cheng et al.,
2020) for the offsets. Each is a mean over what counts in the whole batch: an image without animals
has no say in the offsets.
"""

import keras
from keras import ops

from models.losses import binary_cross_entropy, valid_pixels

LOSS_WEIGHTS = {"centre": 1.0, "offset": 2.0, "assignment": 0.7, "border": 1.0}
_LEAST_SIZE_PX = 32.0  # errors in still smaller animals count as in these
_BORDER_WEIGHT = 3.0  # of a pixel of a border, which is rare


@keras.saving.register_keras_serializable("one_shot")
class CentreLoss(keras.losses.Loss):
    """Focal loss of the heatmap of centres.

    Targets (batch, h, w, 2): the heat, 0..1, 1 at a centre alone; and the probability of the
    prompted network's mask above which the place does not count. Predictions (batch, h, w, 2):
    logits of the heat, and that probability. A centre always counts.
    """

    def call(self, y_true, y_pred):
        heat, limit = y_true[..., 0], y_true[..., 1]
        logits, found = y_pred[..., 0], y_pred[..., 1]
        is_centre = ops.cast(heat >= 1.0, "float32")
        counts = ops.maximum(is_centre, ops.cast(found <= limit, "float32"))
        probability = ops.sigmoid(logits)
        missed = is_centre * (1 - probability) ** 2 * ops.softplus(-logits)
        # Near a centre, heat is hardly wrong.
        excess = (1 - heat) ** 4 * probability**2 * ops.softplus(logits)
        return ops.sum(counts * (missed + excess)) / ops.maximum(ops.sum(is_centre), 1.0)


@keras.saving.register_keras_serializable("one_shot")
class OffsetLoss(keras.losses.Loss):
    """L1 of the offsets to the own centre, in lengths of the animal.

    Targets (batch, h, w, 3): x and y in pixels, and the root of the animal's area in pixels, 0
    where there is none. Predictions (batch, h, w, 2): x and y.
    """

    def call(self, y_true, y_pred):
        size = y_true[..., 2]
        error = ops.sum(ops.abs(y_true[..., :2] - y_pred), axis=-1)
        return _mean_over_animals(error / ops.maximum(size, _LEAST_SIZE_PX), size)


@keras.saving.register_keras_serializable("one_shot")
class AssignmentLoss(keras.losses.Loss):
    """Cross-entropy of whose centre a pixel points to: what grouping will ask.

    Targets (batch, h, w, 2): the animal's index, and its size as of `OffsetLoss`. Predictions
    (batch, h, w, animals): logits.
    """

    def call(self, y_true, y_pred):
        entropy = keras.losses.sparse_categorical_crossentropy(
            y_true[..., 0], y_pred, from_logits=True
        )
        return _mean_over_animals(entropy, y_true[..., 1])


@keras.saving.register_keras_serializable("one_shot")
class BorderLoss(keras.losses.Loss):
    """Cross-entropy of the borders between animals.

    Targets (batch, h, w, 1): 1 border, 0 not, 255 void. Predictions: logits of that shape.
    """

    def call(self, y_true, y_pred):
        valid, border = valid_pixels(y_true)
        entropy = binary_cross_entropy(border, y_pred)
        weights = valid * (1 + (_BORDER_WEIGHT - 1) * border)
        return ops.sum(weights * entropy) / ops.maximum(ops.sum(valid), 1.0)


INSTANCE_LOSSES = {
    "centre": CentreLoss(),
    "offset": OffsetLoss(),
    "assignment": AssignmentLoss(),
    "border": BorderLoss(),
}


def _mean_over_animals(values, size):
    """An animal counts by the root of its area, so that a large one does not outvote ten others."""
    share = ops.where(size > 0, 1 / ops.maximum(size, 1.0), 0.0)
    return ops.sum(share * values) / ops.maximum(ops.sum(share), 1e-6)
