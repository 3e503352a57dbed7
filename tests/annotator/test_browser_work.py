"""Work that must not be lost in the page, nor end up in another frame, in headless Chromium."""

from dataclasses import replace

import numpy as np
import pytest

from tests.annotator.test_browser_frames import DamagedVideo
from tests.bright_hen import overlap
from tests.bright_parts import Finder
from tests.crossing_animals import Crossing, truth
from tests.page_client import TOKEN
from tests.page_session import ellipse
from utils import paths
from utils.annotator.background_network import BackgroundNetwork
from utils.annotator.prompted_segmenter import PromptedSegmenter
from utils.annotator.segment_click import ClickSegmenter
from utils.annotator.server import create_app
from utils.inputs.sequences import VideoSequence, open_video_sequence
from utils.media.labels import write_label

SPOT = (40, 30)  # outside of the ellipse of frame 6


def paint(session, x, y):
    session.page.keyboard.press("b")
    session.drag((x, y), (x + 20, y))


def switch(session, key, seen):
    """To review, or to redrawing its mask."""
    session.page.keyboard.press(key)
    session.wait_text("#frame-state", seen)
    session.loaded()


def test_correcting_a_result_leaves_the_unsaved_label_of_that_frame(open_results, tmp_path):
    """It was deleted, with its draft and all steps before it."""
    world = Crossing(tmp_path, lambda f: truth(f) * np.uint8(f != 3 or truth(f) != 1))
    session = open_results(world, 3, PromptedSegmenter(Finder()))
    page = session.page
    paint(session, 100, 20)
    page.wait_for_selector("#strip .draft")
    page.keyboard.press("r")
    session.wait_text("#frame-state", "result")
    page.keyboard.press("m")
    session.wait_text("#toast", "Redraw the animal")
    paint(session, 52, 55)
    page.keyboard.press("r")
    session.wait_text("#frame-state", "result")
    page.keyboard.press("m")  # goes on with it, and does not begin again
    session.wait_text("#toast", "redrawn so far")
    assert page.locator("#undo").is_enabled()
    page.keyboard.press("Control+Enter")
    session.wait_text("#toast", "corrected")
    page.keyboard.press("r")
    session.wait_text("#frame-state", "unsaved")
    label = session.save(3)
    assert label[20, 110] and not label[55, 60]
    assert (world.mask(3) == 1)[55, 60]


def open_and_redraw(open_results, tmp_path):
    """Paints the animal that the result of frame 3 lacks; returns the world and the session."""
    world = Crossing(tmp_path, lambda f: truth(f) * np.uint8(f != 3 or truth(f) != 1))
    session = open_results(world, 3, PromptedSegmenter(Finder()))
    session.page.keyboard.press("r")
    session.wait_text("#frame-state", "result")
    session.page.keyboard.press("m")
    session.wait_text("#toast", "Redraw the animal")
    session.loaded()
    paint(session, 52, 55)
    return world, session


def test_a_redrawn_frame_that_was_saved_as_a_label_stays_one_when_it_is_corrected(
    open_results, tmp_path
):
    _, session = open_and_redraw(open_results, tmp_path)
    page = session.page
    label = session.save(3)
    page.keyboard.press("Control+Enter")
    session.wait_text("#toast", "corrected")
    page.keyboard.press("r")
    session.wait_text("#frame-state", "label saved")
    assert label[55, 60] == 1 and page.locator("#strip .draft").count() == 0


def test_redrawing_begins_anew_when_the_result_is_another_one(open_results, tmp_path):
    world = Crossing(tmp_path)
    session = open_results(world, 0)
    page = session.page
    for key, seen in (("r", "result"), ("m", "unsaved"), ("r", "result")):
        switch(session, key, seen)
    page.keyboard.press("f")  # swaps the animals of this frame
    session.wait_text("#corrections-text", "1 correction")
    session.loaded()
    page.keyboard.press("m")
    session.wait_text("#toast", "Redraw the animal")
    session.loaded()
    label = session.save(0)
    assert label[55, 20] == 2  # as in the result now


def test_an_animal_that_is_the_only_one_keeps_its_number_when_a_frame_is_fixed(
    open_results, tmp_path
):
    """It became animal 1 beside animal 2, each the other one's background in the next run."""
    world = Crossing(tmp_path, lambda f: np.uint8(truth(f) == 1), animals=(1,))
    write_label(paths.LABELS / "pair" / "00000.png", np.uint8(truth(0) == 1) * 2, (2,))
    session = open_results(world, 3)
    page = session.page
    for key, seen in (("r", "result"), ("m", "unsaved")):
        switch(session, key, seen)
    assert page.locator("#animals [aria-checked=true]").inner_text() == "Animal 2"
    paint(session, 100, 20)
    label = session.save(3)
    assert set(np.unique(label)) == {0, 2} and label[20, 110] and label[55, 60]
    page.keyboard.press("Control+Enter")
    session.wait_text("#toast", "corrected")
    session.wait_text("#frame-state", "result, corrected")
    assert world.list()[0]["animals"] == [1]
    page.keyboard.press("ArrowLeft")
    session.loaded()
    point = session.place(50, 55)
    page.mouse.move(*point)
    page.keyboard.press("k")  # nothing is left of it in frame 2
    session.wait_text("#corrections", "a piece of animal 1 deleted")
    session.loaded()
    page.keyboard.press("1")
    switch(session, "m", "unsaved")
    assert page.locator("#animals [aria-checked=true]").inner_text() == "Animal 2"


def test_a_redraw_that_began_as_an_older_result_is_not_applied(open_results, tmp_path):
    """It swapped the animals back, and the frames around followed it."""
    world = Crossing(tmp_path)
    session = open_results(world, 9)
    page = session.page
    for key, seen in (("r", "result"), ("m", "unsaved"), ("r", "result")):
        switch(session, key, seen)
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    session.loaded()
    page.keyboard.press("e")  # swaps the animals to the end
    session.wait_text("#corrections-text", "1 correction")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    switch(session, "r", "unsaved")
    page.keyboard.press("Control+Enter")
    session.wait_text("#toast", "Press R, then M, to begin anew")
    session.wait("!document.getElementById('apply').disabled")
    switch(session, "r", "result, corrected")
    switch(session, "m", "unsaved")
    page.keyboard.press("Control+Enter")  # the present result, unchanged
    session.expected_complaint = "422"
    session.wait_text("#toast", "has already")
    assert len(world.list()) == 1


def test_redrawing_begins_anew_when_it_was_undone(open_results, tmp_path):
    session = open_results(Crossing(tmp_path), 0)
    page = session.page
    paint(session, 100, 20)
    for key, seen in (("r", "result"), ("m", "unsaved")):
        switch(session, key, seen)
    page.keyboard.press("Control+z")
    paint(session, 100, 130)
    switch(session, "r", "result")
    page.keyboard.press("m")
    session.wait_text("#toast", "Redraw the animal")
    session.loaded()
    label = session.save(0)
    assert label[55, 20] == 1 and not label[20, 110]


def test_a_stroke_that_goes_on_when_the_frame_is_left_ends_there(make_session):
    session = make_session().open()
    page, mouse = session.page, session.page.mouse
    page.keyboard.press("b")
    mouse.move(*session.place(*SPOT))
    mouse.down()
    mouse.move(*session.place(60, 30), steps=4)
    page.keyboard.press("ArrowRight")
    session.loaded()
    mouse.move(*session.place(80, 30), steps=4)
    mouse.up()
    assert "not labelled" in session.text("#frame-state")
    page.keyboard.press("ArrowLeft")
    session.loaded()
    assert "not labelled" in session.text("#frame-state")


def test_a_label_that_the_page_does_not_show_is_not_replaced_without_a_question(make_session):
    session = make_session().open()
    page, questions, answers = session.page, [], [False, True]

    def answer(dialog):
        questions.append(dialog.message)
        (dialog.accept if answers.pop(0) else dialog.dismiss)()

    page.on("dialog", answer)
    path = session.task.label_path(6)
    write_label(path, ellipse(6))  # in another window
    before = path.read_bytes()
    paint(session, *SPOT)
    page.click("#save")
    session.wait(lambda: questions)
    session.wait_text("#frame-state", "unsaved")
    session.wait("!document.getElementById('save').disabled")
    assert path.read_bytes() == before and "Frame 6 has a label" in questions[0]
    assert session.save(6)[30, 50] == 255
    session.page.keyboard.press("Control+z")
    session.page.keyboard.press("Control+y")
    paint(session, 20, 120)
    session.save(6)  # this one is on the screen
    assert len(questions) == 2


def come_back(session):
    """Leaves the frame and opens it again."""
    for key in ("ArrowRight", "ArrowLeft"):
        session.page.keyboard.press(key)
        session.loaded()


def test_a_label_that_was_changed_elsewhere_is_read_again_where_nothing_is_unsaved(make_session):
    """It was replaced without a question with what had been saved here before it."""
    session = make_session().open()
    questions = []
    session.page.on("dialog", lambda dialog: (questions.append(dialog.message), dialog.accept()))
    paint(session, *SPOT)
    session.save(6)
    write_label(session.task.label_path(6), ellipse(6))
    come_back(session)
    assert "label saved" in session.text("#frame-state")
    paint(session, 20, 120)
    label = session.save(6) == 255
    assert label[75, 94] and label[120, 30] and not label[30, 50] and not questions


def test_a_label_that_was_changed_elsewhere_is_not_replaced_without_a_question(make_session):
    session = make_session()
    path, questions = session.task.label_path(6), []
    write_label(path, ellipse(6))
    page = session.open().page
    page.on("dialog", lambda dialog: (questions.append(dialog.message), dialog.accept()))
    paint(session, *SPOT)
    write_label(path, ellipse(0))
    come_back(session)
    page.keyboard.press("Control+z")  # to the label that was read, which is no more
    session.wait("!document.getElementById('undo').matches(':enabled')")
    assert "unsaved" in session.text("#frame-state")
    page.keyboard.press("Control+y")
    assert session.save(6)[30, 50] == 255 and "changed elsewhere" in questions[0]
    paint(session, 20, 120)
    write_label(path, ellipse(0))  # while the frame is on the screen
    session.save(6)
    assert len(questions) == 2


def answer_yes(session) -> list[str]:
    """All questions, and the page may be left; returns the questions, as they are asked."""
    questions = []

    def answer(dialog):
        if dialog.type == "confirm":
            questions.append(dialog.message)
        dialog.accept()

    session.page.on("dialog", answer)
    return questions


def reload_with_draft(session):
    """The page is opened again after a stroke that was not saved."""
    paint(session, *SPOT)
    session.page.wait_for_selector("#strip .draft")
    session.page.reload()
    session.ready()
    session.loaded()
    session.wait_text("#frame-state", "unsaved")


def test_a_draft_of_an_earlier_page_does_not_replace_a_newer_label_without_a_question(
    make_session,
):
    """It was saved over a label that neither page had shown."""
    session = make_session()
    path = session.task.label_path(6)
    write_label(path, ellipse(6))
    page, questions = session.open().page, answer_yes(session)
    reload_with_draft(session)
    session.save(6)  # over the label that it was drawn on
    assert not questions
    paint(session, 20, 120)
    page.wait_for_selector("#strip .draft")
    write_label(path, ellipse(0))  # by another program
    page.reload()
    session.ready()
    session.loaded()
    assert session.save(6)[120, 30] == 255 and "changed elsewhere" in questions[0]


@pytest.mark.parametrize("drawn_on", ["label saved", "not labelled"])
def test_undo_leads_from_a_draft_of_an_earlier_page_to_what_it_was_drawn_on(make_session, drawn_on):
    session = make_session()
    if drawn_on == "label saved":
        write_label(session.task.label_path(6), ellipse(6))
    page = session.open().page
    answer_yes(session)
    reload_with_draft(session)
    page.keyboard.press("Control+z")
    session.wait_text("#frame-state", drawn_on)
    page.wait_for_selector("#strip .draft", state="detached")


def test_nothing_is_unsaved_where_a_label_was_deleted_and_cleared(make_session):
    session = make_session().open()
    page, path = session.page, session.task.label_path(6)
    page.on("dialog", lambda dialog: dialog.accept())
    paint(session, *SPOT)
    session.save(6)
    page.click("#labels [aria-label^=Delete]")
    session.wait_text("#frame-state", "unsaved")  # it can be saved again
    page.wait_for_selector("#strip .draft")
    page.click("#clear-animal")
    session.wait_text("#frame-state", "not labelled")
    page.wait_for_selector("#strip .draft", state="detached")
    assert not path.exists()
    page.keyboard.press("Control+z")
    session.wait_text("#frame-state", "unsaved")


def test_the_button_that_corrects_the_result_is_there_while_it_is_redrawn(open_results, tmp_path):
    """After undo it emptied the result."""
    world = Crossing(tmp_path)
    before = world.mask(0)
    session = open_results(world, 0)
    page = session.page
    for key, seen in (("r", "result"), ("m", "unsaved")):
        switch(session, key, seen)
    assert page.locator("#apply").is_visible()
    page.keyboard.press("Control+z")
    session.wait_text("#frame-state", "not labelled")
    assert page.locator("#apply").is_hidden()
    page.keyboard.press("Control+Enter")
    page.keyboard.press("Control+y")
    session.wait_text("#frame-state", "unsaved")
    assert page.locator("#apply").is_visible()
    np.testing.assert_array_equal(world.mask(0), before)


def test_a_redraw_of_many_strokes_goes_on_after_a_look_at_the_result(open_results, tmp_path):
    """Its beginning was in the history no more, and it was replaced by the result."""
    session = open_results(Crossing(tmp_path), 0)
    page = session.page
    for key, seen in (("r", "result"), ("m", "unsaved")):
        switch(session, key, seen)
    page.keyboard.press("b")
    for step in range(65):
        session.click(100 + step % 8, 20 + step // 8)
    assert page.locator("#apply").is_visible()
    switch(session, "r", "result")
    page.keyboard.press("m")
    session.wait_text("#toast", "redrawn so far")
    session.loaded()
    assert session.save(0)[24, 104]


def test_a_label_that_was_deleted_elsewhere_is_not_called_saved(make_session):
    session = make_session().open()
    path, page = session.task.label_path(6), session.page
    paint(session, *SPOT)
    before = session.save(6)
    path.unlink()
    come_back(session)
    session.wait_text("#frame-state", "unsaved")
    page.wait_for_selector("#strip .draft")
    np.testing.assert_array_equal(session.save(6), before)
    page.reload()
    session.ready()
    path.unlink()
    come_back(session)
    assert "not labelled" in session.text("#frame-state")


def open_with_broken_label(make_session):
    session = make_session()
    path = session.task.label_path(6)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no picture")
    session.expected_complaint = "422"
    session.open()
    session.wait_text("#frame-state", "not shown")
    return session


def test_a_label_that_cannot_be_read_is_not_taken_for_none(make_session):
    session = open_with_broken_label(make_session)
    questions = []
    session.page.on("dialog", lambda dialog: (questions.append(dialog.message), dialog.accept()))
    paint(session, *SPOT)
    assert session.save(6)[30, 50] == 255 and "cannot be read" in questions[0]


def test_a_tab_of_an_earlier_session_on_this_port_saves_nothing(make_session):
    """Its label went into the video of the next session."""
    session = make_session().open()
    paint(session, *SPOT)
    session.page.wait_for_selector("#strip .draft")
    other = replace(session.task, results=session.task.results / "other")
    session.server.app = create_app(other, TOKEN)
    session.expected_complaint = "409"
    session.page.click("#save")
    session.wait_text("#toast", "another video now than this page. Reload the page")
    assert not session.task.label_path(6).exists()


def test_undo_in_a_field_that_is_typed_into_leaves_the_label(make_session):
    session = make_session().open()
    page = session.page
    paint(session, *SPOT)
    page.focus("#number")
    page.keyboard.press("1")
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+y")
    page.keyboard.press("Control+z")
    page.focus("#canvas")
    assert "unsaved" in session.text("#frame-state")
    page.keyboard.press("Control+z")
    session.wait_text("#frame-state", "not labelled")


CORNERS = [(40, 40), (120, 40), (120, 100), (40, 100)]


def begin_shape(session):
    session.page.keyboard.press("p")
    for corner in CORNERS:
        session.click(*corner)


def is_shape(label) -> bool:
    expected = np.zeros(label.shape, bool)
    expected[40:100, 40:120] = True
    return overlap(label == 255, expected) > 0.97


def test_an_open_shape_outlives_a_move_of_the_view(make_session):
    session = make_session().open()
    page = session.page
    begin_shape(session)
    page.keyboard.press("h")
    session.drag((60, 60), (70, 65))
    page.keyboard.press("0")
    assert page.locator("#shape-bar").is_visible()
    page.keyboard.press("Control+z")  # the last corner
    page.keyboard.press("p")
    session.click(*CORNERS[-1])
    page.keyboard.press("h")
    page.keyboard.press("Enter")
    assert page.locator("#shape-bar").is_hidden() and is_shape(session.save(6))


def test_an_open_shape_is_kept_while_another_tool_is_used(make_session):
    session = make_session().open()
    page = session.page
    begin_shape(session)
    page.keyboard.press("b")
    session.wait_text("#toast", "The open shape is kept")
    for key in ("Enter", "Backspace", "Escape"):  # of a shape, but none is on the screen
        page.keyboard.press(key)
    paint(session, 20, 120)
    page.keyboard.press("Control+z")  # the stroke
    session.wait_text("#frame-state", "not labelled")
    assert page.locator("#shape-bar").is_hidden()
    page.keyboard.press("p")
    page.click("#shape-close")
    assert is_shape(session.save(6))


def test_an_open_shape_stays_with_its_frame(make_session):
    """An arrow key lost it."""
    session = make_session().open()
    page = session.page
    begin_shape(session)
    held = session.hold("/api/frames/8/display.jpg")
    page.keyboard.press("ArrowRight")
    session.wait_text("#toast", "The open shape stays in frame 6")
    page.keyboard.press("Enter")
    session.loaded()
    page.keyboard.press("Escape")
    assert page.locator("#shape-bar").is_hidden()
    session.click(20, 20)
    page.keyboard.press("ArrowRight")
    session.wait(lambda: held)
    session.click(30, 20)  # on the picture of frame 7
    assert page.locator("#shape-bar").is_hidden()
    held.let_all_through()
    session.loaded()
    assert page.locator("#shape-bar").is_hidden()
    page.keyboard.press("ArrowLeft")
    session.loaded()
    assert page.locator("#shape-bar").is_visible() and page.locator("#shape-close").is_disabled()
    page.click("#shape-drop")
    page.keyboard.press("ArrowLeft")
    session.loaded()
    session.wait_text("#frame-state", "Frame 6 of")
    page.keyboard.press("Enter")
    session.wait_text("#frame-state", "unsaved")
    assert is_shape(session.save(6))


def test_an_open_shape_is_kept_while_a_result_is_reviewed(open_results, tmp_path):
    session = open_results(Crossing(tmp_path), 3)
    page = session.page
    begin_shape(session)
    switch(session, "r", "result")
    assert page.locator("#shape-bar").is_hidden()
    page.keyboard.press("Backspace")
    page.keyboard.press("Escape")
    switch(session, "r", "not labelled")
    page.click("#shape-close")
    assert is_shape(session.save(3))


def test_nothing_is_drawn_before_the_picture_of_the_frame_is_there(make_session):
    """Strokes and clicks on the picture before went into the next frame."""
    session = make_session().open()
    page, held, asked = session.page, session.hold("/api/frames/9/display.jpg"), []
    page.on("request", lambda request: asked.append(request.url))
    page.locator("#number").fill("9")
    page.keyboard.press("Enter")
    session.wait(lambda: held)
    session.wait_text("#frame-state", "not labelled")
    page.focus("#canvas")
    paint(session, *SPOT)
    page.keyboard.press("c")
    session.click(94, 75)
    assert "not labelled" in session.text("#frame-state")
    held[0].set()
    session.loaded()
    assert "not labelled" in session.text("#frame-state")
    paint(session, 20, 120)
    label = session.save(9) == 255
    assert label[120, 30] and not label[30, 50] and not label[75, 94]
    assert not any("/api/segment" in url for url in asked)


def test_of_a_frame_that_cannot_be_read_no_other_picture_is_shown(make_session):
    sequence = VideoSequence("long", DamagedVideo(), {}, "annotations", None, "")
    session = make_session(sequence, first_frame=5)
    session.expected_complaint = "422"
    session.open()
    assert session.colour(90, 75).mean() > 120
    session.page.keyboard.press("ArrowRight")
    session.wait_text("#toast", "Frame 6 cannot be shown")
    session.loaded()
    assert session.colour(90, 75).mean() < 60
    paint(session, *SPOT)
    assert "not labelled" in session.text("#frame-state")


def test_the_slider_opens_the_frame_where_it_is_left_and_few_on_its_way(make_session):
    session = make_session().open()
    page, asked, held = session.page, [], session.hold("/api/frames/0/display.jpg")
    page.on("request", lambda request: asked.append(request.url))
    drag = """async (frame) => {
      const line = document.getElementById("line");
      line.value = frame;
      line.dispatchEvent(new Event("input"));
    }"""
    page.evaluate(drag, 0)
    session.wait(lambda: held)
    for frame in (1, 2, 3, 11):
        page.evaluate(drag, frame)
    held[0].set()
    session.wait(lambda: session.frame() == 11)
    session.loaded()
    assert not any(f"/frames/{frame}/display" in url for url in asked for frame in (2, 3))


def test_a_click_is_answered_on_what_was_drawn_while_it_waited(make_session):
    session = make_session(network=BackgroundNetwork(lambda: ClickSegmenter())).open()
    held = session.hold("/api/segment/")
    session.click(94, 75)
    session.wait(lambda: held)
    paint(session, 20, 120)
    held.let_all_through()
    session.answered()
    label = session.save(6) == 255
    assert label[120, 30] and overlap(label & ellipse(6), ellipse(6)) > 0.85


def test_undo_takes_back_the_click_that_waits_and_not_the_step_before_it(make_session):
    """It undid that step, dropped the click in flight and answered the next one on older work."""
    session = make_session().open()
    page, held = session.page, session.hold("/api/segment/")
    paint(session, 20, 120)
    page.keyboard.press("c")
    session.click(94, 75)
    session.click(110, 75, button="right")
    session.wait(lambda: held)
    page.keyboard.press("Control+z")
    session.wait_text("#toast", "The click was taken back")
    assert page.locator("#busy").is_visible()  # the first one still waits
    held.let_all_through()
    session.answered()
    label = session.save(6) == 255
    assert label[120, 30] and label[75, 110] and overlap(label & ellipse(6), ellipse(6)) > 0.85
    for _ in range(2):
        page.keyboard.press("Control+z")
    session.wait_text("#frame-state", "unsaved")
    assert page.locator("#undo").is_disabled()  # the stroke and a click, no more


def test_a_click_in_flight_on_a_new_frame_can_be_taken_back(make_session):
    session = make_session().open()
    page, held = session.page, session.hold("/api/segment/")
    session.click(20, 20)
    session.wait(lambda: held)
    page.click("#undo")
    session.answered()
    session.click(94, 75)
    held.let_all_through()
    session.answered()
    session.wait_text("#frame-state", "unsaved")
    page.keyboard.press("Control+z")  # the second click
    session.wait_text("#frame-state", "not labelled")
    assert page.locator("#undo").is_disabled()


def test_a_stroke_drawn_while_a_click_waits_is_undone_before_the_click(make_session):
    session = make_session().open()
    page, held = session.page, session.hold("/api/segment/")
    session.click(94, 75)
    session.wait(lambda: held)
    paint(session, 20, 120)
    page.keyboard.press("Control+z")
    session.wait_text("#frame-state", "not labelled")
    held.let_all_through()
    session.answered()
    label = session.save(6) == 255
    assert not label[120, 30] and overlap(label & ellipse(6), ellipse(6)) > 0.85


def test_a_click_in_a_frame_that_was_left_changes_nothing_and_says_so(make_session):
    session = make_session().open()
    page, held = session.page, session.hold("/api/segment/")
    session.click(94, 75)
    session.wait(lambda: held)
    for key in ("ArrowRight", "ArrowLeft"):
        page.keyboard.press(key)
        session.loaded()
    paint(session, *SPOT)
    held[0].set()
    session.wait_text("#toast", "The click in frame 6 was not answered")
    label = session.save(6) == 255
    assert label[30, 50] and not label[75, 94]


def test_with_exclude_on_brush_and_eraser_both_erase(make_session):
    session = make_session().open()
    page = session.page
    paint(session, *SPOT)
    painted = session.save(6) == 255
    page.keyboard.press("x")
    page.keyboard.press("e")
    session.drag((40, 30), (45, 30))
    erased = session.save(6) == 255
    assert not (erased & ~painted).any() and painted[30, 42] and not erased[30, 42]
    page.keyboard.press("b")
    session.drag((58, 30), (60, 30))
    assert not (session.save(6) == 255)[30, 59]


def test_a_request_that_failed_once_is_made_again(make_session):
    session = make_session()
    page = session.page
    page.clock.install()
    write_label(session.task.label_path(6), ellipse(6))
    session.open()
    session.expected_complaint = "ERR_"
    page.click("#run")
    page.clock.run_for(1000)
    session.wait_text("#run-text", "Fine-tuning: 5 of 12")
    failed = session.break_off("/api/run")
    page.clock.run_for(1000)
    session.wait_text("#toast", "does not answer")
    assert failed
    failed.let_all_through()
    session.task.stage3.with_name("continue").touch()
    session.wait(lambda: page.clock.run_for(1000) or "Every frame" in session.text("#done-text"))


def test_numbers_that_the_page_has_no_colour_for_leave_it_usable(make_session, tmp_path):
    world = Crossing(tmp_path, lambda f: truth(f) * np.uint8(100), animals=(100, 200))
    sequence = open_video_sequence(world.frames, (), "auto")
    session = make_session(sequence, 3)
    session.expected_complaint = "422"
    session.open()
    assert session.page.locator("#animals [role=radio]").count() == 1
    session.page.keyboard.press("r")
    session.wait_text("#toast", "animals 1 to 32")
    session.page.keyboard.press("r")
    paint(session, 100, 20)
    session.wait_text("#frame-state", "unsaved")


def test_control_click_means_not_this_and_brackets_may_need_alt(make_session):
    """As on a Mac, where Control-click is the right button and [ is Option+5."""
    session = make_session().open()
    page = session.page
    paint(session, *SPOT)
    page.keyboard.down("Control")
    session.drag((40, 30), (45, 30))
    page.keyboard.up("Control")
    label = session.save(6) == 255
    assert label[30, 59] and not label[30, 41]
    before = page.locator("#brush-size").input_value()
    page.evaluate(
        "document.body.dispatchEvent(new KeyboardEvent('keydown', "
        "{key: ']', altKey: true, bubbles: true}))"
    )
    assert int(page.locator("#brush-size").input_value()) > int(before)
