"""Clicks that annotate.py needs for a mask: NoC, and IoU after the first clicks.

NoC@85 is the mean number of clicks until IoU reaches .85, at most 20 (which also counts where it is
never reached). Each click is put into the middle of the largest error, as interactive segmentation
is measured (Sofiiuk et al., 2021). People miss the middle: `--miss 0.33 --repeats 3` puts clicks up
to a third of the error's radius beside it, and shows how far the result varies. The clicks go
through the code that the page calls.

An object is an animal of `Instances/`, or else a piece of a mask in `Annotations/`, of at least
0.5 % of the image. Void does not count.

Reads   DIR/JPEGImages and DIR/Annotations or DIR/Instances, of all images or those of --list (lines
        `JPEGImages/ID.jpg Annotations/ID.png`).
Writes  the table to the screen; with --json all numbers.

    python -m benchmarks.clicks --dataset DIR [--list FILE]
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from utils import backend, paths  # noqa: F401  backend before Keras: it starts it without noise

# isort: split
import cv2
import numpy as np
from tabulate import tabulate
from tqdm import tqdm

from utils.annotator.background_network import Segmenter
from utils.annotator.click_network import load_segmenter
from utils.annotator.prompts import parse_prompt, read_marks
from utils.annotator.segment_click import ClickSegmenter
from utils.command_line import run_script, setting
from utils.errors import InputError, UsageError
from utils.files import write_json
from utils.media.images import FRAME_SUFFIXES, natural_key, read_image
from utils.media.labels import VOID, read_label
from utils.training.animals import UNNUMBERED, has_numbers, numbered_annotation, read_numbers
from utils.training.clicks import next_click
from utils.training.pair_lists import read_pairs
from utils.training.validation import overlap

LEVELS = (0.85, 0.90)
FIRST_CLICKS = 3
MIN_SHARE = 0.005  # of the image: smaller objects are left out


@dataclass(frozen=True)
class Config:
    dataset: Path = setting(
        paths.PASCAL_DATASET, "folder with JPEGImages/ and Annotations/ or Instances/"
    )
    list: Path | None = setting(None, "text file of image and annotation pairs (default: all)")
    images: int | None = setting(None, "at most so many images, evenly spaced (default: all)")
    objects: int | None = setting(None, "at most so many objects, evenly spaced (default: all)")
    miss: float = setting(
        0.0, "clicks miss the middle of an error by up to this share of its radius, 0 to 1"
    )
    repeats: int = setting(1, "how often all is done, with other misses")
    max_clicks: int = setting(20, "clicks on an object, at most")
    network: Literal["page", "none"] = setting("page", "what annotate.py uses, or colours alone")
    weights: Path | None = setting(None, "prompted weights in place of those that the page uses")
    grabcut: bool = setting(False, "a prompted network's masks are refined by colours")
    seed: int = setting(0, "seed of the misses")
    json: Path | None = setting(None, "write all numbers here as well")


@dataclass(frozen=True)
class LabelledObject:
    """One object to be clicked.

    Attributes:
        image_index: tells images apart.
        name: path of the image, and the number of the object.
        image: uint8 (H, W, 3) RGB.
        target: uint8 (H, W), 1 the object, 0 not, 255 void.
    """

    image_index: int
    name: str
    image: np.ndarray
    target: np.ndarray


def main(config: Config) -> dict[str, float]:
    """Returns: the means, by the names of the table's columns."""
    if not 0 <= config.miss < 1 or config.repeats < 1 or config.max_clicks < FIRST_CLICKS:
        raise UsageError(
            f"--miss must be 0 to less than 1, --repeats at least 1, --max-clicks at least "
            f"{FIRST_CLICKS}."
        )
    if config.network == "none" and (config.weights or config.grabcut):
        raise UsageError("--network none uses neither --weights nor --grabcut. Leave them out.")
    pairs = list_pairs(config.dataset, config.list)
    if config.images:
        pairs = evenly(pairs, config.images)
    objects = [(pair, number) for pair in pairs for number in object_numbers(pair[1])]
    if config.objects:
        objects = evenly(objects, config.objects)
    if not objects:
        raise InputError(f"{config.dataset}: expected objects of 0.5 % of an image, found none.")
    segmenter = make_segmenter(config, pairs[0][0])
    rows, curves = [], {}
    for repeat in range(config.repeats):
        rng = np.random.default_rng([config.seed, repeat])
        for labelled in tqdm(read_objects(objects), total=len(objects), desc="objects"):
            ious = click_until_good(segmenter, labelled, config.miss, config.max_clicks, rng)
            curves.setdefault(labelled.name, []).append(ious)
        rows.append(summarise([ious[-1] for ious in curves.values()], config.max_clicks))
        print(f"\n{tabulate([rows[-1]], headers='keys', floatfmt='.3f')}", flush=True)
    means = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    if config.json:
        write_json(config.json, {"means": means, "repeats": rows, "ious": curves})
    if config.repeats > 1:
        spread = {name: float(np.std([row[name] for row in rows], ddof=1)) for name in rows[0]}
        print(f"mean and standard deviation of {config.repeats} repeats:")
        print(tabulate([means, spread], headers="keys", floatfmt=".3f"))
    print(" ".join(f"{noc_name(level)} {means[noc_name(level)]:.2f}" for level in LEVELS))
    return means


def make_segmenter(config: Config, first_image: Path) -> Segmenter:
    if config.network == "none":
        return ClickSegmenter()
    segmenter = load_segmenter(-1, read_image(first_image), config.weights, config.grabcut)
    segmenter.prepare_look_apart()  # as the page has by the first click, on the whole
    return segmenter


# Objects


def list_pairs(dataset: Path, list_path: Path | None) -> list[tuple[Path, Path]]:
    """Images and their annotations, those with a number per animal where there are any.

    Raises: InputError if there are none.
    """
    if list_path:
        found = [(dataset / image, dataset / label) for image, label in read_pairs(list_path)]
    else:
        images = dataset / "JPEGImages"
        files = (path for path in images.rglob("*") if path.suffix.lower() in FRAME_SUFFIXES)
        found = [
            (path, (dataset / "Annotations" / path.relative_to(images)).with_suffix(".png"))
            for path in sorted(files, key=lambda path: natural_key(path.as_posix()))
        ]
    pairs = []
    for image, label in found:
        label = numbered_annotation(label)
        if list_path or label.is_file():  # a listed file that is missing is an error later
            pairs.append((image, label))
    if not pairs:
        raise InputError(
            f"{dataset}: expected JPEGImages/ and Annotations/ or Instances/, found no image with "
            "its annotation; name another --dataset or --list."
        )
    return list(dict.fromkeys(pairs))


def object_numbers(label: Path) -> list[int]:
    """The numbers of the objects of an annotation that are large enough."""
    objects = number_objects(label)
    areas = np.bincount(objects.ravel(), minlength=2)
    enough = MIN_SHARE * objects.size
    return [int(n) for n in np.flatnonzero(areas >= enough) if n > 0 and n < _VOID_NUMBER]


_VOID_NUMBER = 2**15


def number_objects(label: Path) -> np.ndarray:
    """int32 (H, W), 0 background, 1, 2, ... animals or pieces, _VOID_NUMBER void."""
    if has_numbers(label):
        values = read_numbers(label)
        objects = values.astype(np.int32)
        objects[values == UNNUMBERED] = _VOID_NUMBER
    else:
        values = read_label(label).values
        mask = ((values > 0) & (values != VOID)).astype(np.uint8)
        objects = cv2.connectedComponents(mask, connectivity=8)[1]
    objects[values == VOID] = _VOID_NUMBER
    return objects


def read_objects(objects: list[tuple[tuple[Path, Path], int]]) -> Iterator[LabelledObject]:
    """Reads the objects one after the other; those of one image follow each other."""
    last, index = None, -1
    for pair, number in objects:
        if pair != last:
            last, index = pair, index + 1
            image, numbers = read_image(pair[0]), number_objects(pair[1])
        target = (numbers == number).astype(np.uint8)
        target[numbers == _VOID_NUMBER] = VOID
        yield LabelledObject(index, f"{pair[0].as_posix()} {number}", image, target)


def evenly(items: list, count: int) -> list:
    """At most `count` of the items, evenly spaced."""
    if count >= len(items):
        return items
    return [items[round(i)] for i in np.linspace(0, len(items) - 1, count)]


# Clicks


def click_until_good(
    segmenter: Segmenter,
    labelled: LabelledObject,
    miss: float,
    max_clicks: int,
    rng: np.random.Generator,
) -> list[float]:
    """Clicks at the largest error, as the page would be clicked, until the highest level is
    reached.

    Returns: IoU after each click; at least FIRST_CLICKS, the last one repeated if need be.
    """
    target = labelled.target
    clicks, ious = [], []
    draft, clicked = np.zeros(target.shape, np.uint8), np.zeros(target.shape, bool)
    while len(clicks) < max_clicks and (not ious or max(ious) < LEVELS[-1]
                                        or len(clicks) < FIRST_CLICKS):  # fmt: skip
        click = next_click((target == 1) & (draft == 0), (target == 0) & (draft > 0), clicked)
        if click is None:
            break
        away, direction = miss * click.radius * rng.random(), 2 * np.pi * rng.random()
        x, y = click.x + away * np.cos(direction), click.y + away * np.sin(direction)
        clicked[int(y), int(x)] = clicked[int(click.y), int(click.x)] = True
        clicks.append({"x": float(x), "y": float(y), "positive": click.is_positive})
        prompt = parse_prompt(json.dumps({"animal": 1, "clicks": clicks}), *target.shape)
        marks = read_marks(prompt, draft)
        draft = segmenter.segment(labelled.image_index, labelled.image, marks)
        ious.append(overlap(draft > 0, target))
    return ious + ious[-1:] * (FIRST_CLICKS - len(ious))


def noc_name(level: float) -> str:
    return f"NoC@{round(100 * level)}"


def summarise(curves: list[list[float]], max_clicks: int) -> dict[str, float]:
    """The columns of the table, from the IoU after each click of each object."""
    row = {"objects": len(curves)}
    for level in LEVELS:
        reached = [
            next((k for k, value in enumerate(ious, 1) if value >= level), None) for ious in curves
        ]
        row[noc_name(level)] = float(np.mean([count or max_clicks for count in reached]))
        row[f"never {round(100 * level)}"] = sum(count is None for count in reached)
    for count in range(1, FIRST_CLICKS + 1):
        row[f"IoU {count}"] = float(np.mean([ious[count - 1] for ious in curves]))
    return row


if __name__ == "__main__":
    run_script(main, Config, __doc__)
