"""The instance head: beside the prompted network, which stays as it is, it tells the animals of a
group from each other without any prompt.

Reads   DIR/JPEGImages/ID.jpg and DIR/Annotations/ID.png as a list names them; where there is
        DIR/Instances/ID.png, a number per animal, it is read instead. Elsewhere only masks of one
        piece are used. And weights/prompted_weights/deeplab.safetensors.

Writes  weights/prompted_weights/instances.safetensors (best by validation IoU, the head alone),
        instances.last.safetensors, MANIFEST.json, and instances.training/ with the state to resume
        from, curves.png, history.json and TensorBoard logs.

A list may name several data sets below one --dataset. Half of the crops are composites, a third
photos, most of groups, the others show one animal. The defaults are for a GPU, with
--precision mixed_bfloat16 --loader-processes 8 a matter of minutes. Both lists have to be named:
those of stage 1, the defaults, have no image in which every animal has a number.

After Cheng et al., "Panoptic-DeepLab" (CVPR 2020).
"""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from utils import backend, paths  # backend before Keras: it starts it without noise

# isort: split
import keras

from models import build_prompted_model
from models.backbone import BACKBONE
from models.instance_losses import INSTANCE_LOSSES, LOSS_WEIGHTS
from models.instance_training import build_instance_training
from utils.command_line import run_script, setting
from utils.environment import git_commit
from utils.errors import InputError
from utils.stage3.instance_network import TRAINED_BESIDE
from utils.training.animals import read_animal_list
from utils.training.augmentation import AUGMENTATIONS
from utils.training.instance_batches import InstanceBatches, group_samples
from utils.training.instance_validation import instance_iou
from utils.training.recipe import Recipe, recipe_of
from utils.training.run_folder import RunFolder
from utils.training.stage import (
    check_files,
    check_loader,
    check_stage,
    compile_model,
    print_plan,
    run_key,
    train,
)
from utils.training.weights import load_weights

NAME = "instances"  # of the weights file
_SCALE = (0.7, 1.7)  # groups need to be seen whole more often than the animal of a prompt
_WEIGHT_DECAY = 0.01


@dataclass(frozen=True)
class Config:
    dataset: Path = setting(paths.PASCAL_DATASET, "folder with JPEGImages/ and Annotations/")
    list: Path = setting(paths.PASCAL_LIST, "text file of image and annotation pairs")
    validation_list: Path = setting(
        paths.PASCAL_VALIDATION_LIST, "the same, for validation; images of groups count"
    )
    exclude: tuple[str, ...] = setting(
        ("pigpen_", "lookalikes", "coco_"),
        "beginnings of names of files or folders to leave out of lists",
    )
    weights: Path = setting(
        paths.PROMPTED_WEIGHTS / "deeplab.safetensors", "weights of the prompted network"
    )
    output: Path = setting(paths.PROMPTED_WEIGHTS, "where weights and training state go")
    steps: int = setting(1600, "updates of the weights")
    batch_size: int = setting(16, "crops per forward pass, over all GPUs")
    accumulate: int = setting(1, "batches averaged into one update")
    crop: int = setting(384, "side of the square crops, pixels")
    head_learning_rate: float = setting(1.5e-3, "peak learning rate")
    final_rate: float = setting(0.02, "share of the peak learning rate that is left at the end")
    batches_per_epoch: int = setting(100, "batches of an epoch, after which the state is saved")
    validate_every: int = setting(4, "epochs between two validations")
    average_from: float | None = setting(
        0.7, "share of the run, 0 to 1, after which the weights are averaged"
    )
    precision: Literal["float32", "mixed_bfloat16"] = setting("float32", "mixed_bfloat16 for GPUs")
    seed: int = setting(0, "seed of crops, their augmentation and untrained layers")
    loader_processes: int = setting(
        0, "processes that prepare crops; 0: threads, which are enough without a GPU"
    )
    resume: bool = setting(False, "continue the run in --output")
    dry_run: bool = setting(False, "check everything, print the configuration, write nothing")


def make_recipe(config: Config) -> Recipe:
    return recipe_of(
        config,
        "instances",
        replace(AUGMENTATIONS["prompted"], scale=_SCALE),
        backbone_learning_rate=config.head_learning_rate,  # nothing of the backbone learns
        frozen_blocks=BACKBONE.num_blocks,
        train_batch_statistics=False,
        weight_decay=_WEIGHT_DECAY,
    )


def read_samples(config: Config):
    """The grouped images to train on, and the groups of the validation list."""
    samples, validation = (
        group_samples(read_animal_list(path, config.dataset, config.exclude))
        for path in (config.list, config.validation_list)
    )
    if not samples:
        raise InputError(
            f"{config.list}: no image has numbered animals, or a mask of one piece. Name another "
            "--list, or exclude fewer with --exclude."
        )
    validation = [sample for sample in validation if sample.group == "several"]
    if not validation:
        raise InputError(
            f"{config.validation_list}: no image has several animals in Instances/. Name another "
            "--validation-list, or exclude fewer with --exclude."
        )
    return samples, validation


def main(config: Config) -> list[dict]:
    """Returns: the history, a row per epoch; none after a dry run."""
    recipe = make_recipe(config)
    check_loader(config.loader_processes)
    folder = RunFolder(config.output, NAME)
    check_stage(config.weights, ("prompted",))
    with folder.lock(config.dry_run):
        samples, validation = read_samples(config)
        key = run_key(recipe, samples, validation, config.weights, folder)
        folder.check(key, config.resume, config.steps)

        keras.config.set_dtype_policy(config.precision)
        backend.make_deterministic(config.seed, bitwise=not backend.has_gpu())
        with backend.distribute():
            network = build_prompted_model()
            prompted = load_weights(network, config.weights)
            print_plan(folder, key | {"steps": config.steps}, samples, validation)
            if config.dry_run:
                check_files([*samples, *validation])
                return []
            folder.begin(key, config.steps)
            model = build_instance_training(network, config.crop)
            compile_model(model, INSTANCE_LOSSES, recipe, LOSS_WEIGHTS)
            history = train(
                model,
                samples,
                validation,
                recipe,
                folder,
                make_batches=InstanceBatches,
                measure=partial(instance_iou, crop=config.crop),
                loader_processes=config.loader_processes,
            )

        facts = {
            "stage": recipe.stage,
            "data": f"{config.list.name}, {len(samples)} samples",
            TRAINED_BESIDE: prompted["sha256"],  # the head fits this network alone
            "commit": git_commit(),
        }
        best = folder.export_weights(model, facts)
    print(f"Best weights: {best}, for use beside {config.weights}.")
    return history


if __name__ == "__main__":
    run_script(main, Config, __doc__)
