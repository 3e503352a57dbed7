"""Draws animals over frames: cut out, placed, bent from frame to frame, one behind the other.

Not a benchmark itself; see look_alikes.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from utils.training.augmentation import fill_object

PADDING = 0.15  # of a cut-out's longer side, around it: room to bend
DETAIL_SIGMA = 4  # px; finer structures are copied into a filled area


@dataclass(frozen=True)
class CutOut:
    """One animal, cut out of an image.

    Attributes:
        image: uint8 (h, w, 3) RGB; around the animal its own colours continue.
        opacity: float32 (h, w), 0..1.
        feet: x and y in px, the lowest row below the animal's centre of mass.
    """

    image: np.ndarray
    opacity: np.ndarray
    feet: tuple[float, float]


@dataclass(frozen=True)
class Layer:
    """One animal on the frame.

    Attributes:
        image: uint8 (H, W, 3) RGB.
        opacity: float32 (H, W), 0..1.
        number: of the animal.
    """

    image: np.ndarray
    opacity: np.ndarray
    number: int


@dataclass(frozen=True)
class Bending:
    """How a body moves, each number drawn at random; all amplitudes are shares of its width.

    Attributes:
        body: of the smooth bending of the whole body.
        legs: of the swing of what is low.
        period: of a step, frames.
        phases: (2, 4, 4) of the points of a grid over the body, radians.
    """

    body: float
    legs: float
    period: float
    phases: np.ndarray


def cut_out(image: np.ndarray, mask: np.ndarray, scale: float = 1.0) -> CutOut:
    """Cuts an animal out of an image.

    Args:
        image: uint8 (H, W, 3) RGB.
        mask: bool (H, W), the animal.
        scale: size of the result.
    """
    ys, xs = np.nonzero(mask)
    top, left, bottom, right = ys.min(), xs.min(), ys.max() + 1, xs.max() + 1
    size = max(2, round((right - left) * scale)), max(2, round((bottom - top) * scale))
    room = round(PADDING * max(size))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    inside = mask[top:bottom, left:right].astype("float32")
    colours = _continue_colours(image[top:bottom, left:right], inside)
    image = cv2.copyMakeBorder(
        cv2.resize(colours, size, interpolation=method), *[room] * 4, cv2.BORDER_REPLICATE
    )
    opacity = cv2.copyMakeBorder(
        cv2.resize(inside, size, interpolation=method), *[room] * 4, cv2.BORDER_CONSTANT
    )
    return CutOut(image, opacity, (room + (xs.mean() - left) * scale, room + size[1] - 1.0))


def recolour(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another individual: a little lighter or darker, and of a slightly different tint."""
    gain = rng.uniform(0.85, 1.05) * rng.uniform(0.97, 1.03, 3)
    return np.clip(image * gain, 0, 255).astype("uint8")


def draw_bending(rng: np.random.Generator, body: float, legs: float, speed: float) -> Bending:
    """Draws how a body bends; `speed` is the number of the video's frames that pass per frame."""
    period = rng.uniform(10, 16) / speed
    return Bending(body, legs, period, rng.uniform(0, 2 * np.pi, (2, 4, 4)))


def place(
    cut: CutOut, at: tuple[float, float], scale: float, mirrored: bool, degrees: float = 0.0
) -> np.ndarray:
    """The 2x3 matrix from a cut-out to the frame that puts its feet at `at` (x, y in px)."""
    cos, sin = scale * np.cos(np.deg2rad(degrees)), scale * np.sin(np.deg2rad(degrees))
    sign = -1.0 if mirrored else 1.0
    linear = np.array([[sign * cos, -sin], [sign * sin, cos]])
    return np.hstack([linear, (np.array(at) - linear @ cut.feet)[:, None]])


def draw(
    cut: CutOut,
    matrix: np.ndarray,
    size: tuple[int, int],
    number: int,
    bending: Bending | None = None,
    time: float = 0.0,
) -> Layer:
    """Draws a cut-out on an empty frame.

    Args:
        cut: the animal.
        matrix: as `place` returns it.
        size: height and width of the frame.
        number: of the animal.
        bending: how it moves; None leaves its shape.
        time: frames since the first one.
    """
    height, width = size
    inverse = cv2.invertAffineTransform(matrix.astype("float32"))
    x, y = np.meshgrid(np.arange(width, dtype="float32"), np.arange(height, dtype="float32"))
    source = np.stack([x, y], axis=-1) @ inverse[:, :2].T + inverse[:, 2]
    if bending is not None:
        field = _bend(cut, bending, time)
        source = source + cv2.remap(field, source.astype("float32"), None, cv2.INTER_LINEAR)
    source = source.astype("float32")
    image = cv2.remap(cut.image, source, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    opacity = cv2.remap(cut.opacity, source, None, cv2.INTER_LINEAR)
    return Layer(image, soften(opacity), number)


def compose(frame: np.ndarray, layers: Sequence[Layer]) -> tuple[np.ndarray, np.ndarray]:
    """Draws animals over a frame, with soft outlines.

    Args:
        frame: uint8 (H, W, 3) RGB.
        layers: from the last to the first, as seen from the camera.

    Returns: uint8 (H, W, 3) RGB, and uint8 (H, W), the number of the animal that each pixel shows.
    """
    result = frame.astype("float32")
    numbers, seams = np.zeros(frame.shape[:2], "uint8"), np.zeros((*frame.shape[:2], 1))
    for layer in layers:
        opacity = layer.opacity[..., None]
        result = result * (1 - opacity) + layer.image * opacity
        seams = np.maximum(seams * (1 - opacity), 4 * opacity * (1 - opacity))
        numbers[layer.opacity > 0.5] = layer.number
    # One seam looks like the other, whether the animal was pasted or was there.
    result = result * (1 - seams) + cv2.GaussianBlur(result, (0, 0), 0.8) * seams
    return np.clip(np.round(result), 0, 255).astype("uint8"), numbers


def soften(opacity: np.ndarray) -> np.ndarray:
    """A mask (H, W) with a soft outline, float32, of which the same pixels are more than half
    opaque."""
    opacity = opacity.astype("float32")
    soft = cv2.GaussianBlur(opacity, (3, 3), 0.7)
    return np.where(opacity > 0.5, np.maximum(soft, 0.51), np.minimum(soft, 0.49))


def empty_scene(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """An image without its animals, uint8 (H, W, 3).

    `fill_object` gives the colours, and the rest of the image the fine structures: a smooth spot
    would say where an animal was.
    """
    filled = fill_object(image, mask.astype("uint8"))
    if not mask.any():
        return filled
    covered = cv2.dilate(mask.astype("uint8"), np.ones((9, 9), "uint8"))
    detail = image.astype("float32") - cv2.GaussianBlur(image, (0, 0), DETAIL_SIGMA)
    width = np.ptp(np.flatnonzero(covered.any(0))) + 1
    best = min(
        (np.roll(covered, shift, 1)[covered > 0].sum(), abs(shift), shift)
        for shift in range(-2 * width, 2 * width + 1, max(1, width // 4))
    )[2]
    detail = np.roll(np.where(covered[..., None] > 0, 0, detail), best, axis=1)
    share = cv2.GaussianBlur(covered.astype("float32"), (9, 9), 0)[..., None]
    return np.clip(filled + share * detail, 0, 255).astype("uint8")


def _bend(cut: CutOut, bending: Bending, time: float) -> np.ndarray:
    """Where each pixel of the cut-out comes from, relative to its place: float32 (h, w, 2), px."""
    height, width = cut.opacity.shape
    turn = 2 * np.pi * time / bending.period
    grid = np.sin(0.5 * turn + bending.phases).astype("float32") * bending.body * width
    field = np.dstack([cv2.resize(g, (width, height), interpolation=cv2.INTER_CUBIC) for g in grid])
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    low = np.clip((y - 0.5) / 0.5, 0, 1)
    # Legs side by side swing against each other.
    field[..., 0] += bending.legs * width * low * np.sin(turn + 2 * np.pi * x / 0.4)
    return field.astype("float32")


def _continue_colours(image: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Sets the colours of what is inside around it: no rim of the old background remains."""
    core = cv2.erode(inside, np.ones((3, 3), "uint8"))
    core = core if core.any() else inside
    result = image.astype("float32")
    known = core[..., None]
    for sigma in (9, 4, 2):
        weight = cv2.GaussianBlur(core, (0, 0), sigma)[..., None]
        mean = cv2.GaussianBlur(image * known, (0, 0), sigma) / np.maximum(weight, 1e-6)
        result = np.where((known > 0) | (weight < 1e-3), result, mean)
    return np.clip(result, 0, 255).astype("uint8")
