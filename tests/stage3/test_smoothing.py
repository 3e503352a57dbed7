"""Evening out over time, on a textured square that moves over a textured ground."""

import cv2
import numpy as np
import pytest

from utils.stage3 import smoothing
from utils.stage3.animal_in_frame import AnimalInFrame
from utils.stage3.settings import Refinement
from utils.stage3.smoothing import smooth_over_time

HEIGHT, WIDTH, SIDE, STEP = 96, 128, 40, 3
SETTINGS = Refinement()


def texture(seed: int, height: int, width: int) -> np.ndarray:
    values = np.random.default_rng(seed).uniform(0, 255, (height // 4, width // 4))
    return cv2.resize(values.astype("uint8"), (width, height), interpolation=cv2.INTER_CUBIC)


GROUND, COAT = texture(1, HEIGHT, WIDTH), texture(2, SIDE, SIDE)


def place(frame: int) -> tuple[slice, slice]:
    left = 30 + STEP * frame
    return slice(28, 28 + SIDE), slice(left, left + SIDE)


def grey(frame: int) -> np.ndarray:
    image = GROUND.copy()
    image[place(frame)] = COAT
    return image


def square(frame: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[place(frame)] = True
    return mask


def found(frame: int, probability: np.ndarray | None = None) -> AnimalInFrame:
    if probability is None:
        probability = square(frame) * np.uint8(255)
    return AnimalInFrame(frame, probability, square(frame))


def smooth(middle: AnimalInFrame, before=None, after=None, read=grey) -> AnimalInFrame:
    frames = {0: before or found(0), 2: after or found(2)}
    return smooth_over_time(middle, 3, frames.__getitem__, read, SETTINGS)


def mask_of(animal: AnimalInFrame) -> np.ndarray:
    return animal.region & (animal.probability > SETTINGS.threshold * 255)


def test_an_outline_that_agrees_over_time_stays_where_it_is():
    result = mask_of(smooth(found(1)))
    assert (result ^ square(1)).sum() <= 0.02 * square(1).sum()


def test_a_hole_that_neighbours_do_not_have_is_filled_where_the_animal_has_moved_to():
    probability = found(1).probability.copy()
    hole = np.zeros((HEIGHT, WIDTH), bool)
    top, left = place(1)[0].start + 15, place(1)[1].start + 15
    hole[top : top + 6, left : left + 6] = True
    probability[hole] = 115
    with_hole = AnimalInFrame(1, probability, square(1) & ~hole)
    assert mask_of(smooth(with_hole))[hole].all()


def test_what_the_filter_dropped_in_a_neighbour_is_not_brought_in():
    other = np.zeros((HEIGHT, WIDTH), bool)
    other[70:80, 40:90] = True  # touches the square from below
    other &= ~square(1)
    before, after = (
        found(frame, np.where(other, 255, found(frame).probability).astype("uint8"))
        for frame in (0, 2)
    )
    middle = found(1, np.where(other, 100, found(1).probability).astype("uint8"))
    assert not mask_of(smooth(middle, before, after))[other].any()


def test_what_the_filter_dropped_in_the_frame_stays_out_where_it_touches_the_animal():
    other = np.zeros((HEIGHT, WIDTH), bool)
    other[68:80, 40:60] = True
    middle = found(1, np.where(other, 255, found(1).probability).astype("uint8"))
    assert not mask_of(smooth(middle))[other].any()


def test_pixels_that_are_not_found_again_are_the_frames_own():
    """After a shot change the neighbours show something else."""
    middle = found(1)
    result = smooth(middle, read=lambda frame: grey(1) if frame == 1 else 255 - GROUND)
    np.testing.assert_array_equal(mask_of(result), square(1))
    assert (result.probability[square(1)] == 255).mean() > 0.99  # some find a pixel by chance


@pytest.mark.parametrize("zoom", [2, 1.5])
def test_probabilities_may_be_finer_than_the_frames_in_which_motion_is_found(zoom):
    height, width = round(HEIGHT * zoom), round(WIDTH * zoom)

    def fine(frame):
        mask = cv2.resize(square(frame).astype("float32"), (width, height))
        return AnimalInFrame(frame, (mask > 0.5).astype("uint8") * 255, square(frame))

    result = smooth(fine(1), fine(0), fine(2))
    expected = fine(1).probability > 0
    assert result.region.shape == (height, width)
    assert (mask_of(result) ^ expected).sum() <= 0.03 * expected.sum()


def test_an_animal_that_is_not_there_is_not_brought_in():
    nothing = AnimalInFrame(1, np.zeros((HEIGHT, WIDTH), "uint8"), np.zeros((HEIGHT, WIDTH), bool))
    assert not mask_of(smooth(nothing)).any()


def test_where_nothing_has_changed_no_motion_is_looked_for(monkeypatch):
    monkeypatch.setattr(smoothing, "find_motion", lambda *_: pytest.fail("looked for motion"))
    rng = np.random.default_rng(0)
    probability = np.where(square(1), rng.integers(130, 256, (HEIGHT, WIDTH)), 0).astype("uint8")
    result = smooth(
        AnimalInFrame(1, probability, square(1)),
        before=AnimalInFrame(0, probability.copy(), square(1)),
        after=AnimalInFrame(2, probability.copy(), square(1)),
    )
    np.testing.assert_array_equal(result.probability, probability)
    np.testing.assert_array_equal(result.region, square(1))
