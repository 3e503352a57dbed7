"""Fixtures of the tests of annotate.py: a small data set, its task, and clients of the server."""

from pathlib import Path

import pytest
from PIL import Image

from tests.bright_hen import NUM_FRAMES, picture
from tests.page_client import TOKEN
from utils import paths
from utils.annotator.server import create_app
from utils.annotator.task import AnnotationTask
from utils.inputs.sequences import open_dataset_sequence


@pytest.fixture
def dataset(tmp_path, monkeypatch) -> Path:
    """A data set with one video, hen, and no labels."""
    monkeypatch.setattr(paths, "LABELS", tmp_path / "labels")
    frames = tmp_path / "data" / "JPEGImages" / "480p" / "hen"
    frames.mkdir(parents=True)
    for index in range(NUM_FRAMES):
        Image.fromarray(picture(index)).save(frames / f"{index:05d}.png")
    return tmp_path / "data"


@pytest.fixture
def task(dataset, tmp_path) -> AnnotationTask:
    return AnnotationTask(
        open_dataset_sequence(dataset, "hen"),
        first_frame=3,
        first_reason="a test",
        input_flags=("--dataset", str(dataset), "--sequences", "hen"),
        results=tmp_path / "results",
        stage3=tmp_path / "stage3.py",
    )


@pytest.fixture
def stranger(task):
    """A client that has not shown the token."""
    app = create_app(task, TOKEN)
    yield app.test_client()
    app.extensions["run"].cancel()


@pytest.fixture
def client(stranger):
    """The client of the page."""
    assert stranger.get(f"/?token={TOKEN}").status_code == 200
    return stranger
