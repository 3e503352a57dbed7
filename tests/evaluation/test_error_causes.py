"""Causes of wrong pixels, on squares that can be counted. 480 lines, where a part is thin up to 17
pixels; the animal is a block of 100 x 100 with a leg of 10 x 40 below it."""

import numpy as np
import pytest

from utils.evaluation.error_causes import CAUSES, lost_j, sort_errors, thin_parts
from utils.evaluation.measures import region_similarity

SHAPE = (480, 600)
BODY, LEG = np.s_[100:200, 200:300], np.s_[200:240, 240:250]
NO_VOID = np.zeros(SHAPE, bool)


def paint(*parts) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    for part in parts:
        mask[part] = True
    return mask


TRUTH = paint(BODY, LEG)


def count(mask, truth=TRUTH, void=NO_VOID) -> dict[str, int]:
    """Wrong pixels by cause, without causes that have none."""
    causes = sort_errors(mask, truth, void)
    numbers = np.bincount(causes.ravel(), minlength=len(CAUSES) + 1)[1:]
    return {cause: int(n) for cause, n in zip(CAUSES, numbers, strict=True) if n}


def test_right_mask_has_no_errors():
    assert count(TRUTH) == {}
    assert lost_j(sort_errors(TRUTH, TRUTH, NO_VOID), TRUTH, TRUTH, NO_VOID).sum() == 0


def test_false_pixels_at_the_outline_count_by_their_distance():
    # A strip of 50 along the body, 5 wide, whose ends are pixels of the strip as well.
    assert count(TRUTH | paint(np.s_[120:170, 300:305])) == {
        "within 1 px": 50,
        "2 to 3 px": 100,
        "false, connected": 100,
    }


def test_missed_pixels_at_the_outline_count_by_their_distance_from_what_was_found():
    assert count(TRUTH & ~paint(np.s_[100:200, 298:300])) == {"within 1 px": 100, "2 to 3 px": 100}


def test_missed_leg_is_thin_though_all_of_it_is_near_the_true_outline():
    # Where it meets the body, up to six of its rows count as a part of that.
    assert count(paint(BODY)) == {
        "within 1 px": 10,
        "2 to 3 px": 20,
        "missed, larger": 24,
        "missed, thin": 346,
    }


def test_missed_block_is_larger_with_its_corners():
    mask = TRUTH & ~paint(np.s_[100:200, 260:300])
    assert count(mask) == {"within 1 px": 100, "2 to 3 px": 200, "missed, larger": 3700}


def test_false_block_is_connected_or_a_piece():
    connected, piece = np.s_[100:110, 300:330], np.s_[400:410, 400:410]
    assert count(TRUTH | paint(connected, piece)) == {
        "within 1 px": 10,
        "2 to 3 px": 20,
        "false, connected": 270,
        "false piece": 100,
    }


def test_another_animal_in_place_of_the_right_one_is_lost():
    other = np.s_[300:340, 400:450]
    assert count(paint(other)) == {"lost": 2000 + 10400}
    assert count(paint(other), NO_VOID) == {"lost": 2000}
    assert count(NO_VOID) == {"lost": 10400}


def test_void_pixels_are_no_errors_and_the_animal_may_end_in_them():
    void = paint(np.s_[100:200, 300:310])
    mask = TRUTH | paint(np.s_[100:200, 300:311])
    assert count(mask, TRUTH, void) == {"within 1 px": 100}
    assert count(TRUTH, TRUTH | void, void) == {}


@pytest.mark.parametrize("top, thin", [(0, False), (200, True)])
def test_block_at_the_edge_of_the_frame_is_not_thin(top, thin):
    truth = paint(np.s_[top : top + 10, 200:300])
    assert thin_parts(truth).any() == thin


def test_parts_of_lost_j_sum_to_what_is_lost():
    rng = np.random.default_rng(0)
    mask = TRUTH ^ (rng.random(SHAPE) < 0.02)
    void = paint(np.s_[150:160, 100:400])
    parts = lost_j(sort_errors(mask, TRUTH, void), mask, TRUTH, void)
    assert parts.sum() == pytest.approx(1 - region_similarity(mask, TRUTH, void))
    assert parts.shape == (len(CAUSES),) and np.count_nonzero(parts) >= 3
