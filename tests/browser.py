"""Headless Chromium for tests; they are skipped where it or playwright is not installed."""

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PATIENCE_SECONDS = 240  # for what hangs; a busy machine is slow
_FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-quic")


@contextlib.contextmanager
def launch_browser() -> Iterator:
    """A browser of playwright."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    names = ("chromium", "chromium-browser", "google-chrome")
    chromium = next(filter(None, map(shutil.which, names)), None)
    if chromium is None:
        pytest.skip("Chromium is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=_FLAGS)
        yield browser
        browser.close()


def note_complaints(page, *allowed: str) -> list[str]:
    """What goes wrong in a page from now on: errors and warnings of the console, exceptions, and
    requests for addresses that begin with none of `allowed`."""
    complaints = []

    def note_request(request):
        if not request.url.startswith(allowed):
            complaints.append(request.url)

    def note_message(message):
        if message.type in ("error", "warning"):
            complaints.append(message.text)

    page.on("request", note_request)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", note_message)
    return complaints


@contextlib.contextmanager
def open_page(path: Path, width: int = 1400, height: int = 900) -> Iterator:
    """A page with an HTML file in it; `page.complaints` lists what went wrong in it, requests for
    the network included."""
    with launch_browser() as browser:
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(PATIENCE_SECONDS * 1000)
        page.complaints = note_complaints(page, "file:", "data:", "blob:")
        page.goto(path.resolve().as_uri())
        yield page


def wait_until(page, condition: str | Callable[[], bool]) -> None:
    """Waits for a JavaScript expression or a function to be true. (playwright's own way needs
    eval, which the report's content security policy forbids.)"""
    is_true = condition if callable(condition) else lambda: page.evaluate(condition)
    end = time.monotonic() + PATIENCE_SECONDS
    while not is_true():
        assert time.monotonic() < end, f"still not true: {condition}"
        page.wait_for_timeout(20)  # unlike a sleep, it lets the page's events through
