"""A results folder as stage 3 leaves it, made in a moment: an ellipse that moves over a pattern."""

import json
from collections.abc import Collection, Sequence
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
        label_animals: Sequence[int] | None = None,
        stems: list[str] | None = None,
        **record,
    ) -> None:
        """One video with its masks and record.

        Args:
            name: The video's name.
            masks: One per frame, uint8 (height, width); default: the moving ellipse.
            annotated: Frames that the data set has an annotation of.
            labelled: Frames that were labelled; None writes no record.
            is_file: The input is an MP4 with uneven times, not a folder of frames.
            overlay: Also writes the overlay video and the contact sheet.
            label_animals: The animals of the label; default: those in the masks.
            stems: Names of the frames.
            **record: More of run.json.
        """
        masks = [animal(index) for index in range(NUM_FRAMES)] if masks is None else masks
        stems = stems or [f"{index:05d}" for index in range(len(masks))]
        folder = self.dataset / "JPEGImages" / name
        source = self.write_input(folder, stems, is_file)
        shown = {int(number) for mask in masks for number in np.unique(mask)} - {0}
        animals = sorted(shown if label_animals is None else label_animals) or [1]
        paths = [self.results / "segmentation" / name / f"{stem}.png" for stem in stems]
        for index, (path, mask) in enumerate(zip(paths, masks, strict=True)):
            write_label(path, mask, animals)
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
                    "animals": animals,
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

    def leave_unfinished(self, name: str, num_masks: int) -> None:
        """Leaves a video as a run does that is killed after writing `num_masks` masks."""
        run_dir = self.results / "runs" / name
        (run_dir / "run.json").unlink()
        (run_dir / "partial").mkdir()
        for path in sorted((self.results / "segmentation" / name).iterdir())[num_masks:]:
            path.unlink()
