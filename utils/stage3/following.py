"""Following animals on the way out from a label, all of them frame by frame at the same time."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from utils.media.images import resize_image
from utils.stage3.animal_in_frame import AnimalInFrame
from utils.stage3.motion import Motion, find_motion
from utils.stage3.separation import SeparationWatch
from utils.stage3.settings import Preset
from utils.stage3.still_frames import NextFrame
from utils.stage3.temporal_filter import TemporalFilter

# From animal -> what is known of the next frame to animal -> its probability there, uint8 (H, W).
Look = Callable[[Mapping[int, NextFrame]], Mapping[int, np.ndarray]]


@dataclass(frozen=True)
class Followed:
    """What was found of an animal in the next frame.

    Attributes:
        animal: its number.
        found: what continues it there.
        corrected: earlier frame -> bool (h, w), the region there, where this frame has shown that a
            part of it is another animal.
    """

    animal: int
    found: AnimalInFrame
    corrected: dict[int, np.ndarray]


def follow(
    animals: Sequence[int],
    start: int,
    label: np.ndarray,
    frames: Iterable[int],
    look: Look,
    read_grey: Callable[[int], np.ndarray],
    preset: Preset,
) -> Iterator[list[Followed]]:
    """Goes through frames away from a label.

    Args:
        animals: that the label shows.
        start: index of the labelled frame.
        label: uint8 (h, w), at working size.
        frames: indices, one after the other away from the label.
        look: shows a frame to the network.
        read_grey: gives a frame by its index, uint8 (h, w).
        preset: how animals are followed.

    Yields: of each frame, what was found of every animal.
    """
    filters = {animal: TemporalFilter(preset.refinement, label, animal) for animal in animals}
    settings = preset.separation
    watches = {
        animal: SeparationWatch(settings, motion_finder(read_grey))
        for animal in animals
        if settings
    }
    before, grey_before = start, read_grey(start)
    for index in frames:
        grey = read_grey(index)
        motion = find_motion(grey, grey_before)
        known = {a: NextFrame(index, grey, motion, f.expect(motion)) for a, f in filters.items()}
        probabilities = look(known)
        # The label's own frame is 0 frames away from it; the filter's reach is at least 1.
        distance = max(1, abs(index - before))
        followed = []
        for animal in animals:
            small = resize_image(probabilities[animal], *label.shape)
            region = filters[animal](small, motion, distance)
            corrected = watches[animal](index, region, motion) if settings else {}
            if index in corrected:
                filters[animal].take_out(region & ~corrected[index])
                region = corrected.pop(index)
            found = AnimalInFrame(index, probabilities[animal], region)
            followed.append(Followed(animal, found, corrected))
        yield followed
        before, grey_before = index, grey


def motion_finder(
    read_grey: Callable[[int], np.ndarray],
) -> Callable[[int, int], Motion | None]:
    """What gives the motion from one frame to another, both by their indices."""
    return lambda frame, other: find_motion(read_grey(frame), read_grey(other))
