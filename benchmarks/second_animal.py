"""J and F of stage 3 when a second animal of the same kind passes by.

The second animal is the first one at another moment of the video, mirrored and a little smaller,
and it passes behind the first: only place and motion tell them apart. The masks are scored against
the annotations of the video.

Reads   a data set with all frames annotated.
Writes  RESULTS/data, the videos with their second animal, and RESULTS/00000, results of
        finetune_test.py with frame 0 labelled.

    python -m benchmarks.second_animal --dataset DIR --sequences rhino --start .55 -.05 --end -.15 -.08
"""  # noqa: E501  the command as it is typed

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from utils import backend, paths  # noqa: F401  backend before Keras: it starts it without noise

# isort: split
import cv2
import numpy as np

from benchmarks.stage3_runs import start_stage3
from utils.annotator.frame_reader import encode_jpeg
from utils.command_line import run_script, setting
from utils.files import write_atomically
from utils.inputs.sequences import choose_sequences, open_dataset_sequence
from utils.media.labels import read_labels, write_label
from utils.stage3.presets import PresetName


@dataclass(frozen=True)
class Config:
    dataset: Path = setting(
        paths.FINETUNE_TEST_DATASET, "folder with JPEGImages/ and Annotations/ of all frames"
    )
    sequences: tuple[str, ...] = setting((), "names of the data set's videos (default: all)")
    start: tuple[float, float] = setting(
        (0.6, -0.05), "in the first frame, from the first animal to the second: shares of the "
        "frame's width and height, right and down"
    )  # fmt: skip
    end: tuple[float, float] = setting((-0.1, -0.05), "the same in the last frame")
    scale: float = setting(0.8, "size of the second animal as a share of the first")
    preset: PresetName = setting("default", "preset of finetune_test.py")
    seed: int = setting(0, "seed of fine-tuning")
    results: Path = setting(paths.RESULTS / "second_animal", "folder for videos and runs")


def main(config: Config) -> None:
    names = choose_sequences(config.dataset, config.sequences)
    data = config.results / "data"
    for name in names:
        write_video_with_second_animal(config, data, name)
    run = start_stage3(data, config.results, None, config.preset, config.seed)
    for name in names:
        result = run(name, [0])
        print(f"{name} with a second animal: J {result.j:.3f}  F {result.f:.3f}", flush=True)


def write_video_with_second_animal(config: Config, data: Path, name: str) -> None:
    """Writes frames and annotations of a video with its second animal."""
    sequence = open_dataset_sequence(config.dataset, name)
    video = sequence.video
    images = [video.read(index) for index in range(len(video))]
    labels = read_labels([sequence.annotation_dir / f"{n}.png" for n in video.frame_names])
    masks = [label.values == 1 for label in labels]
    images = add_second_animal(images, masks, config.start, config.end, config.scale)
    frames, annotations = data / "JPEGImages" / "480p" / name, data / "Annotations" / "480p" / name
    for stem, image, mask in zip(video.frame_names, images, masks, strict=True):
        encoded = encode_jpeg(image, None, quality=95)
        write_atomically(
            frames / f"{stem}.jpg",
            lambda temporary_path, data=encoded: temporary_path.write_bytes(data),
        )
        write_label(annotations / f"{stem}.png", mask)


def add_second_animal(
    images: Sequence[np.ndarray],
    masks: Sequence[np.ndarray],
    start: tuple[float, float],
    end: tuple[float, float],
    scale: float,
) -> list[np.ndarray]:
    """Draws the animal from a third of the video later, mirrored, behind the animal of each frame.

    Args:
        images: uint8 (H, W, 3) RGB.
        masks: bool (H, W), the animal; none may be empty.
        start, end: from the animal's centre to that of the second animal in the first and in the
            last frame, in shares of W and H; in between, the offset changes evenly.
        scale: size of the second animal as a share of the first.

    Returns: uint8 (H, W, 3) RGB.
    """
    count = len(images)
    height, width = masks[0].shape
    centres = [np.argwhere(mask).mean(0)[::-1] for mask in masks]  # x, y
    path = np.linspace(start, end, count) * (width, height)
    result = []
    for index, (image, mask) in enumerate(zip(images, masks, strict=True)):
        later = index + count // 3
        later = min(later, 2 * (count - 1) - later)  # from the end of the video backwards
        x, y = centres[index] + path[index]
        from_x, from_y = centres[later]
        matrix = np.float32([[-scale, 0, x + scale * from_x], [0, scale, y - scale * from_y]])
        second = cv2.warpAffine(images[later], matrix, (width, height))
        opacity = cv2.warpAffine(_softened(masks[later]), matrix, (width, height))
        opacity = (opacity * (1 - _softened(mask)))[..., None]
        result.append(np.round(image * (1 - opacity) + second * opacity).astype("uint8"))
    return result


def _softened(mask: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(mask.astype("float32"), (3, 3), 0)


if __name__ == "__main__":
    run_script(main, Config, __doc__)
