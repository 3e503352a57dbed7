"""Frames at working size: each decoded as few times as possible, in either direction."""

import threading
from concurrent.futures import ThreadPoolExecutor

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


def test_several_threads_get_the_frames_that_they_ask_for(frames):
    frames._capacity = 8
    orders = [np.random.default_rng(seed).integers(0, 200, 300) for seed in range(4)]

    def read_all(order):
        return all((frames.read(index) == index).all() for index in order.tolist())

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(read_all, orders))
    assert len(frames._cache) == 8


def test_a_frame_in_memory_does_not_wait_for_another_one_to_be_decoded(frames, monkeypatch):
    frames.read(7)
    is_decoding, may_end = threading.Event(), threading.Event()
    read = frames.video.read

    def slow(index):
        is_decoding.set()
        assert may_end.wait(10)
        return read(index)

    monkeypatch.setattr(frames.video, "read", slow)
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(frames.read, 50)
        assert is_decoding.wait(10)
        assert (frames.read(7) == 7).all() and not other.done()
        may_end.set()
        assert (other.result() == 50).all()
