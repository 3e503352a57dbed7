"""The folder of one training run: lock, description, state and history; and what it hands on."""

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

import keras

from utils import paths
from utils.environment import describe_environment, git_commit
from utils.errors import InputError, UsageError
from utils.files import check_writable, hold_lock, write_json
from utils.training.weights import load_weights, read_weights, save_weights


class RunFolder:
    """Where a run keeps everything, so that it resumes exactly and can be watched as it trains.

    Args:
        output: the stage's folder of weights; the run's own folder is `output/HEAD.training`.
        head: of the network.
    """

    def __init__(self, output: Path, head: str):
        self.output = Path(output)
        self.head = head
        self.path = self.output / f"{head}.training"
        self.state = self.path / "state.npz"
        self.record = self.path / paths.RUN_FILE
        self.best = self.path / "best.safetensors"
        self._history = self.path / "history.json"
        self._exported = (f"{head}.last", head)  # without the suffix

    def lock(self, dry_run: bool = False) -> contextlib.AbstractContextManager:
        """Refuses a second training in this folder while the block runs.

        Args:
            dry_run: then nothing is locked, because nothing may be written.

        Raises:
            InputError: if another process trains here, or nothing can be written.
        """
        check_writable(self.output, "another folder with --output")
        if dry_run:
            return contextlib.nullcontext()
        # Not inside the run's own folder, which a new run clears.
        return hold_lock(self.output / f"{self.head}.lock", f"the training in {self.output}")

    def start_weights(self, weights: Path) -> str:
        """The sha256 of the weights that the run starts from, or has started from.

        A run may replace the file that it started from by its own weights. Its state stands for
        both, so it can be continued all the same.

        Raises:
            InputError: if the weights are missing or damaged.
        """
        own = [(self.output / f"{name}.safetensors").resolve() for name in self._exported]
        if self.state.is_file() and Path(weights).resolve() in own:
            return self._read_key()["weights"]
        return read_weights(weights)[1]["sha256"]

    def check(self, key: dict[str, Any], resume: bool, steps: int) -> None:
        """Makes sure that no run is lost: there is none yet, or `resume` continues the same one.

        Args:
            key: everything the result depends on (`run_key`); `steps` is not part of it.
            resume: whether the user asked to continue.
            steps: updates of the whole run.

        Raises:
            InputError: if there is a run already and it may not, or cannot, be continued.
            UsageError: if it has made more updates than `steps`.
        """
        if not self.state.is_file():
            return
        if not resume:
            raise InputError(
                f"{self.path} contains a training run. Continue it with --resume (and more "
                "--steps, if it is done), remove it, or name another --output."
            )
        kept = self._read_key()
        key = json.loads(json.dumps(key))  # tuples become lists, as in the file
        for name in sorted(kept.keys() | key.keys()):
            if kept.get(name) != key.get(name):
                raise InputError(
                    f"{self.path}: that run had {name} {kept.get(name)}, this one has "
                    f"{key.get(name)}. Resume with the same, or name another --output."
                )
        made = max((row["step"] for row in self.read_history()), default=0)
        if made > steps:
            raise UsageError(
                f"{self.path}: that run has made {made} updates, --steps {steps} asks for fewer. "
                "Ask for more, or name another --output."
            )

    def _read_key(self):
        return json.loads(self.record.read_text(encoding="utf-8"))["key"]

    def begin(self, key: dict[str, Any], steps: int) -> None:
        """Writes the description of the run into its folder.

        Args:
            key: as of `check`.
            steps: may grow from one call to the next; the learning rate then falls more slowly.
        """
        if not self.state.is_file() and self.path.is_dir():
            shutil.rmtree(self.path)  # of a run that ended before its first backup
        record = {
            "key": key,
            "steps": steps,
            "git_commit": git_commit(),
            "environment": describe_environment(),
        }
        write_json(self.record, record)

    def read_history(self) -> list[dict]:
        """One row per epoch (see `train`); empty for a new run."""
        if not self._history.is_file():
            return []
        return json.loads(self._history.read_text(encoding="utf-8"))

    def write_history(self, rows: list[dict]) -> None:
        """Replaces the history."""
        write_json(self._history, rows)

    def export_weights(self, model: keras.Model, facts: dict[str, Any]) -> Path:
        """Writes `HEAD.last.safetensors` and `HEAD.safetensors` (the best by validation), in half
        precision, with their lines in the manifest.

        Args:
            model: with the weights at the end of the run; afterwards it has the best.
            facts: to keep with the weights; steps and validation IoU are added.

        Returns: the path of the best.
        """
        history = self.read_history()
        validated = [row for row in history if "validation_iou" in row]
        best = max(validated, key=lambda row: row["validation_iou"])
        for name, row in zip(self._exported, (history[-1], best), strict=True):
            if name == self.head:
                load_weights(model, self.best)
            path = self.output / f"{name}.safetensors"
            scores = {"steps": row["step"], "validation_iou": row["validation_iou"]}
            save_weights(model, path, facts | scores, half=True)
        return path
