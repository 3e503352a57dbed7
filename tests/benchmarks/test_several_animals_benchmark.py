"""The benchmarks that run stage 3 in processes of their own: several animals, whole runs, a long
video."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import long_video, several_animals, stage3_processes, whole_runs
from benchmarks.several_animals import VIDEO, make_herd
from tests.look_alike_world import write_sources
from tests.stage3_world import NUM_FRAMES
from utils import paths
from utils.errors import InputError, UsageError
from utils.files import write_json
from utils.media.images import list_frames
from utils.media.labels import read_label


@pytest.fixture
def small_script(monkeypatch):
    """Runs are those of a tiny network."""
    monkeypatch.setattr(stage3_processes, "SCRIPT", "tests/small_stage3.py")


def forbid_runs(monkeypatch):
    monkeypatch.setattr(
        stage3_processes.subprocess, "run", lambda *_, **__: pytest.fail("started a process")
    )


@pytest.fixture
def processes(monkeypatch):
    """Lists the flags of the processes, each of which finds the label's mask in every frame."""
    started = []

    def run(command, **_):
        flags = dict(zip(command[2::2], command[3::2], strict=False))
        video, results = Path(flags["--video"]), Path(flags["--results"])
        for path in list_frames(video):
            mask = results / paths.SEGMENTATION / video.name / f"{path.stem}.png"
            mask.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(flags["--label"], mask)
        seconds = dict.fromkeys(("total", "fine_tuning", "segmentation"), len(started) + 1)
        record = {"seconds": seconds, "peak_memory_mib": 1}
        write_json(results / paths.RUNS / video.name / paths.RUN_FILE, record)
        started.append(flags)
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(stage3_processes.subprocess, "run", run)
    return started


def test_runs_with_other_flags_or_files_are_done_again(world, processes, monkeypatch):
    world.add()

    def run(*flags):
        inputs = (world.frames(), world.annotation())
        flags = ["--video", inputs[0], "--label", inputs[1], *flags]
        return stage3_processes.run_stage3(flags, inputs, "hen", world.results)["seconds"]["total"]

    assert [run(), run(), run("--seed", "1"), run("--seed", "1")] == [1, 1, 2, 2]
    world.write_frame("hen", "00003.png", np.zeros((48, 64, 3), "uint8"))
    assert [run("--seed", "1"), run("--seed", "1")] == [3, 3]
    world.write_label("hen", 2, np.full((48, 64), 255, "uint8"))
    assert [run("--seed", "1"), run("--seed", "1")] == [4, 4]
    monkeypatch.setattr(stage3_processes.subprocess, "run", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run("--seed", "2")
    with pytest.raises(KeyboardInterrupt):  # its files may have been replaced by then
        run("--seed", "1")


def interrupt(*_, **__):
    raise KeyboardInterrupt


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


def test_other_flags_or_another_video_are_other_runs(herd, processes):
    for flags, num_runs in (
        ({}, 3),
        ({}, 3),
        ({"seed": 1}, 6),
        ({"frames": 4}, 9),
        ({"counts": (1, 3)}, 12),  # the third animal is in the picture whichever are labelled
        ({"precision": "auto"}, 15),
    ):
        herd = replace(herd, **flags)
        several_animals.main(herd)
        assert len(processes) == num_runs


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
    world.write_label("hen", 4, np.full((48, 64), 255, "uint8"))  # against which they are scored
    with pytest.raises(pytest.fail.Exception, match="started a process"):
        whole_runs.main(config)


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


def test_the_disk_that_a_run_needs_is_noted_again_when_it_is_done_again(tmp_path):
    peaks = []
    for seconds, size in ((1, 100), (1, 300), (2, 200)):
        with long_video.note_disk_use(tmp_path):
            write_json(tmp_path / stage3_processes.WALL_FILE, {"seconds": seconds})
            (tmp_path / "mask").write_bytes(bytes(size))
        peaks.append(json.loads((tmp_path / long_video.DISK_FILE).read_text())["peak_bytes"])
    assert peaks[0] == peaks[1] and 100 <= peaks[0] < 200 <= peaks[2]


def test_the_animal_moves_forth_and_back_at_the_end_of_each_period():
    bout = long_video.forth_and_back(1, 4)
    assert bout == [1, 2, 3, 2, 1, 0]
    assert long_video.order_of_frames(1, bout, 10, 8) == [1, 1, *bout, 1, 1]


def test_a_period_has_to_be_longer_than_a_bout(tmp_path):
    for flags in ({"bout_every": 80}, {"frames": 0}):
        with pytest.raises(UsageError, match="--bout-every"):
            long_video.main(long_video.Config(**flags, results=tmp_path))
