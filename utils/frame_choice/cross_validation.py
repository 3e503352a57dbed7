"""Cross-validation: how good is the frame that each method chooses in videos it has not seen?"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from tabulate import tabulate

from models.bubblenets import VARIANTS
from utils.errors import UsageError
from utils.frame_choice.bubblenet_training import BubbleNetTraining, train_bubblenet
from utils.frame_choice.measured_videos import MeasuredVideo, fit_linear_rule, have_cues
from utils.frame_choice.ranking import rank_by_bubblenet
from utils.frame_choice.rules import POSITION_RULES, rank_by_rule

BOOTSTRAP_SAMPLES = 10_000
CHANCE, ORACLE = "random (mean of all)", "oracle"
Rankings = dict[str, dict[str, list[int]]]  # method -> video -> measured frames, best first


def cross_validate(
    videos: Sequence[MeasuredVideo], num_folds: int, settings: BubbleNetTraining
) -> dict[str, Any]:
    """Lets every method choose in every video, trained on the other parts of the table.

    Args:
        videos: the table.
        num_folds: parts that the videos are divided into.
        settings: how the networks are trained; its seed also divides the videos.

    Returns:
        "folds" (names of the videos of each part), "measured" (video -> frames), "methods" (see
        `compare`) and "rankings" (method -> video -> frames, best first).

    Raises:
        UsageError: if the videos cannot be divided that way.
    """
    folds = make_folds(len(videos), num_folds, settings.seed)
    rankings: Rankings = {}
    for number, held_out in enumerate(folds, start=1):
        print(f"fold {number} of {len(folds)}: {', '.join(videos[i].name for i in held_out)}")
        training = [video for i, video in enumerate(videos) if i not in held_out]
        rankers = make_rankers(training, settings)
        for video in (videos[i] for i in held_out):
            for method, rank in rankers.items():
                rankings.setdefault(method, {})[video.name] = rank(video)
    return {
        "folds": [[videos[i].name for i in fold] for fold in folds],
        "measured": {video.name: video.measured.tolist() for video in videos},
        "methods": compare(videos, rankings),
        "rankings": rankings,
    }


def make_folds(num_videos: int, num_folds: int, seed: int) -> list[list[int]]:
    """Divides the videos at random into parts that differ by at most one in size.

    Raises:
        UsageError: if a part would be empty, or nothing would be left to train on.
    """
    if not 2 <= num_folds <= num_videos:
        raise UsageError(f"--folds must be 2 to {num_videos}, the number of videos.")
    order = np.random.default_rng(seed).permutation(num_videos)
    return [sorted(order[k::num_folds].tolist()) for k in range(num_folds)]


def make_rankers(
    training: Sequence[MeasuredVideo], settings: BubbleNetTraining
) -> dict[str, Callable[[MeasuredVideo], list[int]]]:
    """Trains every method that learns and returns all methods by name.

    Each ranks the measured frames of a video, best first. Rules rank all frames, of which the
    measured ones are kept: "middle" is the measured frame nearest the middle.

    Args:
        training: the videos to learn from.
        settings: how the networks are trained.
    """
    rankers = {}
    for variant in VARIANTS:
        model = train_bubblenet(variant, training, settings)
        rankers[variant] = lambda video, model=model: rank_by_bubblenet(
            model, video.features.vectors, video.measured, settings.seed
        )
    rules = [rule for rule in POSITION_RULES if rule != "random"] + ["medoid"]
    coefficients = ()
    if have_cues(training):
        rules += ["typical", "linear"]
        coefficients = fit_linear_rule(training)
    for rule in rules:
        rankers[rule] = lambda video, rule=rule: [
            frame
            for frame in rank_by_rule(rule, len(video.scores), video.features, coefficients)
            if frame in set(video.measured.tolist())
        ]
    return rankers


def compare(videos: Sequence[MeasuredVideo], rankings: Rankings, seed: int = 0) -> dict[str, dict]:
    """Compares what the choices of all methods are worth, beside chance and the best frame.

    Args:
        videos: the table.
        rankings: every method's ranking of every video; "middle" is among the methods.
        seed: seed of the bootstrap.

    Returns:
        by method, the best first: "mean" over videos of the chosen frame's score, "minus_middle"
        (its difference to the middle frame's), both with a 95 % bootstrap interval over videos,
        "pairs_right" (see `pairs_right`) and "scores" by video.
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
    return {
        method: {
            "mean": float(np.mean(scores[method])),
            "interval": interval(scores[method]),
            "minus_middle": float(np.mean(scores[method] - middle)),
            "minus_middle_interval": interval(scores[method] - middle),
            "pairs_right": agreement[method],
            "scores": dict(zip([v.name for v in videos], scores[method], strict=True)),
        }
        for method in sorted(scores, key=lambda method: -np.mean(scores[method]))
    }


def pairs_right(scores: np.ndarray, ranking: Sequence[int]) -> float:
    """Returns the share of pairs of ranked frames with the better one first; ties count half."""
    ranked = scores[list(ranking)]
    differences = ranked[:, None] - ranked[None]
    upper = np.triu_indices(len(ranked), k=1)
    return float(np.mean((np.sign(differences[upper]) + 1) / 2))


def format_comparison(summary: dict[str, dict], num_videos: int) -> str:
    """Formats the result of `compare` as a table for the screen."""
    rows = [
        (
            method,
            f"{row['mean']:.3f}",
            "{:.3f} .. {:.3f}".format(*row["interval"]),
            f"{row['minus_middle']:+.3f}",
            "{:+.3f} .. {:+.3f}".format(*row["minus_middle_interval"]),
            f"{row['pairs_right']:.2f}",
        )
        for method, row in summary.items()
    ]
    headers = ("chosen by", "mean", "interval", "minus middle", "interval", "pairs")
    alignment = ("left", "right", "left", "right", "left", "right")
    table = tabulate(rows, headers, "plain", colalign=alignment, disable_numparse=True)
    return (
        f"Score (J + F, 0..2) of the chosen frame, mean of {num_videos} videos that the method was "
        "not trained on,\nwith 95 % bootstrap intervals over videos; pairs: share of measured "
        f"pairs in the right order.\n{table}"
    )
