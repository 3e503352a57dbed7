"""Opening results: which videos there are, how far they are, and which animals they have."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.made_results import NUM_FRAMES, MadeResults, animal
from utils.errors import InputError
from utils.evaluation.results import (
    State,
    UnfinishedError,
    list_results,
    open_input,
    open_segmented,
    read_masks,
    require_finished,
)
from utils.media.labels import VOID, write_label
from utils.media.video_part import take_part
from utils.media.videos import VideoFile


@pytest.fixture
def made(tmp_path) -> MadeResults:
    return MadeResults(tmp_path)


def state_of(made, name) -> State:
    return open_segmented(made.results, name).state


def test_a_video_with_its_record_and_all_masks_is_finished(made):
    made.add("hen")
    assert state_of(made, "hen") is State.FINISHED
    (made.results / "runs" / "hen" / "partial").mkdir()  # left by a kill at the very end
    assert state_of(made, "hen") is State.FINISHED
    require_finished(open_segmented(made.results, "hen"))


def test_a_video_whose_masks_are_missing_is_unfinished(made):
    made.add("hen")
    made.mask_path("hen", 5).unlink()
    video = open_segmented(made.results, "hen")
    assert (video.state, video.progress) == (State.UNFINISHED, "11 of 12 masks")
    with pytest.raises(UnfinishedError, match="hen: unfinished .11 of 12 masks.*finetune_test.py"):
        require_finished(video)


def test_a_video_whose_run_was_killed_is_unfinished_from_its_first_moment(made):
    made.add("hen")
    made.leave_unfinished("hen", num_masks=7)
    (made.results / "runs" / "owl" / "partial").mkdir(parents=True)
    assert list_results(made.results) == ["hen", "owl"]
    assert state_of(made, "hen") is state_of(made, "owl") is State.UNFINISHED
    assert len(open_segmented(made.results, "owl")) == 0


def test_masks_without_any_trace_of_a_run_are_of_unknown_origin(made):
    made.add("hen", labelled=None)
    assert state_of(made, "hen") is State.UNKNOWN
    require_finished(open_segmented(made.results, "hen"))


def test_a_record_that_does_not_say_how_many_frames_there_were_is_believed(made):
    made.add("hen")
    made.write_record("hen", {"labelled_frames": [3]})
    assert state_of(made, "hen") is State.FINISHED


def test_no_masks_and_too_many_masks_are_errors(made):
    made.add("hen")
    write_label(made.mask_path("hen", NUM_FRAMES), animal(0))
    with pytest.raises(InputError, match=f"expected {NUM_FRAMES} masks.*found {NUM_FRAMES + 1}"):
        open_segmented(made.results, "hen")
    with pytest.raises(InputError, match="expected masks"):
        open_segmented(made.results, "owl")


@pytest.mark.parametrize(
    "record",
    [["no", "record"], {}, {"labelled_frames": "3"}, {"animals": ["hen"]}, {"num_frames": "12"}],
    ids=str,
)
def test_a_malformed_record_is_an_error(made, record):
    made.add("hen")
    made.write_record("hen", record)
    with pytest.raises(InputError, match="run.json"):
        open_segmented(made.results, "hen")


@pytest.mark.parametrize("order", [["negative"], {"reverse": True}], ids=str)
def test_a_malformed_order_of_frames_is_an_error(made, order):
    made.add("hen", frame_order=order)
    with pytest.raises(InputError, match=r"run\.json.*frame_order"):
        open_segmented(made.results, "hen")


def test_hidden_folders_are_not_videos_and_names_of_resolutions_are(made):
    for name in ("480p", "1080p", ".writing-1", "hen10", "hen9"):
        made.add(name)
    assert list_results(made.results) == ["480p", "1080p", "hen9", "hen10"]


def rewrite_record(made, name, **changes):
    path = made.results / "runs" / name / "run.json"
    record = json.loads(path.read_text()) | changes
    made.write_record(name, {key: value for key, value in record.items() if value is not None})


def test_folders_that_storage_adds_are_not_videos(made):
    """A folder that a NAS keeps of its own counted as a video, which then had no masks."""
    made.add("hen")
    for name in ("@eaDir", "#recycle"):
        (made.results / "segmentation" / name).mkdir()
    assert list_results(made.results) == ["hen"]


@pytest.mark.parametrize("part", [None, [2, 10]])
def test_another_video_of_the_same_path_and_length_is_not_the_input(made, part):
    """Exports and the report took its times and its pixels."""
    made.add("hen", is_file=True)
    made.add("owl", is_file=True)
    path = made.root / "hen.mp4"
    path.write_bytes(path.read_bytes() + bytes(8))  # as another recording of as many frames
    with VideoFile(path) as video:
        frames = take_part(video, *part) if part else video
        names, digest = frames.frame_names, frames.sha256()
    for mask in sorted((made.results / "segmentation" / "hen").iterdir()):
        if mask.stem not in names:
            mask.unlink()
    key = {"sha256": {"frames": digest}}
    record = {"input": str(path), "num_frames": len(names), "labelled_frames": [3], "key": key}
    made.write_record("hen", record | ({"part": part} if part else {}))
    open_input(open_segmented(made.results, "hen")).close()
    shutil.copy(made.root / "owl.mp4", path)
    with pytest.raises(InputError, match="hen.mp4: expected the frames that hen was segmented"):
        open_input(open_segmented(made.results, "hen"))


def test_animals_are_those_of_the_record(made):
    made.add("two", label_animals=(7, 3, 1))
    assert open_segmented(made.results, "two").animals == (1, 3, 7)


def test_a_record_with_the_number_of_animals_alone_means_one_to_n(made):
    made.add("two")
    rewrite_record(made, "two", animals=None, num_animals=2)
    assert open_segmented(made.results, "two").animals == (1, 2)


def test_an_older_record_finds_the_numbers_of_its_animals_beside_their_confidence(made):
    made.add("two")
    rewrite_record(made, "two", animals=None, num_animals=2)
    values = [0.5] * NUM_FRAMES
    content = {"confidence": values, "animals": {"7": values, "3": values}}
    made.write_record("two", content, "confidence.json")
    assert open_segmented(made.results, "two").animals == (3, 7)


def test_without_a_record_no_animals_are_known(made):
    made.add("hen", labelled=None)
    assert open_segmented(made.results, "hen").animals == ()


def test_masks_keep_the_numbers_of_the_label_and_void_is_background(made):
    masks = [7 * animal(index) for index in range(NUM_FRAMES)]
    made.add("two", masks, label_animals=(3, 7))
    np.testing.assert_array_equal(list(read_masks(open_segmented(made.results, "two"))), masks)
    with_void = 3 * animal(0)
    with_void[0] = VOID
    write_label(made.mask_path("two", 0), with_void, (3, 7))
    first = next(read_masks(open_segmented(made.results, "two")))
    np.testing.assert_array_equal(first, 3 * animal(0))


def test_a_mask_that_was_repainted_as_another_animal_is_refused(made):
    """It was exported as a second animal, beside an invisible first one."""
    made.add("two", [7 * animal(index) for index in range(NUM_FRAMES)], label_animals=(3, 7))
    write_label(made.mask_path("two", 0), 5 * animal(0), (5,))
    with pytest.raises(InputError, match="expected no animals but 3, 7, found 5"):
        next(read_masks(open_segmented(made.results, "two")))


RED, BLUE = (255, 0, 0), (0, 0, 255)  # not in the DAVIS palette


def add_colours(made, *frames) -> list[np.ndarray]:
    """Masks of another program. Each frame: the colour of each of its animals."""
    for index, shown in enumerate(frames):
        mask = np.zeros((40, 60, 3), np.uint8)
        for place, colour in enumerate(shown):
            mask[10:30, 20 * place : 20 * place + 15] = colour
        path = made.mask_path("hen", index)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(path)
    return list(read_masks(open_segmented(made.results, "hen")))


def test_colours_of_another_program_are_the_same_animals_in_all_masks(made):
    """They were numbered in each mask by itself, so red was 2 here and 1 there."""
    masks = add_colours(made, [BLUE, RED], [RED], [], [RED, BLUE], [BLUE])
    shown = [mask[20, ::20].tolist() for mask in masks]
    assert shown == [[1, 2, 0], [2, 0, 0], [0, 0, 0], [2, 1, 0], [1, 0, 0]]


def test_masks_of_another_program_keep_their_numbers(made):
    made.add("one", [7 * animal(index) for index in range(NUM_FRAMES)], labelled=None)
    assert {int(mask.max()) for mask in read_masks(open_segmented(made.results, "one"))} == {7}
    many = [np.where(animal(0), index + 1, index // 2 + 101) for index in range(60)]
    made.add("many", [mask.astype(np.uint8) for mask in many], labelled=None)
    np.testing.assert_array_equal(list(read_masks(open_segmented(made.results, "many"))), many)


def test_more_colours_than_there_are_numbers_are_refused(made):
    frames = [[(200, red, green) for red in range(3)] for green in range(86)]
    with pytest.raises(InputError, match="00000.png.* at most 254 animals in all, found 258"):
        add_colours(made, *frames)
