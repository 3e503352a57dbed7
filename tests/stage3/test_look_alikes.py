"""Unlabelled animals of the same kind are void in the labelled frame, not background."""

import numpy as np

from utils.media.labels import VOID
from utils.stage3.look_alikes import find_look_alikes, target_of_label
from utils.stage3.settings import LookAlikes

SIZE = (60, 100)
SETTINGS = LookAlikes()


def square(left: int, side: int = 20) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[10 : 10 + side, left : left + side] = True
    return mask


LABEL = square(5).astype("uint8")


def find(*found: np.ndarray, label=LABEL) -> np.ndarray:
    return find_look_alikes(np.any(found, axis=0) * 0.9, label, 1, SETTINGS)


def test_another_animal_is_found_with_its_outline():
    others = find(square(5), square(60))
    assert others[square(60)].all() and not others[LABEL > 0].any()
    assert 400 < others.sum() < 600


def test_what_is_small_or_uncertain_or_the_animal_itself_is_not():
    assert not find(square(5), square(60, side=6)).any()
    assert not find_look_alikes(square(60) * 0.4, LABEL, 1, SETTINGS).any()
    assert not find(square(5)).any()


def test_a_rim_around_a_label_is_no_animal():
    wide = np.zeros(SIZE, bool)
    wide[9:31, 4:26] = True  # one pixel more on each side
    assert not find(wide).any()


def test_a_labelled_animal_is_known_and_stays_background():
    label = LABEL + 2 * square(60).astype("uint8")
    others = find(square(5), square(60), label=label)
    target = target_of_label(label, 1, others)
    assert not others[label > 0].any()
    assert (target[square(60)] == 0).all() and (target[square(5)] == 1).all()


def test_the_target_is_void_where_a_look_alike_is():
    label = LABEL.copy()
    label[50:] = VOID
    target = target_of_label(label, 1, square(60))
    assert (target[square(60)] == VOID).all() and (target[50:] == VOID).all()
    assert (target[square(5)] == 1).all() and target[0, 0] == 0
