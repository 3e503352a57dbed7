"""Outlines redrawn along the edges of the image: what the filters may change, and what they may
not."""

import numpy as np
import pytest

from tests.stage3_world import NUM_FRAMES
from utils.errors import UsageError
from utils.stage3.guided_filter import guided_filter
from utils.stage3.outline import redraw_outline, region_at
from utils.stage3.settings import DenseCrf, GuidedFilter

SHAPE = (96, 128)
FILTERS = [DenseCrf(5, 0.0, 1.0, 3.0, 60.0, 15.0), GuidedFilter(radius_px=40)]
pytestmark = pytest.mark.parametrize("settings", FILTERS, ids=["crf", "guided"])


def square(left: int, top: int = 30, side: int = 30) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[top : top + side, left : left + side] = True
    return mask


def picture(*masks: np.ndarray) -> np.ndarray:
    return np.where(np.any(masks, axis=0)[..., None], (200, 60, 60), (60, 120, 60)).astype("uint8")


def as_bytes(mask: np.ndarray, inside=0.8, outside=0.1) -> np.ndarray:
    return np.round(255 * np.where(mask, inside, outside)).astype("uint8")


def errors(mask: np.ndarray, truth: np.ndarray) -> int:
    return np.count_nonzero(mask != truth)


def test_the_outline_moves_to_the_edge_of_the_image(settings):
    truth, found = square(40), square(42)
    probability, region = redraw_outline(as_bytes(found), found, picture(truth), settings, 0.5)
    assert probability.dtype == np.uint8 and region.dtype == bool
    assert probability.shape == region.shape == SHAPE
    assert errors(region, truth) < errors(found, truth)
    np.testing.assert_array_equal(region, (probability > 127.5) & region)


def test_what_the_temporal_filter_dropped_stays_out(settings):
    truth, other = square(40), square(70)
    found = truth | other  # the other one touches the animal and looks the same
    _, region = redraw_outline(as_bytes(found), truth, picture(truth, other), settings, 0.5)
    assert not (region & other).any()


def test_far_pixels_keep_their_probability(settings):
    truth, far = square(5, top=5, side=10), square(110, top=80, side=10)
    probability = as_bytes(truth | far)
    redrawn, _ = redraw_outline(probability, truth, picture(truth), settings, 0.5)
    box = np.s_[75:, 100:]
    np.testing.assert_array_equal(redrawn[box], probability[box])


def test_a_lost_animal_stays_lost(settings):
    nothing = np.zeros(SHAPE, bool)
    probability, region = redraw_outline(
        as_bytes(nothing), nothing, picture(square(40)), settings, 0.5
    )
    assert not region.any()
    np.testing.assert_array_equal(probability, as_bytes(nothing))


def test_a_region_of_a_smaller_size_is_taken(settings):
    truth = square(40)
    small = truth[::2, ::2]
    _, region = redraw_outline(as_bytes(truth), small, picture(truth), settings, 0.5)
    assert errors(region, truth) < 0.05 * truth.sum()
    assert region_at(small, *SHAPE).sum() > truth.sum()  # a pixel wider


def test_distances_follow_the_size_of_the_frame(settings):
    def redraw(times: int) -> np.ndarray:
        def grown(array):
            return array.repeat(times, axis=0).repeat(times, axis=1)

        truth, found = grown(square(40)), grown(square(42))
        return redraw_outline(as_bytes(found), found, picture(truth), settings, 0.5)[1]

    assert errors(redraw(2)[::2, ::2], redraw(1)) < 0.05 * square(40).sum()


def test_the_guided_filter_leaves_flat_maps_and_linear_ones_alone(settings):
    image = np.zeros((*SHAPE, 3), "uint8")
    image[..., 1] = np.arange(SHAPE[1])
    flat = np.full(SHAPE, 0.3, "float32")
    np.testing.assert_allclose(guided_filter(flat, image, 4, 1e-4), flat, atol=1e-5)
    linear = image[..., 1].astype("float32") / 255
    found = guided_filter(linear, image, 4, 1e-9)
    np.testing.assert_allclose(found, linear, atol=1e-3)


FLAGS = {DenseCrf: {"crf": True}, GuidedFilter: {"guided_filter": True}}


def test_a_run_with_a_filter_has_its_own_key_and_a_plain_one_keeps_its_own(settings, world):
    world.add(labelled=range(NUM_FRAMES))
    assert world.run(guidance="2") == 0
    plain, masks = world.record()["key"], world.masks()
    assert "outline" not in plain
    world.results = world.root / "redrawn"
    assert world.run(guidance="2", **FLAGS[type(settings)]) == 0
    key = world.record()["key"]
    assert list(key["outline"]) == [type(settings).__name__]
    assert {name: value for name, value in key.items() if name != "outline"} == plain
    assert world.record()["scores"]["J-Mean"] > 0.5
    assert world.masks().shape == masks.shape


def test_only_one_filter_can_be_asked_for(settings, world):
    with pytest.raises(UsageError, match="--crf and --guided-filter"):
        world.run(crf=True, guided_filter=True)
