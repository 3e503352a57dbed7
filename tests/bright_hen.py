"""Frames of a bright ellipse, the hen, that moves over a dark, noisy ground, and its masks."""

import numpy as np

from utils.media.images import resize_image

HEIGHT, WIDTH, NUM_FRAMES = 120, 160, 8
NOTHING = np.zeros((HEIGHT, WIDTH), np.uint8)


def ellipse(index: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    across = (x + 0.5 - width * (0.35 + 0.04 * index)) / (width * 0.17)
    down = (y + 0.5 - height * 0.5) / (height * 0.26)
    return across**2 + down**2 < 1


def picture(index: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    rng = np.random.default_rng(index)
    image = rng.integers(50, 110, (height, width, 3))
    image[ellipse(index, height, width)] += (110, 90, 40)
    return image.astype(np.uint8)


def overlap(mask: np.ndarray, truth: np.ndarray) -> float:
    mask, truth = np.asarray(mask) > 0, np.asarray(truth) > 0
    return (mask & truth).sum() / (mask | truth).sum()


def network_that_sees(truth):
    """A network that is quite sure of a mask, for images that show all of the frame."""

    def predict(image):
        probability = np.where(truth, np.float32(0.98), np.float32(0.02))
        return resize_image(probability, *image.shape[:2])

    return predict
