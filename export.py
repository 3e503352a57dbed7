"""Writes the masks of segmented videos in the formats of other programs.

    coco     RESULTS/export/coco/SEQ.json: COCO with run-length masks; a track id per animal
    davis    RESULTS/export/davis/Annotations/SEQ/STEM.png, indices in the DAVIS palette, and
             RESULTS/export/davis/meta.json, as YouTube-VOS has it
    csv      RESULTS/export/csv/SEQ.csv: area, centroid, box, orientation, ... per frame and animal
             (what each column means: utils/export/ and utils/evaluation/mask_tracks.py), and
             RESULTS/export/deeplabcut/SEQ.csv: the centroids as DeepLabCut writes its points
    cutout   RESULTS/export/cutout/SEQ/STEM.png and SEQ.webm: the animal on nothing; needs the
             video that was segmented where run.json says it is

Reads RESULTS/segmentation/SEQ/*.png and RESULTS/runs/SEQ/run.json. With no argument: says what is
there to export.
Command:
    python export.py csv
"""

import contextlib
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import tyro
from tqdm import tqdm

from utils import paths
from utils.command_line import run_script, setting
from utils.errors import InputError, one_line
from utils.evaluation.confidence import read_confidence
from utils.evaluation.mask_tracks import follow_animals
from utils.evaluation.results import (
    SegmentedVideo,
    choose_segmented,
    open_input,
    open_segmented,
    read_masks,
)
from utils.export.cutout import export_cutout
from utils.export.exports import export_coco, export_davis, export_deeplabcut, export_table
from utils.media.videos import FrameFolder, VideoFile


@dataclass(frozen=True)
class Config:
    format: tyro.conf.Positional[Literal["list", "coco", "davis", "csv", "cutout"]] = setting(
        "list", "what to write; list writes nothing"
    )
    results: Path = setting(paths.RESULTS, "folder with segmentation/SEQ, gets export/")
    sequences: tuple[str, ...] = setting((), "only these videos (else all with masks)")
    cutout_as: Literal["both", "png", "webm"] = setting("both", "the files of cutout")


def main(config: Config) -> int:
    names = choose_segmented(config.results, config.sequences)
    failed = False
    for name in names:
        try:
            video = open_segmented(config.results, name)
            if config.format == "list":
                print(f"{name}: {len(video)} masks")
            else:
                for path in export(video, config):
                    print(f"{name}: {path}", flush=True)
        except (InputError, OSError) as error:
            failed = True  # the other videos are exported all the same
            print(f"error: {name}: {one_line(error)}", file=sys.stderr, flush=True)
    if config.format == "list":
        print("To export: python export.py coco|davis|csv|cutout")
    return 1 if failed else 0


def export(video: SegmentedVideo, config: Config) -> list[Path]:
    """Exports one video. Returns: the files and folders written."""
    folder = config.results / paths.EXPORT
    masks = show_progress(read_masks(video), video)
    match config.format:
        case "coco":
            path = folder / "coco" / f"{video.name}.json"
            export_coco(path, video, masks, frame_file_names(video))
            return [path]
        case "davis":
            export_davis(folder / "davis", video, masks)
            return [folder / "davis" / "Annotations" / video.name]
        case "csv":
            tables = [folder / kind / f"{video.name}.csv" for kind in ("csv", "deeplabcut")]
            confidence = read_confidence(video)
            tracks = follow_animals(masks)
            export_table(tables[0], video, tracks, frame_times(video), confidence)
            export_deeplabcut(tables[1], tracks, confidence)
            return tables
        case "cutout":
            png, webm = config.cutout_as != "webm", config.cutout_as != "png"
            folder = folder / "cutout"
            frames = open_input(video)
            try:
                export_cutout(folder, video, masks, frames, png, webm)
            finally:
                frames.close()
            return [folder / video.name] * png + [folder / f"{video.name}.webm"] * webm
    raise ValueError(config.format)


def frame_file_names(video: SegmentedVideo) -> list[str]:
    """The names of the input's frames; of the masks where it was a video file or has moved."""
    with contextlib.suppress(InputError):
        frames = open_input(video)
        if isinstance(frames, FrameFolder):
            return [path.name for path in frames.frame_paths]
    return [path.name for path in video.mask_paths]


def frame_times(video: SegmentedVideo) -> list[float] | None:
    """The frames' time stamps, None (and a word why) where they cannot be had."""
    try:
        frames = open_input(video)
    except InputError as error:
        print(f"{video.name}: time_seconds stays empty: {error}")
        return None
    if not isinstance(frames, VideoFile):  # a folder of frames does not say how fast they were
        return None
    with frames:
        return frames.times_seconds()


def show_progress(masks: Iterable[np.ndarray], video: SegmentedVideo) -> Iterable[np.ndarray]:
    """A bar with the time left, on a terminal."""
    return tqdm(masks, desc=video.name, total=len(video), unit="frame", disable=None)


if __name__ == "__main__":
    run_script(main, Config, __doc__)
