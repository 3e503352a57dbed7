"""A video file as a `Video` (see `videos.py`): exact reads of single frames with FFmpeg."""

import bisect
import threading
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import av
import numpy as np

from utils.errors import InputError
from utils.files import sha256_of
from utils.media.images import HIGHEST_16_BIT, to_8_bits, white_level
from utils.media.orientation import turn_upright
from utils.media.sound import Sound
from utils.media.video_damage import (
    RE_ENCODE,
    Damage,
    FullDecode,
    describe_damage,
    describe_size_change,
    find_damage,
    has_16_bits,
    to_16_bits,
)
from utils.media.video_index import (
    VideoIndex,
    build_index,
    decode_all,
    decode_frames,
    find_video_stream,
    open_container,
)

CACHE_BYTES = 256 * 2**20


class VideoFile:
    """A video file, read frame by frame in presentation order and turned upright.

    The frames are those that decode and those that are lost between them, not what the container
    claims; in place of a lost one, the frame before is read. Reads are exact, and cheap in either
    direction: the decoder stays open, and decoded frames are kept up to CACHE_BYTES. Threads may
    share one.

    Args:
        path: the file.
        name: of the sequence; None takes the file's stem.

    Raises:
        InputError: at the first use if there is no such file or no video in it that decodes.
    """

    first_frame = 0

    def __init__(self, path: Path, name: str | None = None):
        self.path = Path(path)
        self.name = name or self.path.stem
        self._lock = threading.RLock()
        self._container: Any = None
        self._numbered_frames: Iterator[tuple[int, av.VideoFrame]] = iter(())
        self._next_number = -1  # the number that _numbered_frames gives next; -1: it is exhausted
        self._started_at_keyframe = False  # rather than at the beginning of the file
        self._cache: OrderedDict[int, av.VideoFrame] = OrderedDict()
        self._cached_bytes = 0
        self._sha256: tuple[tuple[int, int], str] | None = None  # of the file in this state

    @cached_property
    def _index(self) -> VideoIndex:
        return build_index(self.path)

    @cached_property
    def _decoded(self) -> FullDecode:
        """A full decode, which takes as long as to play the file as fast as possible."""
        return self._index.decoded or decode_all(self.path)

    @cached_property
    def _damage(self) -> Damage:
        index = self._index
        return find_damage(self._decoded, index.number_of_pts, index.packet_pts, index.keyframes)

    @cached_property
    def frame_names(self) -> tuple[str, ...]:
        return tuple(f"{index:05d}" for index in range(len(self)))

    @property
    def frames_per_second(self) -> float:
        return self._index.frames_per_second

    @property
    def has_times(self) -> bool:
        return self._index.has_times

    @property
    def pixel_aspect(self) -> float:
        aspect = self._index.pixel_aspect
        is_turned = self._size != (self._index.coded_height, self._index.coded_width)
        return 1 / aspect if is_turned else aspect

    @property
    def sound(self) -> Sound | None:
        """The sound that belongs to the frames, None for a silent file."""
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
        # One byte seen as a whole frame: only the shape matters, and no frame has to be decoded.
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
            self._numbered_frames, self._next_number = iter(()), -1
            self._cache.clear()
            self._cached_bytes = 0
            if self._container is not None:
                self._container.close()
                self._container = None

    def read(self, index: int) -> np.ndarray:
        """Reads one frame.

        Args:
            index: from 0.

        Returns: uint8 (height, width, 3) RGB, upright.

        Raises:
            IndexError: outside 0..len-1.
            InputError: if the file is damaged there.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"{self.path}: no frame {index}; there are {len(self)}, from 0")
        with self._lock:
            frame = self._cache.get(index) or self._decode_or_repeat(index)
            image = self._to_rgb(frame)
        return np.ascontiguousarray(turn_upright(image, self._index.display_matrix))

    def _to_rgb(self, frame: av.VideoFrame) -> np.ndarray:
        decoded = self._index.decoded
        white = white_level(decoded.highest if decoded else 0)
        if white != HIGHEST_16_BIT and has_16_bits(frame):
            return to_8_bits(to_16_bits(frame), white)
        # The size is given because a stream may change its size midway.
        return frame.to_ndarray(
            format="rgb24", width=self._index.coded_width, height=self._index.coded_height
        )

    def times_seconds(self) -> list[float]:
        """Returns the presentation time of each frame in seconds, the first at 0; the intervals
        may vary."""
        return list(self._index.times_seconds)

    def locate(self, index: int) -> str:
        """Returns where a frame is in the file, in words: "at 1.20 s"."""
        return f"at {self._index.times_seconds[index]:.2f} s"

    def check(self, *, every_frame: bool = True) -> list[str]:
        """Decodes every frame, while the digest of the file is computed as well.

        Args:
            every_frame: False decodes only the first frame and those from the last keyframe on.

        Returns: what is unusual but no obstacle, a line each.

        Raises:
            InputError: saying what is wrong: no file, no video in it, cut off, or so damaged that
                too many frames are missing.
        """
        if self._index.is_cut_off:
            raise InputError(
                f"{self.path}: expected a whole video, found one that is cut off after "
                f"{len(self)} frames; {RE_ENCODE}"
            )
        warnings = []
        if every_frame or self._index.decoded is not None:
            with ThreadPoolExecutor(1) as pool:
                digest = pool.submit(self.sha256)
                refused, warnings = describe_damage(
                    self.path, self._damage, self._index.times_seconds
                )
                digest.result()
            if refused:
                raise InputError(refused)
            change = describe_size_change(self.path, self._decoded, self._index.times_seconds)
            warnings += [change] if change else []
        for index in (0, len(self) - 1):
            self.read(index)
        if self._index.num_video_streams > 1:
            warnings.append(
                f"{self.path}: of {self._index.num_video_streams} video streams in the file, the "
                f"one of {self.width}x{self.height} is read. To take another: "
                "ffmpeg -i IN -map 0:v:1 -c copy OUT.mkv"
            )
        if self._index.num_shared_times:
            warnings.append(
                f"{self.path}: of {len(self)} frames, {self._index.num_shared_times} have the time "
                "stamp of the frame before; they are taken to be shown between it and the next one."
            )
        if not self._index.has_times:
            warnings.append(
                f"{self.path}: the file has no times of its frames; they are estimated at "
                f"{self.frames_per_second:g} frames per second."
            )
        return warnings

    def sha256(self) -> str:
        """Returns the digest of the file's bytes."""
        status = self.path.stat()
        state = (status.st_size, status.st_mtime_ns)
        if self._sha256 is None or self._sha256[0] != state:
            self._sha256 = state, sha256_of(self.path)
        return self._sha256[1]

    def _decode_or_repeat(self, index: int) -> av.VideoFrame:
        """Decodes one frame; where it is lost, the one before that is not, so that numbers stay."""
        is_lost = "_damage" in self.__dict__ and index in self._damage.lost
        frame = None if is_lost else self._decode(index)
        if frame is None:  # whoever has not checked the file finds out here what is lost
            number = index
            while number in self._damage.lost:
                number -= 1
            frame = self._cache.get(number) or self._decode(number)
        if frame is None:
            raise InputError(f"{self.path}: frame {index} does not decode; {RE_ENCODE}")
        return frame

    def _decode(self, index: int) -> av.VideoFrame | None:
        """Decodes one frame, continuing from the last read where no keyframe is closer."""
        nearest = bisect.bisect_right(self._index.keyframes, index) - 1
        first_number = self._index.keyframes[nearest] if nearest >= 0 else 0
        if first_number <= self._next_number <= index:
            frame = self._advance(index)
            if frame is not None:
                return frame
        # A seek may land too late, so one keyframe earlier is tried, then the whole file.
        for keyframe in [k for k in (nearest, nearest - 1) if k >= 0] + [None]:
            self._restart(keyframe)
            frame = self._advance(index)
            if frame is not None:
                return frame
        return None

    def _restart(self, keyframe: int | None) -> None:
        """Starts decoding at a keyframe (its place in the index), or at the file's beginning."""
        if keyframe is None or self._container is None:
            self.close()
            self._container, stream = open_container(self.path)
            if keyframe is not None:
                # x264 states its version in the first packet only, and FFmpeg decodes the 4:4:4
                # video of old versions wrongly if it has not seen it.
                next(decode_frames(self._container, stream), None)
        stream = find_video_stream(self._container, self.path)
        first_number = 0
        if keyframe is not None:
            try:
                self._container.seek(self._index.seek_timestamps[keyframe], stream=stream)
            except av.FFmpegError:  # a file that can only be read from its beginning
                return self._restart(None)
            first_number = self._index.keyframes[keyframe]
        self._next_number, self._started_at_keyframe = first_number, keyframe is not None
        frames = decode_frames(self._container, stream)
        self._numbered_frames = self._number_frames(frames, first_number)

    def _number_frames(
        self, frames: Iterator[av.VideoFrame], first_number: int
    ) -> Iterator[tuple[int, av.VideoFrame]]:
        number_of_pts = self._index.number_of_pts
        if number_of_pts is None:
            yield from enumerate(frames)
            return
        for frame in frames:
            number = number_of_pts.get(frame.pts, -1)
            # Frames shown before the keyframe refer to others that the decoder has not seen.
            if number >= first_number:
                yield number, frame

    def _advance(self, index: int) -> av.VideoFrame | None:
        """Decodes up to frame `index`; None if it does not come or only comes damaged."""
        for number, frame in self._numbered_frames:
            if frame.is_corrupt and self._started_at_keyframe and not self._is_corrupt(number):
                break  # it may be intact if decoding starts further back
            self._next_number = number + 1
            self._keep(number, frame)
            if number >= index:
                return frame if number == index else None
        self._next_number = -1
        return None

    def _is_corrupt(self, number: int) -> bool:
        """Whether a frame is known to be damaged wherever decoding starts."""
        return "_damage" in self.__dict__ and number in self._damage.corrupt

    def _keep(self, number: int, frame: av.VideoFrame) -> None:
        # As decoded: half the bytes of RGB, and frames that nobody reads are not converted.
        replaced = self._cache.pop(number, None)
        self._cached_bytes += _num_bytes(frame) - (_num_bytes(replaced) if replaced else 0)
        self._cache[number] = frame
        while self._cached_bytes > CACHE_BYTES and len(self._cache) > 2:
            self._cached_bytes -= _num_bytes(self._cache.popitem(last=False)[1])


def _num_bytes(frame: av.VideoFrame) -> int:
    return sum(plane.buffer_size for plane in frame.planes)
