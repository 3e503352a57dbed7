"""Image files of several pictures, of which all but the first would be left out."""

import numpy as np
import pytest
from PIL import Image

from utils.errors import InputError
from utils.media.labels import read_label
from utils.media.videos import FrameFolder, VideoFile

MASK = np.zeros((48, 64), np.uint8)
MASK[8:30, 10:40] = 255


def save_stack(path, pictures, **options):
    first, *others = [Image.fromarray(picture) for picture in pictures]
    first.save(path, save_all=True, append_images=others, **options)
    return path


def pictures(count=5):
    return [np.roll(np.dstack([MASK // 2] * 3), 2 * n, axis=1) for n in range(count)]


@pytest.mark.parametrize("name", ["cells.tif", "hen.webp"])
def test_a_stack_that_ffmpeg_does_not_read_is_no_video(tmp_path, name):
    path = save_stack(tmp_path / name, pictures())
    with pytest.raises(InputError, match=rf"{name}: expected a video, found .* 5 pictures.*PNGs"):
        VideoFile(path).check()


@pytest.mark.parametrize("name", ["hen.gif", "hen.apng"])
def test_an_animation_that_ffmpeg_reads_is_a_video(tmp_path, name):
    options = {"format": "PNG"} if name.endswith("apng") else {}
    with VideoFile(save_stack(tmp_path / name, pictures(), duration=40, **options)) as video:
        assert video.check() == [] and len(video) == 5


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_an_animation_among_frames_is_refused(tmp_path, suffix):
    for number in range(4):
        Image.fromarray(pictures()[number]).save(tmp_path / f"{number}.{suffix}", lossless=True)
    save_stack(tmp_path / f"2.{suffix}", pictures(), lossless=True)
    with pytest.raises(InputError, match=rf"2\.{suffix}: expected one picture, found 5"):
        FrameFolder(tmp_path).check()


@pytest.mark.parametrize("suffix", ["tif", "gif", "png"])
def test_a_label_of_several_pictures_is_refused(tmp_path, suffix):
    path = save_stack(tmp_path / f"3.{suffix}", [MASK, np.roll(MASK, 4, 1), np.roll(MASK, 8, 1)])
    with pytest.raises(InputError, match=rf"3\.{suffix}: expected one picture, found 3"):
        read_label(path)
    read_label(save_stack(path, [MASK]))


def test_a_jpeg_with_a_preview_is_one_picture(tmp_path):
    path = save_stack(tmp_path / "0.jpg", pictures(2), format="MPO")
    with Image.open(path) as image:
        assert image.n_frames == 2
    assert FrameFolder(tmp_path).check() == []


@pytest.mark.parametrize("name", ["3.json", "3.npy", "3.svg"])
def test_a_label_that_is_no_image_is_named_with_a_remedy(tmp_path, name):
    (tmp_path / name).write_text('{"shapes": []}', encoding="utf-8")
    with pytest.raises(InputError, match=rf"{name}: expected a whole image.*save it as PNG"):
        read_label(tmp_path / name)
