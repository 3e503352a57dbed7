"""Makes one look-alike video from its source: draws ways until one shows the crossing, and renders.

Not a benchmark itself; see look_alikes.py.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

from benchmarks.look_alike_paths import Meeting, Way, draw_way
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
    soften,
)
from benchmarks.look_alike_sources import THIRD, ImageSource, Individual, VideoSource
from utils.inputs.sequences import sequence_dir
from utils.media.images import list_frames, read_image
from utils.media.labels import read_label
from utils.media.regions import distance_to

LABELLED, SECOND, BYSTANDER = 1, 2, 3  # numbers in the annotations
IMAGE_SIZE = (360, 480)  # of videos made from images
SEARCHED_AT = 0.25  # size at which ways are tried
NUM_SCENES, NUM_WAYS = 12, 60  # drawn at most, until one way shows the crossing


@dataclass(frozen=True)
class Actor:
    """An animal that is drawn into a video.

    Attributes:
        cuts: its cut-out in each frame.
        scales: (frames,), at which it is as large as the labelled animal.
        faces: 1 where its cut-outs look to the right, -1 to the left.
        bending: how it moves; None where its cut-outs do.
    """

    cuts: list[CutOut]
    scales: np.ndarray
    faces: int
    bending: Bending | None = None


@dataclass(frozen=True)
class Scene:
    """Everything but the ways of the others.

    Attributes:
        frames: uint8 (H, W, 3) RGB, without what is drawn.
        labelled: the labelled animal in each frame.
        feet: (frames, 2), its place, px.
        body: (frames,), its length, px.
        second, bystander: the other animals.
        fast: whether only every third frame is kept.
    """

    frames: list[np.ndarray]
    labelled: list[Layer]
    feet: np.ndarray
    body: np.ndarray
    second: Actor
    bystander: Actor | None
    fast: bool


@dataclass(frozen=True)
class LookAlikeFrame:
    """One frame with all animals, and with the labelled one alone: images uint8 (H, W, 3) RGB, and
    the numbers of the animals, uint8 (H, W)."""

    image: np.ndarray
    numbers: np.ndarray
    alone: np.ndarray
    alone_numbers: np.ndarray


def make_video(
    folder: Path, source: VideoSource | ImageSource, crossing: str, seed: int
) -> Iterator[LookAlikeFrame]:
    """Makes a video of 20 to 30 frames.

    Args:
        folder: with DAVIS/, instances/ and voc_animals/.
        source: its animals and its scene.
        crossing: one of the source's.
        seed: the same seed gives the same video.

    Raises:
        InputError: a file of the source is missing.
        RuntimeError: no way shows the crossing; the source does not suit it.
    """
    rng = np.random.default_rng([seed, zlib.crc32(f"{source.name} {crossing}".encode())])
    crossing, fast = crossing.removesuffix(THIRD), crossing.endswith(THIRD)
    stage = _stage_video if isinstance(source, VideoSource) else _stage_images
    for _ in range(NUM_SCENES):
        scene = stage(folder, source, fast, rng)
        way = _find_way(scene, crossing, rng)
        if way:
            break
    else:
        raise RuntimeError(f"{source.name}: no way of {NUM_SCENES * NUM_WAYS} shows {crossing}")
    aside = None if scene.bystander is None else _stand_apart(scene, way, rng)
    for index, frame in enumerate(scene.frames):
        labelled = scene.labelled[index]
        layers = [labelled]
        layers.insert(way.in_front, _draw_actor(scene, scene.second, way, index, SECOND))
        if aside is not None:
            layers.insert(0, _draw_actor(scene, scene.bystander, aside, index, BYSTANDER))
        yield LookAlikeFrame(*compose(frame, layers), *compose(frame, [labelled]))


def _stage_video(folder: Path, source: VideoSource, fast: bool, rng: np.random.Generator) -> Scene:
    step = 3 if fast else 1
    first, last = source.stage
    num_frames = min(int(rng.integers(22, 29)), (last - first) // step + 1)
    start = first + int(rng.integers(last - first - (num_frames - 1) * step + 1))
    indices = start + step * np.arange(num_frames)
    low, high = source.others
    span = high - low
    later = (indices - low + rng.integers(span // 3, 2 * span // 3 + 1)) % (2 * span)
    others = low + np.where(later > span, 2 * span - later, later)  # at the end, backwards

    paths = list_frames(sequence_dir(folder / "DAVIS", "JPEGImages", source.name))
    annotations = sequence_dir(folder / "DAVIS", "Annotations", source.name)
    read = {i: read_image(paths[i]) for i in sorted({*indices, *others})}
    masks = {i: read_label(annotations / f"{paths[i].stem}.png").values == 1 for i in read}
    frames, sizes = [read[i] for i in indices], _sizes(masks)
    labelled = [Layer(read[i], soften(masks[i]), LABELLED) for i in indices]
    feet = np.array([_feet(masks[i]) for i in indices])
    feet = gaussian_filter1d(feet, 3 / step, axis=0, mode="nearest")
    widths = np.array([np.ptp(np.flatnonzero(masks[i].any(0))) for i in indices])
    size, other_size = (_trend([sizes[i] for i in chosen]) for chosen in (indices, others))
    gain = recolour(np.full((1, 1, 3), 128, "uint8"), rng) / 128.0
    cuts = {i: cut_out(np.clip(read[i] * gain, 0, 255).astype("uint8"), masks[i]) for i in others}
    second = Actor([cuts[i] for i in others], size / other_size, source.faces)
    body = size * np.median(widths / size)
    return Scene(frames, labelled, feet, body, second, None, fast)


def _stage_images(folder: Path, source: ImageSource, fast: bool, rng: np.random.Generator) -> Scene:
    num_frames, speed = int(rng.integers(22, 29)), 3 if fast else 1
    height, width = IMAGE_SIZE
    walk = source.labelled.faces * rng.uniform(0.02, 0.12) * width * min(speed, 2)
    frames = list(_pan(folder, source, num_frames, walk, rng))
    middle, ground = rng.uniform(0.42, 0.58) * width, rng.uniform(0.68, 0.8) * height
    x = middle + np.linspace(-0.5, 0.5, num_frames) * walk
    bob = 0.008 * height * np.sin(2 * np.pi * speed * np.arange(num_frames) / rng.uniform(8, 14))
    feet = np.stack([x, ground + bob], axis=1)
    length = rng.uniform(0.24, 0.4) * width

    def make_actor(individual: Individual, other: bool) -> Actor:
        image, mask = read_animal(folder, individual.image)
        height, width = np.ptp(np.argwhere(mask), axis=0) + 1
        image = cv2.GaussianBlur(image, (0, 0), 0.7)  # as soft as the scene
        cut = cut_out(recolour(image, rng) if other else image, mask, length / max(height, width))
        bending = draw_bending(rng, 0.02, 0.035 if source.walks else 0.0, speed)
        return Actor([cut] * num_frames, np.ones(num_frames), individual.faces, bending)

    animal = make_actor(source.labelled, other=False)
    labelled = [
        draw(cut, place(cut, at, 1.0, False), IMAGE_SIZE, LABELLED, animal.bending, index)
        for index, (cut, at) in enumerate(zip(animal.cuts, feet, strict=True))
    ]
    body = np.full(num_frames, np.ptp(np.flatnonzero(labelled[0].opacity.max(0) > 0.5)), float)
    second = make_actor(source.second or source.labelled, other=True)
    bystander = make_actor(source.second or source.labelled, True) if source.bystander else None
    return Scene(frames, labelled, feet, body, second, bystander, fast)


def _pan(
    folder: Path, source: ImageSource, num_frames: int, walk: float, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """The scene as a camera sees it that follows slowly, and not quite steadily."""
    image, mask = read_animal(folder, source.scene, void=True)
    image = empty_scene(image, mask)
    height, width = IMAGE_SIZE
    zoom = 1.12 * max(height / image.shape[0], width / image.shape[1])
    room = np.array([image.shape[1] * zoom - width, image.shape[0] * zoom - height])
    moves = np.sign(walk) * rng.uniform(0.2, 0.8), rng.uniform(-0.2, 0.2)
    shake = gaussian_filter1d(rng.normal(0, 1.5, (num_frames, 2)), 2, axis=0)
    for index, progress in enumerate(np.linspace(-0.5, 0.5, num_frames)):
        x, y = np.clip((np.array([0.5, 0.7]) + progress * np.array(moves)) * room, 3, room - 3)
        corner = np.array([x, y]) + shake[index]
        matrix = np.hstack([zoom * np.eye(2), -corner[:, None]])
        yield cv2.warpAffine(
            image, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
        )


def _find_way(scene: Scene, crossing: str, rng: np.random.Generator) -> Way | None:
    height, width = scene.frames[0].shape[:2]
    small = round(height * SEARCHED_AT), round(width * SEARCHED_AT)
    labelled = [cv2.resize(layer.opacity, small[::-1]) > 0.5 for layer in scene.labelled]
    shown = []
    for _ in range(NUM_WAYS):
        roomier = 1 if scene.feet[-1, 0] < width / 2 else -1
        side = roomier if rng.random() < 0.8 else -roomier
        way = draw_way(crossing, len(scene.frames), side, scene.fast, rng)
        if _meet(scene, way, labelled, small).shows(crossing):
            shown.append(way)
            if crossing != "comes_out":
                break
    # What can hide at all is small; the largest looks most like the labelled animal.
    return max(shown, key=lambda way: way.scale, default=None)


def _meet(scene: Scene, way: Way, labelled: list[np.ndarray], size: tuple[int, int]) -> Meeting:
    rows = []
    for index, first in enumerate(labelled):
        layer = _draw_actor(scene, scene.second, way, index, SECOND, size)
        second = layer.opacity > 0.5
        whole = (scene.second.cuts[index].opacity > 0.5).sum()
        whole = whole * (way.scale * scene.second.scales[index] * SEARCHED_AT) ** 2
        seen = (first & ~second, second) if way.in_front else (first, second & ~first)
        gap = distance_to(seen[0])[seen[1]].min(initial=np.inf) - 1  # neighbours are 1 px apart
        rows.append(
            (
                seen[0].sum() / max(first.sum(), 1),
                seen[1].sum() / whole,
                min(1.0, second.sum() / whole),
                gap / np.hypot(*size),
            )
        )
    return Meeting(*np.array(rows).T)


def _stand_apart(scene: Scene, way: Way, rng: np.random.Generator) -> Way:
    """A bystander's way: it stays further back, on the side where the second animal is not."""
    side = -np.sign(way.offsets[:, 0].sum()) or 1
    offsets = np.array([side * rng.uniform(1.05, 1.3), -rng.uniform(0.15, 0.3)])
    sway = 0.02 * np.sin(np.arange(len(scene.frames)) / 5)
    offsets = offsets + np.stack([sway, np.zeros_like(sway)], axis=1)
    return Way(offsets, rng.uniform(0.5, 0.75), False, int(rng.choice([-1, 1])))


def _draw_actor(
    scene: Scene,
    actor: Actor,
    way: Way,
    index: int,
    number: int,
    size: tuple[int, int] | None = None,
) -> Layer:
    """Draws an animal other than the labelled one; at a smaller `size`, the whole frame shrinks."""
    whole = scene.frames[index].shape[:2]
    shrunk = 1.0 if size is None else size[0] / whole[0]
    at = scene.feet[index] + way.offsets[index] * scene.body[index]
    scale = way.scale * actor.scales[index]
    matrix = place(actor.cuts[index], at, scale, way.direction != actor.faces)
    return draw(actor.cuts[index], matrix * shrunk, size or whole, number, actor.bending, index)


def read_animal(folder: Path, name: str, void: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """An image and the mask of its animal (with `void`, of whatever its annotation marks)."""
    data, stem = name.split("/")
    label = read_label(folder / data / "Annotations" / f"{stem}.png").values
    image = read_image(folder / data / "JPEGImages" / f"{stem}.webp")
    return image, label > 0 if void else label == 1


def _feet(mask: np.ndarray) -> tuple[float, float]:
    ys, xs = np.nonzero(mask)
    return xs.mean(), ys.max()


def _sizes(masks: dict[int, np.ndarray]) -> dict[int, float]:
    return {index: float(np.sqrt(mask.sum())) for index, mask in masks.items()}


def _trend(sizes: list[float]) -> np.ndarray:
    """A steady change instead of every turn of the body."""
    frames = np.arange(len(sizes))
    return np.exp(np.polyval(np.polyfit(frames, np.log(sizes), 1), frames))
