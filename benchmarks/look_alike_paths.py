"""The way of the second animal past the labelled one, by kind of crossing.

Not a benchmark itself; see look_alikes.py.
"""

from dataclasses import dataclass

import numpy as np

MIN_GAP = 0.02  # share of the diagonal between two animals that stand apart
TOUCHING = 0.004  # the same between two that touch
HIDDEN = 0.08  # share of an animal that may be seen where it is said to be hidden


@dataclass(frozen=True)
class Way:
    """One draw of a second animal's way.

    Attributes:
        offsets: (frames, 2), from the labelled animal's feet to its own, right and down, in body
            lengths of the labelled one.
        scale: its size as a share of the labelled one's.
        in_front: whether it is nearer to the camera than the labelled one.
        direction: 1 where it walks to the right as seen from the labelled one, -1 to the left.
    """

    offsets: np.ndarray
    scale: float
    in_front: bool
    direction: int


@dataclass(frozen=True)
class Meeting:
    """What is seen of two animals in each frame; arrays (frames,).

    Attributes:
        labelled: share of the labelled animal that the second one does not hide.
        second: share of the second animal that is seen, of all of it.
        in_frame: share of the second animal that is in the frame, hidden or not.
        gap: distance between what is seen of both as a share of the diagonal, infinite where one
            is not seen.
    """

    labelled: np.ndarray
    second: np.ndarray
    in_frame: np.ndarray
    gap: np.ndarray

    def shows(self, crossing: str) -> bool:
        """Whether this is the crossing of that name, and the labelled animal remains in sight."""
        apart, touching = self.gap >= MIN_GAP, self.gap < TOUCHING
        second = self.second / np.maximum(self.in_frame, 1e-6)  # of what is in the frame
        if self.labelled.min() < 0.15 or self.labelled[0] < 0.8:
            return False
        match crossing:
            case "comes_out":
                parted = apart[-3:].all() and self.in_frame[-1] > 0.6
                return bool(self.second[0] <= HIDDEN and parted)
            case "in_front" | "behind":
                hidden = self.labelled if crossing == "in_front" else second
                shares = hidden[self.in_frame > 0.9]
                met = len(shares) > 0 and shares.min() < 0.65
                return bool(apart[0] and apart[-3:].all() and met)
            case "beside":
                seen = np.minimum(self.labelled, second)
                return bool(touching.mean() > 0.5 and touching[-3:].all() and seen.min() > 0.75)
            case "leaves":
                beside = self.second[0] > 0.3
                return bool(touching[0] and beside and apart[-3:].all())
        raise ValueError(f"unknown crossing {crossing}")


def draw_way(
    crossing: str, num_frames: int, side: int, fast: bool, rng: np.random.Generator
) -> Way:
    """Draws a way that may show the crossing; `Meeting.shows` says whether it does.

    Args:
        crossing: of `look_alike_sources.CROSSINGS`.
        num_frames: of the video.
        side: 1 if the second animal ends, or with "beside" stands, to the right, -1 to the left.
        fast: whether the crossing takes a third of the time.
        rng: decides everything.
    """
    far = rng.uniform(1.25, 1.7)
    begin = rng.uniform(0.1, 0.25)
    end = begin + (rng.uniform(0.3, 0.45) if fast else rng.uniform(0.6, 0.75))
    progress = np.clip((np.linspace(0, 1, num_frames) - begin) / (end - begin), 0, 1)
    progress = progress**2 * (3 - 2 * progress)
    in_front, start, stop = False, 0.0, side * far
    scale, depth = rng.uniform(0.75, 1.05), rng.uniform(0.02, 0.15)
    match crossing:
        case "comes_out":
            start, scale, depth = (
                rng.uniform(-0.2, 0.2),
                rng.uniform(0.5, 1.0),
                rng.uniform(0, 0.35),
            )
        case "in_front":
            in_front, start, scale = True, -stop, rng.uniform(0.7, 1.1)
            depth *= 2
        case "behind":
            start = -stop
        case "beside":
            in_front = rng.random() < 0.5
            start, stop = side * far, side * rng.uniform(0.5, 1.05)
        case "leaves":
            in_front = rng.random() < 0.5
            start, stop = side * rng.uniform(0.4, 1.0), side * (far + 0.3)
    down = depth if in_front else -depth
    x = start + (stop - start) * progress
    sway = 0.015 * np.sin(2 * np.pi * np.arange(num_frames) / rng.uniform(9, 15))
    direction = 1 if stop > start else -1
    return Way(np.stack([x + sway, np.full(num_frames, down)], 1), scale, in_front, direction)
