"""Runs of finetune_test.py that were cut off continue; finished ones are skipped."""

import numpy as np
import pytest

import finetune_test
from tests.stage3_world import (
    NUM_FRAMES,
    RedoneError,
    World,
    animal,
    frame,
    tiny_network,
)
from utils.evaluation.results import State, open_segmented
from utils.stage3 import partial_run, pipeline, window
from utils.stage3.fine_tuning import FineTuner
from utils.training.weights import save_weights

pytestmark = pytest.mark.usefixtures("small_stage3")


# Cut off


@pytest.mark.parametrize(
    "module, function, calls",
    [
        (window, "predict_probability", 0),
        (window, "predict_probability", 3),
        (pipeline, "write_label", 2),
        (finetune_test, "write_json", 0),
    ],
)
def test_a_run_that_was_cut_off_continues_to_the_same_masks(
    world, monkeypatch, module, function, calls
):
    world.add()
    world.run()
    expected = world.masks()
    world.results = world.root / "again"
    world.run_cut_off(module, function, calls)
    assert not (world.results / "runs" / "hen" / "run.json").exists()
    assert (world.results / "runs" / "hen" / "partial" / "fine_tuned_1.safetensors").exists()
    with monkeypatch.context() as patched:  # what was learnt is not learnt again
        patched.setattr(FineTuner, "fit", lambda *_, **__: pytest.fail("trained again"))
        assert world.run() == 0
    np.testing.assert_array_equal(world.masks(), expected)
    assert not (world.results / "runs" / "hen" / "partial").exists()


def test_training_that_was_cut_off_continues_to_the_same_masks(world):
    world.add()
    world.run()
    expected = world.masks()
    world.results = world.root / "again"
    world.run_cut_off_in_training()
    assert (world.results / "runs" / "hen" / "partial" / "training_1.npz").exists()
    assert world.run() == 0
    assert world.record()["seconds"]["steps"] == 4
    np.testing.assert_array_equal(world.masks(), expected)


def test_an_unfinished_run_is_not_continued_after_a_change(world):
    world.add()
    world.run(seed=1)
    expected = world.masks()
    world.results = world.root / "again"
    world.run_cut_off(window, "predict_probability", seed=2)
    world.run(seed=1)
    assert world.record()["seconds"]["steps"] == 8
    np.testing.assert_array_equal(world.masks(), expected)


def test_overwrite_starts_an_unfinished_run_afresh(world):
    world.add()
    world.run_cut_off(window, "predict_probability")
    assert (world.results / "runs/hen/partial/fine_tuned_1.safetensors").exists()
    assert world.run(overwrite=True) == 0
    assert world.record()["seconds"]["steps"] == 8  # none of them by the run that was cut off


def test_overwrite_that_was_cut_off_continues_without_the_flag(world):
    world.add()
    world.run()
    world.run_cut_off(window, "predict_probability", overwrite=True)
    # Its masks are still those of the first run, with their record.
    assert open_segmented(world.results, "hen").state is State.FINISHED
    assert world.run(seed=1, dry_run=True) == 0
    assert world.run() == 0
    assert world.record()["seconds"]["steps"] == 0  # all of them by the run that was cut off
    assert not (world.results / "runs" / "hen" / "partial").exists()


def test_overwrite_that_was_cut_off_is_not_forgotten_by_an_update(world, monkeypatch):
    world.add()
    world.run()
    world.run_cut_off(window, "predict_probability", overwrite=True)
    monkeypatch.setattr(partial_run, "code_digest", lambda: "of a later version")
    world.run_cut_off(window, "predict_probability")
    before = (world.results / "runs/hen/run.json").stat().st_mtime_ns
    assert world.run() == 0
    assert (world.results / "runs/hen/run.json").stat().st_mtime_ns > before


def test_other_code_does_not_continue_an_unfinished_run(world, monkeypatch):
    world.add()
    world.run_cut_off(window, "predict_probability")
    monkeypatch.setattr(partial_run, "code_digest", lambda: "of a later version")
    world.run()
    assert world.record()["seconds"]["steps"] == 8


# Finished


def test_a_finished_video_is_skipped(world, stop_at_work, capsys):
    world.add()
    world.run()
    before = world.listing()
    stop_at_work()
    assert world.run() == 0
    assert "hen: finished before, skipped" in capsys.readouterr().out
    assert world.listing() == before


@pytest.mark.parametrize(
    "content", ["[1]", '"text"', '{"key": null}', '{"key": {"sha256": 3}}', "{"]
)
def test_a_broken_record_of_an_earlier_run_is_no_obstacle(world, content):
    world.add(frames=2, labelled=(1,))
    path = world.results / "runs" / "hen" / "run.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    assert world.run() == 0 and world.record()["num_frames"] == 2


def test_a_video_that_another_process_has_just_finished_is_not_done_again(
    world, monkeypatch, stop_at_work
):
    world.add(frames=2, labelled=(1,))
    world.run()
    real, calls = finetune_test.finished_record, []

    def not_at_first(*arguments):  # as if the other process finished after the first look
        calls.append(1)
        return real(*arguments) if len(calls) > 1 else None

    monkeypatch.setattr(finetune_test, "finished_record", not_at_first)
    stop_at_work()
    assert world.run() == 0 and len(calls) == 2


def test_replacing_the_results_of_a_video_with_the_same_name_is_reported(world, tmp_path, capsys):
    world.add(labelled=[2])
    world.run()
    world.run(seed=1)  # the same video: nothing to say
    assert "warning" not in capsys.readouterr().out
    other = World(tmp_path / "elsewhere", world.weights).add(frames=4)
    world.run(dataset=other.dataset, dry_run=True)
    out = capsys.readouterr().out
    assert "warning: hen: replaces the results of another" in out and str(world.frames()) in out


def test_state_left_by_a_kill_after_the_last_file_is_removed(world, stop_at_work):
    world.add()
    world.run()
    partial = world.results / "runs" / "hen" / "partial"
    partial.mkdir()
    stop_at_work()
    assert world.run() == 0
    assert not partial.exists()


def test_a_finished_video_leaves_the_state_of_an_unfinished_run_with_other_flags(world):
    world.add()
    world.run()
    world.run_cut_off(window, "predict_probability", seed=1)
    assert world.run() == 0  # finished before
    assert world.run(seed=1) == 0
    assert world.record()["seconds"]["steps"] == 0  # all of them by the run that was cut off


@pytest.mark.parametrize("change", ["label", "frame", "preset", "weights", "seed", "head", "mask"])
def test_a_video_is_redone_after_a_change(world, stop_at_work, change, tmp_path):
    world.add()
    world.run()
    flags = {}
    if change == "label":
        world.write_label("hen", 2, np.roll(animal(2), 1) * np.uint8(255))
    elif change == "frame":
        world.write_frame("hen", "00004.png", 255 - frame(4))
    elif change == "weights":
        flags["weights"] = tmp_path / "other.safetensors"
        save_weights(tiny_network(), flags["weights"], {"head": "deeplab"})
    elif change == "head":
        flags = {"head": "xfcn", "weights": world.weights.with_name("xfcn.safetensors")}
    elif change == "mask":
        world.mask_paths()[3].unlink()
    else:
        flags = {"preset": {"preset": "default"}, "seed": {"seed": 1}}[change]
    stop_at_work()
    with pytest.raises(RedoneError):
        world.run(**flags)


def test_overwrite_redoes_a_finished_video(world, stop_at_work):
    world.add()
    world.run()
    stop_at_work()
    with pytest.raises(RedoneError):
        world.run(overwrite=True)


def test_a_video_that_became_shorter_leaves_no_old_masks(world):
    world.add()
    world.run()
    (world.frames() / "00005.png").unlink()
    world.run()
    assert len(world.mask_paths()) == NUM_FRAMES - 1
