"""Writes videos that every browser and player shows in the same way."""

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

from utils.files import write_atomically
from utils.media.sound import Sound, add_sound

CLOCK_HZ = 90_000  # units of presentation times per second, as is usual in video
MAX_STEP = 2**31 - 1  # units between two frames in an MP4: 6.6 hours
CONSTANT_RATES = (1.0, 60.0)  # frames per second, of a video whose own times cannot be written
_RATES = (1, 1000)  # of the stream's header, which is no more than a hint


def constant_rate(times_seconds: Sequence[float], clock_hz: int = CLOCK_HZ) -> float | None:
    """Chooses a rate for a video whose times cannot be written: two frames are closer to each other
    than a unit of the clock, or further apart than a file can say.

    Args:
        times_seconds: increasing presentation times.
        clock_hz: units per second of the file's clock.

    Returns: frames per second, within CONSTANT_RATES; None if the times can be written.
    """
    steps = np.diff([round(seconds * clock_hz) for seconds in times_seconds])
    if steps.size == 0 or (steps.min() >= 1 and steps.max() <= MAX_STEP):
        return None
    usual = float(np.median(np.diff(times_seconds)))
    lowest, highest = CONSTANT_RATES
    return min(max(1 / usual, lowest), highest) if usual > 0 else highest


def write_video(
    path: Path,
    frames: Iterable[np.ndarray],
    times_seconds: Sequence[float] | None,
    frames_per_second: float,
    sound: Sound | None = None,
) -> None:
    """Writes an H.264 MP4 that plays in browsers, atomically and frame by frame.

    Args:
        path: of the file; its folder is created if it is missing.
        frames: uint8 (height, width, 3) RGB, all of one size. H.264 needs even sizes: the last row
            or column of odd ones is repeated.
        times_seconds: increasing presentation times, kept exact to 1/90000 s; None for a constant
            rate.
        frames_per_second: the average rate.
        sound: the sound that belongs to the frames.

    Raises:
        ValueError: if there is no frame, if frames differ in size, or if a time is missing or does
            not increase; no file is left then.
    """
    write_atomically(
        path,
        lambda temporary_path: _encode(
            temporary_path, iter(frames), times_seconds, frames_per_second, sound
        ),
    )


def _encode(
    path: Path,
    frames: Iterator[np.ndarray],
    times_seconds: Sequence[float] | None,
    frames_per_second: float,
    sound: Sound | None,
) -> None:
    first = next(frames, None)
    if first is None:
        raise ValueError("write_video needs at least one frame")
    # Absolute, because FFmpeg takes the part of a name before a colon for a protocol.
    with av.open(os.path.abspath(path), "w", options={"movflags": "+faststart"}) as container:
        stream = _add_video_stream(container, first.shape, frames_per_second)
        sound_packets = add_sound(container, sound) if sound else iter(())
        sound_packet = next(sound_packets, None)
        last_pts = -1
        for number, image in enumerate(itertools.chain([first], frames)):
            if image.shape != first.shape or image.dtype != np.uint8:
                raise ValueError(
                    f"frame {number} is {image.dtype} {image.shape}, not {first.shape}"
                )
            if times_seconds is not None and number >= len(times_seconds):
                raise ValueError(f"frame {number} has no time; {len(times_seconds)} were given")
            seconds = number / frames_per_second if times_seconds is None else times_seconds[number]
            frame = _to_video_frame(image, stream)
            frame.pts = round(seconds * CLOCK_HZ)
            if frame.pts <= last_pts:
                raise ValueError(f"the time of frame {number} is not after the one before")
            last_pts = frame.pts
            container.mux(stream.encode(frame))
            # Sound is written along with the frames, so that neither waits in memory for the other.
            while sound_packet is not None and sound_packet[0] <= frame.pts * frame.time_base:
                container.mux(sound_packet[1])
                sound_packet = next(sound_packets, None)
        container.mux(stream.encode())
        while sound_packet is not None:
            container.mux(sound_packet[1])
            sound_packet = next(sound_packets, None)


def _add_video_stream(container: Any, shape: tuple[int, ...], frames_per_second: float) -> Any:
    frames_per_second = min(max(frames_per_second, _RATES[0]), _RATES[1])
    rate = Fraction(frames_per_second).limit_denominator(1001)
    stream = container.add_stream("libx264", rate=rate, options={"crf": "20", "preset": "veryfast"})
    stream.height, stream.width = (size + size % 2 for size in shape[:2])
    stream.pix_fmt = "yuv420p"
    # Players guess the colour space of a file that does not state it from its height.
    stream.codec_context.colorspace = Colorspace.ITU709
    stream.codec_context.color_primaries = ColorPrimaries.BT709
    stream.codec_context.color_trc = ColorTrc.BT709
    stream.codec_context.color_range = ColorRange.MPEG
    stream.codec_context.time_base = Fraction(1, CLOCK_HZ)
    stream.codec_context.thread_count = 2
    return stream


def _to_video_frame(image: np.ndarray, stream: Any) -> av.VideoFrame:
    height, width = image.shape[:2]
    margin = ((0, stream.height - height), (0, stream.width - width), (0, 0))
    frame = av.VideoFrame.from_ndarray(np.pad(image, margin, mode="edge"), "rgb24")
    # FFmpeg would convert by BT.601 if it were not told to use what the stream states.
    frame = frame.reformat(
        format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
    )
    frame.time_base = stream.codec_context.time_base
    return frame
