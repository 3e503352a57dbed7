"""Others of the animal's kind in the labelled frame: found before fine-tuning, and kept apart."""

import cv2
import numpy as np
import pytest

from models import build_model
from tests.stage3_world import NUM_FRAMES, TINY, animal, two_animals
from utils.media.images import resize_labels
from utils.media.labels import VOID
from utils.stage3 import company, kind_frames, pipeline, presets
from utils.stage3.company import CompanyFilter, find_company, is_followed, with_kind
from utils.stage3.settings import Company, Preset, Refinement, Stillness

SIZE = (60, 120)
NOTHING = np.zeros(SIZE, bool)


def square(left, top=20, side=20):
    mask = np.zeros(SIZE, bool)
    mask[max(0, top) : top + side, max(0, left) : max(0, left + side)] = True
    return mask


def probability_of(*masks):
    return np.where(np.any(masks, axis=0), 250, 0).astype("uint8")


# In the labelled frame


def colours(model, image):
    """Stands for what the backbone sees: colours, four times as coarse."""
    return cv2.resize(image.astype("float32"), (30, 15), interpolation=cv2.INTER_AREA)


@pytest.fixture
def find(monkeypatch):
    """Finds the company of a red animal at column 10, in a frame with red and blue things."""
    monkeypatch.setattr(company, "appearance", colours)

    def run(red=(), blue=(), labelled=NOTHING, **settings):
        own = square(10)
        image = np.zeros((*SIZE, 3), "uint8")
        image[np.any([own, *red], axis=0)] = (255, 0, 0)
        image[np.any([NOTHING, *blue], axis=0)] = (0, 0, 255)
        kind = probability_of(own, *red, *blue)
        label = np.where(own, 3, labelled).astype("uint8")
        return find_company(None, image, kind, label, 3, Company(**settings))

    return run


def test_what_looks_like_the_animal_is_company_and_nothing_else(find):
    np.testing.assert_array_equal(find([square(50)], [square(90)]), square(50))
    assert not find().any() and not find(blue=[square(50)]).any()


def test_others_may_be_labelled_and_void_is_no_company(find):
    label = np.where(square(50), 7, 0)
    np.testing.assert_array_equal(find([square(50)], labelled=label), square(50))
    assert not find([square(50)], labelled=np.where(square(50), VOID, 0)).any()


def test_where_all_are_labelled_nothing_else_is_company(find):
    label = np.where(square(50), 7, 0)
    found = find([square(50), square(90)], labelled=label, labelled_only=True)
    np.testing.assert_array_equal(found, square(50))


def test_company_that_touches_the_animal_begins_beyond_a_margin(find):
    found = find([square(30)])
    assert found[:, 34:50].any() and not found[:, :31].any()


def test_small_things_are_no_company(find):
    assert not find([square(60, side=6)]).any()
    assert find([square(60, side=6)], min_area=0.01).any()


def test_appearance_is_the_last_map_of_the_backbone():
    image = np.random.default_rng(0).integers(0, 255, (64, 96, 3)).astype("uint8")
    features = company.appearance(build_model("deeplab", width=0.05), image)
    assert features.dtype == "float32" and features.ndim == 3 and features.min() >= 0
    assert features.shape[0] < features.shape[1] < 96


# In all frames


@pytest.fixture
def company_filter():
    """Of an animal at column 10, with another one at column 70."""
    label = square(10).astype("uint8")
    return CompanyFilter(Refinement(), Company(), label, 1, square(70))


def still(company_filter, found, kind):
    return company_filter(probability_of(NOTHING, *found), None, 1, probability_of(*kind))


def test_an_animal_that_fine_tuning_has_unlearnt_is_found_in_the_kind(company_filter):
    both = [square(10), square(70)]
    np.testing.assert_array_equal(still(company_filter, [], both), square(10))
    np.testing.assert_array_equal(company_filter.last_others, square(70))


def test_a_slice_of_the_other_that_is_taken_for_the_animal_is_not(company_filter):
    found = [square(10), square(70) & (np.arange(SIZE[1]) < 80)]
    for left in (60, 50, 40, 32):
        company_filter._in_company.last_others = square(left)
        found[1] = square(left) & (np.arange(SIZE[1]) < left + 8)
        region = still(company_filter, found, [square(10), square(left)])
        np.testing.assert_array_equal(region, square(10))


def test_where_the_network_tells_them_apart_the_animal_is_what_it_finds(company_filter):
    """A leg in front of the other one is the animal's, although the other one was there before."""
    leg = np.zeros(SIZE, bool)
    leg[28:30, 10:34] = True
    other = square(30)
    company_filter._in_company.last_others = other
    own = square(10) | leg
    np.testing.assert_array_equal(still(company_filter, [own], [square(10), other]), own)


def test_a_piece_of_which_a_fair_share_is_the_others_is_theirs_as_a_whole(company_filter):
    company_filter._by_itself.last_mask = company_filter._in_company.last_mask = square(
        10
    ) | square(70, top=20, side=8)
    company_filter._in_company.last_others = square(70) & ~square(70, top=20, side=8)
    both = [square(10), square(70)]
    np.testing.assert_array_equal(still(company_filter, both, both), square(10))
    assert company_filter.last_others[square(70)].all()


def test_what_a_crossing_has_shown_is_taken_over(company_filter):
    both = [square(10), square(70)]
    still(company_filter, [], both)
    company_filter.settle(square(70))
    np.testing.assert_array_equal(still(company_filter, [], both), square(70))
    assert company_filter.expect(None)[square(70)].all()


def test_the_kind_counts_where_the_animal_is_missed_and_only_in_its_region():
    kind, region = probability_of(square(10), square(70)), square(10)
    missed = with_kind(np.zeros((120, 240), "uint8"), kind, region, 0.5, 0.8)
    assert missed[50, 40] == 250 and not missed[:, 100:].any()
    found = cv2.resize(probability_of(square(10)), (240, 120))
    assert with_kind(found, kind, region, 0.5, 0.8) is found


def test_company_is_followed_in_frames_that_are_near_each_other():
    assert is_followed(range(10), Company()) and is_followed([0, 3, 6, 9], Company())
    assert not is_followed([0, 10, 20], Company()) and not is_followed([4], Company())


# In a run


@pytest.fixture
def pair(world, monkeypatch):
    """A video of two animals, of which one is labelled; the other is its company."""
    world.add_two(labelled=())
    world.write_label("pair", 2, animal(2) * np.uint8(255))
    settings = {**vars(TINY), "company": Company(max_gap=3)}
    for name in ("default", "fast"):
        monkeypatch.setitem(presets.PRESETS, name, Preset(**settings))

    def find_the_other(model, image, kind, label, number, settings):
        assert kind.shape == label.shape == image.shape[:2] and set(np.unique(label)) == {0, number}
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
    for later in weights[1:]:
        np.testing.assert_array_equal(later, weights[0])
    assert seen == [(36, 48)] * len(seen) and len(seen) >= NUM_FRAMES
    assert len(pair.mask_paths("pair")) == NUM_FRAMES


@pytest.mark.parametrize(
    "module, function, calls",
    [(kind_frames, "predict_probability", 3), (pipeline, "write_label", 3)],
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
