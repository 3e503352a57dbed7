"""From clicks or a box to the animal's mask with the network that takes them as its prompt.

The backbone looks once at each window of a frame at each of two sizes: coarse for the first click,
fine once there is a mask. From then on, another click in the same window costs the head alone.
"""

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from utils.annotator.click_cut import cut_out
from utils.annotator.click_marks import (
    OTHER_ANIMAL,
    SURE_ANIMAL,
    Marks,
    choose_window,
    marks_in_window,
    work_size,
)
from utils.annotator.segment_click import (
    RecentWindows,
    click_spots,
    large_components,
    segment_in_windows,
    whole_frame,
)
from utils.media.images import resize_image
from utils.media.regions import Rectangle, distance_to, touching
from utils.stage3.animal_grouping import InstanceMaps, group_animals
from utils.training.clicks import Place, make_prompt

MAPS_KEPT = 6  # up to 54 MB each
_NEAR_PX = 8  # from a first click to the animal that is meant, as the network sees it
_LEAST_SEEN = 0.2  # share of it that the click's own answer has, else another one is meant
_CRUMB_SHARE = 0.02  # of the mask: smaller pieces that nobody marked are left out


class Network(Protocol):
    """See `utils.training.prompted_network.PromptedNetwork`."""

    def look(self, image: np.ndarray) -> Any: ...

    def probability(self, maps: Any, prompt: np.ndarray) -> np.ndarray: ...


class Instances(Protocol):
    """See `utils.stage3.instance_network.InstanceNetwork`."""

    def look_apart(self, maps: Any, height: int, width: int) -> InstanceMaps: ...


@dataclass(frozen=True, eq=False)
class FirstLook:
    """What the network sees in a window (h, w) without a prompt.

    Attributes:
        everything: float32 (h, w), probability of any animal, 0..1.
        clicked, others: bool (h, w), the animals that are clicked and, if there are such, those
            that are not.
        is_beside: whether the click is a little beside the animal that is clicked.
    """

    everything: np.ndarray
    clicked: np.ndarray
    others: np.ndarray
    is_beside: bool


class PromptedSegmenter:
    """Segments what clicks and boxes mark; keeps what the network saw in the last windows.

    Args:
        network: what is asked.
        use_colours: whether cv2.grabCut settles what the network is not sure of.
        load_instances: returns what tells animals that touch from each other, or None; called once,
            when that is first asked for. From then on it tells a first click, too, which of the
            animals of a group are not meant.
    """

    knows_animals = True

    def __init__(
        self,
        network: Network,
        use_colours: bool = False,
        load_instances: Callable[[], Instances | None] = lambda: None,
    ) -> None:
        self._network = network
        self._use_colours = use_colours
        self._load_instances: Callable[[], Instances | None] | None = load_instances
        self._instances: Instances | None = None
        self._loading = threading.Lock()
        self._maps = RecentWindows(MAPS_KEPT)

    def segment(self, frame: int, image: np.ndarray, marks: Marks) -> np.ndarray:
        """As `ClickSegmenter.segment`."""
        return segment_in_windows(
            marks, lambda window, marks: self._segment_in(window, frame, image, marks)
        )

    def look(self, frame: int, image: np.ndarray) -> np.ndarray:
        """As `ClickSegmenter.look`."""
        small = resize_image(image, *work_size(*image.shape[:2]))
        maps = self._look(frame, whole_frame(image), small)
        return self._network.probability(maps, make_prompt(small.shape[:2]))

    def prepare_look_apart(self) -> None:
        """As `ClickSegmenter.prepare_look_apart`."""
        with self._loading:
            if self._load_instances is not None:
                self._instances = self._load_instances()
                self._load_instances = None

    def look_apart(self, frame: int, image: np.ndarray) -> InstanceMaps | None:
        """As `ClickSegmenter.look_apart`."""
        self.prepare_look_apart()
        if self._instances is None:
            return None
        small = resize_image(image, *work_size(*image.shape[:2]))
        maps = self._look(frame, whole_frame(image), small)
        return self._instances.look_apart(maps, *small.shape[:2])

    def follow(
        self,
        frame: int,
        image: np.ndarray,
        labels: np.ndarray,
        animals: Collection[int] | None = None,
        one_window: bool = False,
    ) -> np.ndarray:
        """As `ClickSegmenter.follow`: what the network finds with these masks as its prompt."""
        result, best = np.zeros_like(labels), np.full(labels.shape, 0.5, np.float32)
        for animal in np.unique(labels[labels > 0]):
            if animals is not None and animal not in animals:
                continue
            mask, others = labels == animal, (labels > 0) & (labels != animal)
            nothing = np.zeros_like(labels)
            seen = touching(labels > 0, mask) if one_window else mask
            window = choose_window(Marks([], None, seen, nothing), seen)
            small = resize_image(image[window.slices], *work_size(*labels.shape, is_known=True))
            mask, others = (
                resize_image(m[window.slices].astype(np.float32), *small.shape[:2]) > 0.5
                for m in (mask, others)
            )
            maps = self._look(frame, window, small)
            prompt = make_prompt(small.shape[:2], mask=mask, others=others)
            found = self._network.probability(maps, prompt)
            found = resize_image(found, *window.shape)
            is_better = _without_others(
                found > best[window.slices], labels[window.slices] == animal
            )
            best[window.slices][is_better] = found[is_better]
            result[window.slices][is_better] = animal
        return result

    def _segment_in(
        self, window: Rectangle, frame: int, image: np.ndarray, marks: Marks
    ) -> np.ndarray:
        small = resize_image(image[window.slices], *marks.work_size)
        seen = marks_in_window(marks, window)
        mask = seen.current
        if marks.box is not None and not mask.any():
            mask = seen.guess & ~seen.outside  # the ellipse in the box
        others = (marks.sure[window.slices] == OTHER_ANIMAL).astype(np.float32)
        others = resize_image(others, *small.shape[:2]) > 0.5
        maps = self._look(frame, window, small)
        first = None
        if seen.clicks and not mask.any():
            first = self._first_look(maps, seen.clicks, small.shape[:2])
            others |= first.others
        prompt = make_prompt(small.shape[:2], seen.clicks, mask, others)
        found = self._network.probability(maps, prompt)
        if first is not None and first.clicked.any():
            # A click beside an animal may mean another one, which is not seen without the click.
            is_meant = not first.is_beside or np.mean(found[first.clicked] > 0.5) > _LEAST_SEEN
            # With nothing but clicks, the network is less sure of the animal's extent.
            found = (found + first.everything * first.clicked) / 2 if is_meant else found
        if marks.box is not None:
            found = np.where(seen.outside, 0, found).astype(np.float32)
        if self._use_colours:
            found = cut_out(small, found, seen, is_local=False)
        return _merge(found, window, marks)

    def _first_look(self, maps: Any, clicks: list[Place], size: tuple[int, int]) -> FirstLook:
        """What there is besides the clicks to tell which animal is meant, and which are not."""
        height, width = size
        spots = np.zeros(size, bool)
        for x, y, is_positive in clicks:
            spots[min(int(y), height - 1), min(int(x), width - 1)] |= is_positive
        if self._instances is None:  # there are no weights of it, or it is not loaded yet
            everything = self._network.probability(maps, make_prompt(size))
            mask = everything > 0.5
            reached = _reach(spots, mask)
            clicked, others = touching(mask, reached), np.zeros(size, bool)
        else:
            seen = self._instances.look_apart(maps, height, width)
            everything, animals = seen.mask, group_animals(seen)
            reached = _reach(spots, animals > 0)
            clicked = np.isin(animals, animals[reached]) & (animals > 0)
            others = (animals > 0) & ~clicked & clicked.any()
        return FirstLook(everything, clicked, others, not (reached & spots).any())

    def _look(self, frame: int, window: Rectangle, small: np.ndarray) -> Any:
        return self._maps.get((frame, small.shape), window, lambda: self._network.look(small))


def _reach(spots: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The clicked pixels; if none of them is in the mask, the nearest pixel of the mask, unless it
    is farther than _NEAR_PX: people click on outlines, too. All bool (h, w)."""
    if (spots & mask).any() or not spots.any():
        return spots
    distance = np.where(mask, distance_to(spots), np.inf)
    nearest = np.zeros_like(spots)
    nearest.flat[np.argmin(distance)] = distance.min() <= _NEAR_PX
    return nearest


def _without_others(found: np.ndarray, before: np.ndarray) -> np.ndarray:
    """The parts of a mask that continue an earlier one, without crumbs; if it has moved away from
    there, all parts. All bool (h, w)."""
    found = large_components(found, _CRUMB_SHARE)
    continued = touching(found, before)
    return continued if continued.any() else found


def _merge(found: np.ndarray, window: Rectangle, marks: Marks) -> np.ndarray:
    """What was found in the window, float32 (h, w), as far as nothing else is known for sure.

    Returns: bool (H, W), with the mask so far outside of the window.
    """
    before, limits = marks.current[window.slices], marks.sure[window.slices]
    found = resize_image(found, *before.shape) > 0.5
    found = (found & (limits == 0)) | (limits == SURE_ANIMAL)
    meant, (spots, _) = limits == SURE_ANIMAL, click_spots(marks, window)
    for click, spot in zip(marks.clicks, spots, strict=True):
        found = found | spot if click.is_positive else found & ~spot
        meant = meant | spot if click.is_positive else meant & ~spot
    found = touching(found, meant) | large_components(found, _CRUMB_SHARE)
    if marks.is_given and before.any() and spots:
        # Who corrects a mask that was there before the first click wants the rest of it as it is.
        found = before ^ touching(found != before, spots[-1])
    if before.any() and spots and not marks.clicks[-1].is_positive:
        # Who clicks an arm away does not want the face that the network has seen meanwhile.
        found = found & (before | (limits == SURE_ANIMAL))
    result = marks.current.copy()
    result[window.slices] = found
    return result
