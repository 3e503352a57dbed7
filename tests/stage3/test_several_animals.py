"""Stage 3 with several animals in one label: each is learnt and followed by itself."""

import dataclasses
import json

import keras
import numpy as np
import pytest
from PIL import Image

import finetune_test
from tests.stage3_world import (
    NUM_FRAMES,
    World,
    as_palette,
    small_stage3_in,
    tiny_network,
    two_animals,
)
from utils import console
from utils.errors import InputError, UsageError
from utils.media import images
from utils.media.labels import VOID, LabelMap, davis_palette
from utils.media.videos import VideoFile
from utils.stage3 import pipeline, window
from utils.stage3.fine_tuning import FineTuner
from utils.stage3.partial_run import PartialRun
from utils.stage3.settings import Refinement
from utils.stage3.temporal_filter import make_passes
from utils.stage3.window import WindowedView
from utils.training.weights import load_weights


@pytest.fixture(scope="module")
def done(tmp_path_factory, weights_file):
    """A finished video of two animals, all frames annotated, and what was printed meanwhile."""
    folder = tmp_path_factory.mktemp("pair")
    world = World(folder / "world", weights_file).add_two(labelled=range(NUM_FRAMES))
    titles = []

    def frames(self, items, title, total=None):
        titles.append(title)
        return iter(items)

    def training_progress(title, steps, done):
        titles.append(title)
        return []

    with small_stage3_in(folder), pytest.MonkeyPatch.context() as patch:
        patch.setattr(console.BarDisplay, "frames", frames)
        patch.setattr(console, "training_progress", training_progress)
        assert world.run(guidance="2", save_weights=True) == 0
    world.titles, world.networks = titles, folder / "fine_tune_weights" / "pair"
    return world


def test_each_animal_gets_its_mask_in_every_frame(done):
    masks = done.masks("pair")
    assert len(masks) == NUM_FRAMES
    for index, mask in enumerate(masks):
        for number in (1, 2):
            found, truth = mask == number, two_animals(index) == number
            overlap = (found & truth).sum() / (found | truth).sum()
            assert overlap > 0.5, (index, number, overlap)


def test_masks_of_several_animals_have_the_davis_palette(done):
    for path in done.mask_paths("pair"):
        with Image.open(path) as image:
            assert image.mode == "P"
            palette = np.array(image.getpalette()).reshape(-1, 3)
            assert set(np.unique(image)) <= {0, 1, 2}
        np.testing.assert_array_equal(palette[:3], davis_palette()[:3])


def test_the_overlay_shows_each_animal_in_its_own_colour(done):
    with VideoFile(done.results / "overlay" / "pair.mp4") as video:
        assert len(video) == NUM_FRAMES
        frame, mask = video.read(3).astype(int), done.masks("pair")[3]
    # Of the one the tint is pink, of the other green.
    one, other = (np.median(frame[mask == number], axis=0) for number in (1, 2))
    assert one[0] > one[1] and np.abs(one - other).max() > 40


def test_run_json_and_the_output_report_each_animal(done):
    record = done.record("pair")
    assert record["animals"] == [1, 2]
    assert list(record["losses"]) == ["1", "2"] and len(record["losses"]["2"]) == 4
    assert record["seconds"]["steps"] == 16 and record["seconds"]["frames"] == 2 * NUM_FRAMES
    scores = record["scores"]
    assert list(scores["animals"]) == ["1", "2"]
    for measure in ("J-Mean", "F-Mean"):
        each = [scores["animals"][number][measure] for number in ("1", "2")]
        assert scores[measure] == pytest.approx(np.mean(each)) and min(each) > 0.5
    assert "pair, animal 2 of 2: fine-tuning" in done.titles
    assert "pair, animal 2 of 2: segmenting" in done.titles


def test_confidence_is_given_per_frame_and_animal(done):
    record = json.loads((done.results / "runs" / "pair" / "confidence.json").read_text())
    animals = np.array([record["animals"]["1"], record["animals"]["2"]])
    assert animals.shape == (2, NUM_FRAMES) and (0 < animals).all() and (animals <= 1).all()
    assert record["confidence"] == animals.min(axis=0).tolist()
    assert done.record("pair")["confidence_mean"] == pytest.approx(animals.min(0).mean(), abs=1e-4)


def test_each_animals_network_is_kept(done):
    names = ["deeplab_animal1.safetensors", "deeplab_animal2.safetensors"]
    assert sorted(done.record("pair")["saved_weights_sha256"]) == names
    kernels = []
    for name in names:
        network = tiny_network()
        load_weights(network, done.networks / name)
        kernels.append(network.get_layer("mask_logits").get_weights()[0])
    assert np.abs(kernels[0] - kernels[1]).max() > 1e-3


def test_an_animals_mask_does_not_depend_on_its_number(world, done):
    world.add_two(labelled=())
    numbers = np.array([0, 7, 3], "uint8")  # other numbers, another order, a gap
    world.write_label("pair", 2, as_palette(numbers[two_animals(2)]))
    world.run()
    np.testing.assert_array_equal(world.masks("pair"), numbers[done.masks("pair")])
    assert list(world.record("pair")["losses"]) == ["3", "7"]


@pytest.mark.parametrize(
    "module, function, calls", [(window, "predict_probability", 8), (pipeline, "write_label", 3)]
)
def test_a_run_that_was_cut_off_continues_to_the_same_masks(
    world, done, monkeypatch, module, function, calls
):
    world.add_two()
    world.run_cut_off(module, function, calls)
    with monkeypatch.context() as patched:  # what was learnt is not learnt again
        patched.setattr(FineTuner, "fit", lambda *_, **__: pytest.fail("trained again"))
        assert world.run() == 0
    np.testing.assert_array_equal(world.masks("pair"), done.masks("pair"))


def test_training_of_the_second_animal_that_was_cut_off_continues(world, done):
    world.add_two()
    world.run_cut_off_in_training("animal 2")
    partial = world.results / "runs" / "pair" / "partial"
    assert (partial / "fine_tuned_1.safetensors").exists() and (partial / "training_2.npz").exists()
    assert world.run() == 0
    assert list(world.record("pair")["losses"]) == ["2"]  # of what was still to do
    assert world.record("pair")["seconds"]["steps"] == 4
    np.testing.assert_array_equal(world.masks("pair"), done.masks("pair"))


# Which frames teach, and where following starts


class Recorder:
    """Stands for a FineTuner: keeps what it is shown and learns nothing."""

    def __init__(self):
        self.settings = type("Settings", (), {"epochs": 1, "epoch_steps": 1})
        self.model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        self.targets = []

    def fit(self, frames, backup_path, callbacks, zoom):
        self.targets.append([frame.target for frame in frames])
        return [0.0]


def labels_of_two():
    """Animal 1 in frames 1 and 4, animal 2 in frames 4 and 5; some void in frame 4."""
    labels = {1: two_animals(1), 4: two_animals(4), 5: two_animals(5)}
    labels[1][labels[1] == 2] = 0
    labels[5][labels[5] == 1] = 0
    labels[4][0] = VOID
    return {frame: LabelMap(values, (1, 2)) for frame, values in labels.items()}


def segment(world, labels, predict, monkeypatch, refinement=None):
    """Runs the pipeline with probabilities from `predict(animal, frame)`; returns the tuner."""
    world.add_two(labelled=())
    video = images_of(world)
    tuner = Recorder()
    calls = iter(
        [
            (animal, frame)
            for animal in (1, 2)
            for _, going_away in make_passes(
                NUM_FRAMES, [f for f, label in labels.items() if (label.values == animal).any()]
            )
            for frame in going_away
        ]
    )
    monkeypatch.setattr(WindowedView, "around", lambda *_, **__: predict(*next(calls)))
    preset = dataclasses.replace(
        finetune_test.PRESETS["fast"],
        refinement=refinement or Refinement(radius=0, neighbour_weight=0),
    )
    state = PartialRun(world.results, "pair", {})
    pipeline.Pipeline(
        tuner, preset, video, labels, world.results, state, console.BarDisplay()
    ).run()
    return tuner


def images_of(world):
    return finetune_test.find_sequences(world.dataset, (), (), (), "auto")[1]["pair"]().video


def flat(animal, frame):
    return np.full((36, 48), 0.1, "float32")


def test_an_animal_is_background_in_labels_that_show_others_alone(world, monkeypatch):
    first, second = segment(world, labels_of_two(), flat, monkeypatch).targets
    assert [bool((target == 1).any()) for target in first] == [True, True, False]
    assert [bool((target == 1).any()) for target in second] == [False, True, True]
    for targets in (first, second):
        assert set(np.unique(targets[1])) == {0, 1, VOID}
    assert not first[2].any() and not second[0].any()
    assert not ((first[1] == 1) & (second[1] == 1)).any()


class ToldApartInFrame3:
    """Stands for the watch of crossings: from frame 2 on, animal 1 is where animal 2 seemed."""

    goes_on = False

    def __init__(self, *_):
        pass

    def __call__(self, frame, found, animal, others, motion):
        assert not (animal & ~found).any() and not (animal & others).any()
        if frame != 3 or not animal.any():
            return {}
        return {at: images.resize_labels(two_animals(at), 36, 48) == 2 for at in (2, 3)}


def test_what_a_crossing_shows_reaches_the_masks_of_earlier_frames(world, monkeypatch):
    def finds_both_as_the_first(animal, frame):
        probability = flat(animal, frame)
        if animal == 1:
            probability[images.resize_labels(two_animals(frame), 36, 48) > 0] = 0.9
        return probability

    monkeypatch.setattr(pipeline, "CrossingWatch", ToldApartInFrame3)
    labels = {0: LabelMap(two_animals(0), (1, 2))}
    refinement = Refinement(radius=0.15, neighbour_weight=0)
    segment(world, labels, finds_both_as_the_first, monkeypatch, refinement)
    for frame, mask in enumerate(world.masks("pair")):
        truth = two_animals(frame)
        own, other = (np.mean(mask[truth == animal] == 1) for animal in (1, 2))
        assert (own > 0.5 > other) if frame < 2 else (own < 0.5 < other), frame


def test_following_starts_where_the_animal_is_labelled(world, monkeypatch):
    """A far spot is dropped in all frames, also between a label and the animal's own label."""

    def with_ghost(animal, frame):
        probability = flat(animal, frame)
        probability[images.resize_labels(two_animals(frame), 36, 48) == animal] = 0.9
        probability[1:3, 1 if animal == 2 else 45] = 0.8
        return probability

    segment(world, labels_of_two(), with_ghost, monkeypatch, Refinement(radius=0.15))
    for index, mask in enumerate(world.masks("pair")):
        assert not mask[:6].any(), index
        assert set(np.unique(mask)) == {0, 1, 2}


def test_a_pixel_claimed_by_two_animals_goes_to_the_more_probable(world, monkeypatch):
    def both(animal, frame):
        probability = flat(animal, frame)
        probability[10:20] = 0.9 if (frame + animal) % 2 else 0.7
        return probability

    segment(world, labels_of_two(), both, monkeypatch)
    for index, mask in enumerate(world.masks("pair")):
        assert set(np.unique(mask)) == {0, 2 if index % 2 else 1}


def test_an_animal_that_was_followed_to_the_end_is_not_followed_again(world, monkeypatch):
    world.add_two()
    world.run()
    masks = world.masks("pair")
    world.results = world.root / "again"
    world.run_cut_off(pipeline, "write_label", 3)

    def follow(*_):
        raise AssertionError("followed again")

    monkeypatch.setattr(pipeline.Pipeline, "_follow", follow)
    assert world.run() == 0
    np.testing.assert_array_equal(world.masks("pair"), masks)


# How many there are


def test_where_all_are_labelled_nothing_that_looks_like_them_is_another(world):
    world.add_two()
    for animals in (2, 3, None):
        world.run(sequences=("pair",), animals=animals)
        preset = world.record("pair")["key"]["preset"]
        assert (preset["separation"] is None) == (preset["refinement"]["entrance"] == 0)
        assert (preset["separation"] is None) == (animals == 2)


def test_a_label_with_more_animals_than_there_are_is_refused(world):
    world.add_two()
    with pytest.raises(InputError, match="shows 2 animals, but --animals"):
        world.run(sequences=("pair",), animals=1)


def test_less_than_one_animal_is_a_usage_error(world):
    with pytest.raises(UsageError, match="--animals"):
        world.run(animals=0)
