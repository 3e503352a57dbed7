"""Makes short videos of labelled photographs, to compare weights on animals that none has seen.

The animal is cut out and set back over its photograph without it, in the first frame where it was.
From there it walks, turns, grows or shrinks and bends, the camera moves, and the light changes: the
label shows one view, and the last frames are strongly altered ones. All is drawn at random, once.

Reads   the pairs of --list, relative to --dataset, that were not trained on. It draws photographs
        in which one animal, in one piece, is whole, neither tiny nor as large as the frame.
Writes  OUTPUT/JPEGImages/480p and OUTPUT/Annotations/480p, the videos with all masks.

    python -m benchmarks.still_videos --dataset DIR --list DIR/voc_animals_val.txt --output stills
    python -m benchmarks.ablation --dataset stills --rows fast --weights FILE --results RESULTS
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from benchmarks.look_alike_scenes import compose, cut_out, draw, draw_bending, empty_scene, place
from benchmarks.look_alikes import write_video
from utils import paths
from utils.command_line import check_one_or_more, check_seed, run_script, setting
from utils.errors import InputError
from utils.media.images import read_image
from utils.media.labels import VOID, read_label
from utils.training.pair_lists import read_pairs

ANIMAL = 1  # its number
AREA = (0.05, 0.35)  # of the photograph, the smallest and the largest animal
WHOLE = 0.97  # share of the animal that is its largest piece
BORDER = 3  # px of the photograph's edge that a whole animal does not touch
BODY, LEGS = 0.03, 0.035  # how far it bends, see `Bending`
ZOOM = 1.15  # of the photograph behind: room for the camera to move


@dataclass(frozen=True)
class Config:
    dataset: Path = setting(paths.PASCAL_DATASET, "folder with JPEGImages/ and Annotations/")
    list: Path = setting(paths.PASCAL_VALIDATION_LIST, "text file of image and annotation pairs")
    videos: int = setting(5, "how many to make")
    frames: int = setting(16, "of each video")
    seed: int = setting(0, "of photographs and movements")
    output: Path = setting(paths.RESULTS / "still_videos", "where the videos are written")


def main(config: Config) -> None:
    check_one_or_more(config, ("videos", "frames"))
    check_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    pairs = list(dict.fromkeys(read_pairs(config.list)))
    made = 0
    for index in rng.permutation(len(pairs)):
        if made == config.videos:
            break
        image_path, label_path = (config.dataset / name for name in pairs[index])
        label = read_label(label_path).values
        if not shows_one_whole_animal(label):
            continue
        image = read_image(image_path)
        write_video(
            config.output,
            image_path.stem,
            list(make_video(image, label, config.frames, rng)),
            (ANIMAL,),
        )
        made += 1
        print(f"{image_path.stem}: {config.frames} frames", flush=True)
    if made < config.videos:
        raise InputError(
            f"{config.list}: expected {config.videos} images of one whole animal, found {made}."
        )


def shows_one_whole_animal(label: np.ndarray) -> bool:
    """Whether a video can be made of a photograph.

    Args:
        label: uint8 (H, W): 1 animal, 0 background, 255 void.
    """
    animal = label == ANIMAL
    if set(np.unique(label)) - {0, ANIMAL, VOID} or not AREA[0] <= animal.mean() <= AREA[1]:
        return False
    inner = animal[BORDER:-BORDER, BORDER:-BORDER]
    pieces = cv2.connectedComponentsWithStats(animal.astype("uint8"))[2][1:, cv2.CC_STAT_AREA]
    return inner.sum() == animal.sum() and pieces.max() >= WHOLE * animal.sum()


def make_video(
    image: np.ndarray, label: np.ndarray, num_frames: int, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Draws the animal of a photograph as it moves.

    Args:
        image: uint8 (H, W, 3) RGB.
        label: uint8 (H, W): 1 animal, 0 background, 255 void.
        num_frames: 2 or more.
        rng: decides everything.

    Yields: each frame, uint8 (H, W, 3) RGB, and uint8 (H, W), 1 where it shows the animal.
    """
    height, width = size = label.shape
    animal = label == ANIMAL
    scene, cut = empty_scene(image, label > 0), cut_out(image, animal)
    ys, xs = np.nonzero(animal)
    start = np.array([xs.mean(), ys.max()])
    middle = np.array([width, height]) / 2
    side = np.sign(middle[0] - start[0]) or 1.0  # there is more room
    shift = np.array([side * rng.uniform(0.1, 0.25) * width, rng.uniform(-0.08, 0.08) * height])
    growth = rng.choice([-1, 1]) * rng.uniform(0.2, 0.45)  # of the logarithm of its size
    if growth > 0 and animal.mean() > AREA[1] / 2:
        growth = -growth
    degrees = rng.choice([-1, 1]) * rng.uniform(8, 20)
    pan = rng.uniform(-1, 1, 2) * (ZOOM - 1) / 2 * np.array([width, height])
    light = rng.choice([-1, 1]) * rng.uniform(0.25, 0.5)  # of the logarithm of the brightness
    tint = rng.uniform(-0.12, 0.12, 3)
    bending = draw_bending(rng, BODY, LEGS, 1.0)
    for index, progress in enumerate(np.linspace(0, 1, num_frames)):
        # The body bends more and more: the first frame shows the animal as it was.
        matrix = place(
            cut, start + progress * shift, np.exp(progress * growth), False, progress * degrees
        )
        bent = min(1.0, 3 * progress)
        pose = replace(bending, body=BODY * bent, legs=LEGS * bent)
        layer = draw(cut, matrix, size, ANIMAL, pose, index)
        corner = (ZOOM - 1) * middle + progress * pan
        behind = cv2.warpAffine(
            scene,
            np.hstack([ZOOM * np.eye(2), -corner[:, None]]),
            (width, height),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT,
        )
        frame, numbers = compose(behind, [layer])
        yield np.clip(frame * np.exp(progress * (light + tint)), 0, 255).astype("uint8"), numbers


if __name__ == "__main__":
    run_script(main, Config, __doc__)
