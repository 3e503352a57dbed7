"""What the page of annotate.py asks the network: answers to clicks, and masks to propose."""

import threading

import numpy as np
from flask import Flask, jsonify, request

from utils.annotator.background_network import BackgroundNetwork, Segmenter
from utils.annotator.frame_reader import FrameReader
from utils.annotator.frame_routes import check_frame, send_array
from utils.annotator.prompts import decode_label, parse_prompt, read_marks
from utils.annotator.segment_click import ClickSegmenter
from utils.annotator.task import AnnotationTask
from utils.media.labels import VOID

STARTING_FRAME = "X-Starting-Frame"  # header: the labelled frame that the proposals come from


def ask_network(
    app: Flask, task: AnnotationTask, frames: FrameReader, network: BackgroundNetwork | None
) -> None:
    without_network = ClickSegmenter()
    turn = network.turn if network else threading.Lock()
    latest = {"request": 0}

    @app.get("/api/network")
    def network_status():
        if network is None:
            return jsonify(state="absent", reason=None)
        network.start()
        return jsonify(network.status())

    @app.post("/api/segment/<int:index>")
    def segment(index: int):
        """Form: `request` as `parse_prompt` expects it, and `labels`, the PNG of the draft. While
        the network is being loaded, the answer waits."""
        check_frame(index, len(frames.video))
        image = frames.read(index)
        height, width = image.shape[:2]
        prompt = parse_prompt(request.form.get("request", ""), height, width)
        draft = np.zeros((height, width), np.uint8)
        if "labels" in request.files:
            draft = decode_label(request.files["labels"].read(), height, width)
        marks = read_marks(prompt, draft)
        segmenter = (network.wait() if network else None) or without_network
        with turn:
            mask = segmenter.segment(index, image, marks)
        return send_array(mask)

    @app.get("/api/proposals/<int:index>")
    def proposals(index: int):
        """The animals to propose, as masks are sent; all 0: none. Only the latest of the requests
        that wait is answered with any: whoever goes through the frames wants the last one's."""
        check_frame(index, len(frames.video))
        number = latest["request"] = latest["request"] + 1
        segmenter = network.wait() if network else None
        labels, start = np.zeros((frames.video.height, frames.video.width), np.uint8), None
        if segmenter is not None:
            segmenter.prepare_look_apart()  # loading takes seconds: no click is to wait for that
            with turn:
                if number == latest["request"]:
                    labels, start = _propose(segmenter, index, frames, task)
        response = send_array(labels)
        if start is not None:
            response.headers[STARTING_FRAME] = str(start)
        return response


def _propose(
    segmenter: Segmenter, frame: int, frames: FrameReader, task: AnnotationTask
) -> tuple[np.ndarray, int | None]:
    """The animals of the nearest labelled frame; if there is none, or they are lost, those that the
    network finds. Returns: uint8 (H, W), and the labelled frame, if they come from one."""
    from utils.annotator import proposals  # imports Keras, which the page is not to wait for

    nearest = min(task.labelled_frames(), key=lambda other: abs(other - frame), default=None)
    if nearest is not None and nearest != frame:
        labels = task.read_label(task.label_path(nearest))
        labels = np.where(labels == VOID, np.uint8(0), labels)
        start = proposals.Labelled(nearest, labels)
        found = proposals.follow_animals(segmenter, frame, frames, start)
        if found.any():
            return found, nearest
    return proposals.find_animals(segmenter, frame, frames.read(frame)), None
