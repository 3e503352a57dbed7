"""The fine-tuned network is averaged with the one that it was before."""

from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.stage3_world import TINY
from utils import paths
from utils.stage3 import kind_frames, pipeline, presets, window
from utils.stage3.company import knows_kind

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


@pytest.fixture
def run(world, monkeypatch):
    """Runs with this share of the start weights; returns the weights that segmented the video."""

    def run(share, *, knows=True, **settings):
        preset = replace(TINY, start_share=share, **settings)
        monkeypatch.setitem(presets.PRESETS, "fast", preset)
        monkeypatch.setattr(kind_frames, "knows_kind", lambda found, mask: knows)
        assert world.run(save_weights=True, overwrite=True) == 0
        return load_file(paths.FINE_TUNE_WEIGHTS / "hen" / "deeplab.safetensors")

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
    [(window, "predict_probability", 3), (pipeline, "write_label", 3)],
)
def test_a_run_that_was_cut_off_gives_the_same_masks(run, world, module, function, calls):
    run(0.25)
    masks = world.masks()
    world.results = world.root / "again"
    world.run_cut_off(module, function, calls)
    assert world.run() == 0
    np.testing.assert_array_equal(world.masks(), masks)


def test_what_the_labelled_frame_shows_decides(run, world, monkeypatch):
    seen = []
    run(0.0)
    monkeypatch.setitem(presets.PRESETS, "fast", replace(TINY, start_share=0.25))
    monkeypatch.setattr(
        kind_frames, "knows_kind", lambda found, mask: seen.append((found.shape, mask.mean()))
    )
    world.run(overwrite=True)
    ((shape, share),) = seen
    assert shape == (36, 48) and 0 < share < 0.5
