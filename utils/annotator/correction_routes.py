"""Corrections of the results from the page of annotate.py: doubts, swaps, pieces, masks, undo."""

from typing import Any

from flask import Flask, jsonify, request
from werkzeug.exceptions import BadRequest, Conflict

from utils.annotator.background_network import BackgroundNetwork
from utils.annotator.background_run import BackgroundRun
from utils.annotator.corrector import Corrector
from utils.annotator.frame_reader import FrameReader
from utils.annotator.frame_routes import check_frame
from utils.annotator.prompts import check_values, decode_label
from utils.annotator.task import AnnotationTask


def correct_results(
    app: Flask,
    task: AnnotationTask,
    corrector: Corrector,
    frames: FrameReader,
    *,
    network: BackgroundNetwork | None,
    run: BackgroundRun,
) -> None:
    video = task.video

    def read_numbers(*names: str) -> list[int]:
        """Whole numbers of the request, the first of which is a frame."""
        content = request.get_json(silent=True)
        numbers = [content.get(name) if isinstance(content, dict) else None for name in names]
        if not all(type(number) is int for number in numbers):
            raise BadRequest(f"Expected the numbers {', '.join(names)}, found {numbers}.")
        return numbers

    def check_idle() -> None:
        if run.status()["state"] == "running":
            raise Conflict("A run is in progress, which replaces the masks. Wait for its end.")

    def answer(changed: list[int], **facts: Any):
        """All answers: the state, and the frames whose masks have changed."""
        return jsonify(changed=changed, **facts, **corrector.state())

    @app.get("/api/corrections")
    def corrections():
        return answer([])

    @app.get("/api/doubts/<int:index>/<any(next, previous):way>")
    def doubt(index: int, way: str):
        """The next doubt; if there is none in the frames that were looked at, the last of them."""
        check_frame(index, len(video))
        found, reached = corrector.find_doubt(index, 1 if way == "next" else -1)
        if found is None:
            return jsonify(frame=None, reached=reached)
        return jsonify(frame=found.frame, reasons=found.reasons, pair=found.pair)

    @app.get("/api/crossings/<int:index>/<int:a>/<int:b>")
    def crossing(index: int, a: int, b: int):
        """The last frame before two animals touch again; null until it is found: ask again."""
        check_frame(index, len(video))
        last, reached = corrector.find_crossing(index, (a, b))
        return jsonify(last=last, reached=reached)

    @app.post("/api/corrections/swap")
    def swap():
        """JSON: frame and last, the first and the last one of the swap; a and b, animals."""
        check_idle()
        frame, last, a, b = read_numbers("frame", "last", "a", "b")
        check_frame(last, len(video))
        if not 0 <= frame <= last or a == b:
            raise BadRequest("Expected two different animals, and frames in their order.")
        return answer(corrector.swap(frame, last, (a, b)))

    @app.post("/api/corrections/piece")
    def piece():
        """JSON: frame; x and y, pixels; animal, whose it becomes, 0 for the background."""
        check_idle()
        frame, x, y, animal = read_numbers("frame", "x", "y", "animal")
        check_frame(frame, len(video))
        if frame < 0 or not (0 <= x < video.width and 0 <= y < video.height):
            raise BadRequest("Expected a pixel of the frame.")
        return answer(corrector.move_piece(frame, x, y, animal))

    @app.post("/api/corrections/masks/<int:index>")
    def redraw(index: int):
        """Body: the PNG of the mask."""
        check_idle()
        check_frame(index, len(video))
        labels = decode_label(request.get_data(), video.height, video.width)
        check_values(labels)
        return answer(corrector.redraw(index, labels))

    @app.post("/api/corrections/follow/<any(next, previous):way>")
    def follow(way: str):
        """Follows the mask that was redrawn last into one frame more; "ended" says why it was not.
        While the network is being loaded, the answer waits."""
        check_idle()
        segmenter = network.wait() if network else None
        if segmenter is None or not segmenter.knows_animals:
            return answer([], ended="no network")
        with network.turn:
            changed, ended = corrector.follow_on(1 if way == "next" else -1, frames, segmenter)
        return answer(changed, ended=ended)

    @app.post("/api/corrections/<any(undo, redo):what>")
    def undo_or_redo(what: str):
        check_idle()
        return answer(corrector.undo() if what == "undo" else corrector.redo())
