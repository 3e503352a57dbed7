"""The network with a channel for each animal."""

import keras
import numpy as np
import pytest

from models import HEADS, build_model
from models.channels import FUSING_LAYER, compete, take_channel, with_channels

IMAGES = np.random.default_rng(0).integers(0, 256, (1, 40, 56, 3)).astype("uint8")


def at_samples(logits):
    """Where nothing is interpolated: the heads end at strides 2 and 4."""
    return logits[:, ::4, ::4]


@pytest.fixture(params=HEADS)
def model(request):
    keras.utils.set_random_seed(3)
    return build_model(request.param, width=0.1)


def test_all_channels_begin_as_the_one_of_the_network_for_one_animal(model):
    several = with_channels(model, 3)
    logits = several.predict_on_batch(IMAGES)["mask"]
    assert logits.shape == (1, 40, 56, 3) and logits.dtype == np.float32
    alone = at_samples(model.predict_on_batch(IMAGES)["mask"])
    expected = np.exp(alone) / (1 + 3 * np.exp(alone))
    found = 1 / (1 + np.exp(-at_samples(logits)))
    np.testing.assert_allclose(found, np.repeat(expected, 3, axis=-1), atol=1e-4)


def test_the_network_for_one_animal_keeps_its_layers_and_its_answers(model):
    before, paths = model.predict_on_batch(IMAGES)["mask"], [v.path for v in model.variables]
    several = with_channels(model, 2)
    several.get_layer(FUSING_LAYER).set_weights(
        [value + 1 for value in several.get_layer(FUSING_LAYER).get_weights()]
    )
    np.testing.assert_array_equal(model.predict_on_batch(IMAGES)["mask"], before)
    assert [v.path for v in model.variables] == paths
    # The side outputs of the paper's head do not learn in stage 3.
    assert {v.path for v in several.variables} <= set(paths)
    own = {id(v) for v in model.variables}
    changed = [v.path for v in several.variables if id(v) not in own]
    assert changed == [f"{FUSING_LAYER}/kernel", f"{FUSING_LAYER}/bias"]


def test_a_channel_taken_out_is_a_network_for_one_animal(model):
    several = with_channels(model, 3)
    fusing, rng = several.get_layer(FUSING_LAYER), np.random.default_rng(1)
    fusing.set_weights([rng.normal(size=value.shape) for value in fusing.get_weights()])
    logits = several.predict_on_batch(IMAGES)["mask"]
    alone = []
    for channel in range(3):
        take_channel(several, model, channel)
        alone.append(at_samples(model.predict_on_batch(IMAGES)["mask"]))
    together = np.asarray(compete(np.concatenate(alone, axis=-1)))
    np.testing.assert_allclose(at_samples(logits), together, rtol=1e-3, atol=1e-3)


def test_probabilities_are_those_of_a_softmax_with_the_background():
    logits = np.random.default_rng(0).normal(0, 4, (5, 7, 4)).astype("float32")
    found = 1 / (1 + np.exp(-np.asarray(compete(logits))))
    odds = np.exp(logits)
    np.testing.assert_allclose(found, odds / (1 + odds.sum(-1, keepdims=True)), atol=1e-5)


def test_one_channel_competes_with_the_background_alone():
    logits = np.linspace(-12, 12, 9, dtype="float32")[:, None]
    np.testing.assert_allclose(np.asarray(compete(logits)), logits, rtol=1e-3, atol=1e-3)


def test_extreme_logits_stay_finite_and_the_higher_one_wins():
    logits = np.array([[90, 80], [-90, -80], [3e4, -3e4], [0, 0]], "float32")
    found = np.asarray(compete(logits))
    assert np.isfinite(found).all()
    assert (found[0] > 0).tolist() == (found[2] > 0).tolist() == [True, False]
    assert not (found[[1, 3]] > 0).any()


def test_a_network_in_half_precision_gets_channels_in_half_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        several = with_channels(build_model("deeplab", width=0.1), 2)
    finally:
        keras.config.set_dtype_policy("float32")
    assert several.get_layer(FUSING_LAYER).compute_dtype == "bfloat16"
    assert several.predict_on_batch(IMAGES)["mask"].dtype == np.float32
