"""A person at the page of annotate.py in headless Chromium: a small video, a server, a window."""

import json
import socket
import threading

import numpy as np
from PIL import Image

from tests.browser import PATIENCE_SECONDS, note_complaints, wait_until
from tests.page_client import TOKEN
from utils.annotator.server import create_app, open_server

HEIGHT, WIDTH, NUM_FRAMES = 150, 200, 12
MARGIN_PX = 12  # of the screen around a frame that is fitted into the canvas
BARS_PX = (44, 58)  # above and below it, for the hint and the buttons
ROOM_FOR_BARS_PX = 400


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


# Stops at step 5 of 12 until a file appears, and writes a result that is wrong from frame 8 on.
STAGE3 = """
import json, sys, time
from pathlib import Path
import numpy as np
from PIL import Image
here = Path(__file__).parent
for step in range(13):
    progress = {"title": "hen: fine-tuning", "done": step, "total": 12, "unit": "step", "loss": 0.1}
    print(json.dumps(progress), flush=True)
    while step == 5 and not (here / "continue").exists():
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


class Gate(list):
    """Requests for paths that begin with `path`, each with an event that lets it through. They wait
    in the server: playwright's interception now and then misses one made soon after it is set up.
    If it is broken, they get no answer."""

    def __init__(self, path: str, is_broken=False):
        super().__init__()
        self.path, self.is_open, self.is_broken = path, False, is_broken
        self.lock = threading.Lock()

    def let_all_through(self):
        with self.lock:
            self.is_open = True
            for event in self:
                event.set()

    def pass_through(self, environ: dict):
        with self.lock:
            if self.is_open or not environ["PATH_INFO"].startswith(self.path):
                return
            self.append(event := threading.Event())
        if self.is_broken:
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            raise ConnectionResetError
        event.wait()


class Session:
    """A server, a browser window, and what a person does in it; places are in frame pixels."""

    def __init__(self, browser, task, network=None, **context):
        self.task = task
        self.gates = []
        app = create_app(task, TOKEN, network)
        app.wsgi_app = self._guard(app.wsgi_app)
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

    def _guard(self, serve):
        def pass_through(environ, start_response):
            for gate in self.gates:
                gate.pass_through(environ)
            return serve(environ, start_response)

        return pass_through

    def hold(self, path: str) -> Gate:
        """From now on requests for a path wait to be let through."""
        self.gates.append(Gate(path))
        return self.gates[-1]

    def break_off(self, path: str) -> Gate:
        """From now on requests for a path get no answer, until they are let through."""
        self.gates.append(Gate(path, is_broken=True))
        return self.gates[-1]

    def ready(self):
        self.page.wait_for_selector("body[data-ready=yes]")

    def close(self):
        self.context.close()
        for gate in self.gates:
            gate.let_all_through()
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
        top, bottom = BARS_PX if box["height"] >= ROOM_FOR_BARS_PX else (MARGIN_PX, MARGIN_PX)
        width, height = box["width"] - 2 * MARGIN_PX, box["height"] - top - bottom
        middle_x = box["x"] + box["width"] / 2
        middle_y = box["y"] + box["height"] / 2 + (top - bottom) / 2 * zoom
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
