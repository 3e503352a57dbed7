"""The average of the weights over the last part of a run: what is averaged, and that it resumes."""

from dataclasses import replace

import keras
import numpy as np
import pytest

import train_pascal_base
from tests.training.stage_world import tiny_network
from utils.training import averaging, stage
from utils.training.averaging import WeightAverage
from utils.training.backup import Backup
from utils.training.weights import read_weights


def recipe(**options):
    return replace(train_pascal_base.make_recipe(train_pascal_base.Config()), **options)


def values_of(model) -> list[np.ndarray]:
    return [np.array(keras.ops.convert_to_numpy(v)) for v in model.weights]


def step_through(average: WeightAverage, batches: int) -> list[list[np.ndarray]]:
    """Changes the weights before each batch ends; returns what they were."""
    seen = []
    rng = np.random.default_rng(0)
    for _ in range(batches):
        for variable in average.model.weights:
            variable.assign(rng.normal(size=tuple(variable.shape)).astype("float32"))
        seen.append(values_of(average.model))
        average.on_train_batch_end(0)
    return seen


def assert_close(found, expected):
    for one, two in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_average_is_the_mean_of_the_weights_after_the_last_updates(accumulate):
    average = WeightAverage(
        tiny_network(), recipe(steps=8, average_from=0.5, accumulate=accumulate)
    )
    seen = step_through(average, 8 * accumulate)
    updated = seen[accumulate - 1 :: accumulate]  # with accumulation, weights move at these alone
    expected = [np.mean(values, axis=0) for values in zip(*updated[4:], strict=True)]
    with average.applied():
        assert_close(values_of(average.model), expected)
    assert_close(values_of(average.model), seen[-1])
    average.finish()
    assert_close(values_of(average.model), expected)


def test_a_long_average_takes_a_bounded_number_of_snapshots(monkeypatch):
    monkeypatch.setattr(averaging, "SNAPSHOTS", 3)
    average = WeightAverage(tiny_network(), recipe(steps=20, average_from=0.5))
    seen = step_through(average, 20)
    expected = [
        np.mean(values, axis=0) for values in zip(seen[12], seen[15], seen[18], strict=True)
    ]
    average.finish()
    assert_close(values_of(average.model), expected)


def test_nothing_is_averaged_before_the_start_and_without_the_flag():
    for options in ({"average_from": 0.5}, {"average_from": None}):
        average = WeightAverage(tiny_network(), recipe(steps=8, **options))
        seen = step_through(average, 4)
        with average.applied():
            assert_close(values_of(average.model), seen[-1])
        assert bool(average.state) == (options["average_from"] is not None)


def test_an_average_that_began_too_early_is_dropped_when_steps_are_added():
    model = tiny_network()
    average = WeightAverage(model, recipe(steps=4, average_from=0.5))
    step_through(average, 4)
    longer = WeightAverage(model, recipe(steps=20, average_from=0.5))
    longer.count.assign(average.count.value)
    longer.resume(4)
    with longer.applied():
        assert_close(values_of(model), values_of(average.model))
    assert int(longer.count.numpy()) == 0


@pytest.mark.parametrize("steps, kept", [(12, False), (10, True), (9, True)])
def test_an_average_of_a_run_that_is_given_other_steps_is_dropped_if_it_began_too_early(
    tmp_path, steps, kept
):
    """Also where the run is past the place from which it averages now."""
    model = tiny_network()
    model.compile("sgd", "mse")

    def make(steps):
        average = WeightAverage(model, recipe(steps=steps, average_from=0.5))
        backup = Backup(tmp_path / "state.npz", average.state, new=[averaging.BEGAN])
        backup.restore(model)
        return average, backup

    average, backup = make(10)
    average.resume(0)
    step_through(average, 9)
    backup.on_epoch_end(0)
    for _ in range(2):  # and once more, after a state was saved
        average, backup = make(steps)
        average.resume(9)
        assert int(average.count.numpy()) == (4 if kept else 0)
        backup.on_epoch_end(0)


def test_a_run_that_is_given_a_few_more_steps_still_ends_with_an_average(monkeypatch):
    """Snapshots were as far apart as in the whole window, most of which was over."""
    monkeypatch.setattr(averaging, "SNAPSHOTS", 4)
    model = tiny_network()
    average = WeightAverage(model, recipe(steps=40, average_from=0.5))
    average.resume(0)
    step_through(average, 40)
    longer = WeightAverage(model, recipe(steps=42, average_from=0.5))
    longer.count.assign(average.count.value)
    longer.began.assign(average.began.value)
    longer.resume(40)
    step_through(longer, 2)
    assert int(longer.count.numpy()) == 2


def test_an_average_that_was_due_and_had_no_snapshot_yet_is_continued(monkeypatch):
    """A run that had been given more steps, and was killed then, ended with another average."""
    monkeypatch.setattr(averaging, "SNAPSHOTS", 4)
    model = tiny_network()

    def make(began, done):
        average = WeightAverage(model, recipe(steps=60, average_from=0.3))
        average.began.assign(began)
        average.resume(done)
        return average

    unbroken = make(began=5, done=20)  # of a run of fewer steps
    assert (unbroken.start, int(unbroken.began.numpy())) == (20, 20)
    killed = make(began=20, done=24)
    assert (killed.start, killed.every) == (unbroken.start, unbroken.every)


def test_a_state_that_does_not_say_where_its_average_began_is_continued_as_before(tmp_path):
    model = tiny_network()
    model.compile("sgd", "mse")
    average = WeightAverage(model, recipe(steps=10, average_from=0.5))
    step_through(average, 9)
    backup = Backup(tmp_path / "state.npz", average.state)
    backup.set_model(model)
    del backup.extra[averaging.BEGAN]
    backup.on_epoch_end(0)
    for steps, count in ((12, 4), (18, 0)):
        average = WeightAverage(model, recipe(steps=steps, average_from=0.5))
        Backup(tmp_path / "state.npz", average.state, new=[averaging.BEGAN]).restore(model)
        average.resume(9)
        assert int(average.count.numpy()) == count


def tensors(folder, name):
    return read_weights(folder / f"{name}.safetensors")[0]


def test_the_average_is_what_is_validated_and_handed_on(stage_config, tmp_path):
    train_pascal_base.main(stage_config(output=tmp_path / "plain"))
    history = train_pascal_base.main(stage_config(output=tmp_path / "average", average_from=0.5))
    plain, average = (tensors(tmp_path / folder, "deeplab.last") for folder in ("plain", "average"))
    name = "mask_logits/kernel"
    assert not np.array_equal(plain[name], average[name])
    # The training itself is the same; before the average begins, so is the validation.
    unaveraged = train_pascal_base.main(stage_config(output=tmp_path / "plain", resume=True))
    assert [row["loss"] for row in history] == [row["loss"] for row in unaveraged]
    assert history[1] == unaveraged[1]


@pytest.mark.parametrize("updates", [2, 6])  # killed before the average began, and after
def test_an_interrupted_average_ends_as_an_unbroken_one(
    stage_config, tmp_path, monkeypatch, updates
):
    train_pascal_base.main(stage_config(output=tmp_path / "unbroken", average_from=0.4))

    class Interrupt(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.optimizer.iterations > updates:
                raise KeyboardInterrupt

    broken = stage_config(output=tmp_path / "broken", average_from=0.4)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(stage, "training_progress", lambda *a: [Interrupt()])
        train_pascal_base.main(broken)
    train_pascal_base.main(replace(broken, resume=True))
    again = train_pascal_base.main(replace(broken, resume=True))  # a finished run: as it was
    assert again[-1]["step"] == 8
    for name in ("deeplab", "deeplab.last"):
        one, two = (tensors(tmp_path / folder, name) for folder in ("unbroken", "broken"))
        assert all(np.array_equal(one[key], two[key]) for key in one)
