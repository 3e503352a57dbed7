"""Seconds per frame of SAM 2.1, which follows an animal without fine-tuning, beside our network's.

SAM 2.1 (Ravi et al., 2024) sees each frame at 1024x1024 and compares it with the memory of seven
frames, that of the label included. It is built with random weights, which cost the same time:
nothing is downloaded. It needs packages that are no part of this project, and a line says
what is missing: pip install torch transformers

Ours is the time of the network alone, for a window of 480x832 and for a whole frame, in float32.
Fine-tuning comes before it: --fixed-seconds is what a run of ours takes besides its frames, so that
the length from which on it is faster follows.

Reads   nothing: the weights are random.
Writes  the table to the screen; with --plot a picture of the seconds by length of the video, with
        --json all numbers.

    python -m benchmarks.other_tools
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np

from utils import backend  # backend before Keras: it starts it without noise

# isort: split
from tabulate import tabulate

from benchmarks.speed import FRAME, time_tasks
from models import build_model
from utils.command_line import run_script, setting
from utils.environment import describe_environment
from utils.errors import UsageError
from utils.files import write_json

WINDOW = (480, 832)
OURS = f"ours, window of {WINDOW[0]}x{WINDOW[1]}"
SIZE_PX = 1024  # of the square that SAM 2.1 makes of each frame
MEMORY = 7  # frames that it remembers; with fewer of them, a frame takes less time
BACKBONES = {  # what differs from the defaults, which are those of the tiny one
    "tiny": {},
    "large": {
        "hidden_size": 144,
        "num_attention_heads": 2,
        "blocks_per_stage": [2, 6, 36, 4],
        "embed_dim_per_stage": [144, 288, 576, 1152],
        "num_attention_heads_per_stage": [2, 4, 8, 16],
        "window_size_per_stage": [8, 4, 16, 8],
        "global_attention_blocks": [23, 33, 43],
    },
}


@dataclass(frozen=True)
class Config:
    sam: tuple[Literal[*BACKBONES], ...] = setting(("tiny",), "sizes of SAM 2.1 to measure")
    fixed_seconds: float | None = setting(
        None,
        "of a run of ours in float32 besides its frames, on this machine: in the table of "
        "benchmarks.whole_runs, own minus the video's frames divided by frames/s",
    )
    plot: Path | None = setting(None, "file for the picture (PNG); needs --fixed-seconds")
    rounds: int = setting(3, "interleaved rounds; medians of these are printed")
    json: Path | None = setting(None, "write the numbers here as well")


def main(config: Config) -> None:
    if config.plot and config.fixed_seconds is None:
        raise UsageError("--plot needs --fixed-seconds.")
    backend.make_deterministic(0)
    tasks = our_tasks()
    missing = [package for package in ("torch", "transformers") if not find_spec(package)]
    if missing:
        print(f"SAM 2.1: not measured, not installed: {', '.join(missing)}")
    else:
        tasks |= {f"SAM 2.1 {size}": follow_with_sam(size) for size in config.sam}
    times = time_tasks(tasks, config.rounds)
    print(describe_environment())
    medians = {name: float(np.median(seconds)) for name, seconds in times.items()}
    faster_from = {
        name: frames_until_faster(medians[OURS], config.fixed_seconds, median)
        for name, median in medians.items()
        if name.startswith("SAM") and config.fixed_seconds is not None
    }
    rows = [
        (name, medians[name], f"{min(s):.2f} - {max(s):.2f}", faster_from.get(name, ""))
        for name, s in times.items()
    ]
    headers = ("network", "median s per frame", "min - max", "ours is faster from frames")
    print(tabulate(rows, headers, tablefmt="pipe", floatfmt=("", ".2f", "", "")))
    if config.plot:
        plot_runs(config.plot, medians, config.fixed_seconds)
    if config.json:
        write_json(config.json, times)


def frames_until_faster(ours: float, fixed: float, other: float) -> int | None:
    """From how many frames on ours takes less time; None if never.

    Args:
        ours, other: seconds per frame.
        fixed: seconds of ours besides its frames.
    """
    return math.floor(fixed / (other - ours)) + 1 if other > ours else None


def plot_runs(path: Path, medians: dict[str, float], fixed_seconds: float) -> None:
    """Draws the seconds of a run by the length of its video."""
    from matplotlib.figure import Figure

    frames = np.geomspace(5, 5000, 200)
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.loglog(frames, fixed_seconds + medians[OURS] * frames, label="ours, fine-tuning included")
    for name, seconds in medians.items():
        if name.startswith("SAM"):
            axes.loglog(frames, seconds * frames, label=name)
    axes.set_xlabel("frames of 480x854")
    axes.set_ylabel("seconds, float32")
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def our_tasks() -> dict[str, Callable[[], object]]:
    """Our network on a window and on a whole frame."""
    model = build_model("deeplab")

    def task(size: tuple[int, int]) -> Callable[[], object]:
        image = np.random.default_rng(0).integers(0, 256, (1, *size, 3)).astype("uint8")
        return lambda: model.predict_on_batch(image)

    return {
        f"ours, {what} of {size[0]}x{size[1]}": task(size)
        for what, size in (("window", WINDOW), ("frame", FRAME))
    }


def follow_with_sam(size: str) -> Callable[[], object]:
    """SAM 2.1 with a label in the first frame and a full memory; each call follows the animal
    through one more frame."""
    import torch
    from transformers import (
        Sam2HieraDetConfig,
        Sam2VideoConfig,
        Sam2VideoInferenceSession,
        Sam2VideoModel,
        Sam2VisionConfig,
    )

    backbone = Sam2HieraDetConfig(**BACKBONES[size])
    channels = backbone.embed_dim_per_stage[::-1]
    vision = Sam2VisionConfig(backbone_config=backbone, backbone_channel_list=channels)
    model = Sam2VideoModel(Sam2VideoConfig(vision_config=vision)).eval()
    session = Sam2VideoInferenceSession(
        dtype=torch.float32, video_height=FRAME[0], video_width=FRAME[1]
    )
    image = torch.rand(1, 3, SIZE_PX, SIZE_PX)
    mask = torch.zeros(1, 1, SIZE_PX, SIZE_PX)
    mask[..., 300:600, 300:600] = 1
    session.add_mask_inputs(session.obj_id_to_idx(1), 0, mask)
    session.obj_with_new_inputs = [1]

    def follow(frame: int) -> object:
        with torch.inference_mode():
            return model(session, frame_idx=frame, frame=image)

    follow(0)
    follow(1)
    # The memory of one frame several times costs as much as that of several frames.
    remembered = session.output_dict_per_obj[0]["non_cond_frame_outputs"]
    remembered |= {frame: remembered[1] for frame in range(2, MEMORY)}
    coming = itertools.count(MEMORY)
    return lambda: follow(next(coming))


if __name__ == "__main__":
    run_script(main, Config, __doc__)
