"""Dense CRF with two labels: what the paper's POST module does after test-time augmentation.

Krähenbühl and Koltun, "Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials"
(2011): every pixel is drawn to the label of pixels that are near (Gaussian kernel), or near and of
a similar colour (bilateral kernel). Kernels are normalised symmetrically and a pixel counts as its
own neighbour, as in the authors' code.
"""

from collections.abc import Callable

import cv2
import numpy as np

from utils.stage3.bilateral_lattice import BilateralLattice
from utils.stage3.settings import DenseCrf
from utils.training.probability import sigmoid

CERTAIN = 1e-5  # probabilities closer to 0 or 1 than this are taken for this close

Kernel = Callable[[np.ndarray], np.ndarray]


def dense_crf(
    probability: np.ndarray, image: np.ndarray, settings: DenseCrf, scale: float = 1.0
) -> np.ndarray:
    """Mean-field inference.

    Args:
        probability: float32 (H, W), 0..1, the network's.
        image: uint8 (H, W, 3), RGB.
        settings: kernels and number of iterations.
        scale: how many times as large as at 480 lines distances are.

    Returns: float32 (H, W), 0..1.
    """
    clipped = np.clip(probability.astype("float32"), CERTAIN, 1 - CERTAIN)
    unary = np.log(clipped) - np.log1p(-clipped)
    kernels = (
        (settings.gaussian_weight, normalised(gaussian(settings.gaussian_px * scale), unary.shape)),
        (settings.bilateral_weight, normalised(bilateral(image, settings, scale), unary.shape)),
    )
    kernels = [(weight, kernel, kernel(np.ones_like(unary))) for weight, kernel in kernels]
    logits = unary
    for _ in range(settings.iterations):
        animal = sigmoid(logits)
        # Per kernel: what the neighbours say for the animal, less what they say for the background.
        logits = unary + sum(w * (2 * kernel(animal) - ones) for w, kernel, ones in kernels)
    return sigmoid(logits)


def gaussian(sigma_px: float) -> Kernel:
    """The sum over pixels by their distance, but for a constant factor; beyond the edge is 0."""
    return lambda values: cv2.GaussianBlur(values, (0, 0), sigma_px, borderType=cv2.BORDER_CONSTANT)


def bilateral(image: np.ndarray, settings: DenseCrf, scale: float) -> Kernel:
    """The sum over pixels by their distance and their difference in colour."""
    height, width = image.shape[:2]
    rows, columns = np.mgrid[:height, :width] / (settings.bilateral_px * scale)
    colours = image.astype("float32") / settings.bilateral_levels
    features = np.dstack([rows, columns, colours]).reshape(height * width, 5)
    lattice = BilateralLattice(features.astype("float32"))
    return lambda values: lattice(values.ravel()).reshape(height, width)


def normalised(kernel: Kernel, shape: tuple[int, int]) -> Kernel:
    """The kernel between the square roots of its inverse sums: constant factors fall out, and what
    one pixel says to another counts as much as the reverse."""
    root = 1 / np.sqrt(kernel(np.ones(shape, "float32")) + 1e-20)
    return lambda values: root * kernel(root * values)
