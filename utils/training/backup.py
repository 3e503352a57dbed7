"""The whole training state in one file, so that a killed run resumes exactly."""

import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path

import keras
import numpy as np

from utils.errors import InputError
from utils.files import write_atomically

# Raised whenever the same names begin to mean something else; files of other formats are refused.
FORMAT = 2
_FORMAT_KEY, _EPOCH_KEY = "format", "epoch"


class Backup(keras.callbacks.Callback):
    """Saves the whole training state at the end of each epoch, so that a killed run resumes
    exactly.

    Every variable is stored under its path and restored by it, never by its position: `model/` and
    a layer's name for weights, `optimizer/` for the optimizer's state.
    Keras's BackupAndRestore writes weights and epoch as two files; killed between them, it would
    train one epoch twice.

    Args:
        path: an .npz file, replaced as a whole.
        extra: further variables that belong to the state, by name.
        new: names of those of `extra` that files of earlier versions lack; they then stay as they
            are.
    """

    def __init__(
        self,
        path: Path,
        extra: Mapping[str, keras.Variable] | None = None,
        new: Collection[str] = (),
    ):
        super().__init__()
        self.path = Path(path)
        self.extra = dict(extra or {})
        self.new = {f"extra/{name}" for name in new}

    def on_epoch_end(self, epoch, logs=None):
        values = {name: variable.numpy() for name, variable in self._variables().items()}
        for name, value in values.items():
            if not np.isfinite(value).all():
                raise FloatingPointError(f"{name} is not finite after epoch {epoch + 1}.")
        values |= {_FORMAT_KEY: FORMAT, _EPOCH_KEY: epoch + 1}

        def write(temporary_path):
            with open(temporary_path, "wb") as file:
                np.savez(file, **values)

        write_atomically(self.path, write)

    def restore(self, model: keras.Model) -> int:
        """Loads the state into a compiled model, if there is one.

        Returns: the epoch to continue with, counted from 0; 0 without a state.

        Raises:
            InputError: naming the file, and the tensor where there is one, if the state is of
                another format or another network or optimizer; the model is then unchanged.
        """
        self.set_model(model)
        if not self.path.is_file():
            return 0
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        try:
            with np.load(self.path) as file:
                state = dict(file)
        except (ValueError, EOFError, zipfile.BadZipFile) as error:  # after a power cut
            raise self._misfit("it cannot be read") from error
        if int(state.pop(_FORMAT_KEY, 1)) != FORMAT:
            raise self._misfit("the state was written by another version of this program")
        epoch = int(state.pop(_EPOCH_KEY))
        lacking = self.new - state.keys()
        variables = {name: v for name, v in self._variables().items() if name not in lacking}
        for name in sorted(variables.keys() ^ state.keys()):
            found = "missing" if name in variables else "not part of this training"
            raise self._misfit(f"tensor {name} is {found}")
        for name, variable in variables.items():
            if state[name].shape != tuple(variable.shape):
                raise self._misfit(
                    f"tensor {name} has shape {state[name].shape}, expected {tuple(variable.shape)}"
                )
        for name, variable in variables.items():
            variable.assign(state[name])
        return epoch

    def _variables(self) -> dict[str, keras.Variable]:
        named = [(f"model/{v.path}", v) for v in self.model.variables]
        named += [(f"optimizer/{v.path}", v) for v in self.model.optimizer.variables]
        named += [(f"extra/{name}", v) for name, v in self.extra.items()]
        variables = dict(named)
        if len(variables) < len(named):
            raise ValueError("Two variables have the same path: give each layer its own name.")
        return variables

    def _misfit(self, what: str) -> InputError:
        return InputError(
            f"{self.path}: cannot continue, {what}. Remove this file to start from the beginning."
        )
