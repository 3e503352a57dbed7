"""What the page of annotate.py gets: its own files, the video's facts, and the frames."""

import gzip
from pathlib import Path

import numpy as np
from flask import Flask, Response, jsonify, send_file
from werkzeug.exceptions import NotFound

from utils.annotator.frame_reader import FrameReader, encode_jpeg
from utils.annotator.task import AnnotationTask
from utils.media.labels import MAX_ANIMALS
from utils.media.overlay import animal_colour
from utils.stage3.presets import PRESETS

DISPLAY_BOX_PX = (1600, 1600)
PAGE_DIR = Path(__file__).with_name("page")
PAGE_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def serve_page(app: Flask) -> None:
    files = {path.name: path for path in PAGE_DIR.iterdir() if path.suffix in PAGE_TYPES}

    @app.get("/")
    def page():
        return send_file(PAGE_DIR / "index.html", mimetype="text/html", etag=False, max_age=0)

    @app.get("/page/<name>")
    def page_file(name: str):
        if name not in files:
            raise NotFound(f"There is no {name}.")
        mimetype = PAGE_TYPES[files[name].suffix]
        return send_file(files[name], mimetype=mimetype, etag=False, max_age=0)


def serve_frames(app: Flask, task: AnnotationTask, frames: FrameReader) -> None:
    video = task.video

    @app.get("/api/video")
    def video_facts():
        return jsonify(
            id=task.video_id,
            name=task.sequence.name,
            num_frames=len(video),
            height=video.height,
            width=video.width,
            pixel_aspect=video.pixel_aspect,
            frame_names=video.frame_names,
            first_frame=task.first_frame,
            first_reason=task.first_reason,
            annotated=sorted(task.annotations()),
            colours=[screen_colour(number) for number in range(1, MAX_ANIMALS + 1)],
            presets=list(PRESETS),
        )

    @app.get("/api/frames/<int:index>/<size>.jpg")
    def frame(index: int, size: str):
        check_frame(index, len(video))
        if size == "thumbnail":
            data = frames.thumbnail(index)
        elif size in ("display", "full"):
            box = DISPLAY_BOX_PX if size == "display" else None
            data = encode_jpeg(frames.read(index), box, quality=92)
        else:
            raise NotFound(f"There is no size {size}; there are thumbnail, display and full.")
        # The page adds a number of its session to the address: the next video has other addresses.
        headers = {"Cache-Control": "private, max-age=86400"}
        return Response(data, mimetype="image/jpeg", headers=headers)


def screen_colour(number: int) -> list[int]:
    """RGB of an animal, 0..255, as bright as it can be: the palette's own colours are dark."""
    colour = np.array(animal_colour(number), float)
    return (colour * 255 / max(colour.max(), 1)).round().astype(int).tolist()


def check_frame(index: int, num_frames: int) -> None:
    """Raises NotFound if the video has no such frame."""
    if index >= num_frames:
        raise NotFound(f"There is no frame {index}; the last one is {num_frames - 1}.")


def send_array(array: np.ndarray) -> Response:
    """Answers with the bytes of an array, row by row."""
    # Plain bytes: a browser may change the colours of a picture before a script sees them.
    data = gzip.compress(np.ascontiguousarray(array, np.uint8).tobytes(), compresslevel=1)
    headers = {"Content-Encoding": "gzip"}
    return Response(data, mimetype="application/octet-stream", headers=headers)
