"""Weights of the original BubbleNets (TensorFlow 1 checkpoints) under the names of our layers.

Its published weights are for non-commercial research only: a user imports them, none are shipped.
"""

import re
from pathlib import Path

import numpy as np

from utils.errors import InputError

LAYERS = ("fc1", "fc2", "fc3", "fc4", "prediction")
_KINDS = {"weights": "kernel", "biases": "bias"}


def read_checkpoint(prefix: Path) -> dict[str, np.ndarray]:
    """Reads a checkpoint of the original, PREFIX.index and PREFIX.data-00000-of-00001.

    Variables deep_regression/{fc1..fc4,prediction}/{weights,biases} count; what the optimizer kept
    beside them (/Adam, /Adam_1, beta1_power, ...) does not.

    Returns: "fc1/kernel", "fc1/bias", ... "prediction/bias" -> float32.

    Raises: InputError if there is no such checkpoint, or a variable is missing or misshapen.
    """
    import tensorflow as tf  # only for this; other Keras backends do without

    try:
        reader = tf.train.load_checkpoint(str(prefix))
    except (ValueError, tf.errors.OpError) as error:
        raise InputError(
            f"{prefix}: expected a TensorFlow checkpoint, {prefix}.index and {prefix}.data-..., "
            f"found none that can be read ({str(error).splitlines()[0]}). Give its prefix without "
            "these endings."
        ) from error
    tensors = {}
    for name in reader.get_variable_to_shape_map():
        match = re.fullmatch(rf"(?:.*/)?({'|'.join(LAYERS)})/(weights|biases)", name)
        if match:
            tensor = reader.get_tensor(name).astype("float32")
            tensors[f"{match[1]}/{_KINDS[match[2]]}"] = tensor
    for layer in LAYERS:
        for kind, ours in _KINDS.items():
            if f"{layer}/{ours}" not in tensors:
                raise InputError(
                    f"{prefix}: expected the variable deep_regression/{layer}/{kind}, found none. "
                    "Give a checkpoint of BN0 or BNLF."
                )
    return tensors


def feature_size(tensors: dict[str, np.ndarray]) -> int:
    """Length of the frame vectors that these weights take: fc1 has five of them and five indices.

    Raises: InputError if that does not come out whole.
    """
    size, rest = divmod(len(tensors["fc1/kernel"]) - 5, 5)
    if rest or size < 1:
        raise InputError(
            f"fc1 takes {len(tensors['fc1/kernel'])} values, expected five vectors and five "
            "indices. Give a checkpoint of BN0 or BNLF."
        )
    return size
