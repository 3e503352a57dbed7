"""Labels between the page of annotate.py and the disk: masks out, drafts and labels in."""

from typing import Any

import numpy as np
from flask import Flask, jsonify, request
from werkzeug.exceptions import NotFound, UnprocessableEntity

from utils.annotator.corrector import Corrector
from utils.annotator.frame_reader import BoundedStore
from utils.annotator.frame_routes import check_frame, send_array
from utils.annotator.prompts import check_values, decode_label
from utils.annotator.task import AnnotationTask
from utils.media.labels import VOID

LABEL_TIME = "X-Label-Time"  # of a draft: when the label was written that it is to replace


class Drafts(BoundedStore):
    """What was drawn and not saved, as PNG, by frame."""

    def __init__(self, max_bytes: int):
        super().__init__(max_bytes)
        self._label_times: dict[int, str] = {}

    def keep(self, frame: int, png: bytes, label_time: str) -> None:
        """Keeps a draft; `label_time`: as `AnnotationTask.label_times` of the label that it is to
        replace, empty without one."""
        self._label_times[frame] = label_time
        self.put(frame, png)

    def label_time(self, frame: int) -> str:
        return self._label_times.get(frame, "")


def serve_masks(app: Flask, task: AnnotationTask, drafts: Drafts, corrector: Corrector) -> None:
    def read(kind: str, index: int) -> np.ndarray | None:
        if kind == "draft":
            data = drafts.get(index)
            return None if data is None else decode_label(data, task.video.height, task.video.width)
        if kind == "result":
            return corrector.read(index)
        path = task.label_path(index) if kind == "label" else task.annotations().get(index)
        return task.read_label(path) if path is not None and path.is_file() else None

    @app.get("/api/masks/<any(draft, label, annotation, result):kind>/<int:index>")
    def mask(kind: str, index: int):
        check_frame(index, len(task.video))
        labels = read(kind, index)
        if labels is None:
            raise NotFound(f"Frame {index} has no {kind}.")
        is_void = labels == VOID if kind in ("label", "annotation") else np.zeros(1, bool)
        response = send_array(np.where(is_void, np.uint8(0), labels))
        response.headers["X-Void-Px"] = str(is_void.sum())
        if kind == "draft":
            response.headers[LABEL_TIME] = drafts.label_time(index)
        return response

    @app.get("/api/labels")
    def list_labels():
        return jsonify(_label_state(task, drafts))


def receive_labels(app: Flask, task: AnnotationTask, drafts: Drafts) -> None:
    def receive(index: int) -> np.ndarray:
        check_frame(index, len(task.video))
        return decode_label(request.get_data(), task.video.height, task.video.width)

    @app.post("/api/drafts/<int:index>")
    def keep_draft(index: int):
        receive(index)
        drafts.keep(index, request.get_data(), request.headers.get(LABEL_TIME, ""))
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
        path = task.save_label(index, labels)
        drafts.remove(index)
        return jsonify(path=str(path), **_label_state(task, drafts))

    @app.delete("/api/labels/<int:index>")
    def remove_label(index: int):
        check_frame(index, len(task.video))
        task.label_path(index).unlink(missing_ok=True)
        return jsonify(_label_state(task, drafts))


def _label_state(task: AnnotationTask, drafts: Drafts) -> dict[str, Any]:
    times = task.label_times()
    state = {"labelled": list(times), "drafts": drafts.numbers(), "command": None}
    if times:
        commands = task.next_commands()
        state |= {"command": commands["default"], "commands": commands, "times": times}
    return state
