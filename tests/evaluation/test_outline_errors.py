"""Errors by distance from the outline, on squares for which the numbers are known."""

import numpy as np
import pytest

from utils.evaluation.outline_errors import (
    distance_from_outline,
    outline_errors,
    stride_ceiling,
)


def square(grow=0, size=40, image=100):
    mask = np.zeros((image, image), bool)
    first, last = 30 - grow, 30 + size + grow
    mask[first:last, first:last] = True
    return mask


NO_VOID = np.zeros((100, 100), bool)


def test_perfect_mask_has_no_errors():
    errors = outline_errors(square(), square(), NO_VOID)
    assert (errors.j, errors.offset, errors.false, errors.missed) == (1, 0, 0, 0)
    assert errors.forgiven == (1, 1, 1, 1)


def test_distance_counts_the_ring_next_to_the_outline_as_one_on_both_sides():
    distance = distance_from_outline(square())
    assert distance[30, 50] == distance[29, 50] == 1
    assert distance[33, 50] == 4
    assert distance[25, 50] == 5


def test_mask_one_pixel_too_large_is_forgiven_within_one_pixel_and_its_offset_is_one():
    errors = outline_errors(square(1), square(), NO_VOID)
    assert errors.j == pytest.approx(40**2 / 42**2)
    # Only the four corner pixels are farther away, by the diagonal.
    assert errors.forgiven[0] == pytest.approx(40**2 / (40**2 + 4))
    assert errors.forgiven[1:] == (1, 1, 1)
    assert errors.offset == pytest.approx(1, abs=0.1)


def test_mask_two_pixels_too_small_is_forgiven_only_from_two_pixels_on():
    errors = outline_errors(square(-2), square(), NO_VOID)
    assert errors.forgiven[0] == pytest.approx(36**2 / 38**2, abs=0.01)
    assert errors.forgiven[0] < 1 == errors.forgiven[1]
    assert errors.offset < -1.5
    assert errors.missed == 0


def test_far_spot_and_far_hole_are_shares_of_the_animal():
    mask = square()
    mask[5:9, 5:9] = True
    mask[45:55, 45:55] = False
    errors = outline_errors(mask, square(), NO_VOID)
    assert errors.false == pytest.approx(16 / 1600)
    assert errors.missed == pytest.approx(100 / 1600)
    assert errors.offset == 0


def test_void_pixels_do_not_count():
    void = NO_VOID.copy()
    void[:, :30] = True
    mask = square()
    mask[10:20, 10:20] = True
    assert outline_errors(mask, square(), void).false == 0


def test_empty_truth_is_refused():
    with pytest.raises(ValueError, match="no pixel"):
        outline_errors(square(), NO_VOID, NO_VOID)


def test_finer_grids_keep_thin_parts():
    truth = square()
    truth[70:95, 40:42] = True  # a leg of two pixels
    ceilings = [stride_ceiling(truth, NO_VOID, stride) for stride in (8, 4, 2, 1)]
    assert ceilings == sorted(ceilings)
    assert ceilings[-1] == 1
    assert ceilings[0] < 0.97
