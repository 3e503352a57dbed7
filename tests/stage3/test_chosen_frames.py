"""--guidance bubblenet and auto: which frame finetune_test.py asks a label of."""

import random
import re

import keras
import pytest

import finetune_test
from tests.stage3_world import (
    NUM_FRAMES,
)
from utils import paths
from utils.errors import InputError
from utils.frame_choice.chooser import Chooser

pytestmark = pytest.mark.usefixtures("small_stage3")


@pytest.fixture
def choosing(monkeypatch):
    """Lets the rule "last" choose where a selection has to be made; returns how often it was
    loaded."""
    loaded = []

    def load():
        loaded.append("chooser")
        keras.random.normal((3,))  # as building networks does, it draws random numbers
        random.random()
        return Chooser({}, None, "last", (), {"rule": "last"})

    monkeypatch.setattr(finetune_test, "load_chooser", load)
    return loaded


def select_by_hand(world, name, frame, video="hen"):
    path = paths.frame_selection_dir(world.dataset, video) / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{name}\n{frame}\n{frame:05d}.png\n")


def test_bubblenet_without_a_selection_creates_one_and_names_the_network(world, choosing, capsys):
    world.add(labelled=(2, NUM_FRAMES - 1))
    assert world.run(guidance="bubblenet") == 0
    record = world.record()
    assert record["labelled_frames"] == [NUM_FRAMES - 1]
    who = "chosen by the rule last, since no BubbleNet BNLF is trained"
    assert record["guidance"] == who and who in capsys.readouterr().out
    folder = paths.frame_selection_dir(world.dataset, "hen")
    assert (folder / "rule.txt").read_text().splitlines()[1] == str(NUM_FRAMES - 1)


def test_choosing_a_frame_changes_no_mask(world, choosing):
    world.add(labelled=(2, NUM_FRAMES - 1))
    world.run(guidance=str(NUM_FRAMES - 1))
    named = [path.read_bytes() for path in world.mask_paths()]
    world.run(guidance="bubblenet", overwrite=True)
    assert choosing and [path.read_bytes() for path in world.mask_paths()] == named


def test_the_chooser_is_loaded_once_and_only_if_it_is_needed(world, choosing):
    for name in ("ant", "bee"):
        world.add(name, labelled=(0, NUM_FRAMES - 1))
    for guidance in ("auto", "first", "0"):
        world.run(guidance=guidance, dry_run=True)
    assert not choosing
    world.run(guidance="bubblenet", dry_run=True)
    assert choosing == ["chooser"]


def test_a_dry_run_of_bubblenet_writes_no_selection(world, choosing, capsys):
    world.add(labelled=(2, NUM_FRAMES - 1))
    before = world.listing()
    assert world.run(guidance="bubblenet", dry_run=True) == 0
    assert "chosen by the rule last" in capsys.readouterr().out
    assert world.listing() == before


def test_a_chosen_frame_without_label_names_the_file_to_create(world, choosing, no_training):
    world.add(labelled=(2,))
    missing = str(world.annotation(index=NUM_FRAMES - 1))
    with pytest.raises(InputError, match=f"Make {re.escape(missing)}"):
        world.run(guidance="bubblenet")


@pytest.mark.parametrize(
    "selection, frame, reason",
    [
        (None, 1, "of 3 annotated frames the best by bubblenet_select.py (rule)"),
        ("BN0", 4, "of 3 annotated frames the best by bubblenet_select.py (BN0)"),
        ("BNLF", 2, "of 3 annotated frames the one nearest the middle"),
    ],
)
def test_auto_follows_the_most_trusted_selection_or_the_one_asked_for(
    world, choosing, selection, frame, reason
):
    world.add(labelled=(1, 2, 4))
    select_by_hand(world, "BN0", 4)
    select_by_hand(world, "rule", 1)
    [job], _ = finetune_test.prepare_jobs(world.config(selection=selection), world.weights)
    assert job.guidance.frames == (frame,) and job.guidance.reason == reason
    assert not choosing
