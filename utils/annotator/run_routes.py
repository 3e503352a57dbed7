"""Stage 3 from the page of annotate.py: start it, watch it, cancel it, and look at its results."""

import threading
from pathlib import Path
from typing import Any

from flask import Flask, jsonify, request, send_file
from werkzeug.exceptions import BadRequest, Conflict, NotFound

from utils.annotator.background_run import BackgroundRun
from utils.annotator.corrector import Corrector
from utils.annotator.task import AnnotationTask, time_of
from utils.errors import InputError
from utils.stage3.presets import PRESETS


def run_stage3(app: Flask, task: AnnotationTask, run: BackgroundRun, corrector: Corrector) -> None:
    earlier_preview = None  # of the run before: this one may have other labels
    # So that the writer is not resumed for a run that has ended while the next one is started.
    changing = threading.Lock()

    def answer(run_status: dict[str, Any]):
        version = time_of(task.preview_path)
        # As soon as a part of the run has begun, a preview of other labels has been removed.
        is_earlier = version == earlier_preview and run_status["title"] is None
        return jsonify(**run_status, preview=None if is_earlier else version)

    def resume_if_over() -> dict[str, Any]:
        """What the run has left of the corrections is written. Returns: its state."""
        with changing:
            run_status = run.status()
            if run_status["state"] != "running":
                corrector.writer.resume()
        return run_status

    @app.get("/api/run")
    def status():
        return answer(resume_if_over())

    @app.post("/api/run")
    def start():
        content = request.get_json(silent=True)
        preset = content.get("preset") if isinstance(content, dict) else None
        if preset not in PRESETS:
            raise BadRequest(f"Expected a preset ({', '.join(PRESETS)}), found {preset!r}.")
        if not task.labelled_frames():
            raise Conflict("No frame is labelled. Save a label first.")
        nonlocal earlier_preview
        last_preview = time_of(task.preview_path)
        with changing:
            corrector.writer.pause()  # the run replaces what is being written
            try:
                run.start(task.run_command(preset), Path.cwd())
            except InputError as error:
                raise Conflict(str(error)) from error
        earlier_preview = last_preview
        return answer(run.status())

    @app.post("/api/run/cancel")
    def cancel():
        run.cancel()
        return answer(resume_if_over())

    @app.get("/api/preview.png")
    def preview():
        if not task.preview_path.is_file():
            raise NotFound("There is no preview.")
        return send_file(task.preview_path.resolve(), mimetype="image/png", etag=False)

    @app.get("/api/results")
    def results():
        return jsonify(task.results_status())

    @app.get("/api/overlay.mp4")
    def overlay():
        if not task.overlay_path.is_file():
            raise NotFound("There is no overlay video yet.")
        path = task.overlay_path.resolve()
        return send_file(path, mimetype="video/mp4", conditional=True, etag=False)
