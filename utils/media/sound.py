"""The sound of a video for the overlay made of it: copied if every browser plays it, else
re-encoded."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av

# MP4 may hold other codecs (Opus, AC-3, FLAC, ...), but not every browser or player supports them.
COPIED_CODECS = ("aac", "mp3")
AAC_SAMPLE_RATES = (8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000)  # Hz
BITS_PER_SECOND = 128_000


@dataclass(frozen=True)
class Sound:
    """The stretch of a file's sound that belongs to a video's frames.

    Attributes:
        path: a file with sound.
        start_seconds: the time in that file at which the first frame is shown.
        num_seconds: how long the frames are shown in all.
    """

    path: Path
    start_seconds: float
    num_seconds: float


def add_sound(output: Any, sound: Sound) -> Iterator[tuple[float, av.Packet]]:
    """Adds a stream of sound to a container that is being written.

    Args:
        output: an opened `av` container to which nothing has been written yet.
        sound: the sound to add.

    Returns:
        the packets to mux, each with its time in seconds from the first frame, in order. Damaged
        sound has gaps; sound that FFmpeg cannot read at all is left out.
    """
    # Absolute, because FFmpeg takes the part of a name before a colon for a protocol.
    source = av.open(os.path.abspath(sound.path), metadata_errors="replace")
    stream = source.streams.best("audio")
    if stream is None or stream.codec_context is None:
        source.close()
        return iter(())
    decoder = stream.codec_context
    if decoder.codec.canonical_name in COPIED_CODECS:
        target = output.add_stream_from_template(stream)
        packets = _copied(source, stream, sound)
    else:
        rate = decoder.sample_rate if decoder.sample_rate in AAC_SAMPLE_RATES else 48000
        layout = "mono" if decoder.layout.nb_channels == 1 else "stereo"
        target = output.add_stream("aac", rate=rate, layout=layout)
        target.bit_rate = BITS_PER_SECOND
        packets = _encoded(source, stream, target, sound)
    return _timed(packets, target)


def _copied(source: Any, stream: Any, sound: Sound) -> Iterator[av.Packet]:
    """Yields the packets of the time in which frames are shown, timed from the first frame."""
    with source, contextlib.suppress(av.FFmpegError):  # where the file is cut off, the sound ends
        for packet in source.demux(stream):
            if packet.pts is None or packet.dts is None or packet.is_discard:
                continue
            first = round(sound.start_seconds / packet.time_base)
            packet.pts -= first
            packet.dts -= first
            if packet.pts * packet.time_base >= sound.num_seconds:
                return
            # A file may not start before 0: sound from before the first frame would delay it.
            if packet.pts >= 0:
                yield packet


def _encoded(source: Any, stream: Any, target: Any, sound: Sound) -> Iterator[av.Packet]:
    """Yields the same sound as packets of AAC."""
    for packet in _copied(source, stream, sound):
        with contextlib.suppress(av.FFmpegError):  # a damaged packet costs its own sound only
            for frame in packet.decode():
                yield from target.encode(frame)
    with contextlib.suppress(av.FFmpegError):
        yield from target.encode(None)


def _timed(packets: Iterator[av.Packet], target: Any) -> Iterator[tuple[float, av.Packet]]:
    last_dts = None
    for packet in packets:
        if last_dts is None or packet.dts > last_dts:  # MP4 refuses packets that go back in time
            last_dts = packet.dts
            packet.stream = target
            yield float(packet.pts * packet.time_base), packet
