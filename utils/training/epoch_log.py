"""What is written down at the end of each epoch of stages 1 and 2."""

from collections.abc import Callable, Sequence

import keras
import numpy as np

from utils.training.averaging import WeightAverage
from utils.training.batches import Sample
from utils.training.curves import draw_curves
from utils.training.optimizers import warmup_cosine
from utils.training.recipe import Recipe
from utils.training.run_folder import RunFolder
from utils.training.validation import measure_iou
from utils.training.weights import save_weights


class EpochLog(keras.callbacks.Callback):
    """At the end of each epoch: stops at a loss that is not finite, validates, keeps the best
    weights, writes history, TensorBoard log and curves.

    Args:
        folder: of the run.
        validation: images on which the best weights are chosen.
        recipe: of the run.
        average: of the weights, which are validated in place of the latest.
        done: batches that the restored state has seen; rows of later ones were not backed up.
        measure: from model and validation images to numbers by name, of which "validation_iou"
            decides which weights are the best.
    """

    def __init__(
        self,
        folder: RunFolder,
        validation: Sequence[Sample],
        recipe: Recipe,
        average: WeightAverage,
        done: int,
        measure: Callable[[keras.Model, Sequence], dict[str, float]] = measure_iou,
    ):
        super().__init__()
        self.folder = folder
        self.validation = validation
        self.recipe = recipe
        self.average = average
        self.done = done
        self.measure = measure
        history = folder.read_history()
        self.rows = [row for row in history if row["step"] * recipe.accumulate <= done]
        self.rate = warmup_cosine(recipe.head_learning_rate, recipe.steps, recipe.final_rate)
        self.writer = None

    def on_train_begin(self, logs=None):
        from tensorboard.summary import Writer  # takes a second to import

        self.writer = Writer(str(self.folder.path / "tensorboard"))

    def on_train_end(self, logs=None):
        self.writer.close()

    def on_train_batch_end(self, batch, logs=None):
        self.done += 1

    def on_epoch_end(self, epoch, logs=None):
        number = len(self.rows) + 1  # Keras starts counting at 0 after each resume
        step = self.done // self.recipe.accumulate
        if not np.isfinite(logs["loss"]):
            raise FloatingPointError(
                f"The loss of epoch {number} is not finite. What was before it is kept. Try "
                "--precision float32, or another --seed with another --output."
            )
        row = {"epoch": number, "step": step}
        row |= {name: round(float(value), 5) for name, value in logs.items()}
        row["learning_rate"] = float(self.rate(step))
        if number % self.recipe.validate_every == 0 or step >= self.recipe.steps:
            self._validate(row)
        self.rows.append(row)
        self._write(row)

    def validate_last(self, model: keras.Model) -> None:
        """Validates after the last epoch if that was not done: a run that was cut off may be
        declared finished by fewer `--steps`."""
        if self.rows and "validation_iou" not in self.rows[-1]:
            self.set_model(model)
            row = self.rows.pop()
            self._validate(row)
            self.rows.append(row)
            self.folder.write_history(self.rows)

    def _validate(self, row):
        """Adds the validation IoU to the row, and keeps the weights if they are the best so far."""
        best = max((r.get("validation_iou", -1.0) for r in self.rows), default=-1.0)
        with self.average.applied():
            row |= self.measure(self.model, self.validation)
            if row["validation_iou"] > best:
                facts = {"stage": self.recipe.stage, "head": self.folder.head, **row}
                save_weights(self.model, self.folder.best, facts)

    def _write(self, row):
        self.folder.write_history(self.rows)
        draw_curves(self.folder.path / "curves.png", self.rows)
        for name, value in row.items():
            if name not in ("epoch", "step"):
                self.writer.add_scalar(name, value, row["step"])
        self.writer.flush()
