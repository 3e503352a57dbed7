"""Asks the instance head, which stands beside the prompted network, for the animals of an image."""

from pathlib import Path

import keras
import numpy as np

from models.instances import OFFSET_PX, STRIDE, build_instance_head, build_trunk
from models.prompted import feature_maps
from utils import paths
from utils.errors import InputError
from utils.stage3.animal_grouping import InstanceMaps
from utils.training.clicks import make_prompt
from utils.training.probability import sigmoid
from utils.training.prompted_network import Maps
from utils.training.weights import load_weights, read_weights

WEIGHTS_NAME = "instances.safetensors"
TRAINED_BESIDE = "trained_beside"  # in the metadata: sha256 of the prompted weights


class InstanceNetwork:
    """A prompted network with the instance head beside it.

    Args:
        model: of `models.build_prompted_model`, with its weights.
        head: of `models.instances.build_instance_head`, with its weights.
    """

    def __init__(self, model: keras.Model, head: keras.Model) -> None:
        trunk = build_trunk(model)
        seen = head(trunk.output["maps"])
        outputs = {"mask": trunk.output["mask"], "centre": seen["centre"], "offset": seen["offset"]}
        inputs = [*feature_maps(model), model.input["prompt"]]
        self._network = keras.Model(inputs, outputs, name="animals_apart")

    def look_apart(self, maps: Maps, height: int, width: int) -> InstanceMaps:
        """What the network sees in an image without a prompt.

        Args:
            maps: of `utils.training.prompted_network.PromptedNetwork.look`, of the same model.
            height, width: of the image.
        """
        prompt = make_prompt((height, width))[None].astype("float32")
        seen = self._network.predict_on_batch([*maps, prompt])
        return InstanceMaps(
            sigmoid(seen["mask"][0, ..., 0]),
            sigmoid(seen["centre"][0, ..., 0]),
            np.asarray(seen["offset"][0]) * OFFSET_PX,
            STRIDE,
        )


def load_instance_network(model: keras.Model, path: Path) -> InstanceNetwork:
    """The head from its weights file.

    Args:
        model: the prompted network, with its weights.
        path: written by the training of the head.

    Raises: InputError if the weights are missing, damaged or not of this head.
    """
    head = build_instance_head(build_trunk(model))
    load_weights(head, path)
    return InstanceNetwork(model, head)


def find_instance_weights(prompted_sha256: str, path: Path | None = None) -> Path | None:
    """The head's weights, None if there are none in weights/.

    Args:
        prompted_sha256: of the weights of the prompted network in use.
        path: where they are, if not in weights/.

    Raises: InputError if the head was trained beside other ones: it reads their maps.
    """
    if path is None:
        path = paths.PROMPTED_WEIGHTS / WEIGHTS_NAME
        if not path.is_file():
            return None
    beside = read_weights(path)[1].get(TRAINED_BESIDE, "")
    if beside != prompted_sha256:
        raise InputError(
            f"{path}: trained beside prompted weights {beside[:12] or 'unknown'}..., not beside "
            f"those in use, {prompted_sha256[:12]}.... Train it again: python train_instances.py"
        )
    return path
