"""How much J is lost by which cause, and a picture of the worst frame of each video.

Per video, means over the annotated official frames (first and last left out) without the labelled
ones: 1 - J, and the part of it that each cause of `utils/evaluation/error_causes.py` has; the parts
sum to it. The last line of a table is each cause's share of what is lost over all videos. Several
animals count as one.

Reads   a data set with annotations, and one or more results folders of finetune_test.py.
Writes  tables to the screen and with --json to a file; with --sheet a PNG: the frame of lowest J of
        each video, cut out around the animal, with its true outline in white and its errors in the
        colours of their causes.

    python -m benchmarks.error_causes --dataset DIR --results DIR [DIR ...] --sheet worst.png
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from tabulate import tabulate

from benchmarks.outline import read_frames
from utils import paths
from utils.command_line import run_script, setting
from utils.errors import InputError
from utils.evaluation.error_causes import CAUSES, lost_j, sort_errors
from utils.evaluation.results import choose_results, open_segmented, require_finished
from utils.files import write_atomically, write_json
from utils.inputs.sequences import open_dataset_sequence
from utils.media.images import resize_image, resize_labels, scaled_size
from utils.media.overlay import add_tag
from utils.media.regions import rectangle_around

COLOURS = (  # of CAUSES, in their order
    (255, 255, 0), (255, 150, 0), (255, 40, 40), (255, 90, 255),
    (0, 220, 255), (60, 110, 255), (0, 230, 90),
)  # fmt: skip
TINT = 0.7  # share of a cause's colour in its pixels
MARGIN = 0.15  # around the animal, share of its longer side
TILE_PX = (480, 640)  # height and width into which the picture of a frame fits
COLUMNS, GAP_PX = 3, 6


@dataclass(frozen=True)
class Config:
    dataset: Path = setting(paths.SAMPLE_DATASET, "folder with JPEGImages/ and Annotations/")
    results: tuple[Path, ...] = setting((paths.RESULTS,), "results folders of finetune_test.py")
    sequences: tuple[str, ...] = setting((), "names of videos (default: all with results)")
    sheet: Path | None = setting(None, "PNG for the worst frame of each video")
    json: Path | None = setting(None, "write all numbers here as well")


@dataclass(frozen=True)
class WorstFrame:
    """The frame of a video with the lowest J.

    Attributes:
        video, stem: its names.
        lost: 1 - J.
        causes: uint8 (H, W), see `sort_errors`.
        shown: bool (H, W), what is the animal or taken for it.
        truth: bool (H, W), the animal.
    """

    video: str
    stem: str
    lost: float
    causes: np.ndarray
    shown: np.ndarray
    truth: np.ndarray


def main(config: Config) -> None:
    tables, tiles = {}, []
    for results in config.results:
        rows = {}
        for name in choose_results(results, config.sequences):
            rows[name], worst = measure(config.dataset, results, name)
            if config.sheet:
                tiles.append(draw_tile(config.dataset, worst))
        print(f"{results}\n{format_table(rows)}\n", flush=True)
        tables[str(results)] = {
            name: dict(zip(("lost J", *CAUSES), [sum(parts), *parts], strict=True))
            for name, parts in rows.items()
        }
    if config.sheet:
        sheet = Image.fromarray(make_sheet(tiles))
        write_atomically(config.sheet, lambda path: sheet.save(path, optimize=True))
        print(f"worst frames: {config.sheet}")
    if config.json:
        write_json(config.json, tables)


def measure(dataset: Path, results: Path, name: str) -> tuple[list[float], WorstFrame]:
    """Measures one video.

    Returns: lost J by cause, means over the frames, and the worst frame.

    Raises:
        InputError: if none of the frames that count is annotated.
    """
    video = open_segmented(results, name)
    require_finished(video)
    labelled = {video.frame_names[frame] for frame in video.labelled_frames}
    counted = set(video.frame_names[1:-1]) - labelled
    rows, worst = [], None
    for stem, mask, truth, void in read_frames(dataset, video):
        if stem not in counted:
            continue
        causes = sort_errors(mask, truth, void)
        rows.append(lost_j(causes, mask, truth, void))
        lost = float(rows[-1].sum())
        if worst is None or lost > worst.lost:
            worst = WorstFrame(name, stem, lost, causes, mask | truth, truth)
    if worst is None:
        raise InputError(
            f"{name}: expected annotations besides those of the first, last and labelled frame in "
            f"{dataset}/Annotations, found none. Choose other videos with --sequences."
        )
    return np.mean(rows, axis=0).tolist(), worst


def format_table(rows: dict[str, list[float]]) -> str:
    """A line per video, their mean, and the share of each cause in that."""
    mean = np.mean(list(rows.values()), axis=0)
    lines = [
        (name, *(f"{value:.4f}" for value in (sum(parts), *parts)))
        for name, parts in (rows | {"mean": mean}).items()
    ]
    shares = mean / max(mean.sum(), 1e-12)
    lines.append(("share", "", *(f"{share:.0%}" for share in shares)))
    return tabulate(lines, ("video", "lost J", *CAUSES), tablefmt="pipe", disable_numparse=True)


def draw_tile(dataset: Path, worst: WorstFrame) -> np.ndarray:
    """Draws a frame, cut out around the animal: uint8 (h, w, 3), at most `TILE_PX`."""
    video = open_dataset_sequence(dataset, worst.video).video
    image = video.read(list(video.frame_names).index(worst.stem))
    shown = worst.shown if worst.shown.any() else ~worst.shown
    margin = round(MARGIN * max(rectangle_around(shown).shape))
    part = rectangle_around(shown, margin).slices
    scale = min(side / n for side, n in zip(TILE_PX, worst.truth[part].shape, strict=True))
    height, width = scaled_size(*worst.truth[part].shape, scale)
    drawn = resize_image(np.ascontiguousarray(image[part]), height, width)
    causes = resize_labels(worst.causes[part], height, width)
    for number, colour in enumerate(COLOURS, start=1):
        here = causes == number
        drawn[here] = (1 - TINT) * drawn[here] + TINT * np.array(colour)
    truth = resize_labels(worst.truth[part].astype("uint8"), height, width)
    outlines, _ = cv2.findContours(truth, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(drawn, outlines, -1, (255, 255, 255), 1)
    return add_tag(drawn, f"{worst.video} {worst.stem}: J {1 - worst.lost:.3f}")


def make_sheet(tiles: list[np.ndarray]) -> np.ndarray:
    """Puts tiles side by side, with the colours of the causes in a line below: uint8 (H, W, 3)."""
    height, width = (side + GAP_PX for side in TILE_PX)
    columns = min(COLUMNS, len(tiles))
    rows = -(-len(tiles) // columns)
    sheet = np.full((rows * height + 40, columns * width, 3), 255, "uint8")
    for place, tile in enumerate(tiles):
        top, left = place // columns * height, place % columns * width
        sheet[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    step = sheet.shape[1] // len(CAUSES)
    for place, (cause, colour) in enumerate(zip(CAUSES, COLOURS, strict=True)):
        key = np.full((34, step - GAP_PX, 3), colour, "uint8")
        sheet[-36:-2, place * step : place * step + key.shape[1]] = add_tag(key, cause)
    return sheet


if __name__ == "__main__":
    run_script(main, Config, __doc__)
