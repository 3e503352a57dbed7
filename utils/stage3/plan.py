"""What a run is going to do, video by video, said before anything is trained."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tabulate import tabulate

from utils import paths
from utils.files import read_json
from utils.media.videos import Video
from utils.stage3.settings import Finding, Preset

# Seconds per step, and per frame and look at it, on two cores (docs/time_and_memory.md): for
# whoever has no earlier run to measure.
TYPICAL_STEP, TYPICAL_LOOK, TYPICAL_LINES = 0.5, 0.36, 480
DARK_LEVEL = 16  # of 255: mean grey level below which a frame shows next to nothing
NUM_LOOKED_AT = 5  # frames whose brightness is measured


@dataclass(frozen=True)
class Pace:
    """How fast this machine is with a preset.

    Attributes:
        per_step, per_frame: seconds.
        source: where the numbers come from, in words.
    """

    per_step: float
    per_frame: float
    source: str

    def minutes(
        self, preset: Preset, num_frames: int, *, learns: bool, surveyed: int, animals: int
    ) -> float:
        """About how long a video takes.

        Args:
            preset: see `utils.stage3.settings.Preset`.
            num_frames: of the video.
            learns: whether a network is fine-tuned for it.
            surveyed: frames looked at to find the animals.
            animals: how many there are.
        """
        steps = 0
        if learns:
            tuning, look = preset.fine_tuning, preset.second_look
            steps = tuning.epoch_steps * (tuning.epochs + (look.epochs if look else 0))
            surveyed += min(num_frames, look.num_surveyed) if look else 0
        looks = animals * num_frames + surveyed
        return (animals * steps * self.per_step + looks * self.per_frame) / 60


def find_pace(results_dir: Path, preset: Preset, precision: str) -> Pace:
    """The pace of earlier runs with this preset and precision in a results folder, else a typical
    one."""
    wanted = json.loads(json.dumps(asdict(preset)))
    steps, frames = [], []
    for path in (results_dir / paths.RUNS).glob(f"*/{paths.RUN_FILE}"):
        record = read_json(path)
        try:
            if (record["key"]["preset"], record["key"]["precision"]) == (wanted, precision):
                steps.append(record["seconds"]["per_step"])
                frames.append(record["seconds"]["per_frame"])
        except (KeyError, TypeError):  # of another program, or broken
            continue
    steps, frames = ([x for x in numbers if x] for numbers in (steps, frames))
    if steps and frames:
        return Pace(float(np.median(steps)), float(np.median(frames)), "by the earlier runs here")
    per_frame = TYPICAL_LOOK * (preset.lines / TYPICAL_LINES) ** 2 * (1 + preset.flip)
    return Pace(TYPICAL_STEP, per_frame, "for two cores; a GPU is faster")


@dataclass(frozen=True)
class PlannedVideo:
    """A line of the table.

    Attributes:
        name: of the video.
        state: "usable", "finished" or what is wrong, in words.
        video: None for one that cannot be opened.
        label: the labelled frames, in words.
        minutes: about how long it takes.
    """

    name: str
    state: str
    video: Video | None = None
    label: str = ""
    minutes: float = 0.0


def plan_video(
    video: Video,
    preset: Preset,
    pace: Pace,
    *,
    labelled: Sequence[int],
    animals: int,
    learns: bool,
    is_finished: bool,
) -> PlannedVideo:
    """The line of a video that can be used.

    Args:
        video: is closed.
        preset: see `utils.stage3.settings.Preset`.
        pace: of this machine.
        labelled: indices of the labelled frames; none: its animals are to be found.
        animals: in the label.
        learns: whether a network is fine-tuned for it.
        is_finished: by an earlier run.
    """
    minutes = 0.0
    if not is_finished:
        surveyed = 0 if labelled else min(len(video), Finding().num_surveyed)
        minutes = pace.minutes(
            preset, len(video), learns=learns, surveyed=surveyed, animals=max(1, animals)
        )
    state = "finished" if is_finished else "dark" if is_dark(video) else "usable"
    label = ",".join(str(frame + video.first_frame) for frame in labelled) or "none"
    video.close()  # many videos may be waiting: no decoder stays open
    return PlannedVideo(video.name, state, video, label, minutes)


def format_plan(videos: Sequence[PlannedVideo], pace: Pace) -> str:
    """The table of all videos, and the minutes in all."""
    rows = []
    for planned in videos:
        video, size, seconds, minutes = planned.video, "", "", ""
        if video is not None:
            size = f"{video.width}x{video.height}"
            seconds = f"{len(video) / video.frames_per_second:.1f}" if video.has_times else "?"
            minutes = f"{planned.minutes:.0f}" if planned.minutes >= 1 else "<1"
        frames = "" if video is None else len(video)
        rows.append((planned.name, planned.state, frames, size, seconds, planned.label, minutes))
    header = ("video", "state", "frames", "size", "seconds", "label", "minutes, about")
    align = ("left", "left", *["right"] * 5)
    total = sum(planned.minutes for planned in videos)
    table = tabulate(rows, header, "plain", colalign=align, disable_numparse=True)
    in_all = "less than a minute" if total < 1 else f"about {total:.0f} minutes"
    return f"{table}\n{in_all} in all ({pace.source})"


def is_dark(video: Video) -> bool:
    """Whether frames from all over a video are so dark that hardly anything can be seen."""
    count = min(NUM_LOOKED_AT, len(video))
    places = np.linspace(0, len(video) - 1, count).round().astype(int).tolist()
    return float(np.median([video.read(index).mean() for index in places])) < DARK_LEVEL
