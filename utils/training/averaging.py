"""The average of the weights over the last part of a run, which is often better than the last.

Keras's own (`use_ema` with `SwapEMAWeights`) is not used: it cannot begin late in the run, and it
counts every batch where gradients are accumulated over several.
"""

import contextlib
from collections.abc import Iterator

import keras
import numpy as np

from utils import backend
from utils.training.recipe import Recipe

# About so many are averaged, evenly spaced, never twice as many: more cost time and change little.
SNAPSHOTS = 60
BEGAN = "began"  # in the state: the update after which the average begins
_UNKNOWN = -1


class WeightAverage(keras.callbacks.Callback):
    """Averages all weights, with equal shares, from `recipe.average_from` on.

    Without `recipe.average_from` it does nothing. Create it in the distribution scope in which the
    model was created.

    Args:
        model: whose weights are averaged.
        recipe: gives the share of the run after which averaging begins.
    """

    def __init__(self, model: keras.Model, recipe: Recipe):
        super().__init__()
        self.set_model(model)
        self.accumulate = recipe.accumulate
        self.done = 0
        self.enabled = recipe.average_from is not None
        self.averages, self.count, self.began = [], None, None
        if not self.enabled:
            return
        self.steps = recipe.steps
        self.start = round(recipe.average_from * recipe.steps)
        self.every = self._every()
        self.count = self._make_variable((), "int32")
        self.began = self._make_variable((), "int32")
        self.began.assign(_UNKNOWN)
        self.averages = [self._make_variable(v.shape, v.dtype) for v in model.weights]

    def _every(self) -> int:
        """Updates from one snapshot to the next."""
        return max(1, (self.steps - self.start) // SNAPSHOTS)

    @staticmethod
    def _make_variable(shape, dtype):
        return keras.Variable(initializer="zeros", shape=shape, dtype=dtype, trainable=False)

    @property
    def state(self) -> dict[str, keras.Variable]:
        """What a backup has to keep, by name; empty where nothing is averaged."""
        if not self.enabled:
            return {}
        names = [variable.path for variable in self.model.weights]
        averages = dict(zip(names, self.averages, strict=True))
        return {"count": self.count, BEGAN: self.began, **averages}

    def resume(self, done: int) -> None:
        """Continues after `done` batches, with the state restored.

        A run that is given more steps begins to average later: an earlier average is dropped, and a
        new one begins at once if the run is past that point. One that is given fewer keeps its
        average, which begins later than it would have.
        """
        self.done = done
        if not self.enabled:
            return
        updates, began = done // self.accumulate, int(self.began.numpy())
        is_early = began < self.start
        if began == _UNKNOWN:  # states of earlier versions do not say where their average began
            is_early = updates <= self.start
        if is_early:
            self.count.assign(0)
            self.start = max(self.start, updates)
        elif began != _UNKNOWN and (self._begun() or began <= updates):
            self.start = began
        self.every = self._every()
        self.began.assign(self.start)

    def on_train_batch_end(self, batch, logs=None):
        self.done += 1
        if not self.enabled or self.done % self.accumulate:
            return
        updates = self.done // self.accumulate - self.start
        if updates > 0 and updates % self.every == 0:
            backend.sync_variables(self.model)
            count = int(self.count.numpy()) + 1
            for average, variable in zip(self.averages, self.model.weights, strict=True):
                if count == 1:  # copied, because JAX reuses the memory of what a step was given
                    average.assign(keras.ops.copy(variable.value))
                else:
                    average.assign_add((variable.value - average.value) / count)
            self.count.assign(count)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Gives the model the average while the block runs, if there is one yet."""
        if not self._begun():
            yield
            return
        kept = [np.array(variable.numpy()) for variable in self.model.weights]
        self.finish()
        try:
            yield
        finally:
            for variable, value in zip(self.model.weights, kept, strict=True):
                variable.assign(value)

    def finish(self) -> None:
        """Gives the model the average for good, if there is one."""
        if self._begun():
            for variable, average in zip(self.model.weights, self.averages, strict=True):
                variable.assign(keras.ops.copy(average.value))

    def _begun(self):
        return self.enabled and int(self.count.numpy()) > 0
