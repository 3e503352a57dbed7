"""Writing videos that every browser and player shows as they were meant."""

import os
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

from utils.files import write_atomically
from utils.media.sound import Sound, add_sound


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
