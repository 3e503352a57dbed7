"""A data set with one small video and its labels, for the tests of finding and choosing labels."""

from pathlib import Path

import numpy as np
from PIL import Image

from utils import paths
from utils.inputs.guidance import choose_guidance
from utils.inputs.sequences import open_dataset_sequence

SIZE = (12, 16)


def animal_label() -> np.ndarray:
    label = np.zeros(SIZE, "uint8")
    label[3:8, 4:9] = 255
    return label


def write_label(path: Path, label: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(animal_label() if label is None else label).save(path)
    return path


def write_frames(folder: Path, names) -> Path:
    folder.mkdir(parents=True)
    for name in names:
        Image.new("RGB", SIZE[::-1], (90, 80, 70)).save(folder / f"{name}.png")
    return folder


class World:
    """A data set with one video, `hen`, of 9 frames; labels in the three places they may be."""

    def __init__(self, root: Path, layout: str = "480p"):
        self.root, self.dataset = root, root / "dataset"
        self.frames = self.dataset / "JPEGImages" / layout / "hen"
        self.annotations = self.dataset / "Annotations" / layout / "hen"
        write_frames(self.frames, [f"{i:05d}" for i in range(9)])

    def annotate(self, *frames):
        for frame in frames:
            write_label(self.annotations / f"{frame:05d}.png")

    def annotate_in_labels(self, *frames):
        for frame in frames:
            write_label(paths.LABELS / "hen" / f"{frame:05d}.png")

    def open(self, *labels, guidance="auto"):
        return open_dataset_sequence(self.dataset, "hen", labels, guidance)

    def choose(self, guidance="auto", selected=(), labels=()):
        by = "bubblenet_select.py (BNLF)"
        sequence = self.open(*labels, guidance=guidance)
        return choose_guidance(sequence, guidance, selected, by)
