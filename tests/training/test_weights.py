"""Weights files: every tensor by its name, or an error that names it and changes nothing."""

import json
import shutil
from types import SimpleNamespace

import h5py
import keras
import numpy as np
import pytest
from keras import layers
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from models import HEADS, build_model
from models.backbone import BACKBONE
from utils import paths
from utils.errors import InputError
from utils.files import sha256_of
from utils.training.imagenet_weights import KERAS_SHORTCUTS, convert_keras_xception
from utils.training.weights import (
    find_weights,
    load_weights,
    save_weights,
)

WIDTH = 0.05
FACTS = {"stage": "objectness", "head": "deeplab", "data": "DAVIS", "steps": 12, "J": 0.75}


@pytest.fixture(scope="module")
def narrow() -> keras.Model:
    return build_model(width=WIDTH)


def values_of(model: keras.Model) -> dict[str, np.ndarray]:
    return {v.path: keras.ops.convert_to_numpy(v.value).copy() for v in model.variables}


def fill(model: keras.Model, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        variable.assign(rng.normal(size=tuple(variable.shape)).astype("float32"))
    return values_of(model)


def assert_equal(found: dict, expected: dict, **tolerance) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, err_msg=name, **tolerance)


@pytest.fixture
def saved(narrow, tmp_path):
    """A weights file, its tensors, and a network filled with something else."""
    fill(narrow, 0)
    path = tmp_path / "deeplab.safetensors"
    save_weights(narrow, path, FACTS)
    fill(narrow, 1)
    return path


def rewrite(path, change) -> None:
    """Changes the tensors of a file that stands alone, its metadata kept."""
    (path.parent / paths.MANIFEST_NAME).unlink()
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    save_file(change(tensors) or tensors, path, metadata=metadata)


def refused(model, path, match) -> str:
    before = values_of(model)
    with pytest.raises(InputError, match=match) as error:
        load_weights(model, path)
    assert_equal(values_of(model), before, rtol=0)
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    return str(error.value)


# Round trips


@pytest.mark.parametrize("half", [False, True])
def test_saved_weights_come_back(narrow, tmp_path, half):
    expected = fill(narrow, 0)
    path = tmp_path / "new folder" / "deeplab.safetensors"
    sha256 = save_weights(narrow, path, FACTS, half)
    fill(narrow, 1)
    metadata = load_weights(narrow, path)
    assert_equal(values_of(narrow), expected, rtol=1e-3 if half else 0, atol=1e-6 if half else 0)
    assert metadata == {**{key: str(value) for key, value in FACTS.items()}, "sha256": sha256}
    manifest = json.loads((path.parent / paths.MANIFEST_NAME).read_text())
    assert manifest == {path.name: {"sha256": sha256_of(path), **FACTS}}


def test_half_precision_keeps_vectors_whole(narrow, tmp_path):
    narrow.get_layer("block5_sepconv1_bn").moving_variance.assign_add(
        keras.ops.full(narrow.get_layer("block5_sepconv1_bn").moving_variance.shape, 1e6)
    )
    expected = values_of(narrow)
    save_weights(narrow, tmp_path / "a.safetensors", {}, half=True)
    tensors = load_file(tmp_path / "a.safetensors")
    assert {str(v.dtype) for v in tensors.values() if v.ndim > 1} == {"float16"}
    for name, value in tensors.items():
        if value.ndim == 1:
            np.testing.assert_array_equal(value, expected[name])


def test_a_manifest_keeps_its_other_lines(narrow, tmp_path):
    for name in ("deeplab", "xfcn", "deeplab"):
        save_weights(narrow, tmp_path / f"{name}.safetensors", FACTS)
    manifest = json.loads((tmp_path / paths.MANIFEST_NAME).read_text())
    assert list(manifest) == ["deeplab.safetensors", "xfcn.safetensors"]


def test_weights_that_are_not_finite_are_not_saved(narrow, tmp_path):
    fill(narrow, 0)
    bias = narrow.get_layer("mask_logits").bias
    bias.assign(np.full(bias.shape, np.nan, "float32"))
    with pytest.raises(ValueError, match="mask_logits/bias is not finite"):
        save_weights(narrow, tmp_path / "deeplab.safetensors", FACTS)
    assert list(tmp_path.iterdir()) == []


def test_the_order_of_tensors_does_not_matter(narrow, saved):
    expected = load_file(saved)
    rewrite(saved, lambda tensors: dict(reversed(list(tensors.items()))))
    load_weights(narrow, saved)
    assert_equal(values_of(narrow), expected, rtol=0)


@pytest.mark.parametrize("head", HEADS)
def test_the_shipped_imagenet_weights_fill_the_backbone_of_either_head(head):
    model = build_model(head)
    before = values_of(model)
    metadata = load_weights(model, paths.IMAGENET_WEIGHTS_FILE)
    tensors = load_file(paths.IMAGENET_WEIGHTS_FILE)
    assert metadata["stage"] == "imagenet"
    after = values_of(model)
    assert {name for name in after if name.startswith("block")} == tensors.keys()
    for name, value in after.items():
        expected = tensors.get(name, before[name]).astype("float32")
        np.testing.assert_array_equal(value, expected, err_msg=name)


# Refusals


def test_a_missing_tensor_is_named(narrow, saved):
    rewrite(saved, lambda tensors: {k: v for k, v in tensors.items() if k != "mask_logits/bias"})
    refused(narrow, saved, "tensor mask_logits/bias of xception_deeplab is missing")


def test_an_extra_tensor_is_named(narrow, saved):
    rewrite(saved, lambda tensors: {**tensors, "block14_sepconv1/kernel": np.zeros(3, "float32")})
    refused(narrow, saved, "tensor block14_sepconv1/kernel is not part of xception_deeplab")


def test_a_misshapen_tensor_is_named(narrow, saved):
    def transpose(tensors):
        kernel = tensors["aspp_project/kernel"]
        tensors["aspp_project/kernel"] = np.ascontiguousarray(np.swapaxes(kernel, 2, 3))

    rewrite(saved, transpose)
    refused(narrow, saved, r"tensor aspp_project/kernel has shape \(1, 1, 13, 52\).*expects")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_tensor_that_is_not_finite_is_named(narrow, saved, bad):
    def spoil(tensors):
        tensors["block13_sepconv2_bn/gamma"][3] = bad

    rewrite(saved, spoil)
    refused(narrow, saved, "tensor block13_sepconv2_bn/gamma has values that are not finite")


def test_swapped_names_of_equal_shapes_swap_the_values(narrow, saved):
    # Matching by position would not notice; here values follow their names.
    first, second = "block5_sepconv1_bn/gamma", "block6_sepconv1_bn/gamma"
    tensors = load_file(saved)
    assert not np.array_equal(tensors[first], tensors[second])

    def swap(tensors):
        tensors[first], tensors[second] = tensors[second], tensors[first]

    rewrite(saved, swap)
    load_weights(narrow, saved)
    after = values_of(narrow)
    np.testing.assert_array_equal(after[first], tensors[second])
    np.testing.assert_array_equal(after[second], tensors[first])


@pytest.mark.parametrize("keep", [0, 5, 100, 0.5, -1])
def test_a_file_cut_short_is_refused(narrow, saved, keep):
    (saved.parent / paths.MANIFEST_NAME).unlink()
    content = saved.read_bytes()
    saved.write_bytes(content[: int(len(content) * keep) if isinstance(keep, float) else keep])
    refused(narrow, saved, "not a complete safetensors file")


def test_an_altered_byte_is_found_by_the_manifest(narrow, saved):
    content = bytearray(saved.read_bytes())
    content[-10] ^= 1
    saved.write_bytes(content)
    refused(narrow, saved, "sha256 is .*MANIFEST.json says .*damaged or was replaced")


def test_a_given_hash_is_checked_without_a_manifest(narrow, saved):
    sha256 = sha256_of(saved)
    (saved.parent / paths.MANIFEST_NAME).unlink()
    load_weights(narrow, saved, sha256)
    with pytest.raises(InputError, match="damaged or was replaced"):
        load_weights(narrow, saved, "0" * 64)


def test_a_broken_manifest_is_refused(narrow, saved):
    (saved.parent / paths.MANIFEST_NAME).write_text('{"deeplab')
    before = values_of(narrow)
    with pytest.raises(InputError, match="MANIFEST.json: not valid JSON"):
        load_weights(narrow, saved)
    assert_equal(values_of(narrow), before, rtol=0)


def test_weights_of_another_head_are_refused_by_name(saved):
    refused(build_model("xfcn", width=WIDTH), saved, "weights of head deeplab.*--head deeplab")


def test_a_network_that_chooses_frames_is_no_advice_for_a_flag(narrow, tmp_path):
    """`--head BN0` was the advice; there is no such choice."""
    path = tmp_path / "BN0.safetensors"
    save_weights(narrow, path, FACTS | {"head": "BN0"})
    assert "--head" not in refused(narrow, path, "weights of head BN0.*another file")


def test_weights_of_another_width_are_refused(saved):
    refused(build_model(width=0.1), saved, r"tensor \S+ has shape .*, the network expects")


def test_imagenet_weights_of_another_width_are_refused(narrow):
    refused(narrow, paths.IMAGENET_WEIGHTS_FILE, r"tensor block\S+ has shape")


def test_something_else_is_refused(narrow, tmp_path):
    for name, content in (("a.safetensors", b"\x89PNG\r\n\x1a\n" * 20), ("b.safetensors", b"")):
        (tmp_path / name).write_bytes(content)
        refused(narrow, tmp_path / name, "not a complete safetensors file")
    refused(narrow, tmp_path / "c.safetensors", "No weights file at .*weights/README.md")
    refused(narrow, tmp_path, "No weights file at")


# Which weights


@pytest.fixture
def weights_root(tmp_path, monkeypatch):
    for constant, folder in (
        ("IMAGENET_WEIGHTS", "imagenet"),
        ("PASCAL_BASE_WEIGHTS", "pascal"),
        ("OBJECTNESS_WEIGHTS", "objectness"),
    ):
        (tmp_path / folder).mkdir()
        monkeypatch.setattr(paths, constant, tmp_path / folder)
    monkeypatch.setattr(paths, "IMAGENET_WEIGHTS_FILE", tmp_path / "imagenet/xception.safetensors")
    return tmp_path


def test_the_best_weights_are_found_and_named(weights_root):
    with pytest.raises(InputError, match="No weights for head deeplab.*--weights"):
        find_weights("deeplab")
    for file, words in (
        ("imagenet/xception.safetensors", "ImageNet"),
        ("pascal/deeplab.safetensors", "Pascal base"),
        ("objectness/deeplab.safetensors", "objectness"),
    ):
        (weights_root / file).touch()
        path, reason = find_weights("deeplab")
        assert path == weights_root / file and reason.startswith(words)
    assert find_weights("xfcn")[0] == weights_root / "imagenet/xception.safetensors"
    own = weights_root / "own.safetensors"
    assert find_weights("deeplab", own) == (own, "named by --weights")


def test_last_weights_are_no_substitute_for_the_best(weights_root):
    (weights_root / "objectness" / "deeplab.last.safetensors").touch()
    (weights_root / "imagenet" / "xception.safetensors").touch()
    assert find_weights("deeplab")[0].name == "xception.safetensors"


# Conversion


def write_legacy_h5(path, model: keras.Model, rename: dict[str, str], encode: bool) -> None:
    """Keras' legacy layout: layer groups, lists of names in attributes, ":0" behind variables."""

    def text(names):
        return [name.encode() for name in names] if encode else names

    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = text([rename.get(x.name, x.name) for x in model.layers])
        for layer in model.layers:
            name = rename.get(layer.name, layer.name)
            group = file.create_group(name)
            names = [f"{name}/{v.path.split('/')[-1]}:0" for v in layer.weights]
            group.attrs["weight_names"] = text(names)
            for weight, variable in zip(names, layer.weights, strict=True):
                group[weight] = keras.ops.convert_to_numpy(variable.value)


def fake_xception() -> keras.Model:
    """Layers of the right names on tiny shapes, the shortcuts interleaved as in the original."""
    x = image = keras.Input((None, None, 3), name="input_1")
    for block in (1, 2, 3, 4, 5, 13, 14):
        if block in (2, 3, 4, 13):
            x = layers.Conv2D(4, 1, use_bias=False, name=f"block{block}_shortcut")(x)
            x = layers.BatchNormalization(name=f"block{block}_shortcut_bn")(x)
        name = f"block{block}_sepconv1"
        x = layers.Activation("relu", name=f"{name}_act")(x)
        x = layers.SeparableConv2D(4, 3, use_bias=False, name=name)(x)
        x = layers.BatchNormalization(name=f"{name}_bn")(x)
    return keras.Model(image, x, name="xception")


@pytest.mark.parametrize("first, encode", [(0, True), (8, False)])
def test_keras_legacy_weights_are_converted_by_name(tmp_path, first, encode):
    # The first network built in a process has conv2d, conv2d_1 ...; a later one conv2d_8 to
    # conv2d_11, whose alphabetical order is not that of the network.
    rename = {}
    for number, shortcut in enumerate(KERAS_SHORTCUTS, start=first):
        suffix = f"_{number}" if number else ""
        rename[shortcut] = f"conv2d{suffix}"
        rename[f"{shortcut}_bn"] = f"batch_normalization{suffix}"
    model = fake_xception()
    expected = fill(model, 0)
    write_legacy_h5(tmp_path / "keras.h5", model, rename, encode)
    target = tmp_path / "imagenet" / "xception.safetensors"
    sha256 = convert_keras_xception(tmp_path / "keras.h5", target)
    tensors = load_file(target)
    assert_equal(
        {name: value.astype("float32") for name, value in tensors.items()},
        {name: value for name, value in expected.items() if not name.startswith("block14")},
        rtol=1e-3,
        atol=1e-6,
    )
    assert {str(v.dtype) for v in tensors.values() if v.ndim > 1} == {"float16"}
    manifest = json.loads((target.parent / paths.MANIFEST_NAME).read_text())
    assert manifest[target.name]["sha256"] == sha256 == sha256_of(target)
    assert manifest[target.name]["stage"] == "imagenet"


def test_the_file_that_keras_downloads_is_as_good_as_ours(tmp_path, narrow):
    expected = fill(narrow, 0)
    rename = {}
    for number, shortcut in enumerate(KERAS_SHORTCUTS):
        suffix = f"_{number}" if number else ""
        rename |= {shortcut: f"conv2d{suffix}", f"{shortcut}_bn": f"batch_normalization{suffix}"}
    parts = {}
    for variable in narrow.weights:
        if BACKBONE.block_number(variable.path) is not None:
            parts.setdefault(variable.path.split("/")[0], []).append(variable)
    stored = [SimpleNamespace(name=name, weights=weights) for name, weights in parts.items()]
    path = tmp_path / "xception_weights_tf_dim_ordering_tf_kernels_notop.h5"
    write_legacy_h5(path, SimpleNamespace(layers=stored), rename, True)
    before = fill(narrow, 1)
    assert load_weights(narrow, path)["stage"] == "imagenet"
    for name, value in values_of(narrow).items():
        source = expected if name.split("/")[0] in parts else before
        np.testing.assert_array_equal(value, source[name], err_msg=name)


def test_another_h5_file_is_refused_by_name(tmp_path, narrow):
    (tmp_path / "text.h5").write_text("no weights")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["values"] = np.zeros(3)
    for name in ("text.h5", "other.h5"):
        with pytest.raises(InputError, match=f"{name}.*keras.applications.Xception"):
            load_weights(narrow, tmp_path / name)


def test_the_shipped_weights_match_their_manifest(tmp_path, narrow):
    for manifest in paths.WEIGHTS.glob("*/" + paths.MANIFEST_NAME):
        for name, facts in json.loads(manifest.read_text()).items():
            assert sha256_of(manifest.parent / name) == facts["sha256"]
    # A copy of the folder with one byte changed is noticed.
    copy = tmp_path / "copy"
    shutil.copytree(paths.IMAGENET_WEIGHTS, copy)
    with open(copy / paths.IMAGENET_WEIGHTS_FILE.name, "r+b") as file:
        file.seek(-2, 2)
        file.write(b"\x01")
    with pytest.raises(InputError, match="damaged or was replaced"):
        load_weights(narrow, copy / paths.IMAGENET_WEIGHTS_FILE.name)
