"""The benchmark of other tools where none of them is installed."""

import json

import pytest

from benchmarks import other_tools
from tests.stage3_world import tiny_network


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr(other_tools, "build_model", tiny_network)
    monkeypatch.setattr(other_tools, "find_spec", lambda name: None)


def test_ours_is_measured_and_what_is_missing_is_said(tiny, tmp_path, capsys):
    path = tmp_path / "tools.json"
    picture = tmp_path / "plots/tools.png"
    other_tools.main(other_tools.Config(rounds=2, json=path, plot=picture, fixed_seconds=100))
    times = json.loads(path.read_text())
    assert list(times) == ["ours, window of 480x832", "ours, frame of 480x854"]
    assert all(len(seconds) == 2 and min(seconds) > 0 for seconds in times.values())
    assert picture.stat().st_size > 1000
    out = capsys.readouterr().out
    assert "SAM 2.1: not measured, not installed: torch, transformers" in out


def test_fine_tuning_pays_from_the_frame_on_at_which_both_have_taken_the_same_time():
    assert other_tools.frames_until_faster(0.5, 100, 10.5) == 11
    assert other_tools.frames_until_faster(0.5, 0, 10.5) == 1
    assert other_tools.frames_until_faster(2.0, 100, 1.0) is None
