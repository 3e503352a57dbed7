"""What a video file holds beside the frames that are read, and frames that are not alike."""

import av
import numpy as np
import pytest

from utils.media.videos import VideoFile


def encode_streams(path, sizes, count=6):
    """A file with a video stream per (height, width)."""
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("libx264", rate=25) for _ in sizes]
        for stream, (height, width) in zip(streams, sizes, strict=True):
            stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        for number in range(count):
            for stream, size in zip(streams, sizes, strict=True):
                image = np.full((*size, 3), 20 * number, np.uint8)
                frame = av.VideoFrame.from_ndarray(image, "rgb24")
                frame.pts = number
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode())
    return path


def test_a_second_video_stream_is_said(tmp_path):
    """As of a dash camera with a second lens: one was left out without a word."""
    path = encode_streams(tmp_path / "a.mkv", [(48, 64), (96, 128)])
    with VideoFile(path) as video:
        (warning,) = video.check()
        size = f"{video.width}x{video.height}"
    assert f"a.mkv: of 2 video streams in the file, the one of {size} is read" in warning
    assert VideoFile(encode_streams(tmp_path / "b.mkv", [(48, 64)])).check() == []


@pytest.mark.parametrize("size, distorted", [((64, 48), True), ((96, 128), False)])
def test_frames_that_change_their_size_midway_are_said(tmp_path, size, distorted):
    """As of a phone that is turned in a call: the second half was squashed without a word."""
    paths = [
        encode_streams(tmp_path / f"{number}.h264", [each])
        for number, each in enumerate([(48, 64), size])
    ]
    path = tmp_path / "a.h264"
    path.write_bytes(b"".join(one.read_bytes() for one in paths))
    with VideoFile(path) as video:
        (warning,) = [line for line in video.check() if "64x48" in line]
        assert len(video) == 12
        assert all(video.read(number).shape == (48, 64, 3) for number in (0, 5, 6, 11))
    assert f"but {size[1]}x{size[0]} from 0.24 s (frame 6) on" in warning
    assert warning.endswith("--frames 0:6.")
    assert ("distorted" in warning) == distorted
