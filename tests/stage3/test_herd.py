"""One animal among others that look alike, `--preset herd`: it is followed by prompts."""

from dataclasses import replace

import cv2
import keras
import numpy as np
import pytest

import finetune_test
from tests.stage3_world import NUM_FRAMES, frame_of_two, two_animals
from tests.tiny_prompted import tiny_prompted_network
from utils import paths
from utils.errors import InputError, UsageError
from utils.media.regions import touching
from utils.stage3 import job, pipeline, presets, prompted_pipeline, prompted_tuning
from utils.stage3.plan import Pace
from utils.stage3.prompted_pipeline import PromptedView, keep_pieces, limit_growth
from utils.stage3.prompted_tuning import NumberedFrame, make_tuner, spill_over
from utils.training.animals import NumberedImage
from utils.training.composites import MIN_VISIBLE
from utils.training.weights import save_weights

HERD = replace(
    presets.HERD,
    fine_tuning=replace(presets.HERD.fine_tuning, steps=4, crop=(40, 48), steps_per_epoch=2),
    prompts=replace(presets.HERD.prompts, body_px=16),
    lines=36,
)


class RedPieces:
    """Stands for a network that finds whatever is red, and of that what the prompt touches."""

    def look(self, image):
        return image.astype(int)

    def probability(self, maps, prompt):
        is_red = (maps[..., 0] > 150) & (maps[..., 2] < 120)
        return touching(is_red, prompt[..., 2] > 0).astype("float32")


@pytest.fixture
def herd(world, tmp_path, monkeypatch):
    """The world, with a tiny prompted network."""
    monkeypatch.setattr(finetune_test, "build_prompted_model", tiny_prompted_network)
    monkeypatch.setitem(presets.PRESETS, "herd", HERD)
    keras.utils.set_random_seed(3)
    world.weights = tmp_path / "prompted.safetensors"
    facts = {"stage": "prompted", "head": "deeplab"}
    save_weights(tiny_prompted_network(), world.weights, facts)
    return world


@pytest.fixture
def sees_red(monkeypatch):
    monkeypatch.setattr(prompted_tuning, "PromptedNetwork", lambda model: RedPieces())


def red_pair(index):
    """The two animals of `two_animals`, in one colour."""
    image = frame_of_two(index)
    image[two_animals(index) == 2] = (230, 60, 40)
    return image


def add_red_pair(world, labelled=1):
    for index in range(NUM_FRAMES):
        world.write_frame("pair", f"{index:05d}.png", red_pair(index))
    world.write_label("pair", 0, (two_animals(0) == labelled) * np.uint8(255))


# A run


@pytest.mark.parametrize("labelled", [1, 2])
def test_the_labelled_one_of_two_equal_animals_is_followed(herd, sees_red, labelled):
    for index in range(NUM_FRAMES):  # apart, and moving in opposite directions
        image = np.full((48, 64, 3), 80, np.uint8)
        image[4:16, 4 + 6 * index : 20 + 6 * index] = (230, 60, 40)
        image[24:40, 40 - 6 * index : 60 - 6 * index] = (230, 60, 40)
        herd.write_frame("pair", f"{index:05d}.png", image)
    label = np.zeros((48, 64), np.uint8)
    label[(slice(4, 16), slice(4, 20)) if labelled == 1 else (slice(24, 40), slice(40, 60))] = 255
    herd.write_label("pair", 0, label)
    assert herd.run(sequences=("pair",), preset="herd") == 0
    upper = slice(0, 20) if labelled == 1 else slice(20, 48)
    for index, mask in enumerate(herd.masks("pair")):
        assert mask[upper].any(), index
        assert np.count_nonzero(mask) == np.count_nonzero(mask[upper]), index


def test_every_frame_gets_a_mask_and_the_record_tells_the_prompts(herd):
    add_red_pair(herd)
    assert herd.run(sequences=("pair",), preset="herd") == 0
    record = herd.record("pair")
    assert len(herd.mask_paths("pair")) == NUM_FRAMES
    assert record["seconds"]["steps"] == 4
    assert record["key"]["preset"]["prompts"]["body_px"] == 16


def test_several_labelled_animals_share_one_training(herd):
    herd.add_two()
    assert herd.run(sequences=("pair",), preset="herd") == 0
    assert herd.record("pair")["animals"] == [1, 2]
    assert herd.record("pair")["seconds"]["steps"] == 4


def test_the_estimate_counts_one_training_and_a_look_for_each_animal(herd, monkeypatch, capsys):
    """The looks were counted for one animal, however many were labelled."""
    herd.add().add_two()
    pace = Pace(per_step=60, per_frame=60, source="by hand")
    monkeypatch.setattr(job, "find_pace", lambda *_: pace)
    assert herd.run(preset="herd", dry_run=True) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if "64x48" in line]
    minutes = {row[0]: int(row[-2]) for row in rows}
    assert minutes == {"hen": 4 + NUM_FRAMES, "pair": 4 + 2 * NUM_FRAMES}


def test_frames_with_a_tiny_animal_are_not_enlarged_without_limit(herd, monkeypatch):
    monkeypatch.setitem(
        presets.PRESETS, "herd", replace(HERD, prompts=replace(HERD.prompts, body_px=4000))
    )
    seen = []
    make = prompted_pipeline.NumberedFrame
    monkeypatch.setattr(
        prompted_pipeline,
        "NumberedFrame",
        lambda numbered: seen.append(numbered.image.shape) or make(numbered),
    )
    add_red_pair(herd)
    herd.run(sequences=("pair",), preset="herd")
    assert max(seen[0]) <= 2 * 64


@pytest.mark.parametrize("calls", [0, 3])
def test_a_run_that_was_cut_off_ends_with_the_same_masks(herd, tmp_path, calls):
    add_red_pair(herd)
    herd.run_cut_off(pipeline, "find_motion", calls, sequences=("pair",), preset="herd")
    herd.run(sequences=("pair",), preset="herd")
    masks = herd.masks("pair")
    assert herd.record("pair")["seconds"]["steps"] == 0  # they had been done
    herd.results = tmp_path / "undisturbed"
    herd.run(sequences=("pair",), preset="herd")
    np.testing.assert_array_equal(masks, herd.masks("pair"))


def test_an_animal_out_of_sight_has_no_mask_and_is_found_where_it_was(herd, sees_red):
    for index in range(NUM_FRAMES):
        image = np.full((48, 64, 3), 80, np.uint8)
        if index not in (2, 3):
            image[12:32, 20:44] = (230, 60, 40)
        herd.write_frame("hen", f"{index:05d}.png", image)
    label = np.zeros((48, 64), np.uint8)
    label[12:32, 20:44] = 255
    herd.write_label("hen", 0, label)
    herd.run(preset="herd")
    seen = [bool(mask.any()) for mask in herd.masks()]
    assert seen == [True, True, False, False, True, True]


@pytest.mark.parametrize(
    "flags", [{"head": "xfcn"}, {"together": True}, {"save_weights": True}], ids=str
)
def test_what_does_not_go_with_prompts_is_a_usage_error(herd, flags):
    with pytest.raises(UsageError, match="does not go with --preset herd"):
        herd.run(preset="herd", **flags)


def test_missing_prompted_weights_are_named(herd, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "PROMPTED_WEIGHTS", tmp_path / "none")
    with pytest.raises(InputError, match=r"none.deeplab\.safetensors: no such file"):
        herd.run(preset="herd", weights=None)


def test_weights_of_a_network_without_prompts_are_refused(herd, weights_file):
    with pytest.raises(InputError, match="weights of stage objectness, expected of prompted"):
        herd.run(preset="herd", weights=weights_file)


# What the network learns


def test_each_crop_has_an_earlier_mask_and_one_animal_as_its_target():
    image = frame_of_two(2)
    numbered = NumberedImage(image, (two_animals(2) == 1).astype("uint8"), are_single=True)
    batches = make_tuner(tiny_prompted_network(), HERD, 0).make_batches(
        [NumberedFrame(numbered)], zoom=1.0
    )
    for index in range(len(batches)):
        inputs, targets = batches[index]
        prompt, target = inputs["prompt"][0], targets["mask"][0, ..., 0]
        assert inputs["images"].shape == (1, 40, 48, 3)
        assert prompt[..., 2].any() and not prompt[..., :2].any()
        assert cv2.connectedComponents((target == 1).astype("uint8"))[0] >= 2


@pytest.mark.parametrize("side", [4, 12])
def test_animals_that_are_small_in_a_crop_are_asked_for_one_by_one(side):
    """None of them was, since they cover less than .3 % of it: all of them were the answer."""
    animals = np.zeros((96, 96), "uint8")
    animals[30 : 30 + side, 30 : 30 + side], animals[30 : 30 + side, 50 : 50 + side] = 1, 2
    image = np.where(animals[..., None] > 0, (230, 60, 40), 80).astype("uint8")
    preset = replace(HERD, fine_tuning=replace(HERD.fine_tuning, crop=(96, 96), steps=30))
    batches = make_tuner(tiny_prompted_network(), preset, 0).make_batches(
        [NumberedFrame(NumberedImage(image, animals, are_single=True, min_share=0))], zoom=1.0
    )
    has_prompt = [batches.batch_number(number)[0]["prompt"][..., 2].any() for number in range(30)]
    assert np.mean(has_prompt) > 0.9
    assert (batches.min_visible == MIN_VISIBLE) == (side == 12)


# From frame to frame


def test_a_small_animal_in_a_large_frame_is_copied_too(herd, monkeypatch):
    """Only its surroundings are learnt, so that it is no small share of them."""
    image = np.full((480, 640, 3), 80, np.uint8)
    image[100:120, 300:330] = (230, 60, 40)
    herd.write_frame("hen", "00000.png", image)
    herd.write_label("hen", 0, (image[..., 0] > 200) * np.uint8(255))
    seen = []
    make = prompted_pipeline.NumberedFrame
    monkeypatch.setattr(prompted_pipeline, "NumberedFrame", lambda n: seen.append(n) or make(n))
    preset = replace(
        HERD, lines=480, fine_tuning=replace(HERD.fine_tuning, crop=(96, 96)),
        prompts=replace(HERD.prompts, body_px=32),
    )  # fmt: skip
    monkeypatch.setitem(presets.PRESETS, "herd", preset)
    herd.run(sequences=("hen",), preset="herd")
    assert seen[0].cut_out(1) is not None


class SaysThePrompt:
    def look(self, image):
        return image

    def probability(self, maps, prompt):
        return prompt[..., 2].astype("float32")


@pytest.mark.parametrize("zoom", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("corner", [(0, 0), (20, 30), (60, 100)])
def test_nothing_is_shifted_between_frame_and_window(zoom, corner):
    expected = np.zeros((80, 120), bool)
    expected[corner[0] : corner[0] + 20, corner[1] : corner[1] + 20] = True
    frames = np.zeros((80, 120, 3), np.uint8)
    view = PromptedView(SaysThePrompt(), lambda index: frames, (80, 120), zoom=zoom, crop=(64, 64))
    found = view.around(0, expected) > 0.5
    differing = found ^ expected
    assert not (differing & ~touching_edge(expected)).any()
    ys, xs = np.nonzero(found)
    np.testing.assert_allclose(
        [ys.mean(), xs.mean()], [c.mean() for c in np.nonzero(expected)], atol=0.5
    )


class SeesWhite:
    def look(self, image):
        return image

    def probability(self, maps, prompt):
        return maps.mean(axis=2).astype("float32") / 255


@pytest.mark.parametrize("zoom", [0.4, 0.9, 1.0, 1.7])
def test_the_picture_is_where_the_prompt_is(zoom):
    expected = np.zeros((120, 160), bool)
    expected[50:74, 60:90] = True
    frames = np.repeat(expected[..., None] * np.uint8(255), 3, axis=2)
    view = PromptedView(SeesWhite(), lambda index: frames, (120, 160), zoom=zoom, crop=(64, 64))
    found = view.around(0, expected)
    ys, xs = np.mgrid[:120, :160]
    middle = [(found * at).sum() / found.sum() for at in (ys, xs)]
    np.testing.assert_allclose(middle, [61.5, 74.5], atol=0.1)


def touching_edge(mask):
    kernel = np.ones((5, 5), np.uint8)
    return cv2.morphologyEx(mask.astype("uint8"), cv2.MORPH_GRADIENT, kernel) > 0


def test_what_was_not_expected_is_nothing():
    view = PromptedView(SaysThePrompt(), None, (8, 8), zoom=1.0, crop=(4, 4))
    assert not view.around(0, None).any()


def test_pieces_where_the_animal_was_expected_are_kept():
    mask, expected = np.zeros((2, 20, 60), bool)
    mask[2:12, 0:10] = mask[2:12, 20:30] = mask[2:12, 40:50] = True
    expected[2:12, 4:10] = expected[2:12, 20:22] = True
    kept = keep_pieces(mask, expected, 0.3)
    assert kept[5, 5] and not kept[5, 25] and not kept[5, 45]
    assert keep_pieces(mask, expected, 0.2)[5, 25]


def test_the_piece_with_the_largest_common_area_is_kept_however_small_that_is():
    mask, expected = np.zeros((2, 20, 60), bool)
    mask[2:12, 0:20] = True
    expected[2:12, 19:30] = True
    assert keep_pieces(mask, expected, 0.3)[5, 5]
    assert not keep_pieces(mask, np.zeros_like(mask), 0.3).any()


def test_an_earlier_mask_runs_over_its_border_somewhere():
    mask = np.zeros((60, 60), bool)
    mask[20:40, 20:40] = True
    rng = np.random.default_rng(0)
    for _ in range(20):
        spilled = spill_over(mask, rng)
        assert (spilled & mask).sum() == mask.sum() and (spilled & ~mask).any()
        assert spilled.sum() < 2 * mask.sum()
    assert not spill_over(np.zeros_like(mask), rng).any()


def test_an_animal_does_not_grow_into_its_neighbour_at_once():
    expected = np.zeros((20, 60), bool)
    expected[5:15, 5:25] = True
    region = expected.copy()
    region[5:15, 25:45] = True  # a neighbour of the same size
    limited = limit_growth(region, expected, 1.2 * expected.sum())
    assert (limited & expected).sum() == expected.sum()
    assert limited.sum() == 240 and limited[10, 28] and not limited[10, 29]
    np.testing.assert_array_equal(limit_growth(region, expected, 400), region)
    assert (limit_growth(region, expected, 10) == expected).all()


def test_what_hides_a_part_of_the_animal_does_not_shrink_it_for_good(herd, sees_red):
    """The prompt stays whole: the network would only find what the part touches."""
    for index in range(NUM_FRAMES):
        image = np.full((48, 64, 3), 80, np.uint8)
        image[12:32, 10:50] = (230, 60, 40)
        if index in (2, 3):
            image[:, 22:64] = (40, 200, 40)
        if index > 1:
            image[:, 28:32] = 80  # and a post in front of it
        herd.write_frame("hen", f"{index:05d}.png", image)
    label = np.zeros((48, 64), np.uint8)
    label[12:32, 10:50] = 255
    herd.write_label("hen", 0, label)
    herd.run(preset="herd")
    areas = [np.count_nonzero(mask) for mask in herd.masks()]
    assert areas[2] < 0.5 * areas[0] and areas[4] > 0.8 * areas[0]
