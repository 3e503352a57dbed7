"""What several labelled animals share: one network, which sees a frame once for all of them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from utils.media.labels import VOID


@dataclass(frozen=True)
class Sharing:
    """What several labelled animals may take beyond one, since one network learns them
    (`utils.stage3.fine_tuning`) and looks at them (`utils.stage3.shared_window`). Not a part of a
    preset: it is in the key of runs with several labelled animals alone.

    Attributes:
        steps: share of `FineTuning.steps` that each further animal adds.
        most_steps: of all of them, in `FineTuning.steps`.
        fusing_rate: learning rate of the last convolution, whose filters all begin as the same one,
            relative to that of the head.
        pixels: the windows of N animals together have N to this power times as many pixels as that
            of one, see `Window.pixels`.
    """

    steps: float = 0.07
    most_steps: float = 1.5
    fusing_rate: float = 10.0
    pixels: float = 0.25

    def steps_for(self, animals: int) -> float:
        """How many times as many steps they take as one."""
        return min(self.most_steps, 1 + self.steps * (animals - 1))

    def pixels_for(self, animals: int) -> float:
        """How many times as many pixels their windows have as that of one."""
        return animals**self.pixels


SHARING = Sharing()


def labelled_together(labels: Mapping[int, np.ndarray]) -> list[tuple[int, ...]]:
    """The animals in groups that are labelled in the same frames: these can be followed at once.

    Args:
        labels: labelled frame -> uint8 (h, w), 0 background, 1..254 animals, 255 void.

    Returns: numbers of the animals of each group, in rising order.
    """
    frames: dict[int, list[int]] = {}
    for frame, label in labels.items():
        for animal in np.unique(label).tolist():
            if 0 < animal < VOID:
                frames.setdefault(animal, []).append(frame)
    groups: dict[tuple[int, ...], list[int]] = {}
    for animal in sorted(frames):
        groups.setdefault(tuple(sorted(frames[animal])), []).append(animal)
    return [tuple(group) for group in groups.values()]
