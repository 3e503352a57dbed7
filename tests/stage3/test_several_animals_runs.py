"""Runs with several labelled animals: cut off anywhere, labelled in different frames, far apart, at
rest; with a second look."""

import gc
import weakref
from dataclasses import replace

import keras
import numpy as np
import pytest

import finetune_test
from tests.stage3_world import HEIGHT, NUM_FRAMES, as_palette, frame, frame_of_two, two_animals
from utils import console
from utils.stage3 import presets, window
from utils.stage3.animal_in_frame import AnimalInFrame
from utils.stage3.following import Followed
from utils.stage3.partial_run import PartialRun
from utils.stage3.settings import SecondLook, Stillness
from utils.stage3.shared_window import SharedView
from utils.stage3.survey import Survey
from utils.training.several_animals import AnimalBatches


@pytest.fixture
def second_look(small_stage3, monkeypatch):
    look = SecondLook(epochs=2, min_confidence=0, num_frames=3)
    preset = replace(presets.PRESETS["fast"], second_look=look)
    monkeypatch.setitem(presets.PRESETS, "fast", preset)


def stop_before_epoch(number):
    def callbacks(title, steps, done):
        def on_epoch_begin(epoch, logs):
            if epoch == number:
                raise KeyboardInterrupt

        return [keras.callbacks.LambdaCallback(on_epoch_begin=on_epoch_begin)]

    return callbacks


def overlap(mask, index, number):
    found, truth = mask == number, two_animals(index) == number
    return (found & truth).sum() / (found | truth).sum()


def test_the_second_look_learns_from_all_animals_of_a_frame(world, second_look, monkeypatch):
    world.add_two()
    shown, init = [], AnimalBatches.__init__

    def keep_samples(self, samples, *arguments, **options):
        shown.append(samples)
        init(self, samples, *arguments, **options)

    monkeypatch.setattr(AnimalBatches, "__init__", keep_samples)
    world.run()
    labelled, both = shown
    assert [sample.moves for sample in labelled] == [True, True]
    certain = [sample for sample in both if not sample.moves]
    assert len({id(sample.image) for sample in certain}) <= 3 and certain
    assert {sample.turn for sample in certain} == {0, 1}
    for sample in certain:
        assert not (sample.targets == 1).all(0).any()
        one, other = sample.targets
        assert (other[one == 1] == 0).all() and (one[other == 1] == 0).all()
    assert world.record("pair")["seconds"]["steps"] == 14


CUTS = {
    "first epochs": (None, "", 2),
    "survey, between animals": (PartialRun, "write_surveyed", 3),
    "second look": (None, "", 6),
    "segmentation": (window, "predict_probability", 14),
    "segmentation, between animals": (PartialRun, "write_probability", 5),
    "regions, between animals": (PartialRun, "write_region", 5),
}


@pytest.mark.parametrize("where", CUTS)
def test_a_run_that_was_cut_off_continues_to_the_same_masks(world, second_look, monkeypatch, where):
    world.add_two()
    world.run()
    expected = world.masks("pair")
    world.results = world.root / "again"
    module, function, number = CUTS[where]
    if module is None:
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(console, "training_progress", stop_before_epoch(number))
            world.run()
    else:
        world.run_cut_off(module, function, number)
    partial = world.results / "runs" / "pair" / "partial"
    surveys = {path.name for path in partial.glob("survey_*")}
    assert surveys == ({"survey_1", "survey_2"} if where[:6] in ("survey", "second") else set())
    assert world.run() == 0
    np.testing.assert_array_equal(world.masks("pair"), expected)
    assert not partial.exists()


@pytest.fixture
def labelled_apart(world):
    """Frame 1 shows both animals, frame 4 the second one alone."""
    world.add_two(labelled=(1,))
    world.write_label("pair", 4, as_palette(np.where(two_animals(4) == 2, np.uint8(2), 0)))
    return world


def test_animals_labelled_in_different_frames_learn_together_and_are_followed_apart(
    labelled_apart, monkeypatch
):
    titles = []

    def frames(self, items, title, total=None):
        titles.append(title)
        return iter(items)

    monkeypatch.setattr(console.BarDisplay, "frames", frames)
    assert labelled_apart.run(guidance="1,4") == 0
    assert labelled_apart.record("pair")["seconds"]["steps"] == 10
    for number in (1, 2):
        assert titles.count(f"pair, animal {number} of 2: segmenting") == 1
    masks = labelled_apart.masks("pair")
    assert overlap(masks[1], 1, 1) > 0.4
    assert all(overlap(mask, index, 2) > 0.4 for index, mask in enumerate(masks[1:5], start=1))


def test_animals_labelled_in_different_frames_that_were_cut_off(labelled_apart):
    labelled_apart.run(guidance="1,4")
    expected = labelled_apart.masks("pair")
    labelled_apart.results = labelled_apart.root / "again"
    labelled_apart.run_cut_off(SharedView, "around_all", NUM_FRAMES + 2, guidance="1,4")
    assert labelled_apart.run(guidance="1,4") == 0
    np.testing.assert_array_equal(labelled_apart.masks("pair"), expected)


def test_animals_far_apart_are_seen_in_windows_of_their_own(world, monkeypatch):
    """A wide picture, with an animal at each end."""
    wide = np.zeros((HEIGHT, 300), "uint8")
    wide[14:34, 10:30], wide[14:34, 270:290] = 1, 2
    for index in range(NUM_FRAMES):
        rng = np.random.default_rng(index)
        image = rng.integers(60, 90, (*wide.shape, 3)).astype("uint8")
        image[wide == 1], image[wide == 2] = (230, 60, 40), (40, 80, 220)
        world.write_frame("pair", f"{index:05d}.png", image)
    world.write_label("pair", 2, as_palette(wide))
    tuning = replace(presets.PRESETS["fast"].fine_tuning, steps=60, steps_per_epoch=30)
    preset = replace(presets.PRESETS["fast"], fine_tuning=tuning)
    monkeypatch.setitem(presets.PRESETS, "fast", preset)
    shapes, look = [], SharedView._look

    def counted(self, index, windows, zoom):
        shapes.append([w.box.shape for w in windows])
        return look(self, index, windows, zoom)

    monkeypatch.setattr(SharedView, "_look", counted)
    assert world.run() == 0
    assert [len(boxes) for boxes in shapes] == [2] * NUM_FRAMES
    pixels = [sum(height * width for height, width in boxes) for boxes in shapes]
    assert max(pixels) < 0.6 * HEIGHT * 300
    for mask in world.masks("pair"):
        for number in (1, 2):
            found, truth = mask == number, wide == number
            assert (found & truth).sum() / (found | truth).sum() > 0.6


def test_an_animal_at_rest_is_not_looked_at_for_each_that_moves(world, monkeypatch):
    """Both rest for twenty frames, then one of them moves."""
    count = 26
    for index in range(count):
        place = max(0, index - 20)
        image = frame_of_two(0)
        moved = frame(place)
        image[:34] = moved[:34]
        noise = np.random.default_rng(index).normal(0, 1, image.shape)
        world.write_frame(
            "pair", f"{index:05d}.png", np.clip(image + noise, 0, 255).astype("uint8")
        )
    world.write_label("pair", 2, as_palette(two_animals(0)))
    settings = replace(Stillness(), min_frames=10)
    monkeypatch.setattr(finetune_test, "Stillness", lambda: settings)
    assert world.run() == 0
    record, masks = world.record("pair"), world.masks("pair")
    assert record["seconds"]["frames"] < count
    assert max(record["frames_seen_by_network"].values()) <= record["seconds"]["frames"]
    world.results = world.root / "again"
    world.run_cut_off(PartialRun, "write_probability", 25)
    assert world.run() == 0
    np.testing.assert_array_equal(world.masks("pair"), masks)
    seen = world.record("pair")["frames_seen_by_network"]
    assert seen == record["frames_seen_by_network"]


def test_a_survey_of_many_animals_keeps_a_bit_for_each_pixel(tmp_path):
    partial = PartialRun(tmp_path, "pair", {})
    survey, shape, alive = Survey(partial), (40, 64), []
    for index in range(5):
        for animal in range(1, 9):
            probability = np.full(shape, 10 * animal, "uint8")
            partial.write_surveyed(animal, index, probability)
            region = np.zeros(shape, bool)
            region[: index + animal] = True
            survey.add(Followed(animal, AnimalInFrame(index, probability, region), {}))
            alive += [weakref.ref(probability), weakref.ref(region)]
            del probability, region
    gc.collect()
    assert not any(reference() is not None for reference in alive)
    assert sum(packed.nbytes for packed, _ in survey._regions.values()) == 40 * 40 * 64 // 8
    found = survey.found(3, 4)
    assert found.region[:7].all() and not found.region[7:].any()
    assert (found.probability == 30).all()
    assert survey.frames == [0, 1, 2, 3, 4]


def test_a_correction_of_an_earlier_frame_changes_its_confidence(tmp_path):
    partial = PartialRun(tmp_path, "pair", {})
    survey, shape = Survey(partial), (4, 8)
    probability = np.zeros(shape, "uint8")
    probability[:, :4] = 255
    for index in (0, 1):
        partial.write_surveyed(1, index, probability)
    whole, part = probability > 0, np.zeros(shape, bool)
    part[:, :2] = True
    survey.add(Followed(1, AnimalInFrame(0, probability, whole), {}))
    assert survey.confidence[1][0] == 1
    survey.add(Followed(1, AnimalInFrame(1, probability, whole), {0: part}))
    assert survey.confidence[1] == {0: 0.5, 1: 1}
    np.testing.assert_array_equal(survey.found(1, 0).region, part)
