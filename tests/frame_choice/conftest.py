"""Fixtures of the frame choice's tests."""

import pytest

from tests.frame_choice_world import REDS, comparing_network, write_frames
from tests.measured_table import make_video
from utils import paths
from utils.media.videos import FrameFolder


@pytest.fixture(scope="session")
def reddest():
    return comparing_network(1.0)


@pytest.fixture(scope="session")
def palest():
    return comparing_network(-1.0, "BN0")


@pytest.fixture
def both(reddest, palest):
    return {"BNLF": reddest, "BN0": palest}


@pytest.fixture
def video(tmp_path):
    return FrameFolder(write_frames(tmp_path / "data" / "JPEGImages" / "hen", REDS))


@pytest.fixture
def weights_dir(tmp_path, monkeypatch):
    """No network is trained; the backbone is a narrow one with weights of its own."""
    folder = tmp_path / "weights"
    monkeypatch.setattr(paths, "BUBBLENET_WEIGHTS", folder / "bubblenet_weights")
    monkeypatch.setattr(paths, "LINEAR_RULE_FILE", folder / "linear_rule.json")
    monkeypatch.setattr(paths, "OBJECTNESS_WEIGHTS", folder / "objectness")
    monkeypatch.setattr(paths, "PASCAL_BASE_WEIGHTS", folder / "pascal")
    monkeypatch.setattr(paths, "IMAGENET_WEIGHTS_FILE", folder / "imagenet" / "x.safetensors")
    monkeypatch.setattr(paths, "RESNET_WEIGHTS_FILE", folder / "imagenet" / "resnet.h5")
    return folder


@pytest.fixture
def videos():
    return [make_video(name, seed) for seed, name in enumerate(("cat", "dove", "eel", "fox"))]
