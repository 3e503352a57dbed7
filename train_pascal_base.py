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

from dataclasses import dataclass
from pathlib import Path

from utils import backend, paths  # noqa: F401  backend before Keras: it starts it without noise

# isort: split
from models import build_model
from models.losses import SegmentationLoss
from utils.command_line import run_script, setting
from utils.training.augmentation import PRESETS
from utils.training.stage import Recipe
from utils.training.stage_script import StageConfig, run_stage

RECIPE = Recipe(stage="pascal_base", augmentation=PRESETS["base"])


@dataclass(frozen=True)
class Config(StageConfig):
    dataset: Path = setting(paths.PASCAL_DATASET, "folder with JPEGImages/ and Annotations/")
    list: Path = setting(paths.PASCAL_LIST, "text file of image and annotation pairs")
    validation_list: Path = setting(paths.PASCAL_VALIDATION_LIST, "the same, for validation")
    weights: Path = setting(paths.IMAGENET_WEIGHTS_FILE, "weights to start from")
    output: Path = setting(paths.PASCAL_BASE_WEIGHTS, "where weights and training state go")


def main(config: Config) -> list[dict]:
    return run_stage(
        config, RECIPE, config.weights, build_model, SegmentationLoss, "train_davis_objectness.py"
    )


if __name__ == "__main__":
    run_script(main, Config, __doc__)
