"""A results folder as stage 3 leaves it, made in a moment: an ellipse that moves over a pattern."""

import json
from collections.abc import Collection
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from utils.media.labels import write_label
from utils.media.overlay import write_contact_sheet, write_overlay_video
from utils.media.video_writing import write_video
from utils.media.videos import FrameFolder

NUM_FRAMES = 12
HEIGHT, WIDTH = 64, 96
FRAME_SECONDS = 0.1


def animal(index: int) -> np.ndarray:
    """uint8 (HEIGHT, WIDTH): the animal of frame `index`, 2 px further right in each."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.ellipse(mask, (30 + 2 * index, 34), (18, 9), -30, 0, 360, 1, -1)
    return mask


def frame(index: int) -> np.ndarray:
    """uint8 (HEIGHT, WIDTH, 3): orange animal on a smooth green ground that says its index."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    ground = np.stack([20 * np.ones_like(x), 80 + y, 40 + x], axis=-1)
    ground[:8, :8] = 20 * index
    return np.where(animal(index)[..., None] > 0, (220, 120, 40), ground).astype(np.uint8)


class MadeResults:
    """`root/results`, and `root/dataset` with frames and annotations."""

    def __init__(self, root: Path):
        self.root, self.results, self.dataset = root, root / "results", root / "dataset"

    def add(
        self,
        name: str,
        masks: list[np.ndarray] | None = None,
        annotated: Collection[int] = (),
        labelled: tuple[int, ...] | None = (3,),
        is_file: bool = False,
        overlay: bool = False,
        stems: list[str] | None = None,
        **record,
    ) -> None:
        """One video with its masks and record; `is_file`: its input is an MP4 of uneven times."""
        masks = [animal(index) for index in range(NUM_FRAMES)] if masks is None else masks
        stems = stems or [f"{index:05d}" for index in range(len(masks))]
        folder = self.dataset / "JPEGImages" / name
        source = self.write_input(folder, stems, is_file)
        num_animals = max(int(mask.max()) for mask in masks)
        paths = [self.results / "segmentation" / name / f"{stem}.png" for stem in stems]
        for index, (path, mask) in enumerate(zip(paths, masks, strict=True)):
            write_label(path, mask, range(1, max(1, num_animals) + 1))
            if index in annotated:
                annotation = self.dataset / "Annotations" / name / path.name
                write_label(annotation, animal(index))
        if labelled is not None:
            self.write_record(
                name,
                {
                    "input": str(source),
                    "num_frames": len(masks),
                    "labelled_frames": list(labelled),
                    "guidance": "the only labelled frame",
                    "seconds": {"total": 90.0},
                    "key": {"seed": 0, "preset": {"lines": 480}, "sha256": {"weights": "abc123"}},
                    **record,
                },
            )
        if overlay:
            video = FrameFolder(folder, name)
            for suffix, write in ((".mp4", write_overlay_video), (".png", write_contact_sheet)):
                path = self.results / "overlay" / f"{name}{suffix}"
                write(path, video, lambda index: masks[index], labelled or ())

    def write_input(self, folder: Path, stems: list[str], is_file: bool) -> Path:
        if is_file:
            times = [FRAME_SECONDS * index + 0.05 * (index > 4) for index in range(len(stems))]
            path = self.root / f"{folder.name}.mp4"
            write_video(path, (frame(index) for index in range(len(stems))), times, 10)
            return path
        folder.mkdir(parents=True)
        for index, stem in enumerate(stems):
            Image.fromarray(frame(index)).save(folder / f"{stem}.jpg", quality=95)
        return folder

    def write_record(self, name: str, record: dict, file: str = "run.json") -> None:
        path = self.results / "runs" / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record))

    def mask_path(self, name: str, index: int) -> Path:
        return self.results / "segmentation" / name / f"{index:05d}.png"
