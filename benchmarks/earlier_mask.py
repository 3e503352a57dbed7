"""One animal out of many, named by its mask in an earlier frame: IoU beside others of its kind.

The mask is moved by 0.3 to 1 body length, turned and grown a little, as if the animal had moved
since; it is never more on another animal than on its own, or nobody could tell which one is meant.
Animals that cannot be moved in this way are left out and counted. Two kinds of crops:

    images       animals of `Instances/` that have another one within half a body length
    composites   one animal with one to three others pasted beside it, in front of it or behind it:
                 its double, or others of its kind, on the photo of another image of the list

"on another": share of the crops in which the mask found lies more on another animal than on its
own; "lost": IoU below .1. "others known": the masks of all others, as they are, are given too.
"no prompt": what the network finds without being told which animal is meant. The columns "others
known" and "no prompt" are of the whole crop with --view window too.
At the end, seconds of a frame of 480x854 with one, two and eight animals: the backbone once and the
head for each of them, and a window of its own for each, as `--preset herd` does it.

Reads   DIR/JPEGImages and DIR/Annotations or DIR/Instances, of all images or those of --list (lines
        `JPEGImages/ID.jpg Annotations/ID.png`); the prompted weights.
Writes  the tables to the screen; with --json all numbers.

    python -m benchmarks.earlier_mask --dataset DIR --list FILE
"""

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from utils import backend, paths  # noqa: F401  backend before Keras: it starts it without noise

# isort: split
import numpy as np
from tabulate import tabulate
from tqdm import tqdm

from benchmarks.clicks import evenly, list_pairs
from models import build_prompted_model
from utils.command_line import run_script, setting
from utils.errors import InputError, UsageError
from utils.files import write_json
from utils.media.labels import VOID
from utils.media.regions import distance_to
from utils.stage3.presets import HERD
from utils.stage3.prompted_pipeline import PromptedView
from utils.training.animals import UNNUMBERED, AnimalSample, numbers_in
from utils.training.augmentation import AUGMENTATIONS
from utils.training.clicks import make_prompt
from utils.training.composites import compose, visible_numbers
from utils.training.prompted_network import PromptedNetwork
from utils.training.simulated_prompts import Prompting, body_length, move_mask, target_of
from utils.training.stage import check_stage
from utils.training.validation import overlap
from utils.training.weights import find_weights, load_weights

FRAME = (480, 854)
NUM_ANIMALS = (1, 2, 8)  # of the table of seconds
MIN_SHARE = 0.005  # of the crop: smaller animals are left out
NEAR = 0.5  # body lengths, to the next animal
MAX_OTHERS = 3  # in a composite
LOST_BELOW = 0.1  # IoU
_TRIES = 10  # per composite; not every image has a single animal to cut out
_IMAGES, _COMPOSITES = "images", "composites"
_COLUMNS = {
    "iou": "IoU",
    "iou_others": "IoU, others known",
    "prompt": "IoU of the prompt",
    "gain": "gain",
    "on_another": "on another",
    "lost": "lost",
    "no_prompt": "IoU, no prompt",
}


@dataclass(frozen=True)
class Config:
    dataset: Path = setting(
        paths.PASCAL_DATASET, "folder with JPEGImages/ and Annotations/ or Instances/"
    )
    list: Path | None = setting(None, "text file of image and annotation pairs (default: all)")
    images: int | None = setting(None, "at most so many images, evenly spaced (default: all)")
    composites: int = setting(100, "number of composites")
    shift: tuple[float, float] = setting((0.3, 1.0), "of the earlier mask, in body lengths")
    view: Literal["whole", "window"] = setting(
        "whole", "what the network sees: the image, or the window of --preset herd around the mask"
    )
    weights: Path | None = setting(None, "prompted weights (default: those in weights/)")
    seed: int = setting(0, "seed of composites and of the masks")
    rounds: int = setting(5, "interleaved rounds of the table of seconds; 0: no such table")
    json: Path | None = setting(None, "write all numbers here as well")


@dataclass(frozen=True, eq=False)
class Crop:
    """An image with numbered animals, of which some are asked for.

    Attributes:
        kind: "images" or "composites".
        name: of the image.
        image: uint8 (H, W, 3) RGB.
        animals: uint8 (H, W), see `utils.training.animals.NumberedImage`.
        asked: numbers of those that are asked for.
    """

    kind: str
    name: str
    image: np.ndarray
    animals: np.ndarray
    asked: tuple[int, ...]


def main(config: Config) -> dict[str, dict[str, float]]:
    """Returns: the means by kind of crop."""
    if not 0 <= config.shift[0] <= config.shift[1]:
        raise UsageError(f"--shift: expected two numbers, the smaller first, not {config.shift}.")
    samples = [AnimalSample(*pair) for pair in list_pairs(config.dataset, config.list)]
    samples = evenly(samples, config.images) if config.images else samples
    network = load_network(config.weights)
    rows = [
        row
        for crop in tqdm(crops(samples, config), desc="crops")
        for row in measure(network, crop, config)
    ]
    if not rows:
        raise InputError(
            f"{config.dataset}: expected animals beside others of their kind, or single ones to "
            "paste; found neither."
        )
    means = {kind: summarise([r for r in rows if r["kind"] == kind]) for kind in kinds_of(rows)}
    table = [[kind, *mean.values()] for kind, mean in means.items()]
    print("\n" + tabulate(table, ["", *next(iter(means.values()))], floatfmt=".3f"))
    seconds = time_frames(network, config.rounds) if config.rounds else {}
    if seconds:
        headers = ["seconds of a frame", *(f"{n} animals" for n in NUM_ANIMALS)]
        print("\n" + tabulate([[k, *v] for k, v in seconds.items()], headers, floatfmt=".3f"))
    if config.json:
        write_json(config.json, {"means": means, "seconds": seconds, "rows": rows})
    return means


def load_network(weights: Path | None) -> PromptedNetwork:
    path, reason = find_weights("deeplab", weights, takes_prompts=True)
    check_stage(path, ("prompted",))
    model = build_prompted_model()
    load_weights(model, path)
    print(f"weights: {path} ({reason})", flush=True)
    return PromptedNetwork(model)


# Crops


def crops(samples: Sequence[AnimalSample], config: Config) -> Iterator[Crop]:
    """All images with animals side by side, then the composites."""
    for sample in samples:
        numbered = sample.read()
        if numbered.are_single and (asked := numbers_beside(numbered.animals)):
            name = sample.image_path.stem
            yield Crop(_IMAGES, name, numbered.image, numbered.animals, asked)
    drawn = (
        make_composite(samples, index, config.seed) for index in range(_TRIES * config.composites)
    )
    yield from itertools.islice(filter(None, drawn), config.composites)


def numbers_beside(animals: np.ndarray) -> tuple[int, ...]:
    """The animals, large enough, that have another one within NEAR body lengths."""
    found = []
    for number in visible_numbers(animals, MIN_SHARE):
        own = animals == number
        away = distance_to(own)[others_of(animals, number)].min(initial=np.inf)
        if away <= NEAR * body_length(own):
            found.append(number)
    return tuple(found)


def others_of(animals: np.ndarray, number: int) -> np.ndarray:
    """bool (H, W), all that is animal and not this one."""
    return (animals > 0) & (animals != VOID) & (animals != number)


def make_composite(samples: Sequence[AnimalSample], index: int, seed: int) -> Crop | None:
    """Pastes an animal and others of its kind on the photo of another image.

    Returns: None if the image has no single animal to cut out, or all of it is covered.
    """
    rng = np.random.default_rng([seed, index])
    sample = samples[rng.integers(len(samples))]
    own = _draw_cut_out(sample, rng)
    if own is None:
        return None
    same_kind = [other for other in samples if other.kind == sample.kind]
    cut_outs = [own]
    for _ in range(rng.integers(1, MAX_OTHERS + 1)):
        is_double = rng.random() < 0.5
        other = own if is_double else _draw_cut_out(same_kind[rng.integers(len(same_kind))], rng)
        cut_outs.append(other or own)
    photo = samples[rng.integers(len(samples))].read()
    image, animals = compose(photo.image, photo.animals, cut_outs, AUGMENTATIONS["prompted"], rng)
    asked = tuple({1} & set(visible_numbers(animals, MIN_SHARE)))
    return Crop(_COMPOSITES, sample.image_path.stem, image, animals, asked) if asked else None


def _draw_cut_out(sample, rng):
    numbered = sample.read()
    numbers = numbered.numbers
    return numbered.cut_out(numbers[rng.integers(len(numbers))]) if numbers else None


# Measuring


def measure(network: PromptedNetwork, crop: Crop, config: Config) -> Iterator[dict]:
    """A line of numbers for each animal that is asked for; without IoU where it is left out."""
    prompting = Prompting(shift=config.shift, shift_power=1)
    size, maps, without = crop.animals.shape, network.look(crop.image), None
    for number in crop.asked:
        row = {"kind": crop.kind, "name": f"{crop.name} {number}"}
        rng = np.random.default_rng([config.seed, number, *crop.name.encode()])
        mask = move_mask(crop.animals == number, crop.animals, number, prompting, rng)
        if mask is None:
            yield row
            continue
        target, others = target_of(crop.animals, number), others_of(crop.animals, number)
        if without is None:
            without = network.probability(maps, make_prompt(size)) > 0.5
        known = make_prompt(size, mask=mask, others=others & ~mask)
        if config.view == "window":
            found = look_through_window(network, crop.image, mask)
        else:
            found = network.probability(maps, make_prompt(size, mask=mask)) > 0.5
        row["iou"] = overlap(found, target)
        row["iou_others"] = overlap(network.probability(maps, known) > 0.5, target)
        row["prompt"] = overlap(mask, target)
        row["gain"] = row["iou"] - row["prompt"]
        row["on_another"] = is_on_another(found, crop.animals, number)
        row["lost"] = bool(row["iou"] < LOST_BELOW)
        row["no_prompt"] = overlap(without, target)
        yield row


def look_through_window(
    network: PromptedNetwork, image: np.ndarray, mask: np.ndarray
) -> np.ndarray:
    """What stage 3 finds of an animal in the frame after the one of this mask: bool (H, W)."""
    zoom = min(HERD.window.max_zoom, HERD.prompts.body_px / body_length(mask))
    view = PromptedView(
        network, lambda _: image, mask.shape, zoom=zoom, crop=HERD.fine_tuning.crop
    )  # fmt: skip
    return view.around(0, mask) > 0.5


def is_on_another(found: np.ndarray, animals: np.ndarray, number: int) -> bool:
    """Whether a mask, bool (H, W), lies more on another animal than on its own."""
    areas = np.bincount(animals[found], minlength=256)
    others = [n for n in numbers_in(animals) if n != number] + [UNNUMBERED]
    return bool(max(areas[others]) > areas[number])


def kinds_of(rows: Sequence[dict]) -> list[str]:
    return list(dict.fromkeys(row["kind"] for row in rows))


def summarise(rows: Sequence[dict]) -> dict[str, float | None]:
    """The line of a kind of crop: how many, and the means."""
    measured = [row for row in rows if "iou" in row]
    means = {
        title: float(np.mean([row[key] for row in measured])) if measured else None
        for key, title in _COLUMNS.items()
    }
    return {"crops": len(measured), "left out": len(rows) - len(measured), **means}


def time_frames(network: PromptedNetwork, rounds: int) -> dict[str, list[float]]:
    """Seconds of a frame by number of animals, medians of interleaved rounds."""
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (*FRAME, 3)).astype("uint8")
    window = rng.integers(0, 256, (*HERD.fine_tuning.crop, 3)).astype("uint8")

    def heads(count: int) -> None:
        maps = network.look(frame)
        for _ in range(count):
            network.probability(maps, make_prompt(FRAME))

    def windows(count: int) -> None:
        for _ in range(count):
            network.probability(network.look(window), make_prompt(window.shape[:2]))

    ways = {"backbone once, a head for each": heads, "a window for each": windows}
    times = {(name, count): [] for name in ways for count in NUM_ANIMALS}
    for way in ways.values():
        way(1)  # traces the graph
    for _ in range(rounds):
        for name, count in times:
            start = time.perf_counter()
            ways[name](count)
            times[name, count].append(time.perf_counter() - start)
    return {name: [float(np.median(times[name, count])) for count in NUM_ANIMALS] for name in ways}


if __name__ == "__main__":
    run_script(main, Config, __doc__)
