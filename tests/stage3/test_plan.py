"""The table of all videos before a run: state, size, length, and how long it will take."""

import json
import shutil
from collections import namedtuple
from dataclasses import asdict

import numpy as np
import pytest

from utils.errors import InputError
from utils.media.frame_folder import FrameFolder
from utils.stage3.partial_run import PartialRun
from utils.stage3.plan import (
    Pace,
    PlannedVideo,
    disk_warning,
    estimate_state_bytes,
    find_pace,
    format_plan,
    is_dark,
)
from utils.stage3.presets import PRESETS
from utils.stage3.settings import FineTuning, Preset, SecondLook

PRESET = Preset(FineTuning(steps=100), second_look=SecondLook(epochs=2))


class Frames(FrameFolder):
    def __init__(self, level):
        super().__init__("hen")
        self.level = level

    def __len__(self):
        return 9

    def read(self, index):
        return np.full((4, 6, 3), self.level if index else 200, "uint8")


def test_minutes_count_steps_and_every_look_at_a_frame():
    pace = Pace(per_step=0.6, per_frame=0.3, source="")
    ways = {"learns": True, "surveyed": 0, "animals": 1}
    assert pace.minutes(PRESET, 200, **ways) == pytest.approx((150 * 0.6 + 216 * 0.3) / 60)
    ways = {"learns": False, "surveyed": 50, "animals": 2}
    assert pace.minutes(PRESET, 200, **ways) == pytest.approx(450 * 0.3 / 60)
    ways = {"learns": True, "surveyed": 0, "animals": 3, "networks": 1}
    assert pace.minutes(PRESET, 200, **ways) == pytest.approx((150 * 0.6 + 616 * 0.3) / 60)


def test_the_pace_is_that_of_earlier_runs_with_the_same_preset(tmp_path):
    other = Preset(FineTuning(steps=1))
    for name, preset, per_step in (("a", PRESET, 2.0), ("b", PRESET, 4.0), ("c", other, 100.0)):
        write_run(tmp_path, name, preset, per_step=per_step, per_frame=0.5)
    broken = tmp_path / "runs" / "d" / "run.json"
    broken.parent.mkdir()
    broken.write_text("[")
    pace = find_pace(tmp_path, PRESET, "float32")
    assert (pace.per_step, pace.per_frame) == (3.0, 0.5) and "earlier runs" in pace.source
    assert "two cores" in find_pace(tmp_path, PRESET, "mixed_bfloat16").source


def write_run(results, name, preset, **seconds):
    path = results / "runs" / name / "run.json"
    path.parent.mkdir(parents=True)
    key = {"preset": asdict(preset), "precision": "float32"}
    path.write_text(json.dumps({"key": key, "seconds": seconds}))


def test_the_pace_is_also_that_of_runs_with_a_network_that_was_learnt_before(tmp_path):
    write_run(tmp_path, "a", PRESET, per_step=None, per_frame=0.02)
    pace = find_pace(tmp_path, PRESET, "float32")
    assert pace.per_frame == 0.02 and "earlier runs" in pace.source


def test_the_pace_is_also_that_of_runs_with_a_number_of_animals(tmp_path):
    write_run(tmp_path, "a", PRESET.without_newcomers(), per_step=0.1, per_frame=0.02)
    pace = find_pace(tmp_path, PRESET, "float32")
    assert (pace.per_step, pace.per_frame) == (0.1, 0.02)


def test_without_earlier_runs_windows_take_less_time_than_whole_frames(tmp_path):
    herd, default = (
        find_pace(tmp_path, PRESETS[name], "float32").per_frame for name in ("herd", "default")
    )
    assert herd < default


@pytest.mark.parametrize("level, dark", [(5, True), (60, False)])
def test_a_video_is_dark_if_most_of_its_frames_are(level, dark):
    assert is_dark(Frames(level)) == dark


def test_a_video_that_cannot_be_opened_has_its_line(tmp_path):
    table = format_plan([PlannedVideo("ant", "cannot be used")], Pace(1, 1, "by hand"))
    assert "ant" in table and "cannot be used" in table and "less than a minute in all" in table


def test_what_all_videos_share_is_counted_once():
    videos = [PlannedVideo(name, "usable", minutes=1.5) for name in ("ant", "bee")]
    table = format_plan(videos, Pace(1, 1, "by hand"), shared_minutes=2)
    assert "about 5 minutes in all (by hand)" in table
    assert "about 2 minutes of them until the one network has learnt" in table
    assert "learnt" not in format_plan(videos, Pace(1, 1, "by hand"))


def test_state_on_disk_is_not_larger_than_said(tmp_path):
    """Of noisy frames with a large animal."""
    video = Frames(0)
    video._size, rng = (960, 1708), np.random.default_rng(0)
    state = PartialRun(tmp_path, "hen", {})
    rows, columns = np.mgrid[:960, :1708]
    distance = np.hypot(rows - 480, columns - 854)
    for frame in range(len(video)):
        grey = np.clip(rng.normal(np.tile(np.arange(854) / 4, (480, 1)), 4), 0, 255)
        state.write_grey(frame, grey.astype("uint8"))
        probability = 255 / (1 + np.exp((distance - 350) / 4))
        state.write_probability(1, frame, probability.astype("uint8"))
        state.write_region(1, frame, distance[::2, ::2] < 350)
    used = sum(path.stat().st_size for path in state.folder.rglob("*.*g"))
    assert 0.3 < used / estimate_state_bytes(video, PRESET, animals=1, networks=0) < 1.2
    eight = [estimate_state_bytes(video, PRESET, 8, 0, looks) for looks in (1, None)]
    assert eight[0] < eight[1] / 2  # one network finds all of them: one probability for all


def test_a_file_of_the_state_that_a_power_cut_emptied_is_made_again_or_named(tmp_path):
    """Each further run ended in a traceback."""
    state, mask = PartialRun(tmp_path, "hen", {}), np.ones((4, 6), "uint8")
    state.write_probability(1, 0, mask)
    state.write_grey(0, mask)
    state.write_region(1, 0, mask)
    for path in state.folder.rglob("*.*g"):
        path.write_bytes(b"")
    (state.folder / "fine_tuned_1.safetensors").write_bytes(b"")
    assert state.probability(1, 0) is None and state.grey(0) is None
    assert not state.has_probability(1, 0)
    with pytest.raises(InputError, match=r"000000\.png: cannot be read.*--overwrite"):
        state.region(1, 0)
    with pytest.raises(InputError, match=r"probability_1.*000000\.png: cannot be read"):
        state.settled_probability(1, 0)
    with pytest.raises(InputError, match=r"fine_tuned_1\.safetensors.*--overwrite"):
        state.load_fine_tuned(None, 1)


def test_too_small_a_disk_is_said_before_anything_is_trained(tmp_path, monkeypatch):
    usage = namedtuple("usage", "free")(2e9)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    small = PlannedVideo("ant", "usable", state_bytes=1e9)
    large = PlannedVideo("bee", "usable", state_bytes=3e9)
    assert disk_warning([small, small, small], tmp_path / "not" / "there") is None
    assert "2.0 GB are free, about 3.0 GB" in disk_warning([small, large], tmp_path)
    assert "up to 3.0 GB of disk" in format_plan([small, large], Pace(1, 1, "by hand"))
