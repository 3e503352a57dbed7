"""J and F of stage 3 by how the labelled frame was chosen: BubbleNets, rules, every tenth frame.

Reads   a data set with all frames annotated; the networks in weights/bubblenet_weights/ and weights
        to start from, none of which has seen its videos.
Writes  RESULTS/FRAME/..., results of finetune_test.py; RESULTS/choice/SEQ.npz, features; and
        RESULTS/frame_choice.json.

    python -m benchmarks.frame_choice --dataset DIR --sequences libby rhino --tenths libby

A run takes a minute or two with `--preset fast` on two cores; choices of the same frame share one.
Finished runs are only read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from utils import backend, paths  # noqa: F401  backend before Keras: it starts it without noise

# isort: split
from tabulate import tabulate

from benchmarks.stage3_runs import HEADERS, make_row, mean_numbers, numbers, start_stage3
from utils.command_line import run_script, setting
from utils.console import frame_progress
from utils.errors import UsageError
from utils.files import write_json
from utils.frame_choice.chooser import Chooser, load_chooser
from utils.frame_choice.features import read_features
from utils.frame_choice.ranking import rank_by_bubblenet
from utils.frame_choice.rules import POSITION_RULES, RULES, rank_by_rule
from utils.inputs.sequences import choose_sequences, open_dataset_sequence
from utils.media.videos import Video
from utils.stage3.presets import PresetName

SPACING = 10
EVERY_TENTH = "every tenth"


@dataclass(frozen=True)
class Config:
    dataset: Path = setting(
        paths.FINETUNE_TEST_DATASET, "folder with JPEGImages/ and Annotations/ of all frames"
    )
    sequences: tuple[str, ...] = setting((), "names of the data set's videos (default: all)")
    tenths: tuple[str, ...] = setting((), "videos of which every tenth frame is tried as well")
    rules: tuple[str, ...] = setting(
        ("first", "middle", "linear"), "rules to compare with the networks"
    )
    preset: PresetName = setting("fast", "preset of finetune_test.py")
    weights: Path | None = setting(None, "weights to start from (default: the best in weights/)")
    seed: int = setting(0, "seed of fine-tuning")
    results: Path = setting(paths.RESULTS / "frame_choice", "folder for the runs")


def main(config: Config) -> None:
    unknown = [rule for rule in config.rules if rule not in RULES]
    if unknown or not config.rules:
        raise UsageError(f"--rules {' '.join(unknown)}: give some of {', '.join(RULES)}.")
    names = choose_sequences(config.dataset, config.sequences)
    unknown = [name for name in config.tenths if name not in names]
    if unknown:
        raise UsageError(f"--tenths {unknown[0]} is not among --sequences.")
    needs_features = not set(config.rules) <= set(POSITION_RULES)
    rule = "linear" if needs_features else config.rules[0]
    chooser = load_chooser(rule=rule)
    run = start_stage3(config.dataset, config.results, config.weights, config.preset, config.seed)
    rows = []
    for name in names:
        video = open_dataset_sequence(config.dataset, name).video
        video.check()
        choices = best_frames(
            video, chooser, config.rules, config.results / "choice" / f"{name}.npz"
        )
        rows += [make_row(name, method, run(name, [frame])) for method, frame in choices.items()]
        if name in config.tenths:
            frames = range(0, len(video), SPACING)
            rows += [make_row(name, EVERY_TENTH, run(name, [frame])) for frame in frames]
        write_json(config.results / "frame_choice.json", rows)
    print_table(rows)


def best_frames(
    video: Video, chooser: Chooser, rules: Sequence[str], cache: Path
) -> dict[str, int]:
    """Ranks the frames by every method.

    Args:
        video: checked (`Video.check`).
        chooser: loaded for what the rules need.
        rules: to compare with the chooser's networks.
        cache: file that keeps the features.

    Returns: method -> the frame that it would have labelled.
    """
    features = None
    if chooser.extractor is not None:
        features = read_features(video, chooser.extractor, cache, frame_progress)
    choices = {
        name: rank_by_bubblenet(network, features.vectors)[0]
        for name, network in chooser.networks.items()
    }
    return choices | {
        rule: rank_by_rule(rule, len(video), features, chooser.coefficients)[0] for rule in rules
    }


def print_table(rows: list[dict]) -> None:
    """Prints a line per run, then the means over the videos by method."""
    table = [(row["video"], row["method"], row["frames"][0], *numbers(row)) for row in rows]
    videos = sorted({row["video"] for row in rows})
    for method in dict.fromkeys(row["method"] for row in rows):
        same = [row for row in rows if row["method"] == method]
        if method != EVERY_TENTH and {row["video"] for row in same} == set(videos):
            table.append(("mean", method, "", *numbers(mean_numbers(same))))
    for video in videos:
        tenths = [r for r in rows if (r["video"], r["method"]) == (video, EVERY_TENTH)]
        if tenths:
            best = max(tenths, key=lambda row: row["j_left_out"] + row["f_left_out"])
            table.append((video, f"mean of {EVERY_TENTH}", "", *numbers(mean_numbers(tenths))))
            table.append((video, f"best of {EVERY_TENTH}", best["frames"][0], *numbers(best)))
    headers = ("video", "chosen by", "frame", *HEADERS)
    print("\n" + tabulate(table, headers, floatfmt=".3f"))


if __name__ == "__main__":
    run_script(main, Config, __doc__)
