"""Labels made in the page: drawn with the mouse, saved, read back, compared."""

import io
import json
import threading

import numpy as np
import pytest
from PIL import Image

from tests.bright_hen import overlap
from tests.bright_parts import MASK, NEGATIVE, Finder
from tests.browser import PATIENCE_SECONDS
from tests.page_session import HEIGHT, WIDTH, drawn_line, ellipse
from utils.annotator.background_network import BackgroundNetwork
from utils.annotator.prompted_segmenter import PromptedSegmenter
from utils.annotator.segment_click import ClickSegmenter
from utils.media.labels import write_label


def test_one_click_and_save_make_a_label_of_the_frames_size(make_session):
    session = make_session().open()
    assert session.page.url == session.root  # the token does not stay in the address
    assert session.page.locator("#save").is_disabled()
    session.click(94, 75)
    session.answered()
    session.wait_text("#frame-state", "unsaved")
    label = session.save(6)
    assert label.shape == (HEIGHT, WIDTH) and set(np.unique(label)) == {0, 255}
    assert overlap(label == 255, ellipse(6)) > 0.9
    assert session.text("#command").startswith("python ")
    assert "--guidance" not in session.text("#command")


def test_a_box_finds_it_and_a_right_click_takes_away(make_session):
    session = make_session().open()
    session.drag((55, 30), (133, 120))
    session.answered()
    first = session.save(6) == 255
    assert overlap(first, ellipse(6)) > 0.9
    session.click(110, 75, button="right")
    session.answered()
    second = session.save(6) == 255
    assert first[75, 110] and not second[75, 110]
    session.page.keyboard.press("Control+z")
    np.testing.assert_array_equal(session.save(6) == 255, first)


@pytest.mark.parametrize("zooms", [0, 2])
def test_a_brush_stroke_is_exactly_where_it_was_drawn_at_any_zoom(make_session, zooms):
    session = make_session().open()
    page, zoom = session.page, 1.5**zooms
    for _ in range(zooms):
        page.click("#zoom-in")
    page.keyboard.press("b")
    page.locator("#brush-size").fill("7")
    start = [round(value) for value in session.place(90, 60, zoom)]
    end = [round(value) for value in session.place(110, 90, zoom)]
    session.drag_screen(start, end)
    expected = drawn_line(session.point(*start, zoom), session.point(*end, zoom), 7)
    painted = session.save(6) == 255
    # A straight line of the mouse is cut where it was reported: a pixel may go either way.
    assert (painted != expected).sum() <= 2 and expected.sum() > 500
    page.keyboard.press("e")
    session.drag_screen(start, start)
    dot = drawn_line(session.point(*start, zoom), session.point(*start, zoom), 7)
    np.testing.assert_array_equal(session.save(6) == 255, painted & ~dot)


def test_clear_forgets_where_the_eraser_has_been(make_session):
    session = make_session().open()
    page = session.page
    erased = "import('/page/state.js').then(({ state }) => state.label.values.includes(128))"
    page.keyboard.press("b")
    session.drag((60, 75), (120, 75))
    page.keyboard.press("e")
    session.drag((60, 75), (70, 75))
    assert page.evaluate(erased)
    page.click("#clear-animal")
    assert not page.evaluate(erased)


def test_a_box_that_finds_nothing_is_not_answered_with_the_advice_to_draw_one(make_session):
    session = make_session().open()
    page = session.page
    page.click("#add-animal")
    page.keyboard.press("b")
    page.locator("#brush-size").fill("30")
    session.drag((30, 30), (60, 30))
    page.keyboard.press("1")
    page.keyboard.press("c")
    session.drag((30, 20), (60, 40))  # all of it is of animal 2
    session.wait_text("#toast", "Nothing found there. Click the animal")


@pytest.mark.parametrize("moved", [(8, 4), (30, 0)])
def test_a_click_of_a_mouse_that_moves_a_little_is_a_click(make_session, moved):
    """It was a box of no size, and nothing happened."""
    session = make_session().open()
    zoom = 1.5**5
    for _ in range(5):
        session.page.click("#zoom-in")
    spot = session.place(94, 75, zoom)
    session.drag_screen(spot, (spot[0] + moved[0], spot[1] + moved[1]))
    session.wait_text("#frame-state", "unsaved")
    session.answered()
    assert overlap(session.save(6) == 255, ellipse(6)) > 0.85


def test_a_view_that_is_moved_and_zoomed_still_draws_where_the_pointer_is(make_session):
    session = make_session().open()
    page, mouse = session.page, session.page.mouse
    before = session.text("#zoom-fit")
    canvas = page.locator("#canvas").bounding_box()
    mouse.move(canvas["x"] + canvas["width"] / 2, canvas["y"] + canvas["height"] / 2)
    mouse.wheel(0, -120)
    zoom = float(np.exp(120 * 0.002))
    session.wait(f"document.getElementById('zoom-fit').innerText !== {json.dumps(before)}")
    page.keyboard.down(" ")
    middle = session.place(100, 75)
    session.drag_screen(middle, (middle[0] + 40, middle[1] - 30))
    page.keyboard.up(" ")
    page.keyboard.press("h")
    session.drag_screen(middle, (middle[0] + 10, middle[1] + 5))
    moved = (50, -25)
    page.keyboard.press("b")
    page.locator("#brush-size").fill("7")
    spot = [round(value) for value in session.place(90, 60, zoom, moved)]
    session.drag_screen(spot, spot)
    expected = drawn_line(*[session.point(*spot, zoom, moved)] * 2, 7)
    assert overlap(session.save(6) == 255, expected) > 0.95
    page.keyboard.press("0")
    session.wait_text("#zoom-fit", before)


def test_a_shape_fills_its_corners(make_session):
    session = make_session().open()
    session.page.keyboard.press("p")
    for corner in [(40, 40), (120, 40), (120, 100), (40, 100)]:
        session.click(*corner)
    session.page.keyboard.press("Enter")
    label = session.save(6) == 255
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[40:100, 40:120] = True
    assert overlap(label, expected) > 0.97
    session.click(60, 60)
    assert session.page.locator("#shape-bar").is_visible()
    session.page.keyboard.press("Escape")
    assert not session.page.locator("#shape-bar").is_visible()


def test_undo_and_redo_go_through_clicks_and_strokes_alike(make_session):
    session = make_session().open()
    page = session.page
    session.click(94, 75)
    session.answered()
    clicked = session.save(6)
    page.keyboard.press("b")
    session.drag((20, 20), (30, 20))
    painted = session.save(6)
    assert not np.array_equal(clicked, painted)
    page.click("#undo")
    np.testing.assert_array_equal(session.save(6), clicked)
    page.click("#undo")
    assert page.locator("#undo").is_disabled() and page.locator("#save").is_disabled()  # empty
    page.click("#redo")
    page.click("#redo")
    assert page.locator("#redo").is_disabled()
    np.testing.assert_array_equal(session.save(6), painted)


def test_several_animals_are_saved_in_the_palette(make_session):
    session = make_session().open()
    session.page.keyboard.press("b")
    session.drag((40, 30), (60, 30))
    session.page.click("#add-animal")
    session.drag((150, 120), (170, 120))
    label = session.save(6)
    assert Image.open(session.task.label_path(6)).mode == "P"
    assert set(np.unique(label)) == {0, 1, 2}
    assert label[30, 50] == 1 and label[120, 160] == 2
    first, second = session.colour(50, 30), session.colour(160, 120)
    assert first.argmax() != second.argmax()  # each in a colour of its own
    session.page.keyboard.press("1")
    assert session.page.locator("#animals [aria-checked=true]").inner_text() == "Animal 1"


def test_an_existing_label_is_loaded_and_changes_around_the_click_only(make_session):
    session = make_session()
    given = ellipse(6)
    given[5:20, 5:20] = True
    write_label(session.task.label_path(6), given)
    session.open()
    session.wait_text("#frame-state", "label saved")
    session.click(12, 12, button="right")
    session.answered()
    label = session.save(6) == 255
    assert not label[12, 12]
    np.testing.assert_array_equal(label[:, 40:], given[:, 40:])


def test_a_click_waits_visibly_for_the_network_and_is_answered_by_it(make_session):
    may_load = threading.Event()

    def load():
        may_load.wait(PATIENCE_SECONDS)
        # It sees an animal in the upper left corner, where no colour shows one.
        y, x = np.mgrid[:1:288j, :1:384j]
        seen = np.where((x < 0.3) & (y < 0.4), np.float32(0.99), np.float32(0.01))
        return ClickSegmenter(lambda image: seen)

    session = make_session(network=BackgroundNetwork(load)).open()
    session.wait_text("#network", "Clicks wait for it")
    before = session.colour(28, 30)
    session.click(30, 30)
    session.wait_text("#busy", "when the network is loaded")
    assert session.page.locator("#canvas.waiting").count() == 1
    assert abs(session.colour(28, 30) - before).max() > 40  # a mark is there
    assert session.page.locator("#save").is_disabled()
    may_load.set()
    session.page.wait_for_selector("#network", state="hidden")
    session.answered()
    assert session.page.locator("#canvas.waiting").count() == 0
    label = session.save(6)
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[: round(0.4 * HEIGHT), : round(0.3 * WIDTH)] = True
    assert overlap(label, expected) > 0.9


def test_a_network_that_cannot_be_loaded_leaves_clicks_to_colours(make_session):
    may_fail = threading.Event()

    def load():
        may_fail.wait(PATIENCE_SECONDS)
        raise OSError("no weights here")

    session = make_session(network=BackgroundNetwork(load)).open()
    session.click(94, 75)
    session.wait_text("#busy", "when the network is loaded")
    may_fail.set()
    session.answered()
    session.wait_text("#network", "no weights here")
    assert overlap(session.save(6) == 255, ellipse(6)) > 0.9


def test_a_box_and_a_right_click_work_with_a_prompted_network(make_session):
    network = Finder()
    session = make_session(network=BackgroundNetwork(lambda: PromptedSegmenter(network))).open()
    session.page.wait_for_selector("#proposal-bar", state="visible")
    num_prompts = len(network.prompts)
    session.drag((45, 15), (143, 135))
    session.answered()
    first = session.save(6) == 255
    assert overlap(first, ellipse(6)) > 0.9
    in_box = network.prompts[num_prompts][..., MASK]  # an ellipse, somewhat smaller than the box
    rows, columns = (np.nonzero(in_box.any(axis))[0] for axis in (1, 0))
    scale = in_box.shape[1] / WIDTH
    np.testing.assert_allclose(rows[[0, -1]], np.array([21.3, 128.7]) * scale, atol=3)
    np.testing.assert_allclose(columns[[0, -1]], np.array([50.2, 137.8]) * scale, atol=3)
    session.click(110, 75, button="right")
    session.answered()
    second = session.save(6) == 255
    assert first[75, 110] and not second[75, 110] and network.prompts[-1][..., NEGATIVE].any()
    session.drag((75, 50), (110, 100))  # a new box starts over
    session.answered()
    third = session.save(6) == 255
    assert third[75, 94] and not third[:48].any() and not third[:, :73].any()


ENCODE = """async ([values, width, height]) => {
  const { encodePng } = await import("/page/png.js");
  const blob = await encodePng(Uint8Array.from(values), width, height);
  return [...new Uint8Array(await blob.arrayBuffer())];
}"""


@pytest.mark.parametrize("height, width", [(1, 1), (1, 300), (257, 3), (HEIGHT, WIDTH)])
def test_other_programs_read_from_the_pages_png_what_it_wrote(make_session, height, width):
    page = make_session().open().page
    random = np.random.default_rng(0).integers(0, 256, (height, width)).astype(np.uint8)
    for values in (random, np.zeros_like(random), random // 128 * 255):
        data = bytes(page.evaluate(ENCODE, [values.ravel().tolist(), width, height]))
        Image.open(io.BytesIO(data)).verify()  # the checksums, too
        image = Image.open(io.BytesIO(data))
        assert image.mode == "L"
        np.testing.assert_array_equal(np.asarray(image), values)
