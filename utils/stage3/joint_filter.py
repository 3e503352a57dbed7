"""Several labelled animals in what one network finds of all of them, frame by frame.

The network knows what an animal is, not which one: that follows from where each of them was. All
are followed at once, so that every pixel goes to one of them or to none. Where two have been in one
region and stand apart again, who is who is asked as everywhere (`utils.stage3.crossing`), for each
pair by itself. An animal of which the label shows little, since another one is in front of it, is
what then comes out from behind that one.
"""

from collections import deque
from collections.abc import Callable, Sequence
from itertools import combinations

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from utils.media.labels import VOID
from utils.media.regions import distance_to, rectangle_around
from utils.stage3.crossing import CrossingWatch, connected_regions
from utils.stage3.hidden_animals import hidden_animals
from utils.stage3.hidden_parts import MEMORY
from utils.stage3.motion import MIN_RELIABLE, Motion, reliable_share, warp_mask
from utils.stage3.separation import SeparationWatch
from utils.stage3.settings import Preset, Separation
from utils.stage3.sharing import Sharing
from utils.stage3.temporal_filter import (
    EDGE_PX,
    carry,
    far_at_the_edge,
    move_background,
)

MIN_GIFT = 0.1  # share of a newcomer: a smaller piece is nobody's and says nothing
IMPOSSIBLE = 1e9  # pixels: no animal is so far away


class JointFilter:
    """Follows animals that are all labelled in one frame; call it frame by frame, going away from
    it.

    Args:
        preset: whose refinement, separation and crossing count.
        sharing: see `Sharing`.
        find_motion: from one frame to another, both by their indices.
        label: uint8 (h, w), 0 background, 1..254 animals, 255 void: the frame to start from.

    Attributes:
        numbers: of the animals.
        regions: number -> bool (h, w), the animal when it was last seen.
        others: bool (h, w), what was found in the last frame and is none of the animals.
    """

    def __init__(
        self,
        preset: Preset,
        sharing: Sharing,
        find_motion: Callable[[int, int], Motion | None],
        label: np.ndarray,
    ):
        self.refinement = preset.refinement
        self.sharing = sharing
        self.numbers = [int(number) for number in np.unique(label) if number not in (0, VOID)]
        self.regions = {number: label == number for number in self.numbers}
        self.others = np.zeros(label.shape, bool)
        self._areas = {n: deque([np.count_nonzero(r)], MEMORY) for n, r in self.regions.items()}
        self._frames_since = dict.fromkeys(self.numbers, 0)
        self._known_background = label == 0
        # Slivers in the label, of animals that are still to come out.
        self._hidden = set(hidden_animals(self.regions, sharing))
        self._has_newcomers = preset.separation is not None
        separation = preset.separation or (Separation() if self._hidden else None)
        self._separations = {
            number: SeparationWatch(separation, find_motion)
            for number in (self.numbers if separation else ())
        }
        radius = self.refinement.radius * float(np.hypot(*label.shape))
        self._crossings = {
            (one, other): CrossingWatch(
                preset.crossing, radius, find_motion, (self.regions[one], self.regions[other])
            )
            for one, other in (combinations(self.numbers, 2) if preset.crossing else ())
        }
        self._least_seen = dict.fromkeys(self._crossings, 1.0)
        self._is_crowded = dict.fromkeys(self._crossings, False)
        self._groups: list[set[int]] = []  # the animals that share a piece of the last frame
        self._undecided = np.zeros(label.shape, bool)  # what is too small to be a lost animal yet
        self._frames: dict[int, dict[int, np.ndarray]] = {}  # what the watches may change
        watched = [settings.memory for settings in (separation, preset.crossing) if settings]
        self._memory = 2 + max(watched, default=0)

    def __call__(
        self, frame: int, probability: np.ndarray, motion: Motion | None, distance_frames: int
    ) -> dict[int, dict[int, np.ndarray]]:
        """Looks at the next frame.

        Args:
            frame: its index.
            probability: uint8 (h, w), 0..255, of any of the animals.
            motion: from this frame to that of the call before (of the label at first).
            distance_frames: how many frames of the video that frame is away.

        Returns: frame -> number -> bool (h, w), the animals in this frame and, where this frame
            has shown who is who in them, in earlier ones. Regions have no pixel in common.
        """
        found = probability > self.refinement.threshold * 255
        owner = self._sort(found, motion, distance_frames)
        self._frames[frame] = {number: owner == number for number in self.numbers}
        if len(self._frames) > self._memory:
            del self._frames[next(iter(self._frames))]
        changed = {frame} | self._take_newcomers_out(frame, motion)
        changed |= self._tell_crossed_apart(frame, motion)
        self._remember(found, self._frames[frame], distance_frames)
        return {index: dict(self._frames[index]) for index in changed}

    def expect(self, motion: Motion | None) -> np.ndarray | None:
        """Where the animals that are in sight are expected in the next frame, bool (h, w); None if
        all are lost.

        Args:
            motion: from that frame to the last one.
        """
        seen = [self.regions[n] for n, since in self._frames_since.items() if not since]
        if not seen:
            return None
        everyone = np.any(seen, axis=0)
        return warp_mask(everyone, motion) | everyone

    @property
    def is_in_doubt(self) -> bool:
        """Whether an animal has just been lost, so that it is to be looked for everywhere."""
        return any(0 < since <= self.sharing.patience for since in self._frames_since.values())

    def _sort(self, found, motion, distance_frames) -> np.ndarray:
        """Whose each pixel is, uint8 (h, w): the number of an animal, or 0."""
        diagonal = np.hypot(*found.shape)
        radius = self.refinement.radius * diagonal * distance_frames
        carried = {n: carry(region, motion) for n, region in self.regions.items()}
        seen = [n for n in self.numbers if self._frames_since[n] <= self.sharing.patience]
        others = self._others(found, carried, motion, diagonal)
        distances = np.stack([distance_to(carried[n]) for n in seen] + [distance_to(others)])
        owners = np.array([*seen, 0], "uint8")
        count, pieces = cv2.connectedComponents(found.astype("uint8"), connectivity=8)
        nearest = np.full((len(owners), count), np.inf, "float32")
        for place, distance in enumerate(distances):
            np.minimum.at(nearest[place], pieces[found], distance[found])
        # A piece that some of them touch is divided between these, another one goes to the nearest.
        may_own = (nearest == nearest.min(axis=0)) & (nearest <= radius)
        distances[~may_own[:, pieces]] = np.inf
        owner = np.where(found, _nearest_of(distances, owners), 0).astype("uint8")
        self._give_slices_away(owner, pieces, count, distances, owners)
        stays = [carried[number] & found for number in self.numbers]
        strange = np.bincount(pieces[others & found], minlength=count)
        self._return_lost(owner, pieces, stays, strange, diagonal, distance_frames)
        areas = _areas_in(pieces, count, [owner == number for number in self.numbers])
        numbers = np.array(self.numbers)
        self._groups = [{*numbers[of_piece > 0].tolist()} for of_piece in areas.T]
        return owner

    def _others(self, found, carried, motion, diagonal):
        """What is none of the animals: as `TemporalFilter`, but kept while one is lost."""
        known = self._known_background = move_background(
            self._known_background, found, motion, self.refinement.min_reliable
        )
        everyone = np.any(list(carried.values()), axis=0)
        away = distance_to(everyone)
        is_new = known & (away > self.refinement.margin * diagonal)
        if self.refinement.entrance and not any(self._frames_since.values()):
            enters = far_at_the_edge(everyone, self.refinement.entrance * diagonal)
            # What enters may be the nearest animal where hardly any of its flow is reliable.
            unsure = [c for c in carried.values() if reliable_share(motion, c) < MIN_RELIABLE]
            if unsure:
                enters &= away < distance_to(np.any(unsure, axis=0))
            is_new |= enters
        return warp_mask(self.others, motion) | (found & is_new)

    def _give_slices_away(self, owner, pieces, count, distances, owners):
        """Of a piece that is not where most of an animal is, the animal keeps nothing if a fair
        share belongs to others."""
        areas = _areas_in(pieces, count, [owner == number for number in self.numbers])
        sizes = np.maximum(np.bincount(pieces.ravel(), minlength=count), 1)
        main = np.zeros_like(areas, bool)
        main[np.arange(len(areas)), areas.argmax(axis=1)] = True
        given = (areas > 0) & ~main & (sizes - areas >= self.sharing.min_share_of_others * sizes)
        for place, number in enumerate(self.numbers):
            slices = given[place][pieces] & (owner == number)
            if slices.any():
                of_others = distances[:, slices]
                of_others[owners == number] = np.inf
                owner[slices] = _nearest_of(of_others, owners)

    def _return_lost(self, owner, pieces, stays, strange, diagonal, distance_frames):
        """A whole piece that no animal needs, since it has most of itself elsewhere, is a lost one
        of about its size that was last seen nearby, unless it is known to be something else."""
        count = len(strange)
        areas = _areas_in(pieces, count, [owner == number for number in self.numbers])
        typical = np.array([self._typical_area(number) for number in self.numbers])
        is_lost = areas.sum(axis=1) < self.sharing.lost * typical
        elsewhere = areas.sum(axis=1, keepdims=True) - areas
        is_needed = (areas > 0) & (elsewhere < self.sharing.main * typical[:, None])
        common = _areas_in(pieces, count, stays)  # an animal needs the piece in which it was
        is_needed |= (common > 0) & (common == common.max(axis=1, keepdims=True))
        sizes = np.bincount(pieces.ravel(), minlength=count)
        is_free = ~is_needed[~is_lost].any(axis=0) & (2 * strange < sizes)
        low, high = self.sharing.area
        cost = np.full(areas.shape, IMPOSSIBLE)
        self._undecided = np.zeros(owner.shape, bool)
        for place in np.flatnonzero(is_lost):
            number = self.numbers[place]
            since = self._frames_since[number] + distance_frames
            reach = self.sharing.reach * diagonal * (1 + self.sharing.roaming * since)
            growth = sizes / typical[place]
            for piece in 1 + np.flatnonzero((is_free & (growth <= high))[1:]):
                region = pieces == piece
                away = _centre_distance(region, self.regions[number])
                if away > reach:
                    continue
                if growth[piece] >= low:
                    cost[place, piece] = away
                else:  # it may be coming out of hiding
                    self._undecided |= region
        for place, piece in zip(*linear_sum_assignment(cost), strict=True):
            if cost[place, piece] < IMPOSSIBLE:
                owner[owner == self.numbers[place]] = 0
                owner[pieces == piece] = self.numbers[place]

    def _take_newcomers_out(self, frame, motion) -> set[int]:
        newcomers = {}
        for number, watch in self._separations.items():
            without = watch(frame, self._frames[frame][number], motion)
            if without:
                newcomers[number] = {
                    index: self._frames[index][number] & ~region
                    for index, region in without.items()
                }
                for index, region in without.items():
                    self._frames[index][number] = region
                self._measure_anew(number, frame)
        # Only now is anything given away: to its new owner's watch it would be a newcomer.
        for front, newcomer in newcomers.items():
            self._give_to_hidden(newcomer, frame, front)
        return {index for newcomer in newcomers.values() for index in newcomer}

    def _give_to_hidden(self, newcomer, frame, front) -> None:
        """What came out from behind an animal is the labelled one that was hidden there, if there
        is one. Otherwise it belongs to none of them, unless there are no others: then it stays."""
        birth = next((index for index, region in newcomer.items() if region.any()), frame)
        area = np.count_nonzero(newcomer[frame])
        heirs = self._hidden_near(newcomer, birth, frame, front) if area else []
        if not heirs:
            if not self._has_newcomers:
                self._add(front, newcomer, frame)
            return
        away = {heir: distance_to(self._last_seen(heir, birth)) for heir in heirs}
        parts = connected_regions(newcomer[frame])
        if sum(np.count_nonzero(part) > MIN_GIFT * area for part in parts) == 1:
            heirs = [min(heirs, key=lambda heir: away[heir][newcomer[birth]].min())]
        gifts = {heir: {} for heir in heirs}
        for index, region in newcomer.items():
            for piece in connected_regions(region):
                heir = min(heirs, key=lambda number: away[number][piece].min())
                gifts[heir][index] = gifts[heir].get(index, False) | piece
        for heir, regions in gifts.items():
            if np.count_nonzero(regions.get(frame, False)) > MIN_GIFT * area:
                self._hidden.discard(heir)
                self._add(heir, regions, frame)

    def _add(self, number, regions, frame) -> None:
        for index, region in regions.items():
            self._frames[index][number] = self._frames[index][number] | region
        self._measure_anew(number, frame)
        changed = {index: self._frames[index][number] for index in regions}
        self._separations[number].correct(changed)

    def _hidden_near(self, newcomer, birth, frame, front) -> list[int]:
        """The animals that may be what has come out from behind another one: slivers in the label
        that still were when it came into sight, and those that were lost inside the frame."""
        at_birth = self._frames[birth] | {front: self._frames[birth][front] | newcomer[birth]}
        near = distance_to(at_birth[front])
        near = near <= self.refinement.radius * np.hypot(*near.shape)
        slivers = hidden_animals(at_birth, self.sharing)
        area, heirs = np.count_nonzero(newcomer[frame]), []
        for number in self.numbers:
            typical = self._typical_area(number)
            in_sight = np.count_nonzero(self._frames[frame][number])
            if number in self._hidden and (number in slivers or not at_birth[number].any()):
                is_hidden = in_sight < self.sharing.sliver * self._typical_area(front)
            else:
                is_lost = in_sight < self.sharing.lost * typical
                fits = area <= self.sharing.area[1] * typical
                is_hidden = is_lost and fits and not _at_the_edge(self.regions[number])
            if number != front and is_hidden and (self._last_seen(number, birth) & near).any():
                heirs.append(number)
        return heirs

    def _last_seen(self, number, frame) -> np.ndarray:
        region = self._frames[frame][number]
        return region if region.any() else self.regions[number]

    def _measure_anew(self, number, frame) -> None:
        """The areas so far may have counted another animal."""
        area = np.count_nonzero(self._frames[frame][number])
        if area:
            self._areas[number] = deque([area], MEMORY)

    def _tell_crossed_apart(self, frame, motion) -> set[int]:
        changed = set()
        for pair, watch in self._crossings.items():
            now = self._frames[frame]
            one, other = (now[number] for number in pair)
            if one.any() and not watch.goes_on and not _touch(one, other):
                watch.stand_apart(one, other, motion)
                continue
            told_apart = watch(frame, one | other, one, other, motion)
            self._is_crowded[pair] |= self._meets_others(pair)
            is_clear = told_apart and not self._is_swap(pair, one, told_apart[frame])
            if is_clear and not self._is_crowded[pair]:
                self._change_owners(pair, told_apart)
                for number in pair:
                    self._measure_anew(number, frame)
                changed |= told_apart.keys()
            seen = min(self._share_seen(number, now[number]) for number in pair)
            self._least_seen[pair] = min(self._least_seen[pair], seen) if watch.goes_on else 1.0
            self._is_crowded[pair] &= watch.goes_on
        return changed

    def _meets_others(self, pair) -> bool:
        """Whether a region of the pair is that of a third animal as well."""
        return any(not numbers.isdisjoint(pair) and numbers - {*pair} for numbers in self._groups)

    def _share_seen(self, number, region) -> float:
        return np.count_nonzero(region) / self._typical_area(number)

    def _typical_area(self, number) -> float:
        return max(1.0, float(np.median(self._areas[number])))

    def _is_swap(self, pair, region, told) -> bool:
        """Whether the two would change places although the flow has followed both throughout."""
        common = np.count_nonzero(told & region)
        is_against_flow = common < self.sharing.common * np.count_nonzero(told)
        return is_against_flow and self._least_seen[pair] >= self.sharing.followed

    def _change_owners(self, pair, told_apart) -> None:
        for index, region in told_apart.items():
            regions = self._frames[index]
            both = regions[pair[0]] | regions[pair[1]]
            for number, changed in zip(pair, (region & both, both & ~region), strict=True):
                regions[number] = changed
        for number in pair:
            if number in self._separations:
                self._separations[number].correct(
                    {index: self._frames[index][number] for index in told_apart}
                )

    def _remember(self, found, regions, distance_frames):
        self.others = found & ~self._undecided & ~np.any(list(regions.values()), axis=0)
        self._known_background |= self.others
        for number, region in regions.items():
            area = np.count_nonzero(region)
            self._known_background &= ~region
            typical = self._typical_area(number)
            if area < self.sharing.lost * typical:
                self._frames_since[number] += distance_frames
                continue
            self.regions[number], self._frames_since[number] = region, 0
            # Neither a slice nor two animals in one say how large it is.
            low, high = self.sharing.change
            self._areas[number].append(np.clip(area, low * typical, high * typical))


def _at_the_edge(region: np.ndarray) -> bool:
    """Whether a mask, bool (h, w), reaches the frame's edge, so that it may have left."""
    inside = region[EDGE_PX:-EDGE_PX, EDGE_PX:-EDGE_PX]
    return np.count_nonzero(inside) < np.count_nonzero(region)


def _touch(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two masks, bool (h, w), have neighbouring pixels."""
    if not one.any() or not other.any():
        return False
    box = rectangle_around(one, 1).slices
    around = cv2.dilate(one[box].astype("uint8"), np.ones((3, 3), "uint8"))
    return bool((around & other[box]).any())


def _areas_in(pieces: np.ndarray, count: int, masks: Sequence[np.ndarray]) -> np.ndarray:
    """Pixels of each mask, bool (h, w), in each piece, int (masks, count)."""
    return np.array([np.bincount(pieces[mask], minlength=count) for mask in masks])


def _nearest_of(distances: np.ndarray, owners: np.ndarray) -> np.ndarray:
    """The owner at the least distance, (...) of (owners, ...); 0 where all are infinite."""
    return np.where(np.isfinite(distances.min(axis=0)), owners[distances.argmin(axis=0)], 0)


def _centre_distance(one: np.ndarray, other: np.ndarray) -> float:
    """Pixels between the centres of two masks, bool (h, w)."""
    return float(np.hypot(*(np.argwhere(one).mean(axis=0) - np.argwhere(other).mean(axis=0))))
