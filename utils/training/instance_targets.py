"""What the instance head should answer, made from a map of animals."""

import cv2
import numpy as np

from models.instance_training import MAX_ANIMALS
from models.instances import STRIDE
from utils.media.labels import VOID
from utils.training.animals import UNNUMBERED

_LEAST_AREA = 150 / 384**2  # share of the crop: smaller animals are void
_BORDER_PX = 9  # side of the square in which two animals make a border
_HEAT_OF_SIZE, _HEAT_PX = 0.12, (4.0, 16.0)  # standard deviation: share of the size; least, most
# Probability of the mask above which a place does not count for the centres.
_VOID_LIMIT, _UNLABELLED_LIMIT, _NO_LIMIT = -1.0, 0.3, 2.0


def instance_targets(
    animals: np.ndarray, is_partly_labelled: bool = False
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The targets of `models.instance_losses`.

    Args:
        animals: uint8 (H, W), see `NumberedImage`; pieces of unknown animals and void are void.
        is_partly_labelled: whether there may be animals in the background. Nothing is then said
            about centres where the network finds one.

    Returns: float32 (MAX_ANIMALS, 3), x and y of the centres in pixels and 1 where there is an
        animal; and the targets by output, (h, w, channels) at the head's stride.
    """
    animals, centres, sizes = number_densely(animals)
    border = find_borders(animals)[::STRIDE, ::STRIDE]
    animals = animals[::STRIDE, ::STRIDE]
    is_animal = (animals > 0) & (animals < UNNUMBERED)
    is_void = animals >= UNNUMBERED
    index = np.where(is_animal, animals.astype(int) - 1, 0)
    size = np.where(is_animal, sizes[index], 0)
    y, x = STRIDE * np.indices(animals.shape)
    limit = np.full(animals.shape, _NO_LIMIT)
    if is_partly_labelled:
        limit[animals == 0] = _UNLABELLED_LIMIT
    limit[is_void] = _VOID_LIMIT
    heat = draw_heat(centres[centres[:, 2] > 0, :2], sizes, animals.shape)
    targets = {
        "centre": (heat, limit),
        "offset": (centres[index, 0] - x, centres[index, 1] - y, size),
        "assignment": (index, size),
        "border": (np.where(border > 0, 1, np.where(is_void, VOID, 0)),),
    }
    return centres, {name: np.stack(v, -1).astype(np.float32) for name, v in targets.items()}


def number_densely(animals: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers animals by their area, from the largest; very small ones and those that are too many
    become UNNUMBERED.

    Returns: uint8 (H, W); float32 (MAX_ANIMALS, 3), the centres as of `instance_targets`; and
        float32 (MAX_ANIMALS,), the roots of the areas in pixels.
    """
    areas = np.bincount(animals.ravel(), minlength=256)
    numbers = [n for n in range(1, UNNUMBERED) if areas[n] >= max(1, _LEAST_AREA * animals.size)]
    numbers = sorted(numbers, key=lambda n: -areas[n])[:MAX_ANIMALS]
    table = np.full(256, UNNUMBERED, np.uint8)
    table[0], table[VOID] = 0, VOID
    table[numbers] = np.arange(len(numbers)) + 1
    y, x = (
        np.bincount(animals.ravel(), places.ravel(), minlength=256)
        for places in np.indices(animals.shape)
    )
    centres, sizes = np.zeros((MAX_ANIMALS, 3), np.float32), np.zeros(MAX_ANIMALS, np.float32)
    for place, n in enumerate(numbers):
        centres[place] = x[n] / areas[n], y[n] / areas[n], 1
        sizes[place] = np.sqrt(areas[n])
    return table[animals], centres, sizes


def find_borders(animals: np.ndarray) -> np.ndarray:
    """Where two different animals are within a few pixels: bool (H, W)."""
    is_animal = (animals > 0) & (animals < UNNUMBERED)
    kernel = np.ones((_BORDER_PX, _BORDER_PX), np.uint8)
    highest = cv2.dilate(np.where(is_animal, animals, 0).astype(np.uint8), kernel)
    lowest = cv2.erode(np.where(is_animal, animals, 255).astype(np.uint8), kernel)
    return (highest > 0) & (lowest < 255) & (highest != lowest) & (animals > 0)


def draw_heat(centres: np.ndarray, sizes: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A Gaussian around the place nearest to each centre, wider for larger animals; the highest
    counts.

    Args:
        centres: (n, 2), x and y in pixels.
        sizes: of the animals, pixels, n or more.
        shape: of the map, at the head's stride.

    Returns: (h, w), 0..1, 1 at these places alone.
    """
    heat = np.zeros(shape)
    for (x, y), size in zip(centres, sizes, strict=False):
        deviation = np.clip(_HEAT_OF_SIZE * size, *_HEAT_PX) / STRIDE
        across, down = (
            np.exp(-((np.arange(n) - np.clip(round(v / STRIDE), 0, n - 1)) ** 2) / 2 / deviation**2)
            for n, v in ((shape[1], float(x)), (shape[0], float(y)))
        )
        heat = np.maximum(heat, down[:, None] * across)
    return heat
