"""Masks that the page proposes: looked at, accepted, dismissed, in headless Chromium."""

import numpy as np
import pytest

from tests.bright_hen import network_that_sees, overlap
from tests.bright_parts import Finder
from tests.page_session import HEIGHT, WIDTH, ellipse
from utils import paths
from utils.annotator.background_network import BackgroundNetwork
from utils.annotator.prompted_segmenter import PromptedSegmenter
from utils.annotator.segment_click import ClickSegmenter
from utils.media.labels import write_label

BAR = "#proposal-bar"
LARGE, SMALL = (20, 10, 100, 80), (40, 120, 90, 170)  # top, left, bottom, right


def box_of(top, left, bottom, right) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[top:bottom, left:right] = True
    return mask


@pytest.fixture
def open_session(make_session):
    """Opens the page with a network."""

    def make(segmenter, **facts):
        network = BackgroundNetwork(lambda: segmenter)
        return make_session(network=network, **facts)

    return make


def sees_two() -> ClickSegmenter:
    """A network that finds two animals in every frame."""
    return ClickSegmenter(network_that_sees(box_of(*LARGE) | box_of(*SMALL)))


def is_marked(session, x, y, before) -> bool:
    return abs(session.colour(x, y) - before).max() > 15


def test_a_proposal_is_drawn_and_one_key_accepts_it(open_session):
    session = open_session(PromptedSegmenter(Finder())).open()
    session.page.wait_for_selector(BAR, state="visible")
    assert "Found by the network" in session.text("#proposal-text")
    assert session.page.locator("#accept-all").is_hidden()  # there is one only
    assert session.page.locator("#save").is_disabled()
    assert "not labelled" in session.text("#frame-state")
    session.page.keyboard.press("Tab")  # there is no other one, and no button gets the next key
    session.page.keyboard.press("Enter")
    session.page.wait_for_selector(BAR, state="hidden")
    session.wait_text("#frame-state", "unsaved")
    assert overlap(session.save(6) == 255, ellipse(6)) > 0.9


def test_what_is_not_accepted_is_never_saved(open_session):
    session = open_session(sees_two()).open()
    page = session.page
    page.wait_for_selector(BAR, state="visible")
    page.keyboard.press("ArrowRight")
    session.loaded()
    page.wait_for_selector(BAR, state="visible")
    page.keyboard.press("Escape")
    page.wait_for_selector(BAR, state="hidden")
    page.keyboard.press("Enter")
    page.keyboard.press("a")
    page.keyboard.press("Control+s")
    page.keyboard.press("ArrowLeft")
    session.loaded()
    page.wait_for_selector(BAR, state="visible")
    assert page.evaluate("fetch('/api/labels').then((a) => a.json()).then((s) => s.drafts)") == []
    assert page.locator("#save").is_disabled() and not paths.LABELS.exists()


def test_tab_goes_through_the_proposals_and_undo_brings_them_back(open_session):
    session = open_session(sees_two()).open()
    page = session.page
    page.wait_for_selector(BAR, state="visible")
    session.wait_text("#proposal-text", "1 of 2")
    before = session.colour(140, 60)
    page.keyboard.press("Tab")
    session.wait_text("#proposal-text", "2 of 2")
    assert is_marked(session, 140, 60, before)  # the chosen one is tinted
    page.keyboard.press("Enter")
    session.wait_text("#frame-state", "unsaved")
    assert overlap(session.save(6) == 255, box_of(*SMALL)) > 0.9
    page.keyboard.press("Enter")  # the other one, as another animal
    page.wait_for_selector(BAR, state="hidden")
    label = session.save(6)
    assert overlap(label == 1, box_of(*SMALL)) > 0.9
    assert overlap(label == 2, box_of(*LARGE)) > 0.9
    page.keyboard.press("Control+z")
    page.wait_for_selector(BAR, state="visible")
    page.keyboard.press("Control+z")
    session.wait_text("#proposal-text", "of 2")
    page.click("#accept-all")
    page.wait_for_selector(BAR, state="hidden")
    assert set(np.unique(session.save(6))) == {0, 1, 2}


def test_a_click_dismisses_the_proposals(open_session):
    session = open_session(sees_two()).open()
    session.page.wait_for_selector(BAR, state="visible")
    session.click(140, 60)
    session.answered()
    session.wait_text("#frame-state", "unsaved")
    assert session.page.locator(BAR).is_hidden()
    assert overlap(session.save(6) == 255, box_of(*SMALL)) > 0.9


def test_on_another_frame_the_label_of_the_nearest_one_is_proposed(open_session):
    session = open_session(PromptedSegmenter(Finder()))
    write_label(session.task.label_path(6), ellipse(6).astype(np.uint8) * 2, (1, 2))
    session.open()
    page = session.page
    page.wait_for_selector("#network", state="hidden")
    assert page.locator(BAR).is_hidden()  # this frame is labelled
    page.fill("#number", "9")
    page.keyboard.press("Enter")
    page.wait_for_selector(BAR, state="visible")
    session.wait_text("#proposal-text", "From the label of frame 6")
    page.focus("#canvas")
    page.keyboard.press("a")
    session.wait_text("#frame-state", "unsaved")
    assert page.locator("#animals [aria-checked=true]").inner_text() == "Animal 2"
    assert overlap(session.save(9) == 2, ellipse(9)) > 0.8


def test_the_bar_of_proposals_fits_a_small_screen(open_session):
    session = open_session(sees_two(), viewport={"width": 400, "height": 800}).open()
    session.page.wait_for_selector(BAR, state="visible")
    bar, zoom = (session.page.locator(part).bounding_box() for part in (BAR, ".zoom"))
    assert bar["x"] >= 0 and bar["x"] + bar["width"] <= 400
    assert bar["y"] + bar["height"] <= zoom["y"] or bar["x"] + bar["width"] <= zoom["x"]
