"""What a person corrected in the masks of a video: operations on label maps.

A label map is uint8 (height, width), 0 background, else the number of an animal. Some operations
come with pixels, a label map of the same size per frame. `refit` says what an operation is still
good for when the video was segmented anew.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

# IoU at which a mask that is followed agrees with the one that is there. The network behind clicks
# has not learnt the video: on right masks of stage 3, from one frame to the next, it was 0.86 to
# 0.98 on a large, slow animal, and 0.72 to 0.84 on a small, quick one where it was found at all.
AGREES_FROM = (0.6, 0.7)  # after a correction of the whole mask, and after a smaller one
# IoU of a mask before and after it was drawn, from which on a correction stays in its frame.
SMALL_FROM = 0.85
SAME_PIECE_FROM = 0.5  # IoU at which a piece of a new mask is the one that was meant
SAME_ANIMAL_FROM = 0.5  # IoU at which another number's new mask is the animal that was drawn
MISTAKEN_FROM = 0.5  # share of a piece on a followed animal from which on it is that one's

ReadLabels = Callable[[int], np.ndarray]  # frame -> label map


@dataclass(frozen=True)
class Swap:
    """Two animals have each other's masks from one frame to another.

    Its pixels are the two as they were, in the first and in the last frame.
    """

    animals: tuple[int, int]
    first: int
    last: int
    kind: Literal["swap"] = "swap"

    def apply(self, frame: int, labels: np.ndarray, pixels: np.ndarray | None) -> np.ndarray:
        """The label map after the operation, a new array."""
        numbers = np.arange(256, dtype=np.uint8)
        numbers[list(self.animals)] = self.animals[::-1]
        return numbers[labels]

    def refit(self, labels_of: ReadLabels, pixels_of: ReadLabels) -> tuple[list[int], str]:
        """Only where the two are confused as they were, in the first frame (in the last, if the
        first showed neither) and not the other way round in the last. Returns: the frames in which
        it holds, and what does not."""
        at_first, at_last = (
            self._agreement(labels_of(frame), pixels_of(frame)) for frame in (self.first, self.last)
        )
        straight, crossed = at_first if pixels_of(self.first).any() else at_last
        if straight <= crossed:
            return [], "the new masks do not confuse these animals there"
        straight, crossed = at_last
        if crossed > straight:
            return [], "the new masks confuse these animals in other frames"
        return list(range(self.first, self.last + 1)), ""

    def _agreement(self, labels: np.ndarray, pixels: np.ndarray) -> tuple[int, int]:
        """Common pixels of the animals with what they were, and with what the other one was."""
        a, b = self.animals
        common = [np.count_nonzero((labels == x) & (pixels == y)) for x in (a, b) for y in (a, b)]
        return common[0] + common[3], common[1] + common[2]


@dataclass(frozen=True)
class MovePiece:
    """A connected piece of an animal's mask goes to another one, or to the background (0).

    Its pixels are the piece.
    """

    animals: tuple[int, int]  # from, to
    first: int
    last: int  # the same frame
    kind: Literal["piece"] = "piece"

    def apply(self, frame: int, labels: np.ndarray, pixels: np.ndarray | None) -> np.ndarray:
        """The label map after the operation, a new array."""
        result = labels.copy()
        result[same_piece(labels == self.animals[0], pixels > 0)] = self.animals[1]
        return result

    def refit(self, labels_of: ReadLabels, pixels_of: ReadLabels) -> tuple[list[int], str]:
        """Only if the new mask has this piece as well. Returns: as of `Swap`."""
        is_animal, piece = labels_of(self.first) == self.animals[0], pixels_of(self.first) > 0
        if same_piece(is_animal, piece).any():
            return [self.first], ""
        return [], "the new mask has no such piece"


@dataclass(frozen=True)
class Redraw:
    """Animals have other masks: in one frame as a person drew them, in its neighbours as the
    network followed them from there.

    Its pixels are these masks, in each of its frames.
    """

    animals: tuple[int, ...]
    first: int
    last: int
    drawn: int  # the frame in which a person drew
    agrees_from: float = AGREES_FROM[1]  # IoU; 0: any masks agree, it stays in its frame
    kind: Literal["masks"] = "masks"

    def apply(self, frame: int, labels: np.ndarray, pixels: np.ndarray | None) -> np.ndarray:
        """The label map after the operation, a new array. Other animals keep their pixels, but in
        the frame that was drawn. There, an animal may have been drawn away whose place it was not:
        in the frames that follow it loses only what is that of a followed animal."""
        is_new = pixels > 0
        gone = self.animals if frame == self.drawn else self.shown_in(pixels)
        result = np.where(np.isin(labels, gone), np.uint8(0), labels)
        if frame != self.drawn:
            for animal in set(self.animals) - set(gone):
                result[_mistaken(labels == animal, is_new)] = 0
            is_new &= result == 0
        result[is_new] = pixels[is_new]
        return result

    def refit(self, labels_of: ReadLabels, pixels_of: ReadLabels) -> tuple[list[int], str]:
        """In the frame that was drawn, unless the animal has another number now; from there on
        until the new masks agree. Returns: as of `Swap`."""
        labels, pixels = labels_of(self.drawn), pixels_of(self.drawn)
        for animal in self.animals:
            other = self._new_number(animal, labels, pixels == animal)
            if other:
                return [], f"what was drawn as animal {animal} is animal {other} in the new masks"
        kept, followed = [self.drawn], self.shown_in(pixels)
        for step, end in ((1, self.last), (-1, self.first)):
            for frame in range(self.drawn + step, end + step, step):
                if agree(labels_of(frame), pixels_of(frame), self, followed):
                    break
                kept.append(frame)
        fewer = len(kept) < self.last - self.first + 1
        return sorted(kept), "in its other frames the new masks are right" if fewer else ""

    def shown_in(self, labels: np.ndarray) -> tuple[int, ...]:
        """Those of its animals that a label map shows: the others cannot be followed from there."""
        return tuple(animal for animal in self.animals if (labels == animal).any())

    def _new_number(self, animal: int, labels: np.ndarray, drawn: np.ndarray) -> int:
        """The other animal whose new mask is the one that was drawn, bool (h, w); 0 if none is."""
        own = overlap(labels == animal, drawn)
        for other in np.unique(labels[drawn]).tolist():
            # Below the upper limit most of a mask was wrong: the redrawn animals may have had each
            # other's pixels then, and a run that confuses them again is to be corrected again.
            may_be_confused = other in self.animals and 0 < self.agrees_from < AGREES_FROM[1]
            if other in (0, animal) or may_be_confused:
                continue
            shared = overlap(labels == other, drawn)
            if shared >= SAME_ANIMAL_FROM and shared > own:
                return other
        return 0


Operation = Swap | MovePiece | Redraw
KINDS = {"swap": Swap, "piece": MovePiece, "masks": Redraw}


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two masks, bool (h, w); 1 if both are empty."""
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 1.0


def agree(
    labels: np.ndarray, others: np.ndarray, redraw: Redraw, animals: Sequence[int] = ()
) -> bool:
    """Whether two label maps show the animals that were redrawn in the same place.

    Args:
        labels: uint8 (h, w).
        others: of the same size.
        redraw: says from which overlap on they agree.
        animals: those of its animals that count; none: all of them.
    """
    counted = animals or redraw.animals
    shared = (overlap(labels == animal, others == animal) for animal in counted)
    return all(value >= redraw.agrees_from for value in shared)


def limit_of_agreement(before: np.ndarray, drawn: np.ndarray, animals: Sequence[int]) -> float:
    """IoU from which on masks agree: half-way between those of a frame before and after a person
    drew, within AGREES_FROM; 0 after a small correction."""
    worst = min(overlap(before == animal, drawn == animal) for animal in animals)
    if worst >= SMALL_FROM:
        return 0.0
    return round(float(np.clip((1 + worst) / 2, *AGREES_FROM)), 3)


def piece_at(labels: np.ndarray, x: int, y: int) -> np.ndarray:
    """The connected piece of an animal at a pixel, bool (h, w); empty on the background."""
    animal = labels[y, x]
    if not animal:
        return np.zeros(labels.shape, bool)
    _, pieces = cv2.connectedComponents((labels == animal).astype(np.uint8), connectivity=8)
    return pieces == pieces[y, x]


def same_piece(mask: np.ndarray, piece: np.ndarray) -> np.ndarray:
    """The connected piece of a mask that is another piece; all bool (h, w), empty if none is."""
    count, pieces = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    common = np.bincount(pieces[piece & mask], minlength=count)
    common[0] = 0
    found = pieces == np.argmax(common)
    if not common.any() or overlap(found, piece) < SAME_PIECE_FROM:
        return np.zeros_like(mask)
    return found


def _mistaken(mask: np.ndarray, followed: np.ndarray) -> np.ndarray:
    """What of an animal's mask is that of followed ones: where they are, and the connected pieces
    that lie mostly there; all bool (h, w)."""
    count, pieces = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    covered = np.bincount(pieces[followed], minlength=count)
    is_gone = covered >= MISTAKEN_FROM * np.bincount(pieces.ravel(), minlength=count)
    is_gone[0] = False
    return is_gone[pieces] | (mask & followed)


def describe(operation: Operation, first_frame: int = 0) -> str:
    """An operation in words, for people."""
    first, last = operation.first + first_frame, operation.last + first_frame
    frames = f"frame {first}" if first == last else f"frames {first} to {last}"
    match operation:
        case Swap(animals=(a, b)):
            return f"{frames}: animals {a} and {b} swapped"
        case MovePiece(animals=(a, 0)):
            return f"{frames}: a piece of animal {a} deleted"
        case MovePiece(animals=(a, b)):
            return f"{frames}: a piece of animal {a} given to animal {b}"
        case Redraw(animals=animals):
            several = "s" * (len(animals) > 1)
            return f"{frames}: animal{several} {', '.join(map(str, animals))} redrawn"
    raise ValueError(operation)
