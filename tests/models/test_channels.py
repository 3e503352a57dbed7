"""The network with a channel for each animal."""

import keras
import numpy as np
import pytest

from models import HEADS, build_model
from models.channels import FUSING_LAYER, take_channel, with_channels

IMAGES = np.random.default_rng(0).integers(0, 256, (1, 40, 56, 3)).astype("uint8")


@pytest.fixture(params=HEADS)
def model(request):
    keras.utils.set_random_seed(3)
    return build_model(request.param, width=0.1)


def test_all_channels_begin_as_the_one_of_the_network_for_one_animal(model):
    several = with_channels(model, 3)
    logits = several.predict_on_batch(IMAGES)["mask"]
    assert logits.shape == (1, 40, 56, 3) and logits.dtype == np.float32
    expected = model.predict_on_batch(IMAGES)["mask"]
    np.testing.assert_allclose(logits, np.repeat(expected, 3, axis=-1), rtol=1e-4, atol=1e-5)


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
    for channel in range(3):
        take_channel(several, model, channel)
        alone = model.predict_on_batch(IMAGES)["mask"]
        np.testing.assert_allclose(alone[..., 0], logits[..., channel], rtol=1e-3, atol=1e-4)


def test_a_network_in_half_precision_gets_channels_in_half_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        several = with_channels(build_model("deeplab", width=0.1), 2)
    finally:
        keras.config.set_dtype_policy("float32")
    assert several.get_layer(FUSING_LAYER).compute_dtype == "bfloat16"
    assert several.predict_on_batch(IMAGES)["mask"].dtype == np.float32
