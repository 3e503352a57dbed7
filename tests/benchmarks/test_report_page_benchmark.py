"""The benchmark of the report's page, without its browser."""

import sys
from types import ModuleType

import pytest

from benchmarks import report_page
from benchmarks.report_page import Config, main
from utils.errors import InputError


@pytest.fixture
def made(monkeypatch):
    """Numbers of the videos that are made, which takes no time; nothing is opened."""
    numbers = []
    monkeypatch.setattr(report_page, "make_video", lambda _, number, __: numbers.append(number))
    for name in ("playwright", "playwright.sync_api"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setattr(report_page.shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(report_page, "open_page", lambda *_: 1.0)
    return numbers


def test_a_missing_browser_is_noticed_before_any_video_is_made(made, monkeypatch):
    monkeypatch.setattr(report_page.shutil, "which", lambda name: None)
    with pytest.raises(InputError, match="Chromium is not installed"):
        main(Config(videos=2))
    monkeypatch.setitem(sys.modules, "playwright.sync_api", None)
    with pytest.raises(InputError, match="playwright is not installed"):
        main(Config(videos=2))
    assert not made


def test_only_videos_that_were_made_to_the_end_are_taken_as_made(made, monkeypatch, tmp_path):
    for number, file in ((0, "run.json"), (1, "confidence.json")):
        path = tmp_path / "results" / "runs" / report_page.name_of(number) / file
        path.parent.mkdir(parents=True)
        path.touch()
    monkeypatch.setattr(report_page, "write_report", lambda folder: path)
    main(Config(videos=3, folder=tmp_path))
    assert made == [1, 2]
