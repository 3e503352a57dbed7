"""The sound of written videos: that of the input, in time with the pictures, whatever its codec."""

from pathlib import Path

import av
import numpy as np
import pytest

from utils.media.overlay import write_overlay_video
from utils.media.video_writing import write_video
from utils.media.videos import FrameFolder, VideoFile

RATE = 48000
NUM_FRAMES = 50  # two seconds


def encode(
    path: Path,
    video: str,
    audio: str,
    first_frame_seconds: float = 0.0,
    sound_seconds: float = 2.0,
    layout: str = "stereo",
    rate: int = RATE,
    pause: tuple[float, float] = (0.0, 0.0),
) -> Path:
    """A video whose sound sets in at 1.5 s; no sound is written at all during the pause."""
    with av.open(str(path), "w") as container:
        pictures = container.add_stream(video, rate=25)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream(audio, rate=rate, layout=layout)
        for index in range(NUM_FRAMES):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 5 * index, np.uint8), "rgb24")
            frame.pts = index + round(first_frame_seconds * 25)
            container.mux(pictures.encode(frame))
        container.mux(pictures.encode())
        seconds = np.arange(round(sound_seconds * rate)) / rate
        tone = (0.5 * np.sin(2 * np.pi * 440 * seconds) * (seconds >= 1.5)).astype("float32")
        for start in range(0, len(tone), 1024):
            if pause[0] <= seconds[start] < pause[1]:
                continue
            block = np.stack([tone[start : start + 1024]] * sound.codec_context.layout.nb_channels)
            frame = av.AudioFrame.from_ndarray(block, "fltp", layout)
            frame.sample_rate, frame.pts = rate, start
            container.mux(sound.encode(frame))
        container.mux(sound.encode())
    return path


def listen(path: Path) -> tuple[str, float, float]:
    """Codec, seconds from the first frame to the tone, and to the end of the sound."""
    with av.open(str(path)) as container:
        pictures, sound = container.streams.video[0], container.streams.best("audio")
        first = float(next(container.decode(pictures)).time)
    with av.open(str(path)) as container:
        sound = container.streams.best("audio")
        onset, end, rate = None, 0.0, sound.codec_context.sample_rate
        for frame in container.decode(sound):
            loud = np.abs(frame.to_ndarray()[0].astype(float)) > 0.25
            if onset is None and loud.any():
                onset = frame.time + loud.argmax() / rate - first
            end = frame.time + frame.samples / rate - first
        return sound.codec_context.codec.canonical_name, onset, end


def copy_with_sound(source: Path) -> Path:
    path = source.with_name("copy.mp4")
    with VideoFile(source) as video:
        frames = (video.read(index) for index in range(len(video)))
        write_video(path, frames, video.times_seconds(), video.frames_per_second, video.sound)
        with VideoFile(path) as copy:
            assert len(copy) == len(video)
            assert copy.times_seconds() == pytest.approx(video.times_seconds(), abs=1e-4)
    return path


FORMATS = {
    "phone.mp4": ("libx264", "aac", "aac"),
    "phone.mov": ("libx264", "aac", "aac"),
    "camera.mov": ("libx264", "pcm_s16le", "aac"),
    "old.avi": ("mpeg4", "libmp3lame", "mp3"),
    "camera.avi": ("mpeg4", "pcm_s16le", "aac"),
    "web.webm": ("libvpx", "libopus", "aac"),
    "disc.mkv": ("libx264", "ac3", "aac"),
}


@pytest.mark.parametrize("name", FORMATS)
def test_the_sound_is_copied_in_sync_with_the_frames(tmp_path, name):
    video, audio, expected = FORMATS[name]
    source = encode(tmp_path / name, video, audio)
    codec, onset, end = listen(copy_with_sound(source))
    assert codec == expected
    assert onset == pytest.approx(listen(source)[1], abs=0.03)
    assert end == pytest.approx(2.0, abs=0.08)


@pytest.mark.parametrize("audio", ["aac", "libopus"])
def test_sound_from_before_the_first_frame_is_left_out(tmp_path, audio):
    source = encode(tmp_path / "a.mkv", "libx264", audio, first_frame_seconds=1, sound_seconds=3)
    copy = copy_with_sound(source)
    _, onset, end = listen(copy)
    assert onset == pytest.approx(0.5, abs=0.03) and end == pytest.approx(2.0, abs=0.08)
    with av.open(str(copy)) as container:
        assert container.streams.video[0].start_time == 0


def test_sound_stays_in_sync_where_only_the_first_frame_has_a_time_stamp(tmp_path):
    # As FFmpeg reads H.264 in the program stream of MPEG, which it starts at half a second.
    source = encode(tmp_path / "a.mpg", "libx264", "mp2")
    with VideoFile(source) as video:
        assert not video.has_times
        assert video.sound.start_seconds == pytest.approx(0.5, abs=0.1)
    _, onset, end = listen(copy_with_sound(source))
    assert onset == pytest.approx(1.5, abs=0.03) and end == pytest.approx(2.0, abs=0.08)


@pytest.mark.parametrize("audio", ["aac", "libopus"])
def test_sound_beyond_the_last_frame_is_left_out(tmp_path, audio):
    source = encode(tmp_path / "a.mkv", "libx264", audio, sound_seconds=5)
    assert listen(copy_with_sound(source))[2] == pytest.approx(2.0, abs=0.08)


@pytest.mark.parametrize("audio", ["aac", "libopus", "ac3"])
def test_a_pause_in_the_sound_shifts_nothing(tmp_path, audio):
    source = encode(tmp_path / "a.mkv", "libx264", audio, pause=(0.5, 1.0))
    assert listen(copy_with_sound(source))[1] == pytest.approx(1.5, abs=0.05)


def test_sound_of_odd_rates_and_many_channels_becomes_playable(tmp_path):
    source = encode(tmp_path / "a.mkv", "libx264", "flac", layout="5.1", rate=96000)
    copy = copy_with_sound(source)
    with av.open(str(copy)) as container:
        context = container.streams.best("audio").codec_context
        assert (context.sample_rate, context.layout.nb_channels) == (48000, 2)
    assert listen(copy)[1] == pytest.approx(1.5, abs=0.03)


@pytest.mark.parametrize("audio", ["aac", "libopus"])
def test_damaged_sound_does_not_damage_the_frames(tmp_path, audio):
    source = encode(tmp_path / "a.mkv", "libx264", audio)
    with av.open(str(source)) as container:
        packets = [bytes(packet) for packet in container.demux(audio=0) if packet.size > 20]
    content = source.read_bytes()
    for packet in packets[10:20]:
        content = content.replace(packet, b"\xff" * len(packet))
    source.write_bytes(content)
    copy_with_sound(source)  # compares the frames' times


def test_a_video_written_without_sound_has_none(tmp_path):
    video = VideoFile(copy_with_sound(encode(tmp_path / "a.mp4", "libx264", "aac")))
    assert video.sound is not None and FrameFolder(tmp_path).sound is None
    write_video(tmp_path / "b.mp4", [np.zeros((48, 64, 3), np.uint8)] * 3, None, 25)
    assert VideoFile(tmp_path / "b.mp4").sound is None


def test_the_overlay_has_the_sound_of_its_video(tmp_path):
    source = encode(tmp_path / "a.mp4", "libx264", "aac")
    with VideoFile(source) as video:
        mask = np.zeros((48, 64), np.uint8)
        write_overlay_video(tmp_path / "overlay.mp4", video, lambda index: mask, [])
    assert listen(tmp_path / "overlay.mp4")[1] == pytest.approx(1.5, abs=0.03)
