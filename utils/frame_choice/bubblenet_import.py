"""Weights of the original BubbleNets (TensorFlow 1 checkpoints) under the names of our layers.

The published weights are for non-commercial research only. Users import them; none are shipped.
"""

import re
from pathlib import Path

import keras
import numpy as np

from models.bubblenets import build_bubblenet
from utils.errors import InputError

LAYERS = ("fc1", "fc2", "fc3", "fc4", "prediction")
_KINDS = {"weights": "kernel", "biases": "bias"}


def import_checkpoint(prefix: Path, variant: str) -> keras.Model:
    """Builds a network with the weights of a checkpoint of the original.

    Args:
        prefix: see `read_checkpoint`.
        variant: "BN0" or "BNLF", whichever the checkpoint is.

    Raises:
        InputError: if there is no such checkpoint, or a variable is missing or has another shape.
    """
    tensors = read_checkpoint(prefix)
    model = build_bubblenet(variant, feature_size(tensors))
    for variable in model.weights:
        found, expected = tensors[variable.path].shape, tuple(variable.shape)
        if found != expected:
            raise InputError(
                f"{prefix}: {variable.path} has shape {found}, expected {expected}. Give a "
                "checkpoint of BN0 or BNLF."
            )
        variable.assign(tensors[variable.path])
    return model


def read_checkpoint(prefix: Path) -> dict[str, np.ndarray]:
    """Reads a checkpoint of the original, PREFIX.index and PREFIX.data-00000-of-00001.

    Only the variables deep_regression/{fc1..fc4,prediction}/{weights,biases} are read, not what
    the optimizer kept beside them (/Adam, /Adam_1, beta1_power, ...).

    Returns:
        "fc1/kernel", "fc1/bias", ... "prediction/bias" -> float32 arrays.

    Raises:
        InputError: if there is no such checkpoint, or a variable is missing.
    """
    import tensorflow as tf  # here alone, because other Keras backends do without it

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
    """Returns the length of the frame vectors: fc1 takes five of them and five indices.

    Raises:
        InputError: if its size is not of that form.
    """
    size, rest = divmod(len(tensors["fc1/kernel"]) - 5, 5)
    if rest or size < 1:
        raise InputError(
            f"fc1 takes {len(tensors['fc1/kernel'])} values, expected five vectors and five "
            "indices. Give a checkpoint of BN0 or BNLF."
        )
    return size
