"""From probabilities to masks: what continues the animal stays, each frame once, at input size."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.stage3.animal_in_frame import AnimalInFrame, merge_animals
from utils.stage3.motion import Motion
from utils.stage3.settings import Refinement
from utils.stage3.temporal_filter import (
    TemporalFilter,
    make_passes,
    mask_confidence,
    sort_regions,
)

SIZE = (40, 60)  # diagonal 72.1
REFINEMENT = Refinement(threshold=0.5, radius=0.1)  # 7.2 px between two frames


def square(y, x, side=6):
    mask = np.zeros(SIZE, bool)
    mask[y : y + side, x : x + side] = True
    return mask


def probability(*masks, high=0.9, low=0.1):
    return np.where(np.any(masks, axis=0), high, low).astype("float32")


# Which region is whose


def keep_near(*arguments):
    return sort_regions(*arguments)[0]


def test_regions_near_the_reference_stay_whole():
    near, far = square(10, 20), square(10, 45)
    reference = square(10, 10)  # ends at column 15: `near` begins 5 px from it, `far` 30 px
    np.testing.assert_array_equal(keep_near(near | far, reference, 5), near)
    np.testing.assert_array_equal(keep_near(near | far, reference, 30), near | far)
    assert not keep_near(near | far, reference, 4).any()


def test_a_region_that_touches_a_near_one_by_a_corner_belongs_to_it():
    mask = square(10, 10) | square(16, 16)
    np.testing.assert_array_equal(keep_near(mask, square(10, 10), 0), mask)


def test_a_full_and_an_empty_mask_pass_through():
    full, empty = np.ones(SIZE, bool), np.zeros(SIZE, bool)
    np.testing.assert_array_equal(keep_near(full, square(10, 10), 1), full)
    np.testing.assert_array_equal(keep_near(empty, square(10, 10), 1), empty)


def test_a_region_nearer_to_another_animal_belongs_to_it():
    mask = square(10, 20)  # 5 px from the reference, 4 from the others
    reference, others = square(10, 10), square(10, 29)
    assert keep_near(mask, reference, 5).any()
    assert not keep_near(mask, reference, 5, others).any()
    np.testing.assert_array_equal(keep_near(mask, reference, 5, square(10, 31)), mask)


def test_a_region_just_out_of_reach_is_undecided_and_a_far_one_is_another_animal():
    mask, reference = square(10, 26), square(10, 10)  # 11 px apart
    for radius, is_animal, is_other in ((11, True, False), (6, False, False), (5, False, True)):
        animal, other = sort_regions(mask, reference, radius)
        assert (animal.any(), other.any()) == (is_animal, is_other), radius
    _, other = sort_regions(mask, reference, 6, square(10, 38))  # 7 px
    np.testing.assert_array_equal(other, mask)


def test_a_merged_region_is_divided_by_distance():
    left, right = square(10, 10, 10), square(10, 26, 10)
    bridge = np.zeros(SIZE, bool)
    bridge[12:18, 20:26] = True
    kept = keep_near(left | bridge | right, left, 5, right)
    assert kept[left].all() and not kept[right].any()
    assert kept[14, 22] and not kept[14, 23]


def test_a_shared_region_goes_to_the_other_if_the_animal_is_elsewhere():
    body, slice_of_other = square(10, 10, 12), square(10, 40, 2)
    reference, other = body | slice_of_other, square(10, 42, 8)
    mask = body | slice_of_other | other
    assert (keep_near(mask, reference, 5, other) == body).all()
    assert (keep_near(slice_of_other | other, reference, 5, other) == slice_of_other).all()


def test_something_is_left_of_an_animal_that_shares_all_of_its_regions():
    parts = [square(4, x, 4) for x in (4, 24, 44)]
    others = [square(4, x, 8) & ~part for x, part in zip((4, 24, 44), parts, strict=True)]
    animal, other = np.any(parts, axis=0), np.any(others, axis=0)
    assert keep_near(animal | other, animal, 5, other).any()


def test_keeping_near_regions_does_not_change_the_inputs():
    mask, reference = square(10, 20) | square(10, 45), square(10, 10)
    copies = mask.copy(), reference.copy()
    keep_near(mask, reference, 5)
    np.testing.assert_array_equal(mask, copies[0])
    np.testing.assert_array_equal(reference, copies[1])


# TemporalFilter


def test_a_far_region_is_dropped_and_the_moving_animal_kept():
    keep = TemporalFilter(REFINEMENT, square(10, 5))
    for x in range(9, 50, 4):
        ghost = square(30, 2) if x > 20 else square(30, 50)
        np.testing.assert_array_equal(keep(probability(square(10, x), ghost)), square(10, x))


def test_an_animal_that_falls_into_parts_is_kept_in_parts():
    keep = TemporalFilter(REFINEMENT, square(10, 10, 12))
    parts = square(10, 10, 4) | square(17, 17, 5)
    np.testing.assert_array_equal(keep(probability(parts)), parts)


def test_an_animal_is_found_again_after_being_out_of_sight():
    keep = TemporalFilter(REFINEMENT, square(10, 0))
    nothing, later = probability(np.zeros(SIZE, bool)), square(10, 26)  # 21 px away
    assert not keep(probability(later)).any()  # too far for one frame
    keep = TemporalFilter(REFINEMENT, square(10, 0))
    for _ in range(3):
        assert not keep(nothing).any()
    np.testing.assert_array_equal(keep(probability(later)), later)
    # Seen again, it may move as little as before.
    assert not keep(probability(square(10, 50))).any()


def test_false_regions_are_dropped_while_the_animal_is_hidden():
    keep = TemporalFilter(REFINEMENT, square(10, 0))
    for _ in range(2):
        assert not keep(probability(square(30, 50))).any()


def test_another_animal_that_comes_near_is_not_taken_over():
    animal = square(10, 10, 10)
    keep = TemporalFilter(REFINEMENT, animal)
    for x in range(45, 20, -2):  # until it stands 2 px beside the animal
        kept = keep(probability(animal, square(10, x, 10)))
        np.testing.assert_array_equal(kept, animal)


def test_a_labelled_other_animal_is_kept_apart_from_the_first_frame_on():
    animal, other = square(10, 10, 10), square(10, 23, 10)  # 3 px apart
    seen = probability(animal, other)
    np.testing.assert_array_equal(TemporalFilter(REFINEMENT, animal)(seen), animal | other)
    np.testing.assert_array_equal(
        TemporalFilter(REFINEMENT, animal + np.uint8(2) * other)(seen), animal
    )


def test_another_animal_that_walks_behind_is_told_apart_by_the_flow():
    still = square(10, 20, 10)
    for flow_is_given in (True, False):
        keep = TemporalFilter(REFINEMENT, still + np.uint8(2) * square(12, 0, 8))
        for x in range(3, 19, 3):  # from its left side to half behind it
            other = square(12, x, 8)
            flow = np.zeros((*SIZE, 2), "float32")
            flow[other & ~still, 0] = -3  # where it was in the frame before
            motion = Motion(flow, np.zeros(SIZE, bool)) if flow_is_given else None
            kept = keep(probability(still, other), motion)
        assert (kept == still).all() == flow_is_given


def test_what_enters_far_from_the_animal_is_another_unless_there_can_be_none():
    animal = square(14, 10, 10)
    newcomer = np.zeros(SIZE, bool)
    newcomer[0:8, 10:20] = True  # touches the upper edge
    for entrance, expected in ((0.05, animal), (0, animal | newcomer)):
        keep = TemporalFilter(replace(REFINEMENT, radius=0.2, entrance=entrance), animal)
        kept = keep(probability(animal, newcomer))
        np.testing.assert_array_equal(kept, expected)


def still_picture(reliable=True):
    return Motion(np.zeros((*SIZE, 2), "float32"), np.full(SIZE, reliable))


@pytest.mark.parametrize("reliable", [False, True])
def test_what_enters_may_be_the_animal_where_no_flow_says_where_it_is(reliable):
    animal, at_the_edge = square(14, 10, 10), np.zeros(SIZE, bool)
    at_the_edge[0:8, 10:20] = True
    keep = TemporalFilter(replace(REFINEMENT, radius=0.2), animal)
    kept = keep(probability(animal, at_the_edge), still_picture(reliable))
    np.testing.assert_array_equal(kept, animal if reliable else animal | at_the_edge)


def test_what_the_label_shows_as_background_stays_background_while_the_flow_is_reliable():
    animal, near = square(10, 10, 10), square(10, 25, 8)  # 5 px apart: it could be a part
    unsure = np.where(near, 255, animal).astype("uint8")
    for label, motion, expected in (
        (animal, still_picture(), animal),
        (animal, still_picture(reliable=False), animal | near),
        (animal, None, animal | near),
        (unsure, still_picture(), animal | near),
    ):
        keep = TemporalFilter(REFINEMENT, label)
        for _ in range(3):
            np.testing.assert_array_equal(keep(probability(animal), motion), animal)
        np.testing.assert_array_equal(keep(probability(animal, near), motion), expected)


def test_known_background_is_cut_off_from_a_merged_region():
    animal, shadow = square(10, 10, 12), square(16, 22, 6)
    keep = TemporalFilter(REFINEMENT, animal)
    keep(probability(animal), still_picture())
    kept = keep(probability(animal, shadow), still_picture())
    assert kept[animal].all()
    assert (kept & shadow).sum() < shadow.sum() / 2


def test_the_margin_next_to_the_animal_may_change():
    animal, larger = square(10, 10, 10), square(9, 9, 12)  # 1 px, less than 2 % of 72
    keep = TemporalFilter(REFINEMENT, animal)
    np.testing.assert_array_equal(keep(probability(larger), still_picture()), larger)


def test_a_head_that_appears_behind_a_tree_just_out_of_reach_belongs_to_the_animal():
    body = square(10, 10, 10)
    keep = TemporalFilter(REFINEMENT, body.astype("uint8"))
    assert not keep(probability(body, square(14, 28, 2)))[:, 20:].any()  # 9 px: it may be anything
    head = square(12, 25, 6)
    assert (keep(probability(body, head)) == (body | head)).all()


def seen_beside_half_a_body(region, patience=3):
    """Whether a region out of reach is kept, in five frames that hide half of the animal."""
    body = square(10, 10, 10)
    keep = TemporalFilter(replace(REFINEMENT, patience=patience), body.astype("uint8"))
    left = body.copy()
    left[:, 15:] = False
    return [keep(probability(left, region))[:, 20:].any() for _ in range(5)]


def test_what_stays_in_sight_and_is_no_larger_than_what_is_missing_is_a_part():
    head, larger_than_missing = square(12, 28, 7), square(12, 28, 8)  # 49 and 64 of 50 px
    assert seen_beside_half_a_body(head) == [False, False, True, True, True]
    assert not any(seen_beside_half_a_body(larger_than_missing))
    assert not any(seen_beside_half_a_body(head, patience=0))


def seen_in_known_background(side, patience=3, left_to=15, other=None):
    """How many pixels of a square are kept that appears near half of an animal, where the label
    shows background, in each of five frames; in two more it is 4 px larger to the left. `other` is
    in the label, and found in its frame alone."""
    body = square(10, 10, 10)
    label = body.astype("uint8")
    if other is not None:
        label[other] = 2
    keep = TemporalFilter(replace(REFINEMENT, patience=patience), label)
    left = body.copy()
    left[:, left_to:] = False
    keep(probability(left), still_picture())
    heads = [square(12, 25, side)] * 5 + [square(12, 25, side) | square(12, 21, side)] * 2
    return [keep(probability(left, head), still_picture())[:, 20:].sum() for head in heads]


def test_a_part_comes_back_also_in_what_was_background_in_the_label():
    assert seen_in_known_background(4) == [0, 0, 16, 16, 16, 32, 32]
    *first, larger, last = seen_in_known_background(7)
    assert first == [0, 0, 49, 49, 49] and max(larger, last) < 77  # of which 50 are missing
    assert not any(seen_in_known_background(8))  # 64 px, and 50 are missing
    assert not any(seen_in_known_background(4, left_to=20))
    assert not any(seen_in_known_background(4, patience=0))
    for other in (square(13, 26, 3), square(12, 30, 6)):  # it is this one, or nearer to it
        assert not any(seen_in_known_background(4, other=other))


def foot_that_comes_out(length, patience=3, other=None):
    """How many pixels are kept of a foot that grows out of the body where the label shows
    background, in five frames. The animal had a foot of 4x6 px elsewhere, which is hidden."""
    body, hidden = square(10, 10, 12), square(22, 10, 12)
    hidden[26:], hidden[:, 16:] = False, False
    label = (body | hidden).astype("uint8")
    if other is not None:
        label[other] = 2
    keep = TemporalFilter(replace(REFINEMENT, patience=patience), label)
    keep(probability(body), still_picture())
    foot = square(22, 18, 12)
    foot[22 + length :], foot[:, 22:] = False, False
    return [keep(probability(body, foot), still_picture())[23:].sum() for _ in range(5)]


def test_a_foot_comes_out_also_where_the_label_shows_background():
    beyond_margin = 4 * 3
    assert foot_that_comes_out(4) == [0, 0, *[beyond_margin] * 3]
    assert not any(foot_that_comes_out(12))  # 44 px beyond the margin, and 24 are missing
    assert not any(foot_that_comes_out(4, patience=0))
    assert not any(foot_that_comes_out(4, other=square(25, 20, 4)))  # it is this one


@pytest.mark.parametrize("flickers", [False, True])
def test_a_foot_does_not_grow_beyond_what_is_missing(flickers):
    body, hidden = square(4, 4, 16), square(20, 4, 5)
    keep = TemporalFilter(REFINEMENT, (body | hidden).astype("uint8"))
    keep(probability(body), still_picture())
    kept = []
    for frame in range(40):
        foot, wider = square(6, 20, 40), square(4, 3, 16)
        foot[11:], foot[:, 22 + frame // 2 :] = False, False
        shown = body | wider if flickers and frame > 4 and frame % 2 else body
        kept.append(keep(probability(shown, foot), still_picture())[:, 20:].sum())
    assert kept[0] < kept[3]
    assert max(kept) <= 25  # the pixels that are hidden


@pytest.mark.parametrize("place", [(12, 50), (12, 19)], ids=["far", "touching"])
def test_what_is_out_of_all_reach_or_touches_the_animal_by_chance_is_no_part_at_once(place):
    body, spot = square(10, 10, 10), square(*place, 6)
    keep = TemporalFilter(REFINEMENT, body.astype("uint8"))
    left = body.copy()
    left[:, 15:] = False
    kept = [keep(probability(left, spot), still_picture())[:, 20:].any() for _ in range(4)]
    assert kept == [False, False, *[place[1] < 50] * 2]


def test_all_parts_together_are_no_larger_than_what_is_missing():
    body, heads = square(10, 10, 10), [square(y, 24, 4) for y in (2, 8, 14, 20)]  # 16 px each
    for motion in (still_picture(), None):
        keep = TemporalFilter(REFINEMENT, body.astype("uint8"))
        left = body.copy()
        left[:, 15:] = False
        kept = [keep(probability(left, *heads), motion) for _ in range(4)]
        assert [region[:, 20:].sum() for region in kept][-1] <= 50


def test_nothing_is_a_part_of_an_animal_that_is_whole():
    body = square(10, 10, 10)
    keep = TemporalFilter(REFINEMENT, body.astype("uint8"))
    for _ in range(5):
        np.testing.assert_array_equal(keep(probability(body, square(12, 28, 3))), body)


def test_what_may_be_a_part_is_looked_at():
    body, spot = square(10, 10, 10), square(12, 26, 3)
    keep = TemporalFilter(REFINEMENT, body.astype("uint8"))
    left = body.copy()
    left[:, 16:] = False
    keep(probability(left, spot))
    np.testing.assert_array_equal(keep.expect(None), left | spot)


def test_what_is_near_is_looked_at_if_it_may_be_mistaken_for_the_animal():
    animal, near, far = square(10, 10), square(10, 22), square(10, 50)
    label = animal * 1 + (near | far) * 2
    keep = TemporalFilter(REFINEMENT, label.astype("uint8"))
    np.testing.assert_array_equal(keep.expect(None), animal)
    np.testing.assert_array_equal(keep.expect(None, with_others=True), animal | near)


def test_what_was_settled_holds_for_the_next_frame():
    left, right = square(10, 10), square(10, 20)
    keep = TemporalFilter(REFINEMENT, left.astype("uint8"))
    keep(probability(left, right))
    keep.settle(right)
    np.testing.assert_array_equal(keep.expect(None), right)
    np.testing.assert_array_equal(keep(probability(left, right)), right)
    np.testing.assert_array_equal(keep.last_others, left)


def test_an_animal_that_was_mistaken_for_another_can_be_found_again():
    keep = TemporalFilter(REFINEMENT, square(10, 0))
    assert not keep(probability(square(10, 26))).any()  # jumped too far, and there is nothing else
    for _ in range(3):
        kept = keep(probability(square(10, 26)))
    np.testing.assert_array_equal(kept, square(10, 26))


def test_radius_zero_keeps_all_regions():
    keep = TemporalFilter(Refinement(threshold=0.5, radius=0), square(10, 0))
    both = square(30, 50) | square(10, 0)
    np.testing.assert_array_equal(keep(probability(both)), both)


def test_a_label_that_shows_nothing_keeps_all_regions():
    keep = TemporalFilter(REFINEMENT, np.zeros(SIZE, bool))
    np.testing.assert_array_equal(keep(probability(square(30, 50))), square(30, 50))


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8])
def test_bytes_and_floats_have_the_same_threshold(threshold):
    refinement = Refinement(threshold=threshold, radius=0)
    levels = np.linspace(0, 1, 256).reshape(16, 16)
    start = np.ones((16, 16), bool)
    from_floats = TemporalFilter(refinement, start)(levels.astype("float32"))
    from_bytes = TemporalFilter(refinement, start)(np.round(levels * 255).astype("uint8"))
    np.testing.assert_array_equal(from_floats, from_bytes)
    np.testing.assert_array_equal(from_floats, levels > threshold)


# Order


@given(st.integers(1, 40).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1)))))
def test_each_frame_is_visited_once_going_away_from_its_nearest_label(case):
    num_frames, labelled = case
    if not labelled:
        return
    passes = make_passes(num_frames, tuple(labelled))
    frames = [frame for _, one in passes for frame in one]
    assert sorted(frames) == list(range(num_frames))
    for label, one in passes:
        assert label in labelled
        distances = [abs(frame - label) for frame in one]
        # From the label, or next to it, outwards one frame at a time.
        assert distances == list(range(distances[0], distances[0] + len(one))) if one else True
        assert distances[:1] in ([], [0], [1])
        for frame in one:
            assert abs(frame - label) == min(abs(frame - other) for other in labelled)


def test_passes_of_one_label_go_out_in_both_directions():
    assert make_passes(5, [2]) == [(2, [2, 3, 4]), (2, [1, 0])]
    assert make_passes(1, [0]) == [(0, [0]), (0, [])]


def test_passes_of_two_labels_meet_half_way():
    assert make_passes(8, [6, 1]) == [
        (1, [1, 2, 3]),
        (1, [0]),
        (6, [6, 7]),
        (6, [5, 4]),
    ]


# merge_animals


def merged(probabilities, regions, height, width):
    candidates = [
        AnimalInFrame(0, *candidate) for candidate in zip(probabilities, regions, strict=True)
    ]
    return merge_animals(candidates, REFINEMENT.threshold, height, width)


def as_bytes(*arguments, **options):
    return np.round(probability(*arguments, **options) * 255).astype("uint8")


def test_one_animal_at_working_size_is_its_kept_region():
    kept, ghost = square(10, 10), square(30, 40)
    mask = merged([as_bytes(kept, ghost)], [kept], *SIZE)
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, kept)


def test_the_more_probable_of_two_animals_gets_the_pixel():
    first, second = square(10, 10, 10), square(10, 15, 10)
    probabilities = [as_bytes(first, high=0.7), as_bytes(second, high=0.9)]
    mask = merged(probabilities, [first, second], *SIZE)
    expected = first.astype("uint8")
    expected[second] = 2
    np.testing.assert_array_equal(mask, expected)
    probabilities = [as_bytes(first, high=0.9), as_bytes(second, high=0.7)]
    mask = merged(probabilities, [first, second], *SIZE)
    expected = second * np.uint8(2)
    expected[first] = 1
    np.testing.assert_array_equal(mask, expected)


def test_an_animal_that_was_filtered_out_leaves_the_pixel_to_the_other():
    first, second = square(10, 10, 10), square(10, 15, 10)
    probabilities = [as_bytes(first, high=0.7), as_bytes(second, high=0.9)]
    nowhere = np.zeros(SIZE, bool)
    mask = merged(probabilities, [first, nowhere], *SIZE)
    np.testing.assert_array_equal(mask, first)


@pytest.mark.parametrize("scale", [0.5, 2, 3.3])
def test_masks_have_the_size_of_the_input(scale):
    kept, ghost = square(10, 10, 12), square(30, 40)
    height, width = round(SIZE[0] * scale), round(SIZE[1] * scale)
    mask = merged([as_bytes(kept, ghost)], [kept], height, width)
    assert mask.shape == (height, width) and set(np.unique(mask)) == {0, 1}
    y, x = np.nonzero(mask)
    # The square's sides within a pixel of the working size, and no ghost.
    for side in (y, x):
        assert abs(side.min() - 10 * scale) <= max(1, scale)
        assert abs(side.max() + 1 - 22 * scale) <= max(1, scale)


def test_a_slanted_contour_is_smooth_at_the_inputs_size():
    y, x = np.mgrid[:40, :60]
    levels = np.clip((30 - x + 0.5 * y) * 40 + 127, 0, 255).astype("uint8")
    kept = levels > 127
    mask = merged([levels], [kept], 160, 240)
    edges = mask.sum(1).astype(int)
    # A contour blown up from 40 lines by nearest neighbour would step by 4 px, then not at all.
    steps = np.diff(edges)[8:-8]
    assert steps.min() >= 0 and steps.max() <= 1


# mask_confidence


def test_confidence_is_the_expected_overlap():
    mask, rim = square(10, 10, 10), square(10, 20, 5)  # 100 and 25 pixels
    levels = np.zeros(SIZE, "uint8")
    levels[mask], levels[rim] = 204, 102  # 0.8 and 0.4
    assert mask_confidence(levels, mask) == pytest.approx(80 / (100 + 10))


def test_a_certain_mask_has_high_confidence_and_an_empty_one_has_none():
    mask = square(10, 10, 10)
    certain = as_bytes(mask, high=1.0, low=0.0)
    assert mask_confidence(certain, mask) == 1
    assert mask_confidence(certain, np.zeros(SIZE, bool)) == 0
    assert mask_confidence(certain * np.uint8(0), np.zeros(SIZE, bool)) == 0


def test_doubts_in_the_mask_and_a_dropped_region_lower_confidence():
    mask, part = square(10, 10, 12), square(10, 10, 6)
    certain = as_bytes(mask, high=0.95, low=0.02)
    doubtful = certain.copy()
    doubtful[part] = 128  # where a view and its mirror image disagree, the mean is a half
    ghost = as_bytes(mask, square(30, 40, 10), high=0.95, low=0.02)
    sure = mask_confidence(certain, mask)
    assert sure > 0.9
    assert mask_confidence(doubtful, mask) < sure - 0.05
    assert mask_confidence(ghost, mask) < sure - 0.2


def test_confidence_does_not_depend_on_the_animals_size_in_a_faint_background():
    values = [
        mask_confidence(as_bytes(square(5, 5, side), high=0.9, low=0.05), square(5, 5, side))
        for side in (2, 30)
    ]
    assert values[0] == pytest.approx(values[1], abs=1e-6)
