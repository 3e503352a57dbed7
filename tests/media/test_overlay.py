"""Masks drawn over frames, and the video and the contact sheet made of them."""

import numpy as np
import pytest
from PIL import Image

from utils.media import overlay
from utils.media.labels import davis_palette
from utils.media.videos import FrameFolder, VideoFile

HEIGHT, WIDTH = 60, 81


@pytest.fixture
def video(tmp_path) -> FrameFolder:
    folder = tmp_path / "dög"
    folder.mkdir()
    for index in range(20):
        image = np.full((HEIGHT, WIDTH, 3), 10 * index, np.uint8)
        Image.fromarray(image).save(folder / f"{index:05d}.png")
    return FrameFolder(folder)


def square(_: int = 0) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[20:40, 30:50] = 1
    return mask


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_overlay_tints_animals_inside_their_contour_and_leaves_the_rest(grey):
    image = np.full((HEIGHT, WIDTH, 3), grey, np.uint8)
    drawn = overlay.draw_overlay(image, square())
    colour = np.array(overlay.animal_colour(1))
    assert drawn.dtype == np.uint8 and (image == grey).all()  # the input is left alone
    assert np.abs(drawn[30, 40] - (0.55 * grey + 0.45 * colour)).max() <= 1
    for line in (drawn[20:22, 40], drawn[30, 48:50]):
        np.testing.assert_array_equal(line, [colour, colour])
    assert (drawn[19, 40] == grey // 3).all()
    assert (drawn[:18] == grey).all()


def test_overlay_without_animals_is_the_image():
    image = np.full((HEIGHT, WIDTH, 3), 77, np.uint8)
    np.testing.assert_array_equal(overlay.draw_overlay(image, square() * 0), image)


def test_border_of_the_image_is_not_a_contour():
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    drawn = overlay.draw_overlay(image, np.ones((HEIGHT, WIDTH), np.uint8))
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) == 1


def test_animals_have_colours_of_their_own():
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    mask = square()
    mask[:, 60:] = 2
    drawn = overlay.draw_overlay(image, mask)
    assert np.abs(drawn[30, 75] - 0.45 * davis_palette()[2]).max() <= 1
    assert (drawn[30, 75] != drawn[30, 40]).any()


def test_animals_3_and_7_are_drawn_in_the_colours_of_their_numbers():
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    mask = square() * 3
    mask[:, 60:] = 7
    drawn = overlay.draw_overlay(image, mask)
    for column, animal in ((40, 3), (75, 7)):
        assert np.abs(drawn[30, column] - 0.45 * davis_palette()[animal]).max() <= 1


def test_overlay_video_has_every_frame_and_tags_labelled_ones(tmp_path, video):
    path = tmp_path / "overlay" / "dög.mp4"
    overlay.write_overlay_video(path, video, square, labelled={10})
    with VideoFile(path) as written:
        written.check()
        assert len(written) == 20
        assert (written.height, written.width) == (HEIGHT, WIDTH + 1)
        assert written.times_seconds() == pytest.approx(video.times_seconds(), abs=1e-4)
        corners = [written.read(index)[4:16, 4:60] for index in (9, 10)]
    assert np.ptp(corners[0]) < 20 and np.ptp(corners[1]) > 100


def test_overlay_video_is_at_most_1080_lines(tmp_path, video, monkeypatch):
    monkeypatch.setattr(overlay, "MAX_VIDEO_HEIGHT_PX", 30)
    overlay.write_overlay_video(tmp_path / "a.mp4", video, square, labelled=[])
    with VideoFile(tmp_path / "a.mp4") as written:
        assert (written.height, written.width) == (30, 40)


def test_contact_sheet_has_twelve_tiles_and_a_small_file(tmp_path, video):
    path = tmp_path / "sheet.png"
    overlay.write_contact_sheet(path, video, square, labelled=[7])
    sheet = Image.open(path)
    assert sheet.size == (4 * 326 + 6, 3 * (237 + 6) + 6)
    assert path.stat().st_size < overlay.MAX_SHEET_BYTES


def test_noisy_contact_sheet_stays_below_its_limit(tmp_path, video, monkeypatch):
    noise = np.random.default_rng(0).integers(0, 256, (320, 320, 3), np.uint8)
    monkeypatch.setattr(FrameFolder, "read", lambda self, index: noise)
    path = tmp_path / "sheet.png"
    overlay.write_contact_sheet(path, video, square, labelled=[7])
    assert path.stat().st_size < overlay.MAX_SHEET_BYTES


@pytest.mark.parametrize(
    "num_frames, labelled, max_tiles, expected",
    [
        (20, [], 3, [0, 10, 19]),
        (20, [9], 3, [0, 9, 19]),
        (20, [9, 10], 3, [9, 10, 19]),
        (20, [1, 2, 3, 4], 3, [1, 2, 3, 4]),
        (2, [1], 12, [0, 1]),
        (1, [], 12, [0]),
    ],
)
def test_contact_sheet_always_shows_labelled_frames(num_frames, labelled, max_tiles, expected):
    assert overlay._contact_sheet_frames(num_frames, labelled, max_tiles) == expected
