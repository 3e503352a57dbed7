"""Gaussian filtering of pixels by position and colour, on the permutohedral lattice.

Adams, Baek and Davis, "Fast High-Dimensional Filtering Using the Permutohedral Lattice" (2010): in
five dimensions (two of position, three of colour) a sum over all pairs of pixels becomes splatting
to the vertices of simplices, blurring along the lattice's six directions, and slicing.
"""

import numpy as np
from scipy import sparse


class BilateralLattice:
    """Sums values over all points, weighted by exp(-|difference of features|^2 / 2), approximately.

    The weights are right but for a factor that is the same for all points.

    Args:
        features: float (N, D), in standard deviations of the kernel.

    Raises:
        ValueError: if the features span so many standard deviations that cells cannot be numbered.
    """

    def __init__(self, features: np.ndarray):
        num_points, dimensions = features.shape
        base, rank, weights = _enclosing_simplex(_elevate(features))
        codes, strides = _number_vertices(base, rank)
        self._cells, places = np.unique(codes.ravel(), return_inverse=True)
        rows = np.repeat(np.arange(num_points), dimensions + 1)
        shape = (num_points, len(self._cells))
        # Slicing; its transpose is splatting.
        self._slice = sparse.csr_array((weights.ravel(), (rows, places.ravel())), shape)
        self._neighbours = [
            (self._find(step), self._find(-step)) for step in _steps(dimensions) @ strides
        ]

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Args: values: float32 (N,). Returns: the sums, float32 (N,)."""
        cells = np.append(self._slice.T @ values, 0.0).astype("float32")  # last: there is no cell
        for ahead, behind in self._neighbours:
            cells[:-1] += 0.5 * (cells[ahead] + cells[behind])
        return self._slice @ cells[:-1]

    def _find(self, step: int) -> np.ndarray:
        """Index of the cell one step away from each; the number of cells where there is none."""
        wanted = self._cells + step
        places = np.searchsorted(self._cells, wanted)
        places[places == len(self._cells)] = 0
        return np.where(self._cells[places] == wanted, places, len(self._cells))


def _elevate(features: np.ndarray) -> np.ndarray:
    """Points in the plane of D + 1 coordinates whose sum is 0, float32 (N, D + 1), in such a scale
    that splat, blur and slice amount to a variance of 1."""
    dimensions = features.shape[1]
    numbers = np.arange(1, dimensions + 1)
    scale = np.sqrt(2 / 3) * (dimensions + 1) / np.sqrt(numbers * (numbers + 1))
    scaled = (features * scale).astype("float32")
    above = np.cumsum(scaled[:, ::-1], axis=1)[:, ::-1]  # sum of this and all later coordinates
    elevated = np.empty((len(features), dimensions + 1), "float32")
    elevated[:, 0] = above[:, 0]
    elevated[:, 1:-1] = above[:, 1:] - numbers[:-1] * scaled[:, :-1]
    elevated[:, -1] = -dimensions * scaled[:, -1]
    return elevated


def _enclosing_simplex(elevated: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The simplex around each point.

    Returns: its vertex of remainder 0, int32 (N, D + 1); the rank of each coordinate, int32
        (N, D + 1); the weights of the vertices of remainder 0..D, float32 (N, D + 1).
    """
    num_points, size = elevated.shape
    base = (np.round(elevated / size) * size).astype("int32")
    excess = base.sum(axis=1, keepdims=True) // size
    order = np.argsort(base - elevated, axis=1, kind="stable")  # the largest difference first
    rank = np.empty_like(base)
    np.put_along_axis(rank, order, np.arange(size, dtype="int32")[None], axis=1)
    rank += excess
    wraps = (rank < 0).astype("int32") - (rank >= size)
    rank += wraps * size
    base += wraps * size
    steps = np.sort((elevated - base) / size, axis=1)[:, ::-1]  # by rank
    weights = np.empty_like(elevated)
    weights[:, 1:] = (steps[:, :-1] - steps[:, 1:])[:, ::-1]
    weights[:, 0] = 1 - weights[:, 1:].sum(axis=1)
    return base, rank, weights


def _number_vertices(base: np.ndarray, rank: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The vertices of remainder 0..D of each point's simplex, one number per vertex.

    Returns: int64 (N, D + 1), and by how much a number grows with each of the first D coordinates,
        int64 (D,): the last coordinate follows from them.
    """
    size = base.shape[1]
    low = base[:, :-1].min(axis=0) - 2 * size  # room for the vertices, and a step to either side
    spans = [int(span) for span in base[:, :-1].max(axis=0) + 2 * size - low + 1]
    strides = [1]
    for span in spans[:-1]:
        strides.append(strides[-1] * span)
    if strides[-1] * spans[-1] >= 2**63:
        raise ValueError("The kernel is too narrow for these features.")
    strides = np.array(strides, "int64")
    codes = np.empty(base.shape, "int64")
    for remainder in range(size):
        offsets = np.where(np.arange(size) < size - remainder, remainder, remainder - size)
        codes[:, remainder] = (base + offsets[rank])[:, :-1] @ strides
    return codes - low @ strides, strides


def _steps(dimensions: int) -> np.ndarray:
    """The lattice's D + 1 directions, int64 (D + 1, D)."""
    steps = np.ones((dimensions + 1, dimensions), "int64")
    steps[np.arange(dimensions), np.arange(dimensions)] = -dimensions
    return steps
