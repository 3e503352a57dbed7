"""T of DAVIS 2016 on cases with known results, and the polygons that it is computed from."""

import tracemalloc

import numpy as np
import pytest

from utils.evaluation.mask_polygons import mask_polygons, simplify
from utils.evaluation.scoring import STABILITY, format_table, mean_by_protocol, score_folders
from utils.evaluation.temporal_stability import (
    match_in_order,
    shape_contexts,
    temporal_stability,
)
from utils.media.labels import write_label

SHAPE = (120, 160)


def disk(x: float, y: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return (columns - x) ** 2 + (rows - y) ** 2 <= radius**2


def box(top: int, left: int, height: int, width: int) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[top : top + height, left : left + width] = True
    return mask


def area(polygon: np.ndarray) -> float:
    """Positive for polygons that run clockwise as one sees the image."""
    x, y = polygon[:-1].T
    return float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2)


# Polygons


def test_a_rectangle_is_its_corners_clockwise():
    (polygon,) = mask_polygons(box(10, 20, 30, 50))
    assert polygon.tolist() == [[20, 10], [70, 10], [70, 40], [20, 40], [20, 10]]


def test_holes_run_the_other_way():
    outer, hole = box(10, 20, 60, 80), box(30, 40, 20, 30)
    areas = sorted(area(polygon) for polygon in mask_polygons(outer & ~hole))
    assert areas == [-600, 4800]


def test_pieces_that_touch_at_a_corner_are_separate():
    polygons = mask_polygons(box(10, 10, 20, 20) | box(30, 30, 20, 20))
    assert [area(polygon) for polygon in polygons] == [400, 400]


def test_a_mask_that_fills_the_frame_has_its_corners():
    (polygon,) = mask_polygons(np.ones((30, 40), bool))
    assert area(polygon) == 1200 and len(polygon) == 5


def test_single_pixels_and_empty_masks_have_no_polygon():
    assert mask_polygons(box(5, 5, 1, 1)) == []
    assert mask_polygons(np.zeros(SHAPE, bool)) == []


@pytest.mark.parametrize("seed", range(20))
def test_polygons_of_any_mask_enclose_its_area(seed, monkeypatch):
    # Without simplification: noise has many corners at which pixels touch.
    monkeypatch.setattr("utils.evaluation.mask_polygons.simplify", lambda points, tolerance: points)
    rng = np.random.default_rng(seed)
    mask = rng.random((rng.integers(2, 15), rng.integers(2, 15))) < rng.random()
    polygons = mask_polygons(mask)
    assert sum(map(area, polygons)) == mask.sum()
    for polygon in polygons:
        corners = {tuple(point) for point in polygon[:-1].tolist()}
        assert len(corners) == len(polygon) - 1  # no corner twice


def test_simplify_keeps_corners_and_drops_what_lies_between():
    line = np.array([[0.0, 0], [3, 0.5], [6, 0], [9, 0.4], [12, 0], [12, 9]])
    assert simplify(line, 1.5).tolist() == [[0, 0], [12, 0], [12, 9]]
    # Too close to the last kept point: dropped before any line is drawn, however far from it.
    near = np.array([[0.0, 0], [0, 1.4], [10, 0]])
    assert simplify(near, 1.5).tolist() == [[0, 0], [10, 0]]


# Matching


def test_the_cheapest_way_in_order():
    costs = np.array([[0, 9, 9, 9], [9, 0, 1, 9], [9, 9, 9, 2.0]])
    assert match_in_order(costs).tolist() == [[2, 3], [1, 2], [1, 1], [0, 0]]


def test_shape_contexts_of_a_square_by_hand():
    contexts = shape_contexts(np.array([[0.0, 0], [10, 0], [10, 10], [0, 10]]))
    assert contexts.shape == (4, 60)
    np.testing.assert_allclose(contexts.sum(axis=1), 1)
    # The mean distance, each point's to itself included, is (10 + 10 + 14.1) / 4 = 8.5, so the
    # others are 1.17 and 1.66 away: the outermost of the five rings (1 to 2). Angles from the first
    # corner: 0, 45 and 90 degrees; itself is the innermost ring at 0.
    first = contexts[0].reshape(12, 5)
    assert np.argwhere(first).tolist() == [[0, 0], [0, 4], [1, 0], [3, 0]]


def test_a_shifted_match_is_that_of_shifted_costs():
    costs = np.random.default_rng(0).random((7, 9))
    for shift in ((0, 0), (3, 5), (6, 8)):
        rolled = np.roll(costs, np.negative(shift), axis=(0, 1))
        np.testing.assert_array_equal(match_in_order(costs, shift), match_in_order(rolled))


# T


def ragged(seed: int) -> np.ndarray:
    """A disk with a long outline."""
    return disk(80, 60, 45) & (np.random.default_rng(seed).random(SHAPE) < 0.97)


def test_blocks_of_rows_change_no_bit(monkeypatch):
    masks = [ragged(seed) for seed in range(3)]
    (outline, *_) = mask_polygons(masks[0])

    def compute(pairs):
        monkeypatch.setattr("utils.evaluation.temporal_stability._PAIRS_AT_ONCE", pairs)
        return shape_contexts(outline).tobytes(), temporal_stability(masks)

    whole = compute(10**9)
    assert compute(1) == compute(1000) == compute(12_345) == whole


def test_memory_is_that_of_few_matrices_of_pairs():
    """It was that of eight and more, in each thread."""
    points = np.random.default_rng(0).random((1500, 2))
    tracemalloc.start()
    shape_contexts(points)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.5 * 8 * len(points) ** 2


def test_equal_masks_are_stable():
    assert temporal_stability([disk(60, 60, 30)] * 3) == [0, 0]


def test_moving_is_not_instability():
    assert temporal_stability([disk(60, 60, 30), disk(75, 52, 30)]) == [0]


def test_a_larger_copy_is_nearly_stable_and_another_shape_is_not():
    larger, other = (
        temporal_stability([disk(60, 60, 30), mask])[0]
        for mask in (disk(60, 60, 40), box(20, 20, 12, 90))
    )
    assert 0 < larger < 0.1 < 0.5 < other


def test_the_order_of_two_masks_hardly_matters():
    one, other = disk(60, 60, 30), disk(60, 60, 30) | box(50, 85, 20, 30)
    (there,), (back,) = temporal_stability([one, other]), temporal_stability([other, one])
    assert there == pytest.approx(back, rel=0.2)


def test_more_noise_is_less_stable():
    def rough(radius, seed):
        noise = np.random.default_rng(seed).normal(0, radius, 36)
        angles = np.linspace(0, 2 * np.pi, 36, endpoint=False)
        rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
        towards = np.arctan2(rows - 60, columns - 80)
        reach = 40 + np.interp(towards, angles, noise, period=2 * np.pi)
        return np.hypot(rows - 60, columns - 80) <= reach

    values = [np.mean(temporal_stability([rough(r, s) for s in range(4)])) for r in (0.5, 2, 6)]
    assert values == sorted(values) and values[2] > 3 * values[0]


def test_nothing_is_said_about_pairs_with_an_empty_mask():
    empty = np.zeros(SHAPE, bool)
    values = temporal_stability([disk(60, 60, 30), empty, disk(60, 60, 30), disk(61, 60, 30)])
    assert np.isnan(values[:2]).all() and values[2] == 0
    assert temporal_stability([]) == temporal_stability([empty]) == []


# In evaluate.py's scores

NAMES = [f"{index:05d}" for index in range(6)]


def score(folder, masks, **flags):
    animals = range(1, int(max(mask.max() for mask in masks)) + 1)
    for name, mask in zip(NAMES, masks, strict=True):
        for kind in ("masks", "annotations"):
            write_label(folder / kind / f"{name}.png", mask.astype("uint8"), animals)
    return score_folders("hen", folder / "masks", folder / "annotations", NAMES, [2], **flags)


def test_t_is_of_consecutive_masks_without_the_first_and_the_last_frame(tmp_path):
    masks = [box(20, 20, 12, 90), *[disk(60, 60, 30)] * 4, box(20, 20, 12, 90)]
    scored = score(tmp_path, masks, stability=True)
    assert scored.scores["T"] == [0, 0, 0] and scored.means()[STABILITY] == 0
    assert mean_by_protocol([scored])["chosen"][STABILITY] == 0
    assert " T " in format_table([scored]).splitlines()[0]


def test_t_is_not_computed_unless_asked_for(tmp_path):
    scored = score(tmp_path, [disk(60, 60, 30)] * 6)
    assert STABILITY not in scored.scores and STABILITY not in scored.means()
    assert " T " not in format_table([scored]).splitlines()[0]


def test_t_is_left_out_for_several_animals(tmp_path):
    two = box(20, 20, 30, 30) + 2 * box(60, 60, 30, 30).astype("uint8")
    assert STABILITY not in score(tmp_path / "two", [two] * 6, stability=True).scores


def test_pairs_without_t_are_null(tmp_path):
    empty = np.zeros(SHAPE, bool)
    masks = [disk(60, 60, 30)] * 3 + [empty] + [disk(60, 60, 30)] * 2
    scored = score(tmp_path, masks, stability=True)
    assert scored.scores["T"] == [0, None, None] and scored.scores[STABILITY] == 0
