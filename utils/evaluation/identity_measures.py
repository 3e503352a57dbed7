"""Whether a mask stays on its animal: lost frames, identity switches and IDF1, beside J.

A track is what one label became: the masks of one number through the video. The animals are those
of the annotations. A frame counts for an animal only if its annotation shows it, and the first
frame, which is labelled, never counts.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from utils.media.labels import VOID
from utils.media.regions import distance_to, touching

LOST_BELOW = 0.1  # J; also the least J at which a mask is said to be on an animal
MATCHED_FROM = 0.5  # J at which IDF1 counts a mask as found, as in TrackEval


@dataclass(frozen=True)
class IdentityScore:
    """How well one track followed its animal.

    Attributes:
        frames: indices of the frames that count.
        j: region similarity with the animal in each of them, 0..1.
        switches: how often the animal on which the mask is changed.
        idf1: 0..1, of this track and this animal alone.
    """

    frames: tuple[int, ...]
    j: tuple[float, ...]
    switches: int
    idf1: float

    @property
    def mean_j(self) -> float:
        return float(np.mean(self.j)) if self.j else float("nan")

    @property
    def lost(self) -> int:
        """The number of frames in which the animal is in view and the mask is not on it."""
        return sum(value < LOST_BELOW for value in self.j)


def overlaps(mask: np.ndarray, annotation: np.ndarray, animals: Sequence[int]) -> np.ndarray:
    """J of one mask with each animal of a frame.

    Args:
        mask: bool (H, W).
        annotation: uint8 (H, W): 0 background, numbers of animals, 255 void.
        animals: their numbers.

    Returns: float (number of animals,), 0..1; NaN for an animal that the annotation does not show.
    """
    if mask.shape != annotation.shape:
        raise ValueError(f"the mask is {mask.shape}, its annotation {annotation.shape}")
    area = np.bincount(annotation.ravel(), minlength=256)
    shared = np.bincount(annotation[mask], minlength=256)
    numbers = np.asarray(animals, int)
    union = area[numbers] + (shared.sum() - shared[VOID]) - shared[numbers]
    return np.where(area[numbers] > 0, shared[numbers] / np.maximum(union, 1), np.nan)


def score_identity(
    pairs: Iterable[tuple[np.ndarray, np.ndarray]], animals: Sequence[int], animal: int
) -> IdentityScore:
    """Scores the track of one labelled animal.

    Args:
        pairs: per frame of the video, the mask, bool (H, W), and the annotation, as of `overlaps`.
        animals: the numbers of all animals that the annotations show.
        animal: the labelled one.
    """
    own = list(animals).index(animal)
    frames, values, has_mask = [], [], []
    for index, (mask, annotation) in enumerate(pairs):
        found = overlaps(mask, annotation, animals)
        if index and not np.isnan(found[own]):
            frames.append(index)
            values.append(found)
            has_mask.append(bool(mask.any()))
    j = tuple(float(found[own]) for found in values)
    matched = np.array([[sum(value >= MATCHED_FROM for value in j)]])
    return IdentityScore(
        tuple(frames),
        j,
        count_switches(values, own),
        identity_f1(matched, [len(frames)], [sum(has_mask)]),
    )


def count_switches(values: Iterable[np.ndarray], own: int) -> int:
    """Identity switches of one track: how often the animal changes with which its mask overlaps
    best.

    Where the mask is on none of the animals (J below LOST_BELOW with each), it stays with the last
    one: a jump to nothing is a loss, no switch.

    Args:
        values: per frame, J of the mask with each animal, NaN where it is not in view.
        own: the place of the animal with which the track begins.
    """
    switches, last = 0, own
    for found in values:
        found = np.nan_to_num(found)
        best = int(found.argmax())
        if found[best] >= LOST_BELOW and best != last:
            switches, last = switches + 1, best
    return switches


def identity_f1(matched: np.ndarray, in_view: Sequence[int], masks: Sequence[int]) -> float:
    """IDF1 (Ristani et al., 2016): share of the masks and animals that have the right identity.

    Tracks and animals are paired one to one over the whole video, so that as many frames as
    possible match, as in TrackEval.

    Args:
        matched: (tracks, animals), frames in which J of the two is at least MATCHED_FROM.
        in_view: per animal, frames in which it is annotated.
        masks: per track, frames in which its mask is not empty.

    Returns: 0..1; 1 if there is neither a mask nor an animal.
    """
    found = matched[linear_sum_assignment(matched, maximize=True)].sum()
    total = sum(in_view) + sum(masks)
    return float(2 * found / total) if total else 1.0


@dataclass(frozen=True, eq=False)
class TrackedFrame:
    """One frame in which several animals are followed, each by the track of its label.

    Attributes:
        animals: indices of the animals that are in view.
        tracks: of these, indices of those whose tracks have a mask.
        j: float (animals, tracks), region similarity, 0..1.
    """

    animals: np.ndarray
    tracks: np.ndarray
    j: np.ndarray


def track_frame(masks: np.ndarray, annotation: np.ndarray, animals: Sequence[int]) -> TrackedFrame:
    """What `tracks_f1` and `track_switches` need of a frame. Where the annotation lacks an animal,
    its track counts for nothing: what it should be on is not known.

    Args:
        masks: uint8 (H, W), by the numbers of the labels.
        annotation: as of `overlaps`.
        animals: the labelled animals; annotations and masks have the same numbers.
    """
    j = np.array([overlaps(masks == number, annotation, animals) for number in animals])
    in_view = np.flatnonzero(~np.isnan(j[0]))
    has_mask = [place for place in in_view if (masks == animals[place]).any()]
    return TrackedFrame(in_view, np.array(has_mask, int), j.T[np.ix_(in_view, has_mask)])


def tracks_f1(frames: Sequence[TrackedFrame], num_animals: int) -> float:
    """IDF1 of all tracks and animals together, see `identity_f1`."""
    matched = np.zeros((num_animals, num_animals))
    in_view, masks = np.zeros(num_animals, int), np.zeros(num_animals, int)
    for frame in frames:
        matched[np.ix_(frame.animals, frame.tracks)] += frame.j >= MATCHED_FROM
        in_view[frame.animals] += 1
        masks[frame.tracks] += 1
    return identity_f1(matched.T, in_view, masks)


def track_switches(frames: Iterable[TrackedFrame]) -> int:
    """Identity switches of several animals, as in TrackEval (CLEAR MOT): how often an animal is
    matched with another track than when it was last matched.

    Tracks and animals are paired one to one, first those that were paired in the frame before,
    then by overlap; pairs overlap by MATCHED_FROM at least.
    """
    switches, last, before = 0, {}, {}
    for frame in frames:
        if not len(frame.animals) or not len(frame.tracks):
            continue
        goes_on = [[before.get(a) == t for t in frame.tracks] for a in frame.animals]
        score = np.where(frame.j >= MATCHED_FROM, 1000.0 * np.array(goes_on) + frame.j, 0)
        pairs = zip(*linear_sum_assignment(score, maximize=True), strict=True)
        before = {
            frame.animals[animal]: frame.tracks[track]
            for animal, track in pairs
            if score[animal, track] > 0
        }
        switches += sum(bool(last.get(animal, track) != track) for animal, track in before.items())
        last |= before
    return switches


def split_by_annotation(found: np.ndarray, annotation: np.ndarray, animal: int) -> np.ndarray:
    """What would be left of a mask of all animals if every identity were known.

    Each pixel goes to the nearest animal of the annotation; of those that go to this animal, the
    connected regions that reach it remain.

    Args:
        found: bool (H, W), what the network takes for an animal.
        annotation: as of `overlaps`; shows the animal.
        animal: its number.

    Returns: bool (H, W).
    """
    truth = annotation == animal
    others = ~np.isin(annotation, (0, animal, VOID))
    nearest = found & (distance_to(truth) <= distance_to(others))
    return touching(nearest, truth)
