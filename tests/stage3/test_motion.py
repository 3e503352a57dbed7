"""Optical flow and masks carried along it."""

import cv2
import numpy as np
import pytest

from utils.stage3.motion import Motion, find_motion, to_grey, warp_mask


@pytest.fixture(scope="module")
def scene():
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), "uint8")
    return cv2.resize(noise, (300, 200), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize(("down", "right"), [(0, 0), (6, -9), (-4, 12)])
def test_flow_gives_the_position_of_a_pixel_in_the_other_frame(scene, down, right):
    moved = np.roll(scene, (down, right), (0, 1))
    motion = find_motion(to_grey(scene), to_grey(moved))
    flow = motion.flow
    assert flow.shape == (200, 300, 2) and flow.dtype == np.float32
    error = np.abs(flow[30:-30, 30:-30] - np.array([right, down], "float32"))
    assert np.percentile(error, 95) < 0.5
    assert motion.reliable[30:-30, 30:-30].mean() > 0.95


def test_flow_is_unreliable_where_something_appears(scene):
    changed = scene.copy()
    changed[80:120, 100:180] = scene[20:60, 200:280]
    reliable = find_motion(to_grey(changed), to_grey(scene)).reliable
    inside = np.zeros(reliable.shape, bool)
    inside[85:115, 105:175] = True
    assert reliable[inside].mean() < 0.3
    assert reliable[:60].mean() > 0.95


def test_flow_is_unreliable_between_unrelated_images(scene):
    noise = np.random.default_rng(1).integers(0, 256, (40, 60), "uint8")
    other = cv2.resize(noise, (300, 200), interpolation=cv2.INTER_CUBIC)
    assert find_motion(to_grey(scene), other).reliable.mean() < 0.2


def test_a_mask_moves_with_the_object_it_covers(scene):
    before = np.zeros((200, 300), bool)
    before[60:140, 80:200] = True
    moved = np.roll(scene, (5, 11), (0, 1))
    carried = warp_mask(before, find_motion(to_grey(moved), to_grey(scene)))
    expected = np.roll(before, (5, 11), (0, 1))
    assert (carried & expected).sum() / (carried | expected).sum() > 0.97


def test_without_flow_a_mask_does_not_move():
    mask = np.eye(5, dtype=bool)
    assert warp_mask(mask, None) is mask


def test_a_mask_moved_in_from_outside_the_image_is_empty():
    flow = np.full((10, 10, 2), (4, 0), "float32")  # all came from 4 px further right
    carried = warp_mask(np.ones((10, 10), bool), Motion(flow, np.ones((10, 10), bool)))
    assert carried[:, :6].all() and not carried[:, 6:].any()
