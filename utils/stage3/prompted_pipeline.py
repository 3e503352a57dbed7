"""One video in which others look like the labelled animal: it is followed by prompts.

From frame to frame, the animal's mask, moved along the optical flow, tells the prompted network
which one is meant. The network looks at a window of one size around it.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np

from utils.media.images import resize_image, resize_labels
from utils.media.regions import distance_to, rectangle_around
from utils.stage3.animal_in_frame import AnimalInFrame
from utils.stage3.motion import warp_mask
from utils.stage3.pipeline import Pipeline
from utils.stage3.prompted_tuning import NumberedFrame
from utils.stage3.separation import SeparationWatch
from utils.stage3.temporal_filter import make_passes
from utils.training.animals import NumberedImage
from utils.training.clicks import make_prompt
from utils.training.prompted_network import PromptedNetwork
from utils.training.simulated_prompts import body_length

SURROUNDINGS = 1.5  # of the labelled animals that are learnt, in crops
MIN_MOVED = 0.5  # share of the mask that the flow takes along; with less, it is wrong


class PromptedView:
    """Segments one animal in a window around it, given its earlier mask.

    Args:
        network: the prompted one.
        read: gives a frame, uint8 (H, W, 3) RGB, all of one size.
        size: height and width of these frames.
        zoom: how much the network sees them enlarged.
        crop: height and width of the window as the network sees it, pixels.
    """

    def __init__(
        self,
        network: PromptedNetwork,
        read: Callable[[int], np.ndarray],
        size: tuple[int, int],
        *,
        zoom: float,
        crop: tuple[int, int],
    ):
        self.network = network
        self.read = read
        self.size = size
        self.zoom = zoom
        self.crop = crop

    def around(
        self, index: int, expected: np.ndarray | None, also_whole: bool = False
    ) -> np.ndarray:
        """The probability of the animal whose mask this was.

        Args:
            index: of the frame.
            expected: bool (h, w) of any size, the animal's mask before, moved along.
            also_whole: nothing is looked at outside of the window.

        Returns: float32 (H, W), 0..1; 0 outside of the window.
        """
        if expected is None or not expected.any():
            return np.zeros(self.size, "float32")
        expected = resize_labels(expected.astype("uint8"), *self.size)
        to_view, width_height = self._window(expected), self.crop[::-1]
        image = self._cut(self.read(index), to_view)
        mask = cv2.warpAffine(expected, to_view, width_height, flags=cv2.INTER_NEAREST)
        prompt = make_prompt(self.crop, mask=mask > 0)
        probability = self.network.probability(self.network.look(image), prompt)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(probability, to_view, self.size[::-1], flags=flags)

    def _cut(self, frame: np.ndarray, to_view: np.ndarray) -> np.ndarray:
        """The window of a frame, uint8 (h, w, 3)."""
        if self.zoom < 1:  # shrunk as the frames that were learnt from, by areas
            size = [max(1, round(side * self.zoom)) for side in self.size]
            shrink = np.array(size[::-1]) / self.size[::-1]
            frame = resize_image(frame, *size)
            linear = to_view[:, :2] / shrink
            to_view = np.hstack(
                [linear, to_view[:, 2:] + (linear - to_view[:, :2]) @ np.full((2, 1), 0.5)]
            )
        return cv2.warpAffine(
            frame, to_view, self.crop[::-1],
            flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101,
        )  # fmt: skip

    def _window(self, expected: np.ndarray) -> np.ndarray:
        """2x3 matrix from pixels of the frame to those of a window around a mask."""
        box = rectangle_around(expected > 0)
        middle = np.array([box.left + box.right, box.top + box.bottom]) / 2 - 0.5
        in_view = (np.array(self.crop[::-1]) - 1) / 2
        return np.hstack([self.zoom * np.eye(2), (in_view - self.zoom * middle)[:, None]])


class PromptedPipeline(Pipeline):
    """As `Pipeline`, with a preset that has `Prompts` and a `PromptedTuner`. One network learns all
    labelled animals, and is not kept."""

    def run(
        self, keep_network: Callable[[int], None] = lambda animal: None, *, learns: bool = True
    ) -> None:
        """As `Pipeline.run`; it always learns."""
        first = self.animals[0]
        if not self.partial.load_fine_tuned(self.tuner.model, first):
            self.fine_tune(first, [self._numbered_frame(frame) for frame in self.fine_labels])
            self.partial.save_fine_tuned(self.tuner.model, first)
        for animal in self.animals:
            self.segment(animal)
        self.write(self.settle_identities())

    def _numbered_frame(self, frame: int) -> NumberedFrame:
        """What is around the animals of a labelled frame, at the size at which it is learnt."""
        label, zoom = self.fine_labels[frame], self._zoom(self.animals)
        margin = round(SURROUNDINGS * max(self.preset.fine_tuning.crop) / zoom)
        box = rectangle_around(np.isin(label, self.animals), margin)
        size = [max(1, round(side * zoom)) for side in box.shape]
        numbered = NumberedImage(
            resize_image(self.frames.read(frame)[box.slices], *size),
            resize_labels(label[box.slices], *size),
            are_single=True,
            min_share=0,
        )
        return NumberedFrame(numbered)

    def _zoom(self, animals: Sequence[int]) -> float:
        """How much the network sees animals enlarged, relative to fine size."""
        lengths = [
            body_length(label == animal)
            for label in self.fine_labels.values()
            for animal in animals
            if (label == animal).any()
        ]
        limit = self.preset.window.max_zoom * min(self.size) / min(self.fine_size)
        return min(limit, self.preset.prompts.body_px / float(np.median(lengths)))

    def _is_whole(self, index: int) -> bool:
        return False  # see `PromptedView.around`

    def _view(self, animal: int) -> PromptedView:
        return PromptedView(
            self.tuner.network,
            self.frames.read,
            self.fine_size,
            zoom=self._zoom([animal]),
            crop=self.preset.fine_tuning.crop,
        )

    def _follow(
        self, animal, frames, probability_of
    ) -> Iterator[tuple[AnimalInFrame, dict[int, np.ndarray]]]:
        """What is the animal in these frames, going out from where it is labelled."""
        prompts, threshold = self.preset.prompts, self.preset.refinement.threshold
        labelled = tuple(f for f, label in self.labels.items() if (label == animal).any())
        for start, going_away in make_passes(len(self.video), labelled):
            mask = self.labels[start] == animal
            settings = self.preset.separation
            watch = SeparationWatch(settings, self._motion) if settings else None
            smallest = prompts.lost * np.count_nonzero(mask)
            areas = deque([np.count_nonzero(mask)], maxlen=prompts.memory)
            for step in self._steps(start, [i for i in going_away if i in frames]):
                index, motion = step.index, step.motion
                expected = warp_mask(mask, motion)
                if np.count_nonzero(expected) < MIN_MOVED * np.count_nonzero(mask):
                    expected = mask
                probability = probability_of(animal, step.expecting(expected))
                found = resize_image(probability, *self.size) > threshold * 255
                region = keep_pieces(found, expected, prompts.overlap)
                region = limit_growth(region, expected, prompts.growth * np.median(areas))
                if np.count_nonzero(region) < smallest:
                    region = np.zeros_like(region)  # out of sight
                corrected = watch(index, region, motion) if watch else {}
                if index in corrected:
                    region = corrected.pop(index)
                    mask = region if region.any() else expected
                    areas.clear()  # of both together
                    areas.append(np.count_nonzero(mask))
                elif np.count_nonzero(region) >= prompts.partial * np.median(areas):
                    mask = region
                elif region.any():
                    mask = expected  # what hides the rest of it may go
                if region.any():
                    areas.append(np.count_nonzero(region))
                yield AnimalInFrame(index, probability, region), corrected


def keep_pieces(mask: np.ndarray, expected: np.ndarray, overlap: float) -> np.ndarray:
    """The pieces of a mask that are the animal: where it was expected.

    Args:
        mask: bool (H, W), what the network found.
        expected: bool (H, W), the animal's mask before, moved along.
        overlap: see `Prompts`.

    Returns: bool (H, W); empty if no piece meets what was expected.
    """
    count, pieces = cv2.connectedComponents(mask.astype("uint8"), connectivity=8)
    areas = np.bincount(pieces.ravel(), minlength=count)
    common = np.bincount(pieces[expected & mask], minlength=count)
    kept = common >= overlap * areas
    kept[np.argmax(common)] = True
    kept[0] = False
    return kept[pieces]


def limit_growth(region: np.ndarray, expected: np.ndarray, area: float) -> np.ndarray:
    """A region without what is farthest from where the animal was expected, if it is larger than
    the animal can be: bool (H, W).

    Args:
        region, expected: bool (H, W).
        area: pixels; what lies in the expected mask is kept in any case.
    """
    area = max(1, round(area))
    if np.count_nonzero(region) <= area:
        return region
    distance = distance_to(expected)
    farthest = np.partition(distance[region], area - 1)[area - 1]
    return region & (distance <= farthest)
