"""Fixtures of the tests of finding and choosing labels."""

import pytest

from tests.labelled_video import World
from utils import paths


@pytest.fixture(autouse=True)
def labels_dir(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "LABELS", tmp_path / "labels")


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)
