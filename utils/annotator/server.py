"""The web server of annotate.py: frames and masks out, clicks and labels in, stage 3 run from it.

It is meant for one person on this computer (`utils.annotator.access`). Frames are asked for by
number: no request names a path.
"""

import os
import socket
from http import HTTPStatus
from typing import Any

from flask import Flask, jsonify
from werkzeug.exceptions import HTTPException
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from utils.annotator.access import HOST, guard
from utils.annotator.background_network import BackgroundNetwork
from utils.annotator.background_run import BackgroundRun
from utils.annotator.correction_routes import correct_results
from utils.annotator.corrector import Corrector
from utils.annotator.frame_reader import FrameReader
from utils.annotator.frame_routes import serve_frames, serve_page
from utils.annotator.label_routes import Drafts, receive_labels, serve_masks
from utils.annotator.network_routes import ask_network
from utils.annotator.run_routes import run_stage3
from utils.annotator.scale_routes import keep_scale
from utils.annotator.task import AnnotationTask
from utils.errors import InputError, one_line

MAX_UPLOAD_BYTES = 8 * 2**20
MAX_DRAFT_BYTES = 64 * 2**20


def create_app(task: AnnotationTask, token: str, network: BackgroundNetwork | None = None) -> Flask:
    """The web application.

    Args:
        task: what is to be labelled.
        token: what the address must carry (?token=...) once; from then on a cookie does.
        network: answers clicks and proposes masks; begins to load when it is first asked, if it
            has not begun. If it is None or fails, clicks use colours only.

    Returns: the application; `app.extensions["run"]` is its BackgroundRun, "corrector" its
        Corrector, and "drafts" has what was drawn and not saved.
    """
    app = Flask("annotate", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_UPLOAD_BYTES
    app.json.sort_keys = False
    frames, drafts, run = FrameReader(task.video), Drafts(MAX_DRAFT_BYTES), BackgroundRun()
    corrector = Corrector(task)
    app.extensions |= {"run": run, "corrector": corrector, "drafts": drafts}
    guard(app, token, task.video_id)
    _answer_errors(app)
    serve_page(app)
    serve_frames(app, task, frames)
    serve_masks(app, task, drafts, corrector)
    ask_network(app, task, frames, network)
    receive_labels(app, task, drafts)
    keep_scale(app, task)
    run_stage3(app, task, run, corrector)
    correct_results(app, task, corrector, frames, network=network, run=run)
    return app


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


class _QuietHandler(WSGIRequestHandler):
    """Logs no requests: the first line of a session would show its token."""

    def log_request(self, *args: Any, **kwargs: Any) -> None:
        pass


def open_server(app: Flask, port: int) -> BaseWSGIServer:
    """A server on 127.0.0.1 that is ready to serve.

    Args:
        app: of `create_app`.
        port: 0 stands for any free one.

    Raises:
        InputError: if the port cannot be used.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        if os.name != "nt":  # there it would let two servers have one port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError) as error:
            raise InputError(
                f"--port {port}: expected a free port, found one that cannot be used ({error}); "
                "choose another, or leave out --port."
            ) from error
    return make_server(HOST, port, app, threaded=True, request_handler=_QuietHandler)


def serve(server: BaseWSGIServer, run: BackgroundRun, corrector: Corrector) -> None:
    """Serves until Ctrl-C, which also ends a run that is in progress; corrections are then written
    to the end."""
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        run.cancel()
        server.server_close()
        corrector.writer.finish()
