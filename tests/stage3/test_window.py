"""The window around the animal: where it looks, at which scale, and that nothing is shifted.

The network is replaced by one that knows the answer from the picture's colour, so that what comes
back can be compared pixel by pixel.
"""

import cv2
import numpy as np
import pytest

from utils.media.regions import Rectangle
from utils.stage3 import window
from utils.stage3.settings import Window
from utils.stage3.window import WindowedView, choose_zoom, reaches_edge

SIZE = (120, 200)


def disk(x, y, radius, size=SIZE):
    rows, columns = np.mgrid[: size[0], : size[1]]
    return (columns - x) ** 2 + (rows - y) ** 2 <= radius**2


def picture(*masks):
    """Grey levels: an animal is white."""
    return np.repeat(255 * np.any(masks, axis=0).astype("uint8")[..., None], 3, axis=2)


class Eye:
    """Stands for the network: the probability of a pixel is its grey level; keeps the shapes of
    the views."""

    def __init__(self, monkeypatch):
        self.shapes = []
        monkeypatch.setattr(window, "predict_probability", self.predict)

    def predict(self, model, image, flip):
        self.shapes.append(image.shape[:2])
        return image[..., 0].astype("float32") / 255


@pytest.fixture
def eye(monkeypatch):
    return Eye(monkeypatch)


def view(image, zoom=2.0, lines=120, **settings):
    settings = {"margin": 0.05, "pixels": 10_000} | settings
    return WindowedView(
        None,
        lambda index: image,
        image.shape[:2],
        lines=lines,
        zoom=zoom,
        settings=Window(**settings),
        threshold=0.5,
        flip=False,
    )


def test_small_animals_are_enlarged_and_large_ones_are_not():
    settings = Window(pixels=10_000, max_zoom=2, margin=0.05)
    zooms = [choose_zoom([disk(100, 60, radius)], settings) for radius in (5, 20, 30, 55)]
    assert zooms[0] == 2
    assert zooms == sorted(zooms, reverse=True)
    assert zooms[-1] == 1


def test_zoom_follows_the_largest_label():
    settings = Window(pixels=10_000, max_zoom=2, margin=0.05)
    small, large = disk(100, 60, 15), disk(100, 60, 30)
    assert choose_zoom([small, large], settings) == choose_zoom([large], settings)


@pytest.mark.parametrize("zoom", [1.0, 1.3, 2.0])
@pytest.mark.parametrize("shift", range(4))
def test_outline_comes_back_where_it_is(eye, zoom, shift):
    """A shift of half a pixel between frame, window and mask would cost J on every small animal."""
    animal = disk(90 + shift, 50 + shift, 20)
    found = view(picture(animal), zoom).around(0, disk(90, 50, 20), also_whole=False)
    assert np.count_nonzero((found > 0.5) ^ animal) <= 0.01 * np.count_nonzero(animal)
    rows, columns = (np.average(np.arange(n), weights=found.sum(1 - a)) for a, n in enumerate(SIZE))
    assert (rows, columns) == pytest.approx((50 + shift, 90 + shift), abs=0.05)


def test_window_is_read_from_the_finer_frames_of_a_large_video(eye):
    animal = disk(200, 120, 20, (240, 400))
    seen = view(picture(animal), zoom=1.5, lines=120)
    found = seen.around(0, disk(100, 60, 10), also_whole=False)  # expected at working size
    assert np.count_nonzero((found > 0.5) ^ animal) <= 0.02 * np.count_nonzero(animal)
    assert seen.zoom == 0.75


def test_network_sees_sides_that_are_multiples_of_a_cell(eye):
    for x in range(30, 170, 7):
        image = picture(disk(x, 60, 12))
        view(image, 1.7).around(0, disk(x, 60, 12), also_whole=False)
    assert all(side % window.CELL_PX == 0 for shape in eye.shapes for side in shape)
    assert len(set(eye.shapes)) <= 3


def test_lost_animal_is_looked_for_in_the_whole_frame(eye):
    animal = disk(160, 60, 12)
    for expected in (None, np.zeros(SIZE, bool)):
        found = view(picture(animal)).around(0, expected, also_whole=False)
        assert ((found > 0.5) == animal).mean() > 0.995


def test_other_animals_are_seen_only_when_the_whole_frame_is(eye):
    animal, other = disk(40, 60, 12), disk(160, 60, 12)
    seen = view(picture(animal, other))
    assert not (seen.around(0, animal, also_whole=False) > 0.5)[other].any()
    assert (seen.around(0, animal, also_whole=True) > 0.5)[other].mean() > 0.95


def test_animal_that_has_moved_beyond_the_window_is_seen_whole(eye):
    """It is expected where only its tail is."""
    animal = disk(60, 60, 12) | disk(60, 60, 5)
    animal[55:65, 60:170] = True
    found = view(picture(animal)).around(0, disk(50, 60, 10), also_whole=False)
    assert ((found > 0.5) == animal).mean() > 0.99


def test_window_of_a_grown_animal_does_not_become_too_expensive(eye):
    animal = disk(100, 60, 55)
    view(picture(animal), zoom=2.0, growth=1.5).around(0, animal, also_whole=False)
    assert max(height * width for height, width in eye.shapes) < 2 * SIZE[0] * SIZE[1]


def test_edge_of_the_frame_is_not_an_edge_of_the_window():
    box = Rectangle(0, 0, 60, 60)
    assert not reaches_edge(disk(2, 2, 10), box)
    assert reaches_edge(disk(55, 30, 10), box)
    assert not reaches_edge(np.zeros(SIZE, bool), box)


def test_warps_agree_with_opencv_about_pixel_centres():
    ramp = np.tile(np.arange(200, dtype="float32"), (120, 1))
    matrix = window._affine(0.5, 0, 0)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    ours = cv2.warpAffine(ramp, matrix, (400, 240), flags=flags)
    theirs = cv2.resize(ramp, (400, 240), interpolation=cv2.INTER_LINEAR)
    inner = np.s_[2:-2, 2:-2]
    np.testing.assert_allclose(ours[inner], theirs[inner], atol=0.05)
