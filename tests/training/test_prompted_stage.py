"""Runs of train_prompted.py: what it writes, resume, frozen backbone, weights to start from."""

from dataclasses import replace
from functools import partial

import keras
import numpy as np
import pytest

import train_prompted
from models.click_training import build_click_training
from tests.tiny_prompted import tiny_plain_network, tiny_prompted_network
from utils.errors import InputError
from utils.training import stage
from utils.training.prompted_network import PromptedNetwork
from utils.training.weights import load_weights, read_weights, save_weights


@pytest.fixture
def run_config(pairs, tmp_path, monkeypatch):
    """Makes the configuration of a short run with tiny networks: `run_config(steps=4, ...)`."""
    monkeypatch.setattr(train_prompted, "build_prompted_model", tiny_prompted_network)
    few = partial(build_click_training, rounds=1)  # a smaller graph
    monkeypatch.setattr(train_prompted, "build_click_training", few)
    make = train_prompted.make_recipe
    monkeypatch.setattr(
        train_prompted, "make_recipe", lambda config: replace(make(config), batches_per_epoch=2)
    )
    keras.utils.set_random_seed(3)
    start = tmp_path / "start.safetensors"
    save_weights(tiny_plain_network(), start, {"stage": "pascal_base", "head": "deeplab"})

    def make_config(**options):
        defaults = {
            "dataset": pairs,
            "list": pairs / "train.txt",
            "validation_list": pairs / "val.txt",
            "weights": start,
            "output": tmp_path / "weights",
            "steps": 6,
            "batch_size": 2,
            "crop": 32,
            "validate_every": 2,
            "head_learning_rate": 0.03,
        }
        return train_prompted.Config(**defaults | options)

    return make_config


def tensors_of(path) -> dict[str, np.ndarray]:
    return read_weights(path)[0]


def test_a_run_trains_the_head_writes_weights_and_leaves_the_frozen_backbone(run_config, tmp_path):
    history = train_prompted.main(run_config())
    assert [row["step"] for row in history] == [2, 4, 6]
    prompts = ("no_prompt", "clicks1", "clicks3", "mask_alone", "mask")
    measured = {"validation_iou", *(f"iou_{prompt}" for prompt in prompts)}
    assert measured <= history[-1].keys()
    path = tmp_path / "weights/deeplab.safetensors"
    tensors, metadata = read_weights(path)
    assert (metadata["stage"], metadata["head"]) == ("prompted", "deeplab")
    start = tensors_of(tmp_path / "start.safetensors")
    for name, values in start.items():
        is_frozen = name.startswith("block")
        kept = np.allclose(tensors[name], values, atol=1e-3)
        assert kept == is_frozen, name
    assert tensors["prompt_residual/kernel"].any()
    assert load_weights(tiny_prompted_network(), path)["stage"] == "prompted"
    with pytest.raises(InputError, match="prompt_conv"):
        load_weights(tiny_plain_network(), path)


def test_the_network_begins_as_stage_1(tmp_path, run_config):
    network, plain = tiny_prompted_network(), tiny_plain_network()
    for model in (network, plain):
        load_weights(model, run_config().weights)
    images = np.random.default_rng(0).integers(0, 256, (1, 40, 50, 3)).astype("uint8")
    prompt = np.ones((1, 40, 50, 4), "float32")
    found = network.predict_on_batch({"images": images, "prompt": prompt})["mask"]
    np.testing.assert_array_equal(found, plain.predict_on_batch(images)["mask"])


def test_an_interrupted_run_ends_with_the_same_weights_as_an_unbroken_one(
    run_config, tmp_path, monkeypatch
):
    options = {"frozen_blocks": 1, "backbone_learning_rate": 0.01}
    train_prompted.main(run_config(output=tmp_path / "unbroken", **options))

    class Interrupt(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.optimizer.iterations > 4:  # in the third epoch
                raise KeyboardInterrupt

    broken = run_config(output=tmp_path / "broken", **options)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(stage, "training_progress", lambda *a: [Interrupt()])
        train_prompted.main(broken)
    train_prompted.main(replace(broken, resume=True))
    for name in ("deeplab", "deeplab.last"):
        one, two = (
            tensors_of(tmp_path / f"{d}/{name}.safetensors") for d in ("unbroken", "broken")
        )
        assert all((one[key] == two[key]).all() for key in one)
    # It continues from its own weights, too.
    again = run_config(weights=tmp_path / "broken/deeplab.safetensors", dry_run=True)
    assert train_prompted.main(again) == []


def test_crops_from_processes_give_the_same_weights(run_config, tmp_path):
    for processes in (0, 2):
        output = tmp_path / f"weights{processes}"
        train_prompted.main(run_config(output=output, loader_processes=processes, steps=2))
    one, two = (tensors_of(tmp_path / f"weights{n}/deeplab.last.safetensors") for n in (0, 2))
    assert all((one[key] == two[key]).all() for key in one)


def test_weights_of_imagenet_are_refused(run_config, tmp_path):
    path = tmp_path / "imagenet.safetensors"
    save_weights(tiny_plain_network(), path, {"stage": "imagenet"})
    with pytest.raises(InputError, match="stage imagenet"):
        train_prompted.main(run_config(weights=path))


def test_lists_of_which_nothing_is_left_are_refused(run_config, pairs):
    for exclude, emptied in (("4", "5"), "val.txt"), (("0", "1", "2", "3"), "train.txt"):
        with pytest.raises(InputError, match=f"{emptied}: --exclude .* leaves none"):
            train_prompted.main(run_config(exclude=exclude, dry_run=True))


def test_the_answers_of_several_gpus_to_one_image_are_taken_as_one(monkeypatch):
    """As with TensorFlow's MirroredStrategy: each replica answers the whole batch."""
    network = PromptedNetwork(tiny_prompted_network())
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype("uint8")
    prompt = np.ones((40, 50, 4), "float32")
    expected = network.probability(network.look(image), prompt)
    for part in (network._features, network._head):
        one = part.predict_on_batch

        def two(x, one=one):
            return keras.tree.map_structure(lambda values: np.concatenate([values] * 2), one(x))

        monkeypatch.setattr(part, "predict_on_batch", two)
    maps = network.look(image)
    assert all(len(values) == 1 for values in maps)
    np.testing.assert_array_equal(network.probability(maps, prompt), expected)
