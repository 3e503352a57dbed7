"""The frames of a video file: how many there are, when each is shown, and where decoding can start.

FFmpeg answers none of these exactly for every file; each is derived from the packets where that is
certain, and from a full decode where it is not.
"""

import bisect
import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np

from utils.errors import InputError

UNKNOWN_FRAMES_PER_SECOND = 24.0  # of a file that does not say
RE_ENCODE = "copy or download it again, or re-encode it: ffmpeg -i IN -c:v libx264 OUT.mp4"

# In these a packet is a shown frame, so packets can be counted; VP8 hides some, MPEG-4 packs some.
_ONE_FRAME_PER_PACKET = {"h264", "hevc", "av1", "vp9", "prores", "mjpeg"}
_PROGRESSIVE = (0, 1)  # AVFieldOrder: unknown, progressive; a field may be a packet of its own


@dataclass(frozen=True)
class VideoIndex:
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


def open_container(path: Path) -> tuple[Any, Any]:
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
            f"video at all ({error.strerror}); {RE_ENCODE}"
        ) from error
    try:
        stream = find_video_stream(container, path)
    except InputError:
        container.close()
        raise
    stream.thread_type = "AUTO"
    return container, stream


def find_video_stream(container: Any, path: Path) -> Any:
    stream = container.streams.best("video")
    # The cover picture of a song is a video stream too.
    if stream is None or stream.disposition & av.stream.Disposition.attached_pic:
        kinds = sorted({other.type for other in container.streams if other is not stream})
        found = f"only {', '.join(kinds)}" if kinds else "nothing, as in a file that is cut off"
        raise InputError(f"{path}: expected a video stream, found {found}; {RE_ENCODE}")
    if stream.codec_context is None:
        raise InputError(f"{path}: its video codec is unknown to FFmpeg; {RE_ENCODE}")
    return stream


def decode_frames(container: Any, stream: Any) -> Iterator[av.VideoFrame]:
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


def build_index(path: Path) -> VideoIndex:
    """Lists the frames: from the packets alone where that is exact, else by decoding them all.

    Raises: InputError if there is no such file or no video in it that decodes.
    """
    container, stream = open_container(path)
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
        time_base, rate = stream.time_base, float(stream.average_rate or UNKNOWN_FRAMES_PER_SECOND)
    packet_pts = {pts for pts, _ in pts_seek}
    is_seekable = None not in packet_pts and len(packet_pts) == len(pts_seek)

    container, stream = open_container(path)
    with container:
        first = next(decode_frames(container, stream), None)
        if first is None:
            raise InputError(f"{path}: expected a video, found no frame that decodes; {RE_ENCODE}")
        matrix = first.side_data.get("DISPLAYMATRIX")
        pts = sorted(packet_pts) if is_seekable else []
        seeks = sorted((p, seek) for p, seek in pts_seek if seek is not None) if is_seekable else []
        is_exact = (
            is_simple and first.pts in pts[:1] and _ends_as_listed(container, stream, pts, seeks)
        )
    if not is_exact:
        container, stream = open_container(path)
        with container:
            pts = [frame.pts for frame in decode_frames(container, stream)]

    numbers = {p: number for number, p in enumerate(pts) if p is not None}
    is_timed = len(numbers) == len(pts) and list(numbers) == sorted(numbers)
    is_seekable = is_seekable and is_timed and packet_pts.issuperset(numbers)
    times = [float((p - pts[0]) * time_base) if is_timed else i / rate for i, p in enumerate(pts)]
    seeks = [(numbers[p], seek) for p, seek in seeks if p in numbers] if is_seekable else []
    return VideoIndex(
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
    decoded = [frame.pts for frame in decode_frames(container, stream)]
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
