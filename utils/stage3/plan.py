"""What a run is going to do, video by video, said before anything is trained."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tabulate import tabulate

from utils import paths
from utils.files import existing_part, read_json
from utils.media.images import working_size
from utils.media.videos import Video
from utils.stage3.presets import as_recorded
from utils.stage3.settings import Finding, Preset

# Seconds per step, and per frame and look at it, on two cores (docs/time_and_memory.md): for
# whoever has no earlier run to measure.
TYPICAL_STEP, TYPICAL_LOOK, TYPICAL_LINES = 0.5, 0.36, 480
TYPICAL_WINDOW = 0.2  # per frame and animal, where the network sees windows alone
# Bytes per pixel of what `PartialRun` keeps of each frame, a noisy one, and of its networks.
GREY_BYTES, PROBABILITY_BYTES, REGION_BYTES, NETWORK_BYTES = 0.15, 0.04, 0.015, 100e6
TRAINING_BYTES = 400e6  # weights and two moments of each, and those before the second look
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
        self,
        preset: Preset,
        num_frames: int,
        *,
        learns: bool,
        surveyed: int,
        animals: int,
        networks: int | None = None,
    ) -> float:
        """About how long a video takes.

        Args:
            preset: see `utils.stage3.settings.Preset`.
            num_frames: of the video.
            learns: whether a network is fine-tuned for it.
            surveyed: frames looked at to find the animals.
            animals: for how many of them each frame is looked at.
            networks: that are fine-tuned for them; None: one for each.
        """
        look = preset.second_look
        surveyed += min(num_frames, look.num_surveyed) if learns and look else 0
        looks = animals * num_frames + surveyed
        networks = animals if networks is None else networks
        learning = networks * self.minutes_to_learn(preset) if learns else 0.0
        return learning + looks * self.per_frame / 60

    def minutes_to_learn(self, preset: Preset) -> float:
        """About how long a network is fine-tuned."""
        tuning, look = preset.fine_tuning, preset.second_look
        steps = tuning.epoch_steps * (tuning.epochs + (look.epochs if look else 0))
        return steps * self.per_step / 60


def find_pace(results_dir: Path, preset: Preset, precision: str, runtime: str = "keras") -> Pace:
    """The pace of earlier runs with this preset, precision and runtime in a results folder, else a
    typical one."""
    # With --animals, newcomers are not looked for, which takes hardly any time.
    wanted = [as_recorded(one) for one in (preset, preset.without_newcomers())]
    steps, frames = [], []
    for path in (results_dir / paths.RUNS).glob(f"*/{paths.RUN_FILE}"):
        record = read_json(path)
        try:
            key = record["key"]
            is_same = (key["precision"], key.get("runtime", "keras")) == (precision, runtime)
            if is_same and key["preset"] in wanted:
                steps.append(record["seconds"]["per_step"])
                frames.append(record["seconds"]["per_frame"])
        except (KeyError, TypeError):  # of another program, or broken
            continue
    steps, frames = ([x for x in numbers if x] for numbers in (steps, frames))
    per_frame = TYPICAL_LOOK * (preset.lines / TYPICAL_LINES) ** 2 * (1 + preset.flip)
    if preset.takes_prompts:
        per_frame = TYPICAL_WINDOW
    source = "by the earlier runs here" if frames else "for two cores; a GPU is faster"
    if frames:
        per_frame = np.median(frames)
    # A network that was learnt before, or for several videos, has no steps of its own.
    per_step = np.median(steps) if steps else TYPICAL_STEP
    return Pace(float(per_step), float(per_frame), source)


@dataclass(frozen=True)
class PlannedVideo:
    """A line of the table.

    Attributes:
        name: of the video.
        state: "usable", "finished" or what is wrong, in words.
        video: None for one that cannot be opened.
        label: the labelled frames, in words.
        minutes: about how long it takes.
        state_bytes: on disk until the video is finished, about.
    """

    name: str
    state: str
    video: Video | None = None
    label: str = ""
    minutes: float = 0.0
    state_bytes: float = 0.0


def plan_video(
    video: Video,
    preset: Preset,
    pace: Pace,
    *,
    labelled: Sequence[int],
    animals: int,
    networks: int,
    looks: int,
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
        networks: that follow them: one for each, or one for all.
        looks: at each frame: one for each of them, or one for all.
        learns: whether they are fine-tuned for it.
        is_finished: by an earlier run.
    """
    minutes = state_bytes = 0.0
    if not is_finished:
        state_bytes = estimate_state_bytes(video, preset, animals, networks * learns, looks)
        surveyed = 0 if labelled else min(len(video), Finding().num_surveyed)
        minutes = pace.minutes(
            preset,
            len(video),
            learns=learns,
            surveyed=surveyed,
            animals=max(1, looks),
            networks=max(1, networks),
        )
    state = "finished" if is_finished else "dark" if is_dark(video) else "usable"
    label = ",".join(str(frame + video.first_frame) for frame in labelled) or "none"
    video.close()  # many videos may be waiting: no decoder stays open
    return PlannedVideo(video.name, state, video, label, minutes, state_bytes)


def estimate_state_bytes(
    video: Video, preset: Preset, animals: int, networks: int, looks: int | None = None
) -> float:
    """About how large the state on disk of an unfinished video becomes.

    Args:
        video: whose state.
        preset: see `utils.stage3.settings.Preset`.
        animals: that are followed.
        networks: that are fine-tuned for them.
        looks: at each frame; None: one for each animal.
    """
    size = np.prod(working_size(video.height, video.width, preset.lines))
    fine_size = np.prod(working_size(video.height, video.width, preset.fine_lines))
    probabilities = PROBABILITY_BYTES * fine_size * max(1, animals if looks is None else looks)
    regions = REGION_BYTES * size * max(1, animals)
    frames = len(video) * (GREY_BYTES * size + probabilities + regions)
    return float(frames + networks * NETWORK_BYTES + (TRAINING_BYTES if networks else 0))


def format_plan(
    videos: Sequence[PlannedVideo], pace: Pace, shared_minutes: float | None = None
) -> str:
    """The table of all videos, and the minutes and the disk in all.

    Args:
        videos: in the order in which they are done.
        pace: of this machine.
        shared_minutes: until one network has learnt the labels of all videos; None: each has its
            own.
    """
    rows = []
    for planned in videos:
        video, size, seconds, minutes, disk = planned.video, "", "", "", ""
        if video is not None:
            size = f"{video.width}x{video.height}"
            seconds = f"{len(video) / video.frames_per_second:.1f}" if video.has_times else "?"
            minutes = f"{planned.minutes:.0f}" if planned.minutes >= 1 else "<1"
            disk = f"{planned.state_bytes / 1e9:.1f}"
        frames = "" if video is None else len(video)
        label = planned.label
        rows.append((planned.name, planned.state, frames, size, seconds, label, minutes, disk))
    header = (
        "video",
        "state",
        "frames",
        "size",
        "seconds",
        "label",
        "minutes, about",
        "GB of disk",
    )
    align = ("left", "left", *["right"] * 6)
    total = sum(planned.minutes for planned in videos)
    table = tabulate(rows, header, "plain", colalign=align, disable_numparse=True)
    in_all = f"{_about(total + (shared_minutes or 0))} in all ({pace.source})"
    if shared_minutes is not None:
        in_all += f", {_about(shared_minutes)} of them until the one network has learnt"
    needed = f"up to {most_state_bytes(videos) / 1e9:.1f} GB of disk until a video is finished"
    return f"{table}\n{in_all}; {needed}"


def _about(minutes):
    if minutes < 1:
        return "less than a minute"
    return f"about {minutes:.0f} minute{'s' if round(minutes) > 1 else ''}"


def most_state_bytes(videos: Sequence[PlannedVideo]) -> float:
    """The largest state of any video: one is finished before the next begins."""
    return max((planned.state_bytes for planned in videos), default=0.0)


def disk_warning(videos: Sequence[PlannedVideo], results_dir: Path) -> str | None:
    """The warning if the disk of a results folder has not the space for a state, else None."""
    free, needed = shutil.disk_usage(existing_part(results_dir)).free, most_state_bytes(videos)
    if free >= needed:
        return None
    return (
        f"warning: {results_dir}: {free / 1e9:.1f} GB are free, about {needed / 1e9:.1f} GB are "
        "needed until a video is finished. Free some space, choose another disk with --results, "
        "or take the video in parts with --frames."
    )


def is_dark(video: Video) -> bool:
    """Whether frames from all over a video are so dark that hardly anything can be seen."""
    count = min(NUM_LOOKED_AT, len(video))
    places = np.linspace(0, len(video) - 1, count).round().astype(int).tolist()
    return float(np.median([video.read(index).mean() for index in places])) < DARK_LEVEL
