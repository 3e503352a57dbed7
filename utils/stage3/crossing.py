"""Who is who when two animals that were one region come apart again.

While two animals of a kind cross, the network finds one region. Dividing it pixel by pixel along
the optical flow wears out: soon each has a slice of the other. When they stand apart again, whole
regions are compared with where both were heading before they met, and how large the labelled animal
was. If that is clear, each region goes to one of them, and so do the frames of the later half of
the crossing, followed back.
"""

from collections.abc import Callable

import cv2
import numpy as np

from utils.stage3.motion import Motion, warp_labels, warp_mask
from utils.stage3.settings import Crossing
from utils.stage3.temporal_filter import distance_to

MIN_PIECE_PX = 20  # of another animal before the crossing
ANIMAL, OTHER = 1, 2


class CrossingWatch:
    """Watches one animal and what is known to be something else, going away from a label.

    Args:
        settings: see `Crossing`.
        radius: pixels beyond which nothing in a frame before belongs to either.
        find_motion: from one frame to another, both by their indices.
    """

    def __init__(
        self,
        settings: Crossing,
        radius: float,
        find_motion: Callable[[int, int], Motion | None],
    ):
        self.settings = settings
        self.radius = radius
        self._find_motion = find_motion
        self._before: tuple[np.ndarray, np.ndarray, Motion | None] | None = None
        self._forget()

    @property
    def goes_on(self) -> bool:
        """Whether the animal has met another one, and they have not been told apart yet."""
        return self._has_met

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
            shows who is who; else nothing.
        """
        others = others & found
        if not animal.any():
            self._before = None
            self._forget()
            return {}
        if not self._has_met:
            shared = shared_region(found, animal, others, self.settings.min_other)
            if shared is None or self._before is None:
                self._before = (animal, others, motion)
                return {}
            self._meet(shared, motion)
            if not self._has_met:
                return {}
        self._met.append((frame, found))
        if len(self._met) > self.settings.memory:
            self._before = None
            self._forget()
            return {}
        apart = self._stand_apart(found, animal, others)
        self._frames_apart = self._frames_apart + 1 if len(apart) > 1 else 0
        if self._frames_apart < self.settings.frames:
            return {}
        pair = self._tell(apart)
        corrected = self._follow_back(animal, others, *pair) if pair else {}
        self._before = None
        self._forget()
        return corrected

    def _forget(self):
        self._has_met = False
        self._met: list[tuple[int, np.ndarray]] = []  # frames, and what was found in them
        self._frames_apart = 0

    def _meet(self, shared, motion):
        """Keeps the animal and the other that it has just met, and where they are heading."""
        animal, others, motion_before = self._before
        count, pieces = cv2.connectedComponents(others.astype("uint8"), connectivity=8)
        other = np.zeros_like(others)
        for piece in (pieces == number for number in range(1, count)):
            if (
                np.count_nonzero(piece) >= MIN_PIECE_PX
                and (warp_mask(piece, motion) & shared).any()
            ):
                other |= piece
        if other.any():
            self._start = [(mask, heading(mask, motion_before)) for mask in (animal, other)]
            self._has_met = True

    def _stand_apart(self, found, animal, others) -> list[np.ndarray]:
        """The regions of animal and others that are large enough to be one of them."""
        area, area_of_other = (np.count_nonzero(mask) for mask, _ in self._start)
        least = self.settings.min_region * min(area, max(area_of_other, 0.3 * area))
        count, regions, stats, _ = cv2.connectedComponentsWithStats(
            found.astype("uint8"), connectivity=8
        )
        large = (
            regions == number
            for number in range(1, count)
            if stats[number, cv2.CC_STAT_AREA] >= least
        )
        return [region for region in large if (region & (animal | others)).any()]

    def _tell(self, regions) -> tuple[np.ndarray, np.ndarray] | None:
        """Which region is the animal and which is the other; None if that is not clear."""
        elapsed = len(self._met)
        likeness = np.array(
            [
                [like(region, moved(mask, way * elapsed)) for mask, way in self._start]
                for region in regions
            ]
        )
        score, mine, its = max(
            (likeness[mine, 0] + likeness[its, 1], mine, its)
            for mine in range(len(regions))
            for its in range(len(regions))
            if mine != its
        )
        swapped = likeness[its, 0] + likeness[mine, 1]
        area = np.count_nonzero(regions[mine]) / np.count_nonzero(self._start[0][0])
        low, high = self.settings.area
        if score - swapped < self.settings.margin or not low <= area <= high:
            return None
        return regions[mine], regions[its]

    def _follow_back(self, animal, others, mine, its) -> dict[int, np.ndarray]:
        animal = animal & ~its | mine
        corrected = {self._met[-1][0]: animal}
        owner = np.where(animal, ANIMAL, OTHER * (others | its)).astype("uint8")
        after = self._met[-1][0]
        for frame, found in reversed(self._met[len(self._met) // 2 : -1]):
            owner = warp_labels(owner, self._find_motion(frame, after))
            to_animal, to_other = distance_to(owner == ANIMAL), distance_to(owner == OTHER)
            is_animal = found & (to_animal <= to_other) & (to_animal <= self.radius)
            is_other = found & ~is_animal & (to_other <= self.radius)
            owner = np.where(is_animal, ANIMAL, OTHER * is_other).astype("uint8")
            corrected[frame], after = is_animal, frame
        return corrected


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


def like(region: np.ndarray, expected: np.ndarray) -> float:
    """How well a region fits what is expected, both bool (h, w): intersection over union, plus how
    near their centres are. 0..2."""
    if not expected.any():
        return 0.0
    overlap = np.count_nonzero(region & expected) / np.count_nonzero(region | expected)
    centre, other_centre = (np.argwhere(mask).mean(axis=0) for mask in (region, expected))
    distance = np.hypot(*(centre - other_centre)) / np.sqrt(np.count_nonzero(region))
    return overlap + float(np.exp(-distance))
