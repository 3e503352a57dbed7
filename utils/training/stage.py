"""Training of stages 1 and 2: many images, one network, validated as it learns.

Everything of a run is kept in one folder, so that it resumes exactly and its curves can be looked
at while it runs; the weights are handed on when it is done.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from models.xception import NUM_BLOCKS, freeze_first_blocks
from utils import backend, paths
from utils.environment import describe_environment, git_commit
from utils.errors import InputError, UsageError
from utils.files import write_json
from utils.training.augmentation import Augmentation
from utils.training.backup import Backup
from utils.training.batches import Batches, FileSample
from utils.training.curves import draw_curves
from utils.training.optimizers import make_optimizer, warmup_cosine
from utils.training.validation import mean_iou
from utils.training.weights import load_weights, read_weights, save_weights


@dataclass(frozen=True)
class Recipe:
    """How a stage trains.

    Attributes:
        stage: "pascal_base" or "objectness", kept with the weights.
        steps: updates of the weights.
        batch_size: crops of one forward pass.
        crop: side of the square crops, pixels.
        accumulate: batches whose gradients are averaged into one update.
        head_learning_rate, backbone_learning_rate: peaks; after a warm-up over a twentieth of the
            run they fall along a cosine to `final_rate` of themselves.
        frozen_blocks: first blocks of the backbone that do not learn.
        train_batch_statistics: see `models.build_model`.
        balance, region_weight: see `models.losses.SegmentationLoss`.
        side_weight: of the loss of each side output, where the head has any.
        batches_per_epoch: a backup is kept at the end of each epoch.
        validate_every: epochs between two validations.
    """

    stage: str
    augmentation: Augmentation
    steps: int = 3000
    batch_size: int = 4
    crop: int = 320
    accumulate: int = 1
    head_learning_rate: float = 1e-3
    backbone_learning_rate: float = 1e-4
    final_rate: float = 0.02
    weight_decay: float = 1e-4
    frozen_blocks: int = 3
    train_batch_statistics: bool = False
    balance: float = 0.0
    region_weight: float = 1.0
    side_weight: float = 1.0
    batches_per_epoch: int = 100
    validate_every: int = 5

    @property
    def batches(self) -> int:
        """Batches of the whole run. Schedules, backups and progress count these, not updates."""
        return self.steps * self.accumulate


class Run:
    """The folder of one training run: its description, its state and its history.

    Args:
        output: the stage's folder of weights; the run lives in `output/HEAD.training`.
        head: of the network.
        key: everything the result depends on; a run only goes on under the same key.
        steps: may grow from one call to the next: the learning rate then falls more slowly.
    """

    def __init__(self, output: Path, head: str, key: dict[str, Any], steps: int):
        self.output = Path(output)
        self.head = head
        self.folder = self.output / f"{head}.training"
        self.key = json.loads(json.dumps(key))
        self.steps = steps
        self.state = self.folder / "state.npz"
        self.record = self.folder / paths.RUN_FILE
        self.best = self.folder / "best.safetensors"
        self.lock = self.output / f"{head}.lock"  # not in the folder, which a new run clears

    def check(self, resume: bool) -> None:
        """Sees that nothing is lost: there is no run yet, or `resume` goes on with the same one.

        Raises: InputError.
        """
        if not self.state.is_file():
            return
        if not resume:
            raise InputError(
                f"{self.folder} holds a training run. Go on with it with --resume (and more "
                "--steps, if it is done), remove it, or name another --output."
            )
        kept = json.loads(self.record.read_text(encoding="utf-8"))["key"]
        for name in sorted(kept.keys() | self.key.keys()):
            if kept.get(name) != self.key.get(name):
                raise InputError(
                    f"{self.folder}: that run had {name} {kept.get(name)}, this one has "
                    f"{self.key.get(name)}. Resume with the same, or name another --output."
                )

    def begin(self) -> None:
        """Describes the run in its folder."""
        if not self.state.is_file() and self.folder.is_dir():
            shutil.rmtree(self.folder)  # of a run that was ended before its first backup
        write_json(
            self.record,
            {
                "key": self.key,
                "steps": self.steps,
                "git_commit": git_commit(),
                "environment": describe_environment(),
            },
        )

    def history(self) -> list[dict]:
        path = self.folder / "history.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []

    def hand_on(self, model: keras.Model, facts: dict) -> Path:
        """Writes `HEAD.last.safetensors` and `HEAD.safetensors` (the best by validation), half
        precision, with their lines in the manifest. The model then holds the best.

        Returns: the path of the best.
        """
        history = self.history()
        validated = [row for row in history if "validation_iou" in row]
        best = max(validated, key=lambda row: row["validation_iou"])
        for name, row in ((f"{self.head}.last", history[-1]), (self.head, best)):
            if name == self.head:
                load_weights(model, self.best)
            path = self.output / f"{name}.safetensors"
            scores = {"steps": row["step"], "validation_iou": row["validation_iou"]}
            save_weights(model, path, facts | scores, half=True)
        return path


def train(
    model: keras.Model,
    loss: keras.losses.Loss,
    samples: Sequence[FileSample],
    validation: Sequence[FileSample],
    recipe: Recipe,
    seed: int,
    run: Run,
    make_callbacks: Callable[[int], Sequence[keras.callbacks.Callback]] = lambda done: (),
) -> list[dict]:
    """Trains the model in place, continuing from the state in the run's folder if there is one.

    Exactly `recipe.steps` updates are made in all, however often the run was resumed and whatever
    number of steps it was started with; the last epoch is shorter where need be.

    Args:
        model: of `models.build_model`, with the weights to start from.
        loss: on logits and targets (batch, h, w, 1), 255 void; for each output of the model.
        samples: seen in an order shuffled anew for each pass.
        validation: images on which the best weights are chosen.
        recipe: see `Recipe`.
        seed: of crops and their augmentation.
        run: where state, history and weights are kept.
        make_callbacks: progress display and the like, given the number of batches already done.

    Returns: the history, a row per epoch: epoch, step, loss, learning_rate and, where validated,
        validation_iou.

    Raises: FloatingPointError if the loss or a weight is not finite; the last good state stays.
    """
    compile_model(model, loss, recipe)
    backup = Backup(run.state)
    backup.restore(model)
    # The optimizer counts batches, accumulated or not.
    done = int(model.optimizer.iterations.numpy())
    left = recipe.batches - done
    journal = Journal(run, validation, recipe, done)
    if left < 0:
        raise UsageError(
            f"{run.folder}: that run has made {done // recipe.accumulate} updates, --steps "
            f"{recipe.steps} asks for fewer. Ask for more, or name another --output."
        )
    if left == 0:
        return journal.rows
    epoch_batches = min(recipe.batches_per_epoch, left)
    batches = Batches(
        samples,
        (recipe.crop, recipe.crop),
        epoch_batches,
        recipe.batch_size,
        recipe.augmentation,
        seed,
        list(model.output),
        workers=backend.num_loader_threads(),
        first_batch=done,
    )
    model.fit(
        batches,
        epochs=-(-left // epoch_batches),
        # The journal before the backup: what the state says is done has been written down.
        callbacks=[
            batches.follow_epochs(),
            StopAfter(left),
            journal,
            backup,
            *make_callbacks(done),
        ],
        shuffle=False,  # else Keras hands out the batches of a PyDataset in another order
        verbose=0,
    )
    return journal.rows


def compile_model(model: keras.Model, loss: keras.losses.Loss, recipe: Recipe) -> None:
    """Optimizer, losses of all outputs, frozen blocks and XLA as the recipe and the device say."""
    freeze_first_blocks(model, recipe.frozen_blocks)
    outputs = list(model.output)
    # Schedules count batches, accumulated or not.
    schedules = (
        warmup_cosine(rate, recipe.batches, recipe.final_rate)
        for rate in (recipe.head_learning_rate, recipe.backbone_learning_rate)
    )
    model.compile(
        optimizer=make_optimizer(*schedules, recipe.weight_decay, accumulate=recipe.accumulate),
        loss={name: loss for name in outputs},
        loss_weights={name: 1.0 if name == "mask" else recipe.side_weight for name in outputs},
        jit_compile=backend.jit_compile(),
    )


class StopAfter(keras.callbacks.Callback):
    """Ends `fit` after a number of batches, within an epoch if need be."""

    def __init__(self, batches: int):
        super().__init__()
        self.left = batches

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left <= 0:
            self.model.stop_training = True


class Journal(keras.callbacks.Callback):
    """At the end of each epoch: stops at a loss that is not finite, validates, keeps the best
    weights, writes history, TensorBoard log and curves.

    Args:
        done: batches that the restored state has seen; rows of later ones were not backed up.
    """

    def __init__(self, run: Run, validation: Sequence[FileSample], recipe: Recipe, done: int):
        super().__init__()
        self.run = run
        self.validation = validation
        self.recipe = recipe
        self.done = done
        self.rows = [row for row in run.history() if row["step"] * recipe.accumulate <= done]
        self.rate = warmup_cosine(recipe.head_learning_rate, recipe.steps, recipe.final_rate)
        self.writer = None

    def on_train_begin(self, logs=None):
        from tensorboard.summary import Writer  # takes a second to import

        self.writer = Writer(str(self.run.folder / "tensorboard"))

    def on_train_end(self, logs=None):
        self.writer.close()

    def on_train_batch_end(self, batch, logs=None):
        self.done += 1

    def on_epoch_end(self, epoch, logs=None):
        recipe = self.recipe
        epoch = len(self.rows) + 1
        step = self.done // recipe.accumulate
        if not np.isfinite(logs["loss"]):
            raise FloatingPointError(
                f"The loss of epoch {epoch} is not finite. What was before it is kept. Try "
                "--precision float32, or another --seed with another --output."
            )
        row = {"epoch": epoch, "step": step}
        row |= {name: round(float(value), 5) for name, value in logs.items()}
        row["learning_rate"] = float(self.rate(step))
        if epoch % recipe.validate_every == 0 or step >= recipe.steps:
            row["validation_iou"] = round(mean_iou(self.model, self.validation), 5)
            best = max((r.get("validation_iou", -1.0) for r in self.rows), default=-1.0)
            if row["validation_iou"] > best:
                facts = {"stage": recipe.stage, "head": self.run.head, **row}
                save_weights(self.model, self.run.best, facts)
        self.rows.append(row)
        write_json(self.run.folder / "history.json", self.rows)
        draw_curves(self.run.folder / "curves.png", self.rows)
        for name, value in row.items():
            if name not in ("epoch", "step"):
                self.writer.add_scalar(name, value, step)
        self.writer.flush()


def run_key(
    recipe: Recipe,
    seed: int,
    precision: str,
    samples: Sequence[FileSample],
    validation: Sequence[FileSample],
    weights: Path,
) -> dict[str, Any]:
    """What the trained weights depend on, the pictures' contents apart.

    Raises: UsageError for settings that cannot be; InputError without weights.
    """
    for name in ("steps", "batch_size", "accumulate", "crop"):
        if getattr(recipe, name) < 1:
            flag = name.replace("_", "-")
            raise UsageError(f"--{flag} must be 1 or more, not {getattr(recipe, name)}.")
    if not 0 <= recipe.frozen_blocks <= NUM_BLOCKS:
        raise UsageError(f"--frozen-blocks must be 0 to {NUM_BLOCKS}, not {recipe.frozen_blocks}.")
    if not 0 <= seed < 2**32:
        raise UsageError(f"--seed must be 0 to {2**32 - 1}, not {seed}.")
    settings = asdict(recipe)
    del settings["steps"]  # may grow from one call to the next
    _, metadata = read_weights(weights)
    return settings | {
        "seed": seed,
        "precision": precision,
        "samples": _digest(samples),
        "validation": _digest(validation),
        "weights": metadata["sha256"],
    }


def check_stage(path: Path, stages: Sequence[str]) -> None:
    """Refuses weights of a stage that this one cannot begin with. Raises: InputError."""
    metadata = read_weights(path)[1]
    if metadata.get("stage") not in stages:
        raise InputError(
            f"{path}: weights of stage {metadata.get('stage', 'unknown')}, expected of "
            f"{' or '.join(stages)}. Make them with train_pascal_base.py, or name others with "
            "--weights."
        )


def print_plan(
    run: Run,
    samples: Sequence[FileSample],
    validation: Sequence[FileSample],
    weights: Path,
    metadata: dict[str, str],
) -> None:
    """Says what will be trained from what, where to, and how."""
    print(f"weights: {weights} (stage {metadata.get('stage')})")
    print(f"images: {len(samples)} to train on, {len(validation)} to validate on")
    shared = len(set(samples) & set(validation))
    if shared:
        print(f"note: {shared} validation images are trained on too: their IoU is no forecast")
    state = "goes on with the run there" if run.state.is_file() else "new run"
    print(f"output: {run.output} ({state})")
    for name, value in (run.key | {"steps": run.steps}).items():
        print(f"  {name}: {value}", flush=True)


def _digest(samples):
    """Of which files, not of what is in them: reading thousands would take longer than it helps."""
    lines = ("/".join((*s.image_path.parts[-3:], *s.annotation_path.parts[-3:])) for s in samples)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
