"""The fine-tuned network in 8-bit integers, computed by OpenVINO: on processors with instructions
for them it takes about 70 % of the time that bfloat16 takes. It cannot learn.

OpenVINO and NNCF are optional packages: pip install -r requirements-openvino.txt. They are imported
when a network is converted, and kept from sending anything to their makers.
"""

import contextlib
import io
import logging
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
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
HINTS = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}  # of what is not int8


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
        openvino, nncf = _import_quietly()
        batches = [image[None].astype("float32") for image in images]
        with contextlib.redirect_stdout(io.StringIO()):  # its progress bars
            network = nncf.quantize(
                openvino.convert_model(_trace(model)),
                nncf.Dataset(batches),
                subset_size=len(batches),
            )
        # For images of any size: the windows around a moving animal have many sizes, and to compile
        # a network for each costs a second, for a fifth of the time of a look.
        self._compiled = openvino.compile_model(network, "CPU", HINTS)

    def predict_on_batch(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """As of `keras.Model`: {"mask": logits, float32 (n, H, W, 1)}.

        Args:
            images: (n, H, W, 3) RGB, 0..255.
        """
        logits = [self._compiled([image[None].astype("float32")])[0] for image in images]
        return {"mask": np.concatenate(logits)}


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


def _trace(model: keras.Model) -> Any:
    """The network as a function of TensorFlow, from an image of any size to the mask's logits."""
    import tensorflow as tf

    mask = keras.Model(model.input, model.output["mask"])
    signature = [tf.TensorSpec((1, None, None, 3), "float32")]
    function = tf.function(lambda image: mask(image, training=False), signature)
    return function.get_concrete_function()


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


def openvino_versions(runtime: Runtime) -> dict[str, str]:
    """Versions of the packages of a runtime, by their names; none of "keras"."""
    return {name: version(name) for name in PACKAGES} if runtime == "openvino" else {}


def _import_quietly():
    """Imports OpenVINO and NNCF without their reports of use and their messages."""
    os.environ.setdefault("NNCF_CI", "1")
    sys.modules.setdefault("openvino_telemetry", None)  # importing it fails, which both expect
    import nncf
    import openvino

    nncf.set_log_level(logging.ERROR)
    return openvino, nncf
