"""A script of ours run beside this process: what it is at, what it said, and an end to it."""

import codecs
import os
import re
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
_BAR = re.compile(
    r"^(?P<title>.*?): +\d+%\|.*\| *(?P<done>\d+)/(?P<total>\d+) \[[\d:]+<(?P<left>[\d:?]+),"
)


@dataclass(frozen=True)
class Progress:
    """One state of a progress bar.

    Attributes:
        title: what is being done.
        done: steps or frames.
        total: of them.
        seconds_left: None where that is not known yet.
    """

    title: str
    done: int
    total: int
    seconds_left: int | None


class BackgroundRun:
    """At most one process at a time. Threads may share one of these."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen | None = None
        self._forget()

    def _forget(self) -> None:
        self._progress: Progress | None = None
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._was_cancelled = False
        self._started = self._ended = 0.0

    def start(self, command: Sequence[str], folder: Path) -> None:
        """Starts a process in a folder; its outputs are read, nothing is shown.

        Raises: InputError if one is running; OSError if it cannot be started.
        """
        with self._lock:
            if self._is_running():
                raise InputError("A run is under way. Wait for it, or cancel it first.")
            self._forget()
            self._started = time.monotonic()
            self._process = subprocess.Popen(
                list(command),
                cwd=folder,
                env=os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            threading.Thread(target=self._listen, args=(self._process,), daemon=True).start()

    def status(self) -> dict[str, Any]:
        """For JSON: state (idle, running, done, failed, cancelled), the progress bar's title, done,
        total and seconds_left, seconds so far, the last lines, and in one line what went wrong."""
        with self._lock:
            state, bar = self._state(), self._progress
            end = self._ended or time.monotonic()
            return {
                "state": state,
                "title": bar.title if bar else None,
                "done": bar.done if bar else 0,
                "total": bar.total if bar else 0,
                "seconds_left": bar.seconds_left if bar else None,
                "seconds": round(end - self._started, 1) if self._started else 0,
                "lines": list(self._lines),
                "error": _reason(self._lines) if state == "failed" else None,
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
        # Done once all is read: the last lines tell what went wrong.
        if self._is_running() or not self._ended:
            return "running"
        if self._process.returncode == 0:
            return "done"
        return "cancelled" if self._was_cancelled else "failed"

    def _listen(self, process: subprocess.Popen) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        rest = ""
        while data := process.stdout.read1(65536):
            # Progress bars go back to the beginning of their line.
            *lines, rest = re.split(r"[\r\n]+", rest + decoder.decode(data))
            self._take(lines, process, rest)
        self._take([rest], process)
        process.stdout.close()
        process.wait()
        with self._lock:
            if process is self._process:
                self._ended = time.monotonic()

    def _take(self, lines: Sequence[str], process: subprocess.Popen, rest: str = "") -> None:
        with self._lock:
            if process is not self._process:
                return  # the next run has begun: these are the last words of the one before
            for line in filter(None, (line.strip() for line in lines)):
                progress = parse_progress(line)
                if progress:
                    self._progress = progress
                else:
                    self._lines.append(line)
            # The present state of a bar: only its next one ends the line.
            self._progress = parse_progress(rest.strip()) or self._progress


def parse_progress(line: str) -> Progress | None:
    """What a line of tqdm says, None for any other line. The title is what follows the last colon
    but one: "hen: fine-tuning:  35%|###" is fine-tuning."""
    match = _BAR.match(line)
    if not match:
        return None
    seconds = None
    if "?" not in match["left"]:
        seconds = 0
        for part in match["left"].split(":"):
            seconds = 60 * seconds + int(part)
    title = match["title"].rpartition(": ")[2]
    return Progress(title, int(match["done"]), int(match["total"]), seconds)


def _reason(lines: Sequence[str]) -> str:
    errors = [line for line in lines if line.startswith("error:")]
    if errors:
        return errors[-1].removeprefix("error:").strip()
    return lines[-1] if lines else "it ended without a word"
