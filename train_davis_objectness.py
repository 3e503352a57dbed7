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

from dataclasses import dataclass
from pathlib import Path

from utils import backend, paths  # noqa: F401  backend before Keras: it starts it without noise

# isort: split
from models import build_model
from models.losses import SegmentationLoss
from utils.command_line import run_script, setting
from utils.training.augmentation import PRESETS
from utils.training.stage import Recipe, check_stage
from utils.training.stage_script import StageConfig, run_stage

RECIPE = Recipe(
    stage="objectness",
    augmentation=PRESETS["objectness"],
    head_learning_rate=5e-4,
)


@dataclass(frozen=True)
class Config(StageConfig):
    dataset: Path = setting(paths.DAVIS_TRAIN_DATASET, "folder with JPEGImages/ and Annotations/")
    list: Path = setting(paths.DAVIS_LIST, "text file of image and annotation pairs")
    validation_list: Path = setting(paths.DAVIS_VALIDATION_LIST, "the same, for validation")
    weights: Path | None = setting(None, "weights of stage 1; those of --head if absent")
    output: Path = setting(paths.OBJECTNESS_WEIGHTS, "where weights and training state go")


def main(config: Config) -> list[dict]:
    weights = config.weights or paths.PASCAL_BASE_WEIGHTS / f"{config.head}.safetensors"
    check_stage(weights, ("pascal_base", "objectness"))
    return run_stage(config, RECIPE, weights, build_model, SegmentationLoss, "finetune_test.py")


if __name__ == "__main__":
    run_script(main, Config, __doc__)
