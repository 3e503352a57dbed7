"""J on the second half of a video, by what its network has learnt: its own label, the first half,
or both.

Each video is cut into --parts, halves by default, which stand for several videos of one animal.
Scored are all parts but the first. A label is always that of a part's first frame.

    own_label    each part by itself, with its own label
    fine_tuned   the network that learnt the first part (--save-weights), on the others without a
                 label and without training (--fine-tuned)
    one_label    one network for all parts (--together), of which the first alone is labelled
    all_labels   the same, with a label in every part

Where a part has no label, the animals are those that the network finds; of several tracks, the one
is scored that a user would keep: the one with the highest J. A part in which nothing is found has a
J of 0. The second table has the minutes for all parts of a video, training included: with
--parts 6, six videos with one label beside six single runs. The network is traced once for all runs
of a seed, which takes about half a minute of the first one.

Reads   a data set with all frames annotated, one animal in each video, and weights that have not
        seen it.
Writes  RESULTS/data, the parts; RESULTS/SEED/METHOD/VIDEO, results of finetune_test.py;
        RESULTS/SEED/networks, those of the first parts; RESULTS/halves.json.

    python -m benchmarks.halves --dataset DIR --sequences libby rhino --seeds 0 1

Finished runs are only read.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from utils import backend, paths  # backend before Keras: it starts it without noise

# isort: split
import keras
import numpy as np
from tabulate import tabulate

import finetune_test
from benchmarks.halves_runs import FINE_TUNED, METHODS, OWN_LABEL, Method, Runs, write_parts
from utils.command_line import run_script, setting
from utils.errors import UsageError
from utils.files import write_json
from utils.inputs.sequences import choose_sequences
from utils.stage3.presets import PRESETS, PresetName


@dataclass(frozen=True)
class Config:
    dataset: Path = setting(
        paths.FINETUNE_TEST_DATASET, "folder with JPEGImages/ and Annotations/ of all frames"
    )
    sequences: tuple[str, ...] = setting((), "names of the data set's videos (default: all)")
    parts: int = setting(2, "of each video")
    methods: tuple[Method, ...] = setting(METHODS, "what to compare; fine_tuned needs own_label")
    seeds: tuple[int, ...] = setting((0, 1), "seeds of fine-tuning")
    preset: PresetName = setting("fast", "preset of finetune_test.py")
    weights: Path | None = setting(None, "weights to start from (default: the best in weights/)")
    precision: Literal["auto", "float32", "mixed_bfloat16"] = setting(
        "auto", "precision of the network, as that of finetune_test.py"
    )
    animals: int | None = setting(None, "as that of finetune_test.py: at most so many are found")
    results: Path = setting(paths.RESULTS / "halves", "folder for parts and runs")


def main(config: Config) -> None:
    check_flags(config)
    names = choose_sequences(config.dataset, config.sequences)
    data, rows = config.results / "data", []
    for name in names:
        write_parts(config.dataset, data, name, config.parts)
    is_auto = config.precision == "auto"
    keras.config.set_dtype_policy(backend.choose_precision() if is_auto else config.precision)
    for seed in config.seeds:
        flags = finetune_test.Config(
            preset=config.preset, weights=config.weights, seed=seed, animals=config.animals
        )
        runs = Runs(data, config.results / str(seed), config.parts, flags)
        for name in names:
            for method in (method for method in METHODS if method in config.methods):
                for row in runs.measure(name, method):
                    rows.append(row)
                    title = f"{name}, part {row['number']}, {method}, seed {seed}"
                    print(f"{title}: J {row['j']:.3f}  F {row['f']:.3f}", flush=True)
            write_json(config.results / "halves.json", rows)
    print_tables(rows)


def check_flags(config: Config) -> None:
    """Raises UsageError."""
    if config.parts < 2:
        raise UsageError(f"--parts must be at least 2, not {config.parts}.")
    if FINE_TUNED in config.methods and OWN_LABEL not in config.methods:
        raise UsageError("--methods: fine_tuned needs own_label, which trains its network.")
    if PRESETS[config.preset].takes_prompts:
        raise UsageError(
            f"--preset {config.preset} learns each video by itself. Choose another preset."
        )


def print_tables(rows: Sequence[dict]) -> None:
    """Prints scores and minutes, a line per video and one with the mean of the videos: means over
    the seeds and, in brackets, how far the seeds are apart."""

    def score(same: Sequence[dict]) -> tuple[float, float]:
        scored = [row for row in same if row["number"] > 1]
        return tuple(float(np.mean([row[key] for row in scored])) for key in ("j", "f"))

    def minutes(same: Sequence[dict]) -> tuple[float]:
        return ((same[0]["seconds_before"] + sum(row["seconds"] for row in same)) / 60,)

    print("\nJ / F of all parts but the first")
    _print_table(rows, score, ".3f")
    print("\nminutes for all parts")
    _print_table(rows, minutes, ".1f")


def _print_table(
    rows: Sequence[dict], measure: Callable[[Sequence[dict]], tuple[float, ...]], digits: str
) -> None:
    methods = [method for method in METHODS if any(row["method"] == method for row in rows)]
    videos, seeds = (list(dict.fromkeys(row[key] for row in rows)) for key in ("video", "seed"))
    # (videos, methods, seeds, numbers)
    values = np.array(
        [
            [
                [
                    measure([r for r in rows if (r["video"], r["method"], r["seed"]) == wanted])
                    for wanted in ((video, method, seed) for seed in seeds)
                ]
                for method in methods
            ]
            for video in videos
        ]
    )
    table = [
        [title, *(_cell(of_seeds, digits) for of_seeds in by_method)]
        for title, by_method in zip([*videos, "mean"], [*values, values.mean(axis=0)], strict=True)
    ]
    print(tabulate(table, ("video", *methods), disable_numparse=True))


def _cell(values: np.ndarray, digits: str) -> str:
    """Of (seeds, numbers): the means, and the differences between the seeds."""
    text = " / ".join(f"{value:{digits}}" for value in values.mean(axis=0))
    if len(values) < 2:
        return text
    return f"{text}  ({' / '.join(f'{value:{digits}}' for value in np.ptp(values, axis=0))})"


if __name__ == "__main__":
    run_script(main, Config, __doc__)
