"""Every fixed folder and file name of the project, once. Anchored at the repository root, so
scripts run from any folder."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

DATASETS = ROOT / "datasets"
PASCAL_DATASET = DATASETS / "pascal_extension_dataset"
PASCAL_FULL_LIST = DATASETS / "pretrain_benchmark_and_pascal.txt"
PASCAL_LIST = DATASETS / "pretrain_benchmark_reduced.txt"
PASCAL_VALIDATION_LIST = DATASETS / "test_algorithm_pretrain_benchmark_reduced.txt"
DAVIS_TRAIN_DATASET = DATASETS / "DAVIS2016_train_dataset"
DAVIS_LIST = DATASETS / "davis2016_trainset.txt"
DAVIS_VALIDATION_LIST = DATASETS / "test_algorithm_davis2016_trainset.txt"
FINETUNE_TEST_DATASET = DATASETS / "finetune_test_dataset"
SAMPLE_DATASET = DATASETS / "sample"
ARCHIVES = DATASETS / "archives"  # what prepare_data.py reads
LABELS = DATASETS / "labels"  # labels made with annotate.py: LABELS / SEQ / 00037.png
SCALES_FILE = "scales.json"  # in LABELS: centimetres per pixel; see utils/evaluation/scale.py

WEIGHTS = ROOT / "weights"
IMAGENET_WEIGHTS = WEIGHTS / "imagenet_pretrain_weights"
PASCAL_BASE_WEIGHTS = WEIGHTS / "pascal_base_train_weights"
OBJECTNESS_WEIGHTS = WEIGHTS / "objectness_weights"
PROMPTED_WEIGHTS = WEIGHTS / "prompted_weights"
FINE_TUNE_WEIGHTS = WEIGHTS / "fine_tune_weights"
BUBBLENET_WEIGHTS = WEIGHTS / "bubblenet_weights"
MANIFEST_NAME = "MANIFEST.json"
IMAGENET_WEIGHTS_FILE = IMAGENET_WEIGHTS / "xception.safetensors"
# As Keras names it; not shipped, for BubbleNets trained on features of ResNet-50 V2.
RESNET_WEIGHTS_FILE = IMAGENET_WEIGHTS / "resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5"
LINEAR_RULE_FILE = BUBBLENET_WEIGHTS / "linear_rule.json"

RESULTS = ROOT / "results"
SEGMENTATION = "segmentation"  # below the results folder: SEGMENTATION / SEQ / 00000.png
OVERLAY = "overlay"
RUNS = "runs"  # RUNS / SEQ / run.json
RUN_FILE = "run.json"
LOCK_FILE = "lock"  # held while a video is worked on
PARTIAL = "partial"  # RUNS / SEQ / partial, the state of an unfinished video
PREVIEW_FILE = "preview.png"  # in it; see utils/stage3/preview.py
TOGETHER = "together"  # the network of --together, and what --save-weights keeps of it
CONFIDENCE_FILE = "confidence.json"  # beside it; see utils/evaluation/confidence.py
CORRECTIONS_FILE = "corrections.json"  # also there; see utils/stage3/correction_files.py
CORRECTIONS = "corrections"  # their pixels
UNCORRECTED = "uncorrected"  # masks as the network made them
EXPORT = "export"  # EXPORT / FORMAT, by export.py
REPORT_FILE = "report/index.html"  # by evaluate.py --report
REPORT_VIDEOS = "videos"  # beside it: a page per video, where there are many
FRAME_SELECTION = "frame_selection"  # FRAME_SELECTION / SEQ.png, the ranking as thumbnails

BUBBLENET_TABLE = DATASETS / "bubbleNet_data" / "table"  # SEQ.npz: features and scores of frames
SELECTION_RECORD = "selection.json"  # beside BN0.txt: what the choice was made from


def frame_selection_dir(dataset_dir: Path, sequence: str) -> Path:
    """Where bubblenet_select.py writes BN0.txt, BNLF.txt, all.txt and rule.txt for one sequence.

    `DIR/bubbleNet_data`, DIR being the data set's folder; the default data set keeps the
    original's place, `datasets/`.
    """
    dataset_dir = Path(dataset_dir).resolve()
    defaults = (FINETUNE_TEST_DATASET.resolve(), SAMPLE_DATASET.resolve())
    folder = DATASETS if dataset_dir in defaults else dataset_dir
    return folder / "bubbleNet_data" / "rawData" / sequence / "frame_selection"
