"""Long videos: what looks like a frame that the network has seen need not be seen by it again.

Its probability is taken over from the last frame that the network saw, if the two look alike around
the animal but for the noise of the sensor, or after one shift of the picture that the optical flow
has found. A frame whose turn it is to be segmented as a whole has to be alike as a whole; so has
every frame as long as the animal is lost, since it may come back anywhere.

How many frames in a row are taken over follows from the error: the network sees some of them all
the same, and the masks are compared. The distance that proved right is doubled, one that proved
wrong is halved. All of it depends on the frames and probabilities alone, so that a run that is
continued decides as the run that was cut off.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from utils.media.regions import Rectangle, rectangle_around
from utils.stage3.motion import BLUR_PX, Motion
from utils.stage3.settings import Stillness

MIN_SHIFT_PX = 0.2  # a smaller one is none
UNLIKE = 10_000  # grey level of what was out of sight: like nothing in a frame


@dataclass(frozen=True)
class NextFrame:
    """A frame on the way out from a label.

    Attributes:
        index: of the frame.
        grey: uint8 (h, w), at working size.
        motion: from this frame to that of the call before.
        expected: bool (h, w), where the animal is expected; None while it is lost.
        is_in_doubt: whether the animal may be somewhere else.
    """

    index: int
    grey: np.ndarray
    motion: Motion | None
    expected: np.ndarray | None
    is_in_doubt: bool = False


@dataclass(frozen=True)
class SeenFrame:
    """The last frame that the network saw.

    Attributes:
        index: of the frame.
        soft: float32 (h, w), grey and blurred.
        probability: uint8 (H, W), 0..255, at fine size.
        is_whole: whether the network saw it outside of the window as well.
    """

    index: int
    soft: np.ndarray
    probability: np.ndarray
    is_whole: bool


class StillFrames:
    """Follows one animal past frames that the network need not see.

    Args:
        settings: see `Stillness`.
        margin: pixels at working size around the animal in which nothing may move.
        threshold: probability above which a pixel is animal.

    Attributes:
        num_seen: frames that the network saw so far, in this run or before it was cut off.
    """

    def __init__(self, settings: Stillness, margin: int, threshold: float):
        self.settings = settings
        self.margin = margin
        self.threshold = threshold
        self.num_seen = 0
        self._seen: SeenFrame | None = None
        self._interval = settings.first_interval
        self._last_index: int | None = None
        self._shift: np.ndarray | None = None  # to the frame seen; None: not known

    def __call__(
        self,
        frame: NextFrame,
        look: Callable[[], np.ndarray],
        *,
        is_whole: bool,
        must_look: bool = False,
    ) -> np.ndarray:
        """The probability in the next frame, uint8 (H, W).

        Args:
            frame: what is known of it.
            look: shows it to the network.
            is_whole: whether it is its turn to be segmented outside of the window as well.
            must_look: whatever it looks like.
        """
        if self._last_index is None or abs(frame.index - self._last_index) != 1:
            self._seen = None  # another way out from a label begins
        self._last_index = frame.index
        soft = cv2.GaussianBlur(frame.grey.astype("float32"), (0, 0), BLUR_PX)
        is_lost = frame.expected is None
        is_whole = is_whole or is_lost
        seen, guess, is_explained, distance = self._seen, None, False, 0
        if seen is not None and (is_lost or frame.expected.any()):
            everywhere = Rectangle(0, 0, *soft.shape)
            area = everywhere if is_lost else rectangle_around(frame.expected, self.margin)
            self._add_shift(frame.motion, area)
            guess = self._guess(seen, soft, area)
            # Newcomers are to be seen far away from the animal as well.
            is_explained = not is_whole or (seen.is_whole and self._is_same(seen.soft, soft))
            distance = abs(frame.index - seen.index)
        if guess is not None and is_explained and distance < self._interval and not must_look:
            return seen.probability if is_whole else guess
        probability = look()
        self.num_seen += 1
        if guess is not None:
            self._judge(guess, _within(probability, area, soft.shape), distance)
        self._seen, self._shift = SeenFrame(frame.index, soft, probability, is_whole), np.zeros(2)
        return probability

    def _add_shift(self, motion, area):
        """How far the surroundings have moved since the frame seen, if the flow says so clearly."""
        if motion is None or self._shift is None:
            self._shift = None
        elif motion.reliable[area.slices].mean() < self.settings.min_reliable:
            self._shift = None
        else:
            self._shift = self._shift + np.median(motion.flow[area.slices], axis=(0, 1))

    def _guess(self, seen: SeenFrame, soft: np.ndarray, area: Rectangle) -> np.ndarray | None:
        """The probability in the area if the frame seen explains what is there."""
        if self._is_same(seen.soft[area.slices], soft[area.slices]):
            return _within(seen.probability, area, soft.shape)
        if self._shift is None or np.abs(self._shift).max() < MIN_SHIFT_PX:
            return None
        moved = _shifted(seen.soft, self._shift, border=UNLIKE)
        if not self._is_same(moved[area.slices], soft[area.slices]):
            return None
        scale = np.array(seen.probability.shape[::-1]) / soft.shape[::-1]
        return _within(_shifted(seen.probability, self._shift * scale), area, soft.shape)

    def _is_same(self, one: np.ndarray, other: np.ndarray) -> bool:
        return bool(np.abs(one - other).max() <= self.settings.max_difference)

    def _judge(self, guess: np.ndarray, probability: np.ndarray, distance: int) -> None:
        """Sets the interval by the error that taking over would have caused."""
        one, other = (x > self.threshold * 255 for x in (guess, probability))
        union = np.count_nonzero(one | other)
        if np.count_nonzero(one & other) >= self.settings.min_iou * union:
            longer = min(2 * distance, self.settings.max_interval)
            self._interval = max(self._interval, longer)
        else:
            self._interval = max(1, distance // 2)


def _shifted(values: np.ndarray, shift: np.ndarray, border: float = 0) -> np.ndarray:
    """Each pixel gets the value that is `shift` pixels (right, down) away."""
    matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], "float64")
    return cv2.warpAffine(
        values, matrix, values.shape[::-1],
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT, borderValue=border,
    )  # fmt: skip


def _within(probability: np.ndarray, area: Rectangle, size: tuple[int, int]) -> np.ndarray:
    """A probability at fine size, with 0 outside of an area of a frame of another size."""
    down, across = (fine / side for fine, side in zip(probability.shape, size, strict=True))
    rows = slice(int(area.top * down), int(np.ceil(area.bottom * down)))
    columns = slice(int(area.left * across), int(np.ceil(area.right * across)))
    kept = np.zeros_like(probability)
    kept[rows, columns] = probability[rows, columns]
    return kept
