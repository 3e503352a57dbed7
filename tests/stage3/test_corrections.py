"""Corrections as operations on label maps, their files, and what a new run makes of them."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from tests.crossing_animals import NUM_FRAMES, SWAPPED_FROM, Crossing, segmented, truth
from utils import files
from utils.errors import InputError
from utils.media.labels import read_label, write_label
from utils.stage3.correction_files import (
    Correction,
    Corrections,
    MaskFolder,
    correct_masks,
    runs_of,
    summarise,
)
from utils.stage3.corrections import (
    MovePiece,
    Redraw,
    Swap,
    agree,
    describe,
    limit_of_agreement,
    piece_at,
)

END = NUM_FRAMES - 1
SHAPE = (8, 12)


def labels_with(*boxes) -> np.ndarray:
    """uint8 SHAPE; a box is animal, top, left, bottom, right."""
    labels = np.zeros(SHAPE, np.uint8)
    for animal, top, left, bottom, right in boxes:
        labels[top:bottom, left:right] = animal
    return labels


# Operations


def test_a_swap_gives_each_animal_the_mask_of_the_other_and_leaves_a_third_alone():
    labels = labels_with((1, 0, 0, 2, 2), (2, 4, 4, 6, 6), (3, 6, 8, 8, 12))
    swapped = Swap((1, 2), 3, 5).apply(4, labels, None)
    expected = labels_with((2, 0, 0, 2, 2), (1, 4, 4, 6, 6), (3, 6, 8, 8, 12))
    np.testing.assert_array_equal(swapped, expected)


@pytest.mark.parametrize("new_animal", [0, 2])
def test_a_piece_goes_to_another_animal_or_to_the_background(new_animal):
    labels = labels_with((1, 0, 0, 3, 3), (1, 5, 6, 7, 9), (2, 0, 9, 2, 12))
    piece = piece_at(labels, x=7, y=5)
    moved = MovePiece((1, new_animal), 0, 0).apply(0, labels, piece.astype(np.uint8))
    expected = labels_with((1, 0, 0, 3, 3), (new_animal, 5, 6, 7, 9), (2, 0, 9, 2, 12))
    np.testing.assert_array_equal(moved, expected)
    assert not piece_at(labels, x=5, y=5).any()


def test_what_a_person_drew_takes_pixels_of_others_and_what_was_followed_does_not():
    labels = labels_with((1, 0, 0, 3, 3), (2, 0, 3, 3, 6))
    drawn = labels_with((1, 0, 1, 3, 5))
    operation = Redraw((1,), 0, 1, drawn=0)
    by_hand, followed = (operation.apply(frame, labels, drawn) for frame in (0, 1))
    np.testing.assert_array_equal(by_hand, labels_with((2, 0, 3, 3, 6), (1, 0, 1, 3, 5)))
    np.testing.assert_array_equal(followed, labels_with((1, 0, 1, 3, 3), (2, 0, 3, 3, 6)))


def test_the_more_was_wrong_the_sooner_masks_agree():
    drawn, half = labels_with((1, 0, 0, 4, 4)), labels_with((1, 0, 0, 4, 2))
    nothing, most = labels_with(), labels_with((1, 0, 0, 4, 3))
    assert limit_of_agreement(nothing, drawn, (1,)) == 0.6
    assert limit_of_agreement(labels_with((1, 0, 0, 4, 1)), drawn, (1,)) == 0.625
    assert limit_of_agreement(half, drawn, (1,)) == limit_of_agreement(most, drawn, (1,)) == 0.7
    assert agree(most, drawn, Redraw((1,), 0, 0, 0, agrees_from=0.75))
    assert not agree(half, drawn, Redraw((1,), 0, 0, 0, agrees_from=0.75))


def test_any_masks_agree_after_a_small_correction():
    drawn, touched_up = labels_with((1, 0, 0, 6, 10)), labels_with((1, 0, 0, 6, 9))
    assert limit_of_agreement(touched_up, drawn, (1,)) == 0
    assert limit_of_agreement(drawn, drawn, (1, 2)) == 0
    assert agree(labels_with(), drawn, Redraw((1,), 0, 0, 0, agrees_from=0.0))


def test_operations_are_told_in_words():
    assert describe(Swap((1, 2), 3, 5)) == "frames 3 to 5: animals 1 and 2 swapped"
    assert describe(MovePiece((1, 0), 3, 3)) == "frame 3: a piece of animal 1 deleted"
    assert describe(MovePiece((1, 2), 3, 3), 10).endswith(
        "13: a piece of animal 1 given to animal 2"
    )
    assert describe(Redraw((1, 3), 3, 4, 3)) == "frames 3 to 4: animals 1, 3 redrawn"


def test_runs_and_the_summary_name_the_frames():
    assert runs_of([1, 2, 3, 7, 9, 10]) == [(1, 3), (7, 7), (9, 10)] and runs_of([]) == []
    entries = [
        Correction(1, Swap((1, 2), 7, 9), frozenset((7, 8, 9))),
        Correction(2, Swap((1, 2), 3, 3), frozenset()),
    ]
    assert summarise(entries[:1]) == "1 correction by hand in frames 7 to 9"
    assert "2 corrections" in summarise(entries) and "1 left out" in summarise(entries)
    assert summarise([]) == ""


# Files


def open_list(world: Crossing, animals=(1, 2)) -> Corrections:
    names = tuple(world.video.frame_names)
    return Corrections(MaskFolder(world.results, "pair", names, animals, world.video.sha256()))


def add(corrections: Corrections, operation, pixels) -> None:
    """As the page does it."""
    number = corrections.next_number()
    for frame, values in pixels.items():
        corrections.keep_pixels(number, frame, values)
    frames = frozenset(range(operation.first, operation.last + 1))
    corrections.entries.append(Correction(number, operation, frames))
    for frame in frames:
        corrections.write_mask(frame)
    corrections.save()


@pytest.fixture
def world(tmp_path) -> Crossing:
    return Crossing(tmp_path)


@pytest.fixture
def swapped(world) -> Crossing:
    """The world with the swap that corrects it."""
    pixels = {frame: segmented(frame) for frame in (SWAPPED_FROM, END)}
    add(open_list(world), Swap((1, 2), SWAPPED_FROM, END), pixels)
    return world


def test_masks_on_disk_follow_and_undoing_gives_the_same_file_back(world):
    before = [world.mask_path(frame).read_bytes() for frame in range(NUM_FRAMES)]
    corrections = open_list(world)
    pixels = {frame: segmented(frame) for frame in (SWAPPED_FROM, END)}
    add(corrections, Swap((1, 2), SWAPPED_FROM, END), pixels)
    for frame in range(NUM_FRAMES):
        np.testing.assert_array_equal(world.mask(frame), truth(frame))
    corrections = open_list(world)  # as another session finds it
    entry = corrections.entries.pop()
    for frame in entry.holds_in:
        corrections.write_mask(frame)
    assert [world.mask_path(frame).read_bytes() for frame in range(NUM_FRAMES)] == before
    assert not list((world.run_dir / "uncorrected").iterdir())


def test_undoing_reaches_masks_on_another_disk(world, monkeypatch):
    before = world.mask_path(END).read_bytes()
    corrections = open_list(world)
    add(corrections, Swap((1, 2), END, END), {END: segmented(END)})
    real = os.replace

    def replace(source, target):
        if Path(source).parent != Path(target).parent:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        real(source, target)

    monkeypatch.setattr(files.os, "replace", replace)
    corrections.entries.pop()
    corrections.write_mask(END)
    assert world.mask_path(END).read_bytes() == before
    assert not list((world.run_dir / "uncorrected").iterdir())


def test_a_later_correction_works_on_what_earlier_ones_made(swapped):
    corrections = open_list(swapped)
    piece = piece_at(corrections.corrected(9), x=140, y=50)
    add(corrections, MovePiece((1, 0), 9, 9), {9: piece.astype(np.uint8)})
    np.testing.assert_array_equal(swapped.mask(9), np.where(truth(9) == 1, 0, truth(9)))
    np.testing.assert_array_equal(open_list(swapped).corrected(9, num_entries=1), truth(9))


def test_a_list_that_is_damaged_or_of_other_frames_is_refused_by_name(swapped):
    path = swapped.run_dir / "corrections.json"
    whole = path.read_text()
    path.write_text(whole[:-20])
    with pytest.raises(InputError, match="corrections.json"):
        open_list(swapped)
    path.write_text(whole.replace(swapped.video.sha256(), "of another video"))
    with pytest.raises(InputError, match="other frames"):
        open_list(swapped)


def test_without_the_uncorrected_masks_nothing_is_corrected_twice(swapped):
    (swapped.run_dir / "uncorrected" / "00008.png").unlink()
    with pytest.raises(InputError, match="00008.png"):
        open_list(swapped).require_uncorrected()


def test_masks_that_a_killed_session_did_not_write_are_known(world):
    corrections = open_list(world)
    corrections.keep_pixels(1, 8, segmented(8))
    corrections.entries.append(Correction(1, Swap((1, 2), 8, 8), frozenset((8,))))
    corrections.are_masks_written = False
    corrections.save()
    again = open_list(world)
    assert again.to_write() == [8]
    again.require_uncorrected()  # it has not been touched yet
    again.write_mask(8)
    np.testing.assert_array_equal(world.mask(8), truth(8))


def test_a_piece_without_its_pixels_is_refused_by_name_and_a_swap_needs_none(swapped):
    corrections = open_list(swapped)
    piece = piece_at(corrections.corrected(9), x=140, y=50)
    add(corrections, MovePiece((1, 0), 9, 9), {9: piece.astype(np.uint8)})
    (path,) = (swapped.run_dir / "corrections").glob("0002_*.png")
    path.unlink()
    with pytest.raises(InputError, match=path.name):
        corrections.corrected(9)
    np.testing.assert_array_equal(corrections.corrected(9, num_entries=1), truth(9))


# A new run


def segment_again(world, masks, animals=(1, 2)) -> list[str]:
    """Writes new masks as a run does. Returns: what it says about the corrections."""
    from utils.stage3.pipeline import clear_results

    clear_results(world.results, world.video)
    for frame in range(NUM_FRAMES):
        write_label(world.mask_path(frame), masks(frame), animals)
    return correct_masks(world.results, world.video, animals)


def test_a_run_that_makes_the_same_mistake_is_corrected_again(swapped):
    notes = segment_again(swapped, segmented)
    assert notes == [f"1 correction by hand in frames {SWAPPED_FROM} to {END}"]
    for frame in range(NUM_FRAMES):
        np.testing.assert_array_equal(swapped.mask(frame), truth(frame))
    assert open_list(swapped).to_write() == []


def test_a_run_that_is_right_by_itself_is_left_alone_and_the_next_mistake_is_corrected(swapped):
    notes = segment_again(swapped, truth)
    assert "left out" in notes[0] and "do not confuse" in notes[1]
    np.testing.assert_array_equal(swapped.mask(END), truth(END))
    assert swapped.list()[0]["holds_in"] == [] and swapped.list()[0]["note"]
    segment_again(swapped, segmented)
    np.testing.assert_array_equal(swapped.mask(END), truth(END))


def test_a_swap_of_animals_that_are_elsewhere_now_is_left_out(world):
    """Without a common pixel at either end nothing says that they are confused."""
    first, last = SWAPPED_FROM, END
    kept = {first: segmented(first), last: segmented(last) * np.uint8(0)}
    add(open_list(world), Swap((1, 2), first, last), kept)
    assert "do not confuse" in segment_again(world, lambda f: np.roll(truth(f), 60, axis=0))[1]
    assert world.list()[0]["holds_in"] == []


def test_a_swap_from_a_frame_that_shows_neither_animal_is_tried_again(world):
    last = END

    def masks(frame):
        return segmented(frame) * np.uint8(frame != SWAPPED_FROM)

    def right(frame):
        return truth(frame) * np.uint8(frame != SWAPPED_FROM)

    kept = {frame: masks(frame) for frame in {SWAPPED_FROM, last}}
    add(open_list(world), Swap((1, 2), SWAPPED_FROM, last), kept)
    assert len(segment_again(world, masks)) == 1
    assert world.list()[0]["holds_in"] == [[SWAPPED_FROM, last]]
    # The last frame says that the new masks are right.
    assert "do not confuse" in segment_again(world, right)[1]
    np.testing.assert_array_equal(world.mask(END), truth(END))


def test_an_animal_that_is_gone_takes_its_corrections_with_it(swapped):
    notes = segment_again(swapped, lambda f: np.uint8(truth(f) == 1), animals=(1,))
    assert "no animal 2" in notes[1]


def test_a_run_of_other_frames_is_not_corrected(swapped):
    path = swapped.run_dir / "corrections.json"
    path.write_text(path.read_text().replace(swapped.video.sha256(), "of another video"))
    (note,) = segment_again(swapped, segmented)
    assert "other frames" in note
    np.testing.assert_array_equal(swapped.mask(END), segmented(END))


def test_a_redrawn_mask_holds_where_it_was_drawn_and_on_until_the_new_masks_agree(world):
    pixels = {frame: np.where(truth(frame) == 1, truth(frame), 0) for frame in (2, 3, 4)}
    add(open_list(world), Redraw((1,), 2, 4, drawn=3), pixels)

    def masks(frame):  # right in 2 and 4, animal 1 is missing in 3
        return truth(frame) * (truth(frame) != 1) if frame == 3 else truth(frame)

    notes = segment_again(world, masks)
    assert "kept in 1 frame: " in notes[1]
    assert world.list()[0]["holds_in"] == [[3, 3]]
    np.testing.assert_array_equal(world.mask(3), truth(3))
    notes = segment_again(world, lambda frame: np.uint8(2 * (truth(frame) == 2)))
    assert world.list()[0]["holds_in"] == [[2, 4]] and len(notes) == 1


def test_right_masks_keep_an_animal_that_the_redrawn_frame_does_not_show(world):
    """It was taken out of all frames in which the other one had been followed."""

    def masks(frame):
        return truth(frame) * np.uint8((truth(frame) == 1) | (frame != 3))

    pixels = {frame: truth(frame) * np.uint8(truth(frame) == 1) for frame in (2, 3, 4)}
    add(open_list(world), Redraw((1, 2), 2, 4, drawn=3), pixels)
    segment_again(world, masks)
    assert world.list()[0]["holds_in"] == [[3, 3]]
    for frame in (2, 3, 4):
        np.testing.assert_array_equal(world.mask(frame), masks(frame))


def exchanged(frame) -> np.ndarray:
    """The truth with the numbers of the two animals exchanged."""
    return np.array([0, 2, 1], np.uint8)[truth(frame)]


def test_a_redrawn_mask_is_left_out_where_its_animal_has_another_number(world):
    drawn = {frame: np.where(truth(frame) == 1, truth(frame), 0) for frame in (2, 3)}
    add(open_list(world), Redraw((1,), 2, 3, drawn=3), drawn)
    notes = segment_again(world, exchanged)
    assert "left out: what was drawn as animal 1 is animal 2 in the new masks" in notes[1]
    for frame in (2, 3):
        np.testing.assert_array_equal(world.mask(frame), exchanged(frame))
    segment_again(world, lambda frame: truth(frame) * np.uint8(truth(frame) != 1))
    np.testing.assert_array_equal(world.mask(3), truth(3))


@pytest.mark.parametrize("agrees_from, is_kept", [(0.0, False), (0.7, False), (0.6, True)])
def test_two_redrawn_animals_keep_the_correction_of_a_run_that_confused_them(
    world, agrees_from, is_kept
):
    add(open_list(world), Redraw((1, 2), 3, 3, 3, agrees_from), {3: truth(3)})
    segment_again(world, exchanged)
    np.testing.assert_array_equal(world.mask(3), truth(3) if is_kept else exchanged(3))


def test_a_run_that_lacks_the_pixels_of_a_correction_says_so_and_ends(world):
    add(open_list(world), Redraw((1,), 3, 3, drawn=3), {3: truth(3)})
    (path,) = (world.run_dir / "corrections").iterdir()
    path.unlink()
    (note,) = segment_again(world, segmented)
    assert path.name in note
    assert not open_list(world).are_masks_written
    np.testing.assert_array_equal(world.mask(3), segmented(3))
    assert open_list(world).to_write() == []  # nothing that held in the masks before


def test_a_piece_that_the_new_mask_does_not_have_is_left_out(world):
    piece = segmented(4) * np.uint8(segmented(4) == 1)
    add(open_list(world), MovePiece((1, 0), 4, 4), {4: piece})
    assert not (world.mask(4) == 1).any()
    notes = segment_again(world, lambda frame: np.uint8(2 * (truth(frame) == 2)))
    assert "no such piece" in notes[1]


def test_the_masks_of_one_animal_stay_black_and_white(tmp_path):
    world = Crossing(tmp_path, lambda frame: np.uint8(truth(frame) > 0), animals=(1,))
    corrections = open_list(world, animals=(1,))
    piece = piece_at(corrections.corrected(1), x=160, y=85)
    add(corrections, MovePiece((1, 0), 1, 1), {1: piece.astype(np.uint8)})
    assert read_label(world.mask_path(1), (1,)).shown_animals == (1,)
    np.testing.assert_array_equal(world.mask(1), np.uint8(truth(1) == 1))


def test_finetune_test_applies_them_before_it_draws_the_overlay(
    tmp_path, weights_file, small_stage3, capsys
):
    from tests import stage3_world

    made = stage3_world.World(tmp_path / "world", weights_file).add()
    made.run()
    before = made.masks()
    folder = MaskFolder(made.results, "hen", tuple(f"{i:05d}" for i in range(6)), (1,))
    corrections = Corrections(folder)
    corrections.keep_pixels(1, 2, stage3_world.animal(0))
    corrections.entries.append(Correction(1, Redraw((1,), 2, 2, drawn=2), frozenset((2,))))
    corrections.write_mask(2)
    corrections.save()
    overlay = made.results / "overlay" / "hen.png"
    sheet = overlay.read_bytes()
    made.run(overwrite=True)
    expected = before.copy()
    expected[2] = stage3_world.animal(0)
    np.testing.assert_array_equal(made.masks(), expected)
    assert "hen: 1 correction by hand in frame 2" in capsys.readouterr().out
    assert overlay.read_bytes() != sheet
    made.run()  # finished before
    np.testing.assert_array_equal(made.masks(), expected)
