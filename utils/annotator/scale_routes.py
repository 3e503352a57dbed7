"""The scale of the page of annotate.py: a distance that a person draws and knows in centimetres."""

from dataclasses import asdict
from typing import Any

from flask import Flask, jsonify, request
from werkzeug.exceptions import BadRequest

from utils.annotator.task import AnnotationTask
from utils.evaluation.scale import (
    find_scale,
    is_of_folder,
    parse_scale,
    remove_scale,
    save_scale,
)


def keep_scale(app: Flask, task: AnnotationTask) -> None:
    video, name = task.video, task.sequence.name
    size = (video.height, video.width)

    def state() -> dict[str, Any]:
        scale = find_scale(name, video.path, size)
        if scale is None:
            return {"scale": None}
        facts = {"cm_per_px": scale.cm_per_px, "of_folder": is_of_folder(name, size)}
        return {"scale": {**asdict(scale), **facts}}

    @app.get("/api/scale")
    def get_scale():
        return jsonify(state())

    @app.post("/api/scale")
    def post_scale():
        """JSON: frame, points, distance_cm, and whether it is `for_folder`."""
        content = request.get_json(silent=True)
        if not isinstance(content, dict):
            raise BadRequest("Expected a scale.")
        of_video = {"size": size, "pixel_aspect": video.pixel_aspect}
        try:
            scale = parse_scale({**content, **of_video})
        except ValueError as error:
            raise BadRequest(f"This is no scale: {error}.") from error
        save_scale(name, video.path if content.get("for_folder") else None, scale)
        return jsonify(state())

    @app.delete("/api/scale")
    def delete_scale():
        remove_scale(name, video.path, size)
        return jsonify(state())
