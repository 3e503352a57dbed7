"""Composites: several animals of one kind, side by side and in front of each other, on a photo.

All of them are pasted, the target's neighbours as well, so that no seam tells which one is meant.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from utils.media.labels import VOID
from utils.training.animals import UNNUMBERED, CutOut, numbers_in
from utils.training.augmentation import Augmentation, change_appearance, draw_turn, lay_over

MAX_ANIMALS = 12  # pasted; the photo's own animals follow as one more number
_EXTENT = (0.2, 0.55)  # of the crop's shorter side: longer side of the animals of a composite
_SIZE_SPREAD = 0.25  # of the logarithm, around that
_ROTATION_DEGREES = 20
_MAX_OVERLAP = 0.6  # of the smaller of two neighbours
_APART = 0.25  # share of neighbours that do not overlap at all
_COARSE = 4  # overlaps are measured on every fourth pixel
_SEARCH_STEPS = 7
MIN_VISIBLE = 0.003  # share of a crop that an animal covers, or it is not asked for


@dataclass(frozen=True, eq=False)
class _Layer:
    cut_out: CutOut
    linear: np.ndarray  # 2x2
    place: np.ndarray  # x and y of its middle in the crop
    look: np.ndarray  # the cut-out's image as it is pasted

    def matrix(self, scale: float = 1.0) -> np.ndarray:
        height, width = self.cut_out.target.shape
        middle = np.array([width - 1, height - 1]) / 2
        return scale * np.hstack([self.linear, (self.place - self.linear @ middle)[:, None]])


def compose(
    photo: np.ndarray,
    photo_animals: np.ndarray,
    cut_outs: Sequence[CutOut],
    augmentation: Augmentation,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Pastes animals on a crop of a photo.

    Args:
        photo: uint8 (h, w, 3) RGB.
        photo_animals: uint8 (h, w), see `NumberedImage`.
        cut_outs: the animals, of which at most MAX_ANIMALS are pasted; one that occurs twice is
            one individual and its double.
        augmentation: of colours.
        rng: decides everything.

    Returns: the crop and its map of animals: 1, 2, ... in the order of `cut_outs`, then one
        number for all that the photo shows. A number may be wholly covered.
    """
    size = photo_animals.shape
    cut_outs = cut_outs[:MAX_ANIMALS]
    extent = np.exp(rng.uniform(*np.log(_EXTENT))) * min(size)
    layers: list[_Layer] = []
    for cut_out in cut_outs:
        layers.append(_place(cut_out, layers, size, extent, augmentation, rng))
    canvas = photo
    of_photo = (photo_animals > 0) & (photo_animals != VOID)
    animals = np.where(photo_animals == VOID, VOID, of_photo * (len(layers) + 1)).astype(np.uint8)
    for index in rng.permutation(len(layers)):
        canvas, animals = _paste(canvas, animals, layers[index], int(index) + 1)
    return canvas, animals


def with_numbers_of_photo(animals: np.ndarray, of_photo: np.ndarray, count: int) -> np.ndarray:
    """A composite in which the photo's own animals have numbers of their own again.

    Args:
        animals: uint8 (h, w), of `compose`.
        of_photo: uint8 (h, w), the photo's animals before that.
        count: how many animals were pasted.

    Returns: uint8 (h, w); beyond `count`, the numbers of the photo follow.
    """
    shifted = of_photo.astype(int) + count
    shifted[shifted > UNNUMBERED] = UNNUMBERED
    return np.where(animals == count + 1, shifted, animals).astype(np.uint8)


def _place(cut_out, layers, size, extent, augmentation, rng):
    """Puts an animal beside one of those that are there, so that the two overlap by a drawn share
    of the smaller."""
    scale = extent * np.exp(rng.uniform(-_SIZE_SPREAD, _SIZE_SPREAD)) / max(cut_out.target.shape)
    linear = draw_turn(scale, _ROTATION_DEGREES, augmentation.flip, rng)
    # Doubles that nothing but their place tells apart are half of the matter.
    is_recoloured = rng.random() < 0.5
    look = change_appearance(cut_out.image, augmentation, rng) if is_recoloured else cut_out.image
    sides = np.array(size[::-1], "float64")
    if not layers:
        return _Layer(cut_out, linear, rng.uniform(0.25, 0.75, 2) * sides, look)
    neighbour = layers[rng.integers(len(layers))]
    beside = _coarse_mask(neighbour, size)
    wanted = 0.0 if rng.random() < _APART else rng.uniform(0, _MAX_OVERLAP)
    for _ in range(4):  # until it is on the crop
        direction = rng.uniform(0, 2 * np.pi)
        step = np.array([np.cos(direction), np.sin(direction)])
        near, far = 0.0, 1.5 * extent + max(neighbour.cut_out.target.shape) * _scale_of(neighbour)
        for _ in range(_SEARCH_STEPS):
            distance = (near + far) / 2
            layer = _Layer(cut_out, linear, neighbour.place + distance * step, look)
            if _overlap(_coarse_mask(layer, size), beside) > wanted:
                near = distance
            else:
                far = distance
        layer = _Layer(cut_out, linear, neighbour.place + far * step, look)
        if ((layer.place > 0.05 * sides) & (layer.place < 0.95 * sides)).all():
            break
    return layer


def _scale_of(layer):
    return float(np.sqrt(abs(np.linalg.det(layer.linear))))


def _coarse_mask(layer, size):
    coarse = (max(1, size[1] // _COARSE), max(1, size[0] // _COARSE))
    mask = (layer.cut_out.target == 1).astype(np.uint8)
    return cv2.warpAffine(mask, layer.matrix(1 / _COARSE), coarse, flags=cv2.INTER_NEAREST) > 0


def _overlap(one, other):
    smaller = min(np.count_nonzero(one), np.count_nonzero(other))
    return np.count_nonzero(one & other) / smaller if smaller else 0.0


def _paste(canvas, animals, layer, number):
    """Sets an animal in front, with soft edges."""
    matrix = layer.matrix()
    image = cv2.warpAffine(
        layer.look, matrix, animals.shape[::-1],
        flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    animals, alpha = lay_over(animals, layer.cut_out.target, matrix, number)
    return np.round(alpha * image + (1 - alpha) * canvas).astype(np.uint8), animals


def visible_numbers(animals: np.ndarray, min_share: float = MIN_VISIBLE) -> list[int]:
    """The numbers of the animals that cover at least a share of the crop, in increasing order."""
    enough = min_share * animals.size
    return [n for n in numbers_in(animals) if np.count_nonzero(animals == n) >= enough]
