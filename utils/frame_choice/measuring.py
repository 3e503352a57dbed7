"""Measuring videos for the table: the score that each video gets with one or another label."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import numpy as np

from models import build_model
from models.losses import SegmentationLoss
from utils.console import frame_progress
from utils.frame_choice.features import (
    Extractor,
    find_features,
    read_features,
    save_features,
    xception_extractor,
)
from utils.frame_choice.measured_videos import read_scores
from utils.frame_choice.pixel_maps import map_network
from utils.frame_choice.standin_heads import StandIn
from utils.frame_choice.standin_scoring import (
    METHOD,
    annotations_sha256,
    measure_frames,
    spread_frames,
)
from utils.inputs.sequences import VideoSequence
from utils.stage3.presets import PRESETS
from utils.training.weights import load_weights


@dataclass(frozen=True)
class Measuring:
    """What measures: the network that segments, and the backbone that describes the frames.

    Attributes:
        network: a model of `utils.frame_choice.pixel_maps.map_network`.
        weights_sha256: hash of the network's weights.
        extractor: describes the frames.
    """

    network: keras.Model
    weights_sha256: str
    extractor: Extractor


def load_measuring(weights: Path, feature_weights: Path) -> Measuring:
    """Loads both networks.

    Args:
        weights: weights that segment; they must not have seen the videos to measure.
        feature_weights: weights of the backbone that describes the frames.

    Raises:
        InputError: if weights do not fit or are missing.
    """
    model = build_model("deeplab")
    weights_sha256 = load_weights(model, weights)["sha256"]
    backbone = build_model("deeplab", output_stride=32)
    extractor = xception_extractor(backbone, load_weights(backbone, feature_weights)["sha256"])
    return Measuring(map_network(model), weights_sha256, extractor)


def measure_video(
    sequence: VideoSequence, path: Path, measuring: Measuring, num_candidates: int, seed: int
) -> str:
    """Writes one video's row of the table, unless it was made from the same before.

    Args:
        sequence: a video with every frame annotated.
        path: the file SEQ.npz of the table.
        measuring: what measures.
        num_candidates: frames to try as the labelled one, evenly spaced.
        seed: seed of the stand-in's heads.

    Returns:
        one line about it for the screen.

    Raises:
        InputError: if an annotation is missing or wrong, or the video is too short.
        FloatingPointError: if a loss is not finite.
    """
    start = time.perf_counter()
    candidates = spread_frames(len(sequence.video), num_candidates)
    preset, settings = PRESETS["default"], StandIn(seed=seed)
    key = {
        "method": METHOD,
        "settings": asdict(settings),
        # The 0.0 was a weight that the loss no longer has: tables made with it still count.
        "loss": [0.0, preset.region_weight],
        "refinement": asdict(preset.refinement),
        "candidates": candidates,
        "weights": measuring.weights_sha256,
        "frames": sequence.video.sha256(),
        "annotations": annotations_sha256(sequence),
    }
    measured_by = json.dumps(key)
    scores = read_scores(path, measured_by)
    features = find_features(path, measuring.extractor, key["frames"])
    if scores is not None and features is not None:
        return f"{sequence.name}: measured before, skipped"
    if scores is None:
        scores = measure_frames(
            sequence,
            measuring.network,
            candidates,
            loss=SegmentationLoss(preset.region_weight),
            refinement=preset.refinement,
            settings=settings,
            progress=frame_progress,
        )
    if features is None:
        features = read_features(sequence.video, measuring.extractor, None, frame_progress)
    save_features(path, features, scores, measured_by)
    return _format_scores(sequence.name, scores, candidates, time.perf_counter() - start)


def _format_scores(name: str, scores: np.ndarray, candidates: Sequence[int], seconds: float) -> str:
    best = int(np.nanargmax(scores))
    return (
        f"{name}: {len(scores)} frames, {len(candidates)} labels tried, J + F "
        f"{np.nanmin(scores):.3f} to {scores[best]:.3f}, mean {np.nanmean(scores):.3f}, best frame "
        f"{best}; {seconds:.0f} s"
    )
