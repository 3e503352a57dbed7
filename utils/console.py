"""Progress bars: what is done, how long the rest takes, and the loss."""

from collections.abc import Iterable

import keras
from tqdm import tqdm


def frame_progress(frames: Iterable, title: str) -> tqdm:
    """Wraps frames in a bar with the time left, gone when done."""
    return tqdm(frames, desc=title, unit="frame", dynamic_ncols=True, leave=False)


class _TrainingBar(keras.callbacks.Callback):
    def __init__(self, bar: tqdm):
        super().__init__()
        self.bar = bar

    def on_epoch_begin(self, epoch, logs=None):
        if self.bar.initial:
            return
        done = self.bar.total - (self.params["epochs"] - epoch) * self.params["steps"]
        if self.bar.n < done:  # a run that goes on begins with a later epoch
            self.bar.n = self.bar.initial = done
            self.bar.refresh()

    def on_train_batch_end(self, batch, logs=None):
        self.bar.update()
        self.bar.set_postfix(loss=f"{float(logs['loss']):.3f}", refresh=False)

    def on_train_end(self, logs=None):
        self.bar.close()


def training_progress(title: str, steps: int, done: int = 0) -> list[keras.callbacks.Callback]:
    """Callbacks for `fit` that show a bar of training steps with the loss and the time left.

    Args:
        title: shown before the bar.
        steps: up to the end of the run; those that an earlier run did are counted as done.
        done: steps of earlier runs, where `fit` begins with epoch 0 all the same.
    """
    bar = tqdm(
        total=steps, initial=done, desc=title, unit="step", dynamic_ncols=True, mininterval=0.5
    )
    return [_TrainingBar(bar)]
