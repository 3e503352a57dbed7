"""Files of bubblenet_select.py and of the original BubbleNets, as read."""

import os
from pathlib import Path

import pytest

from tests.frame_choice_world import write_frames
from utils import paths
from utils.errors import InputError
from utils.frame_choice.selection_files import (
    read_current_rankings,
    read_selection,
    save_rankings,
)
from utils.media.videos import FrameFolder

NAMES = [f"{i:05d}" for i in range(40)]


def write_selection(folder: Path, name: str, text: str) -> Path:
    (folder / f"{name}.txt").write_text(text)
    return folder


@pytest.mark.parametrize(
    "selection, text, frames",
    [
        ("BN0", "BN0\n32\n00032.jpg\n", [32]),
        ("BNLF", "BNLF\n7\n00007.jpg", [7]),
        ("all", "2 suggested annotations for hen\n32\n00032.jpg\n7\n00007.jpg\n", [32, 7]),
        ("all", "1 suggested annotation for hen\r\n32\r\n00032.jpg\r\n\r\n", [32]),
    ],
)
def test_selections_of_the_original_are_read(tmp_path, selection, text, frames):
    assert read_selection(write_selection(tmp_path, selection, text), selection, NAMES) == frames


def test_the_name_counts_before_the_index(tmp_path):
    # The original counts frames of its own list, which may be a subset.
    folder = write_selection(tmp_path, "BN0", "BN0\n3\nframe 20.jpg\n")
    assert read_selection(folder, "BN0", ["frame 10", "frame 20", "frame 30", "frame 40"]) == [1]
    assert read_selection(folder, "BN0", NAMES) == [3]


@pytest.mark.skipif(os.name == "nt", reason="names have no line breaks there")
def test_names_with_a_line_break_are_read_back(tmp_path):
    """The file had a line more: it was refused, and advised to be made again."""
    folder = tmp_path / "hen\nin the yard"
    write_frames(folder, [90] * 3)
    (folder / "00001.png").rename(folder / "00001\nb.png")
    video = FrameFolder(folder)
    key, rankings = {"frames": "these"}, {"BN0": [1, 0, 2], "BNLF": [2, 1, 0]}
    save_rankings(tmp_path, key, video, rankings)
    assert read_selection(tmp_path, "all", video.frame_names) == [1, 2]
    assert read_selection(tmp_path, "BN0", video.frame_names) == [1]
    assert read_current_rankings(tmp_path, key, video) == rankings


def test_no_selection_is_an_empty_one(tmp_path):
    write_selection(tmp_path, "BN0", "BN0\n3\n00003.jpg\n")
    assert read_selection(tmp_path, "BNLF", NAMES) == []
    assert read_selection(tmp_path / "nowhere", "BN0", NAMES) == []


@pytest.mark.parametrize(
    "text",
    ["", "BN0\n", "BN0\n3\n", "BN0\nthree\n00003.jpg\n", "BN0\n40\n00040.jpg\n", "BN0\n-1\nx.jpg\n"]
    + ["3\n00003.jpg\n", "2 suggested\n3\n00003.jpg\n4\n", "BN0\n3\n00003.jpg\n77\n00077.jpg\n"],
)
def test_broken_selections_are_refused_by_name(tmp_path, text):
    folder = write_selection(tmp_path, "BN0", text)
    with pytest.raises(InputError, match=r"BN0\.txt: expected a header.*bubblenet_select\.py"):
        read_selection(folder, "BN0", NAMES)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00\x80 binary", "BN0\n²\nx.jpg\n".encode()])
def test_selections_that_are_no_text_are_refused_by_name(tmp_path, content):
    (tmp_path / "BN0.txt").write_bytes(content)
    with pytest.raises(InputError, match=r"BN0\.txt"):
        read_selection(tmp_path, "BN0", NAMES)


def test_selections_stand_in_the_data_sets_folder(tmp_path):
    folder = Path("bubbleNet_data", "rawData", "hen", "frame_selection")
    assert paths.frame_selection_dir(tmp_path, "hen") == tmp_path.resolve() / folder
    for default in (paths.FINETUNE_TEST_DATASET, paths.SAMPLE_DATASET):
        assert paths.frame_selection_dir(default, "hen") == paths.DATASETS / folder
