"""The networks: equal to keras.applications.Xception, on the pixel grid, every layer named."""

import re
from collections import Counter

import keras
import numpy as np
import pytest

from models import HEADS, build_model
from models.backbone import BACKBONE
from models.losses import SegmentationLoss
from models.resampling import CropLike, DilatedMaxPooling2D, Interpolate, PadToGrid
from models.xception import xception_features
from utils.training.imagenet_weights import KERAS_SHORTCUTS

WIDTH = 0.05  # narrow networks: the structure counts, not the number of channels
# Outputs besides "mask", which every head has.
MORE_OUTPUTS = {"xfcn": ["side2", "side3", "side4", "side5", "side6"]}


def randomise(model: keras.Model, seed: int = 0) -> None:
    """Random weights, batch statistics among them, of which activations neither fade nor grow."""
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        kind, shape = variable.path.split("/")[-1], tuple(variable.shape)
        if kind in ("gamma", "moving_variance"):
            value = rng.uniform(0.6, 1.4, shape)
        elif "kernel" in kind:
            fan_in = np.prod(shape[:2]) * (1 if "depthwise" in kind else shape[2])
            value = rng.normal(0, np.sqrt(1 / fan_in), shape)
        else:
            value = rng.normal(0, 0.2, shape)
        variable.assign(value.astype("float32"))


def random_images(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3)).astype("uint8")


def logits_of(model: keras.Model, images: np.ndarray) -> dict[str, np.ndarray]:
    return {k: keras.ops.convert_to_numpy(v) for k, v in model(images, training=False).items()}


@pytest.fixture(scope="module", params=HEADS)
def model(request) -> keras.Model:
    network = build_model(request.param, width=WIDTH)
    randomise(network)
    return network


def head_of(model: keras.Model) -> str:
    return model.name.removeprefix(f"{BACKBONE.name}_")


# The backbone


@pytest.fixture(scope="module")
def reference() -> keras.Model:
    """keras.applications.Xception up to block 13, with random weights."""
    whole = keras.applications.Xception(weights=None, include_top=False)
    randomise(whole)
    taps = {
        "block1": whole.get_layer("block1_conv2_act").output,
        "block13": whole.get_layer("block14_sepconv1").input,
    }
    return keras.Model(whole.input, taps)


def build_backbone(output_stride: int) -> keras.Model:
    """The backbone alone: RGB in [-1, 1], (batch, height, width, 3), to its maps by block."""
    images = keras.Input((None, None, 3), name="images")
    return keras.Model(images, xception_features(images, output_stride))


def copy_weights(reference: keras.Model, model: keras.Model) -> None:
    """By name; the reference's unnamed shortcuts by the order of their numbers."""

    def number(layer):
        return int((re.findall(r"_(\d+)$", layer.name) or ["0"])[0])

    names = {}
    for kind, suffix in (("conv2d", ""), ("batch_normalization", "_bn")):
        unnamed = [x for x in reference.layers if re.fullmatch(rf"{kind}(_\d+)?", x.name)]
        for layer, shortcut in zip(sorted(unnamed, key=number), KERAS_SHORTCUTS, strict=True):
            names[layer.name] = shortcut + suffix
    values = {
        f"{names.get(layer.name, layer.name)}/{variable.name}": variable.value
        for layer in reference.layers
        for variable in layer.weights
    }
    for variable in model.weights:
        variable.assign(values[variable.path])


@pytest.mark.parametrize("output_stride", [32, 16, 8])
def test_features_equal_those_of_keras_xception(reference, output_stride):
    # 135 and 103 are 32 k + 7, so that all pooled maps are odd: 65, 33, 17, 9, 5. Then dilation
    # sees what strides see, up to the border.
    images = random_images(1, 135, 103).astype("float32") / 127.5 - 1
    backbone = build_backbone(output_stride)
    copy_weights(reference, backbone)
    expected, found = reference(images), backbone(images)
    assert found["block13"].shape[1:3] == (4 * 32 // output_stride + 1, 3 * 32 // output_stride + 1)
    for block, step in (("block1", 1), ("block13", 32 // output_stride)):
        ours = np.asarray(found[block])[:, ::step, ::step]
        theirs = np.asarray(expected[block])
        assert 0.1 < theirs.std() < 10  # numbers for which 1e-4 means something
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)


def test_features_at_stride_32_equal_keras_xception_at_even_sizes_too(reference):
    images = random_images(1, 128, 150).astype("float32") / 127.5 - 1
    backbone = build_backbone(32)
    copy_weights(reference, backbone)
    expected = np.asarray(reference(images)["block13"])
    np.testing.assert_allclose(np.asarray(backbone(images)["block13"]), expected, atol=1e-4)


def test_unknown_head_and_stride_are_refused():
    expected = f"head must be one of {', '.join(HEADS)}, got 'no_such_head'"
    with pytest.raises(ValueError, match=expected):
        build_model("no_such_head")
    for stride in (4, 12, 64):
        with pytest.raises(ValueError, match=f"8, 16 or 32, got {stride}"):
            build_model("deeplab", output_stride=stride)


# Names


def has_explicit_name(layer: keras.layers.Layer) -> bool:
    default = keras.src.utils.naming.to_snake_case(type(layer).__name__)
    return not re.fullmatch(rf"{default}(_\d+)?", layer.name)


def test_every_layer_is_named(model):
    assert [layer.name for layer in model.layers if not has_explicit_name(layer)] == []


@pytest.fixture(params=HEADS)
def head_layers(request) -> list[keras.layers.Layer]:
    """The layers that a head adds to the backbone's maps."""
    head = HEADS[request.param]
    features = {
        block: keras.Input((None, None, 4), name=f"{block}_map") for block in BACKBONE.strides
    }
    outputs = head.build(features, head.output_stride, WIDTH)
    inputs = set(features)
    layers = keras.Model(list(features.values()), outputs).layers
    return [layer for layer in layers if layer.name.removesuffix("_map") not in inputs]


def test_every_layer_of_a_head_is_named(head_layers):
    assert len(head_layers) > 1
    assert [layer.name for layer in head_layers if not has_explicit_name(layer)] == []


def test_no_layer_of_a_head_is_taken_for_one_of_the_backbone(head_layers):
    # Else it would learn at the backbone's rate, or be frozen with it.
    taken = [x.name for x in head_layers if BACKBONE.block_number(x.name) is not None]
    assert taken == []


def test_no_layer_of_a_head_has_moving_statistics(head_layers):
    # Stage 3 learns from one frame, whose statistics are not those of the video.
    moving = [v.path for x in head_layers for v in x.variables if "moving_" in v.path]
    assert moving == []


def test_a_second_network_has_the_same_names_each_once(model):
    paths = [variable.path for variable in model.variables]
    assert [path for path, count in Counter(paths).items() if count > 1] == []
    again = build_model(head_of(model), width=WIDTH)
    assert [variable.path for variable in again.variables] == paths


def test_output_stride_does_not_change_the_weights():
    paths = [
        {v.path: tuple(v.shape) for v in build_model("deeplab", stride, WIDTH).variables}
        for stride in (8, 16, 32)
    ]
    assert paths[0] == paths[1] == paths[2]


# Inputs and outputs


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (33, 47), (64, 32)])
def test_logits_have_the_size_of_the_image(model, size):
    outputs = model(random_images(1, *size))
    names = ["mask", *MORE_OUTPUTS.get(head_of(model), [])]
    assert list(outputs) == names == list(model.output)
    for logits in outputs.values():
        assert tuple(logits.shape) == (1, *size, 1)
        assert keras.backend.standardize_dtype(logits.dtype) == "float32"
        assert np.isfinite(np.asarray(logits)).all()


def test_uint8_and_float_images_give_the_same_logits(model):
    images = random_images(1, 40, 50)
    for dtype in ("float32", "int32"):
        expected, found = logits_of(model, images), logits_of(model, images.astype(dtype))
        np.testing.assert_allclose(found["mask"], expected["mask"], atol=1e-6)


def test_an_image_gives_the_same_logits_alone_and_in_a_batch(model):
    images = random_images(3, 49, 70)
    images[0] //= 8  # of other statistics than its neighbours
    together = logits_of(model, images)
    for index in range(3):
        alone = logits_of(model, images[index : index + 1])
        for name, logits in alone.items():
            np.testing.assert_allclose(logits[0], together[name][index], atol=1e-4)


def test_mixed_precision_gives_float32_logits():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = build_model(width=WIDTH)
    finally:
        keras.config.set_dtype_policy("float32")
    logits = network(random_images(1, 33, 33))["mask"]
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    assert all(v.dtype == "float32" for v in network.trainable_variables)


# Alignment


@pytest.mark.parametrize("axis", [1, 2])
def test_a_shifted_image_gives_shifted_logits(model, axis):
    # Only what lies beyond the receptive field of every border pixel can be equal, so the image is
    # long in the direction of the shift, and thin.
    shift, margin = HEADS[head_of(model)].output_stride, 820
    shape = [1, 24, 24]
    shape[axis] = 2 * margin + 130
    image = random_images(*shape)

    def part(array, start, stop):
        return np.take(array, np.arange(start, stop), axis=axis)

    length = shape[axis] - shift
    first = logits_of(model, part(image, 0, length))
    second = logits_of(model, part(image, shift, length + shift))
    for name in first:
        expected = part(first[name], margin + shift, length - margin + shift)
        found = part(second[name], margin, length - margin)
        assert expected.shape[axis] >= 80 and expected.std() > 1e-3
        np.testing.assert_allclose(found, expected, atol=1e-4, err_msg=name)


def test_shifts_smaller_than_the_grid_are_not_equal(model):
    # So that the test above cannot pass because logits hardly depend on the image.
    image = random_images(1, 97, 24)
    first, second = logits_of(model, image[:, :-7]), logits_of(model, image[:, 7:])
    difference = np.abs(first["mask"][:, 7:] - second["mask"][:, :-7])
    assert np.median(difference) > 1e-3


@pytest.mark.parametrize("axis", [0, 1])
def test_a_mirrored_image_gives_mirrored_logits_if_the_kernels_are_symmetric(model, axis):
    # Any feature that sat beside its pixel would sit on the other side in the mirrored image. The
    # sides are 32 k + 1, where both ends are padded alike.
    values = [keras.ops.convert_to_numpy(variable.value) for variable in model.variables]
    try:
        for variable, value in zip(model.variables, values, strict=True):
            if value.ndim == 4:
                variable.assign((value + np.flip(value, axis)) / 2)
        image = random_images(1, 65, 97)
        straight, mirrored = logits_of(model, image), logits_of(model, np.flip(image, axis + 1))
    finally:
        for variable, value in zip(model.variables, values, strict=True):
            variable.assign(value)
    for name, logits in straight.items():
        assert np.abs(logits - np.flip(logits, axis + 1)).max() > 1e-2
        np.testing.assert_allclose(np.flip(mirrored[name], axis + 1), logits, atol=1e-4)


# Training


@pytest.mark.parametrize("head", HEADS)
def test_training_reaches_every_variable_and_leaves_batch_statistics(head):
    keras.utils.set_random_seed(0)  # a layer of so narrow a network may be born dead
    network = build_model(head, width=WIDTH)
    before = {v.path: np.array(v.value) for v in network.variables}
    fit_two_steps(network)
    trainable = {v.path for v in network.trainable_variables}
    moved = {v.path for v in network.variables if (np.array(v.value) != before[v.path]).any()}
    assert {path for path in before if "moving_" in path}.isdisjoint(trainable)
    assert trainable - moved == set()
    assert moved - trainable == set()


def test_batch_statistics_follow_the_data_if_asked_to():
    network = build_model(width=WIDTH, train_batch_statistics=True)
    before = {v.path: np.array(v.value) for v in network.variables}
    fit_two_steps(network)
    still = [
        v.path
        for v in network.variables
        if "moving_" in v.path and (np.array(v.value) == before[v.path]).all()
    ]
    assert still == []


def fit_two_steps(network: keras.Model) -> None:
    images = random_images(2, 64, 48)
    targets = (images[..., :1] > 128).astype("uint8")
    losses = {name: SegmentationLoss(region_weight=1.0) for name in network.output}
    # Adam: however small a gradient is, its step is not lost in rounding.
    network.compile(keras.optimizers.Adam(0.01), loss=losses, run_eagerly=True)
    network.fit(images, dict.fromkeys(network.output, targets), batch_size=1, verbose=0)


# Resampling


@pytest.mark.parametrize("size", [1, 2, 8, 33, 34, 65, 480])
def test_padding_gives_sides_of_32_k_plus_7_and_repeats_the_border(size):
    image = np.arange(size * 3 * 3, dtype="float32").reshape(1, size, 3, 3)
    padded = np.asarray(PadToGrid(32, 3)(image))
    height = padded.shape[1]
    assert height % 32 == 7 and height >= size + 6 and height - 32 < size + 6
    assert PadToGrid(32, 3).compute_output_shape((1, size, 3, 3)) == padded.shape
    np.testing.assert_array_equal(padded[:, 3 : 3 + size, 3:6], image)
    np.testing.assert_array_equal(padded[0, :3, 3:6], np.repeat(image[0, :1], 3, 0))
    bottom = padded[0, 3 + size :, 3:6]
    np.testing.assert_array_equal(bottom, np.repeat(image[0, -1:], len(bottom), 0))


@pytest.mark.parametrize("factor", [1, 2, 4, 16])
def test_interpolation_is_linear_and_keeps_the_first_and_last_sample(factor):
    maps = np.random.default_rng(0).normal(size=(2, 4, 6, 3)).astype("float32")
    found = np.asarray(Interpolate(factor)(maps))
    expected = maps.astype("float64")
    for axis, count in ((1, 4), (2, 6)):
        fine = np.linspace(0, count - 1, factor * (count - 1) + 1)
        coarse = np.arange(count)
        expected = np.apply_along_axis(
            lambda line, x=fine, xp=coarse: np.interp(x, xp, line), axis, expected
        )
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert Interpolate(factor).compute_output_shape(maps.shape) == found.shape


def test_interpolated_coordinates_are_those_of_the_pixels():
    coarse = 16.0 * np.stack(np.meshgrid(np.arange(4), np.arange(3), indexing="ij"), -1)
    fine = np.asarray(Interpolate(16)(coarse[None].astype("float32")))[0]
    y, x = np.meshgrid(np.arange(49), np.arange(33), indexing="ij")
    np.testing.assert_allclose(fine, np.stack([y, x], -1), atol=1e-4)


@pytest.mark.parametrize("dilation", [1, 2, 4])
def test_dilated_pooling_is_the_maximum_of_nine_samples(dilation):
    maps = np.random.default_rng(1).normal(size=(2, 7, 5, 3)).astype("float32") - 10
    found = np.asarray(DilatedMaxPooling2D(dilation)(maps))
    expected = np.empty_like(maps)
    for y in range(7):
        for x in range(5):
            near = [
                maps[:, i, j]
                for i in (y - dilation, y, y + dilation)
                for j in (x - dilation, x, x + dilation)
                if 0 <= i < 7 and 0 <= j < 5
            ]
            expected[:, y, x] = np.max(near, axis=0)
    np.testing.assert_array_equal(found, expected)


def test_cropping_takes_the_top_left_corner():
    maps = np.arange(2 * 5 * 6, dtype="float32").reshape(2, 5, 6, 1)
    found = np.asarray(CropLike()([maps, np.zeros((2, 3, 4, 3), "uint8")]))
    np.testing.assert_array_equal(found, maps[:, :3, :4])


@pytest.mark.parametrize(
    "layer", [Interpolate(4), DilatedMaxPooling2D(2), PadToGrid(32, 3), CropLike()]
)
def test_layers_come_back_from_their_configuration(layer):
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
