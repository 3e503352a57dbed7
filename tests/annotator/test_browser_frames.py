"""Frames, keys, unsaved work and access to the page, in a browser."""

from pathlib import Path

import numpy as np

from tests.browser import note_complaints
from tests.page_client import TOKEN
from tests.page_session import HEIGHT, NUM_FRAMES, WIDTH, ellipse, picture
from utils.annotator.access import redirect_file
from utils.errors import InputError
from utils.inputs.sequences import VideoSequence
from utils.media.labels import write_label


def test_keys_go_through_frames_tools_and_history(make_session):
    session = make_session().open()
    page = session.page
    assert session.frame() == 6
    for key, expected in [
        ("ArrowRight", 7),
        ("ArrowLeft", 6),
        ("Shift+ArrowLeft", 0),
        ("ArrowLeft", 0),
        ("End", 11),
        ("ArrowRight", 11),
        ("Home", 0),
        ("s", 6),
    ]:
        page.keyboard.press(key)
        assert session.frame() == expected, key
    session.wait_text("#frame-state", "not labelled")
    session.loaded()
    for key, tool in [("b", "brush"), ("e", "eraser"), ("p", "polygon"), ("h", "hand")]:
        page.keyboard.press(key)
        assert page.locator("#tools [aria-pressed=true]").get_attribute("data-tool") == tool
    page.keyboard.press("b")
    session.drag((40, 30), (60, 30))
    session.wait_text("#frame-state", "unsaved")
    page.keyboard.press("Control+z")
    session.wait_text("#frame-state", "not labelled")
    page.keyboard.press("Control+Shift+z")
    page.keyboard.press("Control+s")
    session.wait_text("#frame-state", "label saved")
    page.keyboard.press("?")
    assert page.locator("#help-dialog").is_visible()
    page.keyboard.press("ArrowRight")
    assert session.frame() == 6  # keys are the dialog's
    page.keyboard.press("Escape")
    page.wait_for_selector("#help-dialog", state="hidden")


def test_keys_work_after_the_line_of_frames_was_pressed_and_a_number_entered(make_session):
    """The slider kept Enter to itself, and the field every key."""
    session = make_session().open()
    page = session.page
    page.locator("#line").click(position={"x": 3, "y": 8})
    session.wait(lambda: session.frame() == 0)
    session.loaded()
    page.keyboard.press("End")
    session.wait(lambda: session.frame() == 11)
    session.loaded()
    assert page.evaluate("document.activeElement.id") == "canvas"
    page.keyboard.press("p")
    for corner in [(40, 40), (120, 40), (120, 100)]:
        session.click(*corner)
    page.focus("#line")  # as Tab does
    page.keyboard.press("Enter")
    session.wait_text("#frame-state", "unsaved")
    page.locator("#number").fill("3")
    page.keyboard.press("Enter")
    session.wait_text("#frame-state", "Frame 3")
    session.loaded()
    page.keyboard.press("b")
    assert page.locator("#tools [aria-pressed=true]").get_attribute("data-tool") == "brush"
    page.keyboard.press("ArrowRight")
    session.wait_text("#frame-state", "Frame 4")


TYPED = """([key, code, ctrlKey, modifierAltGraph = false]) =>
  document.getElementById("canvas").dispatchEvent(new KeyboardEvent("keydown",
    { key, code, ctrlKey, modifierAltGraph, bubbles: true, cancelable: true }))"""


def test_letters_are_found_on_keyboards_of_another_alphabet(make_session):
    session = make_session().open()
    page = session.page
    tool = page.locator("#tools [aria-pressed=true]")
    for key, code, expected in [
        ("и", "KeyB", "brush"),  # Russian
        ("З", "KeyP", "polygon"),  # with Shift or Caps Lock
        ("ε", "KeyE", "eraser"),  # Greek
        ("لا", "KeyB", "brush"),  # Arabic: two letters on one key
        ("e", "KeyD", "eraser"),  # Dvorak
        ("b", "KeyN", "brush"),
        ("é", "KeyE", "brush"),  # a Latin letter that is no shortcut
        ("и", "", "brush"),
    ]:
        page.evaluate(TYPED, [key, code, False])
        assert tool.get_attribute("data-tool") == expected, (key, code)
    page.evaluate(TYPED, ["€", "KeyE", False, True])
    assert tool.get_attribute("data-tool") == "brush"
    session.drag((40, 30), (60, 30))
    session.wait_text("#frame-state", "unsaved")
    page.evaluate(TYPED, ["я", "KeyZ", True])
    session.wait_text("#frame-state", "not labelled")
    page.evaluate(TYPED, ["н", "KeyY", True])
    session.wait_text("#frame-state", "unsaved")
    assert page.evaluate(TYPED, ["ы", "KeyS", True]) is False  # not the browser's
    session.wait_text("#frame-state", "label saved")


def test_a_frame_number_that_was_cleared_leads_nowhere(make_session):
    """It led to frame 0."""
    session = make_session().open()
    page = session.page
    for key in ("Enter", "Tab"):
        page.focus("#number")
        page.keyboard.press("Control+a")
        page.keyboard.press("Delete")
        page.keyboard.press(key)
        session.wait("document.activeElement.id !== 'number'")
        assert session.frame() == 6 and "Frame 6 of" in session.text("#frame-state")


def test_the_filmstrip_leads_to_a_frame_and_each_shows_its_own_picture(make_session):
    session = make_session().open()
    outside = (150, 75)  # right of the ellipse of frame 0, within that of frame 11
    session.page.click('#strip button[aria-label="Frame 11"]')
    session.wait_text("#frame-state", "Frame 11")
    session.loaded()
    bright = session.colour(130, 75)
    assert session.frame() == 11
    session.page.click('#strip button[aria-label="Frame 0"]')
    session.wait_text("#frame-state", "Frame 0")
    session.loaded()
    assert bright.mean() > 120 > session.colour(*outside).mean()


def test_opacity_and_hiding_change_what_is_seen_and_not_what_is_saved(make_session):
    session = make_session().open()
    page = session.page
    page.keyboard.press("b")
    page.locator("#brush-size").fill("20")
    session.drag((40, 30), (60, 30))
    seen = []
    page.keyboard.press("c")  # no ring of the brush in the picture
    for opacity in ("0", "45", "100"):
        page.locator("#opacity").fill(opacity)
        seen.append(session.colour(50, 30))
    page.keyboard.press("o")
    hidden = session.colour(50, 30)
    full = np.array(session.page.evaluate("async () => (await (await fetch('/api/video')).json())"
                                          ".colours[0]"))  # fmt: skip
    np.testing.assert_allclose(seen[2], full, atol=3)
    np.testing.assert_allclose(seen[1], 0.55 * seen[0] + 0.45 * full, atol=4)
    np.testing.assert_allclose(seen[0], hidden, atol=3)
    assert session.save(6)[30, 50] == 255


def test_unsaved_work_outlives_a_reload_and_leaving_is_asked_about(make_session):
    session = make_session().open()
    page = session.page
    page.keyboard.press("b")
    session.drag((40, 30), (60, 30))
    page.wait_for_selector("#strip .draft")
    questions = []

    def answer(dialog):
        questions.append(dialog.type)
        dialog.accept()

    page.on("dialog", answer)
    page.reload()
    session.ready()
    assert questions == ["beforeunload"]
    session.wait_text("#frame-state", "unsaved")
    label = session.save(6)
    assert label[30, 50] == 255
    page.reload()
    session.ready()
    assert questions == ["beforeunload"]  # all is saved: no question
    session.wait_text("#frame-state", "label saved")


def test_a_slow_draft_does_not_outlive_the_label_that_was_saved_after_it(make_session):
    session = make_session().open()
    page, held, sent = session.page, session.hold("/api/drafts/"), []
    page.on("request", lambda request: sent.append(f"{request.method} {request.url}"))
    page.keyboard.press("b")
    session.drag((40, 30), (60, 30))
    session.wait(lambda: held)
    page.click("#save")
    # As much work as Save has before it sends something: it waits for the draft, not for this.
    for _ in range(3):
        page.evaluate(
            """async () => {
              const { encodePng } = await import("/page/png.js");
              await encodePng(new Uint8Array(150 * 200), 200, 150);
            }"""
        )
    assert not any(request.startswith("POST") and "/labels/" in request for request in sent)
    held[0].set()
    session.wait_text("#frame-state", "label saved")
    page.wait_for_selector("#strip .labelled")
    assert page.locator("#strip .draft").count() == 0
    page.reload()
    session.ready()
    session.wait_text("#frame-state", "label saved")


def test_work_on_a_frame_is_found_again_after_a_look_at_others(make_session):
    session = make_session().open()
    page = session.page
    page.keyboard.press("b")
    session.drag((40, 30), (60, 30))
    page.keyboard.press("ArrowRight")
    session.wait_text("#frame-state", "not labelled")
    page.keyboard.press("ArrowLeft")
    session.wait_text("#frame-state", "unsaved")
    assert not page.locator("#undo").is_disabled()
    assert session.save(6)[30, 50] == 255


class LongVideo:
    """Ten thousand frames that cost nothing."""

    path, name, height, width, frames_per_second = Path("long.mp4"), "long", HEIGHT, WIDTH, 25.0
    pixel_aspect = 1.0
    frame_names = tuple(f"{index:05d}" for index in range(10_000))
    asked = set()

    def __init__(self, *_):
        pass

    def __len__(self):
        return len(self.frame_names)

    def read(self, index):
        self.asked.add(index)
        return picture(index % NUM_FRAMES)

    def close(self):
        pass


def test_of_ten_thousand_frames_few_are_in_the_page_and_each_can_be_reached(make_session):
    sequence = VideoSequence("long", LongVideo(), {}, "annotations", None, "")
    session = make_session(sequence, first_frame=5_000).open()
    page = session.page
    assert page.locator("#strip button").count() < 60
    page.locator("#number").fill("7351")
    page.keyboard.press("Enter")
    session.wait_text("#frame-state", "Frame 7351 of 0–9999")
    session.loaded()
    page.locator("#canvas").focus()
    page.keyboard.press("End")
    session.wait_text("#frame-state", "Frame 9999")
    session.loaded()
    assert page.locator("#strip button").count() < 60
    assert {5_000, 7_351, 9_999} <= LongVideo.asked and len(LongVideo.asked) < 200


def test_a_thumbnail_of_many_frames_leads_to_the_one_that_is_marked(make_session):
    sequence = VideoSequence("long", LongVideo(), {}, "annotations", None, "")
    session = make_session(sequence, first_frame=0)
    write_label(session.task.label_path(27), ellipse(3))
    write_label(session.task.label_path(33), ellipse(9))
    page = session.open().page
    marked = page.locator("#strip .labelled")  # of frames 20 to 39
    assert marked.get_attribute("title") == "Frame 27" and marked.inner_text() == "27"
    marked.click()
    session.wait_text("#frame-state", "Frame 27 of")
    session.loaded()
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    session.wait_text("#frame-state", "Frame 47 of")
    session.loaded()
    page.keyboard.press("b")
    session.drag((40, 30), (60, 30))
    page.click('#strip .draft[aria-label="Frame 47"]')
    page.click('#strip button[aria-label="Frame 60"]')
    session.wait_text("#frame-state", "Frame 60 of")
    page.once("dialog", lambda dialog: dialog.accept())
    page.click("#labels li:first-child button:not(.go)")
    page.wait_for_selector('#strip .labelled[aria-label="Frame 33"]')


def test_a_wrong_token_gets_no_page(make_session):
    session = make_session()
    session.expected_complaint = "403"  # of the page, and of its icon, whenever they come
    answer = session.page.goto(f"{session.root}?token=a-tokem")
    assert answer.status == 403 and "token" in session.page.content()


def test_the_file_for_the_browser_leads_to_the_page_which_can_be_reloaded(make_session):
    session = make_session()
    page = session.context.new_page()
    complaints = note_complaints(page, session.root, "file:", "blob:")
    with redirect_file(f"{session.root}?token={TOKEN}") as path:
        page.goto(path.as_uri())
        page.wait_for_selector("body[data-ready=yes]")
        assert page.url == session.root
    for _ in range(2):
        page.reload()
        page.wait_for_selector("body[data-ready=yes]")
    assert complaints == []


def test_the_label_on_the_screen_is_marked_in_the_list(make_session):
    session = make_session()
    for frame in (4, 6):
        write_label(session.task.label_path(frame), ellipse(frame))
    page = session.open().page
    current = page.locator("#labels [aria-current=true]")
    assert page.locator("#labels .go").all_inner_texts() == ["Frame 4", "Frame 6"]
    for key, texts in (("s", ["Frame 6"]), ("ArrowLeft", []), ("ArrowLeft", ["Frame 4"])):
        page.keyboard.press(key)
        assert current.all_inner_texts() == texts


class DamagedVideo(LongVideo):
    def read(self, index):
        if index == 6:
            raise InputError("frame 6 does not decode; copy the video again.")
        return super().read(index)


def test_the_list_of_labels_keeps_the_keyboard_when_a_draft_is_kept(make_session):
    session = make_session()
    write_label(session.task.label_path(6), ellipse(6))
    session.open()
    session.page.keyboard.press("b")
    session.drag((20, 20), (30, 20))
    session.page.focus("#labels .go")
    session.page.wait_for_selector("#strip .draft")
    assert session.text("#labels :focus") == "Frame 6"


def test_a_frame_that_cannot_be_read_is_shown_with_the_reason(make_session):
    sequence = VideoSequence("long", DamagedVideo(), {}, "annotations", None, "")
    session = make_session(sequence, first_frame=20)
    session.expected_complaint = "422"
    session.open()
    session.page.locator("#number").fill("6")
    session.page.keyboard.press("Enter")
    session.wait_text("#toast", "Frame 6 cannot be shown. frame 6 does not decode")
    assert "error" in session.page.locator("#toast").get_attribute("class")
