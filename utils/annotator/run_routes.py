"""Stage 3 from the page of annotate.py: start it, watch it, cancel it, and look at its results."""

from pathlib import Path

from flask import Flask, jsonify, request, send_file
from werkzeug.exceptions import BadRequest, Conflict, NotFound

from utils.annotator.background_run import BackgroundRun
from utils.annotator.corrector import Corrector
from utils.annotator.task import AnnotationTask
from utils.errors import InputError
from utils.stage3.presets import PRESETS


def run_stage3(app: Flask, task: AnnotationTask, run: BackgroundRun, corrector: Corrector) -> None:
    @app.get("/api/run")
    def status():
        answer = run.status()
        if answer["state"] != "running":
            corrector.writer.resume()
        return jsonify(answer)

    @app.post("/api/run")
    def start():
        content = request.get_json(silent=True)
        preset = content.get("preset") if isinstance(content, dict) else None
        if preset not in PRESETS:
            raise BadRequest(f"Expected a preset ({', '.join(PRESETS)}), found {preset!r}.")
        if not task.labelled_frames():
            raise Conflict("No frame is labelled. Save a label first.")
        corrector.writer.pause()  # the run replaces what is being written
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
        return jsonify(task.results_status())

    @app.get("/api/overlay.mp4")
    def overlay():
        if not task.overlay_path.is_file():
            raise NotFound("There is no overlay video yet.")
        path = task.overlay_path.resolve()
        return send_file(path, mimetype="video/mp4", conditional=True, etag=False)
