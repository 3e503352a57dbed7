"""Runs stage 3 on one set of labels after the other, each with a results folder of its own.

The network is built and traced once for all of them. A finished run is only read, so that a
benchmark that was stopped continues where it was. Not a benchmark itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from utils import backend, paths  # backend before Keras: it starts it without noise

# isort: split
import keras

import finetune_test
from models import HeadName, build_model, build_prompted_model
from utils.evaluation.scoring import score_folders
from utils.files import read_json, sha256_of
from utils.inputs.sequences import open_dataset_sequence
from utils.stage3.fine_tuning import FineTuner
from utils.stage3.presets import PRESETS
from utils.stage3.prompted_tuning import make_tuner
from utils.stage3.saved_network import SavedNetwork
from utils.stage3.settings import Preset
from utils.training.stage import check_stage
from utils.training.weights import find_weights, load_weights

NUMBERS = ("j", "f", "j_left_out", "f_left_out")  # of `Run`, in the order of the tables
HEADERS = ("J", "F", "J, label left out", "F, label left out")


@dataclass(frozen=True)
class Run:
    """A run of stage 3 and its scores.

    Attributes:
        frames: indices of the labelled frames.
        results: its results folder.
        j, f: means over the official frames of DAVIS 2016 (first and last left out), 0..1.
        j_left_out, f_left_out: the same without the labelled frames.
    """

    frames: tuple[int, ...]
    results: Path
    j: float
    f: float
    j_left_out: float
    f_left_out: float


def start_stage3(
    dataset: Path, results: Path, weights: Path | None, preset: str, seed: int
) -> Callable[[str, Sequence[int]], Run]:
    """Prepares runs of stage 3 that are scored.

    Args:
        dataset: videos with all frames annotated.
        results: gets a folder for each set of labels, such as 00012+00040.
        weights, preset, seed: as the flags of finetune_test.py.

    Returns: a function of a video's name and the frames to label, which runs stage 3 or finds it
        finished. It raises InputError, as finetune_test.py would.
    """
    segment = start_runs(
        finetune_test.Config(
            dataset=dataset, results=results, weights=weights, preset=preset, seed=seed
        )
    )

    def run(name: str, frames: Sequence[int]) -> Run:
        frames = tuple(sorted(frames))
        folder, _ = segment(name, frames)
        sequence = open_dataset_sequence(dataset, name)
        masks = folder / paths.SEGMENTATION / name
        names = sequence.video.frame_names
        means = []
        for leave_out in (False, True):
            score = score_folders(
                name, masks, sequence.annotation_dir, names, frames, exclude_guidance=leave_out
            ).scores
            means += [score["J-Mean"], score["F-Mean"]]
        return Run(frames, folder, *means)

    return run


def start_runs(
    flags: finetune_test.Config, variation: Preset | None = None
) -> Callable[[str, Sequence[int]], tuple[Path, dict[str, Any]]]:
    """Prepares runs of stage 3. The network is loaded for the first one that is not finished.

    Args:
        flags: of finetune_test.py; the videos are those of its data set, and its results folder
            gets a folder for each set of labels, such as 00012+00040.
        variation: stands in place of the preset.

    Returns: a function of a video's name and the frames to label, which gives the results folder
        and the record of the run. It raises InputError, as finetune_test.py would.
    """
    settings = variation or PRESETS[flags.preset]
    weights, _ = find_weights(flags.head, flags.weights, takes_prompts=settings.takes_prompts)
    network = SavedNetwork(weights, {"sha256": sha256_of(weights)})

    @cache
    def tuner() -> FineTuner:
        return load_tuner(flags.weights, settings, flags.seed, flags.head)[0]

    def run(name: str, frames: Sequence[int]) -> tuple[Path, dict[str, Any]]:
        folder = flags.results / "+".join(f"{frame:05d}" for frame in sorted(frames))
        config = replace(flags, guidance=",".join(map(str, sorted(frames))), results=folder)
        sequence = open_dataset_sequence(flags.dataset, name)
        job = finetune_test.prepare_job(
            sequence, config, flags.dataset, network.sha256, no_chooser, variation=variation
        )
        if job.is_finished:
            return folder, read_json(folder / paths.RUNS / name / paths.RUN_FILE)
        return folder, finetune_test.run_job(job, config, tuner(), network)

    return run


def load_tuner(
    weights: Path | None, settings: Preset, seed: int, head: HeadName = "deeplab"
) -> tuple[FineTuner, Path]:
    """Builds the network; returns it, with the weights to start from, and their file."""
    takes_prompts = settings.takes_prompts
    weights_path, reason = find_weights(head, weights, takes_prompts=takes_prompts)
    if takes_prompts:
        check_stage(weights_path, ("prompted",))
    in_float32 = keras.config.dtype_policy().name == "float32"
    backend.make_deterministic(seed, in_float32 or not backend.has_gpu())
    model = build_prompted_model() if takes_prompts else build_model(head)
    load_weights(model, weights_path)
    print(f"weights: {weights_path} ({reason})", flush=True)
    return make_tuner(model, settings, seed), weights_path


def make_row(name: str, method: str, result: Run) -> dict:
    """Returns a run as a line of a table, for JSON."""
    row = asdict(result) | {"video": name, "method": method, "results": str(result.results)}
    return row | {"frames": list(result.frames)}


def numbers(row: dict) -> list[float]:
    """Returns the cells of one line under HEADERS."""
    return [row[key] for key in NUMBERS]


def mean_numbers(rows: Sequence[dict]) -> dict[str, float]:
    """Returns the mean over lines of each number."""
    return {key: float(np.mean([row[key] for row in rows])) for key in NUMBERS}


def no_chooser() -> NoReturn:
    """Stands for the choice of a frame."""
    raise AssertionError("the labelled frames are given")
