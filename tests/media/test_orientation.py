"""Which way up the frames of a video file are read, whatever else the file says of them."""

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from utils.media.videos import VideoFile

PICTURE = np.zeros((48, 64, 3), np.uint8)
PICTURE[:24, :32] = 255  # the upper left quarter


def write_motion_jpeg(path: Path, orientation: int) -> Path:
    """An AVI of JPEGs with EXIF data in each, as some cameras write it."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "camera"
    picture = io.BytesIO()
    Image.fromarray(PICTURE).save(picture, "JPEG", exif=exif)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuvj420p"
        for number in range(4):
            packet = av.Packet(picture.getvalue())
            packet.stream, packet.pts, packet.dts = stream, number, number
            packet.time_base, packet.is_keyframe = Fraction(1, 25), True
            container.mux(packet)
    return path


@pytest.mark.parametrize("orientation, turns", [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_exif_data_in_motion_jpeg_turn_its_frames(tmp_path, orientation, turns):
    """PyAV does not know this kind of side data, and raised an error for the whole video."""
    with VideoFile(write_motion_jpeg(tmp_path / "a.avi", orientation)) as video:
        assert video.check() == []
        read = video.read(2)
        assert read.shape[:2] == (video.height, video.width)
    np.testing.assert_allclose(read, np.rot90(PICTURE, turns), atol=40)
