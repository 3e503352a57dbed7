"""Stage 1: base training. The ImageNet network learns to tell objects of any class from their
background.

Reads   DIR/JPEGImages/ID.jpg and DIR/Annotations/ID.png (0 background, 255 object, 128 void) as
        datasets/pretrain_benchmark_reduced.txt lists them (prepare_data.py pascal makes them), and
        weights/imagenet_pretrain_weights/xception.safetensors.
Writes  weights/pascal_base_train_weights/HEAD.safetensors (best by validation IoU),
        HEAD.last.safetensors, MANIFEST.json, and HEAD.training/ with the state to resume from,
        curves.png, history.json and TensorBoard logs.

Two CPU cores take two hours for 3 000 steps. With a GPU: --steps 25000 --batch-size 10
--crop 480 --precision mixed_bfloat16 is the paper's schedule.
Paper: Xue et al., "One-shot Learning-based Animal Video Segmentation", IEEE TII 2022, base
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
from utils.stage_training import Recipe, Run, print_plan, run_key, train
from utils.weights import load_weights

RECIPE = Recipe(stage="pascal_base", augmentation=PRESETS["base"])


@dataclass(frozen=True)
class Config:
    dataset: Path = setting(paths.PASCAL_DATASET, "folder with JPEGImages/ and Annotations/")
    list: Path = setting(paths.PASCAL_LIST, "text file of image and annotation pairs")
    validation_list: Path = setting(paths.PASCAL_VALIDATION_LIST, "the same, for validation")
    weights: Path = setting(paths.IMAGENET_WEIGHTS_FILE, "weights to start from")
    output: Path = setting(paths.PASCAL_BASE_WEIGHTS, "where weights and training state go")
    head: Literal["deeplab", "xfcn"] = setting("deeplab", "network head; xfcn is the paper's")
    steps: int = setting(RECIPE.steps, "updates of the weights")
    batch_size: int = setting(RECIPE.batch_size, "crops per forward pass, over all GPUs")
    accumulate: int = setting(RECIPE.accumulate, "batches averaged into one update")
    crop: int = setting(RECIPE.crop, "side of the square crops, pixels")
    precision: Literal["float32", "mixed_bfloat16"] = setting("float32", "mixed_bfloat16 for GPUs")
    seed: int = setting(0, "of crops, augmentation and untrained layers")
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
    weights = config.weights
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
            training_progress("base training", recipe.epochs * recipe.epoch_batches),
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
    print(f"Best weights: {written}. Next: python train_davis_objectness.py")
    return history


if __name__ == "__main__":
    run_script(main, Config, __doc__)
