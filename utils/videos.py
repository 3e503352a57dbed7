"""Videos, as a folder of frames or as a file, behind one small interface (`Video`).

Constructing one reads nothing; the first attribute that needs the disk does, and may raise
InputError.
"""

import bisect
import contextlib
import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, Self

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

from utils.audio import Sound, add_sound
from utils.errors import InputError
from utils.files import sha256_of, write_atomically
from utils.images import list_files, list_frames, read_image

VIDEO_SUFFIXES = (".mp4", ".mov", ".avi", ".webm", ".mkv", ".m4v", ".mpg", ".mpeg", ".wmv")
FOLDER_FRAMES_PER_SECOND = 24.0  # that of DAVIS; a folder does not say
CACHE_BYTES = 256 * 2**20

# In these a packet is a shown frame, so packets can be counted; VP8 hides some, MPEG-4 packs some.
_ONE_FRAME_PER_PACKET = {"h264", "hevc", "av1", "vp9", "prores", "mjpeg"}
_PROGRESSIVE = (0, 1)  # AVFieldOrder: unknown, progressive; a field may be a packet of its own
_RE_ENCODE = "copy or download it again, or re-encode it: ffmpeg -i IN -c:v libx264 OUT.mp4"


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


@dataclass(frozen=True)
class _Index:
    """What is known of a video file's frames, in presentation order."""

    times_seconds: list[float]
    start_seconds: float  # of the first frame, as the file counts
    frames_per_second: float
    has_sound: bool
    number_of_pts: dict[int, int] | None  # None: time stamps are of no use, frames must be counted
    keyframes: list[int]  # numbers of the frames where decoding can start, in increasing order
    seek_to: list[int]  # the time stamp that finds each of them
    coded_height: int
    coded_width: int
    display_matrix: np.ndarray | None
    is_cut_off: bool


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
    def _index(self) -> _Index:
        return _build_index(self.path)

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
                f"{len(self)} frames; {_RE_ENCODE}"
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
        raise InputError(f"{self.path}: frame {index} does not decode; {_RE_ENCODE}")

    def _restart(self, place: int | None) -> None:
        """Starts decoding at keyframe number `place` of the index, or at the file's beginning."""
        if place is None or self._container is None:
            self.close()
            self._container, stream = _open(self.path)
            if place is not None:
                # x264 names its version in the first packet alone; 4:4:4 decodes wrongly without.
                next(_decode_frames(self._container, stream), None)
        stream = _video_stream(self._container, self.path)
        first = 0
        if place is not None:
            try:
                self._container.seek(self._index.seek_to[place], stream=stream)
            except av.FFmpegError:  # a file that cannot be sought, only read on
                return self._restart(None)
            first = self._index.keyframes[place]
        self._next, self._has_sought = first, place is not None
        self._frames = self._numbered(_decode_frames(self._container, stream), first)

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


def _open(path: Path) -> tuple[Any, Any]:
    """Opens a video file for decoding: container and video stream."""
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no such file"
        raise InputError(f"{path}: expected a video file, found {found}; check the path.")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: expected a video, found 0 bytes; copy or download it again.")
    try:
        # Absolute: FFmpeg takes what stands before a colon for a protocol.
        container = av.open(os.path.abspath(path), metadata_errors="replace")
    except (av.FFmpegError, OSError) as error:
        raise InputError(
            f"{path}: expected a video, found a file that cannot be opened as one, cut off or no "
            f"video at all ({error.strerror}); {_RE_ENCODE}"
        ) from error
    try:
        stream = _video_stream(container, path)
    except InputError:
        container.close()
        raise
    stream.thread_type = "AUTO"
    return container, stream


def _video_stream(container: Any, path: Path) -> Any:
    stream = container.streams.best("video")
    # The cover picture of a song is a video stream too.
    if stream is None or stream.disposition & av.stream.Disposition.attached_pic:
        kinds = sorted({other.type for other in container.streams if other is not stream})
        found = f"only {', '.join(kinds)}" if kinds else "nothing, as in a file that is cut off"
        raise InputError(f"{path}: expected a video stream, found {found}; {_RE_ENCODE}")
    if stream.codec_context is None:
        raise InputError(f"{path}: its video codec is unknown to FFmpeg; {_RE_ENCODE}")
    return stream


def _decode_frames(container: Any, stream: Any) -> Iterator[av.VideoFrame]:
    """All frames from here on that decode; a damaged packet loses its own, as in ffmpeg itself."""
    try:
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.FFmpegError:
                continue
            yield from frames
    except av.FFmpegError:  # the file ends within a packet: what the decoder still holds is good
        with contextlib.suppress(av.FFmpegError):
            yield from stream.decode()


def _build_index(path: Path) -> _Index:
    """Lists the frames: from the packets alone where that is exact, else by decoding them all."""
    container, stream = _open(path)
    with container:
        is_mov = container.format.name.startswith("mov")
        has_sound = container.streams.best("audio") is not None
        pts_seek: list[tuple[int | None, int | None]] = []  # of each shown packet; seek if keyframe
        with contextlib.suppress(av.FFmpegError):
            for packet in container.demux(stream):
                # Discarded packets lie outside an edit list: decoded, never shown.
                if packet.size and not packet.is_discard:
                    # MP4 is sought by pts, others may be by dts; too early does no harm.
                    known = [packet.pts] if is_mov else [packet.pts, packet.dts]
                    known = [stamp for stamp in known if stamp is not None]
                    seek = min(known) if packet.is_keyframe and known else None
                    pts_seek.append((packet.pts, seek))
        # An edit list may shorten an MP4 at will, so its header promises nothing.
        is_cut_off = _is_beyond_end(path, stream) or (
            not is_mov and _is_short(container, stream, [pts for pts, _ in pts_seek])
        )
        is_simple = (
            stream.codec_context.codec.canonical_name in _ONE_FRAME_PER_PACKET
            and stream.codec_context.field_order in _PROGRESSIVE
        )
        time_base, rate = stream.time_base, float(stream.average_rate or FOLDER_FRAMES_PER_SECOND)
    packet_pts = {pts for pts, _ in pts_seek}
    is_seekable = None not in packet_pts and len(packet_pts) == len(pts_seek)

    container, stream = _open(path)
    with container:
        first = next(_decode_frames(container, stream), None)
        if first is None:
            raise InputError(f"{path}: expected a video, found no frame that decodes; {_RE_ENCODE}")
        matrix = first.side_data.get("DISPLAYMATRIX")
        pts = sorted(packet_pts) if is_seekable else []
        seeks = sorted((p, seek) for p, seek in pts_seek if seek is not None) if is_seekable else []
        is_exact = (
            is_simple and first.pts in pts[:1] and _ends_as_listed(container, stream, pts, seeks)
        )
    if not is_exact:
        container, stream = _open(path)
        with container:
            pts = [frame.pts for frame in _decode_frames(container, stream)]

    numbers = {p: number for number, p in enumerate(pts) if p is not None}
    is_timed = len(numbers) == len(pts) and list(numbers) == sorted(numbers)
    is_seekable = is_seekable and is_timed and packet_pts.issuperset(numbers)
    times = [float((p - pts[0]) * time_base) if is_timed else i / rate for i, p in enumerate(pts)]
    seeks = [(numbers[p], seek) for p, seek in seeks if p in numbers] if is_seekable else []
    return _Index(
        times_seconds=times,
        start_seconds=float(pts[0] * time_base) if is_timed else 0.0,
        frames_per_second=(len(times) - 1) / times[-1] if len(times) > 1 else rate,
        has_sound=has_sound,
        number_of_pts=numbers if is_seekable else None,
        keyframes=[number for number, _ in seeks],
        seek_to=[seek for _, seek in seeks],
        coded_height=first.height,
        coded_width=first.width,
        display_matrix=None if matrix is None else np.frombuffer(bytes(matrix), np.int32),
        is_cut_off=is_cut_off,
    )


def _ends_as_listed(
    container: Any, stream: Any, pts: list[int], seeks: list[tuple[int, int]]
) -> bool:
    """Whether decoding from the last keyframe gives the frames that the packets promise."""
    if not seeks:
        return False
    keyframe_pts, seek = seeks[-1]
    try:
        container.seek(seek, stream=stream)
    except av.FFmpegError:
        return False
    decoded = [frame.pts for frame in _decode_frames(container, stream)]
    if None in decoded:
        return False
    expected = pts[bisect.bisect_left(pts, keyframe_pts) :]
    return [p for p in decoded if p >= keyframe_pts] == expected


def _is_beyond_end(path: Path, stream: Any) -> bool:
    """Whether the file's own index names bytes that the file does not have."""
    last = max((entry.pos + entry.size for entry in stream.index_entries), default=0)
    return last > path.stat().st_size


def _is_short(container: Any, stream: Any, pts: list[int | None]) -> bool:
    """Whether the packets end long before the time that the header promises."""
    known = [p for p in pts if p is not None]
    promised = 0.0
    if stream.duration:
        promised = float(stream.duration * stream.time_base)
    elif container.duration and len(container.streams) == 1:
        promised = container.duration / av.time_base
    seconds = float((max(known) - min(known)) * stream.time_base) if known else 0.0
    return seconds < 0.9 * promised - 1


def turn_upright(image: np.ndarray, display_matrix: np.ndarray | None) -> np.ndarray:
    """Turns and mirrors a decoded frame as its container says players must.

    Args:
        image: (H, W) or (H, W, C).
        display_matrix: int32 (9,), FFmpeg's display matrix, or None: a row (x, y) of the coded
            picture times its upper left 2x2 part is the place in the shown one.

    Returns: a view of `image`; quarter turns only, others are rounded to one.
    """
    if display_matrix is None:
        return image
    x_to_x, x_to_y, _, y_to_x, y_to_y = (int(value) for value in display_matrix[:5])
    if abs(x_to_y) > abs(x_to_x):
        image = image.swapaxes(0, 1)
        x_to_x, y_to_y = y_to_x, x_to_y
    if x_to_x < 0:
        image = image[:, ::-1]
    return image[::-1] if y_to_y < 0 else image


def list_videos(folder: Path) -> list[Path]:
    """The video files of a folder by their suffix, in natural order; hidden files are left out.

    Raises: InputError if there is no such folder. None in it: an empty list.
    """
    return list_files(folder, VIDEO_SUFFIXES)


def write_video(
    path: Path,
    frames: Iterable[np.ndarray],
    times_seconds: Sequence[float] | None,
    frames_per_second: float,
    sound: Sound | None = None,
) -> None:
    """Writes an H.264 MP4 that plays in browsers, atomically and frame by frame.

    Args:
        frames: uint8 (height, width, 3) RGB, all of one size; odd sizes repeat their last line.
        times_seconds: increasing presentation times, exact to 1/90000 s; None for a constant rate.
        frames_per_second: the average rate.
        sound: goes with the frames.

    Raises: ValueError if there is no frame, or a time is missing or does not increase; nothing is
        left.
    """
    write_atomically(
        path, lambda aside: _encode(aside, iter(frames), times_seconds, frames_per_second, sound)
    )


def _encode(
    path: Path,
    frames: Iterator[np.ndarray],
    times: Sequence[float] | None,
    rate: float,
    sound: Sound | None,
) -> None:
    first = next(frames, None)
    if first is None:
        raise ValueError("write_video needs at least one frame")
    height, width = (size + size % 2 for size in first.shape[:2])
    with av.open(os.path.abspath(path), "w", options={"movflags": "+faststart"}) as container:
        options = {"crf": "20", "preset": "veryfast"}
        rate_fraction = Fraction(rate).limit_denominator(1001)
        stream = container.add_stream("libx264", rate=rate_fraction, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        # Said and done: unsaid, players guess by the height; undone, FFmpeg converts by BT.601.
        stream.codec_context.colorspace = Colorspace.ITU709
        stream.codec_context.color_primaries = ColorPrimaries.BT709
        stream.codec_context.color_trc = ColorTrc.BT709
        stream.codec_context.color_range = ColorRange.MPEG
        stream.codec_context.time_base = Fraction(1, 90_000)
        stream.codec_context.thread_count = 2
        packets = add_sound(container, sound) if sound else iter(())
        heard = next(packets, None)
        last = -1
        for number, image in enumerate(_chain(first, frames)):
            if image.shape != first.shape or image.dtype != np.uint8:
                raise ValueError(
                    f"frame {number} is {image.dtype} {image.shape}, not {first.shape}"
                )
            if times is not None and number >= len(times):
                raise ValueError(f"frame {number} has no time; {len(times)} were given")
            margin = ((0, height - image.shape[0]), (0, width - image.shape[1]), (0, 0))
            frame = av.VideoFrame.from_ndarray(np.pad(image, margin, mode="edge"), "rgb24")
            frame = frame.reformat(
                format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
            )
            frame.pts = round((number / rate if times is None else times[number]) * 90_000)
            frame.time_base = stream.codec_context.time_base
            if frame.pts <= last:
                raise ValueError(f"the time of frame {number} is not after the one before")
            last = frame.pts
            container.mux(stream.encode(frame))
            # Sound in step with the pictures, so that neither waits in memory for the other.
            while heard is not None and heard[0] <= frame.pts * frame.time_base:
                container.mux(heard[1])
                heard = next(packets, None)
        container.mux(stream.encode())
        while heard is not None:
            container.mux(heard[1])
            heard = next(packets, None)


def _chain(first: np.ndarray, rest: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    yield first
    yield from rest
