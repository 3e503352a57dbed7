"""The tables of heads and of the backbone's facts agree with the networks that are built."""

import keras
import numpy as np
import pytest

from models import HEADS, build_model
from models.backbone import BACKBONE
from models.xception import NUM_BLOCKS, freeze_first_blocks, xception_features

WIDTH = 0.05


@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_strides_of_the_table_are_those_of_the_maps(output_stride):
    images = keras.Input((None, None, 3), name="images")
    features = xception_features(images, output_stride, WIDTH)
    assert list(features) == list(BACKBONE.strides) == list(BACKBONE.output_layers)
    side = 2 * BACKBONE.grid_px + 1 + 2 * BACKBONE.margin_px
    maps = keras.Model(images, features)(np.zeros((1, side, side, 3), "float32"))
    for block, values in maps.items():
        assert values.shape[1] == 2 * BACKBONE.grid_px // BACKBONE.stride(block, output_stride) + 1


@pytest.mark.parametrize("head", HEADS)
def test_the_layers_of_the_table_make_the_maps_that_heads_read(head):
    model = build_model(head, width=WIDTH)
    for layer in BACKBONE.output_layers.values():
        model.get_layer(layer)
    numbers = {BACKBONE.block_number(variable.path) for variable in model.variables}
    assert numbers == {None, *range(1, BACKBONE.num_blocks + 1)}
    assert model.name == f"{BACKBONE.name}_{head}"


@pytest.mark.parametrize("head", HEADS)
def test_a_head_works_at_the_output_stride_of_its_line(head):
    default, asked = build_model(head, width=WIDTH), build_model(head, 8, width=WIDTH)
    side = 2 * BACKBONE.grid_px + 1

    def coarsest(model):
        layer = BACKBONE.output_layers[BACKBONE.last_block]
        probe = keras.Model(model.input, model.get_layer(layer).output)
        return 2 * BACKBONE.grid_px // (probe(np.zeros((1, side, side, 3))).shape[1] - 1)

    assert coarsest(default) == HEADS[head].output_stride
    assert coarsest(asked) == (HEADS[head].output_stride if HEADS[head].fixed_stride else 8)


@pytest.mark.parametrize("count", [0, 3, NUM_BLOCKS])
def test_the_first_blocks_are_frozen_and_no_others(count):
    model = build_model(width=WIDTH)
    freeze_first_blocks(model, count)
    learning = {BACKBONE.block_number(v.path) for v in model.trainable_variables}
    assert learning == {None, *range(count + 1, NUM_BLOCKS + 1)}


@pytest.mark.parametrize(
    "name, number",
    [
        ("block4_sepconv1", 4),
        ("block13_add/kernel", 13),
        ("aspp_block1_conv", None),
        ("mask", None),
    ],
)
def test_a_block_is_known_by_the_beginning_of_a_name(name, number):
    assert BACKBONE.block_number(name) == number
