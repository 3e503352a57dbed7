"""What a person marked in a frame to have an animal found: clicks, a box, and drawn pixels."""

from dataclasses import dataclass

import cv2
import numpy as np

from utils.media.images import resize_image, scaled_size
from utils.media.regions import Rectangle

# Of a window at the size at which it is worked on, the longer side: a share of the frame's, at
# least and at most so many pixels. Before the animal is known, context counts; then its outline.
_FIRST_LOOK = (0.64, 384, 544)
_FINE_LOOK = (1.0, 384, 854)
SURE_ANIMAL, SURE_BACKGROUND, OTHER_ANIMAL = 1, 2, 3
Box = tuple[float, float, float, float]  # left, top, right, bottom, in pixels of the frame

_PARTS = (0.125, 0.25, 0.375, 0.5, 0.75)  # of the frame's sides that a window may have, and all
SEED_RADIUS = 0.012  # of the window's diagonal: what a click says for sure
_GUESS_RADIUS = 0.2  # of its shorter side: what may be the animal around a click, without a network


@dataclass(frozen=True)
class Click:
    """A place in the frame, in pixels from its upper left corner, and whether the animal is
    there."""

    x: float
    y: float
    is_positive: bool


@dataclass(frozen=True, eq=False)
class Marks:
    """All that is known about one animal in a frame.

    Attributes:
        clicks: in the order in which they were made; may be empty if there is a box.
        box: around the animal, or None; it counts as long as there is no mask.
        current: bool (H, W), the mask so far; all False to start over.
        sure: uint8 (H, W): SURE_ANIMAL and SURE_BACKGROUND where a person drew it; OTHER_ANIMAL,
            which may look just like this one, where one was labelled; else 0. Only a click right
            on it outweighs it.
        is_given: whether `current` was there before the first click (read from a file, drawn): it
            is trusted.
    """

    clicks: list[Click]
    box: Box | None
    current: np.ndarray
    sure: np.ndarray
    is_given: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the frame."""
        return self.current.shape

    @property
    def work_size(self) -> tuple[int, int]:
        """Height and width at which a window of the frame is worked on."""
        return work_size(*self.size, is_known=bool(self.current.any()))


@dataclass(frozen=True, eq=False)
class WindowMarks:
    """The marks in a window, at the size (h, w) at which it is worked on.

    Attributes:
        clicks: x, y and whether it is positive.
        seed_radius: in pixels.
        inside, outside: bool (h, w), what is sure.
        current: bool (h, w), the mask so far.
        guess: bool (h, w), a first one without a network: the ellipse in the box, since boxes have
            background in their corners, or what is near positive clicks.
        is_given: as in `Marks`.
    """

    clicks: list[tuple[float, float, bool]]
    seed_radius: int
    inside: np.ndarray
    outside: np.ndarray
    current: np.ndarray
    guess: np.ndarray
    is_given: bool


def work_size(height: int, width: int, is_known: bool = False) -> tuple[int, int]:
    """Height and width at which all windows of a frame are worked on: they have its shape.

    Args:
        height, width: of the frame.
        is_known: whether there is a mask of the animal, which is then made finer.
    """
    share, least, most = _FINE_LOOK if is_known else _FIRST_LOOK
    longer = max(height, width)
    scale = min(most, max(least, share * longer)) / longer
    return scaled_size(height, width, scale)


def choose_window(marks: Marks, mask: np.ndarray) -> Rectangle:
    """The part of the frame to look at: the animal as far as it is known, with much around it; the
    whole frame at the first click. Sizes and places are few, so that most clicks share one.

    Args:
        marks: its box counts before the mask.
        mask: bool (H, W), the animal as far as it is known.
    """
    height, width = marks.size
    if marks.box is not None:
        left, top, right, bottom = marks.box
    elif mask.any():
        left, top, across, down = cv2.boundingRect(mask.astype(np.uint8))
        right, bottom = left + across, top + down
    else:
        return Rectangle(0, 0, height, width)
    for click in marks.clicks:
        left, right = min(left, click.x), max(right, click.x)
        top, bottom = min(top, click.y), max(bottom, click.y)
    share = 1.6 * max((right - left) / width, (bottom - top) / height)
    part = next((part for part in _PARTS if part >= share), 1.0)
    x, across = _span((left + right) / 2, part, width)
    y, down = _span((top + bottom) / 2, part, height)
    return Rectangle(y, x, y + down, x + across)


def _span(middle: float, part: float, total: int) -> tuple[int, int]:
    """Begin and length of a part of a side around a place, begun at an eighth of that length."""
    length = max(1, round(part * total))
    step = max(1, length // 8)
    begin = round((middle - length / 2) / step) * step
    return min(max(begin, 0), total - length), length


def marks_in_window(marks: Marks, window: Rectangle) -> WindowMarks:
    """The marks in a window, at `Marks.work_size`."""
    height, width = marks.work_size
    scale_x = width / (window.right - window.left)
    scale_y = height / (window.bottom - window.top)

    def shrink(mask: np.ndarray) -> np.ndarray:
        return resize_image(mask[window.slices].astype(np.float32), height, width) > 0.5

    radius = max(2, round(SEED_RADIUS * float(np.hypot(height, width))))
    places, seeds = [], np.zeros((height, width), np.int8)
    for click in marks.clicks:  # where two meet, the later one counts
        x, y = (click.x - window.left) * scale_x, (click.y - window.top) * scale_y
        places.append((x, y, click.is_positive))
        seeds[disk(height, width, x, y, radius=radius)] = 1 if click.is_positive else -1
    sure = marks.sure
    inside = (shrink(sure == SURE_ANIMAL) & (seeds >= 0)) | (seeds > 0)
    outside = shrink((sure == SURE_BACKGROUND) | (sure == OTHER_ANIMAL)) | (seeds < 0)
    guess = np.zeros((height, width), bool)
    near = max(1, round(_GUESS_RADIUS * min(height, width)))
    for x, y, is_positive in places:
        if is_positive:
            guess |= disk(height, width, x, y, radius=near)
    if marks.box is not None:
        left, right = ((x - window.left) * scale_x for x in marks.box[0::2])
        top, bottom = ((y - window.top) * scale_y for y in marks.box[1::2])
        y, x = np.mgrid[:height, :width] + 0.5
        x = (2 * x - left - right) / max(2.0, right - left)  # -1..1 in the box
        y = (2 * y - top - bottom) / max(2.0, bottom - top)
        outside |= (abs(x) > 1.02) | (abs(y) > 1.02)
        guess = x**2 + y**2 < 0.8
    outside &= ~inside
    return WindowMarks(
        places, radius, inside, outside, shrink(marks.current), guess, marks.is_given
    )


def disk(height: int, width: int, x: float, y: float, *, radius: int) -> np.ndarray:
    """bool (height, width), the pixels near (x, y). The pixel at (x, y) is one of them, even if
    that is on the right or lower border."""
    centre = min(int(x), width - 1), min(int(y), height - 1)
    return cv2.circle(np.zeros((height, width), np.uint8), centre, radius, 1, -1) > 0
