"""Frames at working size: each decoded as few times as possible, in either direction."""

import numpy as np
import pytest

from utils.stage3 import working_frames
from utils.stage3.partial_run import PartialRun
from utils.stage3.working_frames import BLOCK_FRAMES, WorkingFrames

SIZE = (4, 6)


class CountedVideo:
    """Frames whose every pixel is their number; `read` is the list of frames decoded."""

    def __init__(self, num_frames):
        self.num_frames, self.decoded = num_frames, []

    def __len__(self):
        return self.num_frames

    def read(self, index):
        self.decoded.append(index)
        return np.full((8, 12, 3), index, "uint8")


@pytest.fixture
def frames(tmp_path):
    return WorkingFrames(CountedVideo(200), SIZE, PartialRun(tmp_path, "hen", {}))


@pytest.mark.parametrize("order", [range(200), range(199, -1, -1), [3, 1, 4, 1, 5]])
def test_working_frames_are_the_requested_ones_at_working_size(frames, order):
    for index in order:
        image = frames.read(index)
        assert image.shape == (*SIZE, 3) and (image == index).all()


def test_each_frame_is_decoded_once_when_going_out_from_a_label(frames, monkeypatch):
    frames._capacity = 2 * BLOCK_FRAMES
    for index in [*range(100, 200), 100, *range(99, -1, -1)]:
        frames.read(index)
    again = len(frames.video.decoded) - 200
    assert 0 <= again <= 1  # the label's own frame, which both directions start from


def test_backward_frames_come_in_runs_that_a_decoder_reads_forward(frames):
    for index in range(199, -1, -1):
        frames.read(index)
    steps = np.diff(frames.video.decoded)
    assert (steps == 1).mean() > 0.9


def test_no_more_frames_are_kept_in_memory_than_allowed(frames, monkeypatch):
    frames._capacity = 5
    for index in range(200):
        frames.read(index)
    assert len(frames._cache) == 5
    assert working_frames.CACHE_BYTES < 2**28


def test_grey_frames_are_read_from_disk_also_after_a_restart(tmp_path):
    key = {"a": 1}
    first = WorkingFrames(CountedVideo(3), SIZE, PartialRun(tmp_path, "hen", key)).grey(2)
    video = CountedVideo(3)
    again = WorkingFrames(video, SIZE, PartialRun(tmp_path, "hen", key)).grey(2)
    np.testing.assert_array_equal(first, again)
    assert not video.decoded
