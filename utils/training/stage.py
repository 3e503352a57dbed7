"""What the scripts of stages 1 and 2, of the prompted network and of the instance head share:
checks before a run, and the training itself."""

import contextlib
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras

from models import HEADS
from models.backbone import BACKBONE
from models.xception import freeze_first_blocks
from utils import backend, paths
from utils.command_line import check_one_or_more, check_seed, flag_words, shown_command
from utils.console import training_progress
from utils.environment import git_commit
from utils.errors import InputError, UsageError
from utils.training.averaging import BEGAN, WeightAverage
from utils.training.backup import Backup
from utils.training.batches import Batches, FileSample
from utils.training.epoch_log import EpochLog
from utils.training.optimizers import make_optimizer, warmup_cosine
from utils.training.recipe import Recipe
from utils.training.run_folder import RunFolder
from utils.training.validation import measure_iou
from utils.training.weights import read_weights

MAX_LOADER_PROCESSES = 61  # more are not possible on Windows

# Checks before a run


def check_settings(recipe: Recipe) -> None:
    """Raises UsageError, with the name of the flag, for an invalid setting."""
    check_one_or_more(
        recipe,
        ("steps", "batch_size", "accumulate", "crop", "batches_per_epoch", "validate_every"),
    )
    parts = backend.num_equal_parts()
    if left := recipe.batch_size % parts:
        less = recipe.batch_size - left
        raise UsageError(
            f"--batch-size must be a multiple of {parts}, the number of devices that share a "
            f"batch, not {recipe.batch_size}. Take {f'{less} or ' if less else ''}{less + parts}."
        )
    for name in ("head_learning_rate", "backbone_learning_rate"):
        if not 0 < getattr(recipe, name) < 1:
            raise UsageError(f"{_flag(name)} must be between 0 and 1, not {getattr(recipe, name)}.")
    if not 0 <= recipe.final_rate <= 1:
        raise UsageError(f"--final-rate must be 0 to 1, not {recipe.final_rate}.")
    if recipe.average_from is not None and not 0 <= recipe.average_from < 1:
        raise UsageError(f"--average-from must be 0 to less than 1, not {recipe.average_from}.")
    if not 0 <= recipe.frozen_blocks <= BACKBONE.num_blocks:
        raise UsageError(
            f"--frozen-blocks must be 0 to {BACKBONE.num_blocks}, not {recipe.frozen_blocks}."
        )
    check_seed(recipe.seed)


def check_loader(processes: int) -> None:
    """Raises UsageError for a number of loader processes that cannot be."""
    if not 0 <= processes <= MAX_LOADER_PROCESSES:
        raise UsageError(
            f"--loader-processes must be 0 to {MAX_LOADER_PROCESSES}, not {processes}."
        )


def _flag(name):
    return f"--{name.replace('_', '-')}"


def check_stage(path: Path, stages: Sequence[str]) -> None:
    """Raises InputError for weights of a stage that this one cannot start from."""
    metadata = read_weights(path)[1]
    if metadata.get("stage") not in stages:
        raise InputError(
            f"{path}: weights of stage {metadata.get('stage', 'unknown')}, expected of "
            f"{' or '.join(stages)}. Name others with --weights, or make "
            "them with the script of that stage."
        )


def run_key(
    recipe: Recipe,
    samples: Sequence[FileSample],
    validation: Sequence[FileSample],
    weights: Path,
    folder: RunFolder,
) -> dict[str, Any]:
    """Everything that the trained weights depend on, except what is inside the images.

    A run is only continued under the same key. `steps` is not part of it: they may grow.

    Args:
        recipe: of the run.
        samples, validation: the images.
        weights: to start from.
        folder: of the run.

    Raises:
        UsageError: for invalid settings.
        InputError: if the weights are missing or damaged.
    """
    check_settings(recipe)
    settings = asdict(recipe)
    del settings["steps"]
    return settings | {
        "samples": _digest(samples),
        "validation": _digest(validation),
        "weights": folder.start_weights(weights),
    }


def _digest(samples):
    """Of the names of the files, because reading thousands of files takes too long."""
    lines = ("/".join((*s.image_path.parts[-3:], *s.annotation_path.parts[-3:])) for s in samples)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def check_files(samples: Sequence[FileSample]) -> None:
    """Reads each annotation and the header of each image, once however often a list repeats it.

    Raises:
        InputError: naming the first that cannot be read, or whose sizes differ.
    """
    problems, distinct = [], dict.fromkeys(samples)
    for sample in distinct:
        try:
            sample.check()
        except InputError as error:
            problems.append(error)
    if problems:
        raise InputError(
            f"{len(problems)} of {len(distinct)} images cannot be trained on. The first: "
            f"{problems[0]}"
        )
    print(f"files: {len(distinct)} images fit their annotations", flush=True)


def print_plan(
    folder: RunFolder,
    settings: dict[str, Any],
    samples: Sequence[FileSample],
    validation: Sequence[FileSample],
    start_stage: str | None = None,
) -> None:
    """Prints what the network is trained on, where the run is kept, and all settings.

    Args:
        folder: of the run.
        settings: name -> value; one line each.
        samples, validation: the images.
        start_stage: of the weights to start from, where a run may continue its own stage.
    """
    print(f"images: {len(samples)} to train on, {len(validation)} to validate on")
    shared = len(set(samples) & set(validation))
    if shared:
        print(
            f"note: {shared} validation images are trained on too: their IoU says nothing about "
            "other images"
        )
    continues = folder.state.is_file()
    # 0 is the default: whoever names another seed has thought of it.
    if start_stage == settings["stage"] and settings["seed"] == 0 and not continues:
        print(
            "note: the weights come from a run of this stage; with the same list and --seed, this "
            "one draws the same crops again: give each run a --seed of its own"
        )
    state = "continues the run there" if continues else "new run"
    print(f"output: {folder.output} ({state})")
    for name, value in settings.items():
        print(f"  {name}: {value}", flush=True)


# Training


def compile_model(
    model: keras.Model,
    loss: keras.losses.Loss | dict[str, keras.losses.Loss],
    recipe: Recipe,
    loss_weights: dict[str, float] | None = None,
) -> None:
    """Gives the model its optimizer, the losses of its outputs, frozen blocks and, on GPUs, XLA.

    Args:
        model: of `models.build_model`.
        loss: on logits and targets (batch, h, w, 1), 255 void, for each output of the model; or one
            for each, by the output's name.
        recipe: of the run.
        loss_weights: by the output's name; None: those of masks and side outputs.
    """
    freeze_first_blocks(model, recipe.frozen_blocks)
    outputs = list(model.output)
    # Schedules count batches, accumulated or not.
    schedules = (
        warmup_cosine(rate, recipe.batches, recipe.final_rate)
        for rate in (recipe.head_learning_rate, recipe.backbone_learning_rate)
    )
    model.compile(
        optimizer=make_optimizer(*schedules, recipe.weight_decay, accumulate=recipe.accumulate),
        loss=loss if isinstance(loss, dict) else dict.fromkeys(outputs, loss),
        loss_weights=loss_weights
        or {name: 1.0 if name == "mask" else recipe.side_weight for name in outputs},
        jit_compile=backend.jit_compile(),
    )
    # TensorFlow traces a step that creates variables twice.
    model.optimizer.build(model.trainable_variables)


def train(
    model: keras.Model,
    samples: Sequence[FileSample],
    validation: Sequence[FileSample],
    recipe: Recipe,
    folder: RunFolder,
    *,
    make_batches: Callable[..., Batches] = Batches,
    measure: Callable[[keras.Model, Sequence], dict[str, float]] = measure_iou,
    loader_processes: int = 0,
) -> list[dict]:
    """Trains the model in place, continuing from the state in the run's folder if there is one.

    Exactly `recipe.steps` updates are made in all, however often the run was resumed and whatever
    number of steps it was started with; the last epoch is shorter where need be.

    Args:
        model: of `compile_model`, with the weights to start from.
        samples: seen in an order that is reshuffled for each pass.
        validation: images on which the best weights are chosen.
        recipe: see `Recipe`.
        folder: where state, history and weights are kept.
        make_batches: makes the loader, with the arguments of `Batches`.
        measure: validates; see `EpochLog`.
        loader_processes: that prepare the batches; 0: threads do.

    Returns:
        the history, a row per epoch: epoch, step, loss, learning_rate and, where validated,
        validation_iou. The model has the last weights, or their average if the recipe says so.

    Raises:
        FloatingPointError: if the loss or a weight is not finite; the last good state stays.
    """
    average = WeightAverage(model, recipe)
    backup = Backup(folder.state, average.state, new=[BEGAN])
    backup.restore(model)
    # The optimizer counts batches, accumulated or not.
    done = int(model.optimizer.iterations.numpy())
    average.resume(done)
    epoch_log = EpochLog(folder, validation, recipe, average, done, measure)
    if done < recipe.batches:
        outputs = list(model.output)
        batches = _make_batches(make_batches, samples, recipe, done, outputs, loader_processes)
        with contextlib.closing(batches):
            _fit(model, batches, recipe, done, [average, epoch_log, backup])
    else:
        epoch_log.validate_last(model)
    average.finish()
    return epoch_log.rows


def _make_batches(make_batches, samples, recipe, done, outputs, processes):
    """The loader of what is left after `done` batches."""
    return make_batches(
        samples,
        (recipe.crop, recipe.crop),
        min(recipe.batches_per_epoch, recipe.batches - done),
        recipe.batch_size,
        recipe.augmentation,
        recipe.seed,
        outputs=outputs,
        workers=backend.num_loader_threads(),
        processes=processes,
        first_batch=done,
    )


def _fit(model, batches, recipe, done, callbacks):
    """Makes the updates that are left after `done` batches."""
    left = recipe.batches - done
    title = f"{recipe.stage.replace('_', ' ')} training"
    try:
        batches.build_loss(model)
        model.fit(
            batches,
            epochs=-(-left // len(batches)),
            # The log before the backup: an epoch that the state says is done has been logged.
            callbacks=[
                batches.follow_epochs(),
                StopAfter(left),
                *callbacks,
                *training_progress(title, recipe.batches, done),
            ],
            shuffle=False,  # else Keras hands out the batches of a PyDataset in another order
            verbose=0,
        )
    except Exception as error:
        for failure in batches.failures:
            if str(failure) in str(error):  # TensorFlow's error quotes the traceback
                raise failure from None
        raise


class StopAfter(keras.callbacks.Callback):
    """Ends `fit` after a number of batches, in the middle of an epoch if need be."""

    def __init__(self, batches: int):
        super().__init__()
        self.left = batches

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left <= 0:
            self.model.stop_training = True


def weights_facts(
    recipe: Recipe, head: str, list_path: Path, samples: Sequence, started_from: str
) -> dict[str, Any]:
    """What is kept with weights: how, from which data and from which weights they were trained.

    Args:
        recipe, samples: of the run.
        head: of the network.
        list_path: of the samples.
        started_from: sha256 of the weights, as the run's key has it.
    """
    return {
        "stage": recipe.stage,
        "head": head,
        "output_stride": HEADS[head].output_stride,
        "data": f"{list_path.name}, {len(samples)} samples",
        "started_from": started_from,
        "commit": git_commit(),
    }


def next_command(script: str, head: str, best: Path, default: Path) -> str:
    """The command of the next stage, which starts from the weights that were just trained.

    Args:
        script: of the next stage.
        head: of the network.
        best: the weights.
        default: the folder that the script takes them from by itself.
    """
    flags = [] if head == "deeplab" else ["--head", head]
    if best.parent.resolve() != default.resolve():
        flags += flag_words("--weights", best)
    return shown_command(paths.ROOT / script, flags)
