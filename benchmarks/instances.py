"""How well the animals of a group are told from each other, without any prompt: panoptic quality.

Two ways from the prompted network's mask to animals:

    components   each connected piece of the mask is an animal
    head         the instance head's centres and offsets split it, as for the proposals of
                 annotate.py

An animal found matches an annotated one if their IoU is above .5. SQ is the mean IoU of those that
match, RQ the F1 score of finding animals, and PQ = SQ * RQ (Kirillov et al., CVPR 2019). "count
error" is the mean distance between the numbers of animals found and annotated, "bias" the same with
its sign. What is found and covers less than 0.4 % of the image is left out. Images are taken at
their own size. Where a data set has no `Instances/`, only images whose mask is one piece count.

Reads   DIR/JPEGImages and DIR/Instances or DIR/Annotations, of all images or those of --list (lines
        `JPEGImages/ID.jpg Annotations/ID.png`); the weights of both networks.
Writes  the table to the screen; with --json all numbers, with --sheet a picture of some images.

    python -m benchmarks.instances --dataset DIR --list FILE
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from utils import backend, paths  # noqa: F401  backend before Keras: it starts it without noise

# isort: split
import cv2
import numpy as np
from PIL import Image
from tabulate import tabulate
from tqdm import tqdm

from benchmarks.clicks import evenly, list_pairs
from models import build_prompted_model
from utils.command_line import run_script, setting
from utils.errors import InputError
from utils.evaluation.panoptic_quality import PanopticQuality, match_animals, panoptic_quality
from utils.files import write_atomically, write_json
from utils.media.images import resize_image, scaled_size
from utils.media.overlay import draw_overlay
from utils.stage3.animal_grouping import Grouping, InstanceMaps, group_animals
from utils.stage3.instance_network import (
    WEIGHTS_NAME,
    find_instance_weights,
    load_instance_network,
)
from utils.training.animals import UNNUMBERED, AnimalSample, NumberedImage
from utils.training.prompted_network import PromptedNetwork
from utils.training.weights import find_weights, load_weights

COMPONENTS, HEAD = "components", "head"
SHEET_IMAGES = 12
_TILE = (200, 260)  # height and width in the sheet
_NUM_COLOURS = 20  # then they repeat


@dataclass(frozen=True)
class Config:
    dataset: Path = setting(
        paths.PASCAL_DATASET, "folder with JPEGImages/ and Instances/ or Annotations/"
    )
    list: Path | None = setting(None, "text file of image and annotation pairs (default: all)")
    images: int | None = setting(None, "at most so many images, evenly spaced (default: all)")
    weights: Path | None = setting(None, "prompted weights (default: those in weights/)")
    instances: Path | None = setting(None, "weights of the head (default: those in weights/)")
    sheet: Path | None = setting(
        None, "write a PNG here: annotation, components and head of some images"
    )
    json: Path | None = setting(None, "write all numbers here as well")


def main(config: Config) -> dict[str, PanopticQuality]:
    """Returns: the quality of each way."""
    samples = [AnimalSample(*pair) for pair in list_pairs(config.dataset, config.list)]
    samples = evenly(samples, config.images) if config.images else samples
    look = load_networks(config.weights, config.instances)
    matches, tiles = {COMPONENTS: [], HEAD: []}, []
    for numbered in tqdm(single_animals(samples), desc="images"):
        found = find_both_ways(look(numbered.image))
        for way, animals in found.items():
            matches[way].append(match_animals(animals, numbered.animals))
        if config.sheet:
            tiles.append(draw(numbered, found))
    if not matches[HEAD]:
        raise InputError(f"{config.dataset}: expected images of numbered animals, found none.")
    qualities = {way: panoptic_quality(of_images) for way, of_images in matches.items()}
    rows = [table_row(way, quality) for way, quality in qualities.items()]
    print("\n" + tabulate(rows, headers="keys", disable_numparse=True, stralign="right"))
    if config.sheet:
        sheet = Image.fromarray(np.vstack(evenly(tiles, SHEET_IMAGES)))
        write_atomically(config.sheet, lambda path: sheet.save(path, "PNG"))
    if config.json:
        write_json(config.json, {way: asdict(q) for way, q in qualities.items()})
    head, components = (100 * qualities[way].pq for way in (HEAD, COMPONENTS))
    print(f"PQ {head:.1f} components {components:.1f} gain {head - components:+.1f}")
    return qualities


def load_networks(
    weights: Path | None, instances: Path | None
) -> Callable[[np.ndarray], InstanceMaps]:
    """Returns: from an image, uint8 (H, W, 3) RGB, to what the head sees in it."""
    path, reason = find_weights("deeplab", weights, takes_prompts=True)
    model = build_prompted_model()
    facts = load_weights(model, path)
    instances = find_instance_weights(facts["sha256"], instances)
    if instances is None:
        raise InputError(
            f"{paths.PROMPTED_WEIGHTS / WEIGHTS_NAME}: no such file. Name the weights of an "
            "instance head with --instances."
        )
    print(f"weights: {path} ({reason}), {instances}", flush=True)
    prompted, head = PromptedNetwork(model), load_instance_network(model, instances)
    return lambda image: head.look_apart(prompted.look(image), *image.shape[:2])


def single_animals(samples: list[AnimalSample]) -> Iterator[NumberedImage]:
    """The images in which each number is sure to be one animal."""
    for sample in samples:
        numbered = sample.read()
        if numbered.are_single and numbered.numbers:
            yield numbered


def find_both_ways(maps: InstanceMaps) -> dict[str, np.ndarray]:
    """The animals of an image by the name of the way, int (H, W) each."""
    mask = (maps.mask > 0.5).astype(np.uint8)
    pieces = cv2.connectedComponents(mask, connectivity=8)[1]
    return {COMPONENTS: _without_crumbs(pieces), HEAD: _without_crumbs(group_animals(maps))}


def _without_crumbs(animals: np.ndarray) -> np.ndarray:
    is_animal = np.bincount(animals.ravel()) >= Grouping().min_share * animals.size
    is_animal[0] = False
    return (np.cumsum(is_animal) * is_animal)[animals]


def table_row(way: str, quality: PanopticQuality) -> dict[str, str | int]:
    return {
        "": way,
        "PQ": f"{100 * quality.pq:.1f}",
        "SQ": f"{100 * quality.sq:.1f}",
        "RQ": f"{100 * quality.rq:.1f}",
        "found": quality.num_matched,
        "of": quality.num_animals,
        "false": quality.num_false,
        "count error": f"{quality.count_error:.2f}",
        "bias": f"{quality.bias:+.2f}",
    }


def draw(numbered: NumberedImage, found: dict[str, np.ndarray]) -> np.ndarray:
    """A row of the sheet, uint8 (h, w, 3) RGB."""
    annotated = np.where(numbered.animals >= UNNUMBERED, 0, numbered.animals)
    tiles = []
    for animals in (annotated, *found.values()):
        numbers = np.where(animals > 0, 1 + (animals - 1) % _NUM_COLOURS, 0)
        shown = draw_overlay(numbered.image, numbers.astype(np.uint8))
        scale = min(_TILE[0] / animals.shape[0], _TILE[1] / animals.shape[1])
        height, width = scaled_size(*animals.shape, scale)
        tile = np.full((*_TILE, 3), 255, np.uint8)
        tile[:height, :width] = resize_image(shown, height, width)
        tiles.append(tile)
    return np.hstack(tiles)


if __name__ == "__main__":
    run_script(main, Config, __doc__)
