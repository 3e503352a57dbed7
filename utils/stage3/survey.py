"""What the network found in frames all over a video, before it has learnt all that it will."""

import numpy as np

from utils.stage3.animal_in_frame import AnimalInFrame
from utils.stage3.following import Followed
from utils.stage3.partial_run import PartialRun


class Survey:
    """Keeps the confidence of every animal in every frame. Regions are kept packed, probabilities
    on disk: of many animals in large frames, memory could not hold them.

    Args:
        partial: where the probabilities are.

    Attributes:
        confidence: animal -> frame -> confidence, 0..1.
    """

    def __init__(self, partial: PartialRun):
        self.partial = partial
        self.confidence: dict[int, dict[int, float]] = {}
        self._regions: dict[tuple[int, int], tuple[np.ndarray, tuple[int, int]]] = {}

    @property
    def frames(self) -> list[int]:
        """The frames, in the order in which they were looked at."""
        return list(next(iter(self.confidence.values()), ()))

    def add(self, followed: Followed) -> None:
        """Keeps what was found of an animal in the next frame."""
        animal, found = followed.animal, followed.found
        self._keep(animal, found)
        for frame, region in followed.corrected.items():
            self._keep(animal, AnimalInFrame(frame, self.partial.surveyed(animal, frame), region))

    def found(self, animal: int, frame: int) -> AnimalInFrame:
        """What was found of an animal in one of the frames."""
        packed, shape = self._regions[animal, frame]
        region = np.unpackbits(packed, count=shape[0] * shape[1]).reshape(shape) > 0
        return AnimalInFrame(frame, self.partial.surveyed(animal, frame), region)

    def _keep(self, animal: int, found: AnimalInFrame) -> None:
        self._regions[animal, found.frame] = np.packbits(found.region), found.region.shape
        self.confidence.setdefault(animal, {})[found.frame] = found.confidence
