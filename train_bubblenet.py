"""Trains BN0 and BNLF to tell which of two frames is better to label, or tells how well they would.

Learns from a table of videos in which the score of the whole video was measured with one frame or
another labelled. --measure makes that table from annotated videos, with a cheap stand-in for the
fine-tuning of stage 3 (utils/frame_choice/standin_scoring.py); measured videos are skipped.
With --cross-validate nothing is kept: networks choose in videos that they were not trained on, and
are compared with simple rules, chance and the best frame there is. What is best there belongs into
TRUSTED and DEFAULT_RULE of utils/inputs/guidance.py.

Reads   datasets/bubbleNet_data/table/SEQ.npz: "features" (n, d), "scores" (n,), NaN where not
        measured; with --measure instead DIR/JPEGImages/SEQ, an annotation of every frame in
        DIR/Annotations/SEQ (or below 480p/), and weights that were not trained on these videos.

Writes  weights/bubblenet_weights/{BN0,BNLF}.safetensors and linear_rule.json; with
        --cross-validate results/frame_selection/cross_validation.{json,txt} instead, with
        --measure the table.

--import-checkpoint PREFIX --variant BN0 takes the weights of an original TensorFlow 1 checkpoint.
Two CPU cores train a network in under a minute and measure a video of 80 frames in two.
Paper: Griffin and Corso, "BubbleNets", CVPR 2019.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from utils import backend, paths

# isort: split
import keras

from models import build_model
from models.bubblenets import VARIANTS, build_bubblenet
from models.losses import SegmentationLoss
from utils.command_line import run_script, setting
from utils.console import frame_progress, training_progress
from utils.environment import git_commit
from utils.errors import InputError, UsageError, describe
from utils.files import check_writable, write_atomically, write_json
from utils.frame_choice.bubblenet_import import feature_size, read_checkpoint
from utils.frame_choice.bubblenet_training import (
    MeasuredVideo,
    fit_bubblenet,
    read_scores,
    read_table,
)
from utils.frame_choice.features import (
    CUES,
    Extractor,
    find_features,
    read_features,
    save_features,
    xception_extractor,
)
from utils.frame_choice.rules import (
    POSITION_RULES,
    cue_matrix,
    fit_linear,
    rank_by_bubblenet,
    rank_by_rule,
)
from utils.frame_choice.selection_files import write_linear_rule
from utils.frame_choice.standin_scoring import (
    METHOD,
    StandIn,
    annotations_sha256,
    map_network,
    measure_frames,
    spread_frames,
)
from utils.inputs.sequences import choose_sequences, open_dataset_sequence
from utils.stage3.presets import PRESETS
from utils.training.weights import load_weights, save_weights

BOOTSTRAP_SAMPLES = 10_000
CHANCE, ORACLE = "random (mean of all)", "oracle"


@dataclass(frozen=True)
class Config:
    table: Path = setting(paths.BUBBLENET_TABLE, "folder of SEQ.npz")
    measure: bool = setting(False, "make the table from annotated videos")
    dataset: Path | None = setting(
        None, "for --measure: folder with JPEGImages/ and Annotations/; stage 2's if absent"
    )
    sequences: tuple[str, ...] = setting((), "for --measure: names of its videos; all if absent")
    weights: Path | None = setting(
        None, "for --measure: segments, must not have seen these videos; stage 1's if absent"
    )
    feature_weights: Path | None = setting(
        None, "for --measure: backbone that describes the frames; ImageNet's if absent"
    )
    frames_per_video: int = setting(12, "for --measure: frames to try as the labelled one")
    cross_validate: bool = setting(False, "train on most videos, choose in the others, in turn")
    folds: int = setting(9, "parts that the videos are divided into for --cross-validate")
    steps: int = setting(1000, "optimizer steps of each network")
    batch_size: int = setting(256, "pairs per step (original: 1024)")
    learning_rate: float = setting(1e-3, "of Adam, constant (as the original)")
    seed: int = setting(0, "of weights, pairs, references and folds")
    output: Path = setting(paths.BUBBLENET_WEIGHTS, "where weights go")
    results: Path = setting(paths.RESULTS, "where the cross-validation goes")
    import_checkpoint: Path | None = setting(None, "prefix of an original checkpoint to import")
    variant: Literal["BN0", "BNLF"] | None = setting(None, "which network --import-checkpoint is")


def main(config: Config) -> int | None:
    if (config.import_checkpoint is None) != (config.variant is None):
        raise UsageError("--import-checkpoint and --variant go together. Give both or none.")
    tasks = (config.measure, config.cross_validate, config.import_checkpoint is not None)
    if sum(tasks) > 1:
        raise UsageError("Give one of --measure, --cross-validate and --import-checkpoint.")
    if config.import_checkpoint is not None:
        import_original(config)
        return
    if config.measure:
        return measure(config)
    videos = read_table(config.table)
    num_measured = sum(len(video.measured) for video in videos)
    print(f"{config.table}: {len(videos)} videos, {num_measured} measured frames")
    backend.make_deterministic(config.seed)
    if config.cross_validate:
        cross_validate(config, videos)
        return
    for variant in VARIANTS:
        model = train(config, variant, videos)
        features = videos[0].features
        facts = {
            "stage": "bubblenet",
            "head": variant,
            "features": features.source,
            "features_sha256": features.weights_sha256,
            "data": f"{len(videos)} videos, {num_measured} measured frames",
            "steps": config.steps,
            "batch_size": config.batch_size,
            "learning_rate": config.learning_rate,
            "seed": config.seed,
            "commit": git_commit(),
        }
        path = config.output / f"{variant}.safetensors"
        save_weights(model, path, facts, half=True)
        print(f"written: {path}")
    if have_cues(videos):
        write_linear_rule(config.output / paths.LINEAR_RULE_FILE.name, fit_rule(videos))


def measure(config: Config) -> int:
    """Writes the table, video by video; those that are measured in the same way are left.

    Returns: 1 if a video could not be measured, else 0.
    """
    if config.frames_per_video < 2:
        raise UsageError("--frames-per-video must be 2 or more: frames are compared.")
    dataset = config.dataset or paths.DAVIS_TRAIN_DATASET
    names = choose_sequences(dataset, config.sequences)
    check_writable(config.table, "another folder with --table")
    backend.make_deterministic(config.seed)
    model = build_model("deeplab")
    weights = config.weights or paths.PASCAL_BASE_WEIGHTS / "deeplab.safetensors"
    weights_sha256 = load_weights(model, weights)["sha256"]
    backbone = build_model("deeplab", output_stride=32)
    feature_weights = config.feature_weights or paths.IMAGENET_WEIGHTS_FILE
    extractor = xception_extractor(backbone, load_weights(backbone, feature_weights)["sha256"])
    print(f"segmenting with {weights}, describing frames with {feature_weights}")
    network, failed = map_network(model), 0
    for name in names:
        try:
            line = measure_video(config, dataset, name, network, weights_sha256, extractor)
            print(line, flush=True)
        except (InputError, OSError, FloatingPointError) as error:
            if len(names) == 1:
                raise
            failed += 1
            print(f"error: {name}: {describe(error)}", flush=True)
    print(f"{len(names) - failed} of {len(names)} videos measured: {config.table}")
    return 1 if failed else 0


def measure_video(
    config: Config,
    dataset: Path,
    name: str,
    network: keras.Model,
    weights_sha256: str,
    extractor: Extractor,
) -> str:
    """Writes SEQ.npz, or finds it made from the same. Returns: the line for the screen.

    Args:
        network: of `utils.frame_choice.standin_scoring.map_network`.
        weights_sha256: of the network's weights.
        extractor: describes the frames.
    """
    start = time.perf_counter()
    path = config.table / f"{name}.npz"
    sequence = open_dataset_sequence(dataset, name)
    candidates = spread_frames(len(sequence.video), config.frames_per_video)
    preset, settings = PRESETS["default"], StandIn(seed=config.seed)
    key = {
        "method": METHOD,
        "settings": asdict(settings),
        # The 0.0 was a weight that the loss no longer has: tables made with it still count.
        "loss": [0.0, preset.region_weight],
        "refinement": asdict(preset.refinement),
        "candidates": candidates,
        "weights": weights_sha256,
        "frames": sequence.video.sha256(),
        "annotations": annotations_sha256(sequence),
    }
    measured_by = json.dumps(key)
    scores = read_scores(path, measured_by)
    features = find_features(path, extractor, key["frames"])
    if scores is not None and features is not None:
        return f"{name}: measured before, skipped"
    if scores is None:
        loss = SegmentationLoss(preset.region_weight)
        scores = measure_frames(
            sequence, network, loss, preset.refinement, candidates, settings, frame_progress
        )
    features = features or read_features(sequence.video, extractor, None, frame_progress)
    save_features(path, features, scores, measured_by)
    best = int(np.nanargmax(scores))
    return (
        f"{name}: {len(scores)} frames, {len(candidates)} labels tried, J + F "
        f"{np.nanmin(scores):.3f} to {scores[best]:.3f}, mean {np.nanmean(scores):.3f}, best frame "
        f"{best}; {time.perf_counter() - start:.0f} s"
    )


def train(config: Config, variant: str, videos: Sequence[MeasuredVideo]) -> keras.Model:
    """A network trained on these videos from random weights that the seed decides."""
    keras.utils.set_random_seed(config.seed)
    model = build_bubblenet(variant, videos[0].features.vectors.shape[1])
    bar = training_progress(f"{variant} on {len(videos)} videos", config.steps)
    fit_bubblenet(
        model, videos, config.steps, config.batch_size, config.learning_rate, config.seed, bar
    )
    return model


def cross_validate(config: Config, videos: Sequence[MeasuredVideo]) -> None:
    """Lets every method choose in every video, trained without it, and writes the comparison."""
    folds = make_folds(len(videos), config.folds, config.seed)
    rankings: dict[str, dict[str, list[int]]] = {}  # method -> video -> measured frames
    for number, held_out in enumerate(folds, start=1):
        print(f"fold {number} of {len(folds)}: {', '.join(videos[i].name for i in held_out)}")
        training = [video for i, video in enumerate(videos) if i not in held_out]
        rankers = make_rankers(config, training)
        for video in (videos[i] for i in held_out):
            for method, rank in rankers.items():
                rankings.setdefault(method, {})[video.name] = rank(video)
    summary = compare(videos, rankings)
    text = format_comparison(summary, len(videos))
    print(text)
    folder = config.results / paths.FRAME_SELECTION
    record = {
        "config": {name: str(value) for name, value in asdict(config).items()},
        "commit": git_commit(),
        "folds": [[videos[i].name for i in fold] for fold in folds],
        "measured": {video.name: video.measured.tolist() for video in videos},
        "methods": summary,
        "rankings": rankings,
    }
    write_json(folder / "cross_validation.json", record)
    write_atomically(folder / "cross_validation.txt", lambda aside: aside.write_text(text + "\n"))
    print(f"written: {folder / 'cross_validation.json'}, cross_validation.txt beside it")


def make_folds(num_videos: int, num_folds: int, seed: int) -> list[list[int]]:
    """Divides the videos into parts that differ by at most one in size, at random.

    Raises: UsageError if that leaves a part empty, or nothing to train on.
    """
    if not 2 <= num_folds <= num_videos:
        raise UsageError(f"--folds must be 2 to {num_videos}, the number of videos.")
    order = np.random.default_rng(seed).permutation(num_videos)
    return [sorted(order[k::num_folds].tolist()) for k in range(num_folds)]


def make_rankers(config: Config, training: Sequence[MeasuredVideo]):
    """Method -> function that ranks the measured frames of a video, best first.

    Rules rank all frames, of which the measured ones are kept: "middle" is the measured frame
    nearest the middle.
    """
    rankers = {}
    for variant in VARIANTS:
        model = train(config, variant, training)
        rankers[variant] = lambda video, model=model: rank_by_bubblenet(
            model, video.features.vectors, video.measured, config.seed
        )
    rules = [rule for rule in POSITION_RULES if rule != "random"] + ["medoid"]
    coefficients = ()
    if have_cues(training):
        rules += ["typical", "linear"]
        coefficients = fit_rule(training)
    for rule in rules:
        rankers[rule] = lambda video, rule=rule: [
            frame
            for frame in rank_by_rule(rule, len(video.scores), video.features, coefficients)
            if frame in set(video.measured.tolist())
        ]
    return rankers


def have_cues(videos: Sequence[MeasuredVideo]) -> bool:
    """Whether the table has all cues of all videos."""
    return all(set(CUES) <= video.features.cues.keys() for video in videos)


def fit_rule(videos: Sequence[MeasuredVideo]) -> np.ndarray:
    """Coefficients of the rule "linear"."""
    return fit_linear([cue_matrix(v.features) for v in videos], [v.scores for v in videos])


def compare(
    videos: Sequence[MeasuredVideo], rankings: dict[str, dict[str, list[int]]], seed: int = 0
) -> dict[str, dict]:
    """What the choices are worth: per method the mean over videos of the chosen frame's score, its
    difference to the middle frame's, both with 95 % bootstrap intervals over videos, and the share
    of measured pairs that the ranking has in the right order.
    """
    scores = {
        method: [float(v.scores[ranking[v.name][0]]) for v in videos]
        for method, ranking in rankings.items()
    }
    scores[CHANCE] = [float(np.nanmean(v.scores)) for v in videos]
    scores[ORACLE] = [float(np.nanmax(v.scores)) for v in videos]
    agreement = {
        method: float(np.mean([pairs_right(v.scores, ranking[v.name]) for v in videos]))
        for method, ranking in rankings.items()
    } | {CHANCE: 0.5, ORACLE: 1.0}
    rng = np.random.default_rng(seed)
    samples = rng.integers(len(videos), size=(BOOTSTRAP_SAMPLES, len(videos)))

    def interval(values):
        means = np.asarray(values)[samples].mean(axis=1)
        return [float(value) for value in np.percentile(means, [2.5, 97.5])]

    middle = np.array(scores["middle"])
    order = sorted(scores, key=lambda method: -np.mean(scores[method]))
    return {
        method: {
            "mean": float(np.mean(scores[method])),
            "interval": interval(scores[method]),
            "minus_middle": float(np.mean(scores[method] - middle)),
            "minus_middle_interval": interval(scores[method] - middle),
            "pairs_right": agreement[method],
            "scores": dict(zip([v.name for v in videos], scores[method], strict=True)),
        }
        for method in order
    }


def pairs_right(scores: np.ndarray, ranking: Sequence[int]) -> float:
    """Share of the pairs of ranked frames in which the better one comes first; ties count half."""
    ranked = scores[list(ranking)]
    differences = ranked[:, None] - ranked[None]
    upper = np.triu_indices(len(ranked), k=1)
    return float(np.mean((np.sign(differences[upper]) + 1) / 2))


def format_comparison(summary: dict[str, dict], num_videos: int) -> str:
    """The comparison as a table for the screen."""
    width = max(map(len, summary))
    lines = [
        f"Score (J + F, 0..2) of the chosen frame, mean of {num_videos} videos that the method was "
        "not trained on,",
        "with 95 % bootstrap intervals over videos; pairs: share of measured pairs in right order.",
        f"{'chosen by':<{width}}   mean   interval         minus middle   interval           pairs",
    ]
    for method, row in summary.items():
        (low, high), (worse, better) = row["interval"], row["minus_middle_interval"]
        lines.append(
            f"{method:<{width}}  {row['mean']:.3f}   {low:.3f} .. {high:.3f}   "
            f"{row['minus_middle']:+12.3f}   {worse:+.3f} .. {better:+.3f}   "
            f"{row['pairs_right']:.2f}"
        )
    return "\n".join(lines)


def import_original(config: Config) -> None:
    """Turns a checkpoint of the original into `BN0.safetensors` or `BNLF.safetensors`."""
    tensors = read_checkpoint(config.import_checkpoint)
    model = build_bubblenet(config.variant, feature_size(tensors))
    for variable in model.weights:
        if tensors[variable.path].shape != tuple(variable.shape):
            raise InputError(
                f"{config.import_checkpoint}: {variable.path} has shape "
                f"{tensors[variable.path].shape}, expected {tuple(variable.shape)}. Give a "
                "checkpoint of BN0 or BNLF."
            )
        variable.assign(tensors[variable.path])
    facts = {
        "stage": "bubblenet",
        "head": config.variant,
        "features": "resnet50v2",
        "features_sha256": "",
        "data": "labels of the original",
        "source": f"griffbr/BubbleNets, {config.import_checkpoint.name}",
        "licence": "non-commercial research purposes only",
    }
    path = config.output / f"{config.variant}.safetensors"
    save_weights(model, path, facts)
    print(f"written: {path}")


if __name__ == "__main__":
    run_script(main, Config, __doc__)
