"""One update of stages 1 and 2: accumulated batches, batch statistics, several devices."""

import subprocess
import sys
from dataclasses import replace

import keras
import numpy as np
import pytest

import train_pascal_base
from models.losses import SegmentationLoss
from tests.training.stage_world import tiny_network
from utils import paths
from utils.training import stage
from utils.training.augmentation import Augmentation
from utils.training.batches import Batches
from utils.training.sample_lists import read_sample_list
from utils.training.stage import compile_model


def weights_after(pairs, batch_size, accumulate, **options):
    """Trains four updates on the same crops and returns the weights."""
    recipe = replace(
        train_pascal_base.make_recipe(train_pascal_base.Config()),
        augmentation=Augmentation(flip=0.0),
        steps=4,
        accumulate=accumulate,
        head_learning_rate=0.01,
        backbone_learning_rate=0.01,
        frozen_blocks=0,
        **options,
    )
    keras.utils.set_random_seed(0)
    model = tiny_network(train_batch_statistics=recipe.train_batch_statistics)
    compile_model(model, SegmentationLoss(1.0), recipe)
    samples = read_sample_list(pairs / "train.txt", pairs)
    loader = Batches(samples, (32, 32), 4 * accumulate, batch_size, recipe.augmentation, 0)
    before = [np.array(v) for v in model.non_trainable_variables if "moving" in v.path]
    model.fit(loader, callbacks=[loader.follow_epochs()], shuffle=False, verbose=0)
    after = [np.array(v) for v in model.non_trainable_variables if "moving" in v.path]
    moved = any((one != two).any() for one, two in zip(before, after, strict=True))
    return np.concatenate([np.ravel(v) for v in model.trainable_variables]), moved


def test_accumulated_batches_are_one_large_batch(pairs, monkeypatch):
    monkeypatch.setattr(stage, "warmup_cosine", lambda rate, steps, final: rate)
    large, _ = weights_after(pairs, batch_size=4, accumulate=1)
    small, _ = weights_after(pairs, batch_size=2, accumulate=2)
    start, _ = weights_after(pairs, batch_size=2, accumulate=1)
    np.testing.assert_allclose(small, large, atol=2e-4)
    assert np.abs(start - large).max() > 1e-2  # other crops lead elsewhere


def test_the_step_is_traced_once(pairs, monkeypatch):
    calls = []

    class CountedLoss(SegmentationLoss):
        def call(self, *arguments):
            calls.append(1)
            return super().call(*arguments)

    monkeypatch.setattr(sys.modules[__name__], "SegmentationLoss", CountedLoss)
    weights_after(pairs, batch_size=2, accumulate=1)
    assert len(calls) == 1


@pytest.mark.parametrize("trained", [False, True])
def test_batch_statistics_move_only_where_they_are_trained(pairs, trained):
    assert weights_after(pairs, 2, 1, train_batch_statistics=trained)[1] is trained


TWO_DEVICES = """
import sys
from dataclasses import replace
from pathlib import Path
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu[0], [tf.config.LogicalDeviceConfiguration()] * 2)
from utils import backend
import keras
from models import HEADS
from models.losses import SegmentationLoss
from tests.training.stage_world import tiny_network
from train_pascal_base import Config, make_recipe
from utils.training.run_folder import RunFolder
from utils.training.sample_lists import read_sample_list
from utils.training.stage import compile_model, train

folder, devices = Path(sys.argv[1]), int(sys.argv[2])
average_from = 0.9  # of six updates the last alone, so that losses and IoU are as without
if devices == 2:
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    backend.distribute = strategy.scope
config = Config(steps=6, batch_size=4, crop=32, validate_every=3, frozen_blocks=0,
                average_from=average_from)
recipe = replace(make_recipe(config), batches_per_epoch=2)
keras.utils.set_random_seed(0)
samples = read_sample_list(folder / "train.txt", folder)
run = RunFolder(folder / f"devices{devices}", "deeplab")
run.begin({}, recipe.steps)
with backend.distribute():
    model = tiny_network()
    compile_model(model, SegmentationLoss(1.0), recipe)
    rows = train(model, samples, samples, recipe, run)
print("losses", *(row["loss"] for row in rows), rows[-1]["validation_iou"])
"""


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow's own")
def test_two_devices_train_as_one(pairs):
    losses = []
    for devices in (1, 2):
        done = subprocess.run(
            [sys.executable, "-c", TWO_DEVICES, str(pairs), str(devices)],
            cwd=paths.ROOT, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        losses.append([float(word) for word in done.stdout.split("losses")[1].split()])
    assert len(losses[0]) == 4
    np.testing.assert_allclose(losses[1], losses[0], atol=2e-3)
