"""Windows that several animals share: where they lie, what they cost, and that channels do not mix.

The network is replaced by one that reads the answers from the picture: an animal is what is bright
in its colour channel.
"""

import numpy as np
import pytest

from utils.media.regions import Rectangle
from utils.stage3 import window
from utils.stage3.settings import Window
from utils.stage3.shared_window import (
    SharedView,
    choose_shared_zoom,
    settings_for,
    share_windows,
)
from utils.stage3.window import choose_zoom

SIZE = (120, 200)
CHANNELS = {4: 0, 7: 1, 9: 2}  # animal -> channel


def disk(x, y, radius):
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    return (columns - x) ** 2 + (rows - y) ** 2 <= radius**2


class Eye:
    """Stands for the network; keeps the shapes of the views."""

    def __init__(self, monkeypatch):
        self.shapes = []
        monkeypatch.setattr(window, "predict_probability", self.predict)

    @property
    def pixels(self):
        return sum(height * width for height, width in self.shapes)

    def predict(self, model, image, flip):
        self.shapes.append(image.shape[:2])
        return image.astype("float32") / 255


@pytest.fixture
def eye(monkeypatch):
    return Eye(monkeypatch)


def view(masks, zoom=2.0, **settings):
    """A frame in which animals 4, 7 and 9 are these masks."""
    image = np.zeros((*SIZE, 3), "uint8")
    for animal, mask in masks.items():
        image[..., CHANNELS[animal]] = 255 * mask
    return SharedView(
        None, lambda index: image, SIZE, lines=120, zoom=zoom,
        settings=Window(**({"margin": 0.05, "pixels": 10_000} | settings)), threshold=0.5,
        flip=False, channels=CHANNELS,
    )  # fmt: skip


def assert_found(found, masks, share=0.02):
    assert set(found) == set(masks)
    for animal, mask in masks.items():
        wrong = np.count_nonzero((found[animal] > 0.5) ^ mask)
        assert wrong <= share * np.count_nonzero(mask), (animal, wrong)


def test_animals_far_apart_have_windows_of_their_own_and_near_ones_share():
    near = {1: Rectangle(0, 0, 40, 40), 2: Rectangle(5, 20, 45, 60)}
    far = {3: Rectangle(80, 150, 120, 190)}
    windows = share_windows(near | far)
    assert {w.animals: w.box for w in windows} == {
        (3,): far[3],
        (1, 2): Rectangle(0, 0, 45, 60),
    }
    assert share_windows({}) == [] and len(share_windows(far)) == 1


def test_a_box_inside_another_costs_nothing():
    windows = share_windows({1: Rectangle(0, 0, 100, 100), 2: Rectangle(10, 10, 20, 20)})
    assert [w.box for w in windows] == [Rectangle(0, 0, 100, 100)]


@pytest.mark.parametrize("zoom", [1.0, 1.7])
def test_every_animal_is_found_where_it_is_in_its_own_channel(eye, zoom):
    masks = {4: disk(30, 40, 14), 7: disk(52, 60, 14), 9: disk(165, 60, 14)}
    found = view(masks, zoom).around_all(0, masks, also_whole=False)
    assert len(eye.shapes) == 2
    assert_found(found, masks)


def test_touching_animals_are_seen_once_for_both(eye):
    masks = {4: disk(80, 60, 14), 7: disk(108, 60, 14)}
    assert_found(view(masks).around_all(0, masks, also_whole=False), masks)
    assert len(eye.shapes) == 1


def test_a_lost_animal_is_looked_for_everywhere_and_the_others_in_their_window(eye):
    masks = {4: disk(30, 40, 14), 7: disk(170, 90, 10)}
    for lost in (None, np.zeros(SIZE, bool)):
        eye.shapes.clear()
        found = view(masks).around_all(0, {4: masks[4], 7: lost}, also_whole=False)
        assert_found(found, masks, 0.1)
        assert len(eye.shapes) == 2


def test_the_whole_frame_is_seen_once_for_all(eye):
    masks = {4: disk(30, 40, 12), 7: disk(170, 40, 12), 9: disk(30, 90, 12)}
    found = view(masks).around_all(0, {4: masks[4], 7: masks[7], 9: None}, also_whole=True)
    assert_found(found, masks, 0.1)
    assert len(eye.shapes) == 3  # all of it, and two windows


def test_an_animal_that_has_left_its_window_is_followed_out_of_it(eye):
    long = disk(60, 60, 5)
    long[55:65, 60:170] = True
    masks = {4: long, 7: disk(30, 20, 8)}
    expected = {4: disk(50, 60, 10), 7: masks[7]}
    assert_found(view(masks).around_all(0, expected, also_whole=False), masks, 0.1)


def test_animals_all_over_the_frame_are_seen_in_one_picture_of_it(eye):
    masks = {4: disk(20, 20, 15), 7: disk(180, 100, 15), 9: disk(100, 60, 40)}
    wide = view(masks, 1.0, margin=0.3)
    for also_whole in (False, True):
        eye.shapes.clear()
        assert_found(wide.around_all(0, masks, also_whole), masks)
        assert len(eye.shapes) == 1
    # It shows the lost ones as well.
    assert_found(wide.around_all(0, masks | {4: None}, also_whole=False), masks)
    assert len(eye.shapes) == 2


def test_windows_of_grown_animals_do_not_become_too_expensive(eye):
    masks = {4: disk(50, 60, 45), 7: disk(150, 60, 45)}
    view(masks, 2.0, pixels=30_000, growth=1.5).around_all(0, masks, also_whole=False)
    assert eye.pixels < 1.3 * 1.5 * 30_000  # and what completes cells


def test_the_windows_of_several_have_hardly_more_pixels_than_that_of_one():
    settings = Window(pixels=10_000, max_zoom=4, margin=0.05)
    one, other = disk(40, 60, 20), disk(160, 60, 20)
    alone = choose_zoom([one], settings)
    assert choose_shared_zoom([[one]], settings_for(settings, 1)) == alone
    both = choose_shared_zoom([[one, other]], settings_for(settings, 2))
    assert 2 * both**2 == pytest.approx(2**0.25 * alone**2, rel=0.01)
    # The frame that needs the largest windows counts.
    assert choose_shared_zoom([[one], [one, other]], settings_for(settings, 2)) == both
