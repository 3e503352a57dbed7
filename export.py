"""Writes the masks of segmented videos in the formats of other programs.

    coco     RESULTS/export/coco/SEQ.json: COCO with run-length masks; a track id per animal
    davis    RESULTS/export/davis/Annotations/SEQ/STEM.png, indices in the DAVIS palette, and
             RESULTS/export/davis/meta.json, as YouTube-VOS has it
    csv      RESULTS/export/csv/SEQ.csv: area, centroid, box, orientation, ... per frame and animal
             (utils/export/tables.py and utils/evaluation/mask_tracks.py explain each column);
             RESULTS/export/deeplabcut/SEQ.csv: the centroids as DeepLabCut writes its points, and
             RESULTS/export/via_tracks/SEQ.csv: the boxes as VIA writes its tracks. With --all also
             RESULTS/export/all.csv, one table of all videos, and, if it is large, all.parquet
    cutout   RESULTS/export/cutout/SEQ/STEM.png and SEQ.webm: the animal on a transparent
             background; needs the video that was segmented where run.json says it is

Reads RESULTS/segmentation/SEQ/*.png and RESULTS/runs/SEQ/run.json. Without an argument, it lists
what there is to export. A video is not exported before its run has finished, and before all of its
corrections by hand are in the masks.
Command:
    python export.py csv
"""

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import tyro
from tabulate import tabulate
from tqdm import tqdm

from utils import paths
from utils.command_line import run_script, setting
from utils.errors import InputError, UsageError, one_line
from utils.evaluation.confidence import read_confidence
from utils.evaluation.corrected_masks import corrected_frames, require_corrected
from utils.evaluation.frame_times import names_of_files, read_frame_times
from utils.evaluation.mask_tracks import follow_animals
from utils.evaluation.results import (
    SegmentedVideo,
    State,
    UnfinishedError,
    choose_results,
    open_input,
    open_segmented,
    read_masks,
    require_finished,
)
from utils.evaluation.scale import find_scale
from utils.export.coco import export_coco
from utils.export.cutout import export_cutout
from utils.export.davis import export_davis
from utils.export.tables import (
    export_deeplabcut,
    export_table,
    export_via_tracks,
    join_tables,
    write_parquet,
)
from utils.files import check_writable

MAX_CSV_LINES = 200_000  # of the table of all videos; beyond, there is a Parquet file as well
Format = Literal["coco", "davis", "csv", "cutout"]


@dataclass(frozen=True)
class Config:
    format: tyro.conf.Positional[Literal["list", *get_args(Format)]] = setting(
        "list", "what to write; list writes nothing"
    )
    results: Path = setting(paths.RESULTS, "folder with segmentation/SEQ; export/ is written here")
    sequences: tuple[str, ...] = setting((), "only these videos (default: all with masks)")
    all: bool = setting(False, "csv: also one table of all videos")
    cutout_as: Literal["both", "png", "webm"] = setting("both", "which files cutout writes")


def main(config: Config) -> int:
    names = choose_results(config.results, config.sequences)
    if config.format == "list":
        return print_list(config.results, names)
    if config.all and config.format != "csv":
        raise UsageError("--all makes one table, so it goes with csv: python export.py csv --all.")
    check_writable(config.results / paths.EXPORT, "a copy of the results with --results")
    failed, unfinished, tables = False, [], {}
    for name in names:
        try:
            video = open_segmented(config.results, name)
            require_finished(video)
            require_corrected(video)
            for path in export(video, config):
                print(f"{name}: {path}", flush=True)
                if path.parent.name == "csv":
                    tables[name] = path
        except UnfinishedError:
            unfinished.append(f"{name} ({video.progress})")
        except (InputError, OSError) as error:
            failed = True  # the other videos are exported nevertheless
            print(f"error: {name}: {one_line(error)}", file=sys.stderr, flush=True)
    if config.all and tables:
        try:
            export_all(config.results / paths.EXPORT, tables)
        except (InputError, OSError) as error:
            failed = True
            print(f"error: {one_line(error)}", file=sys.stderr, flush=True)
    if unfinished:
        print(
            f"error: unfinished, not exported: {', '.join(unfinished)}. To finish them, run "
            "finetune_test.py on them again with the same flags.",
            file=sys.stderr,
        )
    return 1 if failed or unfinished else 0


def print_list(results: Path, names: Sequence[str]) -> int:
    """Prints a table of the videos. Returns: the exit status, 1 if one cannot be exported."""
    rows, status = [], 0
    for name in names:
        try:
            video = open_segmented(results, name)
        except (InputError, OSError) as error:
            rows.append((name, "", "", one_line(error)))
            status = 1
            continue
        animals = ", ".join(map(str, video.animals)) or "?"
        state = f"unfinished: {video.progress}" if video.state is State.UNFINISHED else video.state
        rows.append((name, len(video), animals, str(state)))
    print(tabulate(rows, ("video", "masks", "animals", "state"), disable_numparse=[0, 2]))
    print(f"To export: python export.py {'|'.join(get_args(Format))}")
    return status


def export(video: SegmentedVideo, config: Config) -> list[Path]:
    """Exports one video. Returns: the files and folders written."""
    folder = config.results / paths.EXPORT
    masks = show_progress(read_masks(video), video)
    match config.format:
        case "coco":
            path = folder / "coco" / f"{video.name}.json"
            file_names, note = frame_file_names(video)
            if note:
                print(f"{video.name}: {note}")
            export_coco(path, video, masks, file_names)
            return [path]
        case "davis":
            export_davis(folder / "davis", video, masks)
            return [folder / "davis" / "Annotations" / video.name]
        case "csv":
            return export_tables(folder, video, masks)
        case "cutout":
            png, webm = config.cutout_as != "webm", config.cutout_as != "png"
            with contextlib.closing(open_input(video)) as frames:
                export_cutout(folder / "cutout", video, masks, frames, png=png, webm=webm)
            written = [folder / "cutout" / video.name] * png
            return written + [folder / "cutout" / f"{video.name}.webm"] * webm
    raise ValueError(config.format)


def export_tables(folder: Path, video: SegmentedVideo, masks: Iterable[np.ndarray]) -> list[Path]:
    """Exports the tables of one video. Returns: the files written."""
    kinds = ("csv", "deeplabcut", "via_tracks")
    tables = [folder / kind / f"{video.name}.csv" for kind in kinds]
    confidence = read_confidence(video)
    size = (0, 0)

    def measured() -> Iterator[np.ndarray]:
        nonlocal size
        for mask in masks:
            size = mask.shape
            yield mask

    tracks = follow_animals(measured(), video.animals)
    frames = read_frame_times(video)
    for note in frames.notes:
        print(f"{video.name}: {note}")
    times, scale = frames.times_seconds, find_scale(video.name, video.input_path, size)
    by_hand = corrected_frames(video)
    shown = frames.pixel_aspect, scale
    export_table(tables[0], video, tracks, times, confidence, *shown, corrected=by_hand)
    first_frame = video.first_frame
    export_deeplabcut(tables[1], tracks, confidence, first_frame, corrected=by_hand)
    file_names = frames.file_names or [path.name for path in video.mask_paths]
    export_via_tracks(tables[2], file_names, tracks, confidence, first_frame, corrected=by_hand)
    return tables


def export_all(folder: Path, tables: dict[str, Path]) -> None:
    """Joins the tables of all videos, as CSV and, where that is large, as Parquet as well."""
    path, parquet = folder / "all.csv", folder / "all.parquet"
    parquet.unlink(missing_ok=True)  # never that of another time
    count = join_tables(path, tables)
    print(f"all videos: {path}, {count} lines", flush=True)
    if count > MAX_CSV_LINES:
        if write_parquet(parquet, path):
            print(f"all videos: {parquet}", flush=True)
        else:
            print("It is large: with pip install pyarrow, it is written as Parquet as well.")


def frame_file_names(video: SegmentedVideo) -> tuple[list[str], str]:
    """Names of the input's frames, or of the masks if it was a video file or has moved.

    Returns: the names, and a note if they are those of the masks.
    """
    reason = f"{video.input_path} is a video file"
    if video.input_path is None or not os.path.isfile(video.input_path):
        try:
            return list(names_of_files(open_input(video))), ""
        except InputError as error:
            reason = str(error)
    return [path.name for path in video.mask_paths], f"images are named as the masks: {reason}"


def show_progress(masks: Iterable[np.ndarray], video: SegmentedVideo) -> Iterable[np.ndarray]:
    """Shows a progress bar while the masks are read, on a terminal."""
    return tqdm(masks, desc=video.name, total=len(video), unit="frame", disable=None)


if __name__ == "__main__":
    run_script(main, Config, __doc__)
