"""Who owns which pixel, once every frame has been seen, and how sure that is."""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial

import numpy as np

from utils.ahead import map_ahead
from utils.media.videos import Video
from utils.stage3.absence import Sighting, trust_absences
from utils.stage3.animal_in_frame import AnimalInFrame, merge_animals, without_others
from utils.stage3.outline import OutlineFilter, redraw_outline
from utils.stage3.settings import Refinement
from utils.stage3.smoothing import smooth_over_time
from utils.stage3.working_frames import WorkingFrames

THREADS = 2  # frames whose masks are settled at once


class Settlement:
    """Gives every pixel to one animal or to the background.

    Args:
        animals: their numbers.
        video: gives the size of the masks.
        frames: as the network sees them.
        found: (animal, frame) -> what the network and the filter have left of it.
        refinement: threshold, and the average over time.
        outline: redraws outlines; None: they stay the network's.
        unseen_frames: see `trust_absences`.

    Attributes:
        confidence: number of the animal -> 0..1 per frame; empty until all masks are settled.
    """

    def __init__(
        self,
        animals: Sequence[int],
        video: Video,
        frames: WorkingFrames,
        found: Callable[[int, int], AnimalInFrame],
        refinement: Refinement,
        outline: OutlineFilter | None,
        unseen_frames: int = 0,
    ):
        self.animals = animals
        self.video = video
        self.frames = frames
        self.refinement = refinement
        self.outline = outline
        self.unseen_frames = unseen_frames
        self.confidence: dict[int, list[float]] = {}
        # Each frame is asked for as the one after, itself and the one before, and several frames
        # are settled at once; with one more per animal, what the next animals need is not dropped.
        self._found = lru_cache(maxsize=(3 + THREADS) * len(animals))(found)
        self._grey = lru_cache(maxsize=2 + THREADS)(frames.grey)

    def masks(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yields the index of each frame and its mask, uint8 (height, width) at the video's size:
        0, or the number of an animal."""
        sightings = []
        settled = map_ahead(self._settle, range(len(self.video)), THREADS)
        for index, (mask, seen) in enumerate(settled):
            sightings.append(seen)
            yield index, mask
        for animal in self.animals:
            of_animal = [seen[animal] for seen in sightings]
            self.confidence[animal] = trust_absences(of_animal, self.unseen_frames)

    def _settle(self, index: int) -> tuple[np.ndarray, dict[int, Sighting]]:
        """A frame's mask, and what is seen in it by number of the animal."""
        found = {animal: self._found(animal, index) for animal in self.animals}
        candidates = [
            self._redraw(
                smooth_over_time(
                    one,
                    len(self.video),
                    partial(self._found, animal),
                    self._grey,
                    self.refinement,
                )
            )
            for animal, one in found.items()
        ]
        threshold = self.refinement.threshold
        owner = merge_animals(candidates, threshold, self.video.height, self.video.width)
        seen = {}
        for place, (animal, one) in enumerate(found.items(), start=1):
            left = without_others(one, (owner > 0) & (owner != place))
            seen[animal] = Sighting.of(left.region, round(left.confidence, 4))
        return np.array([0, *self.animals], "uint8")[owner], seen

    def _redraw(self, found: AnimalInFrame) -> AnimalInFrame:
        """What was found of an animal, with the outline that the run's filter gives it."""
        if self.outline is None:
            return found
        image, threshold = self.frames.read(found.frame), self.refinement.threshold
        redrawn = redraw_outline(found.probability, found.region, image, self.outline, threshold)
        return AnimalInFrame(found.frame, *redrawn)
