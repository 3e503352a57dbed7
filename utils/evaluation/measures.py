"""The measures of DAVIS 2016 (Perazzi et al., CVPR 2016, section 5): region J and contour F.

Defined as in the official code: over the scored frames of one video come mean, recall (share of
frames above 0.5) and decay (first quarter minus last quarter). Temporal stability T is in
`temporal_stability.py`.
"""

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from utils.media.labels import VOID

BOUNDARY_TOLERANCE = 0.008  # of the image's diagonal
RECALL_THRESHOLD = 0.5
NUM_DECAY_BINS = 4
NUMBERS = ("J&F-Mean", "J-Mean", "J-Recall", "J-Decay", "F-Mean", "F-Recall", "F-Decay")


def region_similarity(
    prediction: np.ndarray, annotation: np.ndarray, void: np.ndarray | None = None
) -> float:
    """J: intersection over union; 1 where both masks are empty.

    Args:
        prediction: bool or uint8 (height, width), non-zero is foreground.
        annotation: the same shape and meaning.
        void: the same shape; non-zero pixels are not scored.

    Returns: J in 0..1.

    Raises:
        ValueError: if the sizes differ.
    """
    prediction, annotation = _scored_foreground(prediction, annotation, void)
    union = np.count_nonzero(prediction | annotation)
    return np.count_nonzero(prediction & annotation) / union if union else 1.0


def contour_accuracy(
    prediction: np.ndarray, annotation: np.ndarray, void: np.ndarray | None = None
) -> float:
    """F: harmonic mean of the precision and recall of the boundary pixels.

    A boundary pixel is matched if the other mask has one within a disk whose radius is 0.008 of
    the diagonal, rounded up (8 px at 480x854). Void pixels become background in both masks before
    the boundaries are drawn, as in davis2017-evaluation.

    Args:
        prediction: bool or uint8 (height, width), non-zero is foreground.
        annotation: the same shape and meaning.
        void: the same shape; non-zero pixels are not scored.

    Returns: F in 0..1; 1 where neither mask has a boundary.

    Raises:
        ValueError: if the sizes differ.
    """
    prediction, annotation = _scored_foreground(prediction, annotation, void)
    radius = int(np.ceil(BOUNDARY_TOLERANCE * np.linalg.norm(annotation.shape)))
    predicted, annotated = boundary_map(prediction), boundary_map(annotation)
    if not predicted.any() or not annotated.any():
        return float(predicted.any() == annotated.any())
    # Only boundary pixels are looked up, so nothing outside their bounding box matters.
    left, top, width, height = cv2.boundingRect((predicted | annotated).view(np.uint8))
    box = np.s_[top : top + height, left : left + width]
    predicted, annotated = predicted[box], annotated[box]
    precision = _share_near(predicted, annotated, radius)
    recall = _share_near(annotated, predicted, radius)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def boundary_map(mask: np.ndarray) -> np.ndarray:
    """Marks the pixels that differ from their east, south or south-east neighbour.

    The last row is compared with the east only, the last column with the south only, so a mask
    that is cut off by the right or bottom border of the image has no boundary there.

    Args:
        mask: bool (height, width).

    Returns: bool (height, width).
    """
    boundary = np.zeros_like(mask)
    inner = mask[:-1, :-1]
    boundary[:-1, :-1] = (inner ^ mask[:-1, 1:]) | (inner ^ mask[1:, :-1]) | (inner ^ mask[1:, 1:])
    boundary[-1, :-1] = mask[-1, :-1] ^ mask[-1, 1:]
    boundary[:-1, -1] = mask[:-1, -1] ^ mask[1:, -1]
    return boundary


def recall(values: Sequence[float]) -> float:
    """The share of the values above 0.5; 0.5 itself does not count.

    Args:
        values: one per scored frame, 0..1.

    Returns: the share, 0..1.

    Raises:
        ValueError: if there are no values.
    """
    return float(np.mean(_non_empty(values) > RECALL_THRESHOLD))


def decay(values: Sequence[float]) -> float:
    """The mean of the first quarter minus that of the last one: what is lost along the video.

    Neighbouring quarters share a frame, as in the official code. That code keeps the edges in
    uint8, which is wrong beyond 256 frames; here they are plain integers.

    Args:
        values: one per scored frame, in order, 0..1.

    Returns: the difference, -1..1.

    Raises:
        ValueError: if there are no values.
    """
    values = _non_empty(values)
    # The tiny term rounds halves up, where NumPy alone would round them to even.
    edges = np.round(np.linspace(1, len(values), NUM_DECAY_BINS + 1) + 1e-10).astype(int) - 1
    first, last = values[: edges[1] + 1], values[edges[-2] :]
    return float(first.mean() - last.mean())


def score_sequence(
    predictions: Iterable[np.ndarray],
    annotations: Iterable[np.ndarray],
    animals: Sequence[int] = (),
) -> dict:
    """Computes J and F over the frames of one video, one frame at a time.

    Args:
        predictions: per frame uint8 (height, width), 0 background, else the animal's number.
        annotations: the same, with 255 for void.
        animals: the numbers of the animals if there are several. Animal k is compared with animal
            k, and every score is the mean over the animals. With fewer than two, any non-zero
            pixel is the animal.

    Returns:
        the `NUMBERS`, and "J" and "F" as lists with one value per frame; with several animals also
        "animals": {number: the same for this animal}.

    Raises:
        ValueError: if a frame's sizes differ, or there are no frames, or not equally many.
    """
    per_frame = [
        _score_frame(prediction, annotation, animals)
        for prediction, annotation in zip(predictions, annotations, strict=True)
    ]
    if not per_frame:
        raise ValueError("no frames to score")
    values = np.array(per_frame).reshape(len(per_frame), -1, 2)  # (frames, animals, J and F)
    scores = [_summarize(j, f) for j, f in values.transpose(1, 2, 0)]
    if len(scores) == 1:
        return scores[0]
    by_animal = dict(zip(animals, scores, strict=True))
    return mean_scores(scores, (*NUMBERS, "J", "F")) | {"animals": by_animal}


def match_animals(
    predictions: Iterable[np.ndarray], annotations: Iterable[np.ndarray], animals: Sequence[int]
) -> np.ndarray:
    """Matches animals that were found without a label with the annotated ones, one to one.

    The sum of the mean J of all pairs is the largest possible, as in the unsupervised measure of
    DAVIS 2019 (which takes the mean of J and F). What is matched with nothing is not scored.

    Args:
        predictions: per frame uint8 (height, width), 0 background, else the number of what was
            found.
        annotations: the same size, 0 background, else the animal's number, 255 void.
        animals: the numbers of the annotated animals.

    Returns: uint8 (256,): for each number of the predictions, that of the annotated animal, else 0.
    """
    sums = np.zeros((256, 256))  # of J: by number in the annotations and in the predictions
    shown = np.zeros(256, bool)
    for prediction, annotation in zip(predictions, annotations, strict=True):
        scored = annotation != VOID
        pairs = annotation[scored].astype(np.uint16) * 256 + prediction[scored]
        both = np.bincount(pairs, minlength=256 * 256).reshape(256, 256)
        union = both.sum(axis=1, keepdims=True) + both.sum(axis=0) - both
        sums += np.where(union, both / np.maximum(union, 1), 1)
        shown |= both.any(axis=0)
    numbers = np.arange(1, VOID)
    # Numbers that no mask shows make up for too few: an animal may be matched with nothing.
    found = numbers[np.argsort(~shown[numbers], kind="stable")]
    found = found[: max(np.count_nonzero(shown[numbers]), len(animals))]
    rows, columns = linear_sum_assignment(sums[np.ix_(animals, found)], maximize=True)
    matched = np.zeros(256, np.uint8)
    matched[found[columns]] = np.asarray(animals)[rows]
    return matched


def mean_scores(scores: Sequence[dict], keys: Sequence[str] = NUMBERS) -> dict:
    """The means of several results of `score_sequence`, with equal weights.

    Args:
        scores: from `score_sequence`.
        keys: what to average: numbers, or lists of equal length.
    """
    return {key: np.mean([score[key] for score in scores], axis=0).tolist() for key in keys}


def _score_frame(
    prediction: np.ndarray, annotation: np.ndarray, animals: Sequence[int]
) -> list[tuple[float, float]]:
    void = annotation == VOID
    if len(animals) < 2:
        pairs = [(prediction != 0, annotation != 0)]
    else:
        pairs = [(prediction == animal, annotation == animal) for animal in animals]
    return [(region_similarity(*pair, void), contour_accuracy(*pair, void)) for pair in pairs]


def _summarize(j: np.ndarray, f: np.ndarray) -> dict:
    numbers = ((j.mean() + f.mean()) / 2, j.mean(), recall(j), decay(j))
    numbers += (f.mean(), recall(f), decay(f))
    scores = dict(zip(NUMBERS, map(float, numbers), strict=True))
    return scores | {"J": j.tolist(), "F": f.tolist()}


def _scored_foreground(
    prediction: np.ndarray, annotation: np.ndarray, void: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Both masks as bool, without the void pixels."""
    sizes = {mask.shape for mask in (prediction, annotation, void) if mask is not None}
    if len(sizes) > 1 or prediction.ndim != 2:
        raise ValueError(f"masks must be (height, width) of one size, not {sorted(sizes)}")
    prediction, annotation = prediction.astype(bool), annotation.astype(bool)
    if void is not None and void.any():
        scored = ~void.astype(bool)
        prediction, annotation = prediction & scored, annotation & scored
    return prediction, annotation


def _share_near(boundary: np.ndarray, other: np.ndarray, radius: int) -> float:
    """Share of the pixels of `boundary` that lie in `other` dilated by a disk."""
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    disk = (x**2 + y**2 <= radius**2).astype(np.uint8)
    return float(cv2.dilate(other.view(np.uint8), disk)[boundary].mean())


def _non_empty(values: Sequence[float]) -> np.ndarray:
    values = np.asarray(values, float)
    if values.size == 0:
        raise ValueError("no frames to score")
    return values
