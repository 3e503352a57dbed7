"""A part of a video: its own frames, under the numbers of the whole."""

import numpy as np
import pytest

from tests.made_results import frame
from utils.errors import InputError, UsageError
from utils.media.video_part import VideoPart, parse_part, take_part
from utils.media.video_writing import write_video
from utils.media.videos import VideoFile


@pytest.fixture
def whole(tmp_path):
    times = [0.1 * index + 0.05 * (index > 4) for index in range(10)]
    write_video(tmp_path / "hen.mp4", (frame(index) for index in range(10)), times, 10)
    with VideoFile(tmp_path / "hen.mp4") as video:
        yield video


def test_a_part_has_the_frames_names_and_times_of_the_whole(whole):
    part = take_part(whole, 4, 7)
    assert (len(part), part.first_frame, part.name) == (3, 4, "hen")
    assert part.frame_names == ("00004", "00005", "00006")
    np.testing.assert_array_equal(part.read(2), whole.read(6))
    assert part.times_in_whole() == pytest.approx([0.4, 0.55, 0.65], abs=1e-4)
    assert part.times_seconds() == pytest.approx([0, 0.15, 0.25], abs=1e-4)
    assert part.locate(1) == whole.locate(5)
    assert (part.height, part.width) == (whole.height, whole.width)
    with pytest.raises(IndexError):
        part.read(3)


def test_another_part_is_another_input(whole):
    digests = {take_part(whole, *part).sha256() for part in ((0, 5), (0, 6), (1, 6), (1, None))}
    assert len(digests | {whole.sha256()}) == 5


@pytest.mark.parametrize("text, part", [("3:7", (3, 7)), (":7", (0, 7)), ("3:", (3, None))])
def test_a_part_is_named_as_a_slice(text, part):
    assert parse_part(text) == part


@pytest.mark.parametrize("text", ["3", "7:3", "3:3", "a:b", "-3:4", ":0", "1:2:3", ""])
def test_a_malformed_part_is_a_usage_error(text):
    with pytest.raises(UsageError, match="--frames must be A:B"):
        parse_part(text)


@pytest.mark.parametrize("part", [(0, 11), (10, None), (12, 13)])
def test_a_part_beyond_the_end_is_refused(whole, part):
    with pytest.raises(InputError, match="the video has frames 0 to 9"):
        take_part(whole, *part)


def test_a_part_of_a_silent_video_is_silent(whole):
    assert isinstance(take_part(whole, 0, 3), VideoPart) and take_part(whole, 0, 3).sound is None
