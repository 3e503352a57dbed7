"""Every fixed folder and file name of the project, once. Anchored at the repository root, so
scripts run from any folder."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

DATASETS = ROOT / "datasets"
PASCAL_DATASET = DATASETS / "pascal_extension_dataset"
DAVIS_TRAIN_DATASET = DATASETS / "DAVIS2016_train_dataset"
FINETUNE_TEST_DATASET = DATASETS / "finetune_test_dataset"
SAMPLE_DATASET = DATASETS / "sample"
LABELS = DATASETS / "labels"  # labels made with annotate.py: LABELS / SEQ / 00037.png

WEIGHTS = ROOT / "weights"
IMAGENET_WEIGHTS = WEIGHTS / "imagenet_pretrain_weights"
PASCAL_BASE_WEIGHTS = WEIGHTS / "pascal_base_train_weights"
OBJECTNESS_WEIGHTS = WEIGHTS / "objectness_weights"
FINE_TUNE_WEIGHTS = WEIGHTS / "fine_tune_weights"
BUBBLENET_WEIGHTS = WEIGHTS / "bubblenet_weights"
MANIFEST_NAME = "MANIFEST.json"
IMAGENET_WEIGHTS_FILE = IMAGENET_WEIGHTS / "xception.safetensors"

RESULTS = ROOT / "results"
SEGMENTATION = "segmentation"  # below the results folder: SEGMENTATION / SEQ / 00000.png
OVERLAY = "overlay"
RUNS = "runs"  # RUNS / SEQ / run.json
RUN_FILE = "run.json"


def frame_selection_dir(dataset_dir: Path, sequence: str) -> Path:
    """Where bubblenet_select.py writes BN0.txt, BNLF.txt and all.txt for one sequence.

    `DIR/bubbleNet_data`, DIR being the data set's folder; the default data set keeps the
    original's place, `datasets/`.
    """
    dataset_dir = Path(dataset_dir).resolve()
    defaults = (FINETUNE_TEST_DATASET.resolve(), SAMPLE_DATASET.resolve())
    folder = DATASETS if dataset_dir in defaults else dataset_dir
    return folder / "bubbleNet_data" / "rawData" / sequence / "frame_selection"
