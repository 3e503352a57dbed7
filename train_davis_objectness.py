"""Stage 2: objectness training. The network of stage 1 learns how objects look in video: motion
blur, cluttered backgrounds, one object that matters.

Reads   DIR/JPEGImages/SEQ/00000.jpg and DIR/Annotations/SEQ/00000.png as
        datasets/davis2016_trainset.txt lists them (prepare_data.py davis makes them), and
        weights/pascal_base_train_weights/HEAD.safetensors.
Writes  weights/objectness_weights/HEAD.safetensors (best by validation IoU),
        HEAD.last.safetensors, MANIFEST.json, and HEAD.training/ with the state to resume from,
        curves.png, history.json and TensorBoard logs.

A list may name several data sets below one --dataset, and a line that is repeated is seen more
often. Two CPU cores take two hours for 3 000 steps. With a GPU: --steps 20000 --batch-size 10
--crop 480 --precision mixed_bfloat16 is the paper's schedule.
Paper: Xue et al., "One-shot Learning-based Animal Video Segmentation", IEEE TII 2022, objectness
training.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from utils import backend, paths  # backend before Keras: it starts it without noise

# isort: split
import keras

from models import build_model
from models.losses import SegmentationLoss
from utils.augmentation import PRESETS
from utils.command_line import run_script, setting
from utils.progress import training_progress
from utils.run_record import git_commit
from utils.sample_lists import read_sample_list
from utils.stage_training import Recipe, Run, check_stage, print_plan, run_key, train
from utils.weights import load_weights

RECIPE = Recipe(
    stage="objectness",
    augmentation=PRESETS["objectness"],
    head_learning_rate=5e-4,
)


@dataclass(frozen=True)
class Config:
    dataset: Path = setting(paths.DAVIS_TRAIN_DATASET, "folder with JPEGImages/ and Annotations/")
    list: Path = setting(paths.DAVIS_LIST, "text file of image and annotation pairs")
    validation_list: Path = setting(paths.DAVIS_VALIDATION_LIST, "the same, for validation")
    weights: Path | None = setting(None, "weights of stage 1; those of --head if absent")
    output: Path = setting(paths.OBJECTNESS_WEIGHTS, "where weights and training state go")
    head: Literal["deeplab", "xfcn"] = setting("deeplab", "network head; xfcn is the paper's")
    steps: int = setting(RECIPE.steps, "updates of the weights")
    batch_size: int = setting(RECIPE.batch_size, "crops per forward pass, over all GPUs")
    accumulate: int = setting(RECIPE.accumulate, "batches averaged into one update")
    crop: int = setting(RECIPE.crop, "side of the square crops, pixels")
    precision: Literal["float32", "mixed_bfloat16"] = setting("float32", "mixed_bfloat16 for GPUs")
    seed: int = setting(0, "of crops and their augmentation")
    resume: bool = setting(False, "go on with the run in --output")
    dry_run: bool = setting(False, "check everything, print the configuration, write nothing")


def main(config: Config) -> list[dict]:
    recipe = replace(
        RECIPE,
        steps=config.steps,
        batch_size=config.batch_size,
        accumulate=config.accumulate,
        crop=config.crop,
    )
    samples = read_sample_list(config.list, config.dataset)
    validation = read_sample_list(config.validation_list, config.dataset)
    weights = config.weights or paths.PASCAL_BASE_WEIGHTS / f"{config.head}.safetensors"
    check_stage(weights, ("pascal_base", "objectness"))
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
        loss = SegmentationLoss(recipe.balance, recipe.region_weight)
        history = train(
            model,
            loss,
            samples,
            validation,
            recipe,
            config.seed,
            run,
            training_progress("objectness training", recipe.epochs * recipe.epoch_batches),
        )
    facts = {
        "stage": recipe.stage,
        "head": config.head,
        "output_stride": 16 if config.head == "deeplab" else 32,
        "data": f"{config.list.name}, {len(samples)} samples",
        "started_from": start["sha256"],
        "commit": git_commit(),
    }
    written = run.hand_on(model, facts)
    print(f"Best weights: {written}. Next: python finetune_test.py")
    return history


if __name__ == "__main__":
    run_script(main, Config, __doc__)
