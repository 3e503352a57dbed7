"""Stage 3 with one network for all labelled animals: learnt and shown the frames once."""

import contextlib
import gc
import json
import weakref

import numpy as np
import pytest

import finetune_test
from tests.stage3_world import (
    NUM_FRAMES,
    TINY,
    World,
    as_palette,
    note_whole_frames,
    small_stage3_in,
    tiny_network,
    two_animals,
)
from utils import console
from utils.errors import InputError, UsageError
from utils.media.labels import LabelMap
from utils.stage3 import network_choice, pipeline, presets, second_look, settlement, window
from utils.stage3.fine_tuning import FineTuner
from utils.stage3.joint_filter import JointFilter
from utils.stage3.network_choice import can_share, colour_likeness, look_alike
from utils.stage3.saved_network import SavedNetwork
from utils.stage3.settings import Preset, SecondLook
from utils.training.weights import load_weights


@pytest.fixture(scope="module")
def done(tmp_path_factory, weights_file):
    """A finished video of two animals, all frames annotated."""
    folder = tmp_path_factory.mktemp("one")
    world = World(folder / "world", weights_file).add_two(labelled=range(NUM_FRAMES))
    titles = []

    def frames(self, items, title, total=None):
        titles.append(title)
        return iter(items)

    with small_stage3_in(folder), pytest.MonkeyPatch.context() as patch:
        patch.setattr(console.BarDisplay, "frames", frames)
        assert world.run(guidance="2", networks="one", save_weights=True) == 0
    world.networks, world.titles = folder / "fine_tune_weights" / "pair", titles
    return world


def test_each_animal_gets_its_mask_in_every_frame(done):
    overlaps = np.array(
        [
            [overlap(mask == number, two_animals(index) == number) for number in (1, 2)]
            for index, mask in enumerate(done.masks("pair"))
        ]
    )
    assert len(overlaps) == NUM_FRAMES
    assert overlaps[:3].min() > 0.8  # later one goes in front of the other
    assert overlaps.mean(axis=0).min() > 0.6


def overlap(one, other):
    return np.count_nonzero(one & other) / np.count_nonzero(one | other)


def test_it_learns_and_sees_each_frame_once(done):
    record = done.record("pair")
    assert record["animals"] == [1, 2] and list(record["losses"]) == ["1"]
    assert record["seconds"]["steps"] == 8 and record["seconds"]["frames"] == NUM_FRAMES
    assert record["frames_seen_by_network"] == {"1": NUM_FRAMES, "2": NUM_FRAMES}
    assert record["key"]["sharing"]["pixels"] == 0.25
    assert "pair, all 2 animals: segmenting" in done.titles
    assert set(record["scores"]["animals"]) == {"1", "2"}


def test_an_animals_confidence_does_not_suffer_from_the_others(done):
    record = json.loads((done.results / "runs" / "pair" / "confidence.json").read_text())
    assert np.mean(record["animals"]["1"]) > 0.65  # 0.5 if the other one counted as false


def test_the_one_network_is_kept_as_that_of_all(done):
    record = done.record("pair")
    assert list(record["saved_weights_sha256"]) == ["deeplab.safetensors"]
    path = done.networks / "deeplab.safetensors"
    facts = load_weights(tiny_network(), path)
    assert SavedNetwork(path, facts).tuned_on[0]["animals"] == [1, 2]


@pytest.mark.parametrize(
    "module, function, calls", [(window, "predict_probability", 4), (pipeline, "write_label", 3)]
)
def test_a_run_that_was_cut_off_continues_to_the_same_masks(
    world, done, monkeypatch, module, function, calls
):
    world.add_two()
    world.run_cut_off(module, function, calls, networks="one")
    with monkeypatch.context() as patched:  # what was learnt is not learnt again
        patched.setattr(FineTuner, "fit", lambda *_, **__: pytest.fail("trained again"))
        assert world.run(networks="one") == 0
    np.testing.assert_array_equal(world.masks("pair"), done.masks("pair"))


def test_animals_that_were_followed_to_the_end_are_not_followed_again(world, monkeypatch):
    world.add_two()
    world.run_cut_off(pipeline, "write_label", 3, networks="one")
    monkeypatch.setattr(
        finetune_test.SharedPipeline, "_follow_everywhere", lambda *_: pytest.fail("followed again")
    )
    assert world.run(networks="one") == 0


@pytest.mark.parametrize("is_in_doubt", [False, True])
def test_whole_frames_are_seen_while_an_animal_is_in_doubt(world, monkeypatch, is_in_doubt):
    whole = note_whole_frames(monkeypatch)
    monkeypatch.setattr(JointFilter, "is_in_doubt", property(lambda self: is_in_doubt))
    world.add_two()
    world.run(networks="one")
    every = TINY.window.whole_every
    assert whole == {index: is_in_doubt or index % every == 0 for index in range(NUM_FRAMES)}


def test_an_animal_that_was_away_may_come_back_between_two_whole_frames(world, monkeypatch):
    real, unseen = settlement.trust_absences, []

    def trust_absences(sightings, unseen_frames):
        unseen.append(unseen_frames)
        return real(sightings, unseen_frames)

    monkeypatch.setattr(settlement, "trust_absences", trust_absences)
    world.add_two()
    for networks in ("one", "each"):
        world.run(networks=networks)
    assert unseen == [TINY.window.whole_every - 1] * 2 + [0] * 2


def test_a_run_with_a_network_for_each_is_another_one(world):
    world.add_two()
    world.run(networks="one")
    assert "sharing" in world.record("pair")["key"]
    world.run()
    assert "sharing" not in world.record("pair")["key"]
    assert list(world.record("pair")["losses"]) == ["1", "2"]


def test_the_masks_do_not_depend_on_the_numbers(world, done):
    world.add_two(labelled=())
    numbers = np.array([0, 7, 3], "uint8")
    world.write_label("pair", 2, as_palette(numbers[two_animals(2)]))
    world.run(networks="one")
    np.testing.assert_array_equal(world.masks("pair"), numbers[done.masks("pair")])


def test_where_a_label_does_not_show_all_each_has_its_own_network(world, capsys):
    world.add_two(labelled=(2,))
    only_one = two_animals(5)
    only_one[only_one == 2] = 0
    world.write_label("pair", 5, as_palette(only_one))
    world.run(networks="one", guidance="2,5")
    assert (
        "warning: pair: a network for each animal, since not every label shows all of them"
        in capsys.readouterr().out
    )
    assert list(world.record("pair")["losses"]) == ["1", "2"]


def test_animals_that_vanish_at_working_size_cannot_share():
    label = np.zeros((480, 640), "uint8")
    label[100:200, 100:200], label[301, 301] = 1, 2
    labels = {0: LabelMap(label, (1, 2))}
    assert can_share(labels, label.shape) and not can_share(labels, (48, 64))
    assert not can_share({}, label.shape)


@pytest.mark.parametrize(
    ("from_animals", "min_likeness", "shares"),
    [
        (2, 0.0, True),
        (2, 1.1, False),
        (3, 0.0, False),
    ],
)
def test_by_itself_one_network_finds_several_that_look_alike(
    world, monkeypatch, capsys, from_animals, min_likeness, shares
):
    monkeypatch.setattr(network_choice, "FROM_ANIMALS", from_animals)
    monkeypatch.setattr(network_choice, "MIN_LIKENESS", min_likeness)
    world.add_two()
    assert world.run(dry_run=True) == 0
    says_so = "one network for all 2 animals"
    assert (says_so in capsys.readouterr().out) == shares
    [job], _ = finetune_test.prepare_jobs(world.config(), world.weights)
    assert (job.sharing is not None) == ("sharing" in job.key) == shares
    [job], _ = finetune_test.prepare_jobs(world.config(networks="each"), world.weights)
    assert job.sharing is None


@pytest.mark.parametrize("flags", [{"together": True}, {"preset": "herd"}, {"preset": "paper"}])
def test_where_one_network_is_not_possible_there_is_none_by_itself(world, monkeypatch, flags):
    monkeypatch.setattr(network_choice, "FROM_ANIMALS", 2)
    monkeypatch.setattr(network_choice, "MIN_LIKENESS", 0.0)
    world.add_two()
    [job], _ = finetune_test.prepare_jobs(world.config(**flags), world.weights)
    assert job.sharing is None


def test_two_share_a_network_where_one_is_mostly_hidden(world, monkeypatch, capsys):
    monkeypatch.setattr(network_choice, "MIN_LIKENESS", 0.0)
    world.add_two()
    [job], _ = finetune_test.prepare_jobs(world.config(), world.weights)
    assert job.sharing is None
    label = two_animals(2)
    left = int(np.flatnonzero((label == 2).any(axis=0))[0])
    label[:, left + 3 :] = 0
    label[:, left - 2 : left][(label == 2).any(axis=1)] = 1  # up to the second one
    world.write_label("pair", 2, as_palette(label))
    [job], _ = finetune_test.prepare_jobs(world.config(), world.weights)
    assert job.sharing is not None
    assert "which look alike and of which at least one is mostly hidden" in capsys.readouterr().out


def test_animals_of_the_same_colours_look_alike_wherever_they_are():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (60, 90, 3)).astype("uint8")
    label = np.zeros((60, 90), "uint8")
    label[10:30, 5:25], label[10:30, 35:55], label[35:55, 60:85] = 1, 2, 3
    fur = np.array([[150, 100, 60], [90, 60, 40], [200, 160, 120]])
    for number in (1, 2):
        image[label == number] = fur[rng.integers(0, 3, np.count_nonzero(label == number))]
    image[label == 3] = (240, 245, 250)
    likeness = colour_likeness(image, [label == number for number in (1, 2, 3)])
    np.testing.assert_allclose(likeness, likeness.T)
    np.testing.assert_allclose(np.diag(likeness), 1)
    assert likeness[0, 1] > 0.95 and likeness[:2, 2].max() < 0.2
    assert look_alike(image, LabelMap(np.where(label == 3, 0, label), (1, 2)))
    assert not look_alike(image, LabelMap(label, (1, 2, 3)))
    assert look_alike(image, LabelMap(np.where(label == 1, label, 0), (1, 2, 3)))


def test_one_of_other_colours_among_many_that_look_alike_is_noticed():
    image, label = np.full((20, 60, 3), 90, "uint8"), np.zeros((20, 60), "uint8")
    for number in range(1, 6):
        label[5:15, 10 * number : 10 * number + 8] = number
    assert look_alike(image, LabelMap(label, (1, 2, 3, 4, 5)))
    image[label == 5] = 250
    assert not look_alike(image, LabelMap(label, (1, 2, 3, 4, 5)))


@pytest.mark.parametrize("colour", [(255, 140, 0), (250, 215, 40), (0, 255, 0), (0, 0, 255)])
def test_animals_of_a_saturated_colour_look_like_themselves(colour):
    """Their colours were outside of all bins, so that they resembled nothing."""
    image, label = np.full((20, 40, 3), 90, "uint8"), np.zeros((20, 40), "uint8")
    label[5:15, 2:12], label[5:15, 22:32] = 1, 2
    image[label > 0] = colour
    likeness = colour_likeness(image, [label == number for number in (1, 2)])
    np.testing.assert_allclose(likeness, 1)
    image[label == 2] = (120, 120, 125)
    assert not look_alike(image, LabelMap(label, (1, 2)))


def test_several_that_look_alike_and_are_not_in_every_label_get_a_network_each(
    world, monkeypatch, capsys
):
    monkeypatch.setattr(network_choice, "FROM_ANIMALS", 2)
    monkeypatch.setattr(network_choice, "MIN_LIKENESS", 0.0)
    world.add_two(labelled=(2,))
    only_one = np.where(two_animals(5) == 2, 0, two_animals(5))
    world.write_label("pair", 5, as_palette(only_one))
    [job], _ = finetune_test.prepare_jobs(world.config(guidance="2,5"), world.weights)
    assert job.sharing is None
    assert "note: pair: a network for each animal, since not every" in capsys.readouterr().out


def test_all_animals_are_learnt_in_a_second_look(world, monkeypatch):
    settings = {**vars(TINY), "second_look": SecondLook(epochs=1, min_confidence=0.0)}
    monkeypatch.setitem(presets.PRESETS, "fast", Preset(**settings))
    counts = []

    def certain_target(probability, region, settings, num_pieces):
        counts.append(num_pieces)
        return second_look.certain_target(probability, region, settings, num_pieces)

    monkeypatch.setattr(pipeline, "certain_target", certain_target)
    world.add_two()
    world.run(networks="one")
    assert counts and set(counts) == {2}
    assert len(world.mask_paths("pair")) == NUM_FRAMES


def test_a_finished_video_leaves_nothing_in_memory(world, monkeypatch):
    """Its frames stayed until Python looked for cycles, which it does rarely beside TensorFlow."""
    made, build = [], finetune_test.make_pipeline

    def note(*arguments, **options):
        pipeline = build(*arguments, **options)
        made.append(weakref.ref(pipeline))
        return pipeline

    monkeypatch.setattr(finetune_test, "make_pipeline", note)
    world.add_two()
    gc.disable()
    try:
        assert world.run(networks="one") == 0
        assert [pipeline() for pipeline in made] == [None]
    finally:
        gc.enable()


@pytest.mark.parametrize("num_animals, is_refused", [(2, True), (1, False)])
def test_animals_that_nothing_tells_apart_are_refused(num_animals, is_refused):
    """All of them were the first one."""
    label = LabelMap(np.uint8([[0, 1, num_animals]]), tuple(range(1, num_animals + 1)))
    paper, followed = presets.PRESETS["paper"], presets.PRESETS["default"]
    network_choice.require_told_apart("pair", "default", followed, {0: label})
    refused = pytest.raises(InputError, match="2 animals, but with --preset paper nothing tells")
    with refused if is_refused else contextlib.nullcontext():
        network_choice.require_told_apart("pair", "paper", paper, {0: label})


def test_one_animal_is_followed_as_always(world, capsys):
    world.add()
    world.run(networks="one")
    assert "sharing" not in world.record()["key"]
    assert "a network for each" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "flags",
    [
        {"preset": "herd"},
        {"preset": "paper"},
        {"together": True},
        {"fine_tuned": "network.safetensors"},
    ],
)
def test_flags_that_it_does_not_go_with_are_refused(world, flags):
    with pytest.raises(UsageError, match="--networks one does not go with"):
        world.run(networks="one", **flags)
