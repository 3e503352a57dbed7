"""Scores of a video with several animals: each animal's, their mean, and which is which."""

import shutil

import numpy as np
import pytest
from PIL import Image

from utils.errors import InputError
from utils.evaluation.measures import NUMBERS
from utils.evaluation.scoring import format_table, score_folders
from utils.media.labels import read_labels, write_label

NAMES = [f"{index:05d}" for index in range(5)]


def two_animals(shift: int) -> np.ndarray:
    """Animal 3 at the same place always, animal 5 moved to the right by `shift` pixels."""
    mask = np.zeros((60, 80), np.uint8)
    mask[5:25, 5:25] = 3
    mask[30:50, 10 + shift : 30 + shift] = 5
    return mask


def score_masks(folder, masks, labelled_frames):
    """Scores masks, one per frame, against `two_animals` standing still."""
    for name, mask in zip(NAMES, masks, strict=True):
        write_label(folder / "annotations" / f"{name}.png", two_animals(0), (3, 5))
        write_label(folder / "masks" / f"{name}.png", mask, range(1, int(np.max(masks)) + 1))
    folders = folder / "masks", folder / "annotations"
    return score_folders("pair", *folders, NAMES, labelled_frames)


@pytest.fixture
def score(tmp_path):
    return score_masks(tmp_path, [two_animals(10)] * 5, [2])


def test_j_and_f_are_given_per_animal_and_their_mean(score):
    means = score.means()
    assert list(means["animals"]) == ["3", "5"]
    assert means["animals"]["3"]["J-Mean"] == means["animals"]["3"]["F-Mean"] == 1
    assert means["animals"]["5"]["J-Mean"] == pytest.approx(1 / 3)
    for number in NUMBERS:
        each = [animal[number] for animal in means["animals"].values()]
        assert means[number] == pytest.approx(np.mean(each))


def renumbered(first: int, second: int, shift: int = 0) -> np.ndarray:
    """`two_animals` with other numbers."""
    numbers = np.zeros(256, np.uint8)
    numbers[[3, 5]] = first, second
    return numbers[two_animals(shift)]


def test_animals_found_without_a_label_are_matched_with_the_annotated_ones(tmp_path):
    """They are numbered by size: perfect masks had J = F = 0."""
    score = score_masks(tmp_path, [renumbered(2, 1)] * 5, [])
    assert score.protocol == "no label"
    assert score.scores["J"] == score.scores["F"] == [1, 1, 1]
    means = score.means()["animals"]
    assert list(means) == ["3", "5"] and means["5"]["J&F-Mean"] == 1


def test_a_run_that_scores_itself_matches_them_as_well(tmp_path):
    """It has its labelled frames in a tuple."""
    assert score_masks(tmp_path, [renumbered(2, 1)] * 5, ()).scores["J"] == [1, 1, 1]


def test_the_match_is_one_of_the_whole_video(tmp_path):
    masks = [renumbered(5, 3)] * 5
    masks[2] = renumbered(3, 5)  # swapped in one of the three frames that count
    assert score_masks(tmp_path, masks, []).scores["J"] == [1, 0, 1]


def test_one_animal_found_where_two_are_annotated_is_one_of_them(tmp_path):
    score = score_masks(tmp_path, [renumbered(0, 1)] * 5, [])
    assert [one["J-Mean"] for one in score.scores["animals"].values()] == [0, 1]


def test_a_further_animal_that_was_found_is_no_annotated_one(tmp_path):
    mask = renumbered(1, 2)
    mask[50:58, 60:75] = 3
    assert score_masks(tmp_path, [mask] * 5, []).scores["J"] == [1, 1, 1]


@pytest.mark.parametrize("labelled_frames", [[0], [2], None])
def test_numbers_that_a_label_gave_are_taken_at_their_word(tmp_path, labelled_frames):
    assert score_masks(tmp_path, [renumbered(5, 3)] * 5, labelled_frames).scores["J"] == [0, 0, 0]


GREEN, BLUE, RED = (0, 250, 0), (0, 0, 255), (255, 0, 0)  # none is in the DAVIS palette


def annotate_in_colours(folder, *frames):
    """Writes annotations as PNGs in RGB. Each frame: the colours that it shows, BLUE first."""
    (folder / "annotations").mkdir()
    for name, shown in zip(NAMES, frames, strict=True):
        image = np.zeros((60, 80, 3), np.uint8)
        for place, colour in enumerate((BLUE, RED, GREEN)):
            if colour in shown:
                image[10:40, 25 * place : 25 * place + 20] = colour
        Image.fromarray(image).save(folder / "annotations" / f"{name}.png")


@pytest.mark.parametrize("third", [(0, 0, 200), (128, 0, 0)])
def test_an_animal_that_comes_later_does_not_renumber_those_of_the_label(tmp_path, third):
    """Its colour sorts lower, or is that of animal 1: perfect masks of the others had J = 0."""
    annotate_in_colours(tmp_path, *[(BLUE, RED)] * 5)
    label = tmp_path / "annotations" / "00002.png"
    (found,) = read_labels([label])
    for name in NAMES:
        write_label(tmp_path / "masks" / f"{name}.png", found.values, found.animals)
    later = np.asarray(Image.open(label)).copy()
    later[45:55, 60:75] = third
    Image.fromarray(later).save(tmp_path / "annotations" / "00003.png")
    folders = tmp_path / "masks", tmp_path / "annotations"
    animals = score_folders("pair", *folders, NAMES, [2]).scores["animals"]
    assert {number: one["J"] for number, one in animals.items()} == {
        1: [1, 1, 1],
        2: [1, 1, 1],
        3: [1, 1, 0],  # nobody labelled it
    }


def test_masks_of_another_program_are_compared_by_colour(tmp_path):
    """They were numbered file by file: red alone was animal 1, and 2 beside blue."""
    annotate_in_colours(tmp_path, (BLUE, RED), (RED,), (BLUE, RED), (RED,), (BLUE, RED))
    shutil.copytree(tmp_path / "annotations", tmp_path / "masks")
    folders = tmp_path / "masks", tmp_path / "annotations"
    assert score_folders("pair", *folders, NAMES).scores["J"] == [1, 1, 1]


def test_masks_in_other_colours_than_the_annotations_are_refused(tmp_path):
    annotate_in_colours(tmp_path, *[(GREEN, RED)] * 5)
    (tmp_path / "annotations").rename(tmp_path / "masks")
    annotate_in_colours(tmp_path, *[(BLUE, RED)] * 5)
    folders = tmp_path / "masks", tmp_path / "annotations"
    with pytest.raises(InputError, match=r"masks.00001\.png.*found the colour \(0, 250, 0\)"):
        score_folders("pair", *folders, NAMES)


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


@pytest.mark.parametrize("number, said", [(1, ""), (5, ", as number 5")])
def test_several_animals_compared_with_the_one_that_is_annotated_are_said(tmp_path, number, said):
    """Nobody was told that the score of a good mask was low because of another animal's."""
    for name in NAMES:
        annotation = (two_animals(0) == 5) * np.uint8(number)
        write_label(tmp_path / "annotations" / f"{name}.png", annotation, (number,))
        write_label(tmp_path / "masks" / f"{name}.png", two_animals(0), (3, 5))
    folders = tmp_path / "masks", tmp_path / "annotations"
    score = score_folders("hen", *folders, NAMES, [2])
    assert score.scores["J-Mean"] == pytest.approx(0.5)  # as DAVIS 2016 compares
    text = f"one animal is annotated{said}, 2 were segmented: all masks together are compared"
    assert score.comparison == text and score.note == f"note: hen: {text}."
    for name in NAMES:
        write_label(tmp_path / "masks" / f"{name}.png", two_animals(0) == 5)
    assert not score_folders("hen", *folders, NAMES, [2]).note


def test_the_table_has_a_line_per_animal_and_counts_the_video_once(score):
    lines = format_table([score]).splitlines()
    assert [line.split()[:2] for line in lines if line.startswith("  animal")] == [
        ["animal", "3"],
        ["animal", "5"],
    ]
    assert lines[-1].startswith("mean of 1")
    assert len({len(line) for line in lines if "chosen" in line}) == 1  # in columns
