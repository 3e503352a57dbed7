"""Tables of each animal's place and shape per frame: CSV, and points as DeepLabCut writes them."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from utils.evaluation.confidence import Confidence, consistency
from utils.evaluation.mask_tracks import COLUMNS, MaskTrack
from utils.evaluation.results import SegmentedVideo
from utils.export import CATEGORY, PROGRAM
from utils.files import write_atomically

TABLE_HEADER = (
    "frame",  # counted from 0
    "file",  # the mask's name
    "time_seconds",  # from the video's time stamps; empty for a folder of frames
    "animal",  # its number in the label
    "visible",  # True or False; where False, the shape's columns are empty
    *COLUMNS,  # utils/evaluation/mask_tracks.py
    "consistency",  # 0..1, from the masks alone: utils/evaluation/confidence.py
    "confidence",  # 0..1, the network's own; empty where stage 3 saved none
    "labelled",  # whether a person labelled this frame
    "pixel_aspect",  # width of a pixel as shown over its height; shapes are in stored pixels
)
_WHOLE_NUMBERS = (
    "area_px", "num_components", "largest_component_px", "box_x", "box_y", "box_width", "box_height"
)  # fmt: skip


def export_table(
    path: Path,
    video: SegmentedVideo,
    tracks: dict[int, MaskTrack],
    times_seconds: Sequence[float] | None,
    confidence: Confidence | None,
    pixel_aspect: float | None = None,
) -> None:
    """Writes a CSV file with a line per frame and animal, `TABLE_HEADER` on top.

    Args:
        path: the file to write.
        video: gives the names of the masks and the labelled frames.
        tracks: from `utils.evaluation.mask_tracks.follow_animals`.
        times_seconds: time of each frame; None leaves the column empty.
        confidence: the network's own; None leaves the column empty.
        pixel_aspect: of the video's pixels; None leaves the column empty.
    """
    consistencies = {animal: consistency(track) for animal, track in tracks.items()}
    labelled = set(video.labelled_frames)

    def rows() -> Iterator[list]:
        for frame, mask_path in enumerate(video.mask_paths):
            time = "" if times_seconds is None else f"{times_seconds[frame]:.6f}"
            for animal, track in tracks.items():
                shape = dict(zip(COLUMNS, track.shapes[frame], strict=True))
                confidence_text = (
                    "" if confidence is None else f"{confidence.of(animal)[frame]:.4f}"
                )
                yield [
                    frame,
                    mask_path.name,
                    time,
                    animal,
                    bool(shape["area_px"] > 0),
                    *(_format_number(name, value) for name, value in shape.items()),
                    f"{consistencies[animal][frame]:.4f}",
                    confidence_text,
                    frame in labelled,
                    "" if pixel_aspect is None else f"{pixel_aspect:.4g}",
                ]

    _write_rows(path, [TABLE_HEADER], rows())


def _format_number(name: str, value: float) -> str:
    if np.isnan(value):
        return ""
    return str(int(value)) if name in _WHOLE_NUMBERS else f"{value:.3f}"


def export_deeplabcut(
    path: Path, tracks: dict[int, MaskTrack], confidence: Confidence | None
) -> None:
    """Writes the centroids as DeepLabCut writes its points.

    The header rows are scorer, bodyparts and coords (with several animals, individuals after
    scorer); then follow x, y and likelihood per frame. The likelihood is the network's confidence
    where stage 3 saved it, else the masks' consistency. Where the animal is not visible, it is 0,
    and x and y are empty.

    Args:
        path: the file to write.
        tracks: from `utils.evaluation.mask_tracks.follow_animals`; at least one.
        confidence: the network's own, None if there is none.
    """
    animals = list(tracks)
    header = [["scorer", *[PROGRAM] * 3 * len(animals)]]
    if len(animals) > 1:
        header += [["individuals", *(f"{CATEGORY}{a}" for a in animals for _ in range(3))]]
    header += [["bodyparts", *["centroid"] * 3 * len(animals)]]
    header += [["coords", *["x", "y", "likelihood"] * len(animals)]]
    likelihood = {
        animal: consistency(track) if confidence is None else confidence.of(animal)
        for animal, track in tracks.items()
    }

    def rows() -> Iterator[list]:
        for frame in range(len(tracks[animals[0]].shapes)):
            row: list = [frame]
            for animal, track in tracks.items():
                if track.column("area_px")[frame] > 0:
                    x, y = (track.column(name)[frame] for name in ("centroid_x", "centroid_y"))
                    row += [f"{x:.3f}", f"{y:.3f}", f"{likelihood[animal][frame]:.4f}"]
                else:
                    row += ["", "", "0.0"]
            yield row

    _write_rows(path, header, rows())


def _write_rows(path: Path, header: Iterable[Sequence], rows: Iterable[Sequence]) -> None:
    def write(temporary_path: Path) -> None:
        # A name need not be UTF-8.
        options = {"newline": "", "encoding": "utf-8", "errors": "surrogateescape"}
        with temporary_path.open("w", **options) as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerows(header)
            writer.writerows(rows)

    write_atomically(path, write)
