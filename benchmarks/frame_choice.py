"""J and F of stage 3 by who chose the labelled frame: BubbleNets, rules, and every tenth frame.

Reads   a data set with all frames annotated; the networks in weights/bubblenet_weights/ and weights
        to start from, none of which has seen its videos.
Writes  RESULTS/FRAME/..., results of finetune_test.py; RESULTS/choice/SEQ.npz, features; and
        RESULTS/frame_choice.json.

    python -m benchmarks.frame_choice --dataset DIR --sequences libby rhino --tenths libby

A minute or two per labelled frame with `--preset fast` on two cores; choices that agree share a
run. Finished runs are only read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from utils import backend, paths  # noqa: F401  backend before Keras: it starts it without noise

# isort: split
from benchmarks.stage3_runs import NUMBERS, make_row, mean_numbers, start_stage3
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
    sequences: tuple[str, ...] = setting((), "names of the data set's videos; all if absent")
    tenths: tuple[str, ...] = setting((), "those of which every tenth frame is tried, too")
    rules: tuple[str, ...] = setting(("first", "middle", "linear"), "beside the networks")
    preset: PresetName = setting("fast", "of finetune_test.py")
    weights: Path | None = setting(None, "weights to start from; the best in weights/ if absent")
    seed: int = setting(0, "of fine-tuning")
    results: Path = setting(paths.RESULTS / "frame_choice", "where the runs go")


def main(config: Config) -> None:
    unknown = [rule for rule in config.rules if rule not in RULES]
    if unknown or not config.rules:
        raise UsageError(f"--rules {' '.join(unknown)}: give some of {', '.join(RULES)}.")
    names = choose_sequences(config.dataset, config.sequences)
    unexpected = [name for name in config.tenths if name not in names]
    if unexpected:
        raise UsageError(f"--tenths {unexpected[0]} is not among --sequences.")
    needs_features = not set(config.rules) <= set(POSITION_RULES)
    rule = "linear" if needs_features else config.rules[0]
    chooser = load_chooser(rule=rule)
    run = start_stage3(config.dataset, config.results, config.weights, config.preset, config.seed)
    rows = []
    for name in names:
        video = open_dataset_sequence(config.dataset, name).video
        video.check()
        choices = choose(video, chooser, config.rules, config.results / "choice" / f"{name}.npz")
        rows += [make_row(name, method, run(name, [frame])) for method, frame in choices.items()]
        if name in config.tenths:
            frames = range(0, len(video), SPACING)
            rows += [make_row(name, EVERY_TENTH, run(name, [frame])) for frame in frames]
        write_json(config.results / "frame_choice.json", rows)
    print_table(rows)


def choose(video: Video, chooser: Chooser, rules: Sequence[str], cache: Path) -> dict[str, int]:
    """Method -> the frame that it would have labelled.

    Args:
        video: checked (`Video.check`).
        chooser: loaded for what the rules need.
        rules: beside the chooser's networks.
        cache: of the features.
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
    """A line per run, then the means over the videos by who chose."""
    width = max(len("video"), *(len(row["video"]) for row in rows))
    print(f"\n{'':<{width}}  {'':26}  all official     label left out")
    print(f"{'video':<{width}}  {'chosen by':<19}  frame  J      F      J      F")
    for row in rows:
        print(format_line(row["video"], width, row["method"], row["frames"][0], row))
    videos = sorted({row["video"] for row in rows})
    for method in dict.fromkeys(row["method"] for row in rows):
        same = [row for row in rows if row["method"] == method]
        if method != EVERY_TENTH and {row["video"] for row in same} == set(videos):
            print(format_line("mean", width, method, "", mean_numbers(same)))
    for video in videos:
        tenths = [r for r in rows if (r["video"], r["method"]) == (video, EVERY_TENTH)]
        if tenths:
            best = max(tenths, key=lambda row: row["j_left_out"] + row["f_left_out"])
            print(format_line(video, width, f"mean of {EVERY_TENTH}", "", mean_numbers(tenths)))
            print(format_line(video, width, f"best of {EVERY_TENTH}", best["frames"][0], best))


def format_line(name: str, width: int, method: str, frame: int | str, numbers: dict) -> str:
    values = "  ".join(f"{numbers[key]:.3f}" for key in NUMBERS)
    return f"{name:<{width}}  {method:<19}  {frame:>5}  {values}"


if __name__ == "__main__":
    run_script(main, Config, __doc__)
