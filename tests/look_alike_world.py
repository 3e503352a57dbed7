"""Sources of look-alike videos, generated: a striped animal that walks, and images of animals."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from benchmarks.look_alike_sources import ImageSource, Individual, VideoSource
from utils.media.labels import write_label

HEIGHT, WIDTH = 120, 240
NUM_FRAMES = 40


def animal_at(x: float, y: float, length: int = 40) -> np.ndarray:
    """bool (HEIGHT, WIDTH): a body with a head on its right."""
    mask = np.zeros((HEIGHT, WIDTH), "uint8")
    cv2.ellipse(mask, (round(x), round(y)), (length // 2, length // 4), 0, 0, 360, 1, -1)
    cv2.circle(mask, (round(x + length / 2), round(y - length / 8)), length // 5, 1, -1)
    return mask > 0


def paint(mask: np.ndarray) -> np.ndarray:
    """uint8 (HEIGHT, WIDTH, 3): a red animal with stripes on green grass."""
    rng = np.random.default_rng(0)
    image = rng.integers(70, 110, (HEIGHT, WIDTH, 3)).astype("uint8") * np.array([0, 1, 0], "uint8")
    x = np.arange(WIDTH)
    red = np.stack([180 + 40 * (x % 8 < 4), 0 * x, 30 + 0 * x], -1).astype("uint8")
    return np.where(mask[..., None], red[None], image)


def write_sources(folder: Path) -> list[VideoSource | ImageSource]:
    """Writes DAVIS/ and instances/ and returns sources for each kind of crossing."""
    for index in range(NUM_FRAMES):
        mask = animal_at(110 + 0.4 * index, 62 + 2 * np.sin(index / 3))
        for kind, suffix in (("JPEGImages", "png"), ("Annotations", "png")):
            path = folder / "DAVIS" / kind / "480p" / "hen" / f"{index:05d}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            if kind == "JPEGImages":
                Image.fromarray(paint(mask)).save(path)
            else:
                write_label(path, mask)
    for name, length in (("cock", 100), ("yard", 20)):
        mask = animal_at(100, 60, length)
        path = folder / "instances" / "JPEGImages" / f"{name}.webp"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(paint(mask)).save(path, lossless=True)
        write_label(folder / "instances" / "Annotations" / f"{name}.png", mask)
    last = NUM_FRAMES - 1
    video = ("comes_out", "in_front", "behind")
    cock = Individual("instances/cock", 1)
    images = ("beside/3", "leaves")
    return [
        VideoSource("hen", "choose", 1, video, (0, last), (0, last)),
        ImageSource("cock", "evaluate", cock, "instances/yard", images, bystander=True),
    ]
