"""The web server of annotate.py: one video's frames out, labels in, stage 3 run from the page.

For one person on this computer. Only who knows the token of the address is answered; other pages
that the same browser has open learn and change nothing: Host, Origin and Sec-Fetch-Site are
checked, the cookie is SameSite=Strict. Frames are asked for by number: no request names a path.
"""

import gzip
import hmac
import os
import socket
import threading
from http import HTTPStatus
from pathlib import Path
from typing import Any

import numpy as np
from flask import Flask, Response, g, jsonify, request, send_file
from werkzeug.exceptions import (
    BadRequest,
    Conflict,
    Forbidden,
    HTTPException,
    NotFound,
    UnprocessableEntity,
)
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from utils.annotator.background_network import BackgroundNetwork
from utils.annotator.background_run import BackgroundRun
from utils.annotator.frame_reader import BoundedStore, FrameReader, encode_jpeg
from utils.annotator.prompts import BY_HAND, check_values, decode_label, parse_prompt
from utils.annotator.segment_click import (
    OTHER_ANIMAL,
    SURE_ANIMAL,
    SURE_BACKGROUND,
    ClickSegmenter,
)
from utils.annotator.task import PRESETS, AnnotationTask
from utils.errors import InputError, one_line
from utils.media.labels import MAX_ANIMALS, VOID, write_label
from utils.media.overlay import animal_colour

HOST = "127.0.0.1"
LOCAL_NAMES = (HOST, "localhost")
MAX_UPLOAD_BYTES = 8 * 2**20
MAX_DRAFT_BYTES = 64 * 2**20
DISPLAY_BOX_PX = (1600, 1600)
PAGE_DIR = Path(__file__).with_name("page")
PAGE_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "media-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def create_app(task: AnnotationTask, token: str, network: BackgroundNetwork | None = None) -> Flask:
    """The web application.

    Args:
        task: what is to be labelled.
        token: what the address must carry (?token=...) once; from then on a cookie does.
        network: finds animals for the clicks; begins to load when the page is opened. Clicks work
            without.

    Returns: the application; `app.extensions["run"]` is its BackgroundRun.
    """
    app = Flask("annotate", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_UPLOAD_BYTES
    app.json.sort_keys = False
    frames, drafts, run = FrameReader(task.video), BoundedStore(MAX_DRAFT_BYTES), BackgroundRun()
    app.extensions["run"] = run
    _guard(app, token)
    _answer_errors(app)
    _serve_page(app)
    _serve_frames(app, task, frames)
    _serve_masks(app, task, drafts)
    _take_clicks(app, frames, network)
    _take_labels(app, task, drafts)
    _run_stage3(app, task, run)
    return app


# Who is answered


def _guard(app: Flask, token: str) -> None:
    secret = token.encode()

    def is_token(text: str | None) -> bool:
        return text is not None and hmac.compare_digest(text.encode(), secret)

    @app.before_request
    def refuse_strangers() -> None:
        name, _, port = request.host.partition(":")
        if name not in LOCAL_NAMES:  # another name that was made to lead here: DNS rebinding
            raise Forbidden("This server answers to 127.0.0.1 and localhost only.")
        is_page = request.path == "/" and request.method == "GET"
        site = request.headers.get("Sec-Fetch-Site", "same-origin")
        is_foreign = site != "same-origin" and not is_page
        if request.method not in ("GET", "HEAD"):
            own = f"http://{request.host}"
            is_foreign |= request.headers.get("Origin", own) != own
        if is_foreign:
            raise Forbidden("Requests of other pages are refused.")
        # Cookies do not tell ports apart, and a second annotate.py may run on another one.
        cookie = f"annotate_{port or 80}"
        if is_page and is_token(request.args.get("token")):
            g.cookie = cookie
        elif not is_token(request.cookies.get(cookie)):
            raise Forbidden(
                "Wrong or missing token. Open the address that annotate.py printed, all of it."
            )

    @app.after_request
    def add_headers(response: Response) -> Response:
        response.headers.update(HEADERS)
        response.headers.setdefault("Cache-Control", "no-store")
        if "cookie" in g:
            response.set_cookie(g.cookie, token, httponly=True, samesite="Strict")
        return response


def _answer_errors(app: Flask) -> None:
    """Every error is JSON: {"error": what is wrong and what to do}."""

    @app.errorhandler(HTTPException)
    def answer_http(error: HTTPException):
        text = error.description
        if error.code == 413:
            text = f"The upload is larger than {MAX_UPLOAD_BYTES // 2**20} MiB; is it a label?"
        return jsonify(error=text), error.code

    @app.errorhandler(InputError)
    def answer_input(error: InputError):
        return jsonify(error=one_line(error)), HTTPStatus.UNPROCESSABLE_ENTITY

    @app.errorhandler(OSError)
    def answer_system(error: OSError):
        return jsonify(error=one_line(error)), HTTPStatus.INSUFFICIENT_STORAGE


# Out: the page, frames and masks


def _serve_page(app: Flask) -> None:
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


def _serve_frames(app: Flask, task: AnnotationTask, frames: FrameReader) -> None:
    video = task.video

    @app.get("/api/video")
    def describe_video():
        return jsonify(
            name=task.sequence.name,
            num_frames=len(video),
            height=video.height,
            width=video.width,
            frame_names=video.frame_names,
            first_frame=task.first_frame,
            first_reason=task.first_reason,
            annotated=sorted(task.annotations()),
            colours=[screen_colour(number) for number in range(1, MAX_ANIMALS + 1)],
            presets=PRESETS,
        )

    @app.get("/api/frames/<int:index>/<size>.jpg")
    def frame(index: int, size: str):
        _check_frame(index, task)
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
    """RGB of an animal, as bright as it goes: the palette's own colours are dark."""
    colour = np.array(animal_colour(number), float)
    return (colour * 255 / max(colour.max(), 1)).round().astype(int).tolist()


def _check_frame(index: int, task: AnnotationTask) -> None:
    if index >= len(task.video):
        raise NotFound(f"There is no frame {index}; the last one is {len(task.video) - 1}.")


def _serve_masks(app: Flask, task: AnnotationTask, drafts: BoundedStore) -> None:
    def read(kind: str, index: int) -> np.ndarray | None:
        if kind == "draft":
            data = drafts.get(index)
            return None if data is None else decode_label(data, task.video.height, task.video.width)
        if kind == "result":
            return task.read_result(index)
        path = task.label_path(index) if kind == "label" else task.annotations().get(index)
        return task.read_label(path) if path is not None and path.is_file() else None

    @app.get("/api/masks/<any(draft, label, annotation, result):kind>/<int:index>")
    def mask(kind: str, index: int):
        _check_frame(index, task)
        labels = read(kind, index)
        if labels is None:
            raise NotFound(f"Frame {index} has no {kind}.")
        is_void = labels == VOID if kind in ("label", "annotation") else np.zeros(1, bool)
        response = _send_array(np.where(is_void, np.uint8(0), labels))
        response.headers["X-Void-Px"] = str(is_void.sum())
        return response

    @app.get("/api/labels")
    def list_labels():
        return jsonify(_label_state(task, drafts))


def _label_state(task: AnnotationTask, drafts: BoundedStore) -> dict[str, Any]:
    labelled = task.labelled_frames()
    return {
        "labelled": labelled,
        "drafts": drafts.numbers(),
        "command": task.next_command() if labelled else None,
    }


def _send_array(array: np.ndarray) -> Response:
    # Plain bytes: a browser may change the colours of a picture on their way to a script.
    data = gzip.compress(np.ascontiguousarray(array, np.uint8).tobytes(), compresslevel=1)
    headers = {"Content-Encoding": "gzip"}
    return Response(data, mimetype="application/octet-stream", headers=headers)


# In: clicks and labels


def _take_clicks(app: Flask, frames: FrameReader, network: BackgroundNetwork | None) -> None:
    segmenter = ClickSegmenter(network.predict if network else None)
    lock = threading.Lock()

    @app.get("/api/network")
    def network_status():
        if network is None:
            return jsonify(state="absent", reason=None)
        network.start()
        return jsonify(network.status())

    @app.post("/api/segment/<int:index>")
    def segment(index: int):
        """Form: `request` as `parse_prompt` wants it, and `labels`, the PNG of the draft."""
        if index >= len(frames.video):
            raise NotFound(f"There is no frame {index}.")
        image = frames.read(index)
        height, width = image.shape[:2]
        prompt = parse_prompt(request.form.get("request", ""), height, width)
        draft = np.zeros((height, width), np.uint8)
        if "labels" in request.files:
            draft = decode_label(request.files["labels"].read(), height, width)
        labels, is_by_hand = draft & np.uint8(BY_HAND - 1), draft >= BY_HAND
        check_values(labels)
        is_animal = labels == prompt.animal
        sure = np.zeros((height, width), np.uint8)
        sure[labels > 0] = OTHER_ANIMAL
        sure[is_animal] = 0
        sure[is_by_hand & is_animal] = SURE_ANIMAL
        sure[is_by_hand & (labels == 0)] = SURE_BACKGROUND
        current = np.zeros_like(is_animal) if prompt.is_fresh else is_animal
        with lock:  # one at a time: each takes all cores
            mask = segmenter.segment(
                index, image, prompt.clicks, prompt.box, current, sure, prompt.is_given
            )
        return _send_array(mask)


def _take_labels(app: Flask, task: AnnotationTask, drafts: BoundedStore) -> None:
    def receive(index: int) -> np.ndarray:
        _check_frame(index, task)
        return decode_label(request.get_data(), task.video.height, task.video.width)

    @app.post("/api/drafts/<int:index>")
    def keep_draft(index: int):
        receive(index)
        drafts.put(index, request.get_data())
        return jsonify(_label_state(task, drafts))

    @app.delete("/api/drafts/<int:index>")
    def drop_draft(index: int):
        drafts.remove(index)
        return jsonify(_label_state(task, drafts))

    @app.post("/api/labels/<int:index>")
    def save_label(index: int):
        labels = receive(index)
        check_values(labels)
        if not labels.any():
            raise UnprocessableEntity("The label marks no animal. Click on the animal first.")
        if labels.all():
            raise UnprocessableEntity("The label has no background. Erase what is no animal.")
        path = task.label_path(index)
        write_label(path, labels, range(1, int(labels.max()) + 1))
        drafts.remove(index)
        return jsonify(path=str(path), **_label_state(task, drafts))

    @app.delete("/api/labels/<int:index>")
    def remove_label(index: int):
        _check_frame(index, task)
        task.label_path(index).unlink(missing_ok=True)
        return jsonify(_label_state(task, drafts))


# Stage 3


def _run_stage3(app: Flask, task: AnnotationTask, run: BackgroundRun) -> None:
    @app.get("/api/run")
    def status():
        return jsonify(run.status())

    @app.post("/api/run")
    def start():
        content = request.get_json(silent=True)
        preset = content.get("preset") if isinstance(content, dict) else None
        if preset not in PRESETS:
            raise BadRequest(f"Expected a preset ({', '.join(PRESETS)}), found {preset!r}.")
        if not task.labelled_frames():
            raise Conflict("No frame is labelled. Save a label first.")
        try:
            run.start(task.run_command(preset), Path.cwd())
        except InputError as error:
            raise Conflict(str(error)) from error
        return jsonify(run.status())

    @app.post("/api/run/cancel")
    def cancel():
        run.cancel()
        return jsonify(run.status())

    @app.get("/api/results")
    def results():
        return jsonify(task.describe_results())

    @app.get("/api/overlay.mp4")
    def overlay():
        if not task.overlay_path.is_file():
            raise NotFound("There is no overlay video yet.")
        path = task.overlay_path.resolve()
        return send_file(path, mimetype="video/mp4", conditional=True, etag=False)


# The server


class _QuietHandler(WSGIRequestHandler):
    """Logs no requests: the first line of a session would show its token."""

    def log_request(self, *args: Any, **kwargs: Any) -> None:
        pass


def open_server(app: Flask, port: int) -> BaseWSGIServer:
    """A server on 127.0.0.1 that is ready to serve; port 0 stands for a free one.

    Raises: InputError if the port cannot be had.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        if os.name != "nt":  # there it would let two servers have one port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError) as error:
            raise InputError(
                f"--port {port}: expected a free port, found one that cannot be used ({error}); "
                "choose another, or leave --port away."
            ) from error
    return make_server(HOST, port, app, threaded=True, request_handler=_QuietHandler)


def serve(server: BaseWSGIServer, run: BackgroundRun) -> None:
    """Serves until Ctrl-C, which also ends a run that is under way."""
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        run.cancel()
        server.server_close()
