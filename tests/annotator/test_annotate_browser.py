"""The page of annotate.py in headless Chromium: drawn with the mouse, saved, read back, compared.

Skipped where playwright or a Chromium is not installed.
"""

import json
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.bright_hen import overlap
from tests.browser import PATIENCE_SECONDS, launch_browser, note_complaints, wait_until
from utils import paths
from utils.annotator.background_network import BackgroundNetwork
from utils.annotator.server import create_app, open_server
from utils.annotator.task import AnnotationTask
from utils.inputs.sequences import VideoSequence, open_video_sequence
from utils.media.labels import write_label
from utils.media.video_writing import write_video

HEIGHT, WIDTH, NUM_FRAMES = 150, 200, 12
TOKEN = "a-token"
MARGIN_PX = 12  # of the screen around a frame that is fitted into the canvas


def ellipse(index: int) -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    return ((x - 70 - 4 * index) / 34) ** 2 + ((y - 75) / 40) ** 2 < 1


def picture(index: int) -> np.ndarray:
    image = np.random.default_rng(index).integers(50, 100, (HEIGHT, WIDTH, 3))
    image[ellipse(index)] += (120, 100, 40)
    return image.astype(np.uint8)


def drawn_line(start, end, radius: float) -> np.ndarray:
    """Pixels whose centre is within `radius` of a line, in frame coordinates."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    start, way = np.array(start), np.subtract(end, start)
    offset_x, offset_y = x - start[0], y - start[1]
    along = np.clip((offset_x * way[0] + offset_y * way[1]) / max(way @ way, 1e-9), 0, 1)
    return np.hypot(offset_x - along * way[0], offset_y - along * way[1]) <= radius


@pytest.fixture(scope="module")
def browser():
    with launch_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def video_path(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("video") / "hen.mp4"
    write_video(path, (picture(index) for index in range(NUM_FRAMES)), None, 10)
    return path


# Stops at step 5 of 12 until a file appears, and writes a result that is wrong from frame 8 on.
STAGE3 = """
import json, sys, time
from pathlib import Path
import numpy as np
from PIL import Image
from tqdm import tqdm
here = Path(__file__).parent
for step in tqdm(range(12), desc="hen: fine-tuning", unit="step", mininterval=0, miniters=1):
    while step == 5 and not (here / "go on").exists():
        time.sleep(0.01)
with open(here / "runs.txt", "a") as file:
    print(json.dumps(sys.argv[1:]), file=file)
results = Path(sys.argv[sys.argv.index("--results") + 1])
for name in ("segmentation/hen", "runs/hen", "overlay"):
    (results / name).mkdir(parents=True, exist_ok=True)
for index in range(12):
    mask = np.zeros((150, 200), np.uint8)
    mask[60:90, 10 + 5 * index : 60 + 5 * index] = 255
    Image.fromarray(mask).save(results / f"segmentation/hen/{index:05d}.png")
video = Path(sys.argv[sys.argv.index("--video") + 1])
(results / "overlay/hen.mp4").write_bytes(video.read_bytes())
confidence = {"confidence": [0.9] * 8 + [0.2] * 4}
(results / "runs/hen/confidence.json").write_text(json.dumps(confidence))
record = {"num_frames": 12, "labelled_frames": [6]}
(results / "runs/hen/run.json").write_text(json.dumps(record))
"""


class Session:
    """A server, a browser window, and what a person does in it; places are in frame pixels."""

    def __init__(self, browser, task, network=None, **context):
        self.task = task
        app = create_app(task, TOKEN, network)
        self.run = app.extensions["run"]
        self.server = open_server(app, 0)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.root = f"http://127.0.0.1:{self.server.server_port}/"
        self.context = browser.new_context(**context)
        self.context.set_default_timeout(PATIENCE_SECONDS * 1000)
        self.page = self.context.new_page()
        self.complaints = note_complaints(self.page, self.root, "blob:")
        self.expected_complaint = None

    def open(self):
        self.page.goto(f"{self.root}?token={TOKEN}")
        self.ready()
        return self

    def ready(self):
        self.page.wait_for_selector("body[data-ready=yes]")

    def close(self):
        self.context.close()
        self.run.cancel()
        self.server.shutdown()
        self.server.server_close()
        self.task.video.close()

    def unexpected(self) -> list[str]:
        expected = self.expected_complaint
        return [text for text in self.complaints if not expected or expected not in text]

    def place(self, x: float, y: float, zoom: float = 1, moved=(0, 0)) -> tuple[float, float]:
        """Where a point of the frame is on the screen, after the frame was fitted, zoomed at the
        middle of the canvas, and moved."""
        (middle_x, middle_y), scale = self._view(zoom, moved)
        return middle_x + (x - WIDTH / 2) * scale, middle_y + (y - HEIGHT / 2) * scale

    def point(self, x: float, y: float, zoom: float = 1, moved=(0, 0)) -> tuple[float, float]:
        """The reverse of `place`."""
        (middle_x, middle_y), scale = self._view(zoom, moved)
        return (x - middle_x) / scale + WIDTH / 2, (y - middle_y) / scale + HEIGHT / 2

    def _view(self, zoom, moved):
        box = self.page.locator("#canvas").bounding_box()
        width, height = box["width"] - 2 * MARGIN_PX, box["height"] - 2 * MARGIN_PX
        middle_x, middle_y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        scale = min(width / WIDTH, height / HEIGHT) * zoom
        return (middle_x + moved[0], middle_y + moved[1]), scale

    def click(self, x, y, **options):
        self.page.mouse.click(*self.place(x, y), **options)

    def drag(self, start, end):
        """From one place of the frame to another."""
        self.drag_screen(self.place(*start), self.place(*end))

    def drag_screen(self, start, end):
        mouse = self.page.mouse
        mouse.move(*start)
        mouse.down()
        mouse.move(*end, steps=6)
        mouse.up()

    def answered(self):
        """Waits until the clicks so far are answered."""
        self.page.wait_for_selector("#busy", state="hidden")

    def text(self, selector: str) -> str:
        return self.page.locator(selector).inner_text()

    def wait_text(self, selector: str, text: str):
        quoted = json.dumps([selector, text])
        self.wait(f"(([s, t]) => document.querySelector(s).innerText.includes(t))({quoted})")

    def wait(self, condition):
        wait_until(self.page, condition)

    def loaded(self):
        """Waits until the frame and its label are there."""
        self.page.wait_for_selector("#canvas[aria-busy=false]")

    def frame(self) -> int:
        return int(self.page.locator("#number").input_value())

    def colour(self, x: float, y: float) -> np.ndarray:
        """What the screen shows at a place of the frame, RGB."""
        at_x, at_y = self.place(x, y)
        clip = {"x": round(at_x), "y": round(at_y), "width": 1, "height": 1}
        drawn = "() => new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)))"
        self.page.evaluate(drawn)
        path = self.task.stage3.with_name("pixel.png")
        self.page.screenshot(path=path, clip=clip)
        return np.asarray(Image.open(path).convert("RGB"), float)[0, 0]

    def save(self, frame: int) -> np.ndarray:
        """Presses Save and returns what is on disk then."""
        path = self.task.label_path(frame)
        before = path.stat().st_mtime_ns if path.exists() else None
        self.page.click("#save")
        self.wait(lambda: path.exists() and path.stat().st_mtime_ns != before)
        self.wait_text("#frame-state", "label saved")
        return np.asarray(Image.open(path))


@pytest.fixture
def make_session(browser, video_path, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "LABELS", tmp_path / "labels")
    (tmp_path / "stage3.py").write_text(STAGE3)
    sessions = []

    def make(sequence=None, first_frame=6, network=None, **context):
        task = AnnotationTask(
            sequence or open_video_sequence(video_path, (), "auto"),
            first_frame,
            "a test",
            ("--video", str(video_path)),
            tmp_path / "results",
            tmp_path / "stage3.py",
        )
        context.setdefault("viewport", {"width": 1000, "height": 700})
        sessions.append(Session(browser, task, network, **context))
        return sessions[-1]

    yield make
    for session in sessions:
        session.close()
    assert not [complaint for session in sessions for complaint in session.unexpected()]


# A mask: by clicks, a box, by hand


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


def test_a_view_that_is_moved_and_zoomed_still_draws_where_the_pointer_is(make_session):
    session = make_session().open()
    page, mouse = session.page, session.page.mouse
    before = session.text("#zoom-fit")
    mouse.move(*session.place(WIDTH / 2, HEIGHT / 2))
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


def test_an_existing_label_is_loaded_and_mended_around_the_click_only(make_session):
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


def test_clicks_work_before_the_network_is_there_and_use_it_from_then_on(make_session):
    may_load = threading.Event()

    def load():
        may_load.wait(PATIENCE_SECONDS)
        # It sees an animal in the upper left corner, where no colour shows one.
        y, x = np.mgrid[:1:288j, :1:384j]
        return lambda image: np.where((x < 0.3) & (y < 0.4), np.float32(0.99), np.float32(0.01))

    session = make_session(network=BackgroundNetwork(load)).open()
    session.wait_text("#network", "until the network is loaded")
    session.click(94, 75)
    session.answered()
    assert overlap(session.save(6) == 255, ellipse(6)) > 0.9
    session.page.click("#clear-animal")
    may_load.set()
    session.page.wait_for_selector("#network", state="hidden")
    session.click(30, 30)
    session.answered()
    label = session.save(6) == 255
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[: round(0.4 * HEIGHT), : round(0.3 * WIDTH)] = True
    assert overlap(label, expected) > 0.9


# Frames and the page


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
    page, held = session.page, []
    page.route("**/api/drafts/*", lambda route: held.append(route))
    page.keyboard.press("b")
    session.drag((40, 30), (60, 30))
    session.wait(lambda: held)
    page.click("#save")
    page.wait_for_timeout(300)
    held[0].continue_()
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


def test_a_wrong_token_gets_no_page(make_session):
    session = make_session()
    session.expected_complaint = "403"  # of the page, and of its icon, whenever they come
    answer = session.page.goto(f"{session.root}?token=a-tokem")
    assert answer.status == 403 and "token" in session.page.content()


# The run, its result, and corrections


def test_a_run_is_shown_its_result_reviewed_and_a_bad_frame_mended(make_session):
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
    (here / "go on").touch()
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
    page.click("#mend")
    session.wait_text("#frame-state", "unsaved")
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


def test_a_run_that_is_cancelled_says_so_and_can_be_started_again(make_session):
    session = make_session()
    write_label(session.task.label_path(6), ellipse(6))
    session.open()
    session.page.click("#run")
    session.wait_text("#run-text", "Fine-tuning: 5 of 12")
    session.page.click("#cancel")
    session.wait_text("#run-text", "Cancelled.")
    session.task.stage3.with_name("go on").touch()
    session.page.click("#run")
    session.wait_text("#done-text", "Every frame is segmented")


# Fingers, small screens, no mouse


def test_fingers_tap_pinch_and_paint(make_session):
    session = make_session(viewport={"width": 400, "height": 800}, has_touch=True)
    session.open()
    page = session.page
    page.touchscreen.tap(*session.place(94, 75))
    session.answered()
    session.wait_text("#frame-state", "unsaved")
    first = session.save(6)
    assert overlap(first == 255, ellipse(6)) > 0.9
    touch = session.context.new_cdp_session(page)

    def send(kind, *places):
        points = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(places)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    page.tap('[data-tool="brush"]')
    y = 20
    send("touchStart", session.place(20, y))
    send("touchMove", session.place(40, y))
    send("touchMove", session.place(60, y))
    send("touchEnd")
    session.wait_text("#frame-state", "unsaved")
    painted = session.save(6)
    assert painted[y, 20] == painted[y, 50] == 255 and first[y, 50] == 0
    before = session.text("#zoom-fit")
    x, y = session.place(100, 75)
    for kind, reach in [("touchStart", 20), ("touchMove", 40), ("touchMove", 80)]:
        send(kind, (x - reach, y), (x + reach, y))
    send("touchEnd")
    session.wait(f"document.getElementById('zoom-fit').innerText !== {json.dumps(before)}")
    assert not page.locator("#save").is_enabled()  # the pinch has drawn nothing


@pytest.mark.parametrize("size", [(1400, 900), (400, 800), (700, 380)], ids=str)
def test_nothing_is_cut_off_or_covered_on_any_screen(make_session, size):
    session = make_session(viewport={"width": size[0], "height": size[1]}).open()
    outside = session.page.evaluate(
        """() => [...document.querySelectorAll("header button, #tools button, footer button.icon")]
          .filter((e) => e.offsetParent).filter((e) => {
            const box = e.getBoundingClientRect();
            const top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
            return box.left < 0 || box.right > innerWidth || box.bottom > innerHeight
              || !e.contains(top) && e !== top;
          }).map((e) => e.id || e.dataset.tool)"""
    )
    assert outside == []
    assert session.page.locator("#canvas").bounding_box()["height"] > 90


def test_every_control_can_be_reached_by_tab_and_has_a_name(make_session):
    session = make_session().open()
    page = session.page
    seen = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        active = "document.activeElement"
        seen.add(page.evaluate(f"() => {active}.id || {active}.dataset.tool || ''"))
    assert {"help", "click", "brush", "canvas", "opacity", "line", "number"} <= seen
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, canvas")].filter((e) =>
            !(e.getAttribute("aria-label") || e.textContent.trim() || e.labels?.length
              || e.getAttribute("aria-hidden"))).map((e) => e.outerHTML)"""
    )
    assert nameless == []
