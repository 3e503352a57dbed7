"""What of a video file does not decode: its packets compared with the frames of a full decode.

Packets alone do not prove a frame whole: after a damaged one, FFmpeg may leave out every frame that
refers to it, and says so to nobody.
"""

import bisect
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np

RE_ENCODE = "copy or download it again, or re-encode it: ffmpeg -i IN -c:v libx264 OUT.mp4"
RELABEL = f"{RE_ENCODE}, and label a frame of the new file, whose frames have other numbers"
WHOLE_COPY = "A whole copy of the file would be better."
MAX_LOST_SHARE = 0.1  # with more missing frames than this, masks would be of one picture repeated


@dataclass
class FullDecode:
    """What a decoder gave from a file's beginning to its end.

    Attributes:
        pts: presentation time stamp of each frame.
        corrupt: which of these frames the decoder calls damaged.
        failed_after: for each packet that failed, the number of frames decoded before it.
        is_interlaced: whether any frame is; each of its fields may be a packet of its own.
        highest: the highest value in frames of 16 bits per channel, 0 for others.
        sizes: (number of frames decoded before, width, height) for the first frame and wherever
            the size changes.
    """

    pts: list[int | None] = field(default_factory=list)
    corrupt: list[int] = field(default_factory=list)
    failed_after: list[int] = field(default_factory=list)
    is_interlaced: bool = False
    highest: int = 0
    sizes: list[tuple[int, int, int]] = field(default_factory=list)


@dataclass(frozen=True)
class Damage:
    """The frames of a video file that are missing or damaged, by their numbers.

    Attributes:
        lost: do not decode; the frame before is shown in place of each.
        corrupt: decode with errors.
        num_affected: these, and the frames up to the next keyframe, which refer to them.
        num_failed: packets that fail where packets cannot be compared with frames one by one, so
            that frames are numbered as they decode.
        first_failed: the frame before which the first of these comes.
        num_before, num_after: packets before the first frame and after the last that do not decode.
    """

    lost: tuple[int, ...] = ()
    corrupt: tuple[int, ...] = ()
    num_affected: int = 0
    num_failed: int = 0
    first_failed: int = 0
    num_before: int = 0
    num_after: int = 0


def has_16_bits(frame: av.VideoFrame) -> bool:
    """Whether a frame has room for 16 bits per channel, of which a camera may use fewer."""
    return frame.format.components[0].bits == 16


def to_16_bits(frame: av.VideoFrame) -> np.ndarray:
    """A frame as uint16 (height, width, 3) RGB."""
    return frame.to_ndarray(format="rgb48le")


def decode_fully(container: Any, stream: Any) -> FullDecode:
    """Decodes every frame, without converting any."""
    found = FullDecode()

    def keep(frames: list[av.VideoFrame]) -> None:
        for frame in frames:
            if frame.is_corrupt:
                found.corrupt.append(len(found.pts))
            if not found.sizes or found.sizes[-1][1:] != (frame.width, frame.height):
                found.sizes.append((len(found.pts), frame.width, frame.height))
            found.is_interlaced |= frame.interlaced_frame
            found.pts.append(frame.pts)
            if has_16_bits(frame):
                found.highest = max(found.highest, int(to_16_bits(frame).max()))

    try:
        for packet in container.demux(stream):
            try:
                keep(packet.decode())
            except av.FFmpegError:
                found.failed_after.append(len(found.pts))
    except av.FFmpegError:  # the file ends within a packet; frames in the decoder are still good
        with contextlib.suppress(av.FFmpegError):
            keep(stream.decode())
    return found


def frames_that_should_be(
    decoded: FullDecode, packet_pts: Sequence[int], is_one_frame_per_packet: bool
) -> list[int | None]:
    """The time stamps of a file's frames: those that decoded, and those lost between them.

    Args:
        decoded: the full decode.
        packet_pts: sorted time stamps of the packets, empty if these are missing or repeated.
        is_one_frame_per_packet: as far as the codec tells.

    Returns: time stamps in presentation order; those of `decoded` where packets cannot be counted.
    """
    pts = decoded.pts
    if not pts or None in pts or not set(pts) <= set(packet_pts) or pts != sorted(pts):
        return pts  # an AVI, for example, may state the order of decoding alone
    first, last = pts[0], pts[-1]
    between = [stamp for stamp in packet_pts if first <= stamp <= last]
    num_lost = len(between) - len(set(pts))
    is_listed = is_one_frame_per_packet and not decoded.is_interlaced
    if is_listed or (0 < num_lost == len(decoded.failed_after)):
        return between
    return pts


def find_damage(
    decoded: FullDecode,
    number_of_pts: dict[int, int] | None,
    packet_pts: Sequence[int],
    keyframes: Sequence[int],
) -> Damage:
    """Compares the frames of a file with those that decode.

    Args:
        decoded: the full decode.
        number_of_pts: time stamp -> number of each frame; None if frames are only counted.
        packet_pts: sorted time stamps of the packets, empty if these are missing or repeated.
        keyframes: numbers of the frames where decoding can start, in increasing order.
    """
    inside = [n for n in decoded.failed_after if 0 < n < len(decoded.pts)]
    first_failed = inside[0] if inside else 0
    if number_of_pts is None:
        bad, num_frames = decoded.corrupt, len(decoded.pts)
        affected = _num_affected(bad, keyframes, num_frames)
        return Damage((), tuple(bad), affected, len(inside), first_failed)
    shown = set(decoded.pts)
    lost = {number for stamp, number in number_of_pts.items() if stamp not in shown}
    corrupt = {number_of_pts.get(decoded.pts[place], -1) for place in decoded.corrupt} - {-1}
    first, last = min(number_of_pts), max(number_of_pts)
    # Where every packet has its frame, one that fails is among the lost ones.
    is_counted = sum(first <= stamp <= last for stamp in packet_pts) == len(number_of_pts)
    return Damage(
        tuple(sorted(lost)),
        tuple(sorted(corrupt)),
        _num_affected(sorted(lost | corrupt), keyframes, len(number_of_pts)),
        0 if is_counted else len(inside),
        first_failed,
        num_before=sum(stamp < first for stamp in packet_pts),
        num_after=sum(stamp > last for stamp in packet_pts),
    )


def describe_damage(
    path: Path, damage: Damage, times_seconds: Sequence[float]
) -> tuple[str | None, list[str]]:
    """Says what is damaged, from which second on, and what to do.

    Returns: why the file is refused, None if it is not; and warnings, a line each.
    """
    num_frames, warnings = len(times_seconds), []
    if damage.num_failed:
        number = min(damage.first_failed, num_frames - 1)
        found = (
            f"damaged from {times_seconds[number]:.2f} s (frame {number}) on: {damage.num_failed} "
            f"packets beside the {num_frames} frames do not decode"
        )
        if damage.num_failed > MAX_LOST_SHARE * num_frames:
            return f"{path}: expected a whole video, found one {found}; {RELABEL}.", []
        warnings.append(
            f"{path}: {found}. Frames are numbered as they decode; other programs may count those "
            f"that are missing. {WHOLE_COPY}"
        )
    bad = sorted({*damage.lost, *damage.corrupt, *range(num_frames, num_frames + damage.num_after)})
    if bad:
        first = min(bad[0], num_frames - 1)
        num_lost = len(damage.lost) + damage.num_after
        num_packets = num_frames + damage.num_after
        found = (
            f"damaged from {times_seconds[first]:.2f} s (frame {bad[0]}) on: of {num_packets} "
            f"frames, {num_lost} do not decode, {len(damage.corrupt)} decode with errors, "
            f"{damage.num_affected + damage.num_after} are affected in all"
        )
        if num_lost > MAX_LOST_SHARE * num_packets:
            return f"{path}: expected a whole video, found one {found}; {RELABEL}.", []
        instead = ""
        if damage.lost:
            instead += ". In place of each that is missing, the frame before is repeated, so that "
            instead += "all numbers stay"
        if damage.num_after:
            instead += f". The video ends with frame {num_frames - 1}"
        warnings.append(f"{path}: {found}{instead}. {WHOLE_COPY}")
    if damage.num_before:
        warnings.append(
            f"{path}: the first {damage.num_before} packets do not decode, as where a recording "
            "begins between two keyframes; the first frame that does is frame 0."
        )
    return None, warnings


def describe_size_change(path: Path, decoded: FullDecode, times_seconds: Sequence[float]) -> str:
    """Says where the size of the frames changes first; an empty string if it does not."""
    if len(decoded.sizes) < 2:
        return ""
    (_, *old), (place, *new) = decoded.sizes[:2]
    place = min(place, len(times_seconds) - 1)
    distorted = "" if old[0] * new[1] == new[0] * old[1] else ", and thereby distorted"
    return (
        f"{path}: the frames are {old[0]}x{old[1]}, but {new[0]}x{new[1]} from "
        f"{times_seconds[place]:.2f} s (frame {place}) on: frames of another size are scaled to "
        f"the first one{distorted}. To take the first part alone: --frames 0:{place}."
    )


def _num_affected(bad: Sequence[int], keyframes: Sequence[int], num_frames: int) -> int:
    affected: set[int] = set()
    for number in bad:
        place = bisect.bisect_right(keyframes, number)
        end = keyframes[place] if place < len(keyframes) else num_frames
        affected.update(range(number, end))
    return len(affected)
