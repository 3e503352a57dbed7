"""Looking at the animal from near: the network sees a window around it, enlarged.

Most of a frame shows no animal, and a small animal is a few cells of the network's grid. A window
around the animal costs less than the frame, and enlarged it gives a sharper outline. The window
reaches as far as the temporal filter would accept a region. What is farther away is seen in every
few frames, and at once when the animal reaches the window's edge, is lost, or may be another one.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from utils.media.images import resize_image, resize_labels
from utils.media.regions import Rectangle, rectangle_around, touching
from utils.stage3.inference import Network, predict_probability
from utils.stage3.settings import Window

EDGE_PX = 6  # what comes so close to an edge of the window may continue outside of it
CELL_PX = 32  # the network's sides are multiples of it: few shapes, and no cell goes to padding


def choose_zoom(masks: Sequence[np.ndarray], settings: Window) -> float:
    """How much an animal is enlarged: so much that its window has `Window.pixels` pixels.

    Args:
        masks: bool (h, w) at working size, the animal in its labelled frames; none is empty.
        settings: see `Window`.

    Returns: 1 to `Window.max_zoom`, relative to working size.
    """
    margin = round(settings.margin * np.hypot(*masks[0].shape))
    area = max(rectangle_around(mask, margin).area for mask in masks)
    return float(np.clip(np.sqrt(settings.pixels / area), 1, settings.max_zoom))


class WindowedView:
    """Segments one animal, frame by frame, mostly in a window around it.

    Args:
        model: the network.
        read: gives a frame, uint8 (H, W, 3) RGB, all of one size.
        size: height and width of these frames.
        lines: what zooms are relative to: the shorter side of frames at working size.
        zoom: of the animal, see `choose_zoom`.
        settings: see `Window`.
        threshold: probability above which a pixel is animal.
        flip: average each view with its mirror image.
    """

    def __init__(
        self,
        model: Network,
        read: Callable[[int], np.ndarray],
        size: tuple[int, int],
        *,
        lines: int,
        zoom: float,
        settings: Window,
        threshold: float,
        flip: bool,
    ):
        self.model = model
        self.read = read
        self.size = size
        self.settings = settings
        self.threshold = threshold
        self.flip = flip
        self.zoom_of_animal = zoom
        # From here on zooms are relative to the frames as they are read.
        working = min(1.0, lines / min(size))
        self.zoom = zoom * working
        self.lowest_zoom = working
        self.margin = round(settings.margin * np.hypot(*size))

    def whole(self, index: int) -> np.ndarray:
        """The probability in all of a frame, float32 (H, W), 0..1."""
        height, width = self.size
        zoom = max(self.lowest_zoom, self.settings.whole_scale * self.zoom)
        image = resize_image(self.read(index), round(height * zoom), round(width * zoom))
        return resize_image(predict_probability(self.model, image, self.flip), height, width)

    def around(self, index: int, expected: np.ndarray | None, also_whole: bool) -> np.ndarray:
        """The probability around the animal.

        Args:
            index: of the frame.
            expected: bool (h, w) of any size, where the animal is expected; None or empty: it may
                be anywhere.
            also_whole: whether to segment the frame outside of the window as well.

        Returns: float32 (H, W), 0..1; 0 where nothing was looked at.
        """
        if expected is None or not expected.any():
            return self.whole(index)
        expected = resize_labels(expected.astype("uint8"), *self.size) > 0
        background = self.whole(index) if also_whole else None
        if also_whole:
            expected = expected | touching(background > self.threshold, expected)
        while True:
            box = self._box_around(expected)
            probability = np.zeros(self.size, "float32") if background is None else background
            probability[box.slices] = self._predict(index, box)
            found = touching(probability > self.threshold, expected)
            if not reaches_edge(found, box):
                return probability
            if background is None:  # the animal goes on outside of the window
                background = self.whole(index)
                seen = probability[box.slices]
                probability = background.copy()
                probability[box.slices] = seen
                found = touching(probability > self.threshold, expected)
            if not (found & ~expected).any():
                return probability
            expected = expected | found

    def _box_around(self, expected: np.ndarray) -> Rectangle:
        """The box of the expected animal with its margin, grown so that its enlarged sides are
        multiples of CELL_PX, and moved into the frame where it stands out."""
        box = rectangle_around(expected, self.margin)
        zoom = self._zoom(box)

        def grow(low, high, limit):
            side = -(-round((high - low) * zoom) // CELL_PX) * CELL_PX
            side = min(limit, int(np.ceil(side / zoom)))
            low = int(np.clip((low + high - side) // 2, 0, limit - side))
            return low, low + side

        top, bottom = grow(box.top, box.bottom, self.size[0])
        left, right = grow(box.left, box.right, self.size[1])
        return Rectangle(top, left, bottom, right)

    def _zoom(self, box: Rectangle) -> float:
        """Less than the animal's own zoom where it has grown so much that its window would become
        too expensive."""
        limit = np.sqrt(self.settings.growth * self.settings.pixels / box.area)
        return float(np.clip(limit, self.lowest_zoom, self.zoom))

    def _predict(self, index: int, box: Rectangle) -> np.ndarray:
        """The probability in a box, float32 (box's height, box's width)."""
        zoom = self._zoom(box)
        height, width = (-(-round(side * zoom) // CELL_PX) * CELL_PX for side in box.shape)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        to_frame = _affine(1 / zoom, box.left, box.top)
        view = cv2.warpAffine(
            self.read(index), to_frame, (width, height), flags=flags,
            borderMode=cv2.BORDER_REFLECT_101,
        )  # fmt: skip
        probability = predict_probability(self.model, view, self.flip)
        return cv2.warpAffine(
            probability, _affine(zoom, 0, 0), box.shape[::-1], flags=flags,
            borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip


def _affine(scale: float, left: float, top: float) -> np.ndarray:
    """2x3 matrix that takes pixels' centres to a picture `scale` times as large, then moves them.

    Centres correspond: pixel x covers x to x + 1, so its centre is at x + 1/2.
    """
    half = (scale - 1) / 2
    return np.array([[scale, 0, left + half], [0, scale, top + half]], "float64")


def reaches_edge(found: np.ndarray, box: Rectangle) -> bool:
    """Whether a mask comes within EDGE_PX of an edge of the box inside the frame.

    Args:
        found: bool (H, W), of the frame.
        box: of the frame.
    """
    inner = found[box.slices]
    if not inner.any():
        return False
    height, width = found.shape
    near = rectangle_around(inner)
    return (
        (near.top < EDGE_PX and box.top > 0)
        or (near.left < EDGE_PX and box.left > 0)
        or (near.bottom > box.shape[0] - EDGE_PX and box.bottom < height)
        or (near.right > box.shape[1] - EDGE_PX and box.right < width)
    )
