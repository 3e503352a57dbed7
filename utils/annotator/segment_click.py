"""From clicks or a box to the animal's outline: what the network sees there, refined by GrabCut.

This is how clicks are answered where there is no prompted network (`prompted_segmenter.py`).

The network says how probable an animal is in each pixel of a window around it, clicks overrule it
where they are, and cv2.grabCut (Rother et al., SIGGRAPH 2004) decides by colours and edges what
neither is sure of. Once there is a mask, a click changes its neighbourhood only. Without a network
the first click or box and the colours have to do.

IoU in per cent after 1, 2, 3 and 5 simulated clicks, each in the middle of the largest error, and
of a box around the animal:

                                           1     2     3     5     box
    12 images of stage 1's validation    90.1  90.4  91.3  91.9   90.1
      without the network                71.6  79.2  81.7  85.3   79.3
    3 frames of the bundled sample       95.7  96.9  96.7  97.8   95.7
      without the network                50.2  69.8  83.4  93.2   65.0

The images are three each of horses, Caltech-101, house cats and butterflies; the network is that
of stage 1, and windows had 384 pixels.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from utils.annotator.click_cut import cut_out
from utils.annotator.click_marks import (
    SEED_RADIUS,
    SURE_ANIMAL,
    Marks,
    WindowMarks,
    choose_window,
    disk,
    marks_in_window,
    work_size,
)
from utils.media.images import resize_image
from utils.media.regions import Rectangle, touching
from utils.stage3.animal_grouping import InstanceMaps

PROBABILITIES_KEPT = 16
# uint8 (h, w, 3) RGB -> float32 (h, w), probability of an animal, 0..1.
Predict = Callable[[np.ndarray], np.ndarray]

# Small parts that a negative click separates from the animal are removed as well: up to a share of
# the mask, within a share of the window's diagonal from the click.
_MAX_CUT_OFF_SHARE, _CUT_OFF_REACH = 0.02, 0.1


class RecentWindows:
    """Keeps what a network saw in the windows that were looked at last.

    Args:
        max_kept: number of windows.
    """

    def __init__(self, max_kept: int) -> None:
        self._max_kept = max_kept
        self._seen: OrderedDict[tuple[Hashable, Rectangle], Any] = OrderedDict()

    def get(self, frame: Hashable, window: Rectangle, look: Callable[[], Any]) -> Any:
        """What `look` returned for this window of this frame; it is called if that is not kept."""
        key = (frame, window)
        if key not in self._seen:
            self._seen[key] = look()
        self._seen.move_to_end(key)
        while len(self._seen) > self._max_kept:
            self._seen.popitem(last=False)
        return self._seen[key]


class ClickSegmenter:
    """Segments what clicks and boxes mark; keeps the network's answers for the last windows."""

    knows_animals = False

    def __init__(self, predict: Predict | None = None) -> None:
        self._predict = predict
        self._probabilities = RecentWindows(PROBABILITIES_KEPT)

    def segment(self, frame: int, image: np.ndarray, marks: Marks) -> np.ndarray:
        """The animal that clicks and a box mark.

        A positive click adds to the mask so far and takes nothing away.

        Args:
            frame: tells images apart.
            image: uint8 (H, W, 3) RGB.
            marks: of one animal in this image.

        Returns: uint8 (H, W), 1 = animal.
        """
        return segment_in_windows(
            marks, lambda window, marks: self._segment_in(window, frame, image, marks)
        )

    def look(self, frame: int, image: np.ndarray) -> np.ndarray:
        """How probable an animal is, whichever it is, before anything is clicked.

        Args:
            frame: tells images apart.
            image: uint8 (H, W, 3) RGB.

        Returns: float32 (h, w), 0..1, at `work_size` of the frame; without a network, 0.
        """
        small = resize_image(image, *work_size(*image.shape[:2]))
        probability = self._probability(frame, whole_frame(image), small)
        return np.zeros(small.shape[:2], np.float32) if probability is None else probability

    def prepare_look_apart(self) -> None:
        """Loads what `look_apart` needs and looks once. Clicks may be answered meanwhile."""

    def look_apart(self, frame: int, image: np.ndarray) -> InstanceMaps | None:
        """As `look`, with what tells animals that touch from each other; None where nothing does,
        as here.

        Args:
            frame: tells images apart.
            image: uint8 (H, W, 3) RGB.
        """
        return None

    def follow(
        self,
        frame: int,
        image: np.ndarray,
        labels: np.ndarray,
        animals: Collection[int] | None = None,
        one_window: bool = False,
    ) -> np.ndarray:
        """Where the animals of an earlier frame are now.

        Args:
            frame: tells images apart.
            image: uint8 (H, W, 3) RGB.
            labels: uint8 (H, W), 0 background, 1..N animals, about where they are.
            animals: those that are asked for; None: all of them.
            one_window: whether animals that touch are looked at in one window, which saves time,
                and not each in its own.

        Returns: uint8 (H, W), these animals; here, as in `labels`, since this network does not know
            which animal is meant.
        """
        if animals is None:
            return labels
        return np.where(np.isin(labels, list(animals)), labels, np.uint8(0))

    def _segment_in(
        self, window: Rectangle, frame: int, image: np.ndarray, marks: Marks
    ) -> np.ndarray:
        small = resize_image(image[window.slices], *marks.work_size)
        seen = marks_in_window(marks, window)
        probability = _if_seen(self._probability(frame, window, small), seen)
        is_local = bool(marks.current.any()) and (marks.is_given or probability is not None)
        found = cut_out(small, probability, seen, is_local=is_local)
        return _merge(found, window, marks, is_local=is_local)

    def _probability(self, frame: int, window: Rectangle, small: np.ndarray) -> np.ndarray | None:
        if self._predict is None:
            return None
        return self._probabilities.get((frame, small.shape), window, lambda: self._predict(small))


def whole_frame(image: np.ndarray) -> Rectangle:
    """The window of an image, (H, W, 3), that shows all of it."""
    return Rectangle(0, 0, *image.shape[:2])


def segment_in_windows(
    marks: Marks, segment_in: Callable[[Rectangle, Marks], np.ndarray]
) -> np.ndarray:
    """Segments in the window of the marks and, if the animal is small, once more in a closer one.

    Args:
        marks: of one animal.
        segment_in: from a window and marks to a mask of the frame's size, bool.

    Returns: uint8 (H, W), 1 = animal.
    """
    if marks.current.any():
        # The box was used for that mask, and a later click may be outside of it.
        marks = replace(marks, box=None)
    window = choose_window(marks, marks.current)
    result = segment_in(window, marks)
    closer = choose_window(marks, result)
    result = result.astype(np.uint8)
    if closer.area < window.area / 2:  # a small animal: once more, with more of its pixels
        again = segment_in(closer, marks).astype(np.uint8)
        if not marks.clicks or marks.clicks[-1].is_positive:
            return again
        # Beyond them it is the mask so far, of which the first answer has taken something away.
        result[closer.slices] = again[closer.slices]
    return result


def _if_seen(probability: np.ndarray | None, marks: WindowMarks) -> np.ndarray | None:
    """The probability, unless the network does not see at all what is meant."""
    if probability is None or marks.current.any():
        return probability
    area, share = (marks.inside, 0.25) if marks.inside.any() else (~marks.outside, 0.05)
    return probability if (probability[area] > 0.5).mean() > share else None


def _merge(found: np.ndarray, window: Rectangle, marks: Marks, *, is_local: bool) -> np.ndarray:
    """Keeps of what was found in the window, float32 (h, w), the parts that are meant.

    Returns: bool (H, W), with the mask so far outside of the window.
    """
    before, limits = marks.current[window.slices], marks.sure[window.slices]
    found = resize_image(found, *before.shape) > 0.5
    spots, places = click_spots(marks, window)
    found = (found & (limits == 0)) | (limits == SURE_ANIMAL)
    meant = limits == SURE_ANIMAL
    for click, spot in zip(marks.clicks, spots, strict=True):
        found = found | spot if click.is_positive else found & ~spot
        meant = meant | spot if click.is_positive else meant
    anchors = meant | before
    found = touching(found, anchors) if anchors.any() else large_components(found)
    if before.any() and marks.clicks:
        is_positive = marks.clicks[-1].is_positive
        if is_positive:
            # Whatever the colours say: who adds a leg does not want to lose the tail.
            found = found | before
        if is_local:
            found = before ^ touching(found != before, spots[-1])
        if not is_positive:
            found = found & ~_cut_off_parts(found, before, meant, places[-1])
    result = marks.current.copy()
    result[window.slices] = found
    return result


def click_spots(
    marks: Marks, window: Rectangle
) -> tuple[list[np.ndarray], list[tuple[float, float]]]:
    """What the clicks say for sure: a few pixels each, bool of the window's size; and where they
    are in the window, x and y."""
    height, width = window.shape
    radius = max(1, round(SEED_RADIUS / 3 * float(np.hypot(height, width))))
    places = [(click.x - window.left, click.y - window.top) for click in marks.clicks]
    return [disk(height, width, *place, radius=radius) for place in places], places


def _cut_off_parts(
    found: np.ndarray, before: np.ndarray, meant: np.ndarray, place: tuple[float, float]
) -> np.ndarray:
    """What a negative click cut off the animal nearby.

    Args:
        found, before, meant: bool (h, w): the mask now, the mask before the click, and the pixels
            that a person marked as the animal.
        place: x and y of the click.

    Returns:
        bool (h, w), small parts of `found` that were connected with more in `before`, and that
        nobody marked.
    """
    count, components, stats, _ = cv2.connectedComponentsWithStats(found.astype(np.uint8))
    if count < 3:  # with the background: one part at most
        return np.zeros_like(found)
    areas = stats[:, cv2.CC_STAT_AREA]
    is_small = areas < _MAX_CUT_OFF_SHARE * found.sum()
    is_small[0] = is_small[1 + np.argmax(areas[1:])] = False
    reach = round(_CUT_OFF_REACH * float(np.hypot(*found.shape)))
    near = disk(*found.shape, *place, radius=reach)
    cut_off = touching(is_small[components], near) & ~touching(found, meant)
    return cut_off & large_components(before, _MAX_CUT_OFF_SHARE)


def large_components(mask: np.ndarray, share: float = 0.05) -> np.ndarray:
    """The connected components that have at least a share of the mask."""
    components, areas = cv2.connectedComponentsWithStats(mask.astype(np.uint8))[1:3]
    keep = areas[:, cv2.CC_STAT_AREA] >= share * max(1, mask.sum())
    keep[0] = False
    return keep[components]
