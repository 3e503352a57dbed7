"""T, the temporal (in)stability of DAVIS 2016 (Perazzi et al., CVPR 2016): how much the shape of a
mask's outline changes from frame to frame.

As in the official code: the longest polygon of each mask is described, point by point, by shape
contexts (Belongie et al., 2002); the points of consecutive masks are matched in order at the lowest
cost, and T is the mean cost of a match, times 5. DAVIS reports it for videos without occlusions and
strong deformation only: of the development videos for blackswan.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np

from utils.evaluation.mask_polygons import mask_polygons

STEP_PX = 3.0  # longer sides of a polygon are divided
NUM_ANGLES = 12
RADII = np.logspace(np.log10(1 / 8), np.log10(2), 5)  # in mean distances between points
FACTOR = 5.0  # the official code's, for numbers in the range of J and F
TINY = 2.2204e-16
_PAIRS_AT_ONCE = 2**18  # of points: videos are scored in threads, and outlines of 4K have thousands


def temporal_stability(masks: Iterable[np.ndarray]) -> list[float]:
    """T of each pair of consecutive masks; lower is better.

    Args:
        masks: bool or uint8 (height, width), non-zero is foreground, in order.

    Returns: one number per pair, 0 for equal shapes; nan where one of the masks is empty.
    """
    contexts = (_contexts_of(mask) for mask in masks)
    return [_shape_change(*pair) for pair in pairwise(contexts)]


def shape_contexts(points: np.ndarray) -> np.ndarray:
    """Where the other points lie, seen from each one.

    Args:
        points: float (N, 2).

    Returns: float64 (N, angles x radii), shares that sum to 1. The point itself counts as well.
    """
    distances = np.empty((len(points), len(points)))
    for block in _blocks(distances.shape):
        distances[block] = np.hypot(*_offsets(points, block).transpose(2, 0, 1))
    mean = distances.mean()
    counts = np.zeros((len(points), NUM_ANGLES * len(RADII)))
    for block in _blocks(distances.shape):
        offsets = _offsets(points, block)
        radius = len(RADII) - np.searchsorted(RADII, distances[block] / mean, side="right") - 1
        angle = np.mod(np.arctan2(offsets[..., 1], offsets[..., 0]), 2 * np.pi)
        angle = np.minimum(angle // (2 * np.pi / NUM_ANGLES), NUM_ANGLES - 1).astype(int)
        seen = radius >= 0
        rows = np.nonzero(seen)[0]
        np.add.at(counts[block], (rows, angle[seen] * len(RADII) + radius[seen]), 1)
    return counts / (counts.sum(axis=1, keepdims=True) + TINY)


def match_in_order(costs: np.ndarray, shift: Sequence[int] = (0, 0)) -> np.ndarray:
    """The cheapest way through a matrix of costs from its first to its last cell, by steps down, to
    the right, or both.

    Args:
        costs: float (N, M).
        shift: the row and column that count as the first; those before them follow the last.

    Returns: int (K, 2), the cells from the last to the first.
    """
    num_rows, num_columns = costs.shape
    total = np.full((num_rows + 1, num_columns + 1), np.inf)
    total[1, 1] = 0  # what the first cell costs is the same for all ways
    for diagonal in range(1, num_rows + num_columns - 1):
        rows = np.arange(max(0, diagonal - num_columns + 1), min(num_rows, diagonal + 1))
        columns = diagonal - rows
        best = np.minimum(total[rows, columns + 1], total[rows + 1, columns])
        best = np.minimum(best, total[rows, columns])
        here = (rows + shift[0]) % num_rows, (columns + shift[1]) % num_columns
        total[rows + 1, columns + 1] = best + costs[here]
    row, column = num_rows - 1, num_columns - 1
    path = [(row, column)]
    while row or column:
        # The diagonal first: among equal costs it is the one that was reached first.
        steps = [(row - 1, column - 1), (row - 1, column), (row, column - 1)]
        row, column = min(steps, key=lambda cell: total[cell[0] + 1, cell[1] + 1])
        path.append((row, column))
    return np.array(path)


def _contexts_of(mask: np.ndarray) -> np.ndarray | None:
    polygons = mask_polygons(np.asarray(mask) != 0)
    if not polygons:
        return None
    return shape_contexts(_divide(max(polygons, key=len)))


def _divide(polygon: np.ndarray) -> np.ndarray:
    """Adds points so that no side is longer than STEP_PX."""
    points = [polygon[:1]]
    for start, end in pairwise(polygon):
        parts = max(1, int(np.ceil(np.float32(np.hypot(*(end - start))) / np.float32(STEP_PX))))
        points.append(start + (end - start) * np.arange(1, parts + 1)[:, None] / parts)
    return np.concatenate(points)


def _shape_change(before: np.ndarray | None, after: np.ndarray | None) -> float:
    """T of two masks, from the shape contexts of their outlines."""
    if before is None or after is None:
        return float("nan")
    costs = _chi_square(before, after)
    path = match_in_order(costs)
    # Polygons start anywhere: match again from the best match on. The first cell does not count.
    others = path[:-1] if len(path) > 1 else path
    shift = others[np.argmin(costs[tuple(others.T)])] + 1
    path = match_in_order(costs, shift)
    pairs = _one_to_one((path + shift) % costs.shape, costs)
    return FACTOR * float(costs[tuple(pairs.T)].mean())


def _chi_square(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    costs = np.zeros((len(before), len(after)))
    for block in _blocks(costs.shape):
        for one, other in zip(before[block].T, after.T, strict=True):
            if one.any() or other.any():
                difference = one[:, None] - other[None]
                costs[block] += difference**2 / (one[:, None] + other[None] + TINY)
    costs *= 0.5
    return costs


def _offsets(points: np.ndarray, block: slice) -> np.ndarray:
    """float (rows of the block, N, 2): [i, j] leads from the block's point i to point j."""
    return points[None] - points[block, None]


def _blocks(shape: tuple[int, int]) -> list[slice]:
    """Rows of a matrix of pairs that are computed at once."""
    step = max(1, _PAIRS_AT_ONCE // shape[1])
    return [slice(start, start + step) for start in range(0, shape[0], step)]


def _one_to_one(pairs: np.ndarray, costs: np.ndarray) -> np.ndarray:
    """Of the pairs with the same first point the cheapest one stays, then of those with the same
    second point."""
    for side in (0, 1):
        order = np.argsort(costs[tuple(pairs.T)], kind="stable")
        pairs = pairs[order]
        pairs = pairs[np.unique(pairs[:, side], return_index=True)[1]]
    return pairs
