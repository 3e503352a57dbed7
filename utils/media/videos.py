"""Videos, as a folder of frames or as a file, behind one small interface (`Video`).

Constructing one reads nothing; the first attribute that needs the disk does, and may raise
InputError.
"""

import bisect
import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, Self

import av
import numpy as np

from utils.errors import InputError
from utils.files import sha256_of
from utils.media.images import list_files, list_frames, read_image
from utils.media.sound import Sound
from utils.media.video_index import (
    RE_ENCODE,
    VideoIndex,
    build_index,
    decode_frames,
    find_video_stream,
    open_container,
    turn_upright,
)

VIDEO_SUFFIXES = (".mp4", ".mov", ".avi", ".webm", ".mkv", ".m4v", ".mpg", ".mpeg", ".wmv")
FOLDER_FRAMES_PER_SECOND = 24.0  # that of DAVIS; a folder does not say
CACHE_BYTES = 256 * 2**20


class Video(Protocol):
    """One sequence of frames, each read as uint8 (height, width, 3) RGB."""

    name: str
    path: Path
    frame_names: tuple[str, ...]  # stems of the mask files, one per frame
    height: int
    width: int
    frames_per_second: float
    sound: Sound | None

    def __len__(self) -> int: ...
    def read(self, index: int) -> np.ndarray: ...
    def times_seconds(self) -> list[float]: ...
    def check(self) -> None: ...
    def sha256(self) -> str: ...
    def close(self) -> None: ...


class FrameFolder:
    """A folder of JPEG or PNG frames in natural order.

    Raises: InputError at the first use if the folder is missing or holds no frames (`list_frames`).
    """

    frames_per_second = FOLDER_FRAMES_PER_SECOND
    sound = None

    def __init__(self, folder: Path, name: str | None = None):
        self.path = Path(folder)
        self.name = name or Path(os.path.abspath(folder)).name

    @cached_property
    def frame_paths(self) -> tuple[Path, ...]:
        return tuple(list_frames(self.path))

    @cached_property
    def frame_names(self) -> tuple[str, ...]:
        return tuple(path.stem for path in self.frame_paths)

    @cached_property
    def _size(self) -> tuple[int, int]:
        return read_image(self.frame_paths[0]).shape[:2]

    @property
    def height(self) -> int:
        return self._size[0]

    @property
    def width(self) -> int:
        return self._size[1]

    def __len__(self) -> int:
        return len(self.frame_paths)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is held open."""

    def read(self, index: int) -> np.ndarray:
        """Frame `index` as uint8 (height, width, 3) RGB.

        Raises: IndexError outside 0..len-1; InputError naming the file if it is unreadable.
        """
        _check_index(index, self)
        return read_image(self.frame_paths[index])

    def times_seconds(self) -> list[float]:
        """The time of each frame, the first at 0."""
        return [index / self.frames_per_second for index in range(len(self))]

    def check(self) -> None:
        """Decodes every frame fully.

        Raises: InputError naming the first frame that is unreadable or has a size of its own.
        """
        expected = self._size
        with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
            # Only sizes leave the workers, so memory stays flat however many frames there are.
            sizes = pool.map(lambda path: read_image(path).shape[:2], self.frame_paths)
            for path, size in zip(self.frame_paths, sizes, strict=True):
                if size != expected:
                    raise InputError(
                        f"{path}: expected {expected[1]}x{expected[0]} as in "
                        f"{self.frame_paths[0].name}, found {size[1]}x{size[0]}; extract the "
                        "frames of one video again, or move this one away."
                    )

    def sha256(self) -> str:
        """Over the names and contents of all frames, in order."""
        digest = hashlib.sha256()
        for path in self.frame_paths:
            digest.update(f"{path.name}\0{sha256_of(path)}\n".encode())
        return digest.hexdigest()


class VideoFile:
    """A video file, read frame by frame with FFmpeg in presentation order, turned upright.

    The number of frames is that of a full decode, not what the container claims. Reads are exact,
    and cheap in either direction: the decoder stays open, decoded frames are kept up to
    CACHE_BYTES. Threads may share one.

    Raises: InputError at the first use if there is no such file or no video in it that decodes.
    """

    def __init__(self, path: Path, name: str | None = None):
        self.path = Path(path)
        self.name = name or self.path.stem
        self._lock = threading.RLock()
        self._container: Any = None
        self._frames: Iterator[tuple[int, av.VideoFrame]] = iter(())
        self._next = -1  # number of the frame that comes next from _frames; -1: none does
        self._has_sought = False  # whether _frames began elsewhere than at the file's beginning
        self._cache: OrderedDict[int, av.VideoFrame] = OrderedDict()
        self._cached_bytes = 0

    @cached_property
    def _index(self) -> VideoIndex:
        return build_index(self.path)

    @cached_property
    def frame_names(self) -> tuple[str, ...]:
        return tuple(f"{index:05d}" for index in range(len(self)))

    @property
    def frames_per_second(self) -> float:
        return self._index.frames_per_second

    @property
    def sound(self) -> Sound | None:
        """Where the sound that goes with the frames is, None where there is none."""
        if not self._index.has_sound:
            return None
        seconds = self._index.times_seconds[-1] + 1 / self.frames_per_second
        return Sound(self.path, self._index.start_seconds, seconds)

    @property
    def height(self) -> int:
        return self._size[0]

    @property
    def width(self) -> int:
        return self._size[1]

    @cached_property
    def _size(self) -> tuple[int, int]:
        # A view of one byte: the turning of a frame of that size, without the frame.
        coded = np.broadcast_to(np.uint8(0), (self._index.coded_height, self._index.coded_width))
        return turn_upright(coded, self._index.display_matrix).shape

    def __len__(self) -> int:
        return len(self._index.times_seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file and forgets decoded frames; a later read opens it again."""
        with self._lock:
            self._frames, self._next = iter(()), -1
            self._cache.clear()
            self._cached_bytes = 0
            if self._container is not None:
                self._container.close()
                self._container = None

    def read(self, index: int) -> np.ndarray:
        """Frame `index` as uint8 (height, width, 3) RGB, upright.

        Raises: IndexError outside 0..len-1; InputError if the file is damaged there.
        """
        _check_index(index, self)
        with self._lock:
            frame = self._cache.get(index) or self._decode(index)
            # Size given: a stream may change its size midway.
            image = frame.to_ndarray(
                format="rgb24", width=self._index.coded_width, height=self._index.coded_height
            )
        return np.ascontiguousarray(turn_upright(image, self._index.display_matrix))

    def times_seconds(self) -> list[float]:
        """The presentation time of each frame, the first at 0; rates may vary."""
        return list(self._index.times_seconds)

    def check(self) -> None:
        """Opens the file, lists its frames and decodes the first and the last.

        Raises: InputError saying what is wrong: no file, no video in it, cut off, or unreadable.
        """
        if self._index.is_cut_off:
            raise InputError(
                f"{self.path}: expected a whole video, found one that is cut off after "
                f"{len(self)} frames; {RE_ENCODE}"
            )
        for index in (0, len(self) - 1):
            self.read(index)

    def sha256(self) -> str:
        """Of the file's bytes."""
        return sha256_of(self.path)

    def _decode(self, index: int) -> av.VideoFrame:
        place = bisect.bisect_right(self._index.keyframes, index) - 1
        keyframe = self._index.keyframes[place] if place >= 0 else 0
        if keyframe <= self._next <= index:
            frame = self._advance(index)
            if frame is not None:
                return frame
        # A seek may land too late; then from one keyframe earlier, at last from the beginning.
        for start in [p for p in (place, place - 1) if p >= 0] + [None]:
            self._restart(start)
            frame = self._advance(index)
            if frame is not None:
                return frame
        raise InputError(f"{self.path}: frame {index} does not decode; {RE_ENCODE}")

    def _restart(self, place: int | None) -> None:
        """Starts decoding at keyframe number `place` of the index, or at the file's beginning."""
        if place is None or self._container is None:
            self.close()
            self._container, stream = open_container(self.path)
            if place is not None:
                # x264 names its version in the first packet alone; 4:4:4 decodes wrongly without.
                next(decode_frames(self._container, stream), None)
        stream = find_video_stream(self._container, self.path)
        first = 0
        if place is not None:
            try:
                self._container.seek(self._index.seek_to[place], stream=stream)
            except av.FFmpegError:  # a file that cannot be sought, only read on
                return self._restart(None)
            first = self._index.keyframes[place]
        self._next, self._has_sought = first, place is not None
        self._frames = self._numbered(decode_frames(self._container, stream), first)

    def _numbered(
        self, frames: Iterator[av.VideoFrame], first: int
    ) -> Iterator[tuple[int, av.VideoFrame]]:
        if self._index.number_of_pts is None:
            yield from enumerate(frames)
            return
        for frame in frames:
            number = self._index.number_of_pts.get(frame.pts, -1)
            # Before a keyframe come frames that lean on pictures the decoder has not seen.
            if number >= first:
                yield number, frame

    def _advance(self, index: int) -> av.VideoFrame | None:
        for number, frame in self._frames:
            if frame.is_corrupt and self._has_sought:
                break  # it may be whole if decoded from further back
            self._next = number + 1
            self._keep(number, frame)
            if number >= index:
                return frame if number == index else None
        self._next = -1
        return None

    def _keep(self, number: int, frame: av.VideoFrame) -> None:
        # As decoded: half the bytes of RGB, and nothing is converted that is not asked for.
        replaced = self._cache.pop(number, None)
        self._cached_bytes += _num_bytes(frame) - (_num_bytes(replaced) if replaced else 0)
        self._cache[number] = frame
        while self._cached_bytes > CACHE_BYTES and len(self._cache) > 2:
            self._cached_bytes -= _num_bytes(self._cache.popitem(last=False)[1])


def _check_index(index: int, video: Video) -> None:
    if not 0 <= index < len(video):
        raise IndexError(f"{video.path}: no frame {index}; there are {len(video)}, from 0")


def _num_bytes(frame: av.VideoFrame) -> int:
    return sum(plane.buffer_size for plane in frame.planes)


def list_videos(folder: Path) -> list[Path]:
    """The video files of a folder by their suffix, in natural order; hidden files are left out.

    Raises: InputError if there is no such folder. None in it: an empty list.
    """
    return list_files(folder, VIDEO_SUFFIXES)
