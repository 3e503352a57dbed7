"""Runs a script of this project beside the page: its progress, its output, and a way to cancel it.

The script is started with `--progress json`: it then writes its progress to stdout as one JSON
object per line. All its other lines are text.
"""

import json
import os
import subprocess
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.errors import InputError

KEPT_LINES = 40
SECONDS_TO_END = 10


@dataclass(frozen=True)
class Progress:
    """How far one part of the work is.

    Attributes:
        title: the part, as "hen: fine-tuning".
        done: steps or frames so far.
        total: steps or frames in all.
    """

    title: str
    done: int
    total: int


class ProgressClock:
    """Estimates how long the present part of the work still takes, from its pace so far."""

    def __init__(self) -> None:
        self.latest: Progress | None = None
        self._first: Progress | None = None
        self._first_time = self._latest_time = 0.0

    def update(self, progress: Progress, now: float) -> None:
        """Notes the progress at a time, in seconds of a monotonic clock."""
        first = self._first
        is_new_part = (
            first is None
            or (first.title, first.total) != (progress.title, progress.total)
            or progress.done < self.latest.done
        )
        if is_new_part:
            self._first, self._first_time = progress, now
        self.latest, self._latest_time = progress, now

    def seconds_left(self) -> float | None:
        """Seconds from the latest update to the end of this part, None before its second step."""
        if self.latest is None or self.latest.done <= self._first.done:
            return None
        # A continued run begins with steps that were done before: they say nothing about the pace.
        pace = (self._latest_time - self._first_time) / (self.latest.done - self._first.done)
        return pace * (self.latest.total - self.latest.done)


class BackgroundRun:
    """Runs at most one process at a time. Threads may share an instance."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._reset()

    def _reset(self) -> None:
        self._clock = ProgressClock()
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._was_cancelled = False
        self._started = self._ended = 0.0

    def start(self, command: Sequence[str], folder: Path) -> None:
        """Starts a process; its output is read, not shown.

        Args:
            command: the program and its arguments.
            folder: where it is started.

        Raises:
            InputError: if a process is running.
            OSError: if it cannot be started.
        """
        with self._lock:
            if self._is_running():
                raise InputError("A run is in progress. Wait for it, or cancel it first.")
            self._reset()
            self._started = time.monotonic()
            self._process = subprocess.Popen(
                list(command),
                cwd=folder,
                env=os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
            )
            threading.Thread(target=self._read_output, args=(self._process,), daemon=True).start()

    def status(self) -> dict[str, Any]:
        """Describes the run for JSON.

        Returns:
            state (idle, running, done, failed, cancelled); title, done, total and seconds_left of
            the present part of the work; seconds since the start; lines, the last ones of the
            output; error, what went wrong in one line.
        """
        with self._lock:
            state, progress = self._state(), self._clock.latest
            end = self._ended or time.monotonic()
            return {
                "state": state,
                # "hen, animal 2: segmenting" is shown as "segmenting": the page is about one video.
                "title": progress.title.rpartition(": ")[2] if progress else None,
                "done": progress.done if progress else 0,
                "total": progress.total if progress else 0,
                "seconds_left": self._clock.seconds_left(),
                "seconds": round(end - self._started, 1) if self._started else 0,
                "lines": list(self._lines),
                "error": _last_error(self._lines) if state == "failed" else None,
            }

    def cancel(self) -> None:
        """Ends the process, if there is one, and waits for its end."""
        with self._lock:
            process = self._process
            if process is None or not self._is_running():
                return
            self._was_cancelled = True
        process.terminate()
        try:
            process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _state(self) -> str:
        if self._process is None:
            return "idle"
        # It counts as running until its output is read: the last lines say what went wrong.
        if self._is_running() or not self._ended:
            return "running"
        if self._process.returncode == 0:
            return "done"
        return "cancelled" if self._was_cancelled else "failed"

    def _read_output(self, process: subprocess.Popen[str]) -> None:
        with process.stdout:
            for line in process.stdout:
                self._take_line(line.strip(), process)
        process.wait()
        with self._lock:
            if process is self._process:
                self._ended = time.monotonic()

    def _take_line(self, line: str, process: subprocess.Popen[str]) -> None:
        progress = parse_progress(line)
        with self._lock:
            if process is not self._process:
                return  # the next run has started: these are the last lines of the one before
            if progress:
                self._clock.update(progress, time.monotonic())
            elif line:
                self._lines.append(line)


def parse_progress(line: str) -> Progress | None:
    """Reads a line such as {"title": "hen: fine-tuning", "done": 5, "total": 12, "unit": "step"}.

    Returns: None for any other line, which is text.
    """
    if not line.startswith("{"):
        return None
    try:
        content = json.loads(line)
        title, done, total = content["title"], content["done"], content["total"]
    except (ValueError, KeyError):
        return None
    if not (isinstance(title, str) and type(done) is type(total) is int and 0 <= done <= total):
        return None
    return Progress(title, done, total)


def _last_error(lines: Sequence[str]) -> str:
    errors = [line for line in lines if line.startswith("error:")]
    if errors:
        return errors[-1].removeprefix("error:").strip()
    return lines[-1] if lines else "it ended without a message"
