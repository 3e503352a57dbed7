"""Seconds of whole runs of stage 3, from the label to the overlay, with J and F beside them.

Every run is a process of its own, everything included: start, checks, tracing, fine-tuning, all
frames, masks, overlay. Runs are interleaved, so that a drift of the machine's speed affects all
alike; medians are printed. --checkout compares several states of the repository, such as a worktree
of an older commit: their flags --preset and --precision have to know the names that are given.
"own" are the seconds that run.json has, without the start of Python and of TensorFlow.

Reads   a data set with all frames annotated, whose first frame is the label.
Writes  RESULTS/CHECKOUT-PRESET-PRECISION-ROUND/VIDEO, results of finetune_test.py; the table to the
        screen; RESULTS/whole_runs.json.

    python -m benchmarks.whole_runs --dataset DIR --sequences blackswan

Finished runs of the same video with the same flags are only read. After a change of the code or of
weights/, give another --results.
"""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tabulate import tabulate

from benchmarks.stage3_processes import SCRIPT, run_stage3
from utils import paths
from utils.command_line import run_script, setting
from utils.errors import InputError, UsageError
from utils.files import write_json
from utils.inputs.sequences import choose_sequences, sequence_dir


@dataclass(frozen=True)
class Config:
    dataset: Path = setting(
        paths.FINETUNE_TEST_DATASET, "folder with JPEGImages/ and Annotations/ of all frames"
    )
    sequences: tuple[str, ...] = setting((), "names of the data set's videos (default: all)")
    presets: tuple[str, ...] = setting(("default", "fast"), "presets of finetune_test.py")
    precisions: tuple[str, ...] = setting(
        ("auto", "float32"), "precisions of the network, as of finetune_test.py"
    )
    checkout: tuple[Path, ...] = setting((paths.ROOT,), "folders of the repository to compare")
    guidance: str = setting("first", "labelled frame, as of finetune_test.py")
    rounds: int = setting(3, "interleaved rounds; medians of these are printed")
    results: Path = setting(paths.RESULTS / "whole_runs", "folder for the runs")


def main(config: Config) -> None:
    checkouts = {path.resolve().name: path.resolve() for path in config.checkout}
    if config.rounds < 1 or len(checkouts) < len(config.checkout):
        raise UsageError("--rounds must be 1 or more, and --checkout folders of different names.")
    for path in checkouts.values():
        if not (path / SCRIPT).is_file():
            raise InputError(f"{path}: expected {SCRIPT}, found none. Check --checkout.")
    rows = []
    for number in range(config.rounds):
        for name in choose_sequences(config.dataset, config.sequences):
            folders = [sequence_dir(config.dataset, k, name) for k in ("JPEGImages", "Annotations")]
            inputs = [folder for folder in folders if folder]
            for preset in config.presets:
                for precision in config.precisions:
                    for title, checkout in checkouts.items():
                        run = f"{title}-{preset}-{precision}-{number}"
                        flags = [
                            "--dataset", config.dataset.resolve(), "--sequences", name,
                            "--guidance", config.guidance,
                            "--preset", preset, "--precision", precision,
                        ]  # fmt: skip
                        results = config.results / run / name
                        record = run_stage3(flags, inputs, name, results, checkout)
                        task = {"checkout": title, "preset": preset, "precision": precision}
                        rows.append(task | {"video": name} | read_numbers(record))
                        print(f"{run}, {name}: {rows[-1]['wall_seconds']:.1f} s", flush=True)
        write_json(config.results / "whole_runs.json", rows)
    print_table(rows)


def read_numbers(record: dict) -> dict:
    """What the table needs of run.json."""
    seconds, scores = record["seconds"], record["scores"] or {}
    return {
        "wall_seconds": record["wall_seconds"],
        "own_seconds": seconds["total"],
        "fine_tuning_seconds": seconds["fine_tuning"],
        "frames_per_second": seconds["frames"] / seconds["segmentation"],
        "peak_memory_mib": record["peak_memory_mib"],
        "used": record["key"]["precision"],
        "j": scores.get("J-Mean"),
        "f": scores.get("F-Mean"),
        "commit": record["git_commit"],
    }


def print_table(rows: Sequence[dict]) -> None:
    """Prints a line for each video and way to run: medians over the rounds."""
    keys = ("video", "checkout", "preset", "precision")
    table = []
    for task in dict.fromkeys(tuple(row[key] for key in keys) for row in rows):
        same = [row for row in rows if tuple(row[key] for key in keys) == task]
        wall = [row["wall_seconds"] for row in same]
        medians = [
            float(np.median([row[key] for row in same]))
            for key in ("own_seconds", "fine_tuning_seconds", "frames_per_second")
        ]
        used = same[0]["used"]
        peak = np.max(np.array([row["peak_memory_mib"] for row in same], float))
        spread = f"{min(wall):.0f} - {max(wall):.0f}"
        scores = [
            f"{np.mean(np.array([row[key] for row in same], float)):.3f}" for key in ("j", "f")
        ]
        title = [*task[:3], task[3] if task[3] == used else f"{task[3]}: {used}"]
        table.append([*title, float(np.median(wall)), spread, *medians, f"{peak:.0f}", *scores])
    headers = (
        *keys, "seconds", "min - max", "own", "fine-tuning", "frames/s", "peak MiB", "J", "F",
    )  # fmt: skip
    print(f"\n{platform.machine()}, commit {', '.join(dict.fromkeys(r['commit'] for r in rows))}")
    print(tabulate(table, headers, floatfmt=".1f", disable_numparse=[5, 9, 10, 11]))


if __name__ == "__main__":
    run_script(main, Config, __doc__)
