"""A segmented video of two animals that meet, with the mistakes that stage 3 makes there.

Animal 1 goes from left to right, animal 2 from right to left just below it. They touch in frames 5
and 6, and their masks are swapped from frame 7 on.
"""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from utils.media.labels import read_label, write_label
from utils.media.overlay import write_overlays
from utils.media.videos import FrameFolder

HEIGHT, WIDTH, NUM_FRAMES = 150, 200, 12
MEETING, SWAPPED_FROM = (5, 6), 7


def truth(index: int) -> np.ndarray:
    """uint8 (HEIGHT, WIDTH): the animals of a frame."""
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    for animal, left, top in ((1, 8 + 14 * index, 40), (2, 162 - 14 * index, 70)):
        labels[top : top + 30, left : left + 30] = animal
    if index not in MEETING:
        labels[68:70] = labels[70:72] = 0
    return labels


def segmented(index: int) -> np.ndarray:
    """uint8 (HEIGHT, WIDTH): what stage 3 made of it."""
    labels = truth(index)
    return np.array([0, 2, 1], np.uint8)[labels] if index >= SWAPPED_FROM else labels


def picture(index: int) -> np.ndarray:
    image = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
    image[truth(index) > 0] = (220, 200, 180)
    return image


class Crossing:
    """A video and its results below a folder.

    Args:
        root: of frames and results.
        masks: frame -> its mask; default: `segmented`.
        animals: their numbers, as in run.json.
        name: of the video.
    """

    def __init__(
        self, root: Path, masks=segmented, animals=(1, 2), confidence=None, name: str = "pair"
    ):
        self.results, self.frames = root / "results", root / "frames" / name
        self.frames.mkdir(parents=True)
        for index in range(NUM_FRAMES):
            Image.fromarray(picture(index)).save(self.frames / f"{index:05d}.png")
            write_label(self.mask_path(index), masks(index), animals)
        self.video = FrameFolder(self.frames, name)
        self.run_dir = self.results / "runs" / name
        self.run_dir.mkdir(parents=True)
        curve = {"confidence": confidence or [0.95] * NUM_FRAMES}
        (self.run_dir / "confidence.json").write_text(json.dumps(curve))
        self.write_record(animals)

    def write_record(self, animals=(1, 2)):
        record = {"input": str(self.frames), "num_frames": NUM_FRAMES, "labelled_frames": [0]}
        record |= {"animals": list(animals), "key": {"sha256": {"frames": self.video.sha256()}}}
        (self.run_dir / "run.json").write_text(json.dumps(record))

    def write_overlay(self):
        folder = self.results / "overlay"
        write_overlays(folder, self.run_dir, self.video, self.mask, [0])

    def mask_path(self, index: int) -> Path:
        return self.results / "segmentation" / self.frames.name / f"{index:05d}.png"

    def mask(self, index: int) -> np.ndarray:
        return read_label(self.mask_path(index)).values

    def list(self) -> list[dict]:
        return json.loads((self.run_dir / "corrections.json").read_text())["corrections"]
