"""The frames of a video file: how many there are, when each is shown, and where decoding can start.

FFmpeg answers none of these exactly for every file; each is derived from the packets where that is
certain, and from a full decode where it is not.
"""

import bisect
import contextlib
import itertools
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from utils.errors import InputError
from utils.files import is_broken_link
from utils.media.images import count_pictures
from utils.media.orientation import display_matrix
from utils.media.video_damage import (
    RE_ENCODE,
    FullDecode,
    decode_fully,
    frames_that_should_be,
    has_16_bits,
)

UNKNOWN_FRAMES_PER_SECOND = 24.0  # taken for a file that does not state its rate
ATTACHED = av.stream.Disposition.attached_pic
MAX_PIXEL_ASPECT = 8  # beyond it, a file's header is taken to be wrong

# With these codecs every packet is one shown frame, so counting packets counts frames. VP8 has
# hidden frames, and MPEG-4 may pack several into one packet.
_ONE_FRAME_PER_PACKET = {"h264", "hevc", "av1", "vp9", "prores", "mjpeg"}
# AVFieldOrder: unknown, progressive. In interlaced video each field may be a packet of its own.
_PROGRESSIVE = (0, 1)


@dataclass(frozen=True)
class VideoIndex:
    """The frames of a video file, numbered from 0 in presentation order.

    Attributes:
        times_seconds: presentation time of each frame, the first at 0.
        has_times: whether the file states them; otherwise they are estimated from its rate.
        num_shared_times: frames that have the time stamp of the one before, which no two frames
            can have; they are moved towards the next one.
        start_seconds: time of the first frame by the file's own clock.
        frames_per_second: the average rate.
        has_sound: whether there is an audio stream.
        number_of_pts: presentation time stamp -> number of the frame; None if the time stamps
            cannot be used, so that frames must be counted from the beginning.
        keyframes: numbers of the frames where decoding can start, in increasing order.
        seek_timestamps: for each of `keyframes` the time stamp to seek to.
        coded_height, coded_width: of the frames as they are stored, pixels.
        display_matrix: int32 (9,), see `turn_upright`, or None.
        pixel_aspect: width of a pixel as it is shown, in units of its height, before it is turned.
        num_video_streams: in the file; one is read.
        is_cut_off: whether the file ends before the end that it announces.
        packet_pts: sorted time stamps of the packets; empty if they are missing or repeated.
        decoded: the full decode, if there had to be one.
    """

    times_seconds: list[float]
    has_times: bool
    num_shared_times: int
    start_seconds: float
    frames_per_second: float
    has_sound: bool
    number_of_pts: dict[int, int] | None
    keyframes: list[int]
    seek_timestamps: list[int]
    coded_height: int
    coded_width: int
    display_matrix: np.ndarray | None
    pixel_aspect: float
    num_video_streams: int
    is_cut_off: bool
    packet_pts: list[int]
    decoded: FullDecode | None


@dataclass(frozen=True)
class _PacketList:
    """What a file's packets tell about its frames before any of them is decoded.

    Attributes:
        pts: presentation time stamps of the packets that are shown, in file order; None where the
            file has none.
        seek_timestamps: for each of these packets the time stamp to seek to if it is a keyframe,
            else None.
        is_one_frame_per_packet: whether counting packets counts frames.
        time_base: seconds per unit of a time stamp.
        frames_per_second: as the file states it, else UNKNOWN_FRAMES_PER_SECOND.
        has_sound, pixel_aspect, num_video_streams, is_cut_off: as in `VideoIndex`.
    """

    pts: list[int | None]
    seek_timestamps: list[int | None]
    is_one_frame_per_packet: bool
    time_base: Fraction
    frames_per_second: float
    has_sound: bool
    pixel_aspect: float
    num_video_streams: int
    is_cut_off: bool

    @property
    def has_unique_pts(self) -> bool:
        """Whether each packet can be told from all others by its time stamp."""
        return None not in self.pts and len(set(self.pts)) == len(self.pts)

    def sorted_pts(self) -> list[int]:
        """Returns the time stamps in presentation order; an empty list if they are not unique."""
        return sorted(self.pts) if self.has_unique_pts else []

    def keyframes(self) -> list[tuple[int, int]]:
        """Returns (time stamp, time stamp to seek to) of each keyframe in presentation order; an
        empty list if time stamps are not unique."""
        if not self.has_unique_pts:
            return []
        pairs = zip(self.pts, self.seek_timestamps, strict=True)
        return sorted((pts, seek) for pts, seek in pairs if seek is not None)


def open_container(path: Path) -> tuple[Any, Any]:
    """Opens a video file for decoding.

    Returns: the `av` container and its video stream.

    Raises:
        InputError: if there is no such file or no video stream in it.
    """
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no such file"
        if is_broken_link(path):
            found = f"a link whose target is missing ({os.readlink(path)})"
        raise InputError(f"{path}: expected a video file, found {found}; check the path.")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: expected a video, found 0 bytes; copy or download it again.")
    try:
        # Absolute, because FFmpeg takes the part of a name before a colon for a protocol.
        container = av.open(os.path.abspath(path), metadata_errors="replace")
    except (av.FFmpegError, OSError) as error:
        raise InputError(
            f"{path}: expected a video, found a file that cannot be opened as one, cut off or no "
            f"video at all ({error.strerror}); {RE_ENCODE}"
        ) from error
    try:
        if container.format.name.endswith("_pipe"):  # a file of pictures
            _refuse_stack(path)
        stream = find_video_stream(container, path)
    except InputError:
        container.close()
        raise
    stream.thread_type = "AUTO"
    return container, stream


def _refuse_stack(path: Path) -> None:
    num_pictures = count_pictures(path)
    if num_pictures > 1:
        raise InputError(
            f"{path}: expected a video, found an image file of {num_pictures} pictures, of which "
            "FFmpeg reads at most the first; save them as PNGs in a folder of their own, and name "
            "the folder."
        )


def find_video_stream(container: Any, path: Path) -> Any:
    """Returns the video stream of an opened container.

    Args:
        container: an opened `av` container.
        path: of the file, for the message of the error.

    Raises:
        InputError: if there is no video, or none that FFmpeg can decode.
    """
    stream = container.streams.best("video")
    # The cover picture of a song is stored as a video stream as well.
    if stream is None or stream.disposition & ATTACHED:
        kinds = sorted({other.type for other in container.streams if other is not stream})
        found = f"only {', '.join(kinds)}" if kinds else "nothing"
        if not {"audio", "subtitle", "video"} & set(kinds):
            found += ", as in a file that is cut off"
        raise InputError(f"{path}: expected a video stream, found {found}; {RE_ENCODE}")
    if stream.codec_context is None:
        raise InputError(f"{path}: its video codec is unknown to FFmpeg; {RE_ENCODE}")
    return stream


def decode_frames(container: Any, stream: Any) -> Iterator[av.VideoFrame]:
    """Yields every frame that decodes from the container's position on.

    A damaged packet costs the frames in it, as in the ffmpeg program.
    """
    try:
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.FFmpegError:
                continue
            yield from frames
    except av.FFmpegError:  # the file ends within a packet; frames in the decoder are still good
        with contextlib.suppress(av.FFmpegError):
            yield from stream.decode()


def build_index(path: Path) -> VideoIndex:
    """Lists the frames of a video file, from its packets alone if that is exact, else by decoding
    it in full.

    Raises:
        InputError: if there is no such file or no video in it that decodes.
    """
    packets = _read_packets(path)
    first_frame, is_exact = _compare_with_decoded(path, packets)
    decoded = None if is_exact and not has_16_bits(first_frame) else decode_all(path)
    pts: list[int | None] = packets.sorted_pts()
    if decoded is not None:
        pts = frames_that_should_be(decoded, pts, packets.is_one_frame_per_packet)

    number_of_pts = {stamp: number for number, stamp in enumerate(pts) if stamp is not None}
    times = _stated_times(pts, packets)
    is_timed = times is not None
    if times is None:
        times = [number / packets.frames_per_second for number in range(len(pts))]
    num_shared = len(pts) - len(number_of_pts) if is_timed else 0
    is_seekable = is_timed and not num_shared and packets.has_unique_pts
    is_seekable = is_seekable and number_of_pts.keys() <= set(packets.pts)
    keyframes = packets.keyframes() if is_seekable else []
    keyframes = [(number_of_pts[p], seek) for p, seek in keyframes if p in number_of_pts]
    return VideoIndex(
        times_seconds=times,
        has_times=is_timed,
        num_shared_times=num_shared,
        # Also where the times of the others are estimated: the sound keeps the file's clock.
        start_seconds=float(next(iter(number_of_pts), 0) * packets.time_base),
        frames_per_second=(len(pts) - 1) / times[-1] if len(pts) > 1 else packets.frames_per_second,
        has_sound=packets.has_sound,
        number_of_pts=number_of_pts if is_seekable else None,
        keyframes=[number for number, _ in keyframes],
        seek_timestamps=[seek for _, seek in keyframes],
        coded_height=first_frame.height,
        coded_width=first_frame.width,
        display_matrix=display_matrix(first_frame),
        num_video_streams=packets.num_video_streams,
        pixel_aspect=packets.pixel_aspect,
        is_cut_off=packets.is_cut_off,
        packet_pts=packets.sorted_pts(),
        decoded=decoded,
    )


def _stated_times(pts: Sequence[int | None], packets: _PacketList) -> list[float] | None:
    """The times in seconds by the time stamps of all frames, the first at 0; None if some have no
    stamp, are not in the order of their stamps, or if most of them share one that has no room."""
    if None in pts or pts != sorted(pts) or len(set(pts)) < min(2, len(pts)):
        return None
    num_frames = Counter(pts)
    stamps = list(num_frames)
    period = 1 / packets.frames_per_second
    times = []
    for stamp, following in itertools.zip_longest(stamps, stamps[1:]):
        step = period
        if following is not None:
            step = min(step, float((following - stamp) * packets.time_base) / num_frames[stamp])
            if step < period / 4 and 2 * num_frames[stamp] >= len(pts):
                return None
        seconds = float((stamp - pts[0]) * packets.time_base)
        times += [seconds + number * step for number in range(num_frames[stamp])]
    return times


def decode_all(path: Path) -> FullDecode:
    """Decodes every frame of a video file, without converting any."""
    container, stream = open_container(path)
    with container:
        return decode_fully(container, stream)


def _read_packets(path: Path) -> _PacketList:
    container, stream = open_container(path)
    with container:
        is_mov = container.format.name.startswith("mov")
        has_sound = container.streams.best("audio") is not None
        all_pts, durations, seek_timestamps = [], [], []
        with contextlib.suppress(av.FFmpegError):
            for packet in container.demux(stream):
                # Discarded packets lie outside an edit list: they are decoded, but never shown.
                if packet.size and not packet.is_discard:
                    all_pts.append(packet.pts)
                    durations.append(packet.duration)
                    seek_timestamps.append(_seek_timestamp(packet, is_mov))
        rate = float(_stated_rate(stream, all_pts) or UNKNOWN_FRAMES_PER_SECOND)
        # An edit list may shorten an MP4 at will, so the length in its header means nothing.
        is_cut_off = _is_beyond_end(path, stream) or (
            not is_mov and _is_short(container, stream, all_pts, durations, rate)
        )
        is_one_frame_per_packet = (
            stream.codec_context.codec.canonical_name in _ONE_FRAME_PER_PACKET
            and stream.codec_context.field_order in _PROGRESSIVE
        )
        return _PacketList(
            all_pts,
            seek_timestamps,
            is_one_frame_per_packet,
            stream.time_base,
            rate,
            has_sound,
            _pixel_aspect(stream),
            sum(not other.disposition & ATTACHED for other in container.streams.video),
            is_cut_off,
        )


def _stated_rate(stream: Any, pts: list[int | None]) -> Fraction | None:
    # Of a raw stream, FFmpeg calls 25 the average rate, whatever the stream itself states.
    return (stream.guessed_rate if None in pts else None) or stream.average_rate


def _pixel_aspect(stream: Any) -> float:
    aspect = float(stream.sample_aspect_ratio or 1)
    return aspect if 1 / MAX_PIXEL_ASPECT <= aspect <= MAX_PIXEL_ASPECT else 1.0


def _seek_timestamp(packet: av.Packet, is_mov: bool) -> int | None:
    """The time stamp that finds this packet; None if decoding cannot start there."""
    # MP4 is sought by pts, other formats may be sought by dts; landing too early does no harm.
    known = [packet.pts] if is_mov else [packet.pts, packet.dts]
    known = [stamp for stamp in known if stamp is not None]
    return min(known) if packet.is_keyframe and known else None


def _compare_with_decoded(path: Path, packets: _PacketList) -> tuple[av.VideoFrame, bool]:
    """Decodes the first frame and those from the last keyframe on.

    Returns: the first frame, and whether the packets list the frames exactly.
    """
    container, stream = open_container(path)
    with container:
        first_frame = next(decode_frames(container, stream), None)
        if first_frame is None:
            raise InputError(f"{path}: expected a video, found no frame that decodes; {RE_ENCODE}")
        pts, keyframes = packets.sorted_pts(), packets.keyframes()
        is_exact = (
            packets.is_one_frame_per_packet
            and first_frame.pts in pts[:1]
            and _ends_as_listed(container, stream, pts, keyframes)
        )
    return first_frame, is_exact


def _ends_as_listed(
    container: Any, stream: Any, pts: list[int], keyframes: list[tuple[int, int]]
) -> bool:
    """Whether decoding from the last keyframe gives exactly the frames that the packets list."""
    if not keyframes:
        return False
    keyframe_pts, seek_timestamp = keyframes[-1]
    try:
        container.seek(seek_timestamp, stream=stream)
    except av.FFmpegError:
        return False
    decoded = [frame.pts for frame in decode_frames(container, stream)]
    if None in decoded:
        return False
    expected = pts[bisect.bisect_left(pts, keyframe_pts) :]
    return [stamp for stamp in decoded if stamp >= keyframe_pts] == expected


def _is_beyond_end(path: Path, stream: Any) -> bool:
    """Whether the index in the file refers to bytes after the end of the file."""
    last = max((entry.pos + entry.size for entry in stream.index_entries), default=0)
    return last > path.stat().st_size


def _is_short(
    container: Any,
    stream: Any,
    pts: list[int | None],
    durations: list[int | None],
    frames_per_second: float,
) -> bool:
    """Whether the packets end long before the duration in the header."""
    known = [stamp for stamp in pts if stamp is not None]
    period_seconds = 1 / frames_per_second
    period = period_seconds / stream.time_base
    # What a picture is shown for beyond one period is not missing: a GIF may pause on its last one.
    ends = [
        start + max(0, (duration or 0) - period)
        for start, duration in zip(pts, durations, strict=True)
        if start is not None
    ]
    stated_seconds = 0.0
    if stream.duration:
        stated_seconds = float(stream.duration * stream.time_base)
    elif container.duration and len(container.streams) == 1:
        stated_seconds = container.duration / av.time_base
    # A file that was cut from a longer one may keep its clock, and count its length from 0.
    found_seconds = float((max(ends) - min(0, min(known))) * stream.time_base) if known else 0.0
    return found_seconds < 0.9 * stated_seconds - max(1, period_seconds)
