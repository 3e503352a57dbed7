"""Frames and thumbnails of the page, from folders and video files."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from tests.bright_hen import HEIGHT, NUM_FRAMES, WIDTH, ellipse, overlap, picture
from tests.page_client import TOKEN
from utils import paths
from utils.annotator.frame_reader import FRAMES_KEPT, BoundedStore, FrameReader
from utils.annotator.server import create_app
from utils.annotator.task import AnnotationTask
from utils.inputs.sequences import open_video_sequence
from utils.media.video_writing import write_video


def test_each_frame_comes_as_jpeg_at_its_size(client):
    for index in (0, 5, NUM_FRAMES - 1):
        image = Image.open(io.BytesIO(client.get(f"/api/frames/{index}/full.jpg").data))
        assert image.format == "JPEG" and image.size == (WIDTH, HEIGHT)
        difference = np.abs(np.asarray(image.convert("L"), float) - picture(index).mean(axis=2))
        assert difference.mean() < 12
        small = Image.open(io.BytesIO(client.get(f"/api/frames/{index}/thumbnail.jpg").data))
        assert small.width <= 160 and small.height <= 90


def test_a_damaged_frame_and_one_of_another_size_are_named(client, dataset):
    frames = dataset / "JPEGImages" / "480p" / "hen"
    (frames / "00002.png").write_bytes(b"no picture")
    Image.fromarray(picture(4)[:-2]).save(frames / "00004.png")
    for index, word in ((2, "00002.png"), (4, "160x118")):
        for size in ("full", "display", "thumbnail"):
            response = client.get(f"/api/frames/{index}/{size}.jpg")
            assert response.status_code == 422 and word in response.get_json()["error"]


def test_few_frames_and_little_else_are_kept_of_a_long_video():
    class LongVideo:
        path, name, height, width = Path("long"), "long", 40, 60
        pixel_aspect = 1.0

        def __init__(self, *_):
            pass

        def read(self, index):
            return np.full((40, 60, 3), index % 256, np.uint8)

    frames = FrameReader(LongVideo())
    for index in range(300):
        assert frames.read(index)[0, 0, 0] == index % 256
        frames.thumbnail(index)
    assert len(frames._frames) == FRAMES_KEPT
    store = BoundedStore(1000)
    for number in range(100):
        store.put(number % 40, bytes(90))
    assert len(store.numbers()) == 11 and store.get(19) is not None and store.get(20) is None


def test_a_video_file_is_served_like_a_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "LABELS", tmp_path / "labels")
    write_video(tmp_path / "hen.mp4", (picture(i) for i in range(NUM_FRAMES)), None, 10)
    sequence = open_video_sequence(tmp_path / "hen.mp4", (), "auto")
    app = create_app(AnnotationTask(sequence, 0, "", ("--video", "hen.mp4")), TOKEN)
    client = app.test_client()
    client.get(f"/?token={TOKEN}")
    described = client.get("/api/video").get_json()
    assert described["num_frames"] == NUM_FRAMES
    assert (described["height"], described["width"]) == (HEIGHT, WIDTH)
    for index in (6, 1):
        image = Image.open(io.BytesIO(client.get(f"/api/frames/{index}/full.jpg").data))
        bright = np.asarray(image.convert("L"), float) > 115
        assert overlap(bright, ellipse(index)) > 0.6
        assert client.get(f"/api/frames/{index}/thumbnail.jpg").status_code == 200
    sequence.video.close()
