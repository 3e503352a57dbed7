"""Corrections of the result as a person makes them in the page, in headless Chromium."""

import numpy as np
import pytest

from tests.bright_parts import Finder
from tests.crossing_animals import NUM_FRAMES, SWAPPED_FROM, Crossing, truth
from utils.annotator import corrector
from utils.annotator.prompted_segmenter import PromptedSegmenter
from utils.inputs.sequences import open_video_sequence
from utils.media import overlay
from utils.media.labels import write_label

END = NUM_FRAMES - 1


@pytest.fixture
def open_review(open_results):
    """Opens the page on the results of a world, in review at a frame."""

    def make(world: Crossing, frame: int, segmenter=None):
        session = open_results(world, frame, segmenter)
        session.page.keyboard.press("r")
        session.wait_text("#frame-state", "result")
        session.loaded()
        return session

    return make


def written(session):
    """Waits until masks and overlay are."""
    session.wait("document.getElementById('writing-text').innerText === ''")


def point_at(session, x, y):
    session.page.mouse.move(*session.place(x, y))


def test_a_swap_is_found_and_corrected_in_three_actions_and_undone_by_one(tmp_path, open_review):
    world = Crossing(tmp_path)
    world.write_overlay()
    session = open_review(world, 3)
    page = session.page
    page.keyboard.press("d")  # 1
    session.wait_text("#doubt-text", "Frame 5: animals 1 and 2 touch")
    page.keyboard.press("d")  # 2
    session.wait_text("#doubt-text", f"Frame {SWAPPED_FROM}: animals 1 and 2 have parted")
    session.loaded()
    wrong = session.colour(20 + 14 * SWAPPED_FROM, 55)
    page.keyboard.press("w")  # 3
    session.wait_text("#corrections-text", f"1 correction by hand in frames 7 to {END}")
    session.loaded()
    session.wait_text("#frame-state", "result, corrected")
    right = session.colour(20 + 14 * SWAPPED_FROM, 55)
    assert abs(right - wrong).max() > 30
    written(session)
    for frame in range(NUM_FRAMES):
        np.testing.assert_array_equal(world.mask(frame), truth(frame))
    page.keyboard.press("d")
    session.wait_text("#doubt-text", "No doubt after this frame")

    page.keyboard.press("Control+z")
    session.wait_text("#corrections-text", "No corrections yet")
    session.loaded()
    assert session.text("#toast") == "Undone (5 frames). Ctrl+Shift+Z brings it back."
    assert abs(session.colour(20 + 14 * SWAPPED_FROM, 55) - wrong).max() < 6
    page.click("#redo")
    session.wait_text("#corrections-text", "1 correction")
    written(session)
    np.testing.assert_array_equal(world.mask(END), truth(END))
    page.click("#watch")
    session.wait("document.getElementById('video').readyState >= 2")


def test_a_mask_redrawn_in_one_frame_is_right_in_its_neighbours(tmp_path, open_review):
    def masks(frame):
        return truth(frame) * (truth(frame) != 1) if 2 <= frame <= 4 else truth(frame)

    world = Crossing(tmp_path, masks)
    session = open_review(world, 3, PromptedSegmenter(Finder()))
    page = session.page
    page.keyboard.press("m")
    session.wait_text("#frame-state", "unsaved")
    assert page.locator("#apply").is_visible()
    session.click(65, 55)
    session.answered()
    page.keyboard.press("Control+Enter")
    session.wait_text("#toast", "Frames 2 to 4 are corrected")
    session.wait_text("#frame-state", "result, corrected")
    written(session)
    for frame in range(NUM_FRAMES):
        is_1 = truth(frame) == 1
        assert ((world.mask(frame) == 1) & is_1).sum() > 0.9 * is_1.sum()
        np.testing.assert_array_equal(world.mask(frame) == 2, truth(frame) == 2)
    page.click("#mode-label")
    session.wait_text("#frame-state", "not labelled")  # it was no label
    page.click("#mode-review")
    session.wait_text("#frame-state", "result, corrected")
    page.keyboard.press("Control+z")
    session.wait_text("#corrections-text", "No corrections yet")
    written(session)
    for frame in range(NUM_FRAMES):
        np.testing.assert_array_equal(world.mask(frame), masks(frame))


def test_ctrl_enter_pressed_again_neither_corrects_nor_follows_a_second_time(tmp_path, open_review):
    def masks(frame):
        return truth(frame) * (truth(frame) != 1) if 2 <= frame <= 4 else truth(frame)

    session = open_review(Crossing(tmp_path, masks), 3, PromptedSegmenter(Finder()))
    page, posted = session.page, []
    page.on("request", lambda request: posted.append(request.url.rpartition("corrections/")[2]))
    sending, following = map(session.hold, ("/api/corrections/masks/", "/api/corrections/follow/"))
    page.keyboard.press("m")
    session.wait_text("#frame-state", "unsaved")
    session.click(65, 55)
    session.answered()
    posted.clear()
    for held in (sending, following):
        page.keyboard.press("Control+Enter")
        page.keyboard.press("Control+Enter")
        session.wait(lambda gate=held: len(gate) == 1)
        page.keyboard.press("Control+Enter")
        held.let_all_through()
    session.wait_text("#toast", "Frames 2 to 4 are corrected")
    session.wait_text("#frame-state", "result, corrected")
    sent = [what for what in posted if what.startswith(("masks", "follow"))]
    assert sent == ["masks/3", *["follow/next"] * 2, *["follow/previous"] * 2]
    assert session.text("#corrections").count("redrawn") == 1


def test_a_search_that_was_broken_off_says_nothing(tmp_path, open_review):
    session = open_review(Crossing(tmp_path), 3)
    page, held = session.page, session.hold("/api/doubts/")
    page.keyboard.press("d")
    session.wait(lambda: held)
    page.keyboard.press("ArrowLeft")
    session.wait("document.getElementById('number').value === '2'")
    session.loaded()
    page.evaluate("document.getElementById('doubt-text').textContent = 'as it was'")
    with page.expect_response("**/api/doubts/**"):
        held[0].set()
    page.evaluate("() => new Promise((go) => setTimeout(go))")  # after what the answer sets off
    session.loaded()
    assert session.frame() == 2 and session.text("#doubt-text") == "as it was"


def test_a_search_that_was_broken_off_is_no_longer_shown_as_going_on(tmp_path, open_review):
    session = open_review(Crossing(tmp_path), 3)
    page, held = session.page, session.hold("/api/doubts/")
    before = session.text("#doubt-text")
    page.keyboard.press("d")
    session.wait_text("#doubt-text", "Looking at frame 3")
    page.keyboard.press("ArrowLeft")
    session.wait(lambda: session.frame() == 2)
    held.let_all_through()
    session.wait_text("#doubt-text", before)
    session.expected_complaint = "ERR_"
    session.break_off("/api/doubts/")
    page.keyboard.press("d")
    session.wait_text("#toast", "does not answer")
    session.wait_text("#doubt-text", before)


def test_the_search_for_the_next_touch_shows_how_far_it_is_and_can_be_stopped(
    tmp_path, open_review, monkeypatch
):
    monkeypatch.setattr(corrector, "SECONDS_AT_ONCE", 0)
    session = open_review(Crossing(tmp_path), 0)
    page, held, posted = session.page, session.hold("/api/crossings/"), []
    page.on("request", lambda r: posted.append(r.url) if r.method == "POST" else None)
    page.keyboard.press("w")
    session.wait(lambda: len(held) == 1)
    held[0].set()
    session.wait_text("#busy-text", "frame 1 …")
    session.wait(lambda: len(held) == 2)
    page.keyboard.press("Escape")
    page.keyboard.press("w")  # the search that was stopped is still to end
    session.wait(lambda: len(held) == 3)
    held[1].set()
    session.wait_text("#toast", "Nothing was swapped")
    assert page.locator("#busy").is_visible() and len(held) == 3 and not posted
    page.keyboard.press("w")  # one at a time
    page.keyboard.press("ArrowRight")  # the person may look around meanwhile
    session.wait(lambda: session.frame() == 1)
    held.let_all_through()
    session.wait_text("#corrections-text", "1 correction by hand in frames 0 to 4")
    session.answered()
    assert len(held) == 3 and len(posted) == 1


@pytest.mark.parametrize("field", ["#line", "#opacity", "#number", "#swap-b"])
def test_esc_stops_wherever_the_focus_is(tmp_path, open_review, field):
    session = open_review(Crossing(tmp_path), 0)
    page, held = session.page, session.hold("/api/crossings/")
    page.keyboard.press("w")
    session.wait(lambda: held)
    page.focus(field)
    page.keyboard.press("Escape")
    held.let_all_through()
    session.wait_text("#toast", "Nothing was swapped")


def test_a_menu_used_with_the_mouse_leaves_the_keys_to_the_frames_one_used_with_keys_does_not(
    tmp_path, open_review
):
    session = open_review(Crossing(tmp_path, animals=(1, 2, 3)), 0)
    page = session.page
    chosen = "document.activeElement.id + document.getElementById('swap-b').value"
    page.focus("#swap-b")
    page.keyboard.press("ArrowDown")
    session.wait(f"{chosen} === 'swap-b3'")
    page.keyboard.press("ArrowUp")
    session.wait(f"{chosen} === 'swap-b2'")
    page.click("#swap-b")
    page.keyboard.press("ArrowDown")  # in the menu that is open
    page.keyboard.press("Enter")
    session.wait(f"{chosen} === 'canvas3'")
    page.keyboard.press("ArrowRight")
    session.wait(lambda: session.frame() == 1)
    session.loaded()
    page.keyboard.press("e")
    session.wait_text("#corrections", f"Frames 1 to {END}: animals 1 and 3 swapped")
    written(session)


def test_a_piece_under_the_pointer_is_given_away_and_deleted(tmp_path, open_review):
    world = Crossing(tmp_path)
    session = open_review(world, 0)
    session.page.keyboard.press("1")
    point_at(session, 175, 85)
    session.page.keyboard.press("g")
    session.wait_text("#corrections", "a piece of animal 2 given to animal 1")
    session.loaded()
    session.click(175, 85)
    session.page.click("#delete-piece")  # as on a touch screen
    session.wait_text("#corrections", "a piece of animal 1 deleted")
    written(session)
    np.testing.assert_array_equal(world.mask(0), np.uint8(truth(0) == 1))
    session.expected_complaint = "422"
    point_at(session, 100, 20)
    session.page.keyboard.press("k")
    session.wait_text("#toast", "no animal under the pointer")


def test_a_piece_is_where_the_pointer_is_after_the_view_was_zoomed(tmp_path, open_review):
    """It was the piece that had been there before."""
    world = Crossing(tmp_path)
    session = open_review(world, 0)
    session.page.mouse.move(*session.place(23, 55, zoom=0.8**2))  # still on the background
    session.page.keyboard.press("-")
    session.page.keyboard.press("-")
    session.page.keyboard.press("k")
    session.wait_text("#corrections", "a piece of animal 1 deleted")
    written(session)
    np.testing.assert_array_equal(world.mask(0) > 0, truth(0) == 2)


def test_the_buttons_act_on_the_piece_that_was_clicked_not_where_the_view_was_moved(
    tmp_path, make_session
):
    """A pan or a pinch that began on another piece had this one deleted."""
    world = Crossing(tmp_path)
    sequence = open_video_sequence(world.frames, (), "auto")
    session = make_session(sequence, 0, viewport={"width": 1280, "height": 820}, has_touch=True)
    page = session.open().page
    page.keyboard.press("r")
    session.wait_text("#frame-state", "result")
    session.loaded()
    session.drag((23, 55), (43, 55))
    page.click("#delete-piece")
    session.wait_text("#toast", "click it, then the button")
    page.click("#zoom-fit")
    page.touchscreen.tap(*session.place(175, 85))
    touch = session.context.new_cdp_session(page)
    x, y = session.place(23, 55)
    for kind, reaches in (("Start", [20]), ("Start", [20, -20]), ("Move", [20, -40]), ("End", [])):
        points = [{"x": x + reach, "y": y, "id": i} for i, reach in enumerate(reaches)]
        touch.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})
    page.click("#delete-piece")
    session.wait_text("#corrections", "a piece of animal 2 deleted")
    written(session)
    np.testing.assert_array_equal(world.mask(0), np.uint8(truth(0) == 1))


@pytest.mark.parametrize("late", ["/api/frames/1/display.jpg", "/api/masks/result/1"])
def test_nothing_is_corrected_before_picture_and_mask_of_the_frame_are_there(
    tmp_path, open_review, late
):
    """Keys acted on a frame that nobody saw yet, where the pointer was in the one before."""
    world = Crossing(tmp_path)
    session = open_review(world, 3)
    page, held, posted = session.page, session.hold(late), []
    page.on("request", lambda r: posted.append(r.url) if r.method == "POST" else None)
    point_at(session, 50, 55)
    page.locator("#number").fill("1")
    page.keyboard.press("Enter")
    session.wait(lambda: held)
    point_at(session, 36, 55)
    for key in ("k", "g", "w", "e", "f", "Delete"):
        page.evaluate("document.getElementById('toast').textContent = ''")
        page.keyboard.press(key)
        session.wait_text("#toast", "Nothing was changed: frame 1 is not on the screen")
    session.click(36, 55)
    held.let_all_through()
    session.loaded()
    page.click("#delete-piece")  # what was clicked was not on the screen
    session.wait_text("#toast", "click it, then the button")
    assert not posted
    point_at(session, 36, 55)
    page.keyboard.press("k")
    session.wait_text("#corrections", "a piece of animal 1 deleted")
    written(session)
    np.testing.assert_array_equal(world.mask(1) > 0, truth(1) == 2)


def test_a_key_that_is_held_down_corrects_once(tmp_path, open_review):
    session = open_review(Crossing(tmp_path), SWAPPED_FROM)
    page = session.page
    page.keyboard.down("e")
    session.wait_text("#corrections-text", "1 correction")
    session.answered()
    session.loaded()
    page.keyboard.down("e")  # as a keyboard repeats it
    page.keyboard.up("e")
    page.keyboard.press("f")
    session.wait_text("#corrections-text", "2 corrections")
    assert session.text("#corrections").count(f"to {END}") == 1


def test_the_video_is_watched_as_it_was_if_it_cannot_be_written(tmp_path, open_review, monkeypatch):
    def fail(*_, **__):
        raise ValueError("no such codec")

    world = Crossing(tmp_path)
    world.write_overlay()
    monkeypatch.setattr(overlay, "write_overlay_video", fail)
    session = open_review(world, SWAPPED_FROM)
    session.page.keyboard.press("f")
    session.wait_text("#writing-text", "no such codec")
    session.page.click("#watch")
    session.wait("document.getElementById('video').readyState >= 2")


def test_the_list_keeps_the_keyboard_while_files_are_written(tmp_path, open_review):
    session = open_review(Crossing(tmp_path), SWAPPED_FROM)
    page = session.page
    page.keyboard.press("e")
    session.wait_text("#corrections", "swapped")
    page.focus("#corrections button")
    page.evaluate("import('/page/correct.js').then((correct) => correct.loadCorrections())")
    assert "swapped" in session.text("#corrections :focus")
    written(session)


def test_the_animals_of_a_new_run_can_be_swapped_whatever_their_numbers(tmp_path, open_review):
    world = Crossing(tmp_path)
    session = open_review(world, 0)
    page, numbers = session.page, np.array([0, 1, 3], np.uint8)
    assert page.locator("#swap-b option").all_inner_texts() == ["1", "2"]
    for frame in range(NUM_FRAMES):
        write_label(world.mask_path(frame), numbers[truth(frame)], (1, 3))
    world.write_record((1, 3))
    page.evaluate("import('/page/correct.js').then((correct) => correct.loadCorrections())")
    for menu in ("#swap-a", "#swap-b"):
        assert page.locator(f"{menu} option").all_inner_texts() == ["1", "3"]
    page.keyboard.press("f")
    session.wait_text("#corrections", "animals 1 and 3 swapped")
    written(session)


def test_the_animals_chosen_to_swap_stay_chosen_while_files_are_written(tmp_path, open_review):
    """Between the first choice and the second the page went back to animals 1 and 2."""
    session = open_review(Crossing(tmp_path, animals=(1, 2, 3)), 0)
    page = session.page
    page.select_option("#swap-a", "2")
    page.evaluate("import('/page/correct.js').then((correct) => correct.loadCorrections())")
    assert page.locator("#swap-a").input_value() == page.locator("#swap-b").input_value() == "2"
    assert page.locator("#swap-part button:disabled").count() == 3
    page.focus("#canvas")
    page.keyboard.press("f")
    session.wait_text("#toast", "Choose two animals")
    page.select_option("#swap-b", "3")
    page.click("#swap-here")
    session.wait_text("#corrections", "animals 2 and 3 swapped")
    written(session)


def test_a_confidence_of_0_is_shown(tmp_path, open_review):
    session = open_review(Crossing(tmp_path, confidence=[0.0] * NUM_FRAMES), 3)
    assert "confidence 0.00" in session.text("#frame-state")


def test_with_one_animal_there_is_nothing_to_swap(tmp_path, open_review):
    world = Crossing(tmp_path, lambda frame: np.uint8(truth(frame) == 1), animals=(1,))
    session = open_review(world, 0)
    assert session.page.locator("#swap-part").is_hidden()
    session.page.keyboard.press("w")
    point_at(session, 20, 55)
    session.page.keyboard.press("Delete")
    session.wait_text("#corrections-text", "1 correction by hand in frame 0")
