"""Which label the network may see, and what is read from it."""

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.labelled_video import SIZE, animal_label, write_label
from utils import paths
from utils.errors import InputError, UsageError
from utils.inputs.guidance import check_visible, describe_labels, parse_guidance, read_labels
from utils.inputs.sequences import open_dataset_sequence
from utils.media.labels import davis_palette

# Guidance


def test_the_only_labelled_frame_is_taken(world):
    world.annotate(7)
    guidance = world.choose()
    assert guidance.frames == (7,) and guidance.reason == "the only labelled frame"
    # Even where a selection names others.
    assert world.choose(selected=[2, 3]).frames == (7,)


def test_of_several_labels_the_one_ranked_highest_by_the_selection_is_taken(world):
    world.annotate(0, 5, 8)
    guidance = world.choose(selected=[3, 8, 5])
    assert guidance.frames == (8,)
    assert guidance.reason == "of 3 annotated frames the best by bubblenet_select.py (BNLF)"


@pytest.mark.parametrize("labelled, nearest", [((0, 5, 8), 5), ((1, 7), 1), ((0, 3, 4, 8), 4)])
def test_without_a_selection_the_label_nearest_the_middle_is_taken(world, labelled, nearest):
    world.annotate(*labelled)
    guidance = world.choose()
    assert guidance.frames == (nearest,)
    assert guidance.reason == f"of {len(labelled)} annotated frames the one nearest the middle"
    assert world.choose(selected=[2, 6]).frames == (nearest,)  # a selection of unlabelled frames


def test_with_several_labels_of_the_page_the_flag_to_use_all_is_named(world):
    world.annotate(0, 4)
    world.annotate_in_labels(2, 6)
    guidance = world.choose(selected=[4, 6])
    assert guidance.frames == (6,)
    assert guidance.reason.endswith(
        "the best by bubblenet_select.py (BNLF); for all: --guidance 2,6"
    )
    assert world.choose().reason.startswith("of 2 labelled frames the one nearest the middle; for")


def test_named_frames_may_have_labels_of_the_page_or_annotations(world):
    world.annotate(2, 5)
    world.annotate_in_labels(5)
    assert world.choose("2,5").frames == (2, 5)
    labels = open_dataset_sequence(world.dataset, "hen", (), "2,5").labels
    assert labels[5] == paths.LABELS / "hen" / "00005.png" and labels[2].parent == world.annotations


def test_a_video_without_labels_names_the_file_to_create(world):
    with pytest.raises(InputError, match="no frame is labelled") as error:
        world.choose()
    assert str(world.annotations / "00004.png") in str(error.value)


@pytest.mark.parametrize(
    "guidance, frames",
    [
        ("first", (0,)),
        ("middle", (4,)),
        ("last", (8,)),
        ("3", (3,)),
        ("7,2,7", (2, 7)),
        ("0", (0,)),
    ],
)
def test_a_named_frame_is_taken(world, guidance, frames):
    world.annotate(*range(9))
    chosen = world.choose(guidance, selected=[6])
    assert chosen.frames == frames and chosen.reason == f"--guidance {guidance}"


@pytest.mark.parametrize("guidance, stem", [("first", "00000"), ("2", "00002"), ("5,6", "00006")])
def test_a_named_frame_without_label_names_the_file_to_create(world, guidance, stem):
    world.annotate(5, 8)
    with pytest.raises(InputError) as error:
        world.choose(guidance)
    assert not isinstance(error.value, UsageError)
    assert f"Make {world.annotations / stem}.png" in str(error.value)
    assert "--guidance (5, 8)" in str(error.value)


def test_a_frame_that_the_video_does_not_have_is_a_usage_error(world):
    world.annotate(0)
    with pytest.raises(InputError, match="hen: there is no frame 9, the video has frames 0 to 8"):
        world.choose("9")


def test_bubblenet_takes_the_best_of_the_selection_and_names_the_network(world):
    world.annotate(2, 4)
    guidance = world.choose("bubblenet", [2, 4])
    assert guidance.frames == (2,)
    assert guidance.reason == "chosen by bubblenet_select.py (BNLF)"
    with pytest.raises(InputError, match=r"frame 6 .*has no label.*00006\.png"):
        world.choose("bubblenet", [6, 2])


@pytest.mark.parametrize("text", ["auto", "bubblenet", "first", "middle", "last", "0", "12,40"])
def test_guidance_is_parsed_in_all_its_forms(text):
    assert parse_guidance(text) == text


@pytest.mark.parametrize("text", ["", "centre", "-1", "1,", "1, 2", "1.5", "First", "3;4"])
def test_malformed_guidance_is_a_usage_error(text):
    with pytest.raises(UsageError, match="--guidance must be"):
        parse_guidance(text)


# Labels as read


def labels_of(world, label):
    write_label(world.annotations / "00004.png", label)
    return read_labels(world.open(), [4])


def test_a_label_keeps_its_void_pixels(world):
    label = animal_label()
    label[0] = 128
    found = labels_of(world, label)
    assert list(found) == [4] and found[4].animals == (1,)
    np.testing.assert_array_equal(found[4].values == 1, label == 255)
    np.testing.assert_array_equal(found[4].values == 255, label == 128)


def test_only_the_chosen_labels_are_read(world):
    world.annotate(2)
    (world.annotations / "00005.png").write_bytes(b"no image")
    assert list(read_labels(world.open(), (2,))) == [2]


def test_a_label_of_another_size_is_refused(world):
    with pytest.raises(InputError, match=r"00004\.png: the label is 16x12, the video 12x16"):
        labels_of(world, animal_label().T)


def test_an_empty_label_is_refused(world):
    with pytest.raises(InputError, match=r"00004\.png: the label marks no animal"):
        labels_of(world, np.zeros(SIZE, "uint8"))


def test_a_label_of_void_alone_is_refused(world):
    """Void is no animal, in grey or in a palette."""
    with pytest.raises(InputError, match=r"00004\.png: the label marks no animal, only void"):
        labels_of(world, animal_label() // 255 * np.uint8(128))
    write_palette_label(world, 4, animal_label())
    with pytest.raises(InputError, match=r"00004\.png: the label marks no animal, only void"):
        read_labels(world.open(), (4,))


def test_a_label_that_can_be_understood_in_two_ways_is_refused(world):
    label = animal_label()
    label[4, 5] = 1
    with pytest.raises(InputError, match=r"00004\.png: .* 1 \(1 px\), 255 \(24 px\), .*two ways"):
        labels_of(world, label)


def test_a_full_label_is_refused(world):
    with pytest.raises(InputError, match=r"00004\.png: the label has no background"):
        labels_of(world, np.full(SIZE, 255, "uint8"))


def write_palette_label(world, frame, label) -> None:
    world.annotations.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(label)
    image.putpalette(davis_palette().tobytes())
    image.save(world.annotations / f"{frame:05d}.png")


def test_an_animal_has_the_same_number_in_all_labels(world):
    two = np.zeros(SIZE, "uint8")
    two[2:4, 2:4], two[8:10, 8:12] = 1, 2
    write_palette_label(world, 4, two)
    write_palette_label(world, 6, np.where(two == 2, 2, 0).astype("uint8"))
    labels = read_labels(world.open(), (4, 6))
    assert labels[4].animals == labels[6].animals == (1, 2)
    assert labels[6].shown_animals == (2,)
    np.testing.assert_array_equal(labels[4].values, two)
    # Alone it shows one animal, which is always animal 1.
    assert read_labels(world.open(), (6,))[6].animals == (1,)


def test_animals_3_and_7_stay_3_and_7(world):
    two = np.zeros(SIZE, "uint8")
    two[2:4, 2:4], two[8:10, 8:12] = 3, 7
    write_palette_label(world, 4, two)
    write_palette_label(world, 6, np.where(two == 7, 7, 0).astype("uint8"))
    labels = read_labels(world.open(), (4, 6))
    assert labels[4].animals == labels[6].animals == (3, 7)
    np.testing.assert_array_equal(labels[4].values, two)


def test_an_animal_that_vanishes_in_all_labels_is_refused(world):
    label = np.zeros(SIZE, "uint8")
    label[:6], label[9, 3] = 1, 2
    write_palette_label(world, 4, label)
    labels = read_labels(world.open(), (4,))
    check_visible(world.open(), labels, 12)
    with pytest.raises(InputError, match=r"00004\.png: animal 2 vanishes at 4x5, .* larger"):
        check_visible(world.open(), labels, 4)
    bigger = np.where(label == 1, 2, 0).astype("uint8")
    write_palette_label(world, 6, bigger)
    check_visible(world.open(), read_labels(world.open(), (4, 6)), 4)  # large enough in one label


def test_a_label_that_vanishes_is_refused(world):
    label = np.zeros(SIZE, "uint8")
    label[9, 3] = 1
    write_palette_label(world, 4, label)
    with pytest.raises(InputError, match=r"00004\.png: the animal vanishes at 4x5"):
        check_visible(world.open(), read_labels(world.open(), (4,)), 4)


def ring(thickness: int) -> np.ndarray:
    """An ellipse, 0 or 255; a thickness of -1 fills it."""
    canvas = np.zeros(SIZE, np.uint8)
    centre, axes = (SIZE[1] // 2, SIZE[0] // 2), (SIZE[1] // 2 - 1, SIZE[0] // 2 - 1)
    return cv2.ellipse(canvas, centre, axes, 0, 0, 360, 255, thickness)


@pytest.mark.parametrize("thickness, is_outline", [(1, True), (-1, False)])
def test_a_label_that_is_only_an_outline_is_said(world, tmp_path, thickness, is_outline):
    """It passed every check, and was learned as an animal of one pixel's width."""
    Image.fromarray(ring(thickness)).save(tmp_path / "00003.png")
    sequence = world.open(tmp_path / "00003.png")
    lines = describe_labels(sequence, read_labels(sequence, [3]))
    assert any("animal 1 is a line around an area" in line for line in lines) == is_outline


def test_which_animal_a_label_leaves_out_is_said(world):
    for frame, numbers in ((2, (1, 2)), (4, (2,))):
        label = np.zeros(SIZE, "uint8")
        for number in numbers:
            label[2 * number, 1:4] = number
        write_palette_label(world, frame, label)
    sequence = world.open()
    lines = describe_labels(sequence, read_labels(sequence, (2, 4)))
    (note,) = (line for line in lines if line.startswith("note"))
    assert "00004.png: animal 1 is not in this label" in note
