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


def trust_absences(sightings: Sequence[Sighting]) -> list[float]:
    """The confidence of each frame, where an animal may have left the picture.

    A mask that is empty has a confidence of 0, since the animal may have been lost. If it left
    across the frame's edge, and if it came back, came back there, then the empty masks are as
    trustworthy as those beside them.

    Args:
        sightings: of one animal, one per frame of the video.

    Returns: 0..1 per frame.
    """
    values = [sighting.confidence for sighting in sightings]
    areas = [sighting.area for sighting in sightings if sighting.area]
    usual = float(np.median(areas)) if areas else 0.0
    for is_absent, run in groupby(range(len(sightings)), lambda i: not sightings[i].area):
        frames = list(run)
        beside = [i for i in (frames[0] - 1, frames[-1] + 1) if 0 <= i < len(sightings)]
        ends = [sightings[i] for i in beside]
        if is_absent and ends and all(is_leaving(end, usual) for end in ends):
            for frame in frames:
                values[frame] = min(end.confidence for end in ends)
    return values


def is_leaving(sighting: Sighting, usual_area: float) -> bool:
    """Whether an animal is on its way across the frame's edge: little of it is left, beside it."""
    return sighting.at_edge and sighting.area <= LEAVING_SHARE * usual_area
