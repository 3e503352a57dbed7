"""The fine-tuned network in 8-bit integers, computed by OpenVINO: on processors with instructions
for them it takes two thirds of the time of bfloat16. It cannot learn.

OpenVINO and NNCF are optional packages: pip install -r requirements-openvino.txt. They are imported
when a network is converted, and kept from sending anything to their makers.
"""

import contextlib
import io
import logging
import os
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any, Literal

import keras
import numpy as np

from utils.errors import UsageError
from utils.stage3.inference import Network

Runtime = Literal["keras", "openvino"]  # the choices of --runtime
# Makes what segments from a network and images that it is shown, uint8 (h, w, 3) RGB.
Convert = Callable[[keras.Model, Sequence[np.ndarray]], Network]
PACKAGES = ("openvino", "nncf")
MAX_SHAPES = 8  # of images whose compiled networks are kept


class OpenVinoNetwork:
    """Stands in for a network of `models.build_model` where it only segments.

    Args:
        model: in float32, whose weights are taken.
        images: uint8 (h, w, 3) RGB of any sizes, from which the ranges of its maps are estimated.

    Raises:
        UsageError: as `require_openvino`.
    """

    def __init__(self, model: keras.Model, images: Sequence[np.ndarray]):
        require_openvino()
        self._openvino, nncf = _import_quietly()
        batches = [image[None].astype("float32") for image in images]
        with contextlib.redirect_stdout(io.StringIO()):  # its progress bars
            self._network = nncf.quantize(
                self._convert(model), nncf.Dataset(batches), subset_size=len(batches)
            )
        self._compiled: dict[tuple[int, int], Any] = {}

    def predict_on_batch(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """As of `keras.Model`: {"mask": logits, float32 (n, H, W, 1)}.

        Args:
            images: (n, H, W, 3) RGB, 0..255.
        """
        compiled = self._compile(images.shape[1:3])
        logits = [compiled([image[None].astype("float32")])[0] for image in images]
        return {"mask": np.concatenate(logits)}

    def _convert(self, model: keras.Model):
        import tensorflow as tf

        mask = keras.Model(model.input, model.output["mask"])
        signature = [tf.TensorSpec((1, None, None, 3), "float32")]
        function = tf.function(lambda image: mask(image, training=False), signature)
        return self._openvino.convert_model(function.get_concrete_function())

    def _compile(self, size: tuple[int, int]):
        """The network for images of one size, which is faster than one for all sizes."""
        if size not in self._compiled:
            if len(self._compiled) == MAX_SHAPES:
                del self._compiled[next(iter(self._compiled))]
            network = self._network.clone()
            network.reshape([1, *size, 3])
            self._compiled[size] = self._openvino.compile_model(
                network, "CPU", {"PERFORMANCE_HINT": "LATENCY"}
            )
        return self._compiled[size]


class SeenImages:
    """A network that keeps what it is shown.

    Attributes:
        images: uint8 (h, w, 3) RGB.
    """

    def __init__(self, model: keras.Model):
        self._model = model
        self.images: list[np.ndarray] = []

    def predict_on_batch(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """As of `keras.Model`."""
        self.images += list(images)
        return self._model.predict_on_batch(images)


def convert_network(
    build: Callable[[], keras.Model], model: keras.Model, images: Sequence[np.ndarray]
) -> OpenVinoNetwork:
    """Converts a network in any precision.

    Args:
        build: makes a network like it, in the precision that is set then.
        model: whose weights are taken.
        images: as of `OpenVinoNetwork`.
    """
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        twin = build()
    finally:
        keras.config.set_dtype_policy(policy)
    twin.set_weights(model.get_weights())
    return OpenVinoNetwork(twin, images)


def require_openvino() -> None:
    """Raises UsageError if --runtime openvino cannot work here."""
    missing = [package for package in PACKAGES if not find_spec(package)]
    if missing:
        raise UsageError(
            f"--runtime openvino needs packages that are not installed: {', '.join(missing)}. "
            "Run: pip install -r requirements-openvino.txt"
        )
    if keras.backend.backend() != "tensorflow":
        raise UsageError("--runtime openvino converts networks of TensorFlow: unset KERAS_BACKEND.")


def _import_quietly():
    """Imports OpenVINO and NNCF without their reports of use and their messages."""
    os.environ.setdefault("NNCF_CI", "1")
    sys.modules.setdefault("openvino_telemetry", None)  # importing it fails, which both expect
    import nncf
    import openvino

    nncf.set_log_level(logging.ERROR)
    return openvino, nncf
