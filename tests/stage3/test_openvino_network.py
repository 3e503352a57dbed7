"""Stage 3 where OpenVINO segments, in 8-bit integers."""

import sys

import keras
import numpy as np
import pytest

import finetune_test
from tests.stage3_world import NUM_FRAMES, tiny_network
from utils import backend
from utils.errors import UsageError
from utils.evaluation.measures import region_similarity
from utils.stage3 import openvino_network, pipeline
from utils.stage3.fine_tuning import FineTuner
from utils.stage3.openvino_network import OpenVinoNetwork, convert_network


@pytest.fixture(scope="module")
def images():
    return [np.random.default_rng(n).integers(0, 256, (32, 48, 3), "uint8") for n in range(4)]


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(3)
    return tiny_network()


@pytest.fixture(scope="module")
def converted(model, images):
    return OpenVinoNetwork(model, images)


@pytest.mark.parametrize("size", [(32, 48), (64, 32)])
def test_it_gives_nearly_the_logits_of_the_network_at_any_size(model, converted, size):
    pair = np.random.default_rng(9).integers(0, 256, (2, *size, 3), "uint8")
    expected = model.predict_on_batch(pair)["mask"]
    logits = converted.predict_on_batch(pair)["mask"]
    assert logits.shape == expected.shape == (2, *size, 1) and logits.dtype == np.float32
    assert np.abs(logits - expected).max() < 0.1 * np.ptp(expected)
    assert np.abs(logits - expected).max() > 0  # it is another network


def test_the_same_network_and_images_give_the_same_bit_for_bit(model, converted, images):
    again = OpenVinoNetwork(model, images)
    batch = np.stack(images)
    one, other = (network.predict_on_batch(batch)["mask"] for network in (converted, again))
    np.testing.assert_array_equal(one, other)


def test_nothing_is_sent_to_the_makers_of_the_packages(converted):
    assert sys.modules["openvino_telemetry"] is None


def test_a_network_in_half_precision_is_converted_from_float32(model, images):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        half = tiny_network()
        half.set_weights(model.get_weights())
        network = convert_network(tiny_network, half, images)
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")
    expected = model.predict_on_batch(np.stack(images))["mask"]
    logits = network.predict_on_batch(np.stack(images))["mask"]
    assert np.abs(logits - expected).max() < 0.1 * np.ptp(expected)


@pytest.fixture
def converted_with(monkeypatch):
    """The number of images of each conversion of a run."""
    counts = []
    real = openvino_network.OpenVinoNetwork.__init__

    def init(self, model, images):
        counts.append(len(images))
        real(self, model, images)

    monkeypatch.setattr(openvino_network.OpenVinoNetwork, "__init__", init)
    return counts


def test_a_video_is_segmented_with_it(world, converted_with, capsys):
    world.add(labelled=range(NUM_FRAMES))
    assert world.run(guidance="2") == 0
    with_keras = world.masks()
    assert world.run(guidance="2", runtime="openvino") == 0
    assert world.record()["key"]["runtime"] == "openvino"
    assert len(converted_with) == 1 and converted_with[0] >= 3
    assert "network converted in" in capsys.readouterr().out
    agreement = [
        region_similarity(one, other) for one, other in zip(world.masks(), with_keras, strict=True)
    ]
    assert min(agreement) > 0.8


@pytest.mark.parametrize("networks", ["each", "one"])
def test_several_animals_are_segmented_with_it(world, converted_with, networks):
    world.add_two()
    assert world.run(runtime="openvino", networks=networks) == 0
    assert len(converted_with) == (2 if networks == "each" else 1)
    assert set(np.unique(world.masks("pair"))) == {0, 1, 2}


def test_a_run_that_was_cut_off_continues_with_the_same_masks(world, converted_with):
    world.add()
    world.run_cut_off(pipeline, "find_motion", 3, runtime="openvino")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FineTuner, "fit", lambda *_, **__: pytest.fail("learnt again"))
        world.run(runtime="openvino")
    masks = world.masks()
    world.run(runtime="openvino", overwrite=True)
    np.testing.assert_array_equal(world.masks(), masks)
    assert len(converted_with) == 3


def test_the_record_names_the_versions_of_its_packages(world):
    world.add()
    world.run(runtime="openvino")
    assert {"openvino", "nncf"} <= set(world.record()["environment"])
    world.run()
    assert "openvino" not in world.record()["environment"]


def test_a_gpu_is_not_left_idle_without_a_word(world, monkeypatch, capsys):
    monkeypatch.setattr(backend, "has_gpu", lambda: True)
    finetune_test.check_flags(world.config(runtime="openvino"))
    assert "not on the GPU" in capsys.readouterr().out


def test_without_its_packages_the_flag_says_what_to_install(world, monkeypatch):
    world.add()
    monkeypatch.setattr(openvino_network, "find_spec", lambda name: name == "openvino" or None)
    with pytest.raises(UsageError, match=r"not installed: nncf.*requirements-openvino"):
        world.run(runtime="openvino")


def test_it_is_no_choice_for_the_network_that_takes_prompts(world):
    with pytest.raises(UsageError, match="--runtime openvino does not go with --preset herd"):
        world.run(runtime="openvino", preset="herd")
