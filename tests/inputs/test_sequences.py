"""Which videos there are, and which of their frames are labelled."""

import os
from pathlib import Path

import pytest

from tests.labelled_video import World, write_frames, write_label
from utils import paths
from utils.errors import InputError, UsageError
from utils.inputs import guidance
from utils.inputs.guidance import choose_guidance
from utils.inputs.parts import take_sequence_part
from utils.inputs.sequences import (
    choose_sequences,
    find_made_labels,
    find_sequences,
    list_sequences,
    list_video_paths,
    open_dataset_sequence,
    open_video_sequence,
)

# Where labels come from


def test_labels_of_the_page_are_preferred_to_annotations(world):
    world.annotate(0, 1, 2)
    assert world.open().source == "annotations"
    world.annotate_in_labels(6)
    sequence = world.open()
    assert sequence.source == "datasets/labels" and list(sequence.labels) == [6]
    assert world.choose().frames == (6,)
    assert sequence.annotation_dir == world.annotations  # still there to score


def test_labels_given_by_flag_are_preferred_to_all_others(world, tmp_path):
    world.annotate(0)
    world.annotate_in_labels(1)
    files = [write_label(tmp_path / "mine" / f"{stem}.png") for stem in ("00008", "00003")]
    sequence = world.open(*files)
    assert sequence.source == "--label" and sorted(sequence.labels) == [3, 8]
    assert world.choose(labels=files).frames == (3, 8)
    assert world.choose("8", labels=files).frames == (8,)


def test_an_empty_folder_of_labels_counts_as_no_labels(world):
    (paths.LABELS / "hen").mkdir(parents=True)
    (paths.LABELS / "hen" / ".00001.png").touch()
    world.annotate(2)
    assert world.open().source == "annotations"


def test_annotations_of_missing_frames_are_ignored(world):
    world.annotate(4, 77)
    assert list(world.open().labels) == [4]


def test_annotations_of_either_layout_are_found(tmp_path):
    world = World(tmp_path, layout="")
    world.annotate(4)
    assert world.choose().frames == (4,)


def test_listing_labels_opens_no_file(world, monkeypatch):
    world.annotate(1, 2)
    (world.annotations / "00005.png").write_bytes(b"no image")
    monkeypatch.setattr(guidance, "read_label_files", lambda paths: pytest.fail(f"opened {paths}"))
    assert world.choose("2").frames == (2,)


@pytest.mark.parametrize("stem", ["00009", "9", "my mask"])
def test_a_label_of_the_page_for_no_frame_is_refused(world, stem):
    write_label(paths.LABELS / "hen" / f"{stem}.png")
    world.annotate(4)  # is not taken in its place without a word
    with pytest.raises(InputError, match=rf"{stem}\.png: which frame .* to 00008\.png\.") as error:
        world.open()
    assert not isinstance(error.value, UsageError)


def test_two_labels_of_the_page_for_one_frame_are_refused(world):
    for stem in ("00003", "3"):
        write_label(paths.LABELS / "hen" / f"{stem}.png")
    with pytest.raises(InputError, match=r"label one frame \(3\)"):
        world.open()


def test_a_label_of_the_page_belongs_to_the_frame_of_its_number(world):
    path = write_label(paths.LABELS / "hen" / "3.png")
    assert world.open().labels == find_made_labels(world.open().video) == {3: path}


# --label


@pytest.mark.parametrize("stem, frame", [("00003", 3), ("3", 3), ("0008", 8)])
def test_a_label_belongs_to_the_frame_of_its_name_or_number(world, tmp_path, stem, frame):
    assert list(world.open(write_label(tmp_path / f"{stem}.png")).labels) == [frame]


def test_a_label_with_the_name_of_a_frame_is_not_matched_by_number(tmp_path):
    folder = write_frames(tmp_path / "hen", ["10", "20", "30"])
    label = write_label(tmp_path / "label" / "20.png")
    assert list(open_video_sequence(folder, [label], "auto").labels) == [1]


@pytest.mark.parametrize("guidance, frame", [("first", 0), ("middle", 4), ("last", 8), ("6", 6)])
def test_guidance_assigns_a_label_whose_name_is_no_frames(world, tmp_path, guidance, frame):
    label = write_label(tmp_path / "my mask.png")
    sequence = open_video_sequence(world.frames, [label], guidance)
    assert list(sequence.labels) == [frame]
    assert choose_guidance(sequence, guidance, []).frames == (frame,)


@pytest.mark.parametrize("part", [(2, 7), (3, None), (0, 5)])
@pytest.mark.parametrize("guidance", ["first", "middle", "last", "4"])
def test_in_a_part_guidance_assigns_such_a_label_to_its_own_frame(world, tmp_path, guidance, part):
    label = write_label(tmp_path / "my mask.png")
    _, found = find_sequences(None, (), [world.frames], [label], guidance, part=part)
    sequence = take_sequence_part(found["hen"](), *part)
    assert choose_guidance(sequence, guidance, []).frames == tuple(sequence.labels)


def test_a_part_that_the_video_does_not_have_is_what_is_refused(world, tmp_path):
    label = write_label(tmp_path / "my mask.png")
    sequence = open_video_sequence(world.frames, [label], "first", part=(20, 30))
    with pytest.raises(InputError, match="--frames 20:30 is not in it"):
        take_sequence_part(sequence, 20, 30)


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


def test_a_missing_label_file_is_named_in_the_error(world, tmp_path):
    with pytest.raises(InputError, match=r"00003\.png: no such label file"):
        world.open(tmp_path / "00003.png")


@pytest.mark.parametrize("stem", ["²", "٣x"])
def test_digits_other_than_0_to_9_in_a_label_name_are_not_a_number(world, tmp_path, stem):
    with pytest.raises(UsageError, match="which frame does it label"):
        world.open(write_label(tmp_path / f"{stem}.png"))


def test_a_video_without_label_names_the_file_in_datasets_labels(world):
    sequence = open_video_sequence(world.frames, [], "auto")
    with pytest.raises(InputError, match="no frame is labelled") as error:
        choose_guidance(sequence, "auto", [])
    assert str(paths.LABELS / "hen" / "00004.png") in str(error.value)
    world.annotate_in_labels(4)
    assert list(open_video_sequence(world.frames, [], "auto").labels) == [4]


# Videos


def test_a_folder_of_videos_stands_for_all_of_them(tmp_path):
    for name in ("b.mp4", "a 10.MOV", "a 9.mov", "notes.txt", ".hidden.mp4"):
        (tmp_path / name).touch()
    found = [path.name for path in list_video_paths([tmp_path]).values()]
    assert found == ["a 9.mov", "a 10.MOV", "b.mp4"]


def test_a_linked_video_without_target_fails_alone(tmp_path):
    (tmp_path / "b.mp4").touch()
    (tmp_path / "a.mp4").symlink_to(tmp_path / "unplugged.mp4")
    _, found = find_sequences(None, (), [tmp_path], (), "auto")
    assert list(found) == ["a", "b"]
    with pytest.raises(InputError, match=r"a\.mp4: expected a video file, found a link whose targ"):
        len(found["a"]().video)


def test_a_folder_of_frames_and_a_video_file_names_both(world):
    """The frames were left out without a word."""
    (world.frames / "hen 2.mp4").touch()
    with pytest.raises(InputError) as error:
        list_video_paths([world.frames])
    assert "00000.png, 00001.png and 7 more and hen 2.mp4" in str(error.value)
    assert str(world.frames) in str(error.value)
    assert list_video_paths([world.frames / "hen 2.mp4"]) == {"hen 2": world.frames / "hen 2.mp4"}


def test_a_folder_of_frames_is_one_video(world):
    assert list_video_paths([world.frames]) == {"hen": world.frames}


def make_videos(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return [folder / name for name in names]


def test_videos_of_one_file_name_are_named_by_their_relative_paths(tmp_path):
    names = ("day1/GX1.mp4", "day2/pm/gx1.MP4", "day2/other.mp4")
    found = list_video_paths(make_videos(tmp_path, *names))
    assert list(found) == ["day1_GX1", "day2_pm_gx1", "other"]
    folders = list_video_paths([tmp_path / "day1", tmp_path / "day2" / "pm"])
    assert list(folders) == ["day1_GX1", "day2_pm_gx1"]


@pytest.mark.parametrize(
    "names",
    [("hen.mp4", "hen.mov"), ("a/hen.mp4", "a/hen.mov"), ("a/b/hen.mp4", "a_b/hen.mp4")],
)
def test_two_videos_of_one_name_all_the_same_are_a_usage_error(tmp_path, names):
    with pytest.raises(UsageError, match="Two videos are named"):
        list_video_paths(make_videos(tmp_path, *names))


def test_the_same_video_twice_is_a_usage_error(tmp_path):
    (path,) = make_videos(tmp_path, "a/hen.mp4")
    with pytest.raises(UsageError, match="Two videos are named hen"):
        list_video_paths([path.parent, path])


def test_a_name_is_given_to_one_video(tmp_path):
    videos = make_videos(tmp_path, "a/hen.mp4", "b/cow.mp4")
    assert list(find_sequences(None, (), videos[:1], (), "auto", "a_hen")[1]) == ["a_hen"]
    with pytest.raises(UsageError, match="--name goes with one --video"):
        find_sequences(None, (), videos, (), "auto", "a_hen")
    with pytest.raises(UsageError, match="--name goes with --video"):
        find_sequences(tmp_path, (), (), (), "auto", "a_hen")


@pytest.mark.parametrize(
    "name", ["..", ".", "", "../../elsewhere", "a/b", "a\\b", "/tmp/a", "a\nb"]
)
def test_a_name_that_leads_to_another_folder_is_a_usage_error(tmp_path, name):
    """Results of `..` would have replaced those of all videos."""
    make_videos(tmp_path, "hen.mp4")
    with pytest.raises(UsageError, match="--name: results are stored in a folder of their own"):
        find_sequences(None, (), [tmp_path / "hen.mp4"], (), "auto", name)


def test_a_file_whose_stem_is_a_parent_folder_needs_another_name(tmp_path):
    make_videos(tmp_path, "...mp4")
    with pytest.raises(UsageError, match=r"\.\.\.mp4: results are stored"):
        find_sequences(None, (), [tmp_path / "...mp4"], (), "auto")
    assert list(find_sequences(None, (), [tmp_path / "...mp4"], (), "auto", "hen")[1]) == ["hen"]


def test_a_folder_of_folders_is_named_with_what_is_in_it(tmp_path):
    for folder in ("left", "right"):
        make_videos(tmp_path / folder, "00000.jpg")
    with pytest.raises(InputError, match="only the folders left, right; name one or several"):
        len(open_video_sequence(tmp_path, [], "auto").video)


@pytest.mark.parametrize(
    "name, advice",
    [
        ("http://hens.org/a.mp4", "Download the video"),
        (r"https:\hens.org\a.mp4", "Download the video"),  # as Windows makes it of a path
        ("*.mp4", "Patterns are not filled in here"),
        ("frames/%05d.png", "Patterns are not filled in here"),
        ("absent.mp4", "Check --video"),
    ],
)
def test_what_stands_for_no_file_gets_advice(name, advice):
    with pytest.raises(InputError, match=f"no such file or folder. {advice}"):
        list_video_paths([Path(name)])


def test_a_folder_of_labels_is_no_label(world, tmp_path):
    with pytest.raises(InputError, match="expected a label file, found a folder; name its files"):
        world.open(tmp_path)


def test_a_missing_video_is_named_in_the_error(tmp_path):
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


def test_missing_and_empty_data_sets_are_named_in_the_error(tmp_path):
    with pytest.raises(InputError, match="nowhere: no such folder.*--dataset"):
        choose_sequences(tmp_path / "nowhere", ())
    (tmp_path / "JPEGImages" / "480p").mkdir(parents=True)
    with pytest.raises(InputError, match="no sequences, expected folders of frames"):
        choose_sequences(tmp_path, ())


def test_a_label_is_matched_to_the_number_in_a_frames_name(tmp_path):
    """Frames that count from 1: label 3.png is frame 00003.jpg, index 2."""
    write_frames(tmp_path / "hen", [f"{number:05d}" for number in range(1, 5)])
    label = write_label(tmp_path / "3.png")
    sequence = open_video_sequence(tmp_path / "hen", [label], "auto")
    assert list(sequence.labels) == [2]


@pytest.mark.parametrize("stem", ["0037", "37", "frame_0037"])
def test_a_label_is_matched_to_the_number_at_the_end_of_a_frames_name(tmp_path, stem):
    """0037.png was frame_0038, the frame of index 37."""
    write_frames(tmp_path / "hen", [f"frame_{number:04d}" for number in range(1, 41)])
    sequence = open_video_sequence(
        tmp_path / "hen", [write_label(tmp_path / f"{stem}.png")], "auto"
    )
    assert [sequence.video.frame_names[frame] for frame in sequence.labels] == ["frame_0037"]


def test_a_label_whose_number_ends_no_frames_name_is_refused(tmp_path):
    write_frames(tmp_path / "hen", [f"frame_{number:04d}" for number in range(1, 9)])
    label = write_label(tmp_path / "0000.png")
    with pytest.raises(UsageError, match=r"0000\.png: which frame .*frame_0001\.png to frame_0008"):
        open_video_sequence(tmp_path / "hen", [label], "auto")
    assert list(open_video_sequence(tmp_path / "hen", [label], "first").labels) == [0]


def test_a_label_number_is_not_an_index_of_frames_without_numbers(tmp_path):
    write_frames(tmp_path / "hen", ["egg", "hatch", "walk"])
    with pytest.raises(UsageError, match=r"1\.png: which frame does it label"):
        open_video_sequence(tmp_path / "hen", [write_label(tmp_path / "1.png")], "auto")


def test_a_label_whose_number_ends_two_frames_names_is_refused(tmp_path):
    write_frames(tmp_path / "hen", ["left_1", "left_2", "right_1", "right_2"])
    label = write_label(tmp_path / "2.png")
    with pytest.raises(UsageError, match="The names of left_2 and right_2 end in this number"):
        open_video_sequence(tmp_path / "hen", [label], "auto")
    assert list(open_video_sequence(tmp_path / "hen", [label], "3").labels) == [3]
    named = write_label(tmp_path / "right_2.png")
    assert list(open_video_sequence(tmp_path / "hen", [named], "auto").labels) == [3]


def test_an_ambiguous_label_of_the_page_is_an_input_error_not_a_usage_error(tmp_path):
    write_frames(tmp_path / "hen", ["left_1", "right_1"])
    write_label(paths.LABELS / "hen" / "1.png")
    with pytest.raises(InputError, match="end in this number") as error:
        open_video_sequence(tmp_path / "hen", [], "auto")
    assert not isinstance(error.value, UsageError)


# Names of DAVIS' size folders


@pytest.mark.parametrize("name", ["480p", "1080p", "Full-Resolution"])
@pytest.mark.parametrize("kind", ["JPEGImages", "segmentation"])
def test_a_video_named_like_a_size_is_a_sequence(tmp_path, name, kind):
    for sequence in (name, "hen"):
        write_frames(tmp_path / kind / sequence, ["00000", "00001"])
    assert list_sequences(tmp_path, kind) == sorted([name, "hen"])


@pytest.mark.parametrize("name", ["480p", "1080p", "Full-Resolution"])
def test_a_folder_of_sequences_named_like_a_size_is_no_sequence(tmp_path, name):
    write_frames(tmp_path / "JPEGImages" / name / "hen", ["00000"])
    write_frames(tmp_path / "JPEGImages" / "cow", ["00000"])
    (tmp_path / "JPEGImages" / "480p").mkdir(exist_ok=True)
    expected = ["cow", "hen"] if name == "480p" else ["cow"]
    assert list_sequences(tmp_path) == expected


def test_results_of_a_video_named_480p_stand_beside_others(tmp_path):
    for sequence in ("480p", "hen"):
        write_frames(tmp_path / "segmentation" / sequence, ["00000"])
    assert list_sequences(tmp_path, "segmentation") == ["480p", "hen"]


def test_a_sequence_named_1080p_is_opened(tmp_path):
    dataset = tmp_path / "dataset"
    write_frames(dataset / "JPEGImages" / "480p" / "1080p", ["00000", "00001"])
    assert choose_sequences(dataset, ("1080p",)) == ["1080p"]
    assert len(open_dataset_sequence(dataset, "1080p").video) == 2


def test_a_label_that_is_one_of_the_frames_is_refused(world):
    with pytest.raises(UsageError, match=r"00004\.png: expected a label, found a frame of hen"):
        world.open(world.frames / "00004.png")


def test_a_link_to_a_frame_is_no_label_and_a_file_in_the_place_of_one_is(world):
    video = world.open().video
    label = paths.LABELS / "hen" / "00004.png"
    label.parent.mkdir(parents=True)
    for link in (os.link, os.symlink):
        link(world.frames / "00004.png", label)
        with pytest.raises(InputError, match="found a frame of hen"):
            find_made_labels(video)
        label.unlink()
    (world.frames / "00004.png").rename(label)
    assert find_made_labels(video) == {4: label}


def test_the_frames_are_not_looked_at_again_for_each_label(world, monkeypatch):
    """The page finds the labels whenever it keeps a draft: of a long video that took seconds."""
    world.annotate_in_labels(3, 6)
    video, seen, stat = world.open().video, [], os.stat

    def note(path, *arguments, **options):
        seen.append(path)
        return stat(path, *arguments, **options)

    monkeypatch.setattr(os, "stat", note)
    assert list(find_made_labels(video)) == [3, 6]
    assert seen and not [path for path in seen if world.frames in Path(str(path)).parents]


def test_a_label_of_a_decimal_time_belongs_to_that_time(tmp_path):
    frames = write_frames(tmp_path / "hen", ["t0.4", "t0.466667", "t0.6"])
    for stem, frame in (("0.6", 2), ("0.60", 2), ("0.466667", 1), ("t0.4", 0)):
        label = write_label(tmp_path / "labels" / stem / f"{stem}.png")
        assert list(open_video_sequence(frames, (label,), "auto").labels) == [frame]
    label = write_label(tmp_path / "6.png")  # not the one that ends in 6
    with pytest.raises(UsageError, match="which frame does it label"):
        open_video_sequence(frames, (label,), "auto")


@pytest.mark.parametrize("name", ["@eaDir", "#recycle", "__MACOSX", ".Trash"])
def test_what_a_network_drive_adds_is_no_sequence(tmp_path, name):
    world = World(tmp_path)
    (world.frames.parent / name / "hen").mkdir(parents=True)
    (world.dataset / "JPEGImages" / name).mkdir(exist_ok=True)
    assert list_sequences(world.dataset) == ["hen"]


def test_a_linked_sequence_without_target_is_not_passed_over(tmp_path):
    world = World(tmp_path)
    (world.frames.parent / "owl").symlink_to(tmp_path / "unplugged")
    assert list_sequences(world.dataset) == ["hen", "owl"]
    with pytest.raises(InputError, match="owl: expected a folder, found a link whose target"):
        len(open_dataset_sequence(world.dataset, "owl").video)
