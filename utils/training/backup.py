"""The whole training state in one file, so that a killed run resumes exactly."""

from pathlib import Path

import keras
import numpy as np

from utils.files import write_atomically


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
