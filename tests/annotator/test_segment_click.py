"""Clicks and boxes to masks, with and without a network."""

import numpy as np
import pytest

from tests.bright_hen import HEIGHT, NOTHING, WIDTH, ellipse, network_that_sees, overlap, picture
from utils.annotator.click_marks import SURE_ANIMAL, SURE_BACKGROUND, Click, Marks
from utils.annotator.segment_click import ClickSegmenter, _cut_off_parts, segment_in_windows


def segment(image, clicks=(), box=None, current=None, sure=None, predict=None, is_given=False):
    size = image.shape[:2]
    current = np.zeros(size, bool) if current is None else current
    sure = np.zeros(size, np.uint8) if sure is None else sure
    clicks = [Click(*click) for click in clicks]
    marks = Marks(clicks, box, current, sure, is_given)
    return ClickSegmenter(predict).segment(0, image, marks)


@pytest.mark.parametrize("size", [(HEIGHT, WIDTH), (481, 333), (90, 700)], ids=str)
def test_one_click_or_a_box_finds_a_bright_ellipse(size):
    image, truth = picture(3, *size), ellipse(3, *size)
    rows, columns = np.nonzero(truth)
    middle = (columns.mean(), rows.mean(), True)
    box = (columns.min() - 3, rows.min() - 3, columns.max() + 4, rows.max() + 4)
    for mask in (segment(image, [middle]), segment(image, box=box)):
        assert mask.shape == size and mask.dtype == np.uint8
        assert overlap(mask, truth) > 0.9


def test_a_small_animal_is_looked_at_closely():
    image = np.random.default_rng(0).integers(50, 110, (1200, 1600, 3)).astype(np.uint8)
    y, x = np.mgrid[:1200, :1600]
    truth = ((x - 400) / 40) ** 2 + ((y - 900) / 30) ** 2 < 1
    image[truth] += np.array((110, 90, 40), np.uint8)
    for marks in ({"clicks": [(400, 900, True)]}, {"box": (355, 865, 445, 935)}):
        mask = segment(image, **marks)
        assert overlap(mask, truth) > 0.95


def test_what_a_click_took_away_does_not_come_back_where_a_small_animal_is_left():
    """The second, closer look brought the mask so far back beyond its window."""
    large, small = np.zeros((2, 480, 640), bool)
    large[20:460, 20:620], small[200:240, 300:360] = True, True
    clicks, windows = [Click(370, 250, False)], []

    def segment_in(window, marks):
        windows.append(window)
        result = marks.current.copy()
        result[window.slices] = small[window.slices]
        return result

    marks = Marks(clicks, None, large, np.zeros(large.shape, np.uint8))
    np.testing.assert_array_equal(segment_in_windows(marks, segment_in), small)
    assert len(windows) == 2 and windows[1].area < windows[0].area / 2


def two_ellipses() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    left = ellipse(-3, 200, 300)
    right = left[:, ::-1]
    image = np.random.default_rng(0).integers(50, 110, (200, 300, 3))
    image[left | right] += (110, 90, 40)
    return image.astype(np.uint8), left, right


@pytest.mark.parametrize("has_network", [False, True])
def test_a_negative_click_takes_away_and_a_positive_one_adds(has_network):
    image, left, right = two_ellipses()
    both = left | right
    predict = network_that_sees(both) if has_network else None
    y, x_left, x_right = 100, 70, 230
    clicks = [(x_left, y, True), (x_right, y, False)]
    without = segment(image, clicks, current=both, predict=predict)
    assert without[y, x_left] and not without[y, x_right]
    assert overlap(without, left) > 0.85
    clicks = [(x_left, y, True), (x_right, y, True)]
    again = segment(image, clicks, current=left, predict=predict)
    assert overlap(again, both) > 0.85


def test_no_crumb_is_left_of_what_a_negative_click_cuts_off():
    image, left, right = two_ellipses()
    tail = np.zeros_like(left)
    tail[98:103, 100:160] = True  # of the left one; looks like the background but for its tip
    tip = tail.copy()
    tip[:, :152] = False
    island = np.zeros_like(left)
    island[5:9, 5:9] = True  # was no part of anything, and is not what the click is about
    image[left | right | tip | island] = (200, 180, 120)
    click = (125, 100, False)
    mask = segment(image, [click], current=left | tail | island)
    assert not mask[100, 125] and not mask[tip].any()
    assert mask[island].all() and overlap(mask, left) > 0.9
    clicked = segment(image, [(156, 100, True), click], current=left | tail | island)
    assert clicked[100, 156]


def test_a_negative_click_far_away_cuts_off_nothing():
    pieces = np.zeros((200, 300), bool)
    pieces[::20] = pieces[:, ::20] = (
        True  # a grid; without its lines all that is left is small parts
    )
    found = pieces.copy()
    found[:, 10::20] = False
    found[10::20] = False
    cut = found & ~np.pad(found, 1)[2:, 1:-1]
    nothing = np.zeros_like(pieces)
    near = _cut_off_parts(cut, pieces, nothing, (10, 10))
    assert near.any() and not near[:, 100:].any()
    far = _cut_off_parts(cut, pieces, nothing, (290, 190))
    assert not far[:, :200].any()


def test_a_mask_that_was_given_changes_around_the_click_only():
    image, left, right = two_ellipses()
    image[20:40, 20:40] = 255  # an island that the label has, whatever its colour
    given = left | right
    given[20:40, 20:40] = True
    mask = segment(image, [(230, 100, False)], current=given, is_given=True)
    assert not mask[100, 230]
    np.testing.assert_array_equal(mask[:, :130] > 0, given[:, :130])


def test_what_was_drawn_by_hand_stays_but_for_a_click_right_on_it():
    image, truth = picture(3), ellipse(3)
    sure = NOTHING.copy()
    rows, columns = np.nonzero(truth)
    y, x = int(rows.mean()), int(columns.mean())
    sure[y - 20 : y - 12, x - 10 : x + 10] = SURE_BACKGROUND
    sure[5:12, 5:12] = SURE_ANIMAL
    mask = segment(image, [(x, y, True)], sure=sure)
    assert not mask[sure == SURE_BACKGROUND].any() and mask[sure == SURE_ANIMAL].all()
    mask = segment(image, [(x, y, True), (8, 8, False)], sure=sure)
    assert not mask[8, 8]


def test_a_network_decides_where_colours_do_not():
    rng = np.random.default_rng(0)
    image = rng.integers(90, 110, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    truth = np.zeros((HEIGHT, WIDTH), bool)
    truth[20:50, 15:150] = True
    click, predict = (40, 35, True), network_that_sees(truth)
    assert overlap(segment(image, [click]), truth) < 0.5
    assert overlap(segment(image, [click], predict=predict), truth) > 0.9


def test_colours_decide_where_the_network_sees_no_animal():
    image, truth = picture(3), ellipse(3)
    predict = network_that_sees(np.zeros_like(truth))
    assert overlap(segment(image, [(75, 60, True)], predict=predict), truth) > 0.9
    assert overlap(segment(image, box=(45, 25, 105, 95), predict=predict), truth) > 0.9


def test_the_network_is_asked_once_per_frame():
    asked = []

    def predict(image):
        asked.append(image.shape)
        return network_that_sees(ellipse(3))(image)

    segmenter, zero = ClickSegmenter(predict), np.zeros((HEIGHT, WIDTH), bool)
    for clicks in ([Click(75, 60, True)], [Click(75, 60, True), Click(10, 10, False)]):
        for frame in (3, 3, 4):
            segmenter.segment(frame, picture(frame), Marks(clicks, None, zero, NOTHING))
    assert len(asked) == 2  # frame 3, frame 4
    assert len(set(asked)) == 1


def test_the_same_clicks_give_the_same_mask():
    clicks = [(75, 60, True), (10, 10, False)]
    for predict in (None, network_that_sees(ellipse(3))):
        first, second = (segment(picture(3), clicks, predict=predict) for _ in range(2))
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("x, y", [(0, 0), (WIDTH, HEIGHT), (WIDTH - 1, 0)])
def test_a_click_on_the_border_is_a_click(x, y):
    mask = segment(picture(3), [(x, y, True)])
    assert mask[min(y, HEIGHT - 1), min(x, WIDTH - 1)] == 1


def test_plain_and_tiny_pictures_do_no_harm():
    for size in ((40, 60), (9, 9), (3, 200)):
        grey = np.full((*size, 3), 128, np.uint8)
        assert segment(grey, [(2, 1, True)]).shape == size
        assert segment(grey, [(2, 1, False)]).sum() == 0
        assert segment(grey, box=(0, 0, size[1], size[0])).shape == size
