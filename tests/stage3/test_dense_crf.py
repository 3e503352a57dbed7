"""The dense CRF and its filters beside sums over all pairs of pixels of a tiny image."""

import numpy as np
import pytest

from utils.stage3.bilateral_lattice import BilateralLattice
from utils.stage3.dense_crf import dense_crf
from utils.stage3.settings import DenseCrf

HEIGHT, WIDTH = 24, 32
# Wide kernels, so that a pixel has neighbours.
SETTINGS = DenseCrf(5, 1.5, 1.2, 3.0, 6.0, 25.0)


def colours(seed: int = 0) -> np.ndarray:
    """A red disk on a green ground, uint8 RGB, with some noise."""
    image = np.random.default_rng(seed).normal(0, 6, (HEIGHT, WIDTH, 3))
    image += np.where(disk()[..., None], (190, 60, 50), (70, 140, 60))
    return np.clip(image, 0, 255).astype("uint8")


def disk() -> np.ndarray:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return (rows - 11) ** 2 + (columns - 15) ** 2 <= 49


def blunt_probability() -> np.ndarray:
    """The disk a little off its place, and unsure."""
    shifted = np.roll(disk(), (1, 2), axis=(0, 1))
    noise = np.random.default_rng(1).normal(0, 0.05, shifted.shape)
    return np.clip(np.where(shifted, 0.75, 0.3) + noise, 0.02, 0.98).astype("float32")


def kernel_matrix(features: np.ndarray) -> np.ndarray:
    """Weights of all pairs of points (N, D), normalised symmetrically."""
    matrix = np.exp(-((features[:, None] - features[None]) ** 2).sum(axis=-1) / 2)
    root = 1 / np.sqrt(matrix.sum(axis=1))
    return root[:, None] * matrix * root[None]


def brute_force(probability, image, settings, scale=1.0) -> np.ndarray:
    """Mean field as Krähenbühl and Koltun write it, with a label's energy per row."""
    places = np.stack(np.mgrid[:HEIGHT, :WIDTH], axis=-1).reshape(-1, 2).astype("float64")
    both = np.hstack(
        [
            places / (settings.bilateral_px * scale),
            image.reshape(-1, 3) / settings.bilateral_levels,
        ]
    )
    kernels = (
        (settings.gaussian_weight, kernel_matrix(places / (settings.gaussian_px * scale))),
        (settings.bilateral_weight, kernel_matrix(both)),
    )
    p = probability.ravel().astype("float64")
    unary = -np.log(np.stack([1 - p, p]))
    q = np.stack([1 - p, p])
    for _ in range(settings.iterations):
        energy = unary - sum(weight * (q @ matrix) for weight, matrix in kernels)
        q = np.exp(-energy)
        q /= q.sum(axis=0)
    return q[1].reshape(probability.shape)


@pytest.mark.parametrize("dimensions, spread", [(2, 2.0), (5, 0.5)])
def test_the_lattice_sums_as_all_pairs_do(dimensions, spread):
    rng = np.random.default_rng(3)
    features = rng.normal(size=(1500, dimensions)) * spread
    values = (features[:, 0] > 0).astype("float32")
    matrix = np.exp(-((features[:, None] - features[None]) ** 2).sum(axis=-1) / 2)
    lattice = BilateralLattice(features)
    found = lattice(values) / lattice(np.ones_like(values))
    expected = matrix @ values / matrix.sum(axis=1)
    assert np.corrcoef(found, expected)[0, 1] > 0.97
    assert np.abs(found - expected).mean() < 0.02


def test_far_points_say_nothing_to_each_other():
    lattice = BilateralLattice(np.array([[0.0, 0, 0], [50, -50, 50]]))
    alone, other = lattice(np.array([1, 0], "float32"))
    assert alone > 0 and other == 0


def test_a_kernel_that_is_too_narrow_is_refused():
    features = np.random.default_rng(0).random((10, 5)) * 1e6
    with pytest.raises(ValueError, match="too narrow"):
        BilateralLattice(features)


@pytest.mark.parametrize("settings", [SETTINGS, DenseCrf()], ids=["wide", "OnAVOS"])
def test_mean_field_agrees_with_sums_over_all_pairs(settings):
    probability, image = blunt_probability(), colours()
    found = dense_crf(probability, image, settings)
    expected = brute_force(probability, image, settings)
    assert found.dtype == np.float32 and found.shape == probability.shape
    assert np.abs(found - expected).mean() < 0.02
    certain = np.abs(expected - 0.5) > 0.1
    assert certain.mean() > 0.9
    np.testing.assert_array_equal((found > 0.5)[certain], (expected > 0.5)[certain])


def test_the_gaussian_kernel_alone_agrees_exactly():
    settings = DenseCrf(4, 2.0, 1.5, 0.0, 6.0, 25.0)
    found = dense_crf(blunt_probability(), colours(), settings)
    expected = brute_force(blunt_probability(), colours(), settings)
    # The filter cuts its kernel off at four standard deviations.
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_the_outline_moves_to_the_edge_of_the_colours():
    found = dense_crf(blunt_probability(), colours(), SETTINGS) > 0.5
    assert (found != disk()).sum() < 0.2 * ((blunt_probability() > 0.5) != disk()).sum()


def test_distances_grow_with_the_scale():
    wide = DenseCrf(5, 1.5, 2.4, 3.0, 12.0, 25.0)
    np.testing.assert_allclose(
        dense_crf(blunt_probability(), colours(), SETTINGS, scale=2),
        dense_crf(blunt_probability(), colours(), wide),
        atol=1e-6,
    )


def test_certain_probabilities_stay_finite():
    probability = disk().astype("float32")
    found = dense_crf(probability, colours(), SETTINGS)
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found > 0.5, disk())
