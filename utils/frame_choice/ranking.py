"""Ranks the frames of a video by BubbleNets: deep sorting, as Griffin and Corso publish it.

"BubbleNets: Learning to Select the Guidance Frame in Video Object Segmentation by Deep Sorting
Frames", CVPR 2019. Where the sorting differs from the published code:

- There each pair is compared once per order and step, with new random references each time, and
  only the first of five outputs decides (the mean is taken of element 0). Here all pairs are
  compared beforehand in large batches, in both orders with `REFERENCE_DRAWS` draws each, and the
  mean of all of them decides. So a pair has one answer, and sorting only looks it up.
- There each of the n - 1 passes goes through all frames. Here a pass ends before the frames that
  earlier passes brought to the end, as bubble sort may with one answer per pair.
- There the draws have no seed; here the same video always gives the same choice.
- Of a video with more than `MAX_CANDIDATES` frames only that many, evenly spaced, are compared.
"""

from collections.abc import Sequence

import keras
import numpy as np

NUM_REFERENCES = 3
REFERENCE_DRAWS = 5
MAX_CANDIDATES = 1000
_COMPARISONS_PER_BATCH = 8192


def rank_by_bubblenet(
    model: keras.Model,
    vectors: np.ndarray,
    candidates: Sequence[int] | None = None,
    seed: int = 0,
) -> list[int]:
    """Sorts frames by how much their label should help.

    Args:
        model: a trained network of `models.bubblenets.build_bubblenet`.
        vectors: float (n, d), one per frame of the video.
        candidates: frames to rank; None takes all, or `MAX_CANDIDATES` evenly spaced ones.
            References are drawn from all n frames.
        seed: seed of the references.

    Returns:
        the candidates, best first.
    """
    if candidates is None:
        count = min(len(vectors), MAX_CANDIDATES)
        candidates = np.linspace(0, len(vectors) - 1, count).round().astype(int)
    candidates = [int(frame) for frame in candidates]
    margins = compare_frames(model, vectors, candidates, seed)
    return [candidates[place] for place in bubble_sort(margins)]


def bubble_sort(margins: np.ndarray) -> list[int]:
    """Sorts by comparing neighbours, as the original does: the best frame ends up last.

    Args:
        margins: float (m, m), [a, b] above 0 where a is better than b; need not be transitive.

    Returns:
        the numbers 0 to m - 1, best first.
    """
    is_worse = (margins < 0).tolist()
    order = list(range(len(margins)))
    for end in range(len(order) - 1, 0, -1):
        for place in range(end):
            first, second = order[place], order[place + 1]
            if not is_worse[first][second]:  # below 0 the second is better and moves on
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

    Args:
        model: see `rank_by_bubblenet`.
        vectors: see `rank_by_bubblenet`.
        candidates: the m frames to compare.
        seed: seed of the references.
        draws: draws of references per pair and order.

    Returns:
        float32 (m, m), antisymmetric: by how much row a's label is expected to give a higher score
        (J + F, 0..2) than column b's, the mean over draws and orders.
    """
    count, num_frames = len(candidates), len(vectors)
    margins = np.zeros((count, count), "float32")
    if count < 2:
        return margins
    first_layer_terms, upper_layers = _split_first_layer(model, np.asarray(vectors, "float32"))
    frames = np.asarray(candidates)
    rng = np.random.default_rng(seed)
    rows, columns = np.triu_indices(count, k=1)
    for start in range(0, len(rows), _COMPARISONS_PER_BATCH):
        row, column = (
            rows[start : start + _COMPARISONS_PER_BATCH],
            columns[start : start + _COMPARISONS_PER_BATCH],
        )
        total = np.zeros(len(row), "float32")
        for _ in range(draws):
            for sign, first, second in ((1, row, column), (-1, column, row)):
                pair = np.stack([frames[first], frames[second]], axis=1)
                input_frames = np.concatenate(
                    [pair, draw_references(rng, pair, num_frames)], axis=1
                )
                total += sign * _predict(upper_layers, first_layer_terms, input_frames)
        margins[row, column] = total / (2 * draws)
    return margins - margins.T


def draw_references(rng: np.random.Generator, pairs: np.ndarray, num_frames: int) -> np.ndarray:
    """Draws reference frames for each pair.

    They differ from the pair and, if there are enough frames, from each other. In a video of two
    frames they may be any.

    Args:
        rng: the source of randomness.
        pairs: int (p, 2), two different frames each.
        num_frames: frames of the video, at least 2.

    Returns:
        int (p, 3).
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
    """Returns the frame numbers as the networks see them, float32 (n,): index / n."""
    return np.arange(num_frames, dtype="float32") / num_frames


def _split_first_layer(model, vectors):
    """Applies the first layer to each frame in each of the five places, ahead of all comparisons.

    That layer does nine tenths of the work and is linear: sums of five looked-up rows replace it.

    Returns:
        float32 (5, n, units), and a model of the layers after it.
    """
    kernel, bias = (keras.ops.convert_to_numpy(v.value) for v in model.get_layer("fc1").variables)
    num_frames, size = vectors.shape
    places = len(kernel) // (size + 1)
    shares = kernel[: places * size].reshape(places, size, -1)
    of_position = frame_positions(num_frames)[None, :, None] * kernel[places * size :, None]
    first_layer_terms = np.matmul(vectors, shares) + of_position  # (place, frame, unit)
    first_layer_terms[0] += bias
    hidden = model.get_layer("fc1").output
    return first_layer_terms, keras.Model([hidden, model.input["indices"]], model.output)


def _predict(upper_layers, first_layer_terms, input_frames):
    hidden = first_layer_terms[0][input_frames[:, 0]]
    for place in range(1, input_frames.shape[1]):
        hidden += first_layer_terms[place][input_frames[:, place]]
    positions = frame_positions(first_layer_terms.shape[1])[input_frames]
    return np.asarray(upper_layers.predict_on_batch([hidden, positions]))[:, 0]
