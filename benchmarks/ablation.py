"""J, F, T and seconds of stage 3 with one part after the other changed or left out.

The rows are a preset as it is; the same from other weights, without each of its parts, and with
parts that it does not have; the other presets; and the paper's recipe. Where no weights of its head
were trained, the paper's recipe starts from those of ImageNet; the table names the weights of each
row. Runs with the first frame labelled and runs with a chosen frame have tables of their own. T is
computed for the videos of --stable.

Reads   a data set with all frames annotated; weights, none of which has seen its videos.
Writes  RESULTS/ROW/seed-N/FRAME, results of finetune_test.py; RESULTS/choice/SEQ, chosen frames;
        RESULTS/ablation.json, and RESULTS/ablation.md, the tables.

    python -m benchmarks.ablation --dataset DIR --sequences libby rhino --seeds 0 1

One run per row, video and seed, of one to ten minutes on two cores. Finished runs are only read, so
that the same command continues where it was stopped; --known continues from the numbers alone, as
on another machine. A row whose weights are missing is left out. The seconds of a run that was
stopped are those since it was continued.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from utils import backend, paths  # backend before Keras: it starts it without noise

# isort: split
import keras
import numpy as np
from tabulate import tabulate

import finetune_test
from benchmarks.stage3_runs import start_runs
from models import HeadName
from utils.command_line import run_script, setting
from utils.errors import InputError, UsageError, one_line
from utils.evaluation.scoring import STABILITY, score_folders
from utils.files import read_json, sha256_of, write_atomically, write_json
from utils.frame_choice.chooser import load_chooser, rank_video
from utils.inputs.sequences import VideoSequence, choose_sequences, open_dataset_sequence
from utils.stage3.presets import PRESETS
from utils.stage3.settings import Preset, SecondLook

BASES = ("fast", "default", "accurate")  # presets of which parts can be left out
TABLE_FILE, NUMBERS_FILE = "ablation.md", "ablation.json"  # in RESULTS
MEASURED_FILE = "measured.json"  # beside run.json
FIRST = {"j": "J", "f": "F", "t": "T", "seconds": "s per video"}
CHOSEN = FIRST | {"j_left_out": "J, label left out", "f_left_out": "F, label left out"}


@dataclass(frozen=True)
class Config:
    dataset: Path = setting(
        paths.FINETUNE_TEST_DATASET, "folder with JPEGImages/ and Annotations/ of all frames"
    )
    sequences: tuple[str, ...] = setting((), "names of the data set's videos (default: all)")
    seeds: tuple[int, ...] = setting((0, 1), "seeds of fine-tuning")
    rows: tuple[str, ...] = setting((), "names of rows, as a wrong one lists them (default: all)")
    preset: Literal[*BASES] = setting("default", "preset of which parts are changed")
    stable: tuple[str, ...] = setting(
        ("blackswan",), "videos that T is computed for: DAVIS 2016 counts it for some of them only"
    )
    weights: Path | None = setting(
        None, "DeepLab weights that rows start from unless they say otherwise (default: the best)"
    )
    precision: Literal["auto", "float32", "mixed_bfloat16"] = setting(
        "auto", "precision of the network, as the flag of finetune_test.py"
    )
    known: Path | None = setting(
        None, f"{NUMBERS_FILE} of earlier calls: its runs are not made again, whatever made them"
    )
    results: Path = setting(paths.RESULTS / "ablation", "folder for the runs")


@dataclass(frozen=True)
class Row:
    """One row of the table: how stage 3 is run.

    Attributes:
        what: in words.
        preset: its settings.
        head: of the network.
        weights: to start from; None: the best there are, or those of `Config`.
        crf, guided_filter: as the flags of finetune_test.py.
        chosen: BubbleNet BNLF chooses the labelled frame, where it otherwise is the first one.
    """

    what: str = field(compare=False)
    preset: Preset
    head: HeadName = "deeplab"
    weights: Path | None = None
    crf: bool = False
    guided_filter: bool = False
    chosen: bool = False


def make_rows(name: str) -> dict[str, Row]:
    """The rows of the table, by name, for a preset; those that equal it are left out."""
    preset, paper = PRESETS[name], PRESETS["paper"]
    base = Row(f"preset {name}", preset)
    recipe = Row("the paper's recipe: XFCN, preset paper, CRF", paper, head="xfcn", crf=True)
    stage_1 = paths.PASCAL_BASE_WEIGHTS / "deeplab.safetensors"
    second_look = preset.second_look or SecondLook()
    alone = replace(preset.refinement, neighbour_weight=0)
    after = preset.second_look and replace(preset.second_look, share_before=0)
    alike = replace(preset.without_newcomers(), crossing=None, company=None)
    others = {other: Row(f"preset {other}", PRESETS[other]) for other in (*BASES, "herd")}
    rows = {
        "imagenet": Row("from ImageNet weights", preset, weights=paths.IMAGENET_WEIGHTS_FILE),
        "stage-1": Row("from stage 1 weights", preset, weights=stage_1),
        "no-window": Row("without window", replace(preset, window=paper.window)),
        "no-identity": Row("without rules for others of the kind", alike),
        "no-second-look": Row("without second look", replace(preset, second_look=None)),
        "second-look": Row("with second look", replace(preset, second_look=second_look)),
        "no-mean": Row("second look, no mean of networks", replace(preset, second_look=after)),
        "no-start": Row("no share of the start weights", replace(preset, start_share=0)),
        "no-smoothing": Row("each frame for itself", replace(preset, refinement=alone)),
        "mirror": Row("with the mirror image", replace(preset, flip=True)),
        "guided-filter": replace(base, what="with guided filter", guided_filter=True),
        "crf": replace(base, what="with dense CRF", crf=True),
        **others,
        "paper": recipe,
        f"{name}-chosen": replace(base, chosen=True),
        "paper-chosen": replace(recipe, chosen=True),
    }
    return {name: base} | {key: row for key, row in rows.items() if row != base}


def main(config: Config) -> int:
    rows = make_rows(config.preset)
    for name in config.rows:
        if name not in rows:
            raise UsageError(f"--rows {name}: expected some of {', '.join(rows)}.")
    rows = {name: row for name, row in rows.items() if name in (config.rows or rows)}
    sequences = choose_sequences(config.dataset, config.sequences)
    auto = config.precision == "auto"
    precision = backend.choose_precision() if auto else config.precision
    choose, known = make_choice(config), read_known(config.known)
    runs, failed = [], {}
    for seed in config.seeds:  # all rows with the first seed before any with the second
        for name, row in rows.items():
            keras.backend.clear_session()  # or the networks of all rows stay in memory
            keras.config.set_dtype_policy(precision)
            try:
                runs += run_row(config, name, row, seed, sequences, choose, known, failed)
            except InputError as error:
                note_failure(failed, name, error)
            made = {(run["row"], run["video"], run["seed"]) for run in runs}
            others = [run for key, run in known.items() if key not in made]
            write_tables(config, rows, runs, sequences, others)
    print(f"\n{(config.results / TABLE_FILE).read_text('utf-8')}")
    for name, why in failed.items():
        print(f"row {name} is not complete: {why}")
    return 1 if failed else 0


def make_choice(config: Config) -> Callable[[str], int]:
    """Returns a function of a video's name that gives the frame that BNLF chooses."""
    chooser = cache(load_chooser)

    @cache
    def choose(name: str) -> int:
        video = open_dataset_sequence(config.dataset, name).video
        video.check()
        folder = config.results / "choice" / name
        return rank_video(video, folder, chooser()).frames("BNLF")[0]

    return choose


def read_known(path: Path | None) -> dict[tuple, dict[str, Any]]:
    """(row, video, seed) -> the record of a run that need not be made."""
    if path is None:
        return {}
    runs = read_json(path)
    if not isinstance(runs, list):
        raise InputError(f"{path}: expected a file {NUMBERS_FILE} of an earlier call.")
    return {(run["row"], run["video"], run["seed"]): run for run in runs}


def run_row(
    config: Config,
    name: str,
    row: Row,
    seed: int,
    sequences: Sequence[str],
    choose: Callable[[str], int],
    known: dict[tuple, dict[str, Any]],
    failed: dict[str, str],
) -> Iterator[dict[str, Any]]:
    """Runs stage 3 as a row says on each video, or finds it finished or known; yields a record of
    each. A video on which it fails is noted in `failed`."""
    takes_others = row.head == "deeplab" and not row.preset.takes_prompts
    run = start_runs(
        finetune_test.Config(
            dataset=config.dataset,
            head=row.head,
            crf=row.crf,
            guided_filter=row.guided_filter,
            weights=row.weights or (config.weights if takes_others else None),
            results=config.results / name / f"seed-{seed}",
            seed=seed,
        ),
        row.preset,
    )
    for video in sequences:
        if (name, video, seed) in known:
            yield known[name, video, seed]
            continue
        frame = choose(video) if row.chosen else 0
        try:
            results, record = run(video, [frame])
        except (InputError, FloatingPointError) as error:
            note_failure(failed, name, error, f"{video}, seed {seed}: ")
            continue
        sequence = open_dataset_sequence(config.dataset, video)
        scores = measure(sequence, results, frame, video in config.stable)
        yield {
            "row": name,
            "video": video,
            "seed": seed,
            "frame": frame,
            "weights": Path(record["weights"]).parent.name,
            "seconds": record["seconds"]["total"],
            **scores,
        }
        print(
            f"{video}: row {name}, seed {seed}: {scores['j']:.3f} / {scores['f']:.3f}", flush=True
        )


def note_failure(failed: dict[str, str], row: str, error: Exception, where: str = "") -> None:
    """Says why a row, or a video of it, is missing; the last reason is told again in the end."""
    failed[row] = where + one_line(error)
    print(f"error: row {row}: {failed[row]}", flush=True)


def measure(
    sequence: VideoSequence, results: Path, frame: int, with_stability: bool
) -> dict[str, float | None]:
    """J, F and T of a run, T only where it is asked for. They are kept beside the run."""
    folder = results / paths.RUNS / sequence.name
    path, of_run = folder / MEASURED_FILE, sha256_of(folder / paths.RUN_FILE)
    kept = read_json(path)
    if isinstance(kept, dict) and (kept["run"], "t" in kept) == (of_run, with_stability):
        return {key: value for key, value in kept.items() if key != "run"}
    means = [
        score_folders(
            sequence.name,
            results / paths.SEGMENTATION / sequence.name,
            sequence.annotation_dir,
            sequence.video.frame_names,
            [frame],
            exclude_guidance=left_out,
            stability=with_stability and not left_out,
        ).scores
        for left_out in (False, True)
    ]
    measured = {"j": means[0]["J-Mean"], "f": means[0]["F-Mean"]}
    measured |= {"j_left_out": means[1]["J-Mean"], "f_left_out": means[1]["F-Mean"]}
    if with_stability:
        measured["t"] = means[0].get(STABILITY)
    write_json(path, measured | {"run": of_run})
    return measured


def write_tables(
    config: Config,
    rows: dict[str, Row],
    runs: list[dict],
    sequences: Sequence[str],
    others: Sequence[dict],
) -> None:
    """Writes what is finished: all numbers, with those of `others` that are known as well, and a
    table for each way to choose the frame."""
    write_json(config.results / NUMBERS_FILE, [*runs, *others])
    tables = []
    for title, columns, chosen in (
        ("The first frame is labelled", FIRST, False),
        ("The frame that BNLF chooses is labelled", CHOSEN, True),
    ):
        of_kind = {name: row for name, row in rows.items() if row.chosen == chosen}
        lines = [
            line
            for name, row in of_kind.items()
            if (line := format_row(row, [r for r in runs if r["row"] == name], columns, sequences))
        ]
        if lines:
            headers = ("", "weights", *columns.values(), *(f"{name}, J / F" for name in sequences))
            table = tabulate(lines, headers, tablefmt="pipe", disable_numparse=True)
            tables.append(f"**{title}.**\n\n{table}\n")
    seeds = ", ".join(map(str, config.seeds))
    note = (
        f"Means over the videos and seeds {seeds}; in brackets the largest minus the smallest mean "
        f"of a seed. T: {', '.join(n for n in sequences if n in config.stable) or 'no video'}.\n"
    )
    text = "\n".join([note, *tables])
    write_atomically(config.results / TABLE_FILE, lambda path: path.write_text(text, "utf-8"))


def format_row(
    row: Row, runs: Sequence[dict], columns: dict[str, str], sequences: Sequence[str]
) -> list[str] | None:
    """The cells of a row over the seeds of which all videos are finished; None without one."""
    by_seed = [[run for run in runs if run["seed"] == s] for s in {run["seed"] for run in runs}]
    by_seed = [of_seed for of_seed in by_seed if len(of_seed) == len(sequences)]
    if not by_seed:
        return None
    cells = []
    for key in columns:
        values = [[r[key] for r in of_seed if r.get(key) is not None] for of_seed in by_seed]
        cells.append(format_mean([float(np.mean(v)) for v in values if v], key == "seconds"))
    for name in sequences:
        of_video = [run for of_seed in by_seed for run in of_seed if run["video"] == name]
        cells.append(" / ".join(f"{np.mean([r[key] for r in of_video]):.3f}" for key in "jf"))
    return [row.what, ", ".join(sorted({run["weights"] for run in runs})), *cells]


def format_mean(values: Sequence[float], in_seconds: bool) -> str:
    """Mean and, of several, in brackets largest minus smallest; a dash for none."""
    if not values:
        return "-"
    digits = 0 if in_seconds else 3
    spread = f" ({np.ptp(values):.{digits}f})" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{spread}"


if __name__ == "__main__":
    run_script(main, Config, __doc__)
