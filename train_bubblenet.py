"""Trains the BubbleNets BN0 and BNLF to tell which of two frames is better to label.

They learn from a table of videos in which the score of the whole video was measured with one frame
or another labelled. --measure makes that table from annotated videos, with a cheap stand-in for
stage 3's fine-tuning (utils/frame_choice/standin_scoring.py); videos already measured are skipped.
--cross-validate keeps no network: each chooses in videos that it was not trained on, and is
compared with simple rules, with chance and with the best frame. Enter the winner in
SELECTION_PREFERENCE and DEFAULT_RULE of utils/inputs/guidance.py. --import-checkpoint PREFIX
--variant BN0 takes the weights of an original TensorFlow 1 checkpoint.

Reads   datasets/bubbleNet_data/table/SEQ.npz: "features" (n, d), "scores" (n,), NaN where not
        measured; with --measure instead DIR/JPEGImages/SEQ, an annotation of every frame in
        DIR/Annotations/SEQ (or below 480p/), and weights that were not trained on these videos.

Writes  weights/bubblenet_weights/{BN0,BNLF}.safetensors and linear_rule.json; with
        --cross-validate results/frame_selection/cross_validation.{json,txt} instead, with
        --measure the table.

Two CPU cores train a network in under a minute and measure a video of 80 frames in two minutes.
Paper: Griffin and Corso, "BubbleNets", CVPR 2019.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from utils import backend, paths

# isort: split
from models.bubblenets import VARIANTS
from utils.command_line import check_one_or_more, check_seed, run_script, setting
from utils.environment import git_commit
from utils.errors import EXPECTED, InputError, UsageError, one_line
from utils.files import check_writable, write_atomically, write_json
from utils.frame_choice.bubblenet_import import import_checkpoint
from utils.frame_choice.bubblenet_training import BubbleNetTraining, train_bubblenet
from utils.frame_choice.cross_validation import cross_validate, format_comparison
from utils.frame_choice.measured_videos import (
    MeasuredVideo,
    fit_linear_rule,
    have_cues,
    read_table,
)
from utils.frame_choice.measuring import load_measuring, measure_video
from utils.frame_choice.rules import write_linear_rule
from utils.inputs.sequences import choose_sequences, open_dataset_sequence
from utils.training.weights import read_weights, save_weights


@dataclass(frozen=True)
class Config:
    table: Path = setting(paths.BUBBLENET_TABLE, "folder of the table, SEQ.npz")
    measure: bool = setting(False, "make the table from annotated videos")
    dataset: Path | None = setting(
        None,
        "with --measure: folder with JPEGImages/ and Annotations/; that of stage 2 if absent",
    )
    sequences: tuple[str, ...] = setting((), "with --measure: names of videos; all if absent")
    weights: Path | None = setting(
        None,
        "with --measure: weights that segment and have not seen these videos; stage 1's if absent",
    )
    feature_weights: Path | None = setting(
        None,
        "with --measure: weights of the backbone that describes the frames; ImageNet's if absent",
    )
    frames_per_video: int = setting(12, "with --measure: frames to try as the labelled one")
    cross_validate: bool = setting(False, "train on most videos and choose in the others, in turn")
    folds: int = setting(9, "with --cross-validate: parts that the videos are divided into")
    steps: int = setting(1000, "optimizer steps for each network")
    batch_size: int = setting(256, "pairs per step (original: 1024)")
    learning_rate: float = setting(1e-3, "constant learning rate of Adam (as in the original)")
    seed: int = setting(0, "seed of weights, pairs, references and folds")
    output: Path = setting(paths.BUBBLENET_WEIGHTS, "folder for the weights")
    results: Path = setting(paths.RESULTS, "results folder for the cross-validation")
    import_checkpoint: Path | None = setting(
        None, "prefix of an original checkpoint to import; needs --variant"
    )
    variant: Literal["BN0", "BNLF"] | None = setting(
        None, "with --import-checkpoint: which network it is"
    )

    @property
    def training(self) -> BubbleNetTraining:
        return BubbleNetTraining(self.steps, self.batch_size, self.learning_rate, self.seed)


def main(config: Config) -> int | None:
    if (config.import_checkpoint is None) != (config.variant is None):
        raise UsageError("--import-checkpoint and --variant go together. Give both or neither.")
    tasks = (config.measure, config.cross_validate, config.import_checkpoint is not None)
    if sum(tasks) > 1:
        raise UsageError("Give one of --measure, --cross-validate and --import-checkpoint.")
    if config.import_checkpoint is not None:
        return import_original(config)
    check_one_or_more(config, ("steps", "batch_size"))
    check_seed(config.seed)
    if not 0 < config.learning_rate < 1:
        raise UsageError(f"--learning-rate must be between 0 and 1, not {config.learning_rate}.")
    if config.measure:
        return measure(config)
    if config.cross_validate:
        check_writable(config.results / paths.FRAME_SELECTION, "another folder with --results")
    else:
        check_writable(config.output, "another folder with --output")
    videos = read_table(config.table)
    num_measured = sum(len(video.measured) for video in videos)
    data = f"{len(videos)} videos, {num_measured} measured frames"
    print(f"{config.table}: {data}")
    backend.make_deterministic(config.seed)
    if config.cross_validate:
        return write_cross_validation(config, videos)
    models = {variant: train_bubblenet(variant, videos, config.training) for variant in VARIANTS}
    for variant, model in models.items():  # both or neither: they choose together
        save(model, config, variant, facts_of_training(config, videos[0], data), half=True)
    if have_cues(videos):
        rule_file = config.output / paths.LINEAR_RULE_FILE.name
        write_linear_rule(rule_file, fit_linear_rule(videos))


def facts_of_training(config: Config, video: MeasuredVideo, data: str) -> dict:
    return {
        "features": video.features.source,
        "features_sha256": video.features.weights_sha256,
        "data": data,
        **asdict(config.training),
        "commit": git_commit(),
    }


def save(model, config: Config, variant: str, facts: dict, half: bool = False) -> None:
    path = config.output / f"{variant}.safetensors"
    save_weights(model, path, {"stage": "bubblenet", "head": variant, **facts}, half=half)
    print(f"written: {path}")


def measure(config: Config) -> int:
    """Writes the table, video by video. Returns 1 if a video could not be measured, else 0."""
    if config.frames_per_video < 2:
        raise UsageError("--frames-per-video must be at least 2, because frames are compared.")
    dataset = config.dataset or paths.DAVIS_TRAIN_DATASET
    names = choose_sequences(dataset, config.sequences)
    check_writable(config.table, "another folder with --table")
    backend.make_deterministic(config.seed)
    weights = config.weights or paths.PASCAL_BASE_WEIGHTS / "deeplab.safetensors"
    feature_weights = config.feature_weights or paths.IMAGENET_WEIGHTS_FILE
    measuring = load_measuring(weights, feature_weights)
    print(f"segmenting with {weights}, describing frames with {feature_weights}")
    failed = 0
    for name in names:
        try:
            sequence, path = open_dataset_sequence(dataset, name), config.table / f"{name}.npz"
            line = measure_video(sequence, path, measuring, config.frames_per_video, config.seed)
            print(line, flush=True)
        except EXPECTED as error:
            if len(names) == 1:
                raise
            failed += 1
            print(f"error: {name}: {one_line(error)}", flush=True)
    print(f"{len(names) - failed} of {len(names)} videos measured: {config.table}")
    return 1 if failed else 0


def write_cross_validation(config: Config, videos: Sequence[MeasuredVideo]) -> None:
    """Cross-validates, prints the comparison and writes it with everything it was made from."""
    result = cross_validate(videos, config.folds, config.training)
    text = format_comparison(result["methods"], len(videos))
    print(text)
    settings = {name: str(value) for name, value in asdict(config).items()}
    folder = config.results / paths.FRAME_SELECTION
    write_json(
        folder / "cross_validation.json", {"config": settings, "commit": git_commit(), **result}
    )
    write_atomically(folder / "cross_validation.txt", lambda file: file.write_text(text + "\n"))
    print(f"written: {folder / 'cross_validation.json'} and cross_validation.txt")


def import_original(config: Config) -> None:
    """Turns a checkpoint of the original into `BN0.safetensors` or `BNLF.safetensors`."""
    model = import_checkpoint(config.import_checkpoint, config.variant)
    facts = {
        "features": "resnet50v2",
        "features_sha256": "",
        "data": "labels of the original",
        "source": f"griffbr/BubbleNets, {config.import_checkpoint.name}",
        "licence": "non-commercial research purposes only",
    }
    require_same_features(config, facts)
    save(model, config, config.variant, facts)


def require_same_features(config: Config, facts: dict) -> None:
    """Refuses an import beside, or in place of, a network that was trained on other features.

    BN0 and BNLF choose together, from one description of the frames.

    Raises:
        InputError: naming the network that is in the way.
    """
    for path in (config.output / f"{variant}.safetensors" for variant in VARIANTS):
        if not path.is_file():
            continue
        found = read_weights(path)[1].get("features")
        if found != facts["features"]:
            raise InputError(
                f"{path}: expected no network, or one that was trained on {facts['features']} "
                f"features as the original's, found one trained on {found}: they cannot choose "
                "together. Move it elsewhere first (git checkout restores those that are "
                "included), or import into another --output."
            )


if __name__ == "__main__":
    run_script(main, Config, __doc__)
