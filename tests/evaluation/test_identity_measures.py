"""Lost frames, identity switches and IDF1, on cases small enough to count."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from utils.evaluation.identity_measures import (
    count_switches,
    identity_f1,
    overlaps,
    score_identity,
    split_by_annotation,
)


def frame(text: str) -> np.ndarray:
    """One row of pixels: "112.v" is two of animal 1, one of animal 2, background, void."""
    numbers = {".": 0, "v": 255}
    return np.array([[numbers.get(c) if c in numbers else int(c) for c in text]], "uint8")


def score(pairs: list[tuple[str, str]], animal: int = 1):
    """`pairs`: where the mask is ("x"), and the annotation."""
    masks = [(frame(mask.replace("x", "1")) > 0, frame(truth)) for mask, truth in pairs]
    return score_identity(masks, [1, 2, 3], animal)


def test_overlaps_are_j_with_each_animal_without_void():
    found = overlaps(frame("1111.") > 0, frame("1122v"), [1, 2, 3])
    np.testing.assert_allclose(found, [2 / 4, 2 / 4, np.nan])
    void_is_neither = overlaps(frame("..111") > 0, frame("112vv"), [1, 2])
    np.testing.assert_allclose(void_is_neither, [0, 1])


def test_masks_of_another_size_are_refused():
    with pytest.raises(ValueError, match="annotation"):
        overlaps(np.zeros((2, 2), bool), np.zeros((2, 3), "uint8"), [1])


def test_the_first_frame_and_frames_without_the_animal_do_not_count():
    result = score([("....", "11.."), ("xx..", "11.."), ("xxxx", "..22"), ("x...", "11..")])
    assert result.frames == (1, 3)
    assert result.j == (1, 0.5)
    assert result.mean_j == 0.75


def test_a_frame_is_lost_where_the_mask_is_not_on_the_animal():
    far = ("xxxxxxxxxxx" + ".", "1" + "." * 11)  # J 1/11, below a tenth
    near = ("xxxxxxxxxx" + "..", "1" + "." * 11)  # J 1/10
    empty = ("." * 12, "1" + "." * 11)
    assert score([near, far, near, empty]).lost == 2


def test_moving_to_another_animal_is_one_switch_however_long_it_stays():
    on, off = ("xx..", "1122"), ("..xx", "1122")
    assert score([on, on, off, off, off]).switches == 1
    assert score([on, off, on]).switches == 2


def test_a_track_that_begins_on_the_other_animal_has_switched():
    assert score([("..xx", "1122"), ("..xx", "1122")]).switches == 1


def test_covering_both_animals_is_a_switch_only_where_the_other_is_larger():
    assert score([("xx....", "1.2222"), ("xxxxxx", "112222")]).switches == 1
    assert score([("xx....", "1.2222"), ("xxxxxx", "111122")]).switches == 0


def test_moving_to_nothing_or_to_an_animal_without_a_number_is_lost_but_no_switch():
    result = score([("xx....", "11..22"), ("..xx..", "11..22"), ("......", "11..22")])
    assert (result.switches, result.lost) == (0, 2)
    back = score([("xx..", "1122"), ("....", "1122"), ("xx..", "1122")])
    assert back.switches == 0


def test_a_switch_in_a_frame_in_which_the_animal_has_no_number_does_not_count():
    assert score([("xx..", "1122"), ("..xx", "..22"), ("xx..", "1122")]).switches == 0


def test_switches_ignore_animals_that_are_not_in_view():
    assert count_switches([np.array([0.3, np.nan]), np.array([0.3, 0.2])], own=0) == 0


def test_idf1_of_one_track_counts_masks_and_animals_with_the_right_identity():
    pairs = [("xx..", "11.."), ("xx..", "11.."), ("..xx", "11.."), ("....", "11..")]
    # Three frames count; one of three animals and one of two masks is right.
    assert score(pairs).idf1 == pytest.approx(2 * 1 / (3 + 2))


def test_idf1_matches_from_a_half():
    assert score([("xx", "11"), ("xx", "1.")]).idf1 == 1  # J is a half
    assert score([("xxx", "111"), ("xxx", "1..")]).idf1 == 0


def test_idf1_of_two_tracks_that_swap_half_way_is_a_half():
    assert identity_f1(np.full((2, 2), 5), [10, 10], [10, 10]) == 0.5


def test_idf1_pairs_tracks_and_animals_one_to_one():
    matched = np.array([[6, 5], [5, 0]])
    assert identity_f1(matched, [11, 5], [11, 5]) == pytest.approx(2 * 10 / 32)


def test_idf1_without_animals_and_masks_is_one():
    assert identity_f1(np.zeros((0, 0)), [], []) == 1


def test_idf1_is_that_of_trackeval():
    """TrackEval minimises false positives and false negatives over pairs and dummies."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        num_tracks, num_animals = rng.integers(1, 5, 2)
        matched = rng.integers(0, 8, (num_tracks, num_animals))
        in_view = matched.sum(0) + rng.integers(0, 5, num_animals)
        masks = matched.sum(1) + rng.integers(0, 5, num_tracks)
        size = num_tracks + num_animals
        missed, false = np.zeros((2, size, size))
        false[num_animals:, :num_tracks] = missed[:num_animals, num_tracks:] = 1e10
        for animal in range(num_animals):
            missed[animal, :num_tracks] = in_view[animal]
            missed[animal, num_tracks + animal] = in_view[animal]
        for track in range(num_tracks):
            false[:num_animals, track] = masks[track]
            false[num_animals + track, track] = masks[track]
        missed[:num_animals, :num_tracks] -= matched.T
        false[:num_animals, :num_tracks] -= matched.T
        best = linear_sum_assignment(missed + false)
        false_negatives, false_positives = missed[best].sum(), false[best].sum()
        true_positives = in_view.sum() - false_negatives
        expected = true_positives / max(
            1, true_positives + 0.5 * false_positives + 0.5 * false_negatives
        )
        assert identity_f1(matched, in_view, masks) == pytest.approx(expected)


def test_an_oracle_gives_each_pixel_to_the_nearest_animal():
    found = frame("1111111111") > 0
    truth = frame(".11....22.")
    own = split_by_annotation(found, truth, 1)
    assert "".join("x" if v else "." for v in own[0]) == "xxxxx....."


def test_an_oracle_keeps_only_what_reaches_the_animal():
    own = split_by_annotation(frame("11.11.....") > 0, frame(".11....22."), 1)
    assert "".join("x" if v else "." for v in own[0]) == "xx........"


def test_an_oracle_takes_void_for_no_animal():
    own = split_by_annotation(frame("1111") > 0, frame("11vv"), 1)
    assert own.all()
