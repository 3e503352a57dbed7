"""What the scripts of stages 1 and 2 have in common: their flags, and the way from lists to
weights."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import keras

from utils import backend
from utils.command_line import setting
from utils.console import training_progress
from utils.environment import git_commit
from utils.files import hold_lock
from utils.training.sample_lists import read_sample_list
from utils.training.stage import Recipe, Run, print_plan, run_key, train
from utils.training.weights import load_weights


@dataclass(frozen=True)
class StageConfig:
    """The flags. The first five have no default: each script says its own."""

    dataset: Path
    list: Path
    validation_list: Path
    weights: Path | None
    output: Path
    head: Literal["deeplab", "xfcn"] = setting("deeplab", "network head; xfcn is the paper's")
    steps: int = setting(Recipe.steps, "updates of the weights")
    batch_size: int = setting(Recipe.batch_size, "crops per forward pass, over all GPUs")
    accumulate: int = setting(Recipe.accumulate, "batches averaged into one update")
    crop: int = setting(Recipe.crop, "side of the square crops, pixels")
    frozen_blocks: int = setting(
        Recipe.frozen_blocks,
        "first blocks of the backbone that do not learn; 13: only the head does",
    )
    batch_statistics: Literal["fixed", "trained"] = setting(
        "fixed", "of the backbone's normalisation; fixed are those of the start weights"
    )
    precision: Literal["float32", "mixed_bfloat16"] = setting("float32", "mixed_bfloat16 for GPUs")
    seed: int = setting(0, "of crops, their augmentation and untrained layers")
    resume: bool = setting(False, "go on with the run in --output")
    dry_run: bool = setting(False, "check everything, print the configuration, write nothing")


def run_stage(
    config: StageConfig,
    recipe: Recipe,
    weights: Path,
    build_model: Callable[..., keras.Model],
    make_loss: Callable[[float, float], keras.losses.Loss],
    next_script: str,
) -> list[dict]:
    """Trains as the flags say and hands the weights on.

    Args:
        config: `weights` is not looked at.
        recipe: of the stage; what the flags say goes before it.
        weights: to start from.
        build_model: `models.build_model`.
        make_loss: `models.losses.SegmentationLoss`.
        next_script: for the last line on the screen.

    Returns: the history, a row per epoch; none after a dry run.

    Raises: InputError for lists, weights or a run in the output folder that do not fit.
    """
    recipe = replace(
        recipe,
        steps=config.steps,
        batch_size=config.batch_size,
        accumulate=config.accumulate,
        crop=config.crop,
        frozen_blocks=config.frozen_blocks,
        train_batch_statistics=config.batch_statistics == "trained",
    )
    if config.dry_run:
        return _run(config, recipe, weights, build_model, make_loss, next_script)
    lock = Run(config.output, config.head, {}, recipe.steps).lock
    with hold_lock(lock, f"the training in {config.output}"):
        return _run(config, recipe, weights, build_model, make_loss, next_script)


def _run(config, recipe, weights, build_model, make_loss, next_script):
    samples = read_sample_list(config.list, config.dataset)
    validation = read_sample_list(config.validation_list, config.dataset)
    key = run_key(recipe, config.seed, config.precision, samples, validation, weights)
    run = Run(config.output, config.head, key, recipe.steps)
    run.check(config.resume)

    keras.config.set_dtype_policy(config.precision)
    backend.make_deterministic(config.seed, bitwise=not backend.has_gpu())
    with backend.distribute():
        model = build_model(config.head, train_batch_statistics=recipe.train_batch_statistics)
        start = load_weights(model, weights)
        print_plan(run, samples, validation, weights, start)
        if config.dry_run:
            return []
        run.begin()
        loss = make_loss(recipe.balance, recipe.region_weight)
        title = f"{recipe.stage.replace('_', ' ')} training"

        def show(done):
            return training_progress(title, recipe.batches, done)

        history = train(model, loss, samples, validation, recipe, config.seed, run, show)
    facts = {
        "stage": recipe.stage,
        "head": config.head,
        "output_stride": 16 if config.head == "deeplab" else 32,
        "data": f"{config.list.name}, {len(samples)} samples",
        "started_from": start["sha256"],
        "commit": git_commit(),
    }
    written = run.hand_on(model, facts)
    print(f"Best weights: {written}. Next: python {next_script}")
    return history
