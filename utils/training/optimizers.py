"""What the stages' training has in common: optimizers by layer group, and an exact backup."""

import re
from pathlib import Path

import keras
import numpy as np

from utils.files import write_atomically


def make_optimizer(
    head_learning_rate,
    backbone_learning_rate,
    weight_decay: float = 1e-4,
    clip_norm: float | None = 1.0,
    accumulate: int = 1,
) -> keras.optimizers.Optimizer:
    """AdamW with one learning rate (or schedule) for the head and one for the ImageNet backbone.

    A fresh head learns ten times faster than a backbone that must not forget.

    Args:
        head_learning_rate, backbone_learning_rate: numbers or schedules.
        weight_decay: of kernels and all other variables, decoupled from the gradients.
        clip_norm: longest gradient of a variable; None does not clip.
        accumulate: batches whose gradients are averaged into one update.
    """
    head, backbone = (
        keras.optimizers.AdamW(
            rate,
            weight_decay=weight_decay,
            clipnorm=clip_norm,
            gradient_accumulation_steps=accumulate if accumulate > 1 else None,
        )
        for rate in (head_learning_rate, backbone_learning_rate)
    )
    return keras.optimizers.MultiOptimizer(
        lambda variable: backbone if re.match(r"block\d+_", variable.path) else head
    )


def warmup_cosine(
    learning_rate: float, steps: int, final: float
) -> keras.optimizers.schedules.LearningRateSchedule:
    """A warm-up over a twentieth of the steps, so that a fresh head does no harm, then a cosine
    down to `final` times the learning rate."""
    warmup = max(1, steps // 20)
    return keras.optimizers.schedules.CosineDecay(
        learning_rate * 0.1,
        max(1, steps - warmup),
        alpha=final,
        warmup_target=learning_rate,
        warmup_steps=warmup,
    )


def reset_optimizer(optimizer: keras.optimizers.Optimizer) -> None:
    """Back to step 0 with empty moments, keeping the traced training step for the next video."""
    for variable in optimizer.variables:
        if "learning_rate" not in variable.path:
            variable.assign(keras.ops.zeros_like(variable.value))


class Backup(keras.callbacks.Callback):
    """Keeps the whole training state in one file at the end of each epoch, so that a killed run
    resumes exactly.

    Keras' BackupAndRestore writes weights and epoch as two files; killed between them, it would
    train one epoch twice.

    Args:
        path: an .npz file, replaced as a whole.
        every: epochs between two backups.
    """

    def __init__(self, path: Path, every: int = 1):
        super().__init__()
        self.path = Path(path)
        self.every = every

    def _variables(self):
        return self.model.variables + self.model.optimizer.variables

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every:
            return
        values = {
            f"{index:05d}": variable.numpy() for index, variable in enumerate(self._variables())
        }
        if not all(np.isfinite(value).all() for value in values.values()):
            raise FloatingPointError(f"A weight is not finite after epoch {epoch + 1}.")

        def write(temporary):
            with open(temporary, "wb") as file:
                np.savez(file, epoch=epoch + 1, **values)

        write_atomically(self.path, write)

    def restore(self, model: keras.Model) -> int:
        """Loads the state into a compiled model, if there is one.

        Returns: the epoch to go on with, 0 without a state.
        """
        self.set_model(model)
        if not self.path.is_file():
            return 0
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        with np.load(self.path) as state:
            for index, variable in enumerate(self._variables()):
                variable.assign(state[f"{index:05d}"])
            return int(state["epoch"])
