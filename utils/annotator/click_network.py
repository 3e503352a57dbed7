"""Loads the network that answers clicks: the prompted one, or without its weights that of stage 1.

Keras is imported only when one is loaded: the page is not to wait for it.
"""

import contextlib
import gc
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from utils import paths
from utils.annotator.background_network import Segmenter
from utils.annotator.click_marks import work_size
from utils.errors import InputError, one_line
from utils.media.images import resize_image

WEIGHTS_NAME = "deeplab.safetensors"


def load_segmenter(
    frame: int, image: np.ndarray, prompted_weights: Path | None = None, use_colours: bool = False
) -> Segmenter:
    """What answers clicks, with the best network that there is.

    Args:
        frame: index of the frame that clicks are expected in.
        image: this frame, uint8 (H, W, 3) RGB. It is looked at: the first look takes seconds, and
            what the network sees is kept for the clicks.
        prompted_weights: a file of train_prompted.py; if None, those in weights/, and if there are
            none, the weights of stage 1.
        use_colours: see `PromptedSegmenter`.

    Raises: InputError if the weights are missing or damaged.
    """
    with _without_garbage_collection():
        try:
            from utils import backend  # noqa: F401  before Keras: it starts it without noise
        except SystemExit as error:  # which ends no more than this thread
            raise InputError(str(error)) from None

        segmenter, path = _load(image, prompted_weights, use_colours)
        segmenter.look(frame, image)
    print(f"Clicks use {path}.", flush=True)
    return segmenter


@contextlib.contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Keras and TensorFlow are imported a quarter faster where nobody looks for garbage."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _load(image, prompted_weights, use_colours):
    path = prompted_weights or paths.PROMPTED_WEIGHTS / WEIGHTS_NAME
    if prompted_weights or path.is_file():
        return _load_prompted(image, path, use_colours), path

    # Of stage 1, not of stage 2, which has learned what moves: after the first click on frames of
    # the sample, IoU was 0.96 with the one, 0.83 with the other (on photographs 0.90 both).
    path = paths.PASCAL_BASE_WEIGHTS / WEIGHTS_NAME
    return _load_stage1(path), path


def _load_prompted(image, path, use_colours):
    from models import build_prompted_model
    from utils.annotator.prompted_segmenter import PromptedSegmenter
    from utils.training.prompted_network import PromptedNetwork
    from utils.training.weights import load_weights

    model = build_prompted_model()
    sha256 = load_weights(model, path)["sha256"]
    network = PromptedNetwork(model)
    small = resize_image(image, *work_size(*image.shape[:2]))
    return PromptedSegmenter(
        network, use_colours, lambda: _load_instances(model, sha256, network, small)
    )


def _load_instances(model, sha256, network, small):
    """The instance head after a first look; None, and a group is proposed as one mask, where it
    does not fit."""
    from utils.stage3.instance_network import find_instance_weights, load_instance_network

    try:
        path = find_instance_weights(sha256)
        if path is None:
            return None
        instances = load_instance_network(model, path)
        # The first look at images of this size takes a second more: no click is to wait for that.
        instances.look_apart(network.look(small), *small.shape[:2])
    except Exception as error:  # whatever a backend raises: there are proposals without it
        print(f"Groups of animals are not told apart: {one_line(error)}", flush=True)
        return None
    print(f"Groups of animals are told apart by {path}.", flush=True)
    return instances


def _load_stage1(path):
    from utils import backend

    # isort: split
    from models import build_model
    from utils.annotator.segment_click import ClickSegmenter
    from utils.stage3.inference import predict_probability
    from utils.training.weights import load_weights

    model = build_model("deeplab")
    load_weights(model, path)
    model.compile(jit_compile=backend.jit_compile())

    def predict(image: np.ndarray) -> np.ndarray:
        return predict_probability(model, image, flip=False)

    return ClickSegmenter(predict)
