"""Another animal that came out from behind the labelled one: found when the two stand apart, and
taken out of the frames before.

While the two touch they are one region, and nothing in a single frame says where the one ends.
Going forward, pixels of a newcomer appear out of nothing. Going backward they only disappear, so
almost every pixel has a successor whose owner is known. Therefore, once a region has come apart,
its pieces are followed back along the optical flow: the piece that vanishes on the way is the
newcomer. Parts of the labelled animal do not vanish, and parts that were hidden do not add another
animal's area.
"""

from collections import deque
from collections.abc import Callable

import cv2
import numpy as np

from utils.media.regions import distance_to, number_pieces_across_gaps, rectangle_around, touching
from utils.stage3.motion import MIN_RELIABLE, Motion, reliable_share, warp_labels, warp_mask
from utils.stage3.settings import Separation

MIN_PIECE = 0.03  # share of the region's area: smaller ones say nothing
MIN_STAYS = 0.3  # share of an area that is no newcomer's; with less, it is not clear who is who
SMOOTH_PX = 7  # side of the neighbourhood that decides to whom a pixel belongs
MAX_BIRTHS = 8  # of strays that are told apart; of more, the two oldest count as one


class SeparationWatch:
    """Watches the regions of one animal, frame by frame, going away from a label.

    Args:
        settings: see `Separation`.
        find_motion: from one frame to another, both by their indices.
    """

    def __init__(self, settings: Separation, find_motion: Callable[[int, int], Motion | None]):
        self.settings = settings
        self._find_motion = find_motion
        self._seen: deque[tuple[int, np.ndarray]] = deque(maxlen=settings.memory)
        self._frames_apart = 0
        # Frame -> pieces that came from elsewhere, uint8: 0, or 1.. in the order of their births.
        self._strays: dict[int, np.ndarray] = {}
        self._births = 0
        self._frames_unclear = 0  # in a row, in which hardly anything is left without them

    def __call__(
        self, frame: int, region: np.ndarray, motion: Motion | None
    ) -> dict[int, np.ndarray]:
        """Looks at the next frame.

        Args:
            frame: its index.
            region: bool (H, W), what continues the animal.
            motion: from this frame to that of the call before.

        Returns: frame -> bool (H, W), the region without the newcomer, for this frame and those
            before, if this frame shows that a part of the region is one; else nothing.
        """
        newcomer = self._follow_strays(frame, region, motion)
        self._seen.append((frame, region))
        pieces, count = pieces_apart(region, self.settings.gap)
        self._frames_apart = self._frames_apart + 1 if count > 1 else 0
        # Tried again later, since most of a newcomer may still be hidden.
        times_apart, remainder = divmod(self._frames_apart, self.settings.frames)
        if times_apart and not remainder and times_apart & (times_apart - 1) == 0:
            newcomer = newcomer or self._trace_back(pieces, count)
        return self._take_out(newcomer) if newcomer else {}

    def correct(self, regions: dict[int, np.ndarray]) -> None:
        """Takes over regions of frames that were looked at, bool (H, W), which are known better by
        now."""
        self._frames_apart = 0
        self._forget_strays()
        for place, (seen, mask) in enumerate(self._seen):
            self._seen[place] = (seen, regions.get(seen, mask))

    def _follow_strays(self, frame, region, motion) -> dict[int, np.ndarray]:
        """Follows pieces that were not a part of the region when they appeared; frame -> those that
        are taken out, once all of them together are so large that they are another animal. If
        without them hardly anything is left of the animal, they may be the animal."""
        strays = self._find_strays(region, motion)
        area, whole = np.count_nonzero(strays), np.count_nonzero(region)
        if not area:
            self._forget_strays()
            return {}
        # What grows by more than its own size was found by chance near a stray.
        if self._strays:
            last = next(reversed(self._strays.values()))
            grown = np.isin(strays, last[last > 0])
            if np.count_nonzero(grown) > 2 * np.count_nonzero(last):
                self._strays = {}
        self._strays[frame] = strays
        if len(self._strays) > self.settings.memory:
            del self._strays[next(iter(self._strays))]
        alone = [np.count_nonzero(mask & (self._strays.get(f, 0) == 0)) for f, mask in self._seen]
        most = max(alone, default=whole)
        if whole - area < MIN_STAYS * most:
            self._frames_unclear += 1
            if self._frames_unclear >= self.settings.frames:
                # The animal itself: it has come out on the other side of a post.
                self._forget_strays()
            return {}
        self._frames_unclear = 0
        is_large = area >= self.settings.min_area * (whole - area) > 0
        if is_large and whole >= self.settings.growth * most:
            return self._newest_strays(whole - most)
        return {}

    def _find_strays(self, region, motion):
        """The strays of the next frame, uint8 (H, W) as in `_strays`: where those of the frame
        before have gone, and what has appeared apart from everything."""
        strays = np.zeros(region.shape, "uint8")
        if not self._seen or not self._seen[-1][1].any():
            return strays
        before = self._seen[-1][1]
        if self._strays:
            owner = before * (1 + next(reversed(self._strays.values())))
            strays = np.maximum(inherit(owner, region, motion, 1 + self._births), 1) - 1
        carried = warp_mask(before, motion)
        new = region & ~touching(region, carried)
        if carried.any() and new.any():
            strays[new] = self._next_birth(strays)
        return strays

    def _next_birth(self, strays) -> int:
        """The number of what has just appeared; changes those in `strays` and in `_strays`."""
        if self._births and not (strays == self._births).any():
            return self._births  # what appeared last is gone, as specks are
        if self._births == MAX_BIRTHS:
            for numbers in (strays, *self._strays.values()):
                numbers[numbers > 1] -= 1
            self._births -= 1
        self._births += 1
        return self._births

    def _newest_strays(self, area: int) -> dict[int, np.ndarray]:
        """Which strays are taken out: as few of the newest as together have this area, pixels,
        since an older one may be a part of the animal that was hidden; all if the others have it
        as well.

        Returns: frame -> bool (H, W), of the last frame and those before.
        """
        strays = next(reversed(self._strays.values()))
        for birth in range(self._births, 0, -1):
            if np.count_nonzero(strays >= birth) >= area:
                break
        if np.count_nonzero((strays > 0) & (strays < birth)) >= area:
            birth = 1
        newest = {}
        for frame, numbers in reversed(self._strays.items()):
            if not (numbers >= birth).any():
                break  # before that, something else may have had the number
            newest[frame] = numbers >= birth
        return newest

    def _forget_strays(self):
        self._strays, self._births, self._frames_unclear = {}, 0, 0

    def _take_out(self, newcomer: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
        corrected = {
            frame: mask & ~newcomer[frame] for frame, mask in self._seen if frame in newcomer
        }
        older = {
            frame: np.where(newcomer[frame], np.uint8(0), numbers) if frame in newcomer else numbers
            for frame, numbers in self._strays.items()
        }
        self.correct(corrected)
        # Whether they are parts of the animal is still open.
        last = next(reversed(older.values()), None)
        if last is not None and last.any():
            self._strays, self._births = older, int(last.max())
        return corrected

    def _trace_back(self, pieces: np.ndarray, count: int) -> dict[int, np.ndarray]:
        """Follows the pieces of the last frame back; frame -> the newcomer, if one of them is."""
        owners = {self._seen[-1][0]: pieces}
        largest = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
        vanished_at, reliable = {}, []
        after, owner = self._seen[-1][0], pieces
        for frame, region in list(self._seen)[-2::-1]:
            motion = self._find_motion(frame, after)
            reliable.append(reliable_share(motion, region))
            owner = inherit(owner, region, motion, count)
            areas = np.bincount(owner.ravel(), minlength=count + 1)[1:]
            owners[frame] = owner
            largest = np.maximum(largest, areas)  # by now it may be leaving the frame
            for piece in np.flatnonzero(areas < self.settings.vanished * largest):
                vanished_at.setdefault(int(piece), (frame, np.count_nonzero(region)))
            after = frame
            if len(vanished_at) >= count - 1:
                break
        if reliable and np.median(reliable) < MIN_RELIABLE:
            return {}  # as where a dog bends so fast that its rear "vanishes"
        return self._judge(owners, largest, vanished_at)

    def _is_far(self, owners, piece, vanished_at) -> bool:
        """Whether a piece that touched the animal at birth is now farther away than it is long. A
        part that was hidden by something in between is apart from the beginning."""
        frames = [frame for frame, _ in self._seen if frame in owners]
        birth = frames[frames.index(vanished_at[piece][0]) + 1]
        gap, first_gap = (_gap(owners[f], piece, vanished_at) for f in (frames[-1], birth))
        least = self.settings.gap * np.hypot(*owners[birth].shape)
        side = np.sqrt(np.count_nonzero(owners[frames[-1]] == piece + 1))
        return first_gap <= least and gap > max(self.settings.far * side, 2 * least)

    def _judge(self, owners, largest, vanished_at) -> dict[int, np.ndarray]:
        """Which of the pieces that vanished are other animals, if any."""
        newcomers = []
        last = owners[self._seen[-1][0]]
        now = np.bincount(last.ravel(), minlength=len(largest) + 1)[1:]
        stays = sum(area for piece, area in enumerate(now) if piece not in vanished_at)
        if stays < MIN_STAYS * now.sum():
            return {}
        together = max(np.count_nonzero(owner) for owner in owners.values())
        for piece, (_, area_before) in vanished_at.items():
            is_large = largest[piece] >= self.settings.min_area * stays
            adds_up = together >= self.settings.growth * area_before
            if (is_large and adds_up) or self._is_far(owners, piece, vanished_at):
                newcomers.append(piece)
        if not newcomers:
            return {}
        numbers = [piece + 1 for piece in newcomers]
        return {frame: np.isin(owner, numbers) for frame, owner in owners.items()}


def _gap(owner, piece, vanished_at) -> float:
    """Pixels between a piece and those that did not vanish."""
    others = [n for n in range(1, owner.max() + 1) if n - 1 not in vanished_at]
    stays, mask = np.isin(owner, others), owner == piece + 1
    if not stays.any() or not mask.any():
        return 0.0
    return float(distance_to(stays)[mask].min())


def pieces_apart(region: np.ndarray, gap: float) -> tuple[np.ndarray, int]:
    """Numbers the pieces of a region between which there is a gap.

    Args:
        region: bool (H, W).
        gap: share of the diagonal; pieces that are closer count as one.

    Returns: uint8 (H, W), 0 outside, 1..N, and N; small pieces belong to the nearest large one.
    """
    reach = max(1, round(gap * np.hypot(*region.shape)))
    pieces, count = number_pieces_across_gaps(region, reach | 1)
    areas = np.bincount(pieces[region], minlength=count)
    large = np.flatnonzero(areas >= max(1, MIN_PIECE * areas.sum()))[:254]
    if len(large) < 2:
        return region.astype("uint8"), len(large)
    numbers = np.zeros(count, "uint8")
    numbers[large] = np.arange(1, len(large) + 1)
    return fill_from_nearest(numbers[pieces] * region, region), len(large)


def inherit(owner: np.ndarray, region: np.ndarray, motion: Motion | None, count: int) -> np.ndarray:
    """To whom the pixels of a region belong, by where they go.

    Args:
        owner: uint8 (H, W), of the frame where they go: 0 nobody, 1..count.
        region: bool (H, W), of the frame where they come from.
        motion: from the region's frame to the owner's; None: nothing moves.
        count: number of owners.

    Returns: uint8 (H, W), 0 outside of the region, 1..count.
    """
    result = np.zeros(region.shape, "uint8")
    if not region.any():
        return result
    # Nothing is found or changed outside of the region.
    box = rectangle_around(region, SMOOTH_PX).slices
    owner, region = warp_labels(owner, motion)[box], region[box]
    owner = fill_from_nearest(owner * region, region)
    if owner.any():
        side = (SMOOTH_PX, SMOOTH_PX)
        votes = [cv2.blur((owner == n).astype("float32"), side) for n in range(1, count + 1)]
        result[box] = (1 + np.argmax(votes, axis=0)) * region
    return result


def fill_from_nearest(owner: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Gives pixels of a region without an owner, 0, to the nearest one; uint8 (H, W)."""
    if not owner.any():
        return owner
    _, nearest = cv2.distanceTransformWithLabels(
        (owner == 0).astype("uint8"), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    of_label = np.zeros(nearest.max() + 1, "uint8")
    of_label[nearest[owner > 0]] = owner[owner > 0]
    return of_label[nearest] * region
