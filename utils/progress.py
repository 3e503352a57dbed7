"""Progress bars: what is done, how long the rest takes, and the loss."""

from collections.abc import Iterable

import keras
from tqdm import tqdm


def frame_progress(frames: Iterable, title: str) -> tqdm:
    """Wraps frames in a bar with the time left, gone when done."""
    return tqdm(frames, desc=title, unit="frame", dynamic_ncols=True, leave=False)


def training_progress(title: str, steps: int, done: int = 0) -> list[keras.callbacks.Callback]:
    """Callbacks for `fit` that show a bar of training steps with the loss and the time left.

    Args:
        title: shown before the bar.
        steps: of the whole run.
        done: steps of an earlier run that this one goes on from.
    """
    bar = tqdm(
        total=steps, initial=done, desc=title, unit="step", dynamic_ncols=True, mininterval=0.5
    )

    def on_batch_end(batch, logs):
        bar.update()
        bar.set_postfix(loss=f"{float(logs['loss']):.3f}", refresh=False)

    return [
        keras.callbacks.LambdaCallback(
            on_train_batch_end=on_batch_end, on_train_end=lambda logs: bar.close()
        )
    ]
