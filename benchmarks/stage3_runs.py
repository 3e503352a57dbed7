"""Runs stage 3 on one set of labels after the other, each with a results folder of its own.

The network is built and traced once for all of them. A finished run is only read, so that a
benchmark that was stopped continues where it was. Not a benchmark itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from utils import backend, paths  # backend before Keras: it starts it without noise

# isort: split
import finetune_test
from models import build_model, build_prompted_model
from utils.evaluation.scoring import score_folders
from utils.files import sha256_of
from utils.inputs.sequences import open_dataset_sequence
from utils.stage3.fine_tuning import FineTuner
from utils.stage3.presets import PRESETS
from utils.stage3.prompted_tuning import make_tuner
from utils.stage3.saved_network import SavedNetwork
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
    """Loads the network for runs of stage 3.

    Args:
        dataset: videos with all frames annotated.
        results: gets a folder for each set of labels, such as 00012+00040.
        weights, preset, seed: as the flags of finetune_test.py.

    Returns: a function of a video's name and the frames to label, which runs stage 3 or finds it
        finished. It raises InputError, as finetune_test.py would.
    """
    tuner, weights_path = load_tuner(weights, preset, seed)
    weights_sha256 = sha256_of(weights_path)

    def run(name: str, frames: Sequence[int]) -> Run:
        frames = tuple(sorted(frames))
        folder = results / "+".join(f"{frame:05d}" for frame in frames)
        config = finetune_test.Config(
            dataset=dataset,
            guidance=",".join(map(str, frames)),
            preset=preset,
            results=folder,
            seed=seed,
        )
        sequence = open_dataset_sequence(dataset, name)
        job = finetune_test.prepare_job(sequence, config, dataset, weights_sha256, no_chooser)
        finetune_test.run_job(
            job, config, tuner, SavedNetwork(weights_path, {"sha256": weights_sha256})
        )
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


def load_tuner(weights: Path | None, preset: str, seed: int) -> tuple[FineTuner, Path]:
    """Builds the network; returns it, with the weights to start from, and their file."""
    settings = PRESETS[preset]
    takes_prompts = settings.takes_prompts
    weights_path, reason = find_weights("deeplab", weights, takes_prompts=takes_prompts)
    if takes_prompts:
        check_stage(weights_path, ("prompted",))
    backend.make_deterministic(seed)
    model = build_prompted_model() if takes_prompts else build_model("deeplab")
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
