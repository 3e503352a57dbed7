"""Looking at several animals at once: windows that are shared by those that are near each other.

One network finds all of the animals, so a pixel has to be seen once only. Animals share a window
where that has fewer pixels than a window for each. All windows are enlarged alike, so much that
together they cost about as much as the window of a single animal.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from utils.media.images import resize_image, resize_labels
from utils.media.regions import Rectangle, rectangle_around, touching
from utils.stage3.settings import Window
from utils.stage3.sharing import SHARING
from utils.stage3.window import WindowedView, reaches_edge, to_frame


@dataclass(frozen=True)
class SharedWindow:
    """A part of the frame, and the animals that are looked for in it."""

    box: Rectangle
    animals: tuple[int, ...]


def share_windows(boxes: Mapping[int, Rectangle]) -> list[SharedWindow]:
    """The fewest pixels in which all animals can be looked at, about.

    Args:
        boxes: animal -> the box that it needs.
    """
    windows = [SharedWindow(box, (animal,)) for animal, box in boxes.items()]
    while len(windows) > 1:
        saved = _saved_pixels(windows)
        first, second = divmod(int(np.argmax(saved)), len(windows))
        if saved[first, second] < 0:
            break
        one, other = windows[first], windows[second]
        both = SharedWindow(_around_both(one.box, other.box), one.animals + other.animals)
        windows = [w for w in windows if w is not one and w is not other] + [both]
    return windows


def _saved_pixels(windows):
    """By how much two windows together are larger than one around both: (n, n), of each pair once,
    else minus infinity."""
    edges = np.array([(w.box.top, w.box.left, w.box.bottom, w.box.right) for w in windows], float)
    top, left, bottom, right = edges.T
    low, high = np.minimum.outer, np.maximum.outer
    both = (high(bottom, bottom) - low(top, top)) * (high(right, right) - low(left, left))
    area = (bottom - top) * (right - left)
    saved = np.add.outer(area, area) - both
    saved[np.tril_indices(len(windows))] = -np.inf
    return saved


def _around_both(one: Rectangle, other: Rectangle) -> Rectangle:
    return Rectangle(
        min(one.top, other.top), min(one.left, other.left),
        max(one.bottom, other.bottom), max(one.right, other.right),
    )  # fmt: skip


def settings_for(settings: Window, animals: int) -> Window:
    """The settings for the windows of so many animals together."""
    return replace(settings, pixels=settings.pixels * SHARING.pixels_for(animals))


def choose_shared_zoom(frames: Sequence[Sequence[np.ndarray]], settings: Window) -> float:
    """How much several animals are enlarged: so much that their windows have `Window.pixels` pixels
    together.

    Args:
        frames: of each labelled frame, the animals in it, bool (h, w) at working size; none is
            empty.
        settings: of `settings_for`.

    Returns: 1 to `Window.max_zoom`, relative to working size.
    """
    areas = []
    for masks in frames:
        margin = round(settings.margin * np.hypot(*masks[0].shape))
        boxes = {place: rectangle_around(mask, margin) for place, mask in enumerate(masks)}
        areas.append(sum(window.box.area for window in share_windows(boxes)))
    return float(np.clip(np.sqrt(settings.pixels / max(areas)), 1, settings.max_zoom))


class SharedView(WindowedView):
    """Segments several animals, frame by frame, mostly in windows around them.

    Args:
        channels: animal -> its channel of the network.
        arguments, others: as of `WindowedView`, with the settings of `settings_for`.
    """

    def __init__(self, *arguments, channels: Mapping[int, int], **others):
        super().__init__(*arguments, **others)
        self.channels = channels

    def around_all(
        self, index: int, expected: Mapping[int, np.ndarray | None], also_whole: bool
    ) -> dict[int, np.ndarray]:
        """The probability around each animal, as `around` for one.

        Args:
            index: of the frame.
            expected: animal -> where it is expected, bool (h, w) of any size; None or empty: it may
                be anywhere.
            also_whole: whether to segment the frame outside of the windows as well.

        Returns: animal -> float32 (H, W), 0..1; 0 where nothing was looked at.
        """
        masks = {
            animal: resize_labels(mask.astype("uint8"), *self.size) > 0
            for animal, mask in expected.items()
            if mask is not None and mask.any()
        }
        windows, zoom = self._plan(masks)
        if any(window.box.shape == self.size for window in windows):
            everywhere = SharedWindow(windows[0].box, tuple(expected))
            return {a: p for a, _, p in self._look(index, [everywhere], zoom)}
        whole = _Whole(self, index)
        found = {animal: whole.of(animal) for animal in expected if animal not in masks}
        if also_whole:
            masks = {
                animal: mask | touching(whole.of(animal) > self.threshold, mask)
                for animal, mask in masks.items()
            }
        while masks:
            windows, zoom = self._plan(masks)
            grown = {}
            for animal, box, seen in self._look(index, windows, zoom):
                expected_here = masks[animal]
                found[animal], touched = self._paste(
                    seen, box, whole.if_seen(animal), expected_here
                )
                if reaches_edge(touched, box):  # the animal goes on outside of the window
                    found[animal], touched = self._paste(seen, box, whole.of(animal), expected_here)
                    if (touched & ~expected_here).any():
                        grown[animal] = expected_here | touched
            masks = grown
        return found

    def _paste(self, seen, box, around, expected):
        """The probability in the frame, and where it makes out the animal."""
        probability = np.zeros(self.size, "float32") if around is None else around
        probability[box.slices] = seen
        return probability, touching(probability > self.threshold, expected)

    def _plan(self, masks: Mapping[int, np.ndarray]) -> tuple[list[SharedWindow], float]:
        """The windows, and their zoom: less than usual where they would become too expensive."""
        boxes = {animal: rectangle_around(mask, self.margin) for animal, mask in masks.items()}
        windows = share_windows(boxes)
        area = max(1, sum(window.box.area for window in windows))
        limit = np.sqrt(self.settings.growth * self.settings.pixels / area)
        zoom = float(np.clip(limit, self.lowest_zoom, self.zoom))
        return [replace(w, box=self._fit_cells(w.box, zoom)) for w in windows], zoom

    def _look(self, index: int, windows: Sequence[SharedWindow], zoom: float):
        """Yields: animal, box of its window, and probability in it at the box's size."""
        for window in windows:
            seen = self._see(index, window.box, zoom)
            for animal in window.animals:
                yield animal, window.box, to_frame(self._channel(seen, animal), window.box, zoom)

    def _channel(self, seen: np.ndarray, animal: int) -> np.ndarray:
        return np.ascontiguousarray(seen[..., self.channels[animal]])


class _Whole:
    """All of one frame, seen once if at all."""

    def __init__(self, view: SharedView, index: int):
        self.view = view
        self.index = index
        self.seen: np.ndarray | None = None

    def of(self, animal: int) -> np.ndarray:
        """The probability of an animal, float32 (H, W)."""
        if self.seen is None:
            self.seen = self.view._see_whole(self.index)
        return resize_image(self.view._channel(self.seen, animal), *self.view.size)

    def if_seen(self, animal: int) -> np.ndarray | None:
        return None if self.seen is None else self.of(animal)
