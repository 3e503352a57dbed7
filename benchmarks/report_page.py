"""How long the report's first page takes to open in a browser, for a study of many videos.

Makes short videos with their masks, confidences and overlay videos, as stage 3 leaves them, writes
the report, and opens it in Chromium, which playwright (requirements-dev.txt) drives.

Writes  a folder of its own, removed in the end unless --folder names one, and a picture of the
        page where --screenshot says.

    python -m benchmarks.report_page --screenshot report.png

About three minutes for 200 videos on two cores, nearly all of it to make the videos.
"""

import contextlib
import io
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

import evaluate
from utils import paths
from utils.command_line import run_script, setting
from utils.errors import InputError
from utils.files import write_json
from utils.media.labels import write_label
from utils.media.overlay import write_overlays
from utils.media.video_writing import write_video
from utils.media.videos import VideoFile

HEIGHT, WIDTH, FRAMES_PER_SECOND = 180, 320, 12


@dataclass(frozen=True)
class Config:
    videos: int = setting(200, "number of videos")
    frames: int = setting(36, "frames of each video")
    opens: int = setting(3, "how often the page is opened, each time by a new browser")
    folder: Path | None = setting(None, "keep the videos and the report here")
    screenshot: Path | None = setting(None, "file for a picture of the page (PNG)")


def main(config: Config) -> None:
    chromium = find_chromium()
    with contextlib.ExitStack() as stack:
        folder = config.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        start = time.perf_counter()
        for number in range(config.videos):
            record = folder / "results" / paths.RUNS / name_of(number) / paths.RUN_FILE
            if not record.is_file():  # written last
                make_video(folder, number, config.frames)
        print(f"{config.videos} videos made in {time.perf_counter() - start:.0f} s", flush=True)
        start = time.perf_counter()
        page = write_report(folder)
        size_mb = page.stat().st_size / 1e6
        print(f"report written in {time.perf_counter() - start:.0f} s: {page}, {size_mb:.1f} MB")
        seconds = [open_page(page, chromium, config.screenshot) for _ in range(config.opens)]
        shown = ", ".join(f"{one:.2f}" for one in seconds)
        print(f"seconds until the page is shown: {shown}; the longest: {max(seconds):.2f}")


def name_of(number: int) -> str:
    return f"day{number // 20 + 1:02d}_GX{number % 20 + 1:02d}"


def make_video(folder: Path, number: int, num_frames: int) -> None:
    """Makes one video and what a run of stage 3 would have left of it."""
    rng = np.random.default_rng(number)
    name, results = name_of(number), folder / "results"
    masks = list(draw_animals(rng, num_frames))
    ground = cv2.resize(rng.integers(40, 150, (6, 10, 3)).astype(np.uint8), (WIDTH, HEIGHT))
    colour = rng.integers(150, 250, 3)
    video_path = folder / "videos" / f"{name}.mp4"
    images = (np.where(mask[..., None] > 0, colour, ground).astype(np.uint8) for mask in masks)
    write_video(video_path, images, None, FRAMES_PER_SECOND)
    for index, mask in enumerate(masks):
        path = results / paths.SEGMENTATION / name / f"{index:05d}.png"
        write_label(path, mask, range(1, 1 + max(one.max() for one in masks)))
    run_dir = results / paths.RUNS / name
    with VideoFile(video_path, name) as video:
        write_overlays(results / paths.OVERLAY, run_dir, video, masks.__getitem__, [0])
    write_json(run_dir / paths.CONFIDENCE_FILE, {"confidence": draw_confidence(rng, num_frames)})
    record = {
        "input": str(video_path),
        "num_frames": num_frames,
        "labelled_frames": [0],
        "guidance": "the only labelled frame",
        "seconds": {"total": float(rng.uniform(60, 600))},
    }
    write_json(run_dir / paths.RUN_FILE, record)


def draw_animals(rng: np.random.Generator, num_frames: int) -> Iterator[np.ndarray]:
    """Yields masks of one animal, or now and then of two, that wander about."""
    animals = 1 + (rng.random() < 0.2)
    place = rng.uniform((60, 50), (WIDTH - 60, HEIGHT - 50), (animals, 2))
    way = rng.normal(0, 3, (animals, 2))
    axes = rng.uniform((14, 8), (30, 16), (animals, 2))
    for _ in range(num_frames):
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        for animal in range(animals):
            angle = np.degrees(np.arctan2(way[animal, 1], way[animal, 0]))
            centre, size = place[animal].astype(int).tolist(), axes[animal].astype(int).tolist()
            cv2.ellipse(mask, centre, size, angle, 0, 360, animal + 1, -1)
        yield mask
        way += rng.normal(0, 0.8, way.shape)
        is_out = (place + way < 30) | (place + way > (WIDTH - 30, HEIGHT - 30))
        way[is_out] *= -1
        place += way
        axes *= rng.uniform(0.97, 1.03, axes.shape)


def draw_confidence(rng: np.random.Generator, num_frames: int) -> list[float]:
    """High but for a few dips."""
    values = 0.97 - 0.02 * rng.random(num_frames)
    for _ in range(rng.integers(0, 4)):
        centre, depth, width = rng.uniform(0, num_frames), rng.uniform(0, 0.8), rng.uniform(1, 6)
        values -= depth * np.exp(-(((np.arange(num_frames) - centre) / width) ** 2))
    return np.clip(values, 0.02, 1).round(4).tolist()


def write_report(folder: Path) -> Path:
    """Runs `evaluate.py --report` without its table. Returns: the page."""
    (folder / "dataset" / "Annotations").mkdir(parents=True, exist_ok=True)
    results = folder / "results"
    with contextlib.redirect_stdout(io.StringIO()):
        evaluate.main(evaluate.Config(dataset=folder / "dataset", results=results, report=True))
    return results / paths.REPORT_FILE


def find_chromium() -> str:
    """Finds the browser.

    Raises:
        InputError: if it, or playwright, is not installed.
    """
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError as error:
        raise InputError(
            "playwright is not installed: pip install -r requirements-dev.txt"
        ) from error
    names = ("chromium", "chromium-browser", "google-chrome")
    chromium = next(filter(None, map(shutil.which, names)), None)
    if chromium is None:
        raise InputError("Chromium is not installed; install it with your system's packages.")
    return chromium


def open_page(path: Path, chromium: str, screenshot: Path | None) -> float:
    """Opens a page in a new browser. Returns: seconds until it is loaded and drawn."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        start = time.perf_counter()
        page.goto(path.resolve().as_uri(), wait_until="load")
        # Drawn: the second frame on the screen after loading has begun.
        page.evaluate("new Promise(go => requestAnimationFrame(() => requestAnimationFrame(go)))")
        seconds = time.perf_counter() - start
        if screenshot is not None:
            page.screenshot(path=screenshot)
        browser.close()
    return seconds


if __name__ == "__main__":
    run_script(main, Config, __doc__)
