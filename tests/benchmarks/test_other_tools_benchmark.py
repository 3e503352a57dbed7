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
    other_tools.main(other_tools.Config(rounds=2, json=path))
    times = json.loads(path.read_text())
    assert list(times) == ["ours, window of 480x832", "ours, frame of 480x854"]
    assert all(len(seconds) == 2 and min(seconds) > 0 for seconds in times.values())
    out = capsys.readouterr().out
    assert "SAM 2.1: not measured, not installed: torch, transformers" in out
