"""The fine-tuned network is averaged with the one that it was before."""

from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.stage3_world import TINY, frame, tiny_network
from utils import paths
from utils.media.images import resize_image
from utils.stage3 import fine_tuning, kind_frames, presets, window
from utils.stage3.company import knows_kind
from utils.stage3.inference import predict_probability
from utils.training.weights import load_weights

SIZE = (20, 40)


def left_part(columns):
    return np.tile(np.arange(SIZE[1]) < columns, (SIZE[0], 1))


@pytest.mark.parametrize(
    "found, is_known",
    [
        (left_part(10), True),
        (left_part(5), True),
        (left_part(4), False),  # it misses the animal
        (left_part(20), True),
        (left_part(21), False),  # an untrained head finds anything
    ],
)
def test_a_network_knows_the_kind_if_it_finds_the_animal_and_not_everything(found, is_known):
    assert knows_kind(found, left_part(10)) is is_known


def saved_network():
    return paths.FINE_TUNE_WEIGHTS / "hen" / "deeplab.safetensors"


@pytest.fixture
def run(world, monkeypatch):
    """Runs with this share of the start weights; returns the weights that segmented the video."""

    def run(share, *, knows=True):
        monkeypatch.setitem(presets.PRESETS, "fast", replace(TINY, start_share=share))
        monkeypatch.setattr(kind_frames, "knows_kind", lambda found, mask: knows)
        assert world.run(save_weights=True, overwrite=True) == 0
        return load_file(saved_network())

    world.add()
    return run


def test_the_network_is_the_mean_with_the_weights_to_start_from(run, world):
    start, tuned, mean = load_file(world.weights), run(0.0), run(0.25)
    changed = [path for path in tuned if (tuned[path] != start[path]).any()]
    assert changed
    for path in tuned:
        expected = 0.75 * tuned[path] + 0.25 * start[path]
        np.testing.assert_allclose(mean[path], expected, rtol=1e-2, atol=1e-4)


def test_a_network_that_did_not_know_the_kind_adds_nothing(run):
    tuned, same = run(0.0), run(0.25, knows=False)
    for path in tuned:
        np.testing.assert_array_equal(same[path], tuned[path])


@pytest.mark.parametrize(
    "module, function, calls",
    [(fine_tuning, "_stop_if_not_finite", 2), (window, "predict_probability", 3)],
)
def test_a_run_that_was_cut_off_makes_the_mean_once(run, world, module, function, calls):
    weights, masks = run(0.25), world.masks()
    world.results = world.root / "again"
    world.run_cut_off(module, function, calls)
    assert world.run(save_weights=True) == 0
    again = load_file(saved_network())
    for path in weights:
        np.testing.assert_array_equal(again[path], weights[path])
    np.testing.assert_array_equal(world.masks(), masks)


def test_the_network_as_it_was_decides_also_in_the_second_video(world, monkeypatch):
    world.add().add("mule")
    monkeypatch.setitem(presets.PRESETS, "fast", replace(TINY, start_share=0.25))
    seen = []
    monkeypatch.setattr(kind_frames, "knows_kind", lambda found, mask: seen.append((found, mask)))
    assert world.run() == 0
    model = tiny_network()
    load_weights(model, world.weights)
    assert len(seen) == 2
    for found, mask in seen:
        assert 0 < mask.mean() < 0.5
        image = resize_image(frame(2), *mask.shape)
        expected = predict_probability(model, image, flip=False) > 0.5
        assert (found == expected).mean() > 0.98
