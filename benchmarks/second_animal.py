"""J and F of stage 3 when a second animal of the same kind comes by.

The second one is the first itself at another moment of the video, mirrored, a little smaller, that
passes behind it: nothing but place and motion tells them apart. The truth is the video's own.

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
    sequences: tuple[str, ...] = setting((), "names of the data set's videos; all if absent")
    start: tuple[float, float] = setting(
        (0.6, -0.05), "place of the second animal at first, from the first one: shares of the "
        "frame's width and height, right and down"
    )  # fmt: skip
    end: tuple[float, float] = setting((-0.1, -0.05), "at last")
    scale: float = setting(0.8, "its size, of the first one's")
    preset: PresetName = setting("default", "of finetune_test.py")
    seed: int = setting(0, "of fine-tuning")
    results: Path = setting(paths.RESULTS / "second_animal", "where everything goes")


def main(config: Config) -> None:
    names = choose_sequences(config.dataset, config.sequences)
    data = config.results / "data"
    for name in names:
        write_video(config, data, name)
    run = start_stage3(data, config.results, None, config.preset, config.seed)
    for name in names:
        result = run(name, [0])
        print(f"{name} with a second animal: J {result.j:.3f}  F {result.f:.3f}", flush=True)


def write_video(config: Config, data: Path, name: str) -> None:
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
    """Sets the animal of a third of the video later, mirrored, behind the animal of each frame.

    Args:
        images: uint8 (H, W, 3) RGB.
        masks: bool (H, W), the animal; none may be empty.
        start, end: from the animal's centre to that of the second one, in shares of W and H, in the
            first and in the last frame; between, it moves evenly.
        scale: of the second one.

    Returns: uint8 (H, W, 3) RGB.
    """
    count = len(images)
    height, width = masks[0].shape
    centres = [np.argwhere(mask).mean(0)[::-1] for mask in masks]  # x, y
    path = np.linspace(start, end, count) * (width, height)
    result = []
    for index, (image, mask) in enumerate(zip(images, masks, strict=True)):
        later = index + count // 3
        later = min(later, 2 * (count - 1) - later)  # at the end of the video back again
        x, y = centres[index] + path[index]
        from_x, from_y = centres[later]
        matrix = np.float32([[-scale, 0, x + scale * from_x], [0, scale, y - scale * from_y]])
        second = cv2.warpAffine(images[later], matrix, (width, height))
        opacity = cv2.warpAffine(_soft(masks[later]), matrix, (width, height))
        opacity = (opacity * (1 - _soft(mask)))[..., None]
        result.append(np.round(image * (1 - opacity) + second * opacity).astype("uint8"))
    return result


def _soft(mask):
    return cv2.GaussianBlur(mask.astype("float32"), (3, 3), 0)


if __name__ == "__main__":
    run_script(main, Config, __doc__)
