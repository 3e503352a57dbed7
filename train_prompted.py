"""The prompted network: clicks, an earlier mask and the masks of other animals tell it which animal
is meant. The network of stage 1 learns to follow them.

Reads   DIR/JPEGImages/ID.jpg and DIR/Annotations/ID.png as a list names them; where there is
        DIR/Instances/ID.png, a number per animal, it is read instead. Elsewhere the pieces of the
        mask are the animals. And weights/pascal_base_train_weights/deeplab.safetensors.

Writes  weights/prompted_weights/deeplab.safetensors (best by validation IoU),
        deeplab.last.safetensors, MANIFEST.json, and deeplab.training/ with the state to resume
        from, curves.png, history.json and TensorBoard logs.

A list may name several data sets below one --dataset. Prompts are simulated: none at all in 20 %
of the crops, clicks, also on the network's own errors, and masks of an earlier frame. With
--frozen-blocks 13, the default, the backbone stays that of stage 1. For a GPU:
--steps 25000 --batch-size 16 --crop 384 --frozen-blocks 3 --precision mixed_bfloat16

After Sofiiuk et al., "Reviving Iterative Training with Mask Guidance for Interactive Segmentation"
(2021).
"""

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from utils import backend, paths  # backend before Keras: it starts it without noise

# isort: split
import keras

from models import build_prompted_model
from models.click_training import build_click_training
from models.losses import SegmentationLoss
from utils.command_line import run_script, setting
from utils.errors import InputError
from utils.training.animals import read_animal_list
from utils.training.augmentation import AUGMENTATIONS
from utils.training.prompted_batches import PromptedBatches
from utils.training.prompted_network import PromptedNetwork
from utils.training.prompted_validation import prompted_iou
from utils.training.recipe import Recipe, recipe_of
from utils.training.run_folder import RunFolder
from utils.training.simulated_prompts import PROMPTING
from utils.training.stage import (
    check_files,
    check_loader,
    check_stage,
    compile_model,
    print_plan,
    run_key,
    train,
    weights_facts,
)
from utils.training.weights import load_weights

HEAD = "deeplab"


@dataclass(frozen=True)
class Config:
    dataset: Path = setting(paths.PASCAL_DATASET, "folder with JPEGImages/ and Annotations/")
    list: Path = setting(paths.PASCAL_LIST, "text file of image and annotation pairs")
    validation_list: Path = setting(paths.PASCAL_VALIDATION_LIST, "the same, for validation")
    exclude: tuple[str, ...] = setting(
        ("pigpen_", "lookalikes"), "beginnings of names of files or folders to leave out of lists"
    )
    weights: Path = setting(
        paths.PASCAL_BASE_WEIGHTS / f"{HEAD}.safetensors", "weights of stage 1, or of this script"
    )
    output: Path = setting(paths.PROMPTED_WEIGHTS, "where weights and training state go")
    steps: int = setting(3000, "updates of the weights")
    batch_size: int = setting(4, "crops per forward pass, over all GPUs")
    accumulate: int = setting(1, "batches averaged into one update")
    crop: int = setting(320, "side of the square crops, pixels")
    head_learning_rate: float = setting(5e-4, "peak learning rate of the head")
    backbone_learning_rate: float = setting(1e-4, "peak learning rate of the backbone")
    final_rate: float = setting(0.02, "share of the peak learning rates that is left at the end")
    frozen_blocks: int = setting(
        13, "first blocks of the backbone that do not learn; 13: only the head learns"
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
    return recipe_of(config, "prompted", AUGMENTATIONS["prompted"])


def read_samples(config: Config):
    """The images to train on and to validate on, without those that are excluded."""
    found = []
    for flag, path in (("--list", config.list), ("--validation-list", config.validation_list)):
        samples = read_animal_list(path, config.dataset, config.exclude)
        if not samples:
            raise InputError(
                f"{path}: --exclude {' '.join(config.exclude)} leaves none of its images. Exclude "
                f"fewer, or name another {flag}."
            )
        found.append(samples)
    return found


def main(config: Config) -> list[dict]:
    """Returns: the history, a row per epoch; none after a dry run."""
    recipe = make_recipe(config)
    check_loader(config.loader_processes)
    folder = RunFolder(config.output, HEAD)
    check_stage(config.weights, ("pascal_base", "objectness", "prompted"))
    with folder.lock(config.dry_run):
        samples, validation = read_samples(config)
        key = run_key(recipe, samples, validation, config.weights, folder)
        key["prompting"] = asdict(PROMPTING)
        folder.check(key, config.resume, config.steps)

        keras.config.set_dtype_policy(config.precision)
        backend.make_deterministic(config.seed, bitwise=not backend.has_gpu())
        with backend.distribute():
            network = build_prompted_model(train_batch_statistics=recipe.train_batch_statistics)
            start = load_weights(network, config.weights)
            print(f"weights: {config.weights} (stage {start.get('stage')})")
            settings = key | {"steps": config.steps}
            print_plan(folder, settings, samples, validation, start.get("stage"))
            if config.dry_run:
                check_files([*samples, *validation])
                return []
            folder.begin(key, config.steps)
            model = build_click_training(network)
            compile_model(model, SegmentationLoss(recipe.region_weight), recipe)
            asked = PromptedNetwork(network)
            history = train(
                model,
                samples,
                validation,
                recipe,
                folder,
                make_batches=partial(PromptedBatches, prompting=PROMPTING),
                measure=lambda _, images: prompted_iou(asked, images),
                loader_processes=config.loader_processes,
            )

        facts = weights_facts(recipe, HEAD, config.list, samples, key["weights"])
        best = folder.export_weights(model, facts)
    print(f"Best weights: {best}. Next: python annotate.py")
    return history


if __name__ == "__main__":
    run_script(main, Config, __doc__)
