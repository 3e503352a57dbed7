"""Mask guidance: a network that is also given the mask of the frame before."""

import json

import keras
import numpy as np
import pytest

import finetune_test
import train_davis_objectness
from models import build_model
from tests import test_stages
from tests.stage3_world import NUM_FRAMES, TINY, animal, tiny_network
from utils import presets, segmentation
from utils.augmentation import (
    PRESETS,
    Augmentation,
    augment,
    augment_with_previous_mask,
    deform_mask,
)
from utils.batches import Batches, FrameSample
from utils.inference import predict_probability
from utils.motion import Motion
from utils.refinement import Refinement, TemporalFilter
from utils.weights import has_mask_guidance, load_weights, read_weights, save_weights

config, dataset, quick = test_stages.config, test_stages.dataset, test_stages.quick
WIDTH = 0.03


def disc(height=90, width=120, radius=20) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.hypot(y - height / 2, x - width / 2) < radius


def iou(one, other) -> float:
    return (one & other).sum() / (one | other).sum()


def as_numpy(logits) -> np.ndarray:
    return keras.ops.convert_to_numpy(logits["mask"])


# The network


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """One with the input and one without, of the same weights, and the file of these."""
    keras.utils.set_random_seed(3)
    guided = build_model(width=WIDTH, mask_guidance=True)
    projection = guided.get_layer("previous_mask_project").kernel
    projection.assign(np.random.default_rng(0).normal(0, 1, projection.shape))
    path = tmp_path_factory.mktemp("weights") / "deeplab.safetensors"
    save_weights(guided, path, {"stage": "objectness", "head": "deeplab"})
    plain = build_model(width=WIDTH)
    load_weights(plain, path)
    return guided, plain, path


@pytest.mark.parametrize("size", [(64, 96), (51, 37), (1, 2)])
def test_where_nothing_is_known_the_network_is_the_one_without(networks, size):
    guided, plain, _ = networks
    images = np.random.default_rng(1).integers(0, 256, (2, *size, 3)).astype("uint8")
    known = np.ones((2, *size, 1), "float32")
    without = as_numpy(guided({"images": images, "previous_mask": 0 * known}))
    np.testing.assert_allclose(without, as_numpy(plain(images)), atol=1e-5)
    given = as_numpy(guided({"images": images, "previous_mask": known}))
    assert given.shape == without.shape and np.abs(given - without).max() > 1e-3


def test_what_a_mask_says_arrives_where_it_is(networks):
    guided, _, _ = networks
    images = np.full((1, 321, 321, 3), 90, "uint8")
    mask = np.full((1, 321, 321, 1), -1, "float32")
    one = as_numpy(guided({"images": images, "previous_mask": mask}))
    mask[:, 176:209, 48:81] = 1
    change = np.abs(as_numpy(guided({"images": images, "previous_mask": mask})) - one)[0, ..., 0]
    y, x = np.unravel_index(change.argmax(), change.shape)
    assert 160 < y < 225 and 32 < x < 97


def test_weights_without_it_leave_its_layers_as_they_are(networks, tmp_path):
    _, plain, path = networks
    assert has_mask_guidance(read_weights(path)[0])
    save_weights(plain, tmp_path / "plain.safetensors", {"head": "deeplab"})
    assert not has_mask_guidance(read_weights(tmp_path / "plain.safetensors")[0])
    network = build_model(width=WIDTH, mask_guidance=True)
    load_weights(network, tmp_path / "plain.safetensors")
    assert not np.any(network.get_layer("previous_mask_project").kernel)  # it says nothing yet
    for layer in plain.layers:
        for one, other in zip(layer.weights, network.get_layer(layer.name).weights, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("scales", [(1.0,), (0.5, 1.3)])
def test_the_mask_is_mirrored_and_scaled_as_the_image_is(flip, scales):
    """A network that answers with the mask it is given."""
    image = keras.Input((None, None, 3), name="images")
    mask = keras.Input((None, None, 1), name="previous_mask")
    logits = keras.layers.Rescaling(9.0)(mask)
    model = keras.Model({"images": image, "previous_mask": mask}, {"mask": logits})
    previous = disc(40, 60, 11)
    previous[:, 40:] = False
    pixels = np.zeros((40, 60, 3), "uint8")
    probability = predict_probability(model, pixels, flip, scales, previous)
    assert iou(probability > 0.5, previous) > 0.9
    unknown = predict_probability(model, pixels, flip, scales)
    np.testing.assert_allclose(unknown, 0.5, atol=1e-6)


# What it learns from


def test_a_deformed_mask_is_near_the_mask_and_not_the_same():
    mask = disc()
    overlaps = [iou(deform_mask(mask, np.random.default_rng(seed)), mask) for seed in range(100)]
    assert 0.6 < np.median(overlaps) < 0.95
    assert min(overlaps) > 0.2 and max(overlaps) < 1
    again = deform_mask(mask, np.random.default_rng(5))
    np.testing.assert_array_equal(again, deform_mask(mask, np.random.default_rng(5)))


@pytest.mark.parametrize("box", [(0, 1, 0, 1), (89, 90, 100, 120), (0, 90, 0, 120), (3, 4, 0, 120)])
def test_the_smallest_and_the_largest_mask_can_be_deformed(box):
    mask = np.zeros((90, 120), bool)
    mask[box[0] : box[1], box[2] : box[3]] = True
    for seed in range(20):
        deformed = deform_mask(mask, np.random.default_rng(seed))
        assert deformed.shape == mask.shape and deformed.dtype == bool


def draw(seed, **options):
    image, target = np.zeros((90, 120, 3), "uint8"), disc(radius=40).astype("uint8")
    other = np.full((90, 120, 3), 200, "uint8"), disc(radius=25).astype("uint8")
    arguments = image, target, (90, 120), Augmentation(flip=0, object_centred=0, **options)
    rng = np.random.default_rng(seed)
    return augment_with_previous_mask(*arguments, rng, pasted=[other]), arguments, other


@pytest.mark.parametrize("seed", range(10))
def test_with_a_mask_only_its_own_object_is_asked_for(seed):
    (image, target, previous), _, _ = draw(seed, no_previous_mask=0)
    assert set(np.unique(previous)) == {-1, 1} and previous.dtype == np.float32
    pasted = image[..., 0] > 150
    assert pasted.any() and not (target[pasted] == 1).any()
    assert ((target == 1) == (disc(radius=40) & ~pasted))[~pasted].mean() > 0.97


@pytest.mark.parametrize("seed", range(5))
def test_without_a_mask_a_crop_is_that_of_augment(seed):
    (image, target, previous), arguments, other = draw(seed, no_previous_mask=1)
    assert not previous.any()
    expected = augment(*arguments, np.random.default_rng(seed), pasted=[other])
    np.testing.assert_array_equal(image, expected[0])
    np.testing.assert_array_equal(target, expected[1])


def test_a_crop_without_object_comes_without_a_mask():
    nothing = np.zeros((40, 50), "uint8")
    rng = np.random.default_rng(0)
    crop = augment_with_previous_mask(
        np.zeros((40, 50, 3), "uint8"), nothing, (32, 32), PRESETS["fine_tune"], rng
    )
    assert not crop[1].any() or set(np.unique(crop[1])) == {0, 255}
    assert not crop[2].any()


def test_batches_bring_both_inputs():
    sample = FrameSample(np.zeros((60, 80, 3), "uint8"), disc(60, 80, 15).astype("uint8"))
    loader = Batches([sample], (32, 48), 8, 4, PRESETS["fine_tune"], 0, mask_guidance=True)
    shares = []
    for index in range(8):
        inputs, targets = loader[index]
        assert inputs["images"].shape == (4, 32, 48, 3) and inputs["images"].dtype == np.uint8
        assert inputs["previous_mask"].shape == (4, 32, 48, 1)
        assert targets["mask"].shape == (4, 32, 48, 1)
        shares += [mask.any() for mask in inputs["previous_mask"]]
    assert 0 < np.mean(shares) < 1


# Stage 2


def test_stage_2_trains_it_from_weights_without_it(config, tmp_path):
    train_davis_objectness.main(config("objectness", mask_guidance=True))
    tensors, _ = read_weights(tmp_path / "weights" / "deeplab.safetensors")
    assert np.abs(tensors["previous_mask_project/kernel"]).max() > 0
    record = tmp_path / "weights" / "deeplab.training" / "run.json"
    assert json.loads(record.read_text())["key"]["mask_guidance"] is True


# Stage 3


def test_the_frame_to_come_is_expected_along_the_flow():
    keep = TemporalFilter(Refinement(), disc().astype("uint8"))
    flow = np.zeros((90, 120, 2), "float32")
    flow[..., 0] = -10  # what is here was ten pixels to the left
    moved = np.roll(disc(), 10, axis=1)
    motion = Motion(flow, np.ones((90, 120), bool))
    assert iou(keep.expect(motion), moved) > 0.98
    keep(moved.astype("float32"), motion)
    assert iou(keep.expect(None), moved) > 0.98
    keep(np.zeros((90, 120), "float32"), None)
    assert keep.expect(None) is None  # out of sight: it may be anywhere


@pytest.fixture
def guided_world(world, monkeypatch):
    """The small world of stage 3 with weights that take a mask."""
    keras.utils.set_random_seed(7)
    world.weights = world.root / "guided.safetensors"
    network = tiny_network(mask_guidance=True)
    save_weights(network, world.weights, {"stage": "objectness", "head": "deeplab"})
    return world.add()


pytestmark = pytest.mark.usefixtures("small_stage3")


def test_each_frame_is_given_where_the_animal_was_in_the_one_before(guided_world, monkeypatch):
    real, given = segmentation.predict_probability, []

    def predict(model, image, *arguments, previous_mask=None):
        if previous_mask is not None:
            given.append(previous_mask)
        return real(model, image, *arguments, previous_mask=previous_mask)

    monkeypatch.setattr(segmentation, "predict_probability", predict)
    assert guided_world.run() == 0
    # From the label, frame 2, to the end, then back to the beginning: each frame once.
    assert len(given) == NUM_FRAMES
    for mask, index in zip(given, [2, 2, 3, 4, 2, 1], strict=True):
        assert mask.shape == (36, 48)
        truth = animal(index)[::, ::] > 0
        centre = np.argwhere(mask).mean(0) / mask.shape - np.argwhere(truth).mean(0) / truth.shape
        assert np.abs(centre).max() < 0.15, index
    overlaps = [iou(m > 0, animal(i) > 0) for i, m in enumerate(guided_world.masks())]
    assert min(overlaps) > 0.6


@pytest.mark.parametrize("calls", [2, NUM_FRAMES, NUM_FRAMES + 3])
def test_a_guided_run_that_was_cut_off_goes_on_to_the_same_masks(guided_world, monkeypatch, calls):
    world = guided_world
    world.run()
    expected = world.masks()
    world.results = world.root / "again"
    real, made = segmentation.predict_probability, []

    def cut_off(*arguments, **options):
        if len(made) == calls:
            raise KeyboardInterrupt
        made.append(1)
        return real(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(segmentation, "predict_probability", cut_off)
        with pytest.raises(KeyboardInterrupt):
            world.run()
    counted = []
    monkeypatch.setattr(
        segmentation, "predict_probability", lambda *a, **k: counted.append(1) or real(*a, **k)
    )
    assert world.run() == 0
    assert len(counted) == 2 * NUM_FRAMES - calls  # what was there was not done again
    np.testing.assert_array_equal(world.masks(), expected)


@pytest.mark.parametrize("share, expected", [(0.0, 6), (0.5, 12)])
def test_a_preset_may_leave_it_out(guided_world, monkeypatch, share, expected):
    from dataclasses import replace

    monkeypatch.setitem(presets.PRESETS, "fast", replace(TINY, guided_share=share))
    monkeypatch.setitem(finetune_test.PRESETS, "fast", replace(TINY, guided_share=share))
    real, made = segmentation.predict_probability, []
    monkeypatch.setattr(
        segmentation, "predict_probability", lambda *a, **k: made.append(1) or real(*a, **k)
    )
    assert guided_world.run() == 0
    assert len(made) == expected
