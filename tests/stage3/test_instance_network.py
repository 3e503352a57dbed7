"""The instance head on the maps of a prompted network, and its weights beside that network's."""

import keras
import numpy as np
import pytest

from models import build_prompted_model
from models.instances import build_instance_head, build_trunk
from tests.bright_hen import HEIGHT, WIDTH, picture
from tests.tiny_prompted import network_with_tiny_backbone
from utils import paths
from utils.errors import InputError
from utils.stage3.instance_network import (
    TRAINED_BESIDE,
    WEIGHTS_NAME,
    find_instance_weights,
    load_instance_network,
)
from utils.training.clicks import make_prompt
from utils.training.prompted_network import PromptedNetwork
from utils.training.weights import load_weights, save_weights


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(1)
    return network_with_tiny_backbone()


@pytest.fixture(scope="module")
def head(model):
    return build_instance_head(build_trunk(model))


@pytest.fixture
def weights(head, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "PROMPTED_WEIGHTS", tmp_path)
    path = tmp_path / WEIGHTS_NAME
    save_weights(head, path, {"stage": "instances", TRAINED_BESIDE: "f00d"})
    return path


def test_the_head_reads_what_was_kept_for_clicks(model, head, weights):
    prompted, network = PromptedNetwork(model), load_instance_network(model, weights)
    image = picture(3)
    maps = prompted.look(image)
    seen = network.look_apart(maps, HEIGHT, WIDTH)
    prompt = make_prompt((HEIGHT, WIDTH))
    np.testing.assert_allclose(seen.mask, prompted.probability(maps, prompt), atol=1e-5)
    direct = build_trunk(model)({"images": image[None], "prompt": prompt[None]})
    expected = {name: np.asarray(value) for name, value in head(direct["maps"]).items()}
    np.testing.assert_allclose(seen.offset, 64 * expected["offset"][0], atol=1e-3)
    logits = expected["centre"][0, ..., 0]
    np.testing.assert_allclose(seen.centre, 1 / (1 + np.exp(-logits)), atol=1e-5)
    height, width = seen.centre.shape
    assert height >= HEIGHT / seen.stride and width >= WIDTH / seen.stride


def test_the_weights_are_found_beside_the_prompted_ones(weights):
    assert find_instance_weights("f00d") == weights
    weights.unlink()
    assert find_instance_weights("f00d") is None


def test_weights_that_were_trained_beside_others_are_refused(weights):
    with pytest.raises(InputError, match="f00d.*not beside") as error:
        find_instance_weights("beef")
    assert str(weights) in str(error.value)


def test_other_weights_are_refused(model, tmp_path):
    path = tmp_path / "deeplab.safetensors"
    save_weights(model, path, {"stage": "prompted", "head": "deeplab"})
    with pytest.raises(InputError, match=str(path)):
        load_instance_network(model, path)


def test_the_shipped_pair_fits():
    """Passes as well where the repository has no weights of the head."""
    path = paths.PROMPTED_WEIGHTS / "deeplab.safetensors"
    prompted = build_prompted_model()
    found = find_instance_weights(load_weights(prompted, path)["sha256"])
    assert found is None or load_instance_network(prompted, found)
