"""Makes docs/cockatoo.gif, the animation at the top of README.md, from the bundled sample.

Left, the one labelled frame; right, the mask of every frame.

Reads   datasets/sample and RESULTS/segmentation/cockatoo, the masks of
        `python finetune_test.py --dataset datasets/sample`.

Writes  docs/cockatoo.gif.

Command: python -m docs.make_animation
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from utils import paths
from utils.command_line import run_script, setting

SEQUENCE = "cockatoo"
PANEL_PX = (360, 202)  # width, height of each of the two pictures
GAP_PX = 6
NUM_COLOURS = 255
PALETTE_FRAMES = 6  # one palette for the whole animation, from frames spread over it
GAP_COLOUR = (255, 255, 255)
OUTLINE_COLOUR = (60, 255, 200)  # seen on the pink bird and on the grey room
DIMMED = 0.45  # brightness of the background


@dataclass(frozen=True)
class Config:
    results: Path = setting(paths.RESULTS, "folder with segmentation/cockatoo")
    labelled_frame: int = setting(20, "frame shown on the left with its label")
    frames_per_second: int = setting(10, "speed of the animation")
    output: Path = setting(paths.ROOT / "docs" / "cockatoo.gif", "file to write")


def main(config: Config) -> int:
    images = sorted((paths.SAMPLE_DATASET / "JPEGImages" / "480p" / SEQUENCE).glob("*.jpg"))
    labels = paths.SAMPLE_DATASET / "Annotations" / "480p" / SEQUENCE
    masks = config.results / paths.SEGMENTATION / SEQUENCE
    labelled = images[config.labelled_frame]
    left = draw_panel(labelled, labels / f"{labelled.stem}.png", "you label one frame")
    pictures = [
        place_side_by_side(
            left, draw_panel(image, masks / f"{image.stem}.png", "and get every frame")
        )
        for image in images
    ]
    write_gif(config.output, pictures, 1000 // config.frames_per_second)
    print(f"{config.output}: {len(pictures)} frames, {config.output.stat().st_size / 1e6:.1f} MB")
    return 0


def draw_panel(image_path: Path, mask_path: Path, caption: str) -> Image.Image:
    """Draws a frame of PANEL_PX: the animal as filmed in an outline, all else dim and grey."""
    # Drawn at twice the size and then reduced, so that the outline is smooth.
    width, height = 2 * PANEL_PX[0], 2 * PANEL_PX[1]
    image = np.array(Image.open(image_path).convert("RGB").resize((width, height)))
    mask = np.array(Image.open(mask_path).resize((width, height), Image.Resampling.NEAREST)) > 0
    drawn = np.where(mask[..., None], image, image.mean(-1, keepdims=True) * DIMMED)
    animal = mask.astype(np.uint8)
    inside = cv2.erode(animal, np.ones((3, 3)), iterations=2, borderType=cv2.BORDER_REPLICATE)
    drawn[mask & (inside == 0)] = OUTLINE_COLOUR
    panel = Image.fromarray(drawn.astype(np.uint8)).resize(PANEL_PX, Image.Resampling.LANCZOS)

    draw = ImageDraw.Draw(panel)
    font = ImageFont.load_default(14)
    corner = (9, PANEL_PX[1] - 26)
    left, top, right, bottom = draw.textbbox(corner, caption, font=font)
    draw.rectangle((left - 5, top - 4, right + 5, bottom + 4), fill=(20, 20, 20))
    draw.text(corner, caption, font=font, fill=(255, 255, 255))
    return panel


def place_side_by_side(left: Image.Image, right: Image.Image) -> Image.Image:
    """Returns both pictures in one, with a narrow gap between them."""
    picture = Image.new("RGB", (2 * PANEL_PX[0] + GAP_PX, PANEL_PX[1]), GAP_COLOUR)
    picture.paste(left, (0, 0))
    picture.paste(right, (PANEL_PX[0] + GAP_PX, 0))
    return picture


def write_gif(path: Path, pictures: list[Image.Image], milliseconds: int) -> None:
    """Writes an endless animation with one palette for all of its pictures.

    Args:
        path: the GIF file.
        pictures: RGB, all of one size.
        milliseconds: how long each picture is shown.
    """
    chosen = np.linspace(0, len(pictures) - 1, PALETTE_FRAMES).round().astype(int)
    montage = Image.fromarray(np.concatenate([np.array(pictures[i]) for i in chosen]))
    palette = montage.quantize(NUM_COLOURS, method=Image.Quantize.MEDIANCUT, kmeans=3)
    reduced = [x.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for x in pictures]
    reduced[0].save(
        path, save_all=True, append_images=reduced[1:], duration=milliseconds, loop=0, optimize=True
    )


if __name__ == "__main__":
    run_script(main, Config, __doc__)
