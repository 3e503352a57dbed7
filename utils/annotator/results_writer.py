"""Masks, overlay and exported files follow the corrections of the page, in the background.

Masks are written at once. The overlay video and the files of export.py that there are already
follow when nothing was corrected for a moment, or when the page is left.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import closing
from typing import Any

import numpy as np

from utils import paths
from utils.annotator.task import AnnotationTask
from utils.command_line import flag_words
from utils.errors import InputError, one_line
from utils.media.overlay import write_overlays

QUIET_SECONDS = 2.0  # without a correction, before the overlay is written
TIDYING_SECONDS = 10.0  # that an export has to end in when something is more urgent
POLL_SECONDS = 0.2  # how often an export looks whether something is more urgent


class OutdatedError(Exception):
    """What was to be written belongs to results that are gone."""


class _InterruptedError(Exception):
    """There is something more urgent than overlay and exported files."""


class ResultsWriter:
    """Writes in a thread of its own, which the first correction starts.

    Args:
        task: names the video and its results.
        write_mask: writes the mask of a frame.
        note_written: is told when all "masks" or the "overlay" were written.
    """

    def __init__(
        self,
        task: AnnotationTask,
        write_mask: Callable[[int], None],
        note_written: Callable[[str], None],
    ):
        self._task = task
        self._write_mask = write_mask
        self._note_written = note_written
        self._changed = threading.Condition()
        self._pending: set[int] = set()
        self._failed: set[int] = set()  # tried again with the next correction
        self._is_overlay_due = False
        self._is_busy = self._is_leaving = self._is_paused = False
        self._error: str | None = None
        self._thread: threading.Thread | None = None

    def write(self, frames: Iterable[int]) -> None:
        """The masks of these frames have changed."""
        with self._changed:
            self._pending |= {*frames, *self._failed}
            self._failed.clear()
            self._is_overlay_due, self._is_paused, self._error = True, False, None
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def has_pending(self) -> bool:
        """Whether masks are still to be written."""
        with self._changed:
            return bool(self._pending or self._failed)

    def status(self) -> dict[str, Any]:
        """For JSON: how many masks are to be written, whether the overlay is, what went wrong."""
        with self._changed:
            return {
                "masks": len(self._pending) + len(self._failed),
                "overlay": self._is_overlay_due,
                "error": self._error,
            }

    def pause(self) -> None:
        """Waits until nothing is being written; the rest is left to the run that comes."""
        with self._changed:
            self._is_paused = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._is_busy)

    def resume(self) -> None:
        """The run is over; what it has left of these results is written now."""
        with self._changed:
            self._is_paused = False
            self._changed.notify_all()

    def forget(self) -> None:
        """There are other results: what was to be written is not any more."""
        with self._changed:
            self._pending.clear()
            self._failed.clear()
            self._is_overlay_due, self._error = False, None

    def finish(self) -> None:
        """Writes all that is to be written, and ends the thread."""
        with self._changed:
            self._is_leaving, self._is_paused = True, False
            if self._thread is None:
                return
            if self._is_overlay_due:
                print("The overlay video of the corrected masks is written …", flush=True)
            self._changed.notify_all()
        self._thread.join()
        if self._error:
            print(f"warning: {self._error}", flush=True)

    def _has_work(self) -> bool:
        if self._is_paused:
            return False
        return bool(self._pending) or (self._is_overlay_due and not self._error)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._is_busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._has_work() or self._is_leaving)
                if not self._has_work():
                    return
                if not self._pending and not self._is_leaving:
                    if self._changed.wait_for(self._is_disturbed, QUIET_SECONDS):
                        continue
                frame = min(self._pending, default=None)
                self._pending.discard(frame)
                self._is_busy = True
            try:
                if frame is None:
                    self._write_rest()
                else:
                    self._write_one(frame)
            except OutdatedError:  # a run has replaced the results
                self.forget()
            except _InterruptedError:
                pass  # what is left is still due
            except Exception as error:  # of whatever kind: an end of this thread would go unnoticed
                with self._changed:
                    self._error = one_line(error)

    def _is_disturbed(self) -> bool:
        return self._is_interrupted() or self._is_leaving

    def _is_interrupted(self) -> bool:
        return bool(self._pending) or self._is_paused

    def _write_one(self, frame: int) -> None:
        try:
            self._write_mask(frame)
        except OutdatedError:
            raise
        except Exception:
            with self._changed:
                self._failed.add(frame)  # the other frames do not wait for it
            raise
        if not self.has_pending():
            self._note_written("masks")

    def _write_rest(self) -> None:
        task, status = self._task, self._task.results_status()
        if not status["available"]:
            raise OutdatedError

        def read_mask(index: int) -> np.ndarray:
            with self._changed:
                if self._is_interrupted():
                    raise _InterruptedError
            return task.read_result(index)

        notes, failures = [], []
        if status["has_overlay"]:
            with closing(type(task.video)(task.video.path, task.video.name)) as video:
                aside = task.results / paths.RUNS / task.sequence.name / paths.CORRECTIONS
                labelled = status["labelled"]
                folder = task.overlay_path.parent
                notes = write_overlays(folder, aside, video, read_mask, labelled, failures)
            with self._changed:
                if self._is_interrupted():
                    return  # once more, later
        self._note_written("masks")  # export.py refuses those that lack corrections
        notes += self._export_again()
        with self._changed:
            if self._is_interrupted():
                return
        if failures:
            raise InputError("; ".join(notes))
        self._note_written("overlay")  # also if export.py failed: the overlay would be made again
        with self._changed:
            if not self._pending:  # else the files are of masks that have changed since
                self._is_overlay_due, self._error = False, "; ".join(notes) or None

    def _export_again(self) -> list[str]:
        """Files that export.py has written of these masks are written anew. Returns: what failed,
        a line each."""
        task, folder = self._task, self._task.results / paths.EXPORT
        name = task.sequence.name
        written = {
            ("csv",): (folder / "csv" / f"{name}.csv").is_file(),
            ("coco",): (folder / "coco" / f"{name}.json").is_file(),
            ("davis",): (folder / "davis" / "Annotations" / name).is_dir(),
            ("cutout", "--cutout-as", "png"): (folder / "cutout" / name).is_dir(),
            ("cutout", "--cutout-as", "webm"): (folder / "cutout" / f"{name}.webm").is_file(),
        }
        failures = []
        for arguments, is_there in written.items():
            if not is_there:
                continue
            command = [sys.executable, str(task.export), *arguments]
            command += flag_words("--results", task.results) + flag_words("--sequences", name)
            status, errors = self._run(command)
            if status:
                reason = (errors.strip().splitlines() or ["no message"])[-1]
                what = f"export.py {arguments[0]} failed after the correction; run it again"
                failures.append(f"{what}: {reason}")
        return failures

    def _run(self, command: list[str]) -> tuple[int, str]:
        """Runs a script. Returns: its exit status, and what it wrote of errors.

        Raises:
            _InterruptedError: if masks are to be written first, or a run is to begin; the script
                was ended.
        """
        # Ctrl-C in the terminal is meant for the server, which waits for this.
        with subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # on Windows
        ) as process:
            while True:
                try:
                    _, errors = process.communicate(timeout=POLL_SECONDS)
                    return process.returncode, errors
                except subprocess.TimeoutExpired:
                    with self._changed:
                        is_interrupted = self._is_interrupted()
                    if is_interrupted:
                        end(process)
                        raise _InterruptedError from None


def end(process: subprocess.Popen) -> None:
    """Ends a script as Ctrl-C does, after which it tidies up; at once if it does not end so."""
    process.send_signal(signal.SIGINT if os.name == "posix" else signal.SIGTERM)
    try:
        process.communicate(timeout=TIDYING_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
