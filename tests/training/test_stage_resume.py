"""Runs of stages 1 and 2 that are interrupted, continued, or started twice."""

import json
from dataclasses import replace

import keras
import numpy as np
import pytest

import train_davis_objectness
import train_pascal_base
from tests.training.stage_world import write_start
from utils.errors import InputError, UsageError
from utils.files import hold_lock
from utils.training import stage
from utils.training.batches import Batches
from utils.training.run_folder import RunFolder
from utils.training.weights import read_weights


def test_an_interrupted_run_ends_with_the_same_weights_as_an_unbroken_one(
    stage_config, tmp_path, monkeypatch
):
    train_pascal_base.main(stage_config(output=tmp_path / "unbroken"))

    class Interrupt(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.optimizer.iterations > 4:  # in the third epoch
                raise KeyboardInterrupt

    broken = stage_config(output=tmp_path / "broken")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(stage, "training_progress", lambda *a: [Interrupt()])
        train_pascal_base.main(broken)
    assert not (tmp_path / "broken/deeplab.safetensors").exists()
    history = train_pascal_base.main(replace(broken, resume=True))

    assert [row["step"] for row in history] == [2, 4, 6, 8]
    for name in ("deeplab", "deeplab.last"):
        one, two = (
            read_weights(tmp_path / folder / f"{name}.safetensors")[0]
            for folder in ("unbroken", "broken")
        )
        assert all((one[key] == two[key]).all() for key in one)
    assert json.loads((tmp_path / "unbroken/deeplab.training/history.json").read_text()) == history


def test_a_finished_run_continues_with_more_steps(stage_config, capsys):
    train_pascal_base.main(stage_config(steps=4))
    capsys.readouterr()
    history = train_pascal_base.main(stage_config(steps=8, resume=True))
    assert [row["step"] for row in history] == [2, 4, 6, 8]
    bar = capsys.readouterr().err
    assert " 4/8 " in bar and " 8/8 " in bar and " 1/8 " not in bar


@pytest.mark.parametrize("accumulate", [1, 2])
def test_more_steps_than_before_are_made_exactly(stage_config, monkeypatch, accumulate):
    crops = []
    read = Batches.__getitem__
    monkeypatch.setattr(
        Batches, "__getitem__", lambda self, i: crops.append(number(self, i)) or read(self, i)
    )

    def number(self, index):
        return self.first_batch + self.epoch * self.steps_per_epoch + index

    history = train_pascal_base.main(stage_config(steps=5, accumulate=accumulate))
    assert history[-1]["step"] == 5
    history = train_pascal_base.main(stage_config(steps=12, accumulate=accumulate, resume=True))
    steps = [row["step"] for row in history]
    assert steps == sorted(set(steps)) and steps[-1] == 12
    assert "validation_iou" in history[-1]
    assert set(range(12 * accumulate)) <= set(crops)  # no crop is left out


def test_the_optimizer_has_made_as_many_updates_as_the_history_says(stage_config, tmp_path):
    train_pascal_base.main(stage_config(steps=5))
    history = train_pascal_base.main(stage_config(steps=10, resume=True))
    with np.load(tmp_path / "weights/deeplab.training/state.npz") as state:
        counts = {n: int(state[n]) for n in state.files if n.endswith("/iteration")}
    assert history[-1]["step"] == 10
    assert len(counts) == 3 and set(counts.values()) == {10}  # head, backbone and both together


@pytest.mark.parametrize("dry_run", [False, True])
def test_fewer_steps_than_were_made_are_refused_and_change_nothing(stage_config, tmp_path, dry_run):
    train_pascal_base.main(stage_config(steps=6))
    record = tmp_path / "weights/deeplab.training/run.json"
    before = record.read_bytes()
    with pytest.raises(UsageError, match="has made 6 updates"):
        train_pascal_base.main(stage_config(steps=4, resume=True, dry_run=dry_run))
    assert record.read_bytes() == before


def test_an_interrupted_run_can_be_declared_finished_where_it_is(
    stage_config, tmp_path, monkeypatch
):
    class Interrupt(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.optimizer.iterations > 6:  # three epochs are done, two are validated
                raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(stage, "training_progress", lambda *a: [Interrupt()])
        train_pascal_base.main(stage_config(steps=20))
    history = train_pascal_base.main(stage_config(steps=6, resume=True))
    assert history[-1]["step"] == 6 and "validation_iou" in history[-1]
    assert (tmp_path / "weights/deeplab.safetensors").is_file()


def test_a_second_start_in_the_same_folder_is_refused_and_touches_nothing(stage_config, tmp_path):
    folder = tmp_path / "weights/deeplab.training"
    folder.mkdir(parents=True)
    (folder / "best.safetensors").write_bytes(b"of the running training, before its first backup")
    with hold_lock(tmp_path / "weights/deeplab.lock", "the first"):
        with pytest.raises(InputError, match="has been working on it since"):
            train_pascal_base.main(stage_config(steps=2))
        assert list(folder.iterdir())
    train_pascal_base.main(stage_config(steps=2))
    assert not (tmp_path / "weights/deeplab.lock").exists()


def test_a_run_is_not_overwritten_without_resume(stage_config):
    train_pascal_base.main(stage_config(steps=2))
    with pytest.raises(InputError, match="--resume"):
        train_pascal_base.main(stage_config(steps=2))


@pytest.mark.parametrize("change", [{"batch_size": 4}, {"seed": 1}, {"crop": 40}])
def test_a_run_is_not_continued_with_other_settings(stage_config, change):
    train_pascal_base.main(stage_config(steps=2))
    with pytest.raises(InputError, match=next(iter(change))):
        train_pascal_base.main(stage_config(steps=4, resume=True, **change))


def test_a_run_is_not_continued_with_another_list(stage_config, pairs):
    train_pascal_base.main(stage_config(steps=2))
    with pytest.raises(InputError, match="samples"):
        train_pascal_base.main(stage_config(steps=4, resume=True, list=pairs / "val.txt"))


def test_a_run_that_replaces_the_weights_it_started_from_is_continued(
    stage_config, tmp_path, monkeypatch
):
    own = write_start(tmp_path / "weights/deeplab.safetensors", "pascal_base")
    started_from = read_weights(own)[1]["sha256"]
    options = {"stage": "objectness", "weights": own}

    def kill(self, *arguments):
        write_start(own, "objectness")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(RunFolder, "export_weights", kill)  # after the file was replaced
        train_davis_objectness.main(stage_config(steps=2, **options))
    for steps in (2, 2, 4):  # killed; finished; given more steps
        train_davis_objectness.main(stage_config(steps=steps, resume=True, **options))
    metadata = read_weights(own)[1]
    assert metadata["started_from"] == started_from != metadata["sha256"]
    with pytest.raises(InputError, match="that run had weights"):
        other = write_start(tmp_path / "other.safetensors", "objectness")
        train_davis_objectness.main(stage_config(resume=True, **options | {"weights": other}))
