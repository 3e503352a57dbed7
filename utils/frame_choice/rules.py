"""Ranks the frames of a video by simple rules, beside the BubbleNets and in place of them."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from utils.errors import InputError
from utils.files import write_json
from utils.frame_choice.features import CUES, FrameFeatures

RULES = ("middle", "first", "last", "random", "medoid", "typical", "linear")
POSITION_RULES = RULES[:4]  # these need no features
LINEAR_CUES = ("from_middle", "position", "centrality", *CUES)


def rank_by_rule(
    rule: str,
    num_frames: int,
    features: FrameFeatures | None = None,
    coefficients: Sequence[float] = (),
    seed: int = 0,
) -> list[int]:
    """Ranks all frames by a rule; of equal frames the earlier comes first.

    Args:
        rule: "middle" (nearest to frame n // 2), "first", "last", "random"; "medoid" (smallest
            mean distance to all vectors), "typical" (sharpness, brightness and motion nearest to
            the video's medians), "linear" (a weighted sum of `cue_matrix`).
        num_frames: frames of the video, n.
        features: what is known of the frames; `POSITION_RULES` do without.
        coefficients: the weights of "linear", see `fit_linear`.
        seed: seed of "random".

    Returns:
        the frames 0 to n - 1, best first.

    Raises:
        ValueError: if the rule is unknown.
    """
    frames = np.arange(num_frames)
    if rule == "middle":
        cost = np.abs(frames - num_frames // 2)
    elif rule == "first":
        cost = frames
    elif rule == "last":
        cost = -frames
    elif rule == "random":
        cost = np.random.default_rng(seed).permutation(num_frames)
    elif rule == "medoid":
        cost = _mean_distances(features.vectors)
    elif rule == "typical":
        cost = sum(np.abs(_standardise(values)) for values in features.cues.values())
    elif rule == "linear":
        cost = -cue_matrix(features) @ np.asarray(coefficients)
    else:
        raise ValueError(f"rule must be one of {', '.join(RULES)}, got {rule!r}")
    return np.argsort(cost, kind="stable").tolist()


def cue_matrix(features: FrameFeatures) -> np.ndarray:
    """Computes the `LINEAR_CUES` of each frame.

    Returns:
        float64 (n, 6): distance from the middle (0..1), position (0..1), and standardised within
        the video: closeness to the other vectors, sharpness, brightness, motion.
    """
    position = (np.arange(len(features.vectors)) + 0.5) / len(features.vectors)
    centrality = -_standardise(_mean_distances(features.vectors))
    cues = [_standardise(features.cues[name]) for name in CUES]
    return np.stack([np.abs(2 * position - 1), position, centrality, *cues], axis=1)


def fit_linear(
    cues: Sequence[np.ndarray], scores: Sequence[np.ndarray], ridge: float = 1.0
) -> np.ndarray:
    """Fits the scores by ridge regression on the cues, both relative to their video's mean.

    Args:
        cues: per video the matrix (n, k) of `cue_matrix`.
        scores: per video (n,), NaN where not measured.
        ridge: penalty per measured frame, for standardised cues.

    Returns:
        float64 (k,), coefficients for `rank_by_rule`.
    """
    x, y = [], []
    for video_cues, video_scores in zip(cues, scores, strict=True):
        measured = np.isfinite(video_scores)
        x.append(video_cues[measured] - video_cues[measured].mean(axis=0))
        y.append(video_scores[measured] - video_scores[measured].mean())
    x, y = np.concatenate(x), np.concatenate(y)
    scale = x.std(axis=0) + 1e-9
    x = x / scale
    return np.linalg.solve(x.T @ x + ridge * len(x) * np.eye(x.shape[1]), x.T @ y) / scale


def read_linear_rule(path: Path) -> tuple[float, ...]:
    """Reads the coefficients that train_bubblenet.py wrote.

    Raises:
        InputError: if the file does not have one for each of `LINEAR_CUES`.
    """
    try:
        rule = json.loads(path.read_text(encoding="utf-8"))
        if rule["cues"] == list(LINEAR_CUES):
            return tuple(float(value) for value in rule["coefficients"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise InputError(
        f"{path}: expected coefficients for {', '.join(LINEAR_CUES)}, found none. "
        "Run train_bubblenet.py."
    )


def write_linear_rule(path: Path, coefficients: Sequence[float]) -> None:
    """Writes the coefficients of `fit_linear` as JSON."""
    write_json(path, {"cues": list(LINEAR_CUES), "coefficients": [float(c) for c in coefficients]})


def _mean_distances(vectors):
    vectors = vectors.astype("float64")
    squares = np.einsum("nd,nd->n", vectors, vectors)
    means = []
    for start in range(0, len(vectors), 256):  # in parts, because a long video has many pairs
        part = np.s_[start : start + 256]
        products = vectors[part] @ vectors.T
        distances = np.sqrt(np.maximum(squares[part, None] + squares - 2 * products, 0))
        means.append(distances.mean(axis=1))
    return np.concatenate(means)


def _standardise(values):
    """Returns values relative to their median, in units of the mean absolute deviation from it."""
    deviations = np.asarray(values, "float64") - np.median(values)
    return deviations / (np.abs(deviations).mean() + 1e-9)
