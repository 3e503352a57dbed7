"""Frame folders and video files: every read equals a full decode, odd files are refused by name."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tests.unusual_videos import copy_packets
from utils.errors import InputError
from utils.media import video_file, videos
from utils.media.video_writing import write_video
from utils.media.videos import FrameFolder, VideoFile

HEIGHT, WIDTH = 48, 64


def numbered(index: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """A frame whose eight vertical strips are the bits of `index`, below a grey band."""
    bits = [(index >> bit) & 1 for bit in range(8)]
    row = np.array(bits, np.uint8)[np.arange(width) * 8 // width] * 255
    image = np.repeat(np.tile(row, (height, 1))[..., None], 3, axis=2)
    image[: height // 8] = 128
    return image


def number_of(image: np.ndarray) -> int:
    """The index that `numbered` drew."""
    height, width = image.shape[:2]
    strips = [image[height // 2, (2 * bit + 1) * width // 16].mean() > 127 for bit in range(8)]
    return sum(int(strip) << bit for bit, strip in enumerate(strips))


def encode(path: Path, pts=range(30), codec="libx264", options=None, rotation=None, rate=25):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        if rotation is not None:
            stream.set_display_rotation(*rotation)
        stream.codec_context.thread_count = 1
        for index, stamp in enumerate(pts):
            frame = av.VideoFrame.from_ndarray(numbered(index), "rgb24")
            frame.pts, frame.time_base = stamp, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def decode_all(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def save_frames(folder: Path, count: int, suffix: str = ".png") -> Path:
    folder.mkdir()
    for index in range(count):
        Image.fromarray(numbered(index)).save(folder / f"frame{index}{suffix}")
    return folder


# Video files

FORMATS = {
    "b_frames.mp4": dict(options={"bf": "3", "g": "8"}),
    "open_gop.mkv": dict(options={"bf": "3", "x264-params": "open-gop=1:keyint=8:min-keyint=8"}),
    "every_frame_a_keyframe.mov": dict(options={"g": "1"}),
    "one_keyframe.m4v": dict(options={"g": "999"}),
    "h264_in.avi": dict(options={"bf": "3", "g": "8"}),
    "hidden_frames.webm": dict(
        codec="libvpx", options={"auto-alt-ref": "1", "lag-in-frames": "9", "g": "8"}
    ),
    "vp9.webm": dict(codec="libvpx-vp9", options={"g": "8", "cpu-used": "8"}),
    "packed.avi": dict(codec="mpeg4", options={"bf": "2", "g": "8"}),
    "old.mpg": dict(codec="mpeg2video", options={"bf": "2", "g": "8"}),
    "old.wmv": dict(codec="wmv2", options={"g": "8"}),
}


@pytest.mark.parametrize("name", FORMATS)
def test_reads_in_any_order_equal_a_full_decode(tmp_path, name):
    path = encode(tmp_path / name, **FORMATS[name])
    expected = decode_all(path)
    with VideoFile(path) as video:
        video.check()
        assert len(video) == len(expected) == 30
        assert video.frame_names[:2] == ("00000", "00001")
        order = [*range(30), *reversed(range(30))]
        order += np.random.default_rng(0).integers(0, 30, 40).tolist()
        for index in order:
            image = video.read(index)
            np.testing.assert_array_equal(image, expected[index], err_msg=str(index))
            assert number_of(image) == index
        for index in (-1, 30):
            with pytest.raises(IndexError, match=str(index)):
                video.read(index)
    np.testing.assert_array_equal(video.read(7), expected[7])  # a closed one opens again
    video.close()


def test_decoder_sees_the_first_packet_before_a_seek(tmp_path, monkeypatch):
    # The cockatoo clip (4:4:4, x264 of 2014) turns to noise after a seek otherwise. Such files
    # cannot be made with a new x264, so this looks at the order of decoding.
    path = encode(tmp_path / "a.mp4", options={"g": "8"})
    decode, decoded = video_file.decode_frames, []

    def record(*args):
        for frame in decode(*args):
            decoded.append(number_of(frame.to_ndarray(format="rgb24")))
            yield frame

    with VideoFile(path) as video:
        assert len(video) == 30
        monkeypatch.setattr(video_file, "decode_frames", record)
        video.read(25)
    assert decoded[0] == 0 and 8 not in decoded and decoded[-1] == 25


def test_frames_outside_an_edit_list_are_not_counted(tmp_path):
    source, path = encode(tmp_path / "whole.mp4", options={"g": "8"}), tmp_path / "trimmed.mp4"
    with av.open(str(source)) as whole, av.open(str(path), "w") as trimmed:
        stream = trimmed.add_stream_from_template(whole.streams.video[0])
        for packet in whole.demux(video=0):
            if packet.size:
                packet.pts -= 10 * 512  # what is before 0 is never shown
                packet.dts -= 10 * 512
                packet.stream = stream
                trimmed.mux(packet)
    expected = decode_all(path)
    assert len(expected) == 20
    with VideoFile(path) as video:
        assert len(video) == 20
        for index in (0, 19, 7, 3, 2):
            assert number_of(video.read(index)) == 10 + index


@pytest.mark.parametrize("codec", ["libx264", "libvpx-vp9"])
def test_damaged_end_does_not_promise_frames_that_cannot_be_read(tmp_path, codec):
    path = encode(tmp_path / "a.mkv", codec=codec, options={"g": "8", "cpu-used": "8"})
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    content = path.read_bytes()
    for packet in packets[-3:]:
        content = content.replace(packet, b"\xff" * len(packet))
    path.write_bytes(content)
    with VideoFile(path) as video:
        assert 20 < len(video) < 30
        for index in range(len(video)):
            video.read(index)


def test_variable_frame_rate_keeps_exact_times(tmp_path):
    stamps = [3, 4, 9, 10, 30]
    video = VideoFile(encode(tmp_path / "vfr.mp4", stamps))
    assert video.times_seconds() == pytest.approx([(s - 3) / 25 for s in stamps], abs=1e-9)
    assert video.frames_per_second == pytest.approx(4 / (27 / 25))
    assert [number_of(video.read(index)) for index in range(5)] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("shared", [[3], [3, 4], [9]], ids=str)
def test_frames_of_one_time_stamp_do_not_cost_the_times_of_all(tmp_path, shared):
    stamps = [10 + number + 20 * (number > 5) for number in range(10)]  # with a pause
    path = encode(tmp_path / "all.mkv", stamps, "mpeg4", {"bf": "0"})

    def share(packet):
        number = stamps.index(round(packet.pts * packet.time_base * 25))
        while number in shared:
            number -= 1
        packet.pts = packet.dts = round(stamps[number] / 25 / packet.time_base)
        return True

    with VideoFile(copy_packets(path, tmp_path / "shared.mkv", share)) as video:
        (warning,) = video.check()
        assert f"of 10 frames, {len(shared)} have the time stamp of the frame before" in warning
        assert video.has_times and len(video) == 10
        times = video.times_seconds()
        assert times == sorted(set(times))
        expected = [(stamp - 10) / 25 for stamp in stamps]
        for number in range(10):
            assert number_of(video.read(number)) == number
            if number not in shared:
                assert times[number] == pytest.approx(expected[number], abs=1e-3)


def test_frames_that_all_have_one_time_stamp_have_no_times(tmp_path):
    path = encode(tmp_path / "all.mkv", range(5), "mpeg4", {"bf": "0"})

    def share(packet):
        packet.pts = packet.dts = 0
        return True

    with VideoFile(copy_packets(path, tmp_path / "shared.mkv", share)) as video:
        assert "the file has no times of its frames" in video.check()[0]
        assert not video.has_times
        assert video.times_seconds()[-1] == pytest.approx(4 / video.frames_per_second)


def test_frames_of_one_time_stamp_are_not_squeezed_before_the_next_one(tmp_path):
    path = encode(tmp_path / "all.mkv", range(9), "mpeg4", {"bf": "0"})

    def share(packet):
        packet.pts = packet.dts = round(packet.pts * packet.time_base * 25 > 7.5) * 40
        return True

    with VideoFile(copy_packets(path, tmp_path / "shared.mkv", share)) as video:
        assert len(video) == 9 and not video.has_times
        assert np.diff(video.times_seconds()).min() > 0.02


def test_a_video_of_one_frame_is_read(tmp_path):
    with VideoFile(encode(tmp_path / "a.mp4", [0]), name="other name") as video:
        video.check()
        assert (len(video), video.height, video.width) == (1, HEIGHT, WIDTH)
        assert video.times_seconds() == [0.0]
        assert video.frames_per_second == 25
        assert video.name == "other name"


@pytest.mark.parametrize("degrees, turns", [(90, 1), (180, 2), (270, 3)])
def test_rotation_is_applied(tmp_path, degrees, turns):
    path = encode(tmp_path / "phone.mov", range(3), rotation=(degrees,))
    with VideoFile(path) as video:
        expected = np.rot90(decode_all(path)[1], turns)  # both count counter-clockwise
        np.testing.assert_array_equal(video.read(1), expected)
        assert (video.height, video.width) == expected.shape[:2]


def test_mirrored_video_is_mirrored_back(tmp_path):
    path = encode(tmp_path / "selfie.mov", range(3), rotation=(0, True, False))
    with VideoFile(path) as video:
        np.testing.assert_array_equal(video.read(1), decode_all(path)[1][:, ::-1])


def test_cache_is_bounded_in_bytes(tmp_path, monkeypatch):
    path = encode(tmp_path / "a.mp4", options={"g": "999"})
    frame_bytes = HEIGHT * WIDTH * 3 // 2
    monkeypatch.setattr(video_file, "CACHE_BYTES", 10 * frame_bytes)
    with VideoFile(path) as video:
        for index in [*range(30), *reversed(range(30))]:
            assert number_of(video.read(index)) == index
            assert video._cached_bytes <= 10 * frame_bytes
            assert video._cached_bytes == sum(map(video_file._num_bytes, video._cache.values()))


def test_reading_backwards_is_not_quadratic(tmp_path, monkeypatch):
    path = encode(tmp_path / "a.mp4", range(100), options={"g": "20"})
    num_decoded = 0
    keep = VideoFile._keep

    def count(self, number, frame):
        nonlocal num_decoded
        num_decoded += 1
        keep(self, number, frame)

    monkeypatch.setattr(VideoFile, "_keep", count)
    with VideoFile(path) as video:
        for index in reversed(range(100)):
            video.read(index)
    assert num_decoded <= 120


def test_audio_only_file_is_refused(tmp_path):
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100, layout="mono")
        for start in range(0, 10240, 1024):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.sample_rate, frame.pts = 44100, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(InputError, match=r"song\.mp4.*expected a video stream, found only audio;"):
        VideoFile(path).check()


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_cut_off_video_is_refused(tmp_path, suffix):
    # The index of a fast-start MP4 comes first, so it opens and promises every frame.
    path = tmp_path / f"a.{suffix}"
    if suffix == "mp4":
        noise = np.random.default_rng(0).integers(0, 256, (20, 64, 64, 3), np.uint8)
        write_video(path, noise, None, 25)
    else:
        encode(path, range(120), options={"g": "8"})
    VideoFile(path).check()
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    with pytest.raises(InputError, match=rf"a\.{suffix}.*cut off after [0-9]+ frames.*again"):
        VideoFile(path).check()


@pytest.mark.parametrize("kind", ["gif", "avi"])
def test_a_last_picture_that_is_shown_for_long_is_no_missing_end(tmp_path, kind):
    """The end that the file states was compared with the start of its last picture."""
    path = tmp_path / f"a.{kind}"
    if kind == "gif":
        images = [Image.fromarray(numbered(index)) for index in range(3)]
        images[0].save(path, append_images=images[1:], save_all=True, duration=[100, 100, 5000])
    else:
        encode(path, range(3), "mpeg4", rate=Fraction(1, 10))
    with VideoFile(path) as video:
        video.check()
        assert [number_of(video.read(index)) for index in range(len(video))] == [0, 1, 2]


def test_mp4_without_its_end_is_refused(tmp_path):
    path = encode(tmp_path / "a.mp4")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    with pytest.raises(InputError, match=r"a\.mp4.*cut off"):
        VideoFile(path).check()


@pytest.mark.parametrize("content, found", [(b"", "0 bytes"), (b"no video " * 999, "no video")])
def test_a_file_that_is_not_a_video_is_refused(tmp_path, content, found):
    path = tmp_path / "a b.mp4"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"a b\.mp4.*{found}"):
        VideoFile(path).check()
    with pytest.raises(InputError, match="no such file"):
        VideoFile(tmp_path / "absent.mp4").check()
    with pytest.raises(InputError, match="a folder"):
        VideoFile(tmp_path).check()


def test_sha256_follows_the_bytes(tmp_path):
    path = encode(tmp_path / "a.mp4", [0])
    before = VideoFile(path).sha256()
    path.write_bytes(path.read_bytes() + b"\0")
    assert VideoFile(path).sha256() != before


def test_videos_are_listed_by_suffix(tmp_path):
    for name in ("b10.MP4", "b9.mov", ".b1.mp4", "b.txt", "a.WebM"):
        (tmp_path / name).touch()
    assert [path.name for path in videos.list_videos(tmp_path)] == ["a.WebM", "b9.mov", "b10.MP4"]


# Writing


def test_written_video_has_the_frames_and_times_given(tmp_path):
    path = tmp_path / "Kätzchen: 1 猫.mp4"
    times = [0.0, 0.061, 0.081, 0.142]
    write_video(path, map(numbered, range(4)), times, 20.0)
    with VideoFile(path) as video:
        video.check()
        assert [number_of(video.read(index)) for index in range(4)] == [0, 1, 2, 3]
        assert video.times_seconds() == pytest.approx(times, abs=1 / 90_000)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")  # starts before it is loaded


def test_odd_sizes_repeat_the_last_line(tmp_path):
    image = np.full((33, 47, 3), 200, np.uint8)
    write_video(tmp_path / "a.mp4", [image] * 3, None, 25)
    with VideoFile(tmp_path / "a.mp4") as video:
        assert (video.height, video.width) == (34, 48)
        assert abs(video.read(0).astype(int) - 200).max() < 4


def test_written_colours_are_read_back(tmp_path):
    colours = [(220, 30, 40), (20, 200, 60), (30, 60, 210), (255, 56, 120), (128, 128, 0)]
    image = np.repeat(np.array([colours], np.uint8), 16, axis=1).repeat(32, axis=0)
    write_video(tmp_path / "a.mp4", [image], None, 25)
    with VideoFile(tmp_path / "a.mp4") as video:
        found = video.read(0)[16, 8::16].astype(int)
    assert np.abs(found - colours).max() < 12


@pytest.mark.parametrize(
    "frames, times",
    [([], None), ([numbered(0)] * 2, [0.0]), ([numbered(0)] * 2, [0.0, 0.0])],
)
def test_failed_writing_leaves_no_file(tmp_path, frames, times):
    with pytest.raises(ValueError):
        write_video(tmp_path / "a.mp4", frames, times, 25)
    assert list(tmp_path.iterdir()) == []


# Frame folders


def test_folder_reads_like_a_video(tmp_path):
    folder = FrameFolder(save_frames(tmp_path / "my dög", 12))
    folder.check()
    assert folder.name == "my dög"
    assert folder.frame_names[:3] == ("frame0", "frame1", "frame2")
    assert [number_of(folder.read(index)) for index in range(len(folder))] == list(range(12))
    assert (folder.height, folder.width) == (HEIGHT, WIDTH)
    assert folder.times_seconds()[6] == 0.25
    with pytest.raises(IndexError):
        folder.read(12)


def test_folder_through_a_link_has_the_links_name_and_the_same_sha256(tmp_path):
    folder = save_frames(tmp_path / "a", 3)
    link = tmp_path / "b"
    link.symlink_to(folder, target_is_directory=True)
    assert FrameFolder(link).name == "b"
    assert FrameFolder(link).sha256() == FrameFolder(folder).sha256()
    before = FrameFolder(folder).sha256()
    (folder / "frame2.png").rename(folder / "frame3.png")
    assert FrameFolder(folder).sha256() != before


@pytest.mark.parametrize("keep, found", [(0.6, "cannot be decoded"), (0, "0 bytes")])
def test_check_names_a_damaged_frame(tmp_path, keep, found):
    folder = save_frames(tmp_path / "a", 20, ".jpg")
    path = folder / "frame13.jpg"
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    with pytest.raises(InputError, match=rf"frame13\.jpg.*{found}"):
        FrameFolder(folder).check()


def test_check_names_a_frame_of_another_size(tmp_path):
    folder = save_frames(tmp_path / "a", 5)
    Image.fromarray(numbered(0, 40, 64)).save(folder / "frame3.png")
    match = r"frame3\.png: expected 64x48 as in frame0\.png, found 64x40"
    with pytest.raises(InputError, match=match):
        FrameFolder(folder).check()
