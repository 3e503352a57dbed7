"""The table of measured videos, as read."""

import numpy as np
import pytest

from tests.measured_table import SIZE, write_table
from utils.errors import InputError
from utils.frame_choice.measured_videos import read_table


def test_a_table_is_read_as_it_was_written(tmp_path, videos):
    read = read_table(write_table(tmp_path, videos))
    assert [v.name for v in read] == ["cat", "dove", "eel", "fox"]
    for found, video in zip(read, videos, strict=True):
        np.testing.assert_array_equal(found.features.vectors, video.features.vectors)
        np.testing.assert_array_equal(found.scores, video.scores)
        assert found.features.weights_sha256 == "ab" * 32
        assert found.measured.tolist() == [0, 3, 5, 8, 11]


def test_features_and_scores_alone_make_a_table(tmp_path, videos):
    video = videos[0]
    np.savez(tmp_path / "cat.npz", features=video.features.vectors, scores=video.scores)
    [read] = read_table(tmp_path)
    assert read.features.cues == {} and read.measured.tolist() == [0, 3, 5, 8, 11]


@pytest.mark.parametrize(
    "arrays, words",
    [
        ({"features": np.ones((4, SIZE))}, "scores"),
        ({"scores": np.ones(4)}, "features"),
        ({"features": np.ones((4, SIZE)), "scores": np.ones(3)}, "a score per frame"),
        ({"features": np.full((4, SIZE), np.nan), "scores": np.ones(4)}, "finite"),
        ({"features": np.ones((4, SIZE)), "scores": [1, np.nan, np.nan, np.nan]}, "at least two"),
        ({"features": np.ones((4, SIZE + 1)), "scores": np.ones(4)}, "one backbone"),
    ],
)
def test_a_broken_table_is_refused(tmp_path, videos, arrays, words):
    write_table(tmp_path, videos[:2])
    np.savez(tmp_path / "broken.npz", **arrays)
    with pytest.raises(InputError, match=words):
        read_table(tmp_path)


@pytest.mark.parametrize("share", [0, 0.5])
def test_a_file_that_was_cut_off_is_refused_by_its_name(tmp_path, videos, share):
    """It ended in a traceback."""
    path = write_table(tmp_path, videos[:2]) / "dove.npz"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(InputError, match="dove.npz"):
        read_table(tmp_path)


def test_an_empty_table_is_refused(tmp_path):
    with pytest.raises(InputError, match="--table"):
        read_table(tmp_path)
