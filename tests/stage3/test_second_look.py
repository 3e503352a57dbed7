"""The second look: learning also from sure masks of other frames."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from tests.stage3_world import NUM_FRAMES, TINY
from utils import console, paths
from utils.media.labels import VOID
from utils.stage3 import presets
from utils.stage3.fine_tuning import FineTuner
from utils.stage3.kind_frames import KindFrames
from utils.stage3.pipeline import Pipeline
from utils.stage3.second_look import (
    CertainFrame,
    certain_target,
    frames_to_learn_from,
    frames_to_survey,
    training_frames,
)
from utils.stage3.settings import Refinement, SecondLook
from utils.stage3.temporal_filter import TemporalFilter
from utils.stage3.window import WindowedView

EPOCHS = 2


@pytest.fixture
def second_look(small_stage3, monkeypatch):
    """The world's preset with a second look; returns a function that changes it."""

    def change(**settings):
        look = SecondLook(**{"epochs": EPOCHS, "min_confidence": 0.0, **settings})
        preset = replace(presets.PRESETS["fast"], second_look=look)
        monkeypatch.setitem(presets.PRESETS, "fast", preset)

    change()
    return change


def test_every_frame_of_a_short_video_is_surveyed_and_few_of_a_long_one():
    assert frames_to_survey(6, SecondLook()) == [0, 1, 2, 3, 4, 5]
    frames = frames_to_survey(1001, SecondLook(num_surveyed=11))
    assert frames == list(range(0, 1001, 100))
    settings = SecondLook(num_surveyed=2, num_in_company=5)
    assert frames_to_survey(9, settings) == [0, 8]
    assert frames_to_survey(9, settings, in_company=True) == [0, 2, 4, 6, 8]


def test_certain_frames_are_spread_out_and_unlabelled():
    confidence = dict.fromkeys(range(10), 0.9) | {4: 0.2}
    settings = SecondLook(num_frames=3, min_confidence=0.5)
    assert frames_to_learn_from(confidence, [0, 9], settings) == [1, 5, 8]
    assert frames_to_learn_from(dict.fromkeys(range(10), 0.1), [0], settings) == []
    assert frames_to_learn_from({3: 0.9}, [0], settings) == [3]


def test_the_target_is_void_where_the_network_is_uncertain():
    settings = SecondLook(animal=0.8, background=0.2, far=0.5)
    probability = np.array([[250, 100, 10, 250, 10]], "uint8")
    region = np.array([[1, 1, 0, 0, 0]], bool)
    target = certain_target(probability, region, settings)
    # What is likely, near, but no continuation of the animal, is left open; far off it is not.
    assert target.tolist() == [[1, VOID, 0, VOID if 2 <= 0.5 * np.hypot(1, 5) else 0, 0]]
    far = certain_target(probability, region, replace(settings, far=0.1))
    assert far.tolist() == [[1, VOID, 0, 0, 0]]


@pytest.mark.parametrize("labelled, share", [(1, 0.5), (2, 0.5), (1, 0.25), (1, 0.75)])
def test_labelled_frames_have_their_share_of_the_steps(labelled, share):
    one = CertainFrame(np.zeros((2, 2, 3), "uint8"), np.zeros((2, 2), "uint8"))
    other = CertainFrame(np.ones((2, 2, 3), "uint8"), np.zeros((2, 2), "uint8"))
    frames = training_frames([one] * labelled, [other] * 6, SecondLook(label_share=share))
    found = np.mean([frame is one for frame in frames])
    assert abs(found - share) < 0.08


def test_labelled_frames_are_trained_on_even_if_few_frames_are_certain():
    one = CertainFrame(np.zeros((2, 2, 3), "uint8"), np.zeros((2, 2), "uint8"))
    assert training_frames([one], [one], SecondLook(label_share=0.01))[0] is one


def test_the_second_look_takes_its_steps_and_changes_the_network(world, second_look, monkeypatch):
    world.add()
    world.run(save_weights=True)
    tuning = TINY.fine_tuning
    assert world.record()["seconds"]["steps"] == 8 + EPOCHS * tuning.epoch_steps
    assert len(world.record()["losses"]["1"]) == 4 + EPOCHS


@pytest.mark.parametrize(("follows", "surveyed"), [(False, 2), (True, 5)])
def test_more_frames_are_surveyed_where_company_is_followed(
    world, second_look, monkeypatch, follows, surveyed
):
    counts = []

    def preview(pipeline, animal, found):
        counts.append(len(found))

    world.add()
    second_look(num_surveyed=2, num_in_company=5)
    monkeypatch.setattr(KindFrames, "follows_company", lambda kind, animal, frames: follows)
    monkeypatch.setattr(Pipeline, "preview", preview)
    world.run()
    assert counts == [surveyed]


def test_the_network_is_unchanged_if_no_frame_is_certain(world, second_look, monkeypatch):
    world.add()
    second_look(min_confidence=1.1)
    world.run()
    masks = world.masks()
    assert world.record()["seconds"]["steps"] == 8
    monkeypatch.setitem(presets.PRESETS, "fast", replace(presets.PRESETS["fast"], second_look=None))
    world.run()
    np.testing.assert_array_equal(world.masks(), masks)


def test_the_network_is_the_mean_of_those_before_and_after(world, second_look, monkeypatch):
    world.add()
    saved = paths.FINE_TUNE_WEIGHTS / "hen" / "deeplab.safetensors"
    found = {}
    for share in (0.0, 0.25, 1.0):
        second_look(share_before=share)
        world.run(save_weights=True, overwrite=True)
        found[share] = load_file(saved)
    changed = [path for path in found[0.0] if (found[0.0][path] != found[1.0][path]).any()]
    assert changed
    for path in changed:
        mean = 0.75 * found[0.0][path] + 0.25 * found[1.0][path]
        np.testing.assert_allclose(found[0.25][path], mean, rtol=1e-2, atol=1e-4)
    monkeypatch.setitem(presets.PRESETS, "fast", replace(presets.PRESETS["fast"], second_look=None))
    world.run(save_weights=True, overwrite=True)
    without = load_file(saved)
    for path in without:
        np.testing.assert_array_equal(found[1.0][path], without[path])


def test_no_annotation_except_the_label_reaches_the_network(world, second_look, monkeypatch):
    world.add(labelled=(2,))
    world.run(guidance="2")
    masks = world.masks()
    for index in (0, 1, 3, 4, 5):  # wrong on purpose: upside down
        label = 255 * (1 - np.asarray(Image.open(world.annotation())) // 255)
        world.write_label("hen", index, label.astype("uint8"))
    world.run(guidance="2", overwrite=True)
    np.testing.assert_array_equal(world.masks(), masks)


@pytest.mark.parametrize("where", ["first epochs", "survey", "second look"])
def test_a_run_that_was_cut_off_continues_to_the_same_masks(world, second_look, monkeypatch, where):
    world.add()
    world.run()
    expected, steps = world.masks(), world.record()["seconds"]["steps"]
    world.results = world.root / "again"
    stop_before = {"first epochs": 2, "survey": None, "second look": 5}[where]

    def stop(title, steps, done):
        def on_epoch_begin(epoch, logs):
            if epoch == stop_before:
                raise KeyboardInterrupt

        return [keras.callbacks.LambdaCallback(on_epoch_begin=on_epoch_begin)]

    predicted = []

    def predict(*arguments, **options):
        if len(predicted) == 3:
            raise KeyboardInterrupt
        predicted.append(1)
        return real_predict(*arguments, **options)

    real_predict = WindowedView.whole
    with monkeypatch.context() as patched:
        patched.setattr(console, "training_progress", stop)
        if where == "survey":
            patched.setattr(WindowedView, "whole", predict)
        with pytest.raises(KeyboardInterrupt):
            world.run()
    survey = world.results / "runs" / "hen" / "partial" / "survey_1"
    assert len(list(survey.glob("*.png"))) == {"first epochs": 0, "survey": 3}.get(
        where, NUM_FRAMES
    )
    trained, real_train = [], FineTuner._train

    def train(tuner, *arguments):
        trained.append(tuner.epochs_done)
        return real_train(tuner, *arguments)

    monkeypatch.setattr(FineTuner, "_train", train)
    assert world.run() == 0
    np.testing.assert_array_equal(world.masks(), expected)
    done = {"first epochs": 2, "survey": 4, "second look": 5}[where]
    assert trained[0] == done
    assert world.record()["seconds"]["steps"] == steps - 2 * done
    assert not (world.results / "runs" / "hen" / "partial").exists()


def test_an_animal_that_moves_far_between_surveyed_frames_is_followed():
    """Surveyed frames of a long video lie far apart: the filter's reach grows with the distance."""
    label = np.zeros((60, 240), "uint8")
    label[20:40, 10:30] = 1
    keep = TemporalFilter(Refinement(radius=0.1), label)  # 25 px per frame
    found = np.zeros(label.shape, "uint8")
    found[20:40, 120:140] = 255  # 90 px away
    assert not TemporalFilter(Refinement(radius=0.1), label)(found, None, 1).any()
    assert keep(found, None, 10).sum() == 400


def test_the_filter_receives_the_distance_between_surveyed_frames(world, second_look, monkeypatch):
    world.add(frames=13, labelled=(6,))
    second_look(num_surveyed=4)
    distances, real = [], TemporalFilter.__call__

    def spy(self, probability, motion=None, distance_frames=1, kind=None):
        distances.append(distance_frames)
        return real(self, probability, motion, distance_frames, kind)

    monkeypatch.setattr(TemporalFilter, "__call__", spy)
    world.run()
    assert sorted(distances[:4]) == [2, 2, 4, 4]  # frames 0, 4, 8, 12 around the label in frame 6
    assert set(distances[4:]) == {1}


def test_only_the_largest_piece_of_the_animal_is_certain():
    region = np.zeros((40, 60), bool)
    region[5:25, 5:35] = True
    region[30:36, 40:46] = True
    probability = np.where(region, 255, 0).astype("uint8")
    target = certain_target(probability, region, SecondLook(far=1.0))
    assert (target[5:25, 5:35] == 1).all()
    assert (target[30:36, 40:46] == VOID).all()
    assert (target[0] == 0).all()
    of_two = certain_target(probability, region, SecondLook(far=1.0), num_pieces=2)
    np.testing.assert_array_equal(of_two == 1, region)
