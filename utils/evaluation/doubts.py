"""Where the masks of a video may be wrong, so that a person goes from one such frame to the next.

A doubt is a frame in which two animals begin to touch or have just parted, in which an animal is
lost, comes back or jumps, or in which the network's confidence is lowest among frames where it is
low.
"""

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from utils.media.images import resize_labels, working_size
from utils.stage3.temporal_filter import DOUBTFUL

LINES = 240  # masks are looked at in this height
TOUCHING_PX = 2  # from the edge of the one to that of the other at most, at that height
MEETING_FRAMES = 5  # who has parted for fewer frames is still together

Pair = tuple[int, int]


@dataclass(frozen=True)
class Doubt:
    """A frame to look at.

    Attributes:
        frame: its index.
        reasons: in words.
        pair: two animals that touch or have touched there, the smaller number first; None if the
            doubt is another one.
    """

    frame: int
    reasons: tuple[str, ...]
    pair: Pair | None


@dataclass(frozen=True)
class _Sight:
    shown: frozenset[int]
    touching: frozenset[Pair]
    jumping: frozenset[int]


class DoubtFinder:
    """Looks for doubts; masks are read as far as they are needed, and remembered as a few numbers.

    Args:
        read_mask: index of a frame -> uint8 (height, width), 0 background, numbers of animals.
        num_frames: of the video.
        confidence: per frame, 0..1; empty where there is none.
    """

    def __init__(
        self,
        read_mask: Callable[[int], np.ndarray],
        num_frames: int,
        confidence: Sequence[float] = (),
    ):
        self._read_mask = read_mask
        self._num_frames = num_frames
        self._low = set(lowest_frames(confidence))
        self._sights: dict[int, _Sight] = {}
        self._last: tuple[int, np.ndarray] | None = None  # the mask that was read last

    def forget(self, frames: Iterable[int]) -> None:
        """Masks have changed: they are read again."""
        self._last = None
        for frame in frames:
            self._sights.pop(frame, None)
            self._sights.pop(frame + 1, None)

    def find(
        self, start: int, step: int, settled: Collection[int] = (), seconds: float = np.inf
    ) -> tuple[Doubt | None, int]:
        """The next doubt.

        Args:
            start: the frame to go on from; it is not looked at.
            step: 1 forwards, -1 backwards.
            settled: frames whose confidence does not matter any more: a person drew their masks.
            seconds: after which the search ends, but not before one frame was looked at.

        Returns: the doubt, None if there is none, and the last frame that was looked at.
        """
        over = time.monotonic() + seconds
        end = self._num_frames if step > 0 else -1
        for frame in range(start + step, end, step):
            start = frame
            doubt = self._judge(frame, frame in self._low and frame not in settled)
            if doubt:
                return doubt, frame
            if time.monotonic() >= over:
                break
        return None, start

    def last_before_crossing(
        self, frame: int, pair: Pair, seconds: float = np.inf
    ) -> tuple[int | None, int]:
        """The last frame before two animals touch again.

        A search that has ended early is begun again to go on: frames that were looked at before
        take no time.

        Args:
            frame: where the search begins; the animals may be touching there.
            pair: the two animals.
            seconds: after which the search ends, but not before one further frame was looked at.

        Returns: the frame, None if the search has ended early, and the last frame that was looked
            at.
        """
        over = time.monotonic() + seconds
        pair = min(pair), max(pair)
        num_apart = 0 if pair in self._see(frame).touching else MEETING_FRAMES
        for index in range(frame, self._num_frames):
            is_new = index not in self._sights
            if pair not in self._see(index).touching:
                num_apart += 1
            elif num_apart >= MEETING_FRAMES:
                return index - 1, index
            else:
                num_apart = 0
            if is_new and time.monotonic() >= over:
                return None, index
        return self._num_frames - 1, self._num_frames - 1

    def _have_parted(self, frame: int, pair: Pair) -> bool:
        ahead = range(frame, min(frame + MEETING_FRAMES, self._num_frames))
        return not any(pair in self._see(index).touching for index in ahead)

    def _judge(self, frame: int, is_low: bool) -> Doubt | None:
        reasons, pair = [], None
        now = self._see(frame)
        before = self._see(frame - 1) if frame else None
        for a, b in sorted(now.touching):
            recent = range(max(0, frame - MEETING_FRAMES), frame)
            if not any((a, b) in self._see(index).touching for index in recent):
                reasons.append(f"animals {a} and {b} touch")
                pair = pair or (a, b)
        if before:
            for a, b in sorted(before.touching - now.touching):
                if self._have_parted(frame, (a, b)):
                    reasons.append(f"animals {a} and {b} have parted")
                    pair = pair or (a, b)
            reasons += [f"animal {a} is lost" for a in sorted(before.shown - now.shown)]
            reasons += [f"animal {a} is back" for a in sorted(now.shown - before.shown)]
        reasons += [f"animal {a} jumps" for a in sorted(now.jumping)]
        if is_low:
            reasons.append("low confidence")
        return Doubt(frame, tuple(reasons), pair) if reasons else None

    def _see(self, frame: int) -> _Sight:
        if frame not in self._sights:
            before = self._small(frame - 1) if frame else None
            now = self._small(frame)
            shown = frozenset(np.unique(now[now > 0]).tolist())
            jumping = frozenset() if before is None else _jumping(before, now)
            self._sights[frame] = _Sight(shown, find_touching(now), jumping)
        return self._sights[frame]

    def _small(self, frame: int) -> np.ndarray:
        if self._last is None or self._last[0] != frame:
            mask = self._read_mask(frame)
            self._last = frame, resize_labels(mask, *working_size(*mask.shape, LINES))
        return self._last[1]


def find_touching(labels: np.ndarray) -> frozenset[Pair]:
    """The pairs of animals that touch.

    Args:
        labels: uint8 (h, w), 0 background, else the number of an animal.
    """
    reach = 2 * TOUCHING_PX + 1
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    pairs = set()
    for animal in np.unique(labels[labels > 0]).tolist():
        near = cv2.dilate((labels == animal).astype(np.uint8), disk) > 0
        others = np.unique(labels[near & (labels > animal)]).tolist()
        pairs |= {(animal, other) for other in others}
    return frozenset(pairs)


def lowest_frames(confidence: Sequence[float]) -> list[int]:
    """Of each run of frames with a low confidence, the one where it is lowest."""
    found: list[int] = []
    is_in_run = False
    for frame, value in enumerate(confidence):
        if value >= DOUBTFUL:
            is_in_run = False
        elif not is_in_run:
            found.append(frame)
            is_in_run = True
        elif value < confidence[found[-1]]:
            found[-1] = frame
    return found


def _jumping(before: np.ndarray, now: np.ndarray) -> frozenset[int]:
    """The animals that both masks show, and not in any common pixel."""
    both = set(np.unique(before[before > 0])) & set(np.unique(now[now > 0]))
    stays = set(np.unique(now[(before == now) & (now > 0)]))
    return frozenset(int(animal) for animal in both - stays)
