"""Writes video files as cameras and broken disks leave them, for the tests of readers."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def write_unusual_video(
    path: Path,
    images: Sequence[np.ndarray],
    stamps: Sequence[int] | None = None,
    time_base: Fraction = Fraction(1, 25),
    codec: str = "libx264",
    **options: str,
) -> Path:
    """Encodes RGB images at these time stamps, exactly; `aspect="16/9"` is that of the pixels, and
    `pixels="gray"` their format."""
    aspect, pixels = Fraction(options.pop("aspect", "1")), options.pop("pixels", "yuv420p")
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt, stream.time_base = pixels, time_base
        stream.codec_context.time_base = time_base
        stream.codec_context.sample_aspect_ratio = aspect
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "rgb24")
            frame.pts = stamps[number] if stamps is not None else number
            frame.time_base = time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def copy_packets(source: Path, target: Path, change: Callable[[av.Packet], bool]) -> Path:
    """Copies a video's packets without decoding; `change` may alter each, and False leaves it
    out."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.size and change(packet):
                packet.stream = stream
                new.mux(packet)
    return target


def damage_packets(path: Path, numbers: Sequence[int], fill: int = 0) -> Path:
    """Overwrites packets (by their order in the file) but for their first bytes."""
    with av.open(str(path)) as container:
        places = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    content = bytearray(path.read_bytes())
    for number in numbers:
        start, size = places[number]
        content[start + 8 : start + size] = bytes([fill]) * (size - 8)
    path.write_bytes(content)
    return path
