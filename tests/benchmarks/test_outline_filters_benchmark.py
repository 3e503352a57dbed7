"""The benchmark of outline filters: runs stage 3 once, keeps its maps, and measures on them."""

import json

import numpy as np
import pytest

from benchmarks import outline_filters, stage3_runs
from benchmarks.outline_filters import FILTERS, Config, main
from tests.stage3_world import NUM_FRAMES, tiny_network
from utils.errors import InputError


@pytest.fixture
def measure(world, monkeypatch):
    monkeypatch.setattr(stage3_runs, "build_model", tiny_network)

    def measure(name="hen", **flags):
        path = world.root / "filters.json"
        flags = {"preset": "fast", **flags}
        main(
            Config(
                dataset=world.dataset, sequences=(name,), results=world.results,
                weights=world.weights, json=path, **flags,
            )
        )  # fmt: skip
        return json.loads(path.read_text())

    return measure


def test_every_filter_is_measured_and_stage_3_runs_once(world, measure, monkeypatch, capsys):
    world.add(labelled=range(NUM_FRAMES))
    table = measure()
    assert set(table["hen"]) == set(table["mean"]) == set(FILTERS)
    j, f, _ = table["hen"]["none"]
    scores = world.record()["scores"]
    assert (j, f) == pytest.approx((scores["J-Mean"], scores["F-Mean"]))
    assert "guided filter" in capsys.readouterr().out

    def must_not_run(*arguments):
        raise AssertionError("the maps are there")

    monkeypatch.setattr(outline_filters, "run_stage3", must_not_run)
    again = measure(every=2)
    assert np.isfinite(again["hen"]["none"]).all()


def test_maps_of_other_flags_or_another_video_are_not_measured(world, measure):
    world.add(labelled=range(NUM_FRAMES))
    measure()
    for flags in ({"seed": 1}, {"seed": 1, "preset": "default"}):
        measure(**flags)
        key = world.record()["key"]
        assert key["seed"] == 1
        assert key["preset"]["fine_tuning"]["steps"] == (6 if "preset" in flags else 8)
    world.add(frames=NUM_FRAMES - 1, labelled=range(NUM_FRAMES - 1))
    (world.frames() / f"{NUM_FRAMES - 1:05d}.png").unlink()
    measure()
    assert world.record()["num_frames"] == NUM_FRAMES - 1


def test_a_label_of_two_animals_is_refused(world, measure):
    world.add_two(labelled=range(NUM_FRAMES))
    with pytest.raises(InputError, match="one animal"):
        measure("pair")
