"""Others of the animal's kind in the labelled frame: found before fine-tuning, and kept apart."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from keras import ops

from models import PadToGrid
from models.backbone import BACKBONE
from tests.stage3_world import (
    NUM_FRAMES,
    TINY,
    animal,
    note_whole_frames,
    tiny_network,
    two_animals,
)
from utils.media.images import resize_labels
from utils.media.labels import VOID
from utils.stage3 import kind_frames, pipeline, presets, window
from utils.stage3.company import (
    add_where_missed,
    cosine,
    find_company,
    is_followed,
    mean_feature,
)
from utils.stage3.company_filter import CompanyFilter
from utils.stage3.motion import Motion
from utils.stage3.settings import Company, Preset, Refinement, Stillness
from utils.stage3.temporal_filter import TemporalFilter
from utils.training.weights import load_weights

SIZE = (60, 120)
NOTHING = np.zeros(SIZE, bool)


def square(left, top=20, side=20):
    mask = np.zeros(SIZE, bool)
    mask[max(0, top) : top + side, max(0, left) : max(0, left + side)] = True
    return mask


def probability_of(*masks):
    return np.where(np.any(masks, axis=0), 250, 0).astype("uint8")


# In the labelled frame

STRIDE = 4


def find(red=(), blue=(), labelled=NOTHING, found=None, **settings):
    """Finds the company of a red animal at column 10, in a frame with red and blue things. What the
    backbone sees are their colours."""
    own = square(10)
    image = np.zeros((*SIZE, 3), "float32")
    image[np.any([own, *red], axis=0)] = (1, 0, 0)
    image[np.any([NOTHING, *blue], axis=0)] = (0, 0, 1)
    kind = probability_of(own, *red, *blue) if found is None else probability_of(found)
    label = np.where(own, 3, labelled).astype("uint8")
    return find_company(kind, image[::STRIDE, ::STRIDE], label, 3, Company(**settings))


def test_what_looks_like_the_animal_is_company_and_nothing_else():
    np.testing.assert_array_equal(find([square(50)], [square(90)]), square(50))
    assert not find().any() and not find(blue=[square(50)]).any()


def test_others_may_be_labelled_and_void_is_no_company():
    label = np.where(square(50), 7, 0)
    np.testing.assert_array_equal(find([square(50)], labelled=label), square(50))
    assert not find([square(50)], labelled=np.where(square(50), VOID, 0)).any()


def test_where_all_are_labelled_nothing_else_is_company():
    label = np.where(square(50), 7, 0)
    found = find([square(50), square(90)], labelled=label, labelled_only=True)
    np.testing.assert_array_equal(found, square(50))


def test_company_that_touches_the_animal_begins_beyond_a_margin():
    found = find([square(30)])
    assert found[:, 34:50].any() and not found[:, :31].any()


def test_small_things_are_no_company():
    assert not find([square(60, side=6)]).any()
    assert find([square(60, side=6)], min_area=0.01).any()


def test_a_network_that_does_not_know_the_kind_finds_no_company():
    other = square(50)
    assert not find([other], found=other).any()  # it misses the animal
    assert not find([other], found=~square(0, 0, 3)).any()  # it finds everything


def test_a_mean_feature_is_that_of_what_the_mask_covers():
    """Cell j of a map is at pixel j * stride, and a padded frame has cells beyond its edge."""
    features = np.zeros((5, 9, 1), "float32")
    features[:4, 7] = 1
    mask = np.zeros((60, 120), bool)
    mask[:50, 112:117] = True  # a thing at the right edge
    assert mean_feature(features, mask) > 0.9
    assert mean_feature(features, square(80)) < 0.1


@pytest.mark.parametrize("stride", [8, 16, 32])
@pytest.mark.parametrize(
    "size", [(32, 40), (36, 44), (40, 46), (72, 66), (72, 128), (100, 160), (144, 176), (480, 854)]
)
def test_a_mean_feature_is_that_of_the_same_place_in_frames_of_any_size(size, stride):
    """In small frames, which padding makes much larger, it was that of another place."""
    places = np.stack(np.mgrid[: size[0], : size[1]], axis=-1).astype("float32")
    padded = ops.convert_to_numpy(PadToGrid(BACKBONE.grid_px, margin=0)(places[None]))[0]
    for cell in ((0, 1), (1, 0), (1, 1)):
        mask = np.zeros(size, bool)
        mask[cell[0] * stride : cell[0] * stride + 2, cell[1] * stride : cell[1] * stride + 2] = 1
        if mask.any():
            mean = mean_feature(padded[::stride, ::stride], mask)
            assert np.abs(mean - places[mask].mean(axis=0)).max() <= stride / 2


def test_vectors_point_the_same_way_or_not():
    east, north = np.array([2.0, 0]), np.array([0, 3.0])
    assert cosine(east, 5 * east) == pytest.approx(1) and cosine(east, north) == 0
    assert cosine(east, 0 * north) == 0


# In all frames


@pytest.fixture
def company_filter():
    """Of an animal at column 10, with another one at column 70."""
    label = square(10).astype("uint8")
    return CompanyFilter(Refinement(), Company(), label, 1, square(70))


def still(follow, found, kind):
    """The animal in a frame in which nothing has moved."""
    return follow(probability_of(NOTHING, *found), None, 1, probability_of(*kind))


def plain_filter():
    label = square(10).astype("uint8")
    return TemporalFilter(Refinement(), label, 1)


def test_an_animal_that_fine_tuning_has_unlearnt_is_found_in_the_kind(company_filter):
    both = [square(10), square(70)]
    np.testing.assert_array_equal(still(company_filter, [], both), square(10))
    np.testing.assert_array_equal(company_filter.last_others, square(70))


def test_a_slice_of_another_that_is_taken_for_the_animal_is_taken_out(company_filter):
    """The other one comes near, and only then the fine-tuned network finds its front."""
    plain = plain_filter()
    for left in range(70, 33, -4):
        still(company_filter, [square(10)], [square(10), square(left)])
        plain(probability_of(square(10)), None, 1)
    found = [square(10), square(34) & (np.arange(SIZE[1]) < 42)]
    region = still(company_filter, found, [square(10), square(34)])
    np.testing.assert_array_equal(region, square(10))
    assert (plain(probability_of(*found), None, 1) & ~square(10)).any()


def test_where_the_network_tells_them_apart_the_animal_is_what_it_finds(company_filter):
    """A leg grows in front of another one that was there before."""
    for left in range(70, 29, -4):
        still(company_filter, [square(10)], [square(10), square(left)])
    leg = np.zeros(SIZE, bool)
    leg[28:30, 10:38] = True
    own = square(10) | leg
    np.testing.assert_array_equal(still(company_filter, [own], [own, square(30)]), own)


def from_the_other(mask, reliable):
    """Motion by which the pixels of a mask come from the other animal; all else stands still."""
    flow = np.zeros((*SIZE, 2), "float32")
    flow[mask, 0] = 55
    return Motion(flow, reliable)


@pytest.mark.parametrize("is_reliable", [False, True])
def test_flow_is_evidence_against_the_network_where_it_is_reliable(company_filter, is_reliable):
    """To the flow, most of the animal comes from the other one."""
    most, both = square(10) & (np.arange(SIZE[1]) >= 16), [square(10), square(70)]
    motion = from_the_other(most, ~most | is_reliable)
    company_filter.refinement = replace(company_filter.refinement, radius=1)  # the other is near
    region = company_filter(probability_of(square(10)), motion, 1, probability_of(*both))
    assert company_filter.tells_apart == (not is_reliable)
    if is_reliable:
        assert not (region & most).any()
    else:
        np.testing.assert_array_equal(region, square(10))


def test_where_no_flow_is_reliable_all_of_it_counts(company_filter):
    """Else nothing would speak against a network that takes the company for the animal."""
    for left in range(70, 33, -4):
        still(company_filter, [square(10)], [square(10), square(left)])
    both = [square(10), square(34)]
    motion = Motion(np.zeros((*SIZE, 2), "float32"), NOTHING)
    region = company_filter(probability_of(*both), motion, 1, probability_of(*both))
    np.testing.assert_array_equal(region, square(10))


SLICE = square(70) & (np.arange(SIZE[1]) < 79)
THIN_SLICE = square(70) & (np.arange(SIZE[1]) < 74)
UNRELIABLE = Motion(np.zeros((*SIZE, 2), "float32"), NOTHING)
RELIABLE = Motion(np.zeros((*SIZE, 2), "float32"), ~NOTHING)


def follow_a_slice(company_filter, found, kind, motion=UNRELIABLE, frames=1, track=SLICE):
    """The animal after some frames, if its track has slid onto the other one."""
    company_filter._in_company.take_over(track, square(70) & ~track)
    for _ in range(frames):
        region = company_filter(probability_of(NOTHING, *found), motion, 1, probability_of(*kind))
    return region


BOTH = [square(10), square(70)]
SMALLER = square(10, top=0, side=15)


def test_a_track_that_slid_onto_another_animal_returns_to_what_the_network_finds(company_filter):
    region = follow_a_slice(company_filter, [square(10)], BOTH)
    np.testing.assert_array_equal(region, square(10))
    assert company_filter.tells_apart
    np.testing.assert_array_equal(still(company_filter, [], BOTH), square(10))


@pytest.mark.parametrize("is_reliable", [False, True])
def test_most_frames_decide_whether_a_track_is_doubtful(company_filter, is_reliable):
    most, last = (RELIABLE, UNRELIABLE) if is_reliable else (UNRELIABLE, RELIABLE)
    follow_a_slice(company_filter, [], BOTH, most, frames=4)
    region = follow_a_slice(company_filter, [square(10)], BOTH, last)
    np.testing.assert_array_equal(region, SLICE if is_reliable else square(10))


def test_a_track_is_in_doubt_from_unreliable_flow_until_the_animal_is_known(company_filter):
    assert not company_filter.is_in_doubt
    follow_a_slice(company_filter, [], BOTH, RELIABLE)
    assert not company_filter.is_in_doubt
    follow_a_slice(company_filter, [], BOTH, frames=2)
    assert company_filter.is_in_doubt
    follow_a_slice(company_filter, [square(10)], BOTH)
    assert not company_filter.is_in_doubt


def test_what_a_crossing_has_shown_is_not_doubted(company_filter):
    follow_a_slice(company_filter, [], BOTH, frames=4)
    company_filter.settle(SLICE)
    region = follow_a_slice(company_filter, [square(10)], BOTH, RELIABLE)
    np.testing.assert_array_equal(region, SLICE)


def test_a_piece_that_only_the_fine_tuned_network_finds_is_not_the_animal(company_filter):
    region = follow_a_slice(company_filter, [square(10)], [square(70)])
    np.testing.assert_array_equal(region, SLICE)


def test_a_slice_does_not_say_how_large_the_animal_is(company_filter):
    follow_a_slice(company_filter, [], BOTH, frames=70, track=THIN_SLICE)
    region = follow_a_slice(company_filter, [square(10)], BOTH, track=THIN_SLICE)
    np.testing.assert_array_equal(region, square(10))


def test_the_rest_of_the_other_animal_is_not_the_animal(company_filter):
    found = [square(70) & ~THIN_SLICE]
    region = follow_a_slice(company_filter, found, BOTH, track=THIN_SLICE)
    np.testing.assert_array_equal(region, THIN_SLICE)


@pytest.mark.parametrize(
    "found, kind, motion",
    [
        ([square(10, side=12)], BOTH, UNRELIABLE),  # no whole one
        ([square(10)], BOTH, RELIABLE),
        ([square(10), SMALLER], [*BOTH, SMALLER], UNRELIABLE),  # two
        ([square(10), SLICE], BOTH, UNRELIABLE),  # the slice is found as well
        ([square(10, side=10)], [square(10, side=10), square(70)], UNRELIABLE),  # too small
        ([square(0, top=0, side=55)], [square(0, top=0, side=55), square(70)], UNRELIABLE),  # large
        ([], BOTH, UNRELIABLE),
    ],
)
def test_a_track_stays_unless_the_network_finds_one_other_animal(
    company_filter, found, kind, motion
):
    region = follow_a_slice(company_filter, found, kind, motion)
    assert region.any() and not (region & ~square(70)).any()


def test_a_track_on_a_whole_piece_stays_there(company_filter):
    region = follow_a_slice(company_filter, [square(10)], BOTH, track=square(70))
    np.testing.assert_array_equal(region, square(70))


def test_a_piece_of_which_a_fair_share_is_anothers_is_theirs_as_a_whole(company_filter):
    half, both = square(70) & (np.arange(SIZE[1]) < 80), [square(10), square(70)]
    company_filter._in_company.take_over(square(10) | half, square(70))
    np.testing.assert_array_equal(still(company_filter, both, both), square(10))
    assert company_filter.last_others[square(70)].all()


@pytest.mark.parametrize("is_mistaken", [False, True])
def test_an_animal_out_of_sight_is_not_found_in_its_company(company_filter, is_mistaken):
    for left in (66, 62, 58, 54, 50, 46, 42):
        found = [square(left)] if is_mistaken else []
        assert not still(company_filter, found, [square(left)]).any()
    np.testing.assert_array_equal(company_filter.last_others, square(42))


def test_what_a_crossing_has_shown_is_taken_over(company_filter):
    both = [square(10), square(70)]
    still(company_filter, [], both)
    company_filter.settle(square(70))
    np.testing.assert_array_equal(still(company_filter, [], both), square(70))
    assert company_filter.expect(None)[square(70)].all()


def test_the_kind_counts_where_the_animal_is_missed_and_only_in_its_region():
    kind, region = probability_of(square(10), square(70)), square(10)
    missed = add_where_missed(np.zeros((120, 240), "uint8"), kind, region, 0.5, 0.8)
    assert missed[50, 40] == 250 and not missed[:, 100:].any()
    found = cv2.resize(probability_of(square(10)), (240, 120))
    assert add_where_missed(found, kind, region, 0.5, 0.8) is found


def test_company_is_followed_in_frames_that_are_near_each_other():
    assert is_followed(range(10), Company()) and is_followed([0, 3, 6, 9], Company())
    assert not is_followed([0, 10, 20], Company()) and not is_followed([4], Company())


# In a run


def tiny_with(path):
    model = tiny_network()
    load_weights(model, path)
    return model


@pytest.fixture
def pair(world, monkeypatch):
    """A video of two animals, of which one is labelled; the other is its company."""
    world.add_two(labelled=())
    world.write_label("pair", 2, animal(2) * np.uint8(255))
    settings = {**vars(TINY), "company": Company(max_gap=3)}
    for name in ("default", "fast"):
        monkeypatch.setitem(presets.PRESETS, name, Preset(**settings))

    def find_the_other(kind, features, label, number, settings):
        assert kind.shape == label.shape and set(np.unique(label)) == {0, number}
        assert features.ndim == 3 and features.min() >= 0
        return resize_labels(two_animals(2), *label.shape) == 2

    monkeypatch.setattr(kind_frames, "find_company", find_the_other)
    return world


def test_all_of_the_kind_are_found_by_the_network_as_it_was(pair, monkeypatch):
    weights, seen = [], []
    predict = kind_frames.predict_probability

    def spy(model, image, flip):
        weights.append(np.concatenate([np.ravel(v) for v in model.get_weights()]))
        return predict(model, image, flip)

    follow = CompanyFilter.__call__

    def follow_and_note(self, probability, motion, distance_frames, kind):
        seen.append(kind.shape)
        return follow(self, probability, motion, distance_frames, kind)

    monkeypatch.setattr(kind_frames, "predict_probability", spy)
    monkeypatch.setattr(CompanyFilter, "__call__", follow_and_note)
    assert pair.run() == 0
    assert len(weights) == NUM_FRAMES
    start = np.concatenate([np.ravel(v) for v in tiny_with(pair.weights).get_weights()])
    for weight in weights:
        np.testing.assert_array_equal(weight, start)
    assert seen == [(36, 48)] * len(seen) and len(seen) >= NUM_FRAMES
    assert len(pair.mask_paths("pair")) == NUM_FRAMES


@pytest.mark.parametrize("is_in_doubt", [False, True])
def test_a_track_in_doubt_is_looked_for_in_whole_frames(pair, monkeypatch, is_in_doubt):
    whole = note_whole_frames(monkeypatch)
    monkeypatch.setattr(CompanyFilter, "is_in_doubt", property(lambda self: is_in_doubt))
    assert pair.run() == 0
    turns = {index: index % TINY.window.whole_every == 0 for index in range(NUM_FRAMES)}
    assert whole == ({index: True for index in turns} if is_in_doubt else turns)


@pytest.mark.parametrize(
    "module, function, calls",
    [
        (kind_frames, "predict_probability", 3),
        (window, "predict_probability", 3),
        (pipeline, "write_label", 3),
    ],
)
def test_a_run_that_was_cut_off_gives_the_same_masks(pair, module, function, calls):
    pair.run()
    masks = pair.masks("pair")
    pair.results = pair.root / "again"
    pair.run_cut_off(module, function, calls)
    assert pair.run() == 0
    np.testing.assert_array_equal(pair.masks("pair"), masks)


def test_a_video_without_company_is_looked_at_no_further(pair, monkeypatch):
    looked = []
    predict = kind_frames.predict_probability
    monkeypatch.setattr(
        kind_frames, "predict_probability", lambda *a, **k: looked.append(1) or predict(*a, **k)
    )
    monkeypatch.setattr(kind_frames, "find_company", lambda *a: np.zeros((36, 48), bool))
    pair.run()
    assert len(looked) == 1


def test_still_frames_are_not_looked_at_again(pair, monkeypatch):
    for index in range(NUM_FRAMES):  # nothing moves
        pair.write_frame("pair", f"{index:05d}.png", np.full((48, 64, 3), 90, "uint8"))
    stillness = Stillness(min_frames=1, first_interval=10)
    monkeypatch.setattr("finetune_test.Config.stillness_in", lambda *_: stillness)
    looked = []
    predict = kind_frames.predict_probability
    monkeypatch.setattr(
        kind_frames, "predict_probability", lambda *a, **k: looked.append(1) or predict(*a, **k)
    )
    pair.run()
    assert 1 < len(looked) < NUM_FRAMES
    assert len(pair.mask_paths("pair")) == NUM_FRAMES
