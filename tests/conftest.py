"""Fixtures of stage 3's tests. Keras is imported only where they are used."""

import pytest


@pytest.fixture(scope="session")
def weights_file(tmp_path_factory):
    """Weights of the tiny network, deeplab.safetensors, with xfcn.safetensors beside it."""
    from tests.stage3_world import save_tiny_weights

    return save_tiny_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def small_stage3(tmp_path):
    """Makes finetune_test.py work with a tiny network and preset."""
    from tests.stage3_world import small_stage3_in

    with small_stage3_in(tmp_path):
        yield


@pytest.fixture
def world(tmp_path, weights_file, small_stage3):
    """An empty data set and results folder for it."""
    from tests.stage3_world import World

    return World(tmp_path / "world", weights_file)
