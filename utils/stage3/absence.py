"""How sure it is that an animal is not in a frame, from the masks before and after."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from utils.stage3.temporal_filter import EDGE_PX

LEAVING_SHARE = 0.5  # of its usual area that an animal shows at most while it leaves the frame


@dataclass(frozen=True)
class Sighting:
    """What is seen of an animal in a frame.

    Attributes:
        confidence: of its mask, see `temporal_filter.mask_confidence`.
        area: pixels of its mask; 0: it was not found.
        at_edge: whether the mask reaches the frame's edge.
    """

    confidence: float
    area: int
    at_edge: bool

    @classmethod
    def of(cls, region: np.ndarray, confidence: float) -> "Sighting":
        """A sighting from a mask, bool (H, W)."""
        inside = np.count_nonzero(region[EDGE_PX:-EDGE_PX, EDGE_PX:-EDGE_PX])
        area = np.count_nonzero(region)
        return cls(confidence, area, inside < area)


def trust_absences(sightings: Sequence[Sighting], unseen_frames: int = 0) -> list[float]:
    """The confidence of each frame, where an animal may have left the picture.

    A mask that is empty has a confidence of 0, since the animal may have been lost. If it left
    across the frame's edge, and if it came back, came back there, then the empty masks are as
    trustworthy as those beside them. Where one who is lost is not looked for in every frame, much
    of it may be seen at once when it is found at the edge: but for the frames in which it may have
    been there already, that is as good.

    Args:
        sightings: of one animal, one per frame of the video.
        unseen_frames: in a row, at most, in which a lost animal may be in sight without being
            looked for.

    Returns: 0..1 per frame.
    """
    values = [sighting.confidence for sighting in sightings]
    areas = [sighting.area for sighting in sightings if sighting.area]
    usual = float(np.median(areas)) if areas else 0.0
    grouped = groupby(range(len(sightings)), lambda i: sightings[i].area > 0)
    runs = [list(run) for _, run in grouped]
    for place, frames in enumerate(runs):
        if sightings[frames[0]].area:
            continue
        before, after = runs[place - 1] if place else [], runs[place + 1 : place + 2]
        beside = [before[::-1], *after] if before else after
        stays = [[sightings[i] for i in stay] for stay in beside]
        crossed = [is_across_the_edge(stay, usual) for stay in stays]
        if not any(crossed):
            continue
        if not all(crossed):
            late = crossed.index(False)
            last = stays[late][0]
            # One that is small there was seen to come or leave, or is a spot.
            if not (unseen_frames and last.at_edge and last.area > LEAVING_SHARE * usual):
                continue
            frames = frames[:-unseen_frames] if late else frames[unseen_frames:]
        for frame in frames:
            values[frame] = min(stay[0].confidence for stay in stays)
    return values


def is_across_the_edge(stay: Sequence[Sighting], usual_area: float) -> bool:
    """Whether an animal came or left across the frame's edge: little of it is seen there at last,
    and more of it before. A spot by itself is none.

    Args:
        stay: sightings in a row, the one beside the animal's absence first.
        usual_area: of the animal, pixels.
    """
    little = LEAVING_SHARE * usual_area
    last, seen = stay[0], max(sighting.area for sighting in stay)
    return last.at_edge and last.area <= little < seen
