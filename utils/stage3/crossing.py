"""Tells the animal from another one after the two have crossed.

While two animals of a kind cross, the network finds one region. Dividing it pixel by pixel along
the optical flow becomes less exact with every frame: soon each has a slice of the other. When they
stand apart again, whole regions are compared with where both were heading before the crossing, and
with how large the labelled animal was. If that is clear, each region goes to one of them, and so do
the frames of the later half of the crossing, followed back.
"""

from collections.abc import Callable

import cv2
import numpy as np

from utils.media.regions import distance_to, touching
from utils.stage3.motion import Motion, warp_labels, warp_mask
from utils.stage3.settings import Crossing

MIN_OTHER_PX = 20  # of the other before a crossing; less says nothing
# The other may just be coming into view: it counts as at least so much of the animal's area.
MIN_SHARE_OF_OTHER = 0.3
ANIMAL, OTHER = 1, 2


class CrossingWatch:
    """Watches one animal and what is known to be something else, going away from a label.

    A crossing begins when the animal and another one share a region, and ends when they stand apart
    again. Only one whose beginning was seen can be judged: both have to be known from before, or
    from the label.

    Args:
        settings: see `Crossing`.
        radius: pixels beyond which nothing in the frame before belongs to either.
        find_motion: from one frame to another, both by their indices.
        label: bool (h, w), the animal and the others in the labelled frame to start from.
    """

    def __init__(
        self,
        settings: Crossing,
        radius: float,
        find_motion: Callable[[int, int], Motion | None],
        label: tuple[np.ndarray, np.ndarray],
    ):
        self.settings = settings
        self.radius = radius
        self._find_motion = find_motion
        self._give_up()
        self._before = (*label, None)

    @property
    def goes_on(self) -> bool:
        """Whether a crossing has begun and not ended."""
        return self._start is not None

    def __call__(
        self,
        frame: int,
        found: np.ndarray,
        animal: np.ndarray,
        others: np.ndarray,
        motion: Motion | None,
    ) -> dict[int, np.ndarray]:
        """Looks at the next frame.

        Args:
            frame: its index.
            found: bool (h, w), all that the network takes for the animal.
            animal, others: bool (h, w), parts of it: what continues the animal, and what is
                something else.
            motion: from this frame to that of the call before.

        Returns: frame -> bool (h, w), the animal, for this frame and those before, if this frame
            ends a crossing and it is clear which region is the animal; else nothing.
        """
        if not animal.any():
            self._give_up()
            return {}
        if not self.goes_on:
            self._look_for_beginning(frame, found, animal, others & found, motion)
            return {}
        self._pair = touching(found, warp_mask(self._pair, motion))
        self._crossing.append((frame, self._pair))
        if len(self._crossing) > self.settings.memory:
            self._give_up()
            return {}
        pieces = connected_regions(self._pair)
        regions = [region for region in pieces if np.count_nonzero(region) >= self._least]
        self._frames_apart = self._frames_apart + 1 if len(regions) > 1 else 0
        if self._frames_apart < self.settings.frames:
            return {}
        told_apart = self._tell_apart(regions)
        corrected = self._follow_back(animal, others, *told_apart) if told_apart else {}
        self._give_up()
        return corrected

    def stand_apart(self, animal: np.ndarray, others: np.ndarray, motion: Motion | None) -> None:
        """Takes note of a frame in which the two share no region, while no crossing goes on;
        arguments as of a call."""
        self._before = (animal, others, motion)

    def _give_up(self):
        # The masks of the label or of a frame in which animal and others share no region, and the
        # motion to it.
        self._before: tuple[np.ndarray, np.ndarray, Motion | None] | None = None
        # Animal and other before the crossing, each with the way that it goes from frame to frame.
        self._start: list[tuple[np.ndarray, np.ndarray]] | None = None
        # Frames of the crossing, and the regions that come from that which the two shared.
        self._crossing: list[tuple[int, np.ndarray]] = []
        self._frames_apart = 0

    def _look_for_beginning(self, frame, found, animal, others, motion):
        shared = shared_region(found, animal, others, self.settings.min_other)
        if shared is None:
            self.stand_apart(animal, others, motion)
        elif self._before is not None:
            animal, others, motion_before = self._before
            arriving = [
                region
                for region in connected_regions(others)
                if (warp_mask(region, motion) & shared).any()
            ]
            other = np.any([*arriving, np.zeros_like(others)], axis=0)
            self._give_up()
            if np.count_nonzero(other) >= MIN_OTHER_PX:
                self._start = [(mask, heading(mask, motion_before)) for mask in (animal, other)]
                self._pair = shared
                self._crossing = [(frame, shared)]
                area = np.count_nonzero(animal)
                smaller = min(area, max(np.count_nonzero(other), MIN_SHARE_OF_OTHER * area))
                self._least = self.settings.min_region * smaller

    def _tell_apart(self, regions) -> tuple[np.ndarray, np.ndarray] | None:
        """Which region is the animal and which is the other; None if that is not clear."""
        elapsed = len(self._crossing)
        expected = [moved(mask, way * elapsed) for mask, way in self._start]
        likeness = np.array(
            [[likeness_of(region, mask) for mask in expected] for region in regions]
        )
        areas = np.array([np.count_nonzero(region) for region in regions])
        growth = areas / np.count_nonzero(self._start[0][0])
        own = likeness[:, 0] - self.settings.area_weight * np.abs(np.log(growth))
        scores = own[:, None] + likeness[:, 1]  # by animal, other
        np.fill_diagonal(scores, -np.inf)
        animal, other = np.unravel_index(np.argmax(scores), scores.shape)
        if_not = np.delete(scores, animal, axis=0).max()
        low, high = self.settings.area
        is_clear = scores[animal, other] - if_not >= self.settings.margin
        if not (is_clear and low <= growth[animal] <= high):
            return None
        return regions[animal], regions[other]

    def _follow_back(self, animal, others, animal_region, other_region) -> dict[int, np.ndarray]:
        after = self._crossing[-1][0]
        corrected = {after: animal & ~other_region | animal_region}
        owner = np.where(others | other_region, OTHER, 0).astype("uint8")
        owner[corrected[after]] = ANIMAL
        for frame, pair in reversed(self._crossing[len(self._crossing) // 2 : -1]):
            owner = warp_labels(owner, self._find_motion(frame, after))
            to_animal, to_other = distance_to(owner == ANIMAL), distance_to(owner == OTHER)
            is_animal = pair & (to_animal <= to_other) & (to_animal <= self.radius)
            if not is_animal.any():  # hidden, or the flow has lost it
                break
            is_other = pair & ~is_animal & (to_other <= self.radius)
            owner = np.where(is_animal, ANIMAL, OTHER * is_other).astype("uint8")
            corrected[frame], after = is_animal, frame
        return corrected


def connected_regions(mask: np.ndarray) -> list[np.ndarray]:
    """The connected regions of a mask; all bool (h, w)."""
    count, regions = cv2.connectedComponents(mask.astype("uint8"), connectivity=8)
    return [regions == number for number in range(1, count)]


def shared_region(
    found: np.ndarray, animal: np.ndarray, others: np.ndarray, min_other: float
) -> np.ndarray | None:
    """The connected region that has a part of both, the one with most of the others.

    Args:
        found, animal, others: bool (h, w); the last two are parts of the first.
        min_other: of the others in it, share of the animal's area.

    Returns: bool (h, w), or None.
    """
    count, regions = cv2.connectedComponents(found.astype("uint8"), connectivity=8)
    of_animal, of_others = (
        np.bincount(regions[mask & found], minlength=count) for mask in (animal, others)
    )
    of_others[of_animal == 0] = 0
    most = int(np.argmax(of_others))
    if of_others[most] < max(1, min_other * np.count_nonzero(animal)):
        return None
    return regions == most


def heading(mask: np.ndarray, motion: Motion | None) -> np.ndarray:
    """Where a mask, bool (h, w), moves from the frame before to its own: pixels to go right and
    down, the median over the mask."""
    return np.zeros(2) if motion is None else -np.median(motion.flow[mask], axis=0)


def moved(mask: np.ndarray, way: np.ndarray) -> np.ndarray:
    """A mask, bool (h, w), shifted by so many pixels to the right and down."""
    matrix = np.float32([[1, 0, way[0]], [0, 1, way[1]]])
    return cv2.warpAffine(mask.astype("uint8"), matrix, mask.shape[::-1]) > 0


def likeness_of(region: np.ndarray, expected: np.ndarray) -> float:
    """How well a region fits what is expected, both bool (h, w): intersection over union, plus how
    near their centres are. 0..2."""
    if not expected.any():
        return 0.0
    overlap = np.count_nonzero(region & expected) / np.count_nonzero(region | expected)
    centre, other_centre = (np.argwhere(mask).mean(axis=0) for mask in (region, expected))
    distance = np.hypot(*(centre - other_centre)) / np.sqrt(np.count_nonzero(region))
    return overlap + float(np.exp(-distance))
