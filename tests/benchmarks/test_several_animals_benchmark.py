"""The benchmarks that run stage 3 in processes of their own: several animals, whole runs, a long
video."""

import json

import numpy as np
import pytest

from benchmarks import long_video, several_animals, stage3_processes, whole_runs
from benchmarks.several_animals import VIDEO, make_herd
from tests.look_alike_world import write_sources
from tests.stage3_world import NUM_FRAMES
from utils import paths
from utils.errors import InputError, UsageError
from utils.media.labels import read_label


@pytest.fixture
def small_script(monkeypatch):
    """Runs are those of a tiny network."""
    monkeypatch.setattr(stage3_processes, "SCRIPT", "tests/small_stage3.py")


def forbid_runs(monkeypatch):
    monkeypatch.setattr(
        stage3_processes.subprocess, "run", lambda *_, **__: pytest.fail("started a process")
    )


# Several animals


@pytest.fixture
def herd(tmp_path, monkeypatch):
    sources = write_sources(tmp_path / "sources")
    monkeypatch.setattr(several_animals, "SOURCES", sources)
    monkeypatch.setattr(several_animals, "SIZE", (96, 176))
    return several_animals.Config(
        dataset=tmp_path / "sources", source="cock", counts=(1, 2), presets=("fast",), frames=3,
        precision="float32", results=tmp_path / "results",
    )  # fmt: skip


def test_every_animal_is_seen_in_the_first_frame_and_they_move(herd):
    (source,) = [s for s in several_animals.SOURCES if s.name == "cock"]
    made = make_herd(herd.dataset, source, 8, np.random.default_rng(0))
    frames = [several_animals.compose(made.scene, made.layers(index))[1] for index in (0, 12)]
    areas = [np.count_nonzero(frames[0] == number) for number in range(1, 9)]
    assert min(areas) > 0.3 * max(areas)
    moved = [np.count_nonzero((frames[0] == n) != (frames[1] == n)) for n in range(1, 9)]
    assert min(moved) > 0


def test_one_and_two_animals_are_labelled_timed_and_scored(herd, small_script, monkeypatch, capsys):
    several_animals.main(herd)
    rows = json.loads((herd.results / "several_animals.json").read_text())
    assert [(row["count"], row["networks"]) for row in rows] == [
        (1, "each"), (2, "each"), (2, "one"),
    ]  # fmt: skip
    for row in rows:
        label = read_label(herd.results / "labels" / str(row["count"]) / "00000.png")
        assert label.animals == tuple(range(1, row["count"] + 1))
        assert row["frames"] == 2 * row["count"] and 0 <= row["j"] <= 1
        assert row["seconds"] > 0 and row["peak_memory_mib"] > 0
    assert (herd.results / "data/JPEGImages/480p" / VIDEO / "00002.jpg").is_file()
    assert "against 1" in capsys.readouterr().out

    forbid_runs(monkeypatch)
    several_animals.main(herd)
    assert json.loads((herd.results / "several_animals.json").read_text()) == rows


def test_sources_and_counts_are_checked(herd):
    for flags, text in (
        ({"source": "hen"}, "--source"),
        ({"counts": ()}, "--counts"),
        ({"counts": (1,), "networks": ("one",)}, "--networks one"),
        ({"presets": ("paper",), "networks": ("one",)}, "--networks one"),
    ):
        with pytest.raises(UsageError, match=text):
            several_animals.main(several_animals.Config(**{**vars(herd), **flags}))


# Whole runs


def test_whole_runs_are_timed_and_scored_and_only_read_again(
    world, small_script, monkeypatch, capsys
):
    monkeypatch.setattr(whole_runs, "SCRIPT", "tests/small_stage3.py")
    world.add(labelled=range(NUM_FRAMES))
    config = whole_runs.Config(
        dataset=world.dataset, presets=("fast",), precisions=("float32",), rounds=2,
        results=world.results,
    )  # fmt: skip
    whole_runs.main(config)
    rows = json.loads((world.results / "whole_runs.json").read_text())
    assert len(rows) == 2
    for row in rows:
        assert row["wall_seconds"] > row["own_seconds"] > 0
        assert 0.3 < row["j"] <= 1 and row["used"] == "float32" and row["frames_per_second"] > 0
    out = capsys.readouterr().out
    assert "min - max" in out and "frames/s" in out

    forbid_runs(monkeypatch)
    whole_runs.main(config)
    assert json.loads((world.results / "whole_runs.json").read_text()) == rows


def test_a_run_that_fails_says_why_and_is_done_again(world, small_script):
    world.add(labelled=())
    config = whole_runs.Config(
        dataset=world.dataset, presets=("fast",), precisions=("float32",), rounds=1,
        results=world.results,
    )  # fmt: skip
    with pytest.raises(InputError, match=r"(?s)failed, see .*log\.txt: .*label"):
        whole_runs.main(config)
    assert not list(world.results.rglob("wall.json"))


def test_checkouts_are_folders_of_the_repository_with_names_of_their_own(tmp_path):
    with pytest.raises(InputError, match=r"expected finetune_test\.py"):
        whole_runs.main(whole_runs.Config(checkout=(tmp_path,)))
    with pytest.raises(UsageError, match="different names"):
        whole_runs.main(whole_runs.Config(checkout=(paths.ROOT, paths.ROOT)))


# A long video


def test_a_long_video_rests_and_moves_and_is_scored_in_motion_alone(
    tmp_path, small_script, monkeypatch, capsys
):
    monkeypatch.setattr(long_video, "SIZE", (96, 160))
    config = long_video.Config(frames=84, bout_every=82, results=tmp_path)
    long_video.main(config)
    folder = tmp_path / "84-82-3"
    row = json.loads((folder / "fast/long_video.json").read_text())
    assert row["frames"] == row["seen_by_network"] == 84
    assert len(row["bouts"]) == 1 and 0 <= row["bouts"][0] <= 1
    masks = sum(path.stat().st_size for path in (folder / "fast/segmentation").rglob("*.png"))
    assert row["peak_disk_bytes"] > masks and row["peak_memory_mib"] > 0
    assert "first bout" in capsys.readouterr().out

    forbid_runs(monkeypatch)
    long_video.main(config)
    assert json.loads((folder / "fast/long_video.json").read_text()) == row


def test_the_animal_moves_forth_and_back_at_the_end_of_each_period():
    bout = long_video.forth_and_back(1, 4)
    assert bout == [1, 2, 3, 2, 1, 0]
    assert long_video.order_of_frames(1, bout, 10, 8) == [1, 1, *bout, 1, 1]


def test_a_period_has_to_be_longer_than_a_bout(tmp_path):
    for flags in ({"bout_every": 80}, {"frames": 0}):
        with pytest.raises(UsageError, match="--bout-every"):
            long_video.main(long_video.Config(**flags, results=tmp_path))
