"""Fixtures of the tests of annotate.py: a small data set, its task, and clients of the server."""

from pathlib import Path

import pytest
from PIL import Image

from tests import page_session
from tests.bright_hen import NUM_FRAMES, picture
from tests.browser import launch_browser
from tests.crossing_animals import Crossing
from tests.page_client import TOKEN
from utils import paths
from utils.annotator.background_network import BackgroundNetwork
from utils.annotator.server import create_app
from utils.annotator.task import AnnotationTask
from utils.inputs.sequences import open_dataset_sequence, open_video_sequence
from utils.media.video_writing import write_video


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


@pytest.fixture(scope="module")
def browser():
    with launch_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def video_path(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("video") / "hen.mp4"
    frames = (page_session.picture(index) for index in range(page_session.NUM_FRAMES))
    write_video(path, frames, None, 10)
    return path


@pytest.fixture
def open_results(make_session):
    """Opens the page on a frame of a segmented world."""

    def open_page(world: Crossing, frame: int, segmenter=None, width=1280, height=820):
        network = BackgroundNetwork(lambda: segmenter) if segmenter else None
        sequence = open_video_sequence(world.frames, (), "auto")
        viewport = {"width": width, "height": height}
        return make_session(sequence, frame, network, viewport=viewport).open()

    return open_page


@pytest.fixture
def make_session(browser, video_path, tmp_path, monkeypatch):
    """Makes sessions of the page; in the end none may have complained."""
    monkeypatch.setattr(paths, "LABELS", tmp_path / "labels")
    (tmp_path / "stage3.py").write_text(page_session.STAGE3)
    sessions = []

    def make(sequence=None, first_frame=6, network=None, **context):
        task = AnnotationTask(
            sequence or open_video_sequence(video_path, (), "auto"),
            first_frame,
            "a test",
            ("--video", str(video_path)),
            tmp_path / "results",
            tmp_path / "stage3.py",
        )
        context.setdefault("viewport", {"width": 1000, "height": 700})
        sessions.append(page_session.Session(browser, task, network, **context))
        return sessions[-1]

    yield make
    for session in sessions:
        session.close()
    assert not [complaint for session in sessions for complaint in session.unexpected()]
