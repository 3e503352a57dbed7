"""Stage 1: base training. The ImageNet network learns to tell objects of any class from their
background.

Reads   DIR/JPEGImages/ID.jpg and DIR/Annotations/ID.png (0 background, 255 object, 128 void) as
        datasets/pretrain_benchmark_reduced.txt lists them (prepare_data.py pascal makes them), and
        weights/imagenet_pretrain_weights/xception.safetensors.

Writes  weights/pascal_base_train_weights/HEAD.safetensors (best by validation IoU),
        HEAD.last.safetensors, MANIFEST.json, and HEAD.training/ with the state to resume from,
        curves.png, history.json and TensorBoard logs.

Two CPU cores take two hours for 3 000 steps. The paper's schedule, for a GPU:
--steps 25000 --batch-size 10 --crop 480 --precision mixed_bfloat16

Paper: Xue et al., "One-shot Learning-based Animal Video Segmentation", IEEE TII 2022, base
training.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from utils import backend, paths  # backend before Keras: it starts it without noise

# isort: split
import keras

from models import HeadName, build_model
from models.losses import SegmentationLoss
from utils.command_line import run_script, setting
from utils.training.augmentation import AUGMENTATIONS
from utils.training.recipe import Recipe, recipe_of
from utils.training.run_folder import RunFolder
from utils.training.sample_lists import read_sample_list
from utils.training.stage import (
    check_files,
    check_loader,
    compile_model,
    next_command,
    print_plan,
    run_key,
    train,
    weights_facts,
)
from utils.training.weights import load_weights


@dataclass(frozen=True)
class Config:
    dataset: Path = setting(paths.PASCAL_DATASET, "folder with JPEGImages/ and Annotations/")
    list: Path = setting(paths.PASCAL_LIST, "text file of image and annotation pairs")
    validation_list: Path = setting(paths.PASCAL_VALIDATION_LIST, "the same, for validation")
    weights: Path = setting(paths.IMAGENET_WEIGHTS_FILE, "weights to start from")
    output: Path = setting(paths.PASCAL_BASE_WEIGHTS, "where weights and training state go")
    head: HeadName = setting("deeplab", "network head; xfcn is the paper's")
    steps: int = setting(3000, "updates of the weights")
    batch_size: int = setting(4, "crops per forward pass, over all GPUs")
    accumulate: int = setting(1, "batches averaged into one update")
    crop: int = setting(320, "side of the square crops, pixels")
    head_learning_rate: float = setting(1e-3, "peak learning rate of the head")
    backbone_learning_rate: float = setting(1e-4, "peak learning rate of the backbone")
    final_rate: float = setting(0.02, "share of the peak learning rates that is left at the end")
    frozen_blocks: int = setting(
        3, "first blocks of the backbone that do not learn; 13: only the head learns"
    )
    batch_statistics: Literal["fixed", "trained"] = setting(
        "fixed", "batch statistics of the backbone; fixed: those of the weights to start from"
    )
    batches_per_epoch: int = setting(100, "batches of an epoch, after which the state is saved")
    validate_every: int = setting(5, "epochs between two validations")
    average_from: float | None = setting(
        None, "share of the run, 0 to 1, after which the weights are averaged; never if absent"
    )
    precision: Literal["float32", "mixed_bfloat16"] = setting("float32", "mixed_bfloat16 for GPUs")
    seed: int = setting(0, "seed of crops, their augmentation and untrained layers")
    loader_processes: int = setting(
        0, "processes that prepare crops; 0: threads, which are enough without a GPU"
    )
    resume: bool = setting(False, "continue the run in --output")
    dry_run: bool = setting(False, "check everything, print the configuration, write nothing")


def make_recipe(config: Config) -> Recipe:
    return recipe_of(config, "pascal_base", AUGMENTATIONS["base"])


def main(config: Config) -> list[dict]:
    """Returns: the history, a row per epoch; none after a dry run."""
    recipe = make_recipe(config)
    check_loader(config.loader_processes)
    folder = RunFolder(config.output, config.head)
    with folder.lock(config.dry_run):
        samples = read_sample_list(config.list, config.dataset)
        validation = read_sample_list(config.validation_list, config.dataset)
        key = run_key(recipe, samples, validation, config.weights, folder)
        folder.check(key, config.resume, config.steps)

        keras.config.set_dtype_policy(config.precision)
        backend.make_deterministic(config.seed, bitwise=not backend.has_gpu())
        with backend.distribute():
            model = build_model(config.head, train_batch_statistics=recipe.train_batch_statistics)
            start = load_weights(model, config.weights)
            print(f"weights: {config.weights} (stage {start.get('stage')})")
            settings = key | {"steps": config.steps}
            print_plan(folder, settings, samples, validation, start.get("stage"))
            if config.dry_run:
                check_files([*samples, *validation])
                return []
            folder.begin(key, config.steps)
            compile_model(model, SegmentationLoss(recipe.region_weight), recipe)
            history = train(
                model,
                samples,
                validation,
                recipe,
                folder,
                loader_processes=config.loader_processes,
            )

        facts = weights_facts(recipe, config.head, config.list, samples, key["weights"])
        best = folder.export_weights(model, facts)
    script, place = "train_davis_objectness.py", paths.PASCAL_BASE_WEIGHTS
    print(f"Best weights: {best}. Next: {next_command(script, config.head, best, place)}")
    return history


if __name__ == "__main__":
    run_script(main, Config, __doc__)
