"""J and F with 1, 2 and 3 labels: further frames chosen by `bubblenet_select.py --next`, or evenly
spaced.

"next" starts with one label (--start) and adds the frame that `--next` names after each run of
stage 3. "even" labels the middles of 2 and 3 equal parts of the video, which needs no earlier run.

Reads   a data set with all frames annotated, and weights that have not seen its videos.
Writes  RESULTS/FRAMES/..., results of finetune_test.py for each set of labels, and
        RESULTS/next_labels.json.

    python -m benchmarks.next_labels --dataset DIR --sequences libby rhino

Five runs of stage 3 per video, some minutes each with `--preset fast` on two cores. Finished runs
are only read.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from utils import backend, paths  # noqa: F401  backend before Keras: it starts it without noise

# isort: split
from tabulate import tabulate

from benchmarks.stage3_runs import HEADERS, Run, make_row, mean_numbers, numbers, start_stage3
from utils.command_line import run_script, setting
from utils.evaluation.label_gain import frame_difficulty, rank_next_frames
from utils.evaluation.results import open_segmented
from utils.files import write_json
from utils.inputs.sequences import choose_sequences, open_dataset_sequence
from utils.stage3.presets import PresetName


@dataclass(frozen=True)
class Config:
    dataset: Path = setting(paths.SAMPLE_DATASET, "folder with JPEGImages/ and Annotations/")
    sequences: tuple[str, ...] = setting((), "names of the data set's videos (default: all)")
    start: Literal["first", "middle"] = setting("first", "the frame that is labelled first")
    labels: int = setting(3, "largest number of labels")
    preset: PresetName = setting("fast", "preset of finetune_test.py")
    weights: Path | None = setting(None, "weights to start from (default: the best in weights/)")
    seed: int = setting(0, "seed of fine-tuning")
    results: Path = setting(paths.RESULTS / "next_labels", "folder for the runs")


def main(config: Config) -> None:
    names = choose_sequences(config.dataset, config.sequences)
    run = start_stage3(config.dataset, config.results, config.weights, config.preset, config.seed)
    rows = []
    for name in names:
        num_frames = len(open_dataset_sequence(config.dataset, name).video)
        start = 0 if config.start == "first" else num_frames // 2
        runs = [("next", result) for result in label_next(run, name, start, config.labels)]
        for count in range(2, config.labels + 1):
            runs.append(("even", run(name, spread_labels(num_frames, count))))
        rows += [make_row(name, method, result) for method, result in runs]
        write_json(config.results / "next_labels.json", rows)
    print_table(rows)


def label_next(
    run: Callable[[str, Sequence[int]], Run], name: str, start: int, count: int
) -> Iterator[Run]:
    """Yields runs with 1 to `count` labels; each further label is the frame that `--next` names."""
    frames = [start]
    for _ in range(count):
        result = run(name, frames)
        yield result
        difficulty = frame_difficulty(open_segmented(result.results, name))
        frames = [*frames, *rank_next_frames(difficulty, frames)[:1]]


def spread_labels(num_frames: int, count: int) -> list[int]:
    """Returns the middle frames of `count` equal parts of a video."""
    return [(2 * part + 1) * num_frames // (2 * count) for part in range(count)]


def print_table(rows: list[dict]) -> None:
    """Prints a line per run, then the means over the videos by number of labels."""
    table = [
        (
            row["video"],
            len(row["frames"]),
            row["method"],
            ",".join(map(str, row["frames"])),
            *numbers(row),
        )
        for row in rows
    ]
    for count, method in sorted({(len(row["frames"]), row["method"]) for row in rows}):
        same = [r for r in rows if (len(r["frames"]), r["method"]) == (count, method)]
        mean = numbers(mean_numbers(same))
        table.append(("mean", count, method, f"of {len(same)} videos", *mean))
    print("\n" + tabulate(table, ("video", "labels", "by", "frames", *HEADERS), floatfmt=".3f"))


if __name__ == "__main__":
    run_script(main, Config, __doc__)
