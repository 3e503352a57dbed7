"""Stage 2: objectness training. The network of stage 1 learns how objects look in video: motion
blur, cluttered backgrounds, one object that matters.

Reads   DIR/JPEGImages/SEQ/00000.jpg and DIR/Annotations/SEQ/00000.png as
        datasets/davis2016_trainset.txt lists them (prepare_data.py davis makes them), and
        weights/pascal_base_train_weights/HEAD.safetensors.

Writes  weights/objectness_weights/HEAD.safetensors (best by validation IoU),
        HEAD.last.safetensors, MANIFEST.json, and HEAD.training/ with the state to resume from,
        curves.png, history.json and TensorBoard logs.

A list may name several data sets below one --dataset, and a line that is repeated is seen more
often. Two CPU cores take two hours for 3 000 steps. The paper's schedule, for a GPU:
--steps 20000 --batch-size 10 --crop 480 --precision mixed_bfloat16
A later leg that continues from its own weights: --weights FILE with lower learning rates and
another --seed.

Paper: Xue et al., "One-shot Learning-based Animal Video Segmentation", IEEE TII 2022, objectness
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
    check_stage,
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
    dataset: Path = setting(paths.DAVIS_TRAIN_DATASET, "folder with JPEGImages/ and Annotations/")
    list: Path = setting(paths.DAVIS_LIST, "text file of image and annotation pairs")
    validation_list: Path = setting(paths.DAVIS_VALIDATION_LIST, "the same, for validation")
    weights: Path | None = setting(None, "weights of stage 1; if absent those of this head")
    output: Path = setting(paths.OBJECTNESS_WEIGHTS, "where weights and training state go")
    head: HeadName = setting("deeplab", "network head; xfcn is the paper's")
    steps: int = setting(3000, "updates of the weights")
    batch_size: int = setting(4, "crops per forward pass, over all GPUs")
    accumulate: int = setting(1, "batches averaged into one update")
    crop: int = setting(320, "side of the square crops, pixels")
    head_learning_rate: float = setting(5e-4, "peak learning rate of the head")
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
    return recipe_of(config, "objectness", AUGMENTATIONS["objectness"])


def main(config: Config) -> list[dict]:
    """Returns: the history, a row per epoch; none after a dry run."""
    recipe = make_recipe(config)
    check_loader(config.loader_processes)
    folder = RunFolder(config.output, config.head)
    weights = config.weights or paths.PASCAL_BASE_WEIGHTS / f"{config.head}.safetensors"
    check_stage(weights, ("pascal_base", "objectness"))
    with folder.lock(config.dry_run):
        samples = read_sample_list(config.list, config.dataset)
        validation = read_sample_list(config.validation_list, config.dataset)
        key = run_key(recipe, samples, validation, weights, folder)
        folder.check(key, config.resume, config.steps)

        keras.config.set_dtype_policy(config.precision)
        backend.make_deterministic(config.seed, bitwise=not backend.has_gpu())
        with backend.distribute():
            model = build_model(config.head, train_batch_statistics=recipe.train_batch_statistics)
            start = load_weights(model, weights)
            print(f"weights: {weights} (stage {start.get('stage')})")
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
    script, place = "finetune_test.py", paths.OBJECTNESS_WEIGHTS
    print(f"Best weights: {best}. Next: {next_command(script, config.head, best, place)}")
    return history


if __name__ == "__main__":
    run_script(main, Config, __doc__)
