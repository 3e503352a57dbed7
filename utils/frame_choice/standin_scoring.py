"""A cheap stand-in for stage 3: how good would all masks be if this one frame were labelled?

BubbleNets learn from that number for many frames of many videos, and fine-tuning the network for
each is too expensive. Here the network, as it was before any fine-tuning, looks at every frame
once (`pixel_maps.py`). On maps from inside it, at a quarter of the image's resolution, a small head
per candidate frame learns the label of that frame and no other, and segments all frames
(`standin_heads.py`); threshold, temporal filter and scores are those of stage 3.

What it leaves out: nothing below the head learns, and the labelled frame is not augmented. How well
it ranks frames as the real fine-tuning does is measured by benchmarks/standin_agreement.py.
"""

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import keras
import numpy as np

from utils.errors import InputError
from utils.evaluation.measures import contour_accuracy, region_similarity
from utils.files import sha256_of
from utils.frame_choice.pixel_maps import STRIDE, Progress, compute_maps, interpolate
from utils.frame_choice.standin_heads import StandIn, predict_logits, train_heads
from utils.inputs.sequences import VideoSequence
from utils.media.images import resize_labels, working_size
from utils.media.labels import VOID, read_label
from utils.stage3.settings import Refinement
from utils.stage3.temporal_filter import TemporalFilter, make_passes
from utils.training.probability import sigmoid

METHOD = 1  # increased whenever the same settings would give other scores


def measure_frames(
    sequence: VideoSequence,
    network: keras.Model,
    candidates: Sequence[int],
    *,
    loss: keras.losses.Loss,
    refinement: Refinement,
    settings: StandIn,
    progress: Progress = lambda frames, title: frames,
) -> np.ndarray:
    """Scores each candidate as the one labelled frame of a video.

    Args:
        sequence: a video with every frame annotated; several animals count as one.
        network: a model of `utils.frame_choice.pixel_maps.map_network`.
        candidates: frames.
        loss: the loss of stage 3, on logits (1, pixels, 1, 1).
        refinement: threshold and temporal filter of stage 3.
        settings: how the heads are trained.
        progress: wraps frames for display, called with (frames, title).

    Returns:
        float32 (n,), 0..2: mean J plus mean F over the official frames (the first and last left
        out) without the candidate itself, at working size; 0 for a candidate whose label shows no
        animal or no background; NaN for all other frames.

    Raises:
        InputError: if an annotation is missing or wrong, or the video is too short.
        FloatingPointError: if the loss of a head is not finite.
    """
    video = sequence.video
    size = working_size(video.height, video.width, settings.lines)
    labels = [resize_labels(label, *size) for label in _read_annotations(sequence)]
    scores = np.full(len(video), np.nan, "float32")
    scores[list(candidates)] = 0
    usable = [c for c in candidates if (labels[c] == 1).any() and (labels[c] == 0).any()]
    if not usable:
        return scores
    with tempfile.TemporaryDirectory(prefix="standin_scoring_") as folder:
        maps = compute_maps(network, video, size, Path(folder), progress)
        heads = train_heads(maps, labels, usable, loss, settings, progress)
        logits = predict_logits(maps, heads, progress)
    for place in progress(range(len(usable)), f"{video.name}: scoring"):
        candidate = usable[place]
        scores[candidate] = score_masks(logits[..., place], labels, candidate, refinement)
    return scores


def spread_frames(num_frames: int, count: int) -> list[int]:
    """Returns at most `count` frames, evenly spaced, the first and the last among them."""
    return np.linspace(0, num_frames - 1, min(num_frames, count)).round().astype(int).tolist()


def annotations_sha256(sequence: VideoSequence) -> str:
    """Returns one hash over all annotations of a video, in order.

    Raises:
        InputError: if one is missing.
    """
    files = _annotation_files(sequence)
    return hashlib.sha256("\n".join(map(sha256_of, files)).encode()).hexdigest()


def score_masks(
    logits: np.ndarray, labels: Sequence[np.ndarray], candidate: int, refinement: Refinement
) -> float:
    """Computes mean J plus mean F of one head over the frames that count.

    Args:
        logits: float (n, h, w) at stride `STRIDE`.
        labels: uint8 (height, width) per frame: 0, 1, 255 void, to score with. The temporal filter
            starts from the candidate's.
        candidate: the labelled frame.
        refinement: threshold and temporal filter.

    Returns:
        the score, 0..2.
    """
    scored = set(_scored_frames(len(labels), candidate))
    scores = []
    for frame, mask in _follow(logits, labels[candidate], candidate, refinement):
        if frame in scored:
            truth = labels[frame] == 1, labels[frame] == VOID
            scores.append((region_similarity(mask, *truth), contour_accuracy(mask, *truth)))
    return float(np.sum(np.mean(scores, axis=0)))


def _follow(logits, label, candidate, refinement) -> Iterator[tuple[int, np.ndarray]]:
    """Yields every frame with its mask, bool (height, width), moving away from the candidate."""
    height, width = label.shape
    for _, frames in make_passes(len(logits), [candidate]):
        keep = TemporalFilter(refinement, label)
        for frame in frames:
            fine = interpolate(logits[frame].astype("float32"), STRIDE)[:height, :width]
            yield frame, keep(sigmoid(fine))


def _scored_frames(num_frames, candidate):
    return [frame for frame in range(1, num_frames - 1) if frame != candidate]


def _annotation_files(sequence):
    video, folder = sequence.video, sequence.annotation_dir
    if len(video) < 4:
        raise InputError(
            f"{sequence.name}: expected at least 4 frames, of which two or more can be scored, "
            f"found {len(video)}. Leave it out with --sequences."
        )
    if folder is None:
        raise InputError(
            f"{sequence.name}: expected annotations in {Path(sequence.label_path).parent}, found "
            "no such folder. Leave it out with --sequences."
        )
    files = [folder / f"{name}.png" for name in video.frame_names]
    missing = [path for path in files if not path.is_file()]
    if missing:
        raise InputError(
            f"{sequence.name}: expected an annotation for each of {len(files)} frames, found "
            f"{len(files) - len(missing)}, the first that is missing is {missing[0]}. Annotate all "
            "frames, or leave it out with --sequences."
        )
    return files


def _read_annotations(sequence) -> Iterator[np.ndarray]:
    expected = (sequence.video.height, sequence.video.width)
    for path in _annotation_files(sequence):
        label = read_label(path).values
        if label.shape != expected:
            raise InputError(
                f"{path}: expected an annotation of {expected[0]}x{expected[1]}, as the frames "
                f"(height x width), found {label.shape[0]}x{label.shape[1]}. Annotate the frames "
                "of this video."
            )
        yield np.where((label > 0) & (label < VOID), 1, label).astype("uint8")
