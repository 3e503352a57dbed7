"""Which videos there are, which frames are labelled, and which label the network may see."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from utils import paths, sequences
from utils.errors import InputError, UsageError
from utils.images import davis_palette
from utils.sequences import (
    choose_guidance,
    choose_sequences,
    list_video_paths,
    open_dataset_sequence,
    open_video_sequence,
    parse_guidance,
    read_labels,
    read_selection,
)

SIZE = (12, 16)


def animal_label() -> np.ndarray:
    label = np.zeros(SIZE, "uint8")
    label[3:8, 4:9] = 255
    return label


def write_label(path: Path, label: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(animal_label() if label is None else label).save(path)
    return path


def write_frames(folder: Path, names) -> Path:
    folder.mkdir(parents=True)
    for name in names:
        Image.new("RGB", SIZE[::-1], (90, 80, 70)).save(folder / f"{name}.png")
    return folder


class World:
    """A data set with one video, `hen`, of 9 frames; labels in the three places they may be."""

    def __init__(self, root: Path, layout: str = "480p"):
        self.root, self.dataset = root, root / "dataset"
        self.frames = self.dataset / "JPEGImages" / layout / "hen"
        self.annotations = self.dataset / "Annotations" / layout / "hen"
        write_frames(self.frames, [f"{i:05d}" for i in range(9)])

    def annotate(self, *frames):
        for frame in frames:
            write_label(self.annotations / f"{frame:05d}.png")

    def annotate_in_labels(self, *frames):
        for frame in frames:
            write_label(paths.LABELS / "hen" / f"{frame:05d}.png")

    def open(self, *labels):
        return open_dataset_sequence(self.dataset, "hen", labels)

    def choose(self, guidance="auto", selected=(), labels=()):
        return choose_guidance(self.open(*labels), guidance, selected)


@pytest.fixture(autouse=True)
def labels_dir(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "LABELS", tmp_path / "labels")


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


# Guidance


def test_the_only_labelled_frame_is_taken(world):
    world.annotate(7)
    guidance = world.choose()
    assert guidance.frames == (7,) and guidance.reason == "the only labelled frame"
    # Even where a selection names others.
    assert world.choose(selected=[2, 3]).frames == (7,)


def test_of_several_the_one_that_the_selection_ranks_highest(world):
    world.annotate(0, 5, 8)
    guidance = world.choose(selected=[3, 8, 5])
    assert guidance.frames == (8,) and "bubblenet_select.py" in guidance.reason


@pytest.mark.parametrize("labelled, nearest", [((0, 5, 8), 5), ((1, 7), 1), ((0, 3, 4, 8), 4)])
def test_else_the_one_nearest_the_middle(world, labelled, nearest):
    world.annotate(*labelled)
    guidance = world.choose()
    assert guidance.frames == (nearest,)
    assert guidance.reason == f"of {len(labelled)} labelled frames the one nearest the middle"
    assert world.choose(selected=[2, 6]).frames == (nearest,)  # a selection of unlabelled frames


def test_no_label_at_all_names_the_file_to_make(world):
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
def test_a_named_frame_without_label_names_the_file_to_make(world, guidance, stem):
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


def test_bubblenet_takes_the_best_of_the_selection_or_the_middle_and_says_so(world):
    world.annotate(2, 4)
    assert world.choose("bubblenet", [2, 4]).frames == (2,)
    guidance = world.choose("bubblenet")
    assert guidance.frames == (4,) and "the middle frame, since there is no" in guidance.reason
    with pytest.raises(InputError, match=r"frame 6 .*has no label.*00006\.png"):
        world.choose("bubblenet", [6, 2])


@pytest.mark.parametrize("text", ["auto", "bubblenet", "first", "middle", "last", "0", "12,40"])
def test_forms_of_guidance(text):
    assert parse_guidance(text) == text


@pytest.mark.parametrize("text", ["", "centre", "-1", "1,", "1, 2", "1.5", "First", "3;4"])
def test_malformed_guidance_is_a_usage_error(text):
    with pytest.raises(UsageError, match="--guidance must be"):
        parse_guidance(text)


# Where labels come from


def test_labels_made_here_are_preferred_to_annotations(world):
    world.annotate(0, 1, 2)
    assert world.open().source == "annotations"
    world.annotate_in_labels(6)
    sequence = world.open()
    assert sequence.source == "datasets/labels" and list(sequence.labels) == [6]
    assert world.choose().frames == (6,)
    assert sequence.annotation_dir == world.annotations  # still there to score


def test_given_labels_are_preferred_to_all_and_all_are_seen(world, tmp_path):
    world.annotate(0)
    world.annotate_in_labels(1)
    files = [write_label(tmp_path / "mine" / f"{stem}.png") for stem in ("00008", "00003")]
    sequence = world.open(*files)
    assert sequence.source == "--label" and sorted(sequence.labels) == [3, 8]
    assert world.choose(labels=files).frames == (3, 8)
    assert world.choose("8", labels=files).frames == (8,)


def test_an_empty_folder_of_labels_is_as_none(world):
    (paths.LABELS / "hen").mkdir(parents=True)
    (paths.LABELS / "hen" / ".00001.png").touch()
    world.annotate(2)
    assert world.open().source == "annotations"


def test_annotations_of_frames_that_are_not_there_do_not_count(world):
    world.annotate(4, 77)
    assert list(world.open().labels) == [4]


def test_annotations_of_either_layout_are_found(tmp_path):
    world = World(tmp_path, layout="")
    world.annotate(4)
    assert world.choose().frames == (4,)


def test_looking_for_labels_opens_none(world, monkeypatch):
    world.annotate(1, 2)
    (world.annotations / "00005.png").write_bytes(b"no image")
    monkeypatch.setattr(sequences, "read_annotation", lambda path: pytest.fail(f"opened {path}"))
    assert world.choose("2").frames == (2,)


# --label


@pytest.mark.parametrize("stem, frame", [("00003", 3), ("3", 3), ("0008", 8)])
def test_a_label_belongs_to_the_frame_of_its_name_or_number(world, tmp_path, stem, frame):
    assert list(world.open(write_label(tmp_path / f"{stem}.png")).labels) == [frame]


def test_a_stem_that_is_a_frames_name_goes_before_its_number(tmp_path):
    folder = write_frames(tmp_path / "hen", ["10", "20", "30"])
    label = write_label(tmp_path / "label" / "20.png")
    assert list(open_video_sequence(folder, [label], "auto").labels) == [1]


@pytest.mark.parametrize("guidance, frame", [("first", 0), ("middle", 4), ("last", 8), ("6", 6)])
def test_guidance_says_which_frame_a_label_of_another_name_belongs_to(
    world, tmp_path, guidance, frame
):
    label = write_label(tmp_path / "my mask.png")
    sequence = open_video_sequence(world.frames, [label], guidance)
    assert list(sequence.labels) == [frame]
    assert choose_guidance(sequence, guidance, []).frames == (frame,)


@pytest.mark.parametrize("guidance", ["auto", "bubblenet", "1,2"])
def test_a_label_that_names_no_frame_is_a_usage_error(world, tmp_path, guidance):
    label = write_label(tmp_path / "my mask.png")
    with pytest.raises(UsageError, match=r"my mask\.png: which frame does it label.*00000\.png"):
        open_video_sequence(world.frames, [label], guidance)


def test_two_labels_for_one_frame_are_a_usage_error(world, tmp_path):
    labels = [write_label(tmp_path / name) for name in ("a/00003.png", "b/3.png")]
    with pytest.raises(UsageError, match=r"label one frame \(3\)"):
        world.open(*labels)


def test_a_label_beyond_the_video_is_a_usage_error(world, tmp_path):
    with pytest.raises(UsageError, match=r"00009\.png: which frame does it label.* to 00008\.png"):
        world.open(write_label(tmp_path / "00009.png"))


def test_a_missing_label_file_is_named(world, tmp_path):
    with pytest.raises(InputError, match=r"00003\.png: no such label file"):
        world.open(tmp_path / "00003.png")


@pytest.mark.parametrize("stem", ["²", "٣x"])
def test_odd_digits_in_a_labels_name_are_no_number(world, tmp_path, stem):
    with pytest.raises(UsageError, match="which frame does it label"):
        world.open(write_label(tmp_path / f"{stem}.png"))


def test_a_video_without_label_names_the_file_in_datasets_labels(world):
    sequence = open_video_sequence(world.frames, [], "auto")
    with pytest.raises(InputError, match="no frame is labelled") as error:
        choose_guidance(sequence, "auto", [])
    assert str(paths.LABELS / "hen" / "00004.png") in str(error.value)
    world.annotate_in_labels(4)
    assert list(open_video_sequence(world.frames, [], "auto").labels) == [4]


# Selections

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


# Labels as read


def labels_of(world, label):
    write_label(world.annotations / "00004.png", label)
    return read_labels(world.open(), [4])


def test_a_label_is_read_with_void(world):
    label = animal_label()
    label[0] = 128
    found = labels_of(world, label)
    assert list(found) == [4] and found[4].dtype == np.uint8
    np.testing.assert_array_equal(found[4] == 1, label == 255)
    np.testing.assert_array_equal(found[4] == 255, label == 128)


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


def test_a_full_label_is_refused(world):
    with pytest.raises(InputError, match=r"00004\.png: the label has no background"):
        labels_of(world, np.full(SIZE, 255, "uint8"))


def test_several_animals_are_refused_for_now(world):
    image = Image.fromarray((animal_label() > 0).astype("uint8") + np.eye(*SIZE, dtype="uint8"))
    image.putpalette(davis_palette().tobytes())
    world.annotations.mkdir(parents=True)
    image.save(world.annotations / "00004.png")
    with pytest.raises(InputError, match=r"00004\.png: 2 animals are labelled.*not supported"):
        read_labels(world.open(), [4])


# Videos


def test_a_folder_of_videos_stands_for_all_of_them(tmp_path):
    for name in ("b.mp4", "a 10.MOV", "a 9.mov", "notes.txt", ".hidden.mp4"):
        (tmp_path / name).touch()
    found = [path.name for path in list_video_paths([tmp_path])]
    assert found == ["a 9.mov", "a 10.MOV", "b.mp4"]


def test_a_folder_of_frames_is_one_video(world):
    assert list_video_paths([world.frames]) == [world.frames]


def test_two_videos_of_one_name_are_a_usage_error(tmp_path):
    for name in ("a/hen.mp4", "b/hen.mov"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    with pytest.raises(UsageError, match="Two videos are named hen"):
        list_video_paths([tmp_path / "a", tmp_path / "b"])
    with pytest.raises(UsageError, match="Two videos are named hen"):
        list_video_paths([tmp_path / "a", tmp_path / "a" / "hen.mp4"])


def test_a_missing_video_is_named(tmp_path):
    with pytest.raises(InputError, match=r"cow\.mp4: no such file or folder. Check --video"):
        list_video_paths([tmp_path / "cow.mp4"])


def test_the_name_of_a_folder_given_as_a_dot_is_its_own(world, monkeypatch):
    monkeypatch.chdir(world.frames)
    world.annotate_in_labels(4)
    assert open_video_sequence(Path("."), [], "auto").name == "hen"


def test_unknown_and_repeated_sequences_are_usage_errors(world):
    write_frames(world.dataset / "JPEGImages" / "480p" / "cow", ["1"])
    assert choose_sequences(world.dataset, ()) == ["cow", "hen"]
    assert choose_sequences(world.dataset, ("hen",)) == ["hen"]
    with pytest.raises(UsageError, match="No sequence hne in .*; there are: cow, hen"):
        choose_sequences(world.dataset, ("hen", "hne"))
    with pytest.raises(UsageError, match="twice"):
        choose_sequences(world.dataset, ("hen", "hen"))


def test_missing_and_empty_data_sets_are_named(tmp_path):
    with pytest.raises(InputError, match="nowhere: no such folder.*--dataset"):
        choose_sequences(tmp_path / "nowhere", ())
    (tmp_path / "JPEGImages" / "480p").mkdir(parents=True)
    with pytest.raises(InputError, match="no sequences, expected folders of frames"):
        choose_sequences(tmp_path, ())


def test_a_label_goes_by_the_number_in_its_frames_name(tmp_path):
    """Frames that count from 1: label 3.png is frame 00003.jpg, index 2."""
    write_frames(tmp_path / "hen", [f"{number:05d}" for number in range(1, 5)])
    label = write_label(tmp_path / "3.png")
    sequence = open_video_sequence(tmp_path / "hen", [label], "auto")
    assert list(sequence.labels) == [2]
