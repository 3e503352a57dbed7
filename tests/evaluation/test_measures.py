"""J, F, recall and decay against hand-worked cases and a literal reading of the definitions."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import binary_dilation
from skimage.morphology import disk

from utils.evaluation.measures import (
    NUMBERS,
    boundary_map,
    contour_accuracy,
    decay,
    match_animals,
    mean_scores,
    recall,
    region_similarity,
    score_sequence,
)


def draw(*rows: str) -> np.ndarray:
    """A mask from text: `#` is foreground."""
    return np.array([[char == "#" for char in row] for row in rows])


def square(top: int, left: int, size: int, shape: tuple[int, int] = (100, 120)) -> np.ndarray:
    mask = np.zeros(shape, np.uint8)
    mask[top : top + size, left : left + size] = 1
    return mask


def literal_boundary(mask: np.ndarray) -> np.ndarray:
    """The definition pixel by pixel; a neighbour outside the image is no neighbour."""
    height, width = mask.shape
    boundary = np.zeros_like(mask)
    for y in range(height):
        for x in range(width):
            neighbours = []
            if x + 1 < width:
                neighbours.append(mask[y, x + 1])
            if y + 1 < height:
                neighbours.append(mask[y + 1, x])
            if x + 1 < width and y + 1 < height:
                neighbours.append(mask[y + 1, x + 1])
            boundary[y, x] = any(mask[y, x] != value for value in neighbours)
    return boundary


def literal_contour_accuracy(
    prediction: np.ndarray, annotation: np.ndarray, void: np.ndarray
) -> float:
    radius = math.ceil(0.008 * math.hypot(*annotation.shape))
    ours, theirs = literal_boundary(prediction & ~void), literal_boundary(annotation & ~void)
    if not ours.any() and not theirs.any():
        return 1.0
    if not ours.any() or not theirs.any():
        return 0.0
    footprint = disk(radius).astype(bool)
    precision = (ours & binary_dilation(theirs, footprint)).sum() / ours.sum()
    sensitivity = (theirs & binary_dilation(ours, footprint)).sum() / theirs.sum()
    if precision + sensitivity == 0:
        return 0.0
    return 2 * precision * sensitivity / (precision + sensitivity)


EMPTY, FULL = np.zeros((20, 30), bool), np.ones((20, 30), bool)


def test_half_overlap_of_equal_masks_gives_j_one_third():
    assert region_similarity(draw("##.."), draw(".##.")) == pytest.approx(1 / 3)


def test_any_non_zero_value_is_foreground():
    assert region_similarity(np.array([[0, 255]], np.uint8), np.array([[False, True]])) == 1.0


@pytest.mark.parametrize(
    ("prediction", "annotation", "j", "f"),
    [
        (EMPTY, EMPTY, 1, 1),
        (square(5, 5, 4, (20, 30)), EMPTY, 0, 0),
        (EMPTY, square(5, 5, 4, (20, 30)), 0, 0),
        (FULL, FULL, 1, 1),
        (FULL, EMPTY, 0, 1),  # a mask that fills the image has no boundary
    ],
)
def test_empty_masks_and_boundaries(prediction, annotation, j, f):
    assert region_similarity(prediction, annotation) == j
    assert contour_accuracy(prediction, annotation) == f


def test_void_pixels_count_for_nothing():
    prediction, annotation, void = draw("##.#"), draw(".##."), draw("#..#")
    assert region_similarity(prediction, annotation, void) == pytest.approx(1 / 2)
    assert region_similarity(prediction, annotation, np.ones_like(void)) == 1.0
    stripe = np.zeros((100, 120), np.uint8)
    stripe[40:60] = 1
    assert contour_accuracy(square(30, 30, 40), square(30, 30, 40) | stripe) < 1
    assert contour_accuracy(square(30, 30, 40), square(30, 30, 40) | stripe, stripe) == 1.0


def test_boundary_lies_half_a_pixel_towards_the_origin():
    expected = draw("....", ".##.", ".##.", "....")
    assert (boundary_map(draw("....", "....", "..#.", "....")) == expected).all()


def test_boundary_at_the_borders_looks_along_them_only():
    assert (boundary_map(draw("...#", "..##")) == draw(".##.", ".#..")).all()
    assert not boundary_map(draw("##", "##")).any()


def test_f_of_a_floor_half_missing_by_hand():
    """100x120 has a diagonal of 156.2, so the tolerance is 2 px."""
    annotation, prediction = np.zeros((100, 120), bool), np.zeros((100, 120), bool)
    annotation[50:, :] = True  # boundary: the 120 pixels of row 49
    prediction[50:, 60:] = True  # its 61 pixels from x = 59, and column 59 in rows 50..99
    # Precision: 61 of 111 lie on row 49, two more within 2 px of it. Recall: x = 57..119.
    precision, sensitivity = 63 / 111, 63 / 120
    expected = 2 * precision * sensitivity / (precision + sensitivity)
    assert contour_accuracy(prediction, annotation) == pytest.approx(expected)


@pytest.mark.parametrize(("shift", "expected"), [(8, 1.0), (9, 0.0)])
def test_tolerance_is_eight_pixels_at_480p(shift, expected):
    annotation, prediction = np.zeros((2, 480, 854), bool)
    annotation[:, 400:], prediction[:, 400 + shift :] = True, True
    assert contour_accuracy(prediction, annotation) == expected


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(2, 40),
    width=st.integers(2, 300),
    shift=st.none() | st.tuples(st.integers(-4, 4), st.integers(-4, 4)),
    seed=st.integers(0, 2**32 - 1),
)
def test_agrees_with_the_definition_read_literally(height, width, shift, seed):
    seeds = np.random.default_rng(seed).random((3, height, width)) < 0.003
    prediction, annotation, void = binary_dilation(seeds, disk(3)[None])
    if shift is not None:
        prediction = np.roll(annotation, shift, (0, 1))
    expected = literal_contour_accuracy(prediction, annotation, void)
    assert contour_accuracy(prediction, annotation, void) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(arrays(bool, (2, 5, 7)))
def test_j_and_boundaries_of_any_small_mask(masks):
    prediction, annotation = masks
    union = (prediction | annotation).sum()
    expected = (prediction & annotation).sum() / union if union else 1
    assert region_similarity(prediction, annotation) == expected
    assert region_similarity(annotation, prediction) == expected
    assert (boundary_map(prediction) == literal_boundary(prediction)).all()


def test_sizes_must_agree():
    with pytest.raises(ValueError, match="one size"):
        region_similarity(EMPTY, EMPTY.T)
    with pytest.raises(ValueError, match="one size"):
        contour_accuracy(EMPTY, EMPTY, EMPTY[1:])


def test_recall_is_strict():
    assert recall([0.5, 0.5 + 1e-9, 0.2, 1.0]) == 0.5


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.7], 0),
        ([1, 0], 1),
        # 8 values: edges 1, 2.75, 4.5, 6.25, 8 round to 1, 3, 5, 6, 8: frames 1-3 and 6-8.
        ([0.9, 0.6, 0.6, 0, 0, 0.3, 0.3, 0], 0.7 - 0.2),
        # 11 values: edges 1, 3.5, 6, 8.5, 11; halves go up to 4 and 9: frames 1-4 and 9-11.
        ([1, 1, 1, 0.2, 9, 9, 9, 9, 0.6, 0.3, 0], 0.8 - 0.3),
        # 401 values: edges 1, 101, 201, 301, 401, beyond what uint8 holds.
        ([1.0] * 101 + [9.0] * 199 + [0.25] * 101, 0.75),
    ],
)
def test_decay_by_hand(values, expected):
    assert decay(values) == pytest.approx(expected)


@pytest.mark.parametrize("measure", [recall, decay])
def test_no_values_are_an_error(measure):
    with pytest.raises(ValueError, match="no frames"):
        measure([])


def test_sequence_of_one_animal_takes_any_index_and_streams():
    def masks(*values):
        yield from (square(10, 10, 40) * np.uint8(value) for value in values)

    scores = score_sequence(masks(1, 0, 1), masks(2, 2, 0))
    assert scores["J"] == scores["F"] == [1, 0, 0]
    expected = dict.fromkeys(NUMBERS, pytest.approx(1 / 3)) | {"J-Decay": 0.5, "F-Decay": 0.5}
    assert {key: scores[key] for key in NUMBERS} == expected


def test_sequence_leaves_void_of_the_annotation_out():
    annotation = square(10, 10, 40)
    annotation[:, 60:] = 255
    scores = score_sequence([square(10, 10, 40) | square(20, 70, 20)], [annotation])
    assert scores["J"] == scores["F"] == [1]


def test_sequence_of_two_animals_is_the_mean_over_them():
    annotation = square(10, 10, 30) + 2 * square(60, 60, 30)
    prediction = square(10, 10, 30) + 2 * square(60, 75, 30)
    scores = score_sequence([annotation, prediction], [annotation, annotation], animals=(1, 2))
    first, second = scores["animals"][1], scores["animals"][2]
    assert first["J"] == first["F"] == [1, 1]
    assert second["J"] == pytest.approx([1, 1 / 3])
    assert scores["J"] == pytest.approx([1, 2 / 3])
    assert scores["J-Recall"] == 0.75
    assert {key: scores[key] for key in NUMBERS} == pytest.approx(mean_scores([first, second]))


def test_swapped_animals_do_not_match():
    annotation = square(10, 10, 30) + 2 * square(60, 60, 30)
    swapped = 2 * square(10, 10, 30) + square(60, 60, 30)
    assert score_sequence([swapped], [annotation], animals=(1, 2))["J&F-Mean"] == 0


@settings(max_examples=60, deadline=None)
@given(arrays(np.uint8, (3, 2, 4, 5), elements=st.sampled_from([0, 2, 3, 7, 255])))
def test_animals_are_matched_as_the_best_of_all_ways_to_do_it(frames):
    """The masks show 2, 3 and 7 or some of them, the annotations have 2, 3 and 9."""
    predictions, annotations = frames[:, 0], np.where(frames[:, 1] == 7, 9, frames[:, 1])
    animals, scored = (2, 3, 9), annotations != 255

    def sum_of_j(numbers) -> float:
        return sum(
            np.mean(
                [
                    region_similarity(p == number, a == animal, a == 255)
                    for p, a in zip(predictions, annotations, strict=True)
                ]
            )
            for number, animal in zip(numbers, animals, strict=True)
        )

    shown = [number for number in (2, 3, 7) if (predictions[scored] == number).any()]
    found = [*shown, 100, 101, 102][:3]  # those from 100 on are in no mask
    matched = match_animals(predictions, annotations, animals)
    assert matched[0] == matched[255] == 0
    numbers = [int(np.flatnonzero(matched == animal)[0]) for animal in animals]
    assert set(shown) <= set(numbers) and np.count_nonzero(matched) == 3
    assert sum_of_j(numbers) == pytest.approx(max(map(sum_of_j, itertools.permutations(found))))


def test_what_is_matched_with_no_annotated_animal_has_no_number():
    found = np.array([[1, 1, 2, 3, 3, 3]], np.uint8)
    annotated = np.array([[0, 0, 1, 2, 2, 2]], np.uint8)
    assert match_animals([found], [annotated], (1, 2))[:5].tolist() == [0, 0, 1, 2, 0]


def test_unequal_numbers_of_frames_are_an_error():
    with pytest.raises(ValueError, match="zip"):
        score_sequence([EMPTY, EMPTY], [EMPTY])
