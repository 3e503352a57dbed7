"""Seconds and memory of stage 3 by the number of labelled animals, with J, switches and IDF1.

Makes one video of a herd, eight animals by default: two individuals of a look-alike source and
copies of them in slightly other colours, which walk about a scene and pass in front of each other.
Of these, the first one, two or eight are labelled in the first frame; the others are in the picture
all the same. Each run is a process of its own; rounds are interleaved, medians are printed.

Reads   --dataset, the folder of the sources, as `benchmarks.look_alikes make`.
Writes  RESULTS/data, the video with annotations, RESULTS/labels, RESULTS/PRESET[-one]-COUNT-ROUND,
        results of finetune_test.py, and RESULTS/several_animals.json.

    python -m benchmarks.several_animals --dataset DIR

Finished runs of the same video with the same flags are only read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from tabulate import tabulate

from benchmarks.look_alike_scenes import (
    Bending,
    CutOut,
    Layer,
    compose,
    cut_out,
    draw,
    draw_bending,
    empty_scene,
    place,
    recolour,
)
from benchmarks.look_alike_sources import SOURCES, ImageSource
from benchmarks.look_alike_together import score_animals
from benchmarks.look_alike_videos import read_animal
from benchmarks.look_alikes import write_video
from benchmarks.stage3_processes import run_stage3
from utils import paths
from utils.command_line import run_script, setting
from utils.errors import UsageError
from utils.files import read_json, write_json
from utils.media.images import list_frames
from utils.media.labels import read_label, write_label
from utils.stage3.presets import PRESETS, PresetName

Networks = Literal["each", "one"]
VIDEO = "herd"
SIZE = (480, 854)
COLUMNS = 4  # of the places around which the animals walk
LENGTH = 0.9  # of the distance between two places: length of an animal
REACH = np.array([0.35, 0.15])  # of their ways, in distances between two places
PERIODS = (50, 35)  # frames of the ways across and along
MIN_SEEN = 0.6  # of each animal, in the labelled frame
NUM_TRIES = 200


@dataclass(frozen=True)
class Config:
    dataset: Path = setting(paths.DATASETS, "folder of the sources")
    source: str = setting("sheep-image", "name of the look-alike source, one made from images")
    counts: tuple[int, ...] = setting(
        (1, 2, 8), "numbers of labelled animals; the largest is shown"
    )
    presets: tuple[PresetName, ...] = setting(("fast", "herd"), "presets of finetune_test.py")
    networks: tuple[Networks, ...] = setting(
        ("each", "one"),
        "a network for each animal, or one for all, where the preset has the choice",
    )
    frames: int = setting(40, "length of the video")
    precision: Literal["auto", "float32", "mixed_bfloat16"] = setting(
        "auto", "precision of the network, as that of finetune_test.py"
    )
    rounds: int = setting(1, "interleaved rounds; medians of these are printed")
    seed: int = setting(0, "seed of the video, and of fine-tuning")
    results: Path = setting(paths.RESULTS / "several_animals", "folder for video and runs")


def main(config: Config) -> None:
    images = {source.name: source for source in SOURCES if isinstance(source, ImageSource)}
    if config.source not in images:
        raise UsageError(f"--source: no {config.source}; there are: {', '.join(images)}.")
    if not config.counts or min(config.counts) < 1 or config.rounds < 1 or config.frames < 2:
        raise UsageError("--counts and --rounds must be 1 or more, --frames 2 or more.")
    runs = [
        (preset, networks, count)
        for preset, networks, count in product(config.presets, config.networks, config.counts)
        if networks == "each" or (count > 1 and PRESETS[preset].can_share)
    ]
    if not runs:
        raise UsageError(
            "--networks one needs --counts of 2 or more, and neither --presets herd nor paper."
        )
    write_herd(config, images[config.source])
    rows = []
    for number in range(config.rounds):
        for preset, networks, count in runs:
            row = run(config, preset, networks, count, number)
            rows.append(row)
            print(f"{preset}, {networks}, {count} labelled: {row['seconds']:.0f} s", flush=True)
        write_json(config.results / "several_animals.json", rows)
    print_table(rows)


def run(config: Config, preset: str, networks: Networks, count: int, number: int) -> dict:
    """Runs stage 3 with the first `count` animals labelled. Returns the numbers of the run."""
    data = (config.results / "data").resolve()
    annotations = list_frames(data / "Annotations" / "480p" / VIDEO)
    animals = range(1, count + 1)
    truth = [read_label(path).values for path in annotations]
    label = config.results.resolve() / "labels" / str(count) / annotations[0].name
    write_label(label, np.where(truth[0] <= count, truth[0], 0), animals)
    frames = data / "JPEGImages" / "480p" / VIDEO
    name = f"{preset}-{count}" if networks == "each" else f"{preset}-{networks}-{count}"
    results = config.results / f"{name}-{number}"
    flags = [
        "--video", frames, "--label", label, "--preset", preset,
        "--precision", config.precision, "--seed", str(config.seed), "--shot-changes", "ignore",
        "--networks", networks,
    ]  # fmt: skip
    record = run_stage3(flags, (frames, label), VIDEO, results)
    folder = results / paths.SEGMENTATION / VIDEO
    masks = [read_label(folder / path.name, animals).values for path in annotations]
    everyone = [int(n) for n in np.unique(truth) if n]
    score = score_animals(VIDEO, masks, truth, animals, everyone)[-1]
    seconds = record["seconds"]
    return {
        "preset": preset, "networks": networks, "count": count, "round": number,
        "seconds": seconds["total"],
        "fine_tuning": seconds["fine_tuning"], "segmentation": seconds["segmentation"],
        "peak_memory_mib": record["peak_memory_mib"],
        **{key: score[key] for key in ("frames", "j", "lost", "switches", "idf1")},
    }  # fmt: skip


def print_table(rows: Sequence[dict]) -> None:
    """Prints a line for each preset and number of animals: medians over the rounds; J and the other
    measures of the first round."""
    table, least = [], min((row["count"], row["networks"]) for row in rows)[::-1]
    kinds = [(row["preset"], row["networks"], row["count"]) for row in rows]
    for preset, networks, count in dict.fromkeys(kinds):
        same = [
            row for row, kind in zip(rows, kinds, strict=True) if kind == (preset, networks, count)
        ]
        first = [row for row, kind in zip(rows, kinds, strict=True) if kind == (preset, *least)]
        keys = ("seconds", "fine_tuning", "segmentation", "peak_memory_mib")
        seconds, *others = (
            float(np.median(np.array([row[key] for row in same], float))) for key in keys
        )
        one = float(np.median([row["seconds"] for row in first]))
        score = same[0]
        table.append([
            preset, networks, count, seconds, f"{seconds / one - 1:+.0%}", *others,
            f"{score['j']:.3f}", f"{score['lost'] / max(score['frames'], 1):.3f}",
            score["switches"], f"{score['idf1']:.3f}",
        ])  # fmt: skip
    headers = (
        "preset", "networks", "labelled", "seconds", f"against {least[1]}", "fine-tuning",
        "segmenting", "peak MiB", "J", "lost", "switches", "IDF1",
    )  # fmt: skip
    print("\n" + tabulate(table, headers, floatfmt=".1f", disable_numparse=[4, 8, 9, 11]))


# The video


def write_herd(config: Config, source: ImageSource) -> None:
    """Writes the video, unless it is there."""
    count, data = max(config.counts), config.results / "data"
    key = {"source": source.name, "count": count, "frames": config.frames, "seed": config.seed}
    if read_json(data / "key.json") != key:
        herd = make_herd(config.dataset, source, count, np.random.default_rng(config.seed))
        frames = [compose(herd.scene, herd.layers(index)) for index in range(config.frames)]
        write_video(data, VIDEO, frames, range(1, count + 1))
        write_json(data / "key.json", key)


@dataclass(frozen=True, eq=False)
class Actor:
    """An animal that swings around its place, to its neighbours and back.

    Attributes:
        cut: how it looks.
        bending: how its body moves.
        place: x and y of its feet in the middle of its way, px.
        reach: of its way, to both sides, px.
        phases: of its ways across and along, radians.
        mirrored: whether it looks to the other side than in its image.
    """

    cut: CutOut
    bending: Bending
    place: np.ndarray
    reach: np.ndarray
    phases: np.ndarray
    mirrored: bool

    def at(self, index: int) -> np.ndarray:
        """x and y of its feet in a frame, px."""
        swing = np.sin(2 * np.pi * index / np.array(PERIODS) + self.phases)
        return self.place + self.reach * swing


@dataclass(frozen=True, eq=False)
class Herd:
    """A scene, uint8 (H, W, 3) RGB, and the animals on it, the first of which is number 1."""

    scene: np.ndarray
    actors: list[Actor]

    def layers(self, index: int) -> list[Layer]:
        """The animals of a frame, from the last to the first, as seen from the camera."""
        order = sorted(range(len(self.actors)), key=lambda k: self.actors[k].at(index)[1])
        return [self._draw(self.actors[k], k + 1, index) for k in order]

    def _draw(self, actor: Actor, number: int, index: int) -> Layer:
        matrix = place(actor.cut, tuple(actor.at(index)), 1.0, actor.mirrored)
        return draw(actor.cut, matrix, SIZE, number, actor.bending, index)


def make_herd(folder: Path, source: ImageSource, count: int, rng: np.random.Generator) -> Herd:
    """Places the animals, so that much of each is seen in the first frame.

    Raises:
        InputError: a file of the source is missing.
        RuntimeError: there are too many.
    """
    scene = cv2.resize(empty_scene(*read_animal(folder, source.scene, void=True)), SIZE[::-1])
    columns, rows = min(count, COLUMNS), -(-count // COLUMNS)
    step = np.array([SIZE[1] / columns, 0.6 * SIZE[0] / rows])
    length = LENGTH * min(step[0], SIZE[1] / COLUMNS)
    cuts = []
    for index in range(count):
        individual = (source.labelled, source.second or source.labelled)[index % 2]
        image, mask = read_animal(folder, individual.image)
        scale = length / max(np.ptp(np.argwhere(mask), axis=0) + 1)
        cuts.append(cut_out(recolour(image, rng) if index > 1 else image, mask, scale))
    for _ in range(NUM_TRIES):
        actors = []
        for index, cut in enumerate(cuts):
            at = (np.array([index % columns, index // columns]) + (0.5, 1)) * step
            actors.append(
                Actor(
                    cut,
                    draw_bending(rng, 0.02, 0.035 if source.walks else 0.0, 1),
                    at + (0, 0.35 * SIZE[0]),
                    REACH * step,
                    rng.uniform(0, 2 * np.pi, 2),
                    bool(rng.random() < 0.5),
                )
            )
        herd = Herd(scene, actors)
        if all_are_seen(herd.layers(0)):
            return herd
    raise RuntimeError(f"{count} animals do not fit side by side into a frame")


def all_are_seen(layers: Sequence[Layer]) -> bool:
    """Whether at least MIN_SEEN of each animal is in the frame and not covered."""
    numbers = np.zeros(SIZE, "uint8")
    for layer in layers:
        numbers[layer.opacity > 0.5] = layer.number
    areas = [np.count_nonzero(layer.opacity > 0.5) for layer in layers]
    seen = [np.count_nonzero(numbers == layer.number) for layer in layers]
    typical = np.median(areas)
    return all(s >= MIN_SEEN * max(a, 0.5 * typical) for s, a in zip(seen, areas, strict=True))


if __name__ == "__main__":
    run_script(main, Config, __doc__)
