"""J and F of stage 3 with the first frame labelled, by the weights that fine-tuning starts from.

Reads   a data set with all frames annotated; weights, none of which has seen its videos.
Writes  RESULTS/WEIGHTS-SEED/00000/..., results of finetune_test.py, where WEIGHTS is the name of
        the folder of a weights file, and RESULTS/start_weights.json.

    python -m benchmarks.start_weights --dataset DIR --sequences libby rhino --seeds 0 1

One run per video, weights and seed, of a minute or two with `--preset fast` on two cores. Finished
runs are only read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from utils import backend, paths  # noqa: F401  backend before Keras: it starts it without noise

# isort: split
import numpy as np

from benchmarks.stage3_runs import make_row, start_stage3
from utils.command_line import run_script, setting
from utils.errors import UsageError
from utils.files import write_json
from utils.inputs.sequences import choose_sequences
from utils.stage3.presets import PresetName


@dataclass(frozen=True)
class Config:
    dataset: Path = setting(
        paths.FINETUNE_TEST_DATASET, "folder with JPEGImages/ and Annotations/ of all frames"
    )
    sequences: tuple[str, ...] = setting((), "names of the data set's videos (default: all)")
    weights: tuple[Path, ...] = setting(
        (
            paths.IMAGENET_WEIGHTS_FILE,
            paths.PASCAL_BASE_WEIGHTS / "deeplab.safetensors",
            paths.OBJECTNESS_WEIGHTS / "deeplab.safetensors",
        ),
        "weights files to start from, in folders of different names",
    )
    seeds: tuple[int, ...] = setting((0, 1), "seeds of fine-tuning")
    preset: PresetName = setting("fast", "preset of finetune_test.py")
    results: Path = setting(paths.RESULTS / "start_weights", "folder for the runs")


def main(config: Config) -> None:
    labels = [path.parent.name for path in config.weights]
    if len(set(labels)) < len(labels):
        raise UsageError(f"--weights: expected folders of different names, found {labels}.")
    names = choose_sequences(config.dataset, config.sequences)
    rows = []
    for seed in config.seeds:
        for weights, label in zip(config.weights, labels, strict=True):
            results = config.results / f"{label}-{seed}"
            run = start_stage3(config.dataset, results, weights, config.preset, seed)
            for name in names:
                row = make_row(name, label, run(name, [0])) | {"seed": seed}
                rows.append(row)
                print(f"{name} from {label}, seed {seed}: {format_values([row])}", flush=True)
            write_json(config.results / "start_weights.json", rows)
    print_table(rows)


def print_table(rows: Sequence[dict]) -> None:
    """Prints for each weights file a line per video, and the mean over the videos.

    A line has the means over the seeds and, in brackets, how far the seeds are apart.
    """
    width = max(len(row["video"]) for row in rows)
    seeds = sorted({row["seed"] for row in rows})
    print(f"\n{'video':<{width}}  J / F, mean of seeds {seeds}, and largest minus smallest")
    for label in dict.fromkeys(row["method"] for row in rows):
        print(label)
        same = [row for row in rows if row["method"] == label]
        for name in dict.fromkeys(row["video"] for row in same):
            print(f"{name:<{width}}  {format_values([r for r in same if r['video'] == name])}")
        means = [
            {key: np.mean([r[key] for r in same if r["seed"] == seed]) for key in ("j", "f")}
            for seed in seeds
        ]
        print(f"{'mean':<{width}}  {format_values(means)}")


def format_values(rows: Sequence[dict]) -> str:
    j, f = (np.array([row[key] for row in rows]) for key in ("j", "f"))
    spread = f"  ({np.ptp(j):.3f} / {np.ptp(f):.3f})" if len(rows) > 1 else ""
    return f"{j.mean():.3f} / {f.mean():.3f}{spread}"


if __name__ == "__main__":
    run_script(main, Config, __doc__)
