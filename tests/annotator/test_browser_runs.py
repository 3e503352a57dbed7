"""Runs that the page starts, their results, and corrections, in a browser."""

import json
import subprocess

import numpy as np
import pytest

from tests.page_session import HEIGHT, NUM_FRAMES, WIDTH, ellipse
from utils.media.labels import write_label


def start_run(session):
    """Labels frame 6, and runs until the fine-tuning is under way."""
    write_label(session.task.label_path(6), ellipse(6))
    session.open()
    session.page.click("#run")
    session.wait_text("#run-text", "Fine-tuning: 5 of 12")


def test_a_run_says_which_changes_it_does_not_use(make_session):
    session = make_session()
    write_label(session.task.label_path(6), ellipse(6))
    page = session.open().page
    page.keyboard.press("b")
    session.drag((20, 20), (40, 20))
    session.wait_text("#frame-state", "unsaved")
    page.click("#run")
    session.wait_text("#toast", "Frame 6 has unsaved changes, which the run does not use.")
    session.save(6)
    session.wait_text("#run", "Start again")
    page.click("#run")
    session.wait_text("#run-text", "Fine-tuning: 5 of 12")
    assert "unsaved" not in session.text("#toast")


def test_a_run_is_shown_its_result_reviewed_and_a_bad_frame_fixed(make_session):
    session = make_session().open()
    page, here = session.page, session.task.stage3.parent
    session.click(94, 75)
    session.answered()
    session.save(6)
    page.click("#run")
    session.wait_text("#run-text", "Fine-tuning: 5 of 12")
    bar = page.locator("#run-progress")
    assert bar.is_visible() and bar.get_attribute("max") == "12"
    assert bar.evaluate("bar => bar.value") == 5 and page.locator("#run").is_disabled()
    (here / "continue").touch()
    session.wait_text("#done-text", "Every frame is segmented from frame 6.")
    assert "Look at frame" in session.text("#done-text")

    page.click("#watch-done")
    session.wait("document.getElementById('video').readyState >= 2")
    seconds = page.evaluate("() => document.getElementById('video').duration")
    assert seconds == pytest.approx(NUM_FRAMES / 10, abs=0.15)
    page.keyboard.press("Escape")

    page.click("#mode-review")
    session.wait_text("#frame-state", "result")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    session.wait_text("#frame-state", "confidence 0.20")
    page.click("#fix")
    session.wait_text("#frame-state", "unsaved")
    session.loaded()
    session.click(52, 75, button="right")  # the ellipse begins further right
    session.answered()
    label = session.save(8) == 255
    predicted = np.zeros((HEIGHT, WIDTH), bool)
    predicted[60:90, 50:100] = True
    assert not label[75, 52] and not (label & ~predicted).any()
    assert label[75, 95]

    assert "--guidance 6,8" in session.text("#command")
    assert session.text("#run") == "Run with 2 labels"
    page.click("#run")
    session.wait_text("#toast", "Done in")
    runs = [json.loads(line) for line in (here / "runs.txt").read_text().splitlines()]
    assert len(runs) == 2 and "--guidance" not in runs[0]
    assert runs[1][runs[1].index("--guidance") + 1] == "6,8"


def test_a_preview_is_shown_during_the_run_and_a_label_added_then_is_used_at_once(make_session):
    session = make_session()
    page, task = session.page, session.task
    start_run(session)
    assert page.locator("#preview").is_hidden()
    write_label(task.preview_path, ellipse(6))
    session.wait("document.getElementById('preview-image').naturalWidth === 200")
    with page.expect_popup() as popup:
        page.click("#preview-image")
    popup.value.close()
    page.keyboard.press("ArrowRight")
    session.loaded()
    session.click(104, 75)
    session.answered()
    assert page.locator("#run").is_disabled()
    session.save(7)
    page.click("#run:has-text('Start again with 2 labels')")
    session.wait_text("#run", "Run with 2 labels")  # the first run is cancelled
    task.stage3.with_name("continue").touch()
    session.wait_text("#done-text", "Every frame is segmented")
    lines = task.stage3.with_name("runs.txt").read_text().splitlines()
    (arguments,) = map(json.loads, lines)  # of the second run alone
    assert arguments[arguments.index("--guidance") + 1] == "6,7"


def test_a_run_that_is_cancelled_says_so_and_can_be_started_again(make_session):
    session = make_session()
    start_run(session)
    session.page.click("#cancel")
    session.wait_text("#run-text", "Cancelled.")
    session.task.stage3.with_name("continue").touch()
    session.page.click("#run")
    session.wait_text("#done-text", "Every frame is segmented")


@pytest.mark.parametrize("button", ["#cancel", "#run"])
def test_a_run_that_could_not_be_cancelled_is_watched_to_its_end(make_session, button):
    session = make_session()
    page, task = session.page, session.task
    start_run(session)
    page.keyboard.press("ArrowRight")
    session.loaded()
    session.click(98, 75)
    session.answered()
    session.save(7)
    session.wait_text("#run", "Start again")
    held = session.hold("/api/run")
    session.wait(lambda: held)  # the page asks how far it is
    session.expected_complaint = "ERR_"
    session.break_off("/api/run/cancel")
    with page.expect_request("**/api/run/cancel"):
        page.click(button)
    held.let_all_through()
    session.wait_text("#toast", "does not answer")
    task.stage3.with_name("continue").touch()
    session.wait_text("#done-text", "Every frame is segmented")


def test_the_command_to_copy_has_the_preset_that_is_chosen(make_session):
    """It was that of the default preset, whatever the button beside it runs."""
    session = make_session()
    write_label(session.task.label_path(6), ellipse(6))
    page = session.open().page
    assert "--preset" not in session.text("#command")
    page.locator("#preset").select_option("fast")
    assert "--preset fast" in session.text("#command")
    page.keyboard.press("ArrowRight")
    session.loaded()
    session.click(98, 75)
    session.answered()
    session.save(7)
    session.wait_text("#command", "--guidance 6,7 --preset fast")


@pytest.mark.parametrize("event", ["window, 'focus'", "document, 'visibilitychange'"])
def test_a_run_in_a_terminal_is_noticed_when_the_page_is_looked_at_again(make_session, event):
    session = make_session()
    page, task = session.page, session.task
    write_label(task.label_path(6), ellipse(6))
    session.open()
    page.keyboard.press("b")
    page.mouse.move(*session.place(20, 120))
    page.mouse.down()
    page.mouse.move(*session.place(30, 120), steps=4)
    task.stage3.with_name("continue").touch()
    subprocess.run(task.run_command("default"), check=True, stdout=subprocess.DEVNULL)
    assert page.locator("#mode-review").is_disabled()
    page.evaluate(f"((target, name) => target.dispatchEvent(new Event(name)))({event})")
    session.wait_text("#done-text", "Every frame is segmented from frame 6. Look at frame")
    page.mouse.move(*session.place(40, 120), steps=4)  # nothing has disturbed the stroke
    page.mouse.up()
    label = session.save(6) == 255
    assert label[120, [21, 30, 39]].all() and label[75, 94]
    page.click("#mode-review")
    page.keyboard.press("End")
    session.wait_text("#frame-state", "confidence 0.20")


def test_of_a_run_its_start_and_end_are_read_out_and_no_step_of_its_progress(make_session):
    session = make_session()
    start_run(session)
    assert session.text("#run-news") == "The run has begun."
    assert session.page.locator("#run-news[role=status]").count() == 1
    read_out = "document.getElementById('run-text').closest('[aria-live], [role=status]') !== null"
    assert not session.page.evaluate(read_out)
    session.page.click("#cancel")
    session.wait_text("#run-news", "Cancelled.")
    session.task.stage3.write_text("raise SystemExit('error: no room')")
    session.page.click("#run")
    session.wait_text("#run-news", "The run failed: no room")
