"""What happens in the page in the middle of something else: a stroke, a wait, a held key."""

from tests.annotator.test_browser_work import (
    SPOT,
    begin_shape,
    is_shape,
    open_and_redraw,
    open_with_broken_label,
    paint,
)
from tests.bright_hen import overlap
from tests.bright_parts import Finder
from tests.browser import wait_until
from tests.page_client import TOKEN
from tests.page_session import ellipse
from utils.annotator.background_network import BackgroundNetwork
from utils.annotator.prompted_segmenter import PromptedSegmenter


def begin_stroke(session, x, y):
    """Presses the brush and moves it 20 pixels to the right."""
    mouse = session.page.mouse
    session.page.keyboard.press("b")
    mouse.move(*session.place(x, y))
    mouse.down()
    mouse.move(*session.place(x + 20, y), steps=4)


def test_undo_in_the_middle_of_a_stroke_takes_back_that_stroke_alone(make_session):
    """It took back the step before, and the rest of the stroke made the redo of that impossible."""
    session = make_session().open()
    page, mouse = session.page, session.page.mouse
    paint(session, 20, 20)
    begin_stroke(session, 20, 120)
    page.keyboard.press("Control+z")
    mouse.move(*session.place(60, 120), steps=4)
    mouse.up()
    label = session.save(6) == 255
    assert label[20, 30] and not label[120].any()
    page.keyboard.press("Control+z")
    session.wait_text("#frame-state", "unsaved")
    assert page.locator("#undo").is_disabled()


def test_the_answer_to_a_click_waits_for_the_end_of_a_stroke(make_session):
    """The stroke lost what was drawn before the answer."""
    session = make_session().open()
    page, mouse = session.page, session.page.mouse
    held, answers = session.hold("/api/segment/"), []
    page.on("requestfinished", lambda request: answers.append(request.url))
    session.click(94, 75)
    session.wait(lambda: held)
    begin_stroke(session, 20, 120)
    held.let_all_through()
    session.wait(lambda: any("/api/segment/" in url for url in answers))
    mouse.move(*session.place(60, 120), steps=4)
    mouse.up()
    session.answered()
    label = session.save(6) == 255
    assert label[120, 22:58].all() and overlap(label & ellipse(6), ellipse(6)) > 0.85


def test_a_result_is_not_corrected_before_the_last_click_is_answered(open_results, tmp_path):
    """It was corrected without what was clicked, and said so nowhere."""
    world, session = open_and_redraw(open_results, tmp_path)
    page = session.page
    page.keyboard.press("c")
    held = session.hold("/api/segment/")
    session.click(100, 20)
    session.wait(lambda: held)
    page.keyboard.press("Control+Enter")
    session.wait_text("#toast", "A click is not answered yet")
    assert not (world.run_dir / "corrections.json").exists()
    held.let_all_through()
    session.answered()
    page.keyboard.press("Control+Enter")
    session.wait_text("#toast", "corrected")
    assert world.list()


def test_a_key_that_is_held_down_shows_every_frame_and_waits_for_it(make_session):
    """It asked for all of them at once, and showed them long after it was let go."""
    session = make_session(first_frame=0).open()
    page, held = session.page, session.hold("/api/frames/2/display.jpg")
    page.keyboard.down("ArrowRight")
    session.loaded()
    for _ in range(4):
        page.keyboard.down("ArrowRight")  # repeated, as of a key that is held down
    session.wait(lambda: held)
    assert session.frame() == 2
    held.let_all_through()
    session.loaded()
    page.keyboard.down("ArrowRight")
    page.keyboard.up("ArrowRight")
    session.loaded()
    assert session.frame() == 3


def test_leaving_is_asked_about_while_a_shape_is_open(make_session):
    session = make_session().open()
    page, questions = session.page, []
    page.on("dialog", lambda dialog: (questions.append(dialog.type), dialog.dismiss()))
    begin_shape(session)
    page.evaluate("location.reload()")
    session.wait(lambda: questions)
    assert questions == ["beforeunload"]
    page.keyboard.press("Enter")
    assert is_shape(session.save(6))


def test_a_double_click_on_the_first_corner_closes_a_shape_and_begins_none(make_session):
    session = make_session().open()
    page = session.page
    begin_shape(session)
    page.mouse.dblclick(*session.place(40, 40))
    session.wait_text("#frame-state", "unsaved")
    assert page.locator("#shape-bar").is_hidden()
    assert is_shape(session.save(6))


def test_esc_closes_the_panel_of_a_narrow_screen_and_keeps_the_shape(make_session):
    session = make_session(viewport={"width": 700, "height": 820}).open()
    page = session.page
    begin_shape(session)
    page.click("#panel-toggle")
    page.wait_for_selector("body.panel-open")
    page.keyboard.press("Escape")
    page.wait_for_selector("body:not(.panel-open)")
    page.keyboard.press("Enter")
    assert is_shape(session.save(6))


def test_enter_follows_a_link_and_accepts_no_proposal(make_session):
    """It did nothing, or accepted a proposal."""
    session = make_session(network=BackgroundNetwork(lambda: PromptedSegmenter(Finder()))).open()
    page = session.page
    page.wait_for_selector("#proposal-bar", state="visible")
    link = """() => {
      const link = document.getElementById("preview-link");
      for (let element = link; element; element = element.parentElement) element.hidden = false;
      link.addEventListener("click", (event) => {
        event.preventDefault();
        document.body.dataset.followed = "yes";
      });
      link.href = "#preview";
      link.focus();
    }"""
    page.evaluate(link)
    page.keyboard.press("Enter")
    page.wait_for_selector("body[data-followed=yes]")
    assert page.locator("#proposal-bar").is_visible()
    assert "not labelled" in session.text("#frame-state")


def test_why_the_first_label_is_not_shown_stays_on_the_screen(make_session):
    """The reason why this frame is first replaced it at once."""
    session = open_with_broken_label(make_session)
    assert "00006.png" in session.page.locator("#toast").text_content()


def test_a_file_that_is_no_label_leaves_the_page_usable(make_session):
    """The page stayed blank."""
    session = make_session()
    path = session.task.label_path(6).with_name("notes.png")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no label")
    session.expected_complaint = "422"
    session.open()
    assert "notes.png" in session.page.locator("#toast").text_content()


def test_two_tabs_say_so_in_both_and_a_reload_does_not(make_session):
    """Each replaced the draft of the other."""
    session = make_session().open()
    session.page.reload()
    session.ready()
    other = session.context.new_page()
    other.goto(f"{session.root}api/frames/6")  # no page of the annotator
    # What is asked here is answered after a notice of the reloaded page would have been.
    ask = """() => new Promise((go) => {
      const tabs = new BroadcastChannel("echo");
      tabs.onmessage = go;
      const again = () => { tabs.postMessage("?"); setTimeout(again, 20); };
      again();
    })"""
    session.page.evaluate("""() => {
      const tabs = new BroadcastChannel("echo");
      tabs.onmessage = () => tabs.postMessage("!");
    }""")
    other.evaluate(ask)
    assert "another tab" not in session.page.locator("#toast").text_content()
    other.goto(f"{session.root}?token={TOKEN}")
    text = "document.querySelector('#toast').innerText"
    for page in (session.page, other):
        wait_until(page, f"{text}.includes('open in another tab')")


def test_what_is_said_is_read_out_once(make_session):
    """Screen readers read out what is written into an element, the same text again as well."""
    session = make_session().open()
    page = session.page
    count = """(id) => {
      window.written ??= {};
      window.written[id] = 0;
      const note = (changes) => { window.written[id] += changes.length; };
      new MutationObserver(note).observe(document.getElementById(id), {
        childList: true, characterData: true, subtree: true,
      });
    }"""
    for element in ("frame-state", "news"):
        page.evaluate(count, element)
    paint(session, *SPOT)
    session.wait_text("#frame-state", "unsaved")
    page.wait_for_selector("#strip .draft")
    written = page.evaluate("window.written['frame-state']")
    paint(session, 20, 120)
    page.wait_for_selector("#undo:enabled")
    assert page.evaluate("window.written['frame-state']") == written > 0
    assert page.locator("#news").get_attribute("role") == "status"
    session.save(6)
    assert page.evaluate("window.written.news") > 0
