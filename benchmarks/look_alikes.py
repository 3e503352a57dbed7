"""Whether a mask stays on its animal when another one of the same kind comes near.

    make     from videos with one animal and images with single animals, makes short videos in which
             a second animal comes out from behind the labelled one, crosses in front of it or
             behind it, stands beside it or leaves it, and the same videos without the others
    run      stage 3 on each, with the labelled animal of the first frame; keeps the probabilities
    score    J, frames lost (J below .1), identity switches and IDF1 per video, by crossing, in all
    oracle   J if every pixel that the network finds were given to the right animal

Reads   make: --dataset with DAVIS/, instances/ and voc_animals/, each with JPEGImages/ and
        Annotations/. The others: --dataset as make writes it, or another folder with a list of the
        same form; --results, for score also those of finetune_test.py.
Writes  make: OUTPUT/JPEGImages and OUTPUT/Annotations, where 1 is the labelled animal,
        OUTPUT/clips.txt, and OUTPUT/alone with the labelled animal alone.
        run: RESULTS and RESULTS/alone, as finetune_test.py does, and RESULTS/probabilities.

The first frame is never scored, nor are frames in which the labelled animal has no number. With
--label-all, all animals of the first frame are labelled in one run, and scored one by one and
together; identity switches of all together and IDF1 are those of TrackEval.

    python -m benchmarks.look_alikes make --dataset DIR --output look_alikes
    python -m benchmarks.look_alikes run --dataset look_alikes
    python -m benchmarks.look_alikes score --dataset look_alikes
"""  # noqa: E501

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from utils import backend, paths  # noqa: F401  backend before Keras: it starts it without noise

# isort: split
import numpy as np
import tyro
from tabulate import SEPARATING_LINE, tabulate
from tqdm import tqdm

import finetune_test
from benchmarks.look_alike_list import ALONE, LookAlike, choose_look_alikes, write_list
from benchmarks.look_alike_results import open_video
from benchmarks.look_alike_runs import (
    BEFORE,
    FINE_TUNED,
    read_probability,
    run_all,
    run_together,
)
from benchmarks.look_alike_sources import SOURCES, THIRD
from benchmarks.look_alike_together import all_animals, print_together, score_together
from benchmarks.look_alike_videos import BYSTANDER, LABELLED, SECOND, make_video
from utils.annotator.frame_reader import encode_jpeg
from utils.command_line import run_script, setting
from utils.errors import UsageError
from utils.evaluation.identity_measures import overlaps, split_by_annotation
from utils.files import read_json, write_atomically, write_json
from utils.inputs.sequences import sequence_dir
from utils.media.images import resize_image
from utils.media.labels import write_label
from utils.stage3.network_choice import Networks
from utils.stage3.presets import PRESETS, PresetName


@dataclass(frozen=True)
class Config:
    verb: tyro.conf.Positional[Literal["make", "run", "score", "oracle"]] = setting(
        "score", "what to do"
    )
    dataset: Path = setting(paths.DATASETS, "make: folder of the sources; else: of the videos")
    output: Path = setting(paths.RESULTS / "look_alikes" / "data", "where make writes the videos")
    results: Path = setting(paths.RESULTS / "look_alikes", "folder with the masks")
    half: Literal["choose", "evaluate", "both"] = setting(
        "both", "videos to choose on, or those to evaluate on once"
    )
    sequences: tuple[str, ...] = setting((), "names of the videos (default: all)")
    preset: PresetName = setting("default", "preset of run; its threshold is that of oracle")
    weights: Path | None = setting(None, "weights that run starts from (default: the best)")
    seed: int = setting(0, "seed of make, or of fine-tuning")
    without_alone: bool = setting(False, "run: leaves out the videos of the labelled animal alone")
    label_all: bool = setting(
        False, "run, score: all animals that the first frame numbers are labelled, in one run"
    )
    most: int = setting(5, "with --label-all: at most so many animals of a video")
    networks: Networks = setting("auto", "run --label-all: as of finetune_test.py")
    json: Path | None = setting(None, "score and oracle: write all numbers here as well")


def main(config: Config) -> None:
    if config.label_all and (config.verb not in ("run", "score") or config.most < 1):
        raise UsageError("--label-all goes with run and score; --most must be 1 or more.")
    if config.networks != "auto" and not (config.label_all and config.verb == "run"):
        raise UsageError("--networks goes with run --label-all.")
    if config.verb == "make":
        make(config)
        return
    items = choose_look_alikes(config.dataset, config.half, config.sequences)
    if config.label_all:
        items = all_animals(config.dataset, items, config.most)
    if config.verb == "oracle":
        check_has_probabilities(config, items)
    if config.verb == "run":
        run(config, items)
        return
    if config.label_all:
        rows = score_together(config.dataset, config.results, items)
        print_together(rows)
    else:
        measure, print_rows = (
            (score, print_scores) if config.verb == "score" else (apply_oracle, print_oracle)
        )
        rows = [measure(config, item) for item in tqdm(items, leave=False)]
        print_rows(rows)
    if config.json:
        write_json(config.json, {"rows": rows})


def run(config: Config, items: Sequence[LookAlike]) -> None:
    flags = finetune_test.Config(
        dataset=config.dataset,
        results=config.results,
        preset=config.preset,
        weights=config.weights,
        seed=config.seed,
        networks=config.networks,
    )
    if config.label_all:
        run_together(items, flags)
    else:
        run_all(items, flags, with_alone=not config.without_alone)


def make(config: Config) -> None:
    """Makes all videos."""
    items = []
    for source in SOURCES:
        for crossing in source.crossings:
            name = f"{source.name}-{crossing.replace('_', '-').replace(THIRD, '-third')}"
            frames = list(make_video(config.dataset, source, crossing, config.seed))
            animals = (LABELLED, SECOND) + (BYSTANDER,) * getattr(source, "bystander", False)
            write_video(
                config.output, name, [(frame.image, frame.numbers) for frame in frames], animals
            )
            alone = [(frame.alone, frame.alone_numbers) for frame in frames]
            write_video(config.output / ALONE, name, alone, (LABELLED,))
            kind = crossing.removesuffix(THIRD)
            items.append(
                LookAlike(name, LABELLED, len(frames), source.name, kind, source.half, name)
            )
            print(f"{name}: {len(frames)} frames, to {source.half}", flush=True)
    write_list(config.output, items)
    print(f"{len(items)} videos in {config.output}")


def write_video(
    dataset: Path,
    name: str,
    frames: Sequence[tuple[np.ndarray, np.ndarray]],
    animals: Sequence[int],
) -> None:
    """Writes a video with its annotations in the layout of DAVIS."""
    folders = [dataset / kind / "480p" / name for kind in ("JPEGImages", "Annotations")]
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    for index, (image, numbers) in enumerate(frames):
        encoded = encode_jpeg(image, None, quality=95)
        write_atomically(
            folders[0] / f"{index:05d}.jpg",
            lambda temporary_path, data=encoded: temporary_path.write_bytes(data),
        )
        write_label(folders[1] / f"{index:05d}.png", numbers, animals, as_palette=True)


def score(config: Config, item: LookAlike) -> dict:
    """The numbers of one line of the table of scores; without J alone where there is none."""
    together = open_video(config.dataset, config.results, item).score()
    row = {
        **asdict(item),
        "frames": len(together.frames),
        "j": together.mean_j,
        "lost": together.lost,
        "switches": together.switches,
        "idf1": together.idf1,
    }
    if sequence_dir(config.results / ALONE, paths.SEGMENTATION, item.name):
        alone = open_video(config.dataset / ALONE, config.results / ALONE, item).score()
        by_frame = dict(zip(alone.frames, alone.j, strict=True))
        row["j_alone"] = float(np.mean([by_frame[frame] for frame in together.frames]))
        row["loss"] = row["j_alone"] - row["j"]
    return row


def check_has_probabilities(config: Config, items: Sequence[LookAlike]) -> None:
    """Raises UsageError for what a network that takes prompts has found, or would find."""
    takes_prompts = PRESETS[config.preset].takes_prompts
    for item in items:
        record = read_json(config.results / paths.RUNS / item.name / paths.RUN_FILE)
        if takes_prompts or (record and "prompts" in record["key"]["preset"]):
            raise UsageError(
                f"{item.name}: the oracle needs what a network finds before it is told which "
                "animal is meant. That of --preset herd finds nothing without a prompt: run "
                "another preset, with another --results."
            )


def apply_oracle(config: Config, item: LookAlike) -> dict:
    """The numbers of one line of the table of the oracle."""
    video = open_video(config.dataset, config.results, item)
    scored = video.score()
    row = {**asdict(item), "frames": len(scored.frames), "j": scored.mean_j}
    threshold = PRESETS[config.preset].refinement.threshold
    for network in (FINE_TUNED, BEFORE):
        values = []
        for index in scored.frames:
            annotation = video.annotations[index]
            probability = read_probability(config.results, item.name, network, video.stems[index])
            found = resize_image(probability.astype("float32"), *annotation.shape) > 255 * threshold
            split = split_by_annotation(found, annotation, video.animal)
            values.append(float(overlaps(split, annotation, [video.animal])[0]))
        row[network] = float(np.mean(values))
    return row


def print_scores(rows: Sequence[dict]) -> None:
    """Prints the table of scores. Means of J and IDF1 are over videos, lost frames of all frames,
    and switches are added up."""

    def cells(group: Sequence[dict]) -> list:
        frames = sum(row["frames"] for row in group)
        return [
            frames,
            _mean(group, "j"),
            sum(row["lost"] for row in group) / max(frames, 1),
            sum(row["switches"] for row in group),
            *(_mean(group, key) for key in ("idf1", "j_alone", "loss")),
        ]

    header = ["video", "crossing", "frames", "J", "lost", "switches", "IDF1", "J alone", "loss"]
    _print_groups(rows, header, cells)


def print_oracle(rows: Sequence[dict]) -> None:
    """Prints the table of the oracle."""

    def cells(group: Sequence[dict]) -> list:
        keys = ("j", FINE_TUNED, BEFORE)
        j, fine_tuned, before = (_mean(group, key) for key in keys)
        return [sum(row["frames"] for row in group), j, fine_tuned, before, fine_tuned - j]

    header = [
        "video",
        "crossing",
        "frames",
        "J",
        "oracle",
        "oracle, before fine-tuning",
        "identity",
    ]
    _print_groups(rows, header, cells)


def _print_groups(
    rows: Sequence[dict], header: Sequence[str], cells: Callable[[Sequence[dict]], list]
) -> None:
    table: list = [[row["name"], row["crossing"], *cells([row])] for row in rows]
    table.append(SEPARATING_LINE)
    table += [[f"{name}, {len(group)} videos", "", *cells(group)] for name, group in _groups(rows)]
    print(tabulate(table, header, floatfmt=".3f", missingval="-"))


def _groups(rows: Sequence[dict]) -> Iterator[tuple[str, list[dict]]]:
    """The rows by crossing, by half, and all."""
    for key in ("crossing", "half"):
        for value in dict.fromkeys(row[key] for row in rows):
            if value != "-":
                yield value, [row for row in rows if row[key] == value]
    yield "all", list(rows)


def _mean(rows: Sequence[dict], key: str) -> float | None:
    """The mean over those that have it."""
    values = [row[key] for row in rows if key in row]
    return float(np.mean(values)) if values else None


if __name__ == "__main__":
    run_script(main, Config, __doc__)
