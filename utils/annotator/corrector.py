"""Corrects the results of a video from the page of annotate.py, without training.

A correction is at once in what the page shows; masks, overlay and tables on disk follow in the
background (`utils.annotator.results_writer`).
"""

import contextlib
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from utils import paths
from utils.annotator.background_network import Segmenter
from utils.annotator.frame_reader import FrameReader
from utils.annotator.results_writer import OutdatedError, ResultsWriter
from utils.annotator.task import AnnotationTask
from utils.errors import InputError
from utils.evaluation.confidence import read_confidence
from utils.evaluation.doubts import Doubt, DoubtFinder
from utils.evaluation.results import open_segmented
from utils.files import hold_lock
from utils.stage3.correction_files import (
    Correction,
    Corrections,
    MaskFolder,
    drawn_frames,
    runs_of,
    summarise,
)
from utils.stage3.corrections import (
    MovePiece,
    Operation,
    Redraw,
    Swap,
    agree,
    describe,
    limit_of_agreement,
    piece_at,
)

MAX_CHANGE = 2  # of an animal's area from a frame to the next; with more of it, it was lost
SECONDS_AT_ONCE = 0.5  # of a search through the masks, while nothing else can be asked


@dataclass
class _Open:
    """The results of one run: `version` tells them from those of the next one."""

    version: int
    corrections: Corrections
    doubts: DoubtFinder
    undone: list[Correction]


class Corrector:
    """The corrections of the video of a task. Threads may share an instance.

    Every verb raises InputError where there are no results, or a run is working on them.

    Args:
        task: names the video and its results.
    """

    def __init__(self, task: AnnotationTask):
        self._task = task
        self._lock = threading.RLock()
        self._open: _Open | None = None
        self.writer = ResultsWriter(task, self._write_mask, self._note_written)

    # What there is

    def read(self, frame: int) -> np.ndarray | None:
        """The mask of a frame with all corrections, as of `AnnotationTask.read_result`."""
        with self._lock:
            labels = self._task.read_result(frame)
            if labels is None or not (self._run_dir / paths.CORRECTIONS_FILE).is_file():
                return labels
            with contextlib.suppress(InputError):  # `state` says what is wrong
                return self._results().corrections.corrected(frame)
            return labels

    def state(self) -> dict[str, Any]:
        """For JSON: which corrections there are, and how far the files are."""
        with self._lock:
            try:
                results = self._results()
            except InputError as error:
                return {"available": False, "reason": str(error)}
            corrections = results.corrections
            entries = corrections.entries
            return {
                "available": True,
                "animals": list(corrections.masks.animals),
                "summary": summarise(entries),
                "list": [
                    {
                        "text": describe(entry.operation),
                        "frame": getattr(entry.operation, "drawn", entry.operation.first),
                        "note": entry.note,
                    }
                    for entry in entries
                ],
                "frames": [list(run) for run in runs_of(corrections.frames())],
                "can_redo": bool(results.undone),
                "writing": self.writer.status(),
            }

    def find_doubt(self, start: int, step: int) -> tuple[Doubt | None, int]:
        """As `DoubtFinder.find`, for a moment."""
        with self._lock:
            results = self._results()
            settled = drawn_frames(results.corrections.entries)
            return results.doubts.find(start, step, settled, SECONDS_AT_ONCE)

    def find_crossing(self, frame: int, animals: tuple[int, int]) -> tuple[int | None, int]:
        """As `DoubtFinder.last_before_crossing`, for a moment."""
        with self._lock:
            self._check_animals(animals)
            return self._results().doubts.last_before_crossing(frame, animals, SECONDS_AT_ONCE)

    # Corrections; all return the frames that changed

    def swap(self, first: int, last: int, animals: tuple[int, int]) -> list[int]:
        """Two animals get each other's masks, from a first to a last frame."""
        with self._changing() as results:
            self._check_animals(animals)
            pixels = {}
            for index in {first, last}:
                labels = results.corrections.corrected(index)
                pixels[index] = np.where(np.isin(labels, animals), labels, np.uint8(0))
            if not any(pixels[index].any() for index in pixels):
                raise InputError(f"Frame {first} shows neither animal {animals[0]} nor the other.")
            return self._add(Swap(animals, first, last), pixels)

    def move_piece(self, frame: int, x: int, y: int, new_animal: int) -> list[int]:
        """The connected piece at a pixel goes to another animal, or to the background (0)."""
        with self._changing() as results:
            if new_animal:
                self._check_animals([new_animal])
            labels = results.corrections.corrected(frame)
            piece = piece_at(labels, x, y)
            if not piece.any():
                raise InputError("There is no animal under the pointer.")
            animal = int(labels[y, x])
            if animal == new_animal:
                raise InputError(f"This piece is of animal {animal} already.")
            operation = MovePiece((animal, new_animal), frame, frame)
            return self._add(operation, {frame: piece * np.uint8(animal)})

    def redraw(self, frame: int, labels: np.ndarray) -> list[int]:
        """The mask of a frame becomes what a person drew; `follow_on` goes on from there."""
        with self._changing() as results:
            before = results.corrections.corrected(frame)
            is_other = labels != before
            changed = np.unique(np.concatenate([labels[is_other], before[is_other]]))
            animals = tuple(int(animal) for animal in changed if animal)
            if not animals:
                raise InputError("This is the mask that the frame has already.")
            self._check_animals(animals)
            pixels = np.where(np.isin(labels, animals), labels, np.uint8(0))
            limit = limit_of_agreement(before, labels, animals)
            return self._add(Redraw(animals, frame, frame, frame, limit), {frame: pixels})

    def follow_on(
        self, step: int, frames: FrameReader, segmenter: Segmenter
    ) -> tuple[list[int], str]:
        """Follows the masks that were redrawn last into one frame more.

        Args:
            step: 1 into the frame after the last one, -1 into that before the first one.
            frames: of the video.
            segmenter: a network that knows animals.

        Returns: the frame, or none, and then why it ends there: "agrees", "end", "lost" or "drawn".
        """
        from utils.annotator import proposals  # imports Keras

        with self._lock:
            corrections = self._results().corrections
            entry = corrections.entries[-1] if corrections.entries else None
            if entry is None or not isinstance(entry.operation, Redraw):
                raise InputError("The last correction is none of a mask: nothing to follow.")
            operation = entry.operation
            if not operation.agrees_from:
                return [], "agrees"  # the network differs from right masks by more than this
            outer = operation.last if step > 0 else operation.first
            frame = outer + step
            if not 0 <= frame < len(self._task.video):
                return [], "end"
            if frame in drawn_frames(corrections.entries):
                return [], "drawn"
            labels, now = corrections.corrected(outer), corrections.corrected(frame)
            # Not what this frame shows: an animal that the drawn one hides may be there again.
            shown = operation.shown_in(corrections.corrected(operation.drawn))
        start = proposals.Labelled(outer, labels)
        found = proposals.follow_animals(segmenter, frame, frames, start, shown)
        if agree(now, found, operation, shown):
            return [], "agrees"
        if not shown or any(_is_lost(found == animal, labels == animal) for animal in shown):
            return [], "lost"
        with self._changing() as results:
            entries = results.corrections.entries
            if not entries or entries[-1] != entry:
                return [], "end"  # it was undone meanwhile
            wider = replace(
                operation, first=min(operation.first, frame), last=max(operation.last, frame)
            )
            results.corrections.keep_pixels(entry.number, frame, found)
            holds_in = frozenset(range(wider.first, wider.last + 1))
            entries[-1] = replace(entry, operation=wider, holds_in=holds_in)
            return self._changed([frame]), ""

    def undo(self) -> list[int]:
        """Takes the last correction back."""
        with self._changing() as results:
            if not results.corrections.entries:
                raise InputError("There is no correction to undo.")
            entry = results.corrections.entries.pop()
            results.undone.append(entry)
            return self._changed(entry.holds_in)

    def redo(self) -> list[int]:
        """Makes a correction again that was taken back."""
        with self._changing() as results:
            if not results.undone:
                raise InputError("There is no correction to redo.")
            entry = results.undone.pop()
            results.corrections.entries.append(entry)
            return self._changed(entry.holds_in)

    # Within

    def _results(self) -> _Open:
        """The present results and their corrections, read again after a run."""
        if self._is_open():
            return self._open
        self._open = None
        self.writer.forget()
        status = self._task.results_status()
        if not status["available"]:
            nothing = "There is no result to correct. Run the segmentation first."
            raise InputError(status.get("reason", nothing))
        video = open_segmented(self._task.results, self._task.sequence.name)
        names = tuple(self._task.video.frame_names)
        animals, sha256 = video.animals or (1,), video.frames_sha256
        masks = MaskFolder(self._task.results, video.name, names, animals, sha256)
        corrections = Corrections(masks)
        confidence = read_confidence(video)
        curve = () if confidence is None else confidence.frames.tolist()
        doubts = DoubtFinder(corrections.corrected, len(names), curve)
        self._open = _Open(status["version"], corrections, doubts, [])
        if not corrections.are_masks_written or not corrections.is_overlay_written:
            self.writer.write(corrections.to_write())
        return self._open

    def _is_open(self) -> bool:
        """Whether what is in memory is what is on disk."""
        is_open = self._open is not None and self._open.version == self._version()
        return is_open and not self._open.corrections.is_outdated()

    def _version(self) -> int | None:
        """Changes with every run; None while there is no result."""
        try:
            return (self._run_dir / paths.RUN_FILE).stat().st_mtime_ns
        except OSError:
            return None

    @contextlib.contextmanager
    def _changing(self) -> Iterator[_Open]:
        """Holds the locks of the results while they are changed."""
        with self._lock, hold_lock(self._run_dir / paths.LOCK_FILE, str(self._run_dir)):
            results = self._results()
            results.corrections.require_uncorrected()
            yield results

    @property
    def _run_dir(self) -> Path:
        return self._task.results / paths.RUNS / self._task.sequence.name

    def _check_animals(self, animals: Iterable[int]) -> None:
        known = self._results().corrections.masks.animals
        unknown = sorted(set(animals) - set(known))
        if unknown:
            raise InputError(
                f"The run has no animal {unknown[0]}, it has {', '.join(map(str, known))}. Label "
                "the animal and run again."
            )

    def _add(self, operation: Operation, pixels: dict[int, np.ndarray]) -> list[int]:
        results = self._results()
        corrections, number = results.corrections, results.corrections.next_number()
        for frame, values in pixels.items():
            corrections.keep_pixels(number, frame, values)
        frames = range(operation.first, operation.last + 1)
        corrections.entries.append(Correction(number, operation, frozenset(frames)))
        results.undone.clear()
        corrections.remove_unused_pixels()
        return self._changed(frames)

    def _changed(self, frames: Iterable[int]) -> list[int]:
        """Saves the list, and lets the files follow."""
        results, frames = self._results(), sorted(frames)
        results.corrections.are_masks_written = results.corrections.is_overlay_written = False
        results.corrections.save()
        results.doubts.forget(frames)
        self.writer.write(frames)
        return frames

    def _write_mask(self, frame: int) -> None:
        with self._lock, hold_lock(self._run_dir / paths.LOCK_FILE, str(self._run_dir)):
            self._still_open().corrections.write_mask(frame)

    def _note_written(self, what: str) -> None:
        """All "masks" have been written, or the "overlay"."""
        with self._lock:
            corrections = self._still_open().corrections
            if self.writer.has_pending():
                return  # corrected meanwhile
            corrections.are_masks_written = True
            corrections.is_overlay_written |= what == "overlay"
            corrections.save()

    def _still_open(self) -> _Open:
        if not self._is_open():
            raise OutdatedError
        return self._open


def _is_lost(mask: np.ndarray, before: np.ndarray) -> bool:
    """Whether an animal's mask is another one than in the frame before; both bool (H, W)."""
    area, area_before = np.count_nonzero(mask), np.count_nonzero(before)
    return not area_before / MAX_CHANGE <= area <= area_before * MAX_CHANGE or not area
