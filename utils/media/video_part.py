"""A part of a video as a `Video` (see `videos.py`), whose frames keep the numbers of the whole."""

import hashlib
import re
from pathlib import Path
from typing import Self

import numpy as np

from utils.errors import InputError, UsageError
from utils.media.sound import Sound
from utils.media.videos import Video


class VideoPart:
    """Frames `first` to `last` of a video.

    Args:
        whole: the video.
        first, last: indices in it, both included.
    """

    def __init__(self, whole: Video, first: int, last: int):
        self.whole = whole
        self.first_frame = first
        self._count = last - first + 1

    def __len__(self) -> int:
        return self._count

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def name(self) -> str:
        return self.whole.name

    @property
    def path(self) -> Path:
        return self.whole.path

    @property
    def frame_names(self) -> tuple[str, ...]:
        return self.whole.frame_names[self.first_frame : self.first_frame + self._count]

    @property
    def height(self) -> int:
        return self.whole.height

    @property
    def width(self) -> int:
        return self.whole.width

    @property
    def frames_per_second(self) -> float:
        return self.whole.frames_per_second

    @property
    def has_times(self) -> bool:
        return self.whole.has_times

    @property
    def pixel_aspect(self) -> float:
        return self.whole.pixel_aspect

    @property
    def sound(self) -> Sound | None:
        sound = self.whole.sound
        if sound is None:
            return None
        seconds = self.times_seconds()[-1] + 1 / self.frames_per_second
        return Sound(sound.path, sound.start_seconds + self.times_in_whole()[0], seconds)

    def read(self, index: int) -> np.ndarray:
        """Reads one frame of the part, see `VideoFile.read`."""
        if not 0 <= index < len(self):
            raise IndexError(f"{self.path}: no frame {index} in the part; there are {len(self)}")
        return self.whole.read(self.first_frame + index)

    def times_seconds(self) -> list[float]:
        """Returns the time of each frame in seconds, the first of the part at 0."""
        times = self.times_in_whole()
        return [seconds - times[0] for seconds in times]

    def times_in_whole(self) -> list[float]:
        """Returns the time of each frame in seconds, the first of the whole at 0."""
        return self.whole.times_seconds()[self.first_frame : self.first_frame + self._count]

    def locate(self, index: int) -> str:
        """Returns where a frame is in the whole, in words."""
        return self.whole.locate(self.first_frame + index)

    def check(self, *, every_frame: bool = True) -> list[str]:
        """Checks the whole, see `VideoFile.check`."""
        return self.whole.check(every_frame=every_frame)

    def sha256(self) -> str:
        """Returns the digest of the whole and of what is taken from it."""
        text = f"{self.whole.sha256()} {self.first_frame} {self._count}"
        return hashlib.sha256(text.encode()).hexdigest()

    def close(self) -> None:
        self.whole.close()


def parse_part(text: str) -> tuple[int, int | None]:
    """What `--frames A:B` names: from A (default 0) up to, but without, B (default: the end).

    Returns: A and B, as in a slice.

    Raises:
        UsageError: if it has another form.
    """
    match = re.fullmatch(r"(\d*):(\d*)", text)
    first, end = (int(number) if number else None for number in match.groups()) if match else (0, 0)
    first = first or 0
    if end is not None and first >= end:
        raise UsageError(
            f"--frames must be A:B, from frame A up to, but without, frame B, not {text!r}."
        )
    return first, end


def take_part(video: Video, first: int, end: int | None) -> Video:
    """The part of a video from frame `first` up to, but without, frame `end`; None is its end.

    Raises:
        InputError: if the video is too short.
    """
    end = len(video) if end is None else end
    if end > len(video) or first >= end:
        raise InputError(
            f"{video.path}: --frames {first}:{end} is not in it, the video has frames 0 to "
            f"{len(video) - 1}."
        )
    return VideoPart(video, first, end - 1)
