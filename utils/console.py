"""What a script shows while it works: progress, as bars for people or as JSON lines for programs.

`--progress json` is what the web page starts stage 3 with.
"""

import json
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, Protocol, TextIO

from tqdm import tqdm

JSON_SECONDS = 0.2  # between two lines, at least


class Display(Protocol):
    """Shows progress; the steps of training as callbacks for Keras's `fit`."""

    def frames(self, frames: Iterable, title: str, total: int | None = None) -> Iterator:
        """Hands `frames` on, one by one, and shows how many are done."""

    def training(self, title: str, steps: int, done: int = 0) -> list:
        """Callbacks for `fit` that show training steps with the loss.

        Args:
            title: shown with the progress.
            steps: up to the end of the run; those that an earlier run made are counted as done.
            done: steps of earlier runs, where `fit` starts with epoch 0 all the same.
        """


class BarDisplay:
    """Bars on stderr, with the time left."""

    def frames(self, frames: Iterable, title: str, total: int | None = None) -> Iterator:
        bar = tqdm(
            frames, desc=title, total=total, unit="frame", dynamic_ncols=True, mininterval=0.5
        )
        return iter(bar)

    def training(self, title: str, steps: int, done: int = 0) -> list:
        return training_progress(title, steps, done)


class JsonDisplay:
    """One JSON object per line on stdout: {"title", "done", "total", "unit": "step" or "frame"},
    with "loss" for steps. Lines come at most every `JSON_SECONDS`; the last one always comes."""

    def __init__(self, stream: TextIO | None = None):
        self._stream = stream or sys.stdout
        self._last = 0.0

    def frames(self, frames: Iterable, title: str, total: int | None = None) -> Iterator:
        total = len(frames) if total is None else total
        for done, frame in enumerate(frames):
            self._write(title=title, done=done, total=total, unit="frame")
            yield frame
        self._write(is_due=True, title=title, done=total, total=total, unit="frame")

    def training(self, title: str, steps: int, done: int = 0) -> list:
        def show(done: int, loss: float | None) -> None:
            facts: dict[str, Any] = {"title": title, "done": done, "total": steps, "unit": "step"}
            if loss is not None:
                facts["loss"] = round(loss, 4)
            self._write(is_due=done == steps, **facts)

        return [_training_callback(show, steps, done)]

    def _write(self, is_due: bool = False, **facts: Any) -> None:
        if not is_due and time.monotonic() - self._last < JSON_SECONDS:
            return
        self._last = time.monotonic()
        print(json.dumps(facts), file=self._stream, flush=True)


def make_display(progress: str) -> Display:
    """The display that `--progress bars` or `--progress json` asks for."""
    return JsonDisplay() if progress == "json" else BarDisplay()


def frame_progress(frames: Iterable, title: str) -> tqdm:
    """Wraps frames in a bar with the time left, gone when done."""
    return tqdm(frames, desc=title, unit="frame", dynamic_ncols=True, leave=False)


def training_progress(title: str, steps: int, done: int = 0) -> list:
    """A bar of training steps, see `Display.training`."""
    bar = tqdm(
        total=steps, initial=done, desc=title, unit="step", dynamic_ncols=True, mininterval=0.5
    )

    def show(done: int, loss: float | None) -> None:
        if loss is None:  # before the first step of this process
            bar.n = bar.initial = done
            bar.refresh()
            return
        bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
        bar.update(done - bar.n)

    return [_training_callback(show, steps, done, bar.close)]


def _training_callback(show, steps, done, close=lambda: None):
    import keras  # here, so that scripts without a network start at once

    class Progress(keras.callbacks.Callback):
        done = None

        def on_epoch_begin(self, epoch, logs=None):
            if self.done is None:
                # A run that is continued begins with a later epoch.
                left = (self.params["epochs"] - epoch) * self.params["steps"]
                self.done = done or max(0, steps - left)
                show(self.done, None)

        def on_train_batch_end(self, batch, logs=None):
            self.done += 1
            show(self.done, float(logs["loss"]))

        def on_train_end(self, logs=None):
            close()

    return Progress()
