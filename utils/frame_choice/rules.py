"""Rankings of a video's frames by how much their label should help: BubbleNets, rules, next label.

Griffin and Corso, "BubbleNets", CVPR 2019. Where the sorting differs from its published code:

- There a comparison is made once per order and step, with new random references each time, and only
  the first of five outputs decides (the mean is taken of element 0). Here all pairs are compared
  beforehand in large batches, each in both orders with `REFERENCE_DRAWS` draws, and the mean of
  all of them decides; so a pair has one answer, and sorting only looks it up.
- There each of the n - 1 passes goes through all frames. Here a pass ends before the frames that
  the passes before it brought to the end, as bubble sort may with one answer per pair.
- There the draws have no seed; here the same video gives the same choice.
- Of a video with more than `MAX_CANDIDATES` frames only that many, evenly spaced, are compared.
"""

from collections.abc import Sequence

import keras
import numpy as np

from utils.frame_choice.features import CUES, FrameFeatures

RULES = ("middle", "first", "last", "random", "medoid", "typical", "linear")
POSITION_RULES = RULES[:4]  # these need no features
NUM_REFERENCES = 3
REFERENCE_DRAWS = 5
MAX_CANDIDATES = 1000
LINEAR_CUES = ("from_middle", "position", "centrality", *CUES)
_CHUNK = 8192  # comparisons per batch
_BASE_DIFFICULTY = 0.25  # times the video's mean: a mask that looks sure may be surely wrong


# BubbleNets


def rank_by_bubblenet(
    model: keras.Model,
    vectors: np.ndarray,
    candidates: Sequence[int] | None = None,
    seed: int = 0,
) -> list[int]:
    """Frames in the order that deep sorting gives them.

    Args:
        model: of `models.bubblenets.build_bubblenet`, trained.
        vectors: float (n, d), one per frame of the video.
        candidates: frames to rank; None takes all, or `MAX_CANDIDATES` evenly spaced ones.
            References are drawn from all n frames.
        seed: of the references.

    Returns: the candidates, best first.
    """
    if candidates is None:
        count = min(len(vectors), MAX_CANDIDATES)
        candidates = np.linspace(0, len(vectors) - 1, count).round().astype(int)
    candidates = [int(frame) for frame in candidates]
    margins = compare_frames(model, vectors, candidates, seed)
    return [candidates[place] for place in bubble_sort(margins)]


def bubble_sort(margins: np.ndarray) -> list[int]:
    """Sorts by neighbour comparisons, as the original: the best frame ends last and is chosen.

    Args:
        margins: float (m, m), [a, b] above 0 where a is better than b; need not be transitive.

    Returns: 0..m-1, best first.
    """
    is_worse = (margins < 0).tolist()
    order = list(range(len(margins)))
    for end in range(len(order) - 1, 0, -1):
        for place in range(end):
            first, second = order[place], order[place + 1]
            if not is_worse[first][second]:  # below 0 the second is better and is carried on
                order[place], order[place + 1] = second, first
    return order[::-1]


def compare_frames(
    model: keras.Model,
    vectors: np.ndarray,
    candidates: Sequence[int],
    seed: int = 0,
    draws: int = REFERENCE_DRAWS,
) -> np.ndarray:
    """Compares every two candidates, in both orders, each with several draws of references.

    Args: as `rank_by_bubblenet`.

    Returns: float32 (m, m), antisymmetric: by how much row a's label is expected to give a higher
        score than column b's, the mean over draws and orders.
    """
    count, num_frames = len(candidates), len(vectors)
    margins = np.zeros((count, count), "float32")
    if count < 2:
        return margins
    projected, rest = _split_first_layer(model, np.asarray(vectors, "float32"))
    frames = np.asarray(candidates)
    rng = np.random.default_rng(seed)
    rows, columns = np.triu_indices(count, k=1)
    for start in range(0, len(rows), _CHUNK):
        row, column = rows[start : start + _CHUNK], columns[start : start + _CHUNK]
        total = np.zeros(len(row), "float32")
        for _ in range(draws):
            for sign, first, second in ((1, row, column), (-1, column, row)):
                pair = np.stack([frames[first], frames[second]], axis=1)
                five = np.concatenate([pair, draw_references(rng, pair, num_frames)], axis=1)
                total += sign * _predict(rest, projected, five)
        margins[row, column] = total / (2 * draws)
    return margins - margins.T


def draw_references(rng: np.random.Generator, pairs: np.ndarray, num_frames: int) -> np.ndarray:
    """Random reference frames for each pair: different from it and, where there are enough frames,
    from each other; of a video of two frames, any.

    Args:
        pairs: int (p, 2), two different frames.
        num_frames: of the video, at least 2.

    Returns: int (p, 3).
    """
    taken = np.sort(pairs, axis=1)
    if num_frames == 2:
        return rng.integers(2, size=(len(pairs), NUM_REFERENCES))
    references = []
    for _ in range(NUM_REFERENCES):
        frame = rng.integers(num_frames - taken.shape[1], size=len(pairs))
        for other in taken.T:  # in increasing order: each one taken moves the rest up by one
            frame = frame + (frame >= other)
        references.append(frame)
        if num_frames - 2 >= NUM_REFERENCES:
            taken = np.sort(np.column_stack([taken, frame]), axis=1)
    return np.stack(references, axis=1)


def frame_positions(num_frames: int) -> np.ndarray:
    """The numbers of the frames as the networks see them, float32 (n,): index / n."""
    return np.arange(num_frames, dtype="float32") / num_frames


def _split_first_layer(model, vectors):
    """The first layer's share of each frame in each of the five places, and the layers after it.

    That layer has nine tenths of the work and is linear: five sums of looked-up rows replace it.
    """
    kernel, bias = (keras.ops.convert_to_numpy(v.value) for v in model.get_layer("fc1").variables)
    num_frames, size = vectors.shape
    places = len(kernel) // (size + 1)
    shares = kernel[: places * size].reshape(places, size, -1)
    of_position = frame_positions(num_frames)[None, :, None] * kernel[places * size :, None]
    projected = np.matmul(vectors, shares) + of_position  # (place, frame, unit)
    projected[0] += bias
    hidden = model.get_layer("fc1").output
    return projected, keras.Model([hidden, model.input["indices"]], model.output)


def _predict(rest, projected, five):
    hidden = projected[0][five[:, 0]]
    for place in range(1, five.shape[1]):
        hidden += projected[place][five[:, place]]
    positions = frame_positions(projected.shape[1])[five]
    return np.asarray(rest.predict_on_batch([hidden, positions]))[:, 0]


# Rules


def rank_by_rule(
    rule: str,
    num_frames: int,
    features: FrameFeatures | None = None,
    coefficients: Sequence[float] = (),
    seed: int = 0,
) -> list[int]:
    """All frames by a rule of our own, best first; of equals the earlier.

    Args:
        rule: "middle" (nearest to frame n // 2), "first", "last", "random"; "medoid" (smallest
            mean distance to all vectors), "typical" (sharpness, brightness and motion nearest to
            the video's medians), "linear" (a weighted sum of `cue_matrix`).
        features: not needed by `POSITION_RULES`.
        coefficients: of "linear", see `fit_linear`.

    Raises: ValueError for an unknown rule.
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
    """`LINEAR_CUES` of each frame, float64 (n, 6): distance from the middle (0..1), position
    (0..1), and standardised within the video: closeness to the other vectors and the cues."""
    position = (np.arange(len(features.vectors)) + 0.5) / len(features.vectors)
    centrality = -_standardise(_mean_distances(features.vectors))
    cues = [_standardise(features.cues[name]) for name in CUES]
    return np.stack([np.abs(2 * position - 1), position, centrality, *cues], axis=1)


def fit_linear(
    cues: Sequence[np.ndarray], scores: Sequence[np.ndarray], ridge: float = 1.0
) -> np.ndarray:
    """Ridge regression of scores on cues, both relative to their video's mean.

    Args:
        cues: per video, (n, k) of `cue_matrix`.
        scores: per video, (n,), NaN where not measured.
        ridge: penalty per measured frame, of standardised cues.

    Returns: (k,), coefficients for `rank_by_rule`.
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


def _mean_distances(vectors):
    vectors = vectors.astype("float64")
    squares = np.einsum("nd,nd->n", vectors, vectors)
    means = []
    for start in range(0, len(vectors), 256):  # in parts: a long video has many pairs
        part = np.s_[start : start + 256]
        products = vectors[part] @ vectors.T
        distances = np.sqrt(np.maximum(squares[part, None] + squares - 2 * products, 0))
        means.append(distances.mean(axis=1))
    return np.concatenate(means)


def _standardise(values):
    """Relative to the median, in units of the mean absolute deviation from it."""
    deviations = np.asarray(values, "float64") - np.median(values)
    return deviations / (np.abs(deviations).mean() + 1e-9)


# The next label


def rank_next_frames(difficulty: np.ndarray, labelled: Sequence[int]) -> list[int]:
    """Frames that have no label yet, the one whose label promises most first.

    A label is taken to help the frames around it, less with distance (by 1/e at an eighth of the
    video). A frame's promise is the difficulty that its label would reach beyond what the labels
    there are reach already.

    Args:
        difficulty: float (n,), not negative, on any scale: how doubtful each frame's mask is.
        labelled: frames with a label.
    """
    difficulty = np.asarray(difficulty) / (np.mean(difficulty) or 1.0) + _BASE_DIFFICULTY
    frames = np.arange(len(difficulty))
    scale = max(1.0, len(frames) / 8)

    def reach(frame):
        return np.exp(-np.abs(frames - frame) / scale)

    reached = np.max([reach(frame) for frame in labelled], axis=0) if len(labelled) else 0.0
    promise = [np.sum(difficulty * np.maximum(reach(frame) - reached, 0)) for frame in frames]
    ranking = np.argsort(-np.array(promise), kind="stable").tolist()
    return [frame for frame in ranking if frame not in set(labelled)]
