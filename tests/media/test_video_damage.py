"""Damaged video files: said before training, in a way that no frame's number shifts."""

import numpy as np
import pytest

from tests.unusual_videos import copy_packets, damage_packets, write_unusual_video
from utils.errors import InputError
from utils.media.video_file import VideoFile

NUM_FRAMES = 60


def pictures(count=NUM_FRAMES) -> list[np.ndarray]:
    """Noise, so that packets are large, with the number as brightness in one half."""
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    images = []
    for number in range(count):
        image = np.roll(noise, number, axis=1)
        image[24:] = 4 * number
        images.append(image)
    return images


def number_of(image: np.ndarray) -> int:
    return round(float(image[28:].mean()) / 4)


KINDS = {
    "h264.mp4": dict(codec="libx264", g="15"),
    "b_frames.mkv": dict(codec="libx264", g="15", bf="2"),
    "hevc.mp4": dict(codec="libx265", **{"x265-params": "keyint=15:log-level=none"}),
    "vp9.webm": dict(codec="libvpx-vp9", g="15", **{"cpu-used": "8"}),
    "vp8.webm": dict(codec="libvpx", g="15"),
    "mjpeg.avi": dict(codec="mjpeg", pixels="yuvj420p"),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_lost_frame_is_said_and_repeats_the_one_before(tmp_path, name):
    path = write_unusual_video(tmp_path / name, pictures(), **KINDS[name])
    whole = [number_of(VideoFile(path).read(index)) for index in (0, 29, 30, 45, 59)]
    assert VideoFile(path).check() == []
    damage_packets(path, [42], fill=255)
    with VideoFile(path) as video:
        (warning,) = video.check()
        assert "damaged from 1." in warning and f"of {NUM_FRAMES} frames" in warning
        assert name in warning and "\n" not in warning
        assert len(video) == NUM_FRAMES
        assert [number_of(video.read(index)) for index in (0, 29, 30, 45, 59)] == whole
        for index in range(NUM_FRAMES):
            assert video.read(index).shape == (48, 64, 3)


def test_whoever_did_not_check_reads_the_same_frames(tmp_path):
    path = write_unusual_video(tmp_path / "a.mp4", pictures(), g="15")
    damage_packets(path, [37])
    with VideoFile(path) as checked, VideoFile(path) as unchecked:
        checked.check()
        assert unchecked.check(every_frame=False) == []
        for index in (40, 36, 38, 37, 44, 45):
            np.testing.assert_array_equal(unchecked.read(index), checked.read(index))
        np.testing.assert_array_equal(checked.read(37), checked.read(36))


def test_a_video_that_is_half_gone_is_refused(tmp_path):
    # HEVC: FFmpeg leaves out every frame that refers to a missing one, without an error.
    options = {"x265-params": "keyint=300:bframes=0:log-level=none"}
    path = write_unusual_video(tmp_path / "a.mp4", pictures(), codec="libx265", **options)
    dropped = copy_packets(path, tmp_path / "half.mp4", lambda packet: True)
    damage_packets(dropped, range(20, 60))
    with pytest.raises(InputError) as error:
        VideoFile(dropped).check()
    message = str(error.value)
    assert "half.mp4" in message and "of 60 frames" in message and "damaged from 0." in message
    assert "copy or download it again" in message and "\n" not in message


def test_a_damaged_end_is_said(tmp_path):
    path = write_unusual_video(tmp_path / "a.mkv", pictures(), g="15", bf="0")
    damage_packets(path, [58, 59], fill=255)
    with VideoFile(path) as video:
        (warning,) = video.check()
        assert "2 do not decode" in warning and f"ends with frame {len(video) - 1}" in warning
        assert [number_of(video.read(index)) for index in (0, 30, 57)] == [0, 30, 57]


def test_a_recording_that_begins_between_keyframes_is_said(tmp_path):
    path = write_unusual_video(tmp_path / "a.mkv", pictures(), g="15", bf="0")
    first = []

    def is_kept(packet):
        first.append(packet.pts)
        return len(first) > 5

    cut = copy_packets(path, tmp_path / "cut.mkv", is_kept)
    with VideoFile(cut) as video:
        warnings = video.check()
        assert number_of(video.read(len(video) - 1)) == 59
    assert len(warnings) == 1 and "begins between two keyframes" in warnings[0]


def test_the_digest_is_that_of_the_file_as_it_is(tmp_path):
    path = write_unusual_video(tmp_path / "a.mp4", pictures(3))
    video = VideoFile(path)
    video.check()
    before = video.sha256()
    path.write_bytes(path.read_bytes() + b"\0")
    assert VideoFile(path).sha256() == video.sha256() != before
