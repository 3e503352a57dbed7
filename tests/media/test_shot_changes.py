"""Cuts are found, and motion, flashes and fades of the light are none."""

import numpy as np
import pytest

from utils.media.shot_changes import find_cuts, find_shot_changes, leave_out_covers
from utils.media.video_writing import write_video
from utils.media.videos import VideoFile

SCENES = {"meadow": (60, 140, 40), "stable": (120, 90, 60), "night": (20, 20, 50)}


def picture(scene: str, shift: int = 0) -> np.ndarray:
    """uint8 (72, 128, 3): blotches of a scene's colours, shifted to the left."""
    rng = np.random.default_rng(len(scene) * 7 + ord(scene[0]))
    blotches = rng.integers(-15, 16, (9, 64, 1)).repeat(8, 0).repeat(8, 1)
    image = np.clip(np.array(SCENES[scene]) + blotches, 0, 255).astype("uint8")
    return np.roll(image, -shift, axis=1)[:, :128]


class Frames:
    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def read(self, index):
        return self.images[index]


def test_a_cut_is_found_at_the_first_frame_of_the_new_shot():
    images = [picture("meadow", i) for i in range(12)] + [picture("stable", i) for i in range(9)]
    assert find_shot_changes(Frames(images)) == [12]
    images += [picture("night")] * 9
    assert find_shot_changes(Frames(images)) == [12, 21]


def test_motion_is_no_cut():
    assert find_shot_changes(Frames([picture("meadow", 9 * i) for i in range(30)])) == []


def test_a_flash_is_no_cut():
    images = [picture("meadow", i) for i in range(20)]
    images[10] = np.full_like(images[10], 250)
    assert find_shot_changes(Frames(images)) == []


def test_an_arm_in_front_of_the_camera_is_no_cut():
    images = [picture("meadow", i) for i in range(30)]
    images[12:20] = [picture("night", i) for i in range(8)]
    assert find_shot_changes(Frames(images)) == []
    images[20:] = [picture("stable", i) for i in range(10)]
    assert find_shot_changes(Frames(images)) == [12, 20]


def test_a_video_of_one_frame_has_no_cut():
    assert find_shot_changes(Frames([picture("night")])) == []
    assert find_shot_changes(Frames([picture("night"), picture("meadow")])) == [1]


def test_cuts_are_found_in_a_video_file(tmp_path):
    images = [picture("meadow", i) for i in range(10)] + [picture("night", i) for i in range(10)]
    write_video(tmp_path / "hen.mp4", iter(images), None, 10)
    with VideoFile(tmp_path / "hen.mp4") as video:
        assert find_shot_changes(video) == [10]


@pytest.mark.parametrize(
    "changes, cuts",
    [
        ([0, 0.02, 0.5, 0.02, 0.03, 0.02], [2]),
        ([0, 0.3, 0.35, 0.3, 0.35, 0.3], []),
        ([0, 0.2, 0.02], []),
        ([0, 0.02, 0.3, 0.3, 0.02], []),
    ],
)
def test_a_cut_stands_out_from_the_changes_around_it(changes, cuts):
    assert find_cuts(np.array(changes)) == cuts


@pytest.mark.parametrize(
    ("cuts", "same", "left"),
    [
        ([36, 44], {(36, 44)}, []),  # an arm in front of the camera
        ([36, 44], set(), [36, 44]),  # three shots
        ([36, 60], {(36, 60)}, [36, 60]),  # a shot between two of another camera
        ([10, 14, 18, 40], {(10, 18)}, [40]),
        ([10], set(), [10]),
    ],
)
def test_what_covers_the_camera_for_a_moment_is_no_cut(cuts, same, left):
    assert leave_out_covers(cuts, lambda *pair: pair in same) == left
