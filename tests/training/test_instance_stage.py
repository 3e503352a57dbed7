"""Runs of train_instances.py: what it writes, resume, what it refuses."""

from dataclasses import replace

import keras
import numpy as np
import pytest

import train_instances
from models import instance_training
from models.instances import build_trunk
from tests.tiny_prompted import network_with_tiny_backbone
from utils.errors import InputError
from utils.training import stage
from utils.training.weights import load_weights, read_weights, save_weights


def tiny_head(trunk):
    inputs = [keras.Input((None, None, x.shape[-1])) for x in trunk.output["maps"]]
    outputs = {
        name: keras.layers.Conv2D(channels, 1, dtype="float32", name=f"instance_{name}")(inputs[-1])
        for name, channels in (("centre", 1), ("offset", 2), ("border", 1))
    }
    return keras.Model(inputs, outputs, name="instance_head")


@pytest.fixture
def run_config(herds, tmp_path, monkeypatch):
    """Makes the configuration of a short run with a tiny network and a tiny head."""
    monkeypatch.setattr(train_instances, "build_prompted_model", network_with_tiny_backbone)
    monkeypatch.setattr(instance_training, "build_instance_head", tiny_head)
    keras.utils.set_random_seed(3)
    start = tmp_path / "start.safetensors"
    save_weights(network_with_tiny_backbone(), start, {"stage": "prompted", "head": "deeplab"})

    def make_config(**options):
        defaults = {
            "dataset": herds,
            "list": herds / "train.txt",
            "validation_list": herds / "train.txt",
            "weights": start,
            "output": tmp_path / "weights",
            "steps": 2,
            "batch_size": 2,
            "crop": 32,
            "batches_per_epoch": 1,
            "validate_every": 2,
            "average_from": 0.0,
        }
        return train_instances.Config(**defaults | options)

    return make_config


def test_a_run_that_was_cut_off_ends_with_the_same_weights_those_of_the_head_alone(
    run_config, tmp_path, monkeypatch
):
    history = train_instances.main(run_config())
    assert [row["step"] for row in history] == [1, 2]
    assert {"validation_iou", "right", "centre_loss", "assignment_loss"} <= history[-1].keys()
    path = tmp_path / "weights/instances.safetensors"
    tensors, metadata = read_weights(path)
    start = read_weights(tmp_path / "start.safetensors")[1]
    assert (metadata["stage"], metadata["trained_beside"]) == ("instances", start["sha256"])
    head = tiny_head(build_trunk(network_with_tiny_backbone()))
    assert tensors.keys() == {variable.path for variable in head.weights}
    load_weights(head, path)

    class Interrupt(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.optimizer.iterations > 1:
                raise KeyboardInterrupt

    broken = run_config(output=tmp_path / "broken")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(stage, "training_progress", lambda *a: [Interrupt()])
        train_instances.main(broken)
    with pytest.raises(InputError, match="--resume"):
        train_instances.main(broken)
    train_instances.main(replace(broken, resume=True))
    resumed = read_weights(tmp_path / "broken/instances.safetensors")[0]
    assert all(np.array_equal(resumed[name], tensors[name]) for name in tensors)


def test_a_dry_run_writes_nothing(run_config, tmp_path, capsys):
    assert train_instances.main(run_config(dry_run=True)) == []
    assert "images: 4 to train on, 2 to validate on" in capsys.readouterr().out
    assert not (tmp_path / "weights").exists()


def test_other_weights_and_lists_without_groups_are_refused(run_config, herds, tmp_path):
    other = tmp_path / "other.safetensors"
    save_weights(network_with_tiny_backbone(), other, {"stage": "pascal_base"})
    with pytest.raises(InputError, match="stage pascal_base"):
        train_instances.main(run_config(weights=other, dry_run=True))
    with pytest.raises(InputError, match="several animals in Instances/"):
        train_instances.main(run_config(validation_list=herds / "singles.txt", dry_run=True))
    with pytest.raises(InputError, match="no image has numbered animals"):
        train_instances.main(run_config(exclude=("wild", "cow", "dog", "two"), dry_run=True))
