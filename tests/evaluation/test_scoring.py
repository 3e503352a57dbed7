"""Scores of a video with several animals: each animal's, and their mean."""

import numpy as np
import pytest

from utils.evaluation.measures import NUMBERS
from utils.evaluation.scoring import format_table, score_folders
from utils.media.labels import write_label

NAMES = [f"{index:05d}" for index in range(5)]


def two_animals(shift: int) -> np.ndarray:
    """Animal 3 at the same place always, animal 5 moved to the right by `shift` pixels."""
    mask = np.zeros((60, 80), np.uint8)
    mask[5:25, 5:25] = 3
    mask[30:50, 10 + shift : 30 + shift] = 5
    return mask


@pytest.fixture
def score(tmp_path):
    for name in NAMES:
        write_label(tmp_path / "annotations" / f"{name}.png", two_animals(0), (3, 5))
        write_label(tmp_path / "masks" / f"{name}.png", two_animals(10), (3, 5))
    return score_folders("pair", tmp_path / "masks", tmp_path / "annotations", NAMES, [2])


def test_j_and_f_are_given_per_animal_and_their_mean(score):
    means = score.means()
    assert list(means["animals"]) == ["3", "5"]
    assert means["animals"]["3"]["J-Mean"] == means["animals"]["3"]["F-Mean"] == 1
    assert means["animals"]["5"]["J-Mean"] == pytest.approx(1 / 3)
    for number in NUMBERS:
        each = [animal[number] for animal in means["animals"].values()]
        assert means[number] == pytest.approx(np.mean(each))


def test_means_hold_no_values_of_single_frames(score):
    for numbers in (score.means(), *score.means()["animals"].values()):
        assert set(numbers) - {"animals"} == set(NUMBERS)


def test_of_one_animal_there_are_its_scores_alone(tmp_path):
    for folder in ("annotations", "masks"):
        for name in NAMES:
            write_label(tmp_path / folder / f"{name}.png", two_animals(0) == 3)
    score = score_folders("hen", tmp_path / "masks", tmp_path / "annotations", NAMES, [2])
    assert set(score.means()) == set(NUMBERS)
    assert "animal " not in format_table([score])


def test_the_table_has_a_line_per_animal_and_counts_the_video_once(score):
    lines = format_table([score]).splitlines()
    assert [line.split()[:2] for line in lines if line.startswith("  animal")] == [
        ["animal", "3"],
        ["animal", "5"],
    ]
    assert lines[-1].startswith("mean of 1")
    assert len({len(line) for line in lines if "chosen" in line}) == 1  # in columns
