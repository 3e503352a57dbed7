"""Videos of which all animals are labelled: each by itself, and all of them together.

Not a benchmark itself; see look_alikes.py.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from tabulate import SEPARATING_LINE, tabulate

from benchmarks.look_alike_list import LookAlike
from benchmarks.look_alike_results import open_video
from utils import paths
from utils.errors import InputError
from utils.evaluation.identity_measures import (
    score_identity,
    track_frame,
    track_switches,
    tracks_f1,
)
from utils.inputs.sequences import sequence_dir
from utils.media.images import list_frames
from utils.media.labels import read_label


def all_animals(dataset: Path, items: Sequence[LookAlike], most: int) -> list[LookAlike]:
    """A line for each animal that the first frame of these videos numbers. Those of one video share
    their results, and so their name.

    Args:
        dataset: of the videos.
        items: lines of the list; their own animals come first where there are too many.
        most: animals of a video, at most.

    Raises:
        InputError: if a video has no annotations.
    """
    found = []
    for video in dict.fromkeys(item.video for item in items):
        listed = [item for item in items if item.video == video]
        folder = sequence_dir(dataset, "Annotations", video)
        if folder is None:
            raise InputError(f"{dataset}: expected annotations of {video}, found none.")
        numbers = read_label(list_frames(folder)[0]).shown_animals
        own = [item.animal for item in listed]
        chosen = sorted(sorted(numbers, key=lambda number: number not in own)[:most])
        found += [replace(listed[0], animal=n, name=f"{video}-all") for n in chosen]
    return found


def score_together(dataset: Path, results: Path, items: Sequence[LookAlike]) -> list[dict]:
    """The lines of the table: for each video its animals, then all of them together.

    Args:
        dataset, results: with the annotations and the masks.
        items: as of `all_animals`.
    """
    rows = []
    for name in dict.fromkeys(item.name for item in items):
        same = [item for item in items if item.name == name]
        video, numbers = open_video(dataset, results, same[0]), [item.animal for item in same]
        if len(numbers) == 1:  # its mask has no number of its own
            masks = [mask * np.uint8(video.animal) for mask in video.masks]
            numbers = [video.animal]
        else:
            folder = sequence_dir(results, paths.SEGMENTATION, name)
            masks = [read_label(folder / f"{stem}.png", numbers).values for stem in video.stems]
        rows += score_animals(name, masks, video.annotations, numbers, video.animals)
    return rows


def score_animals(
    name: str,
    masks: Sequence[np.ndarray],
    annotations: Sequence[np.ndarray],
    labelled: Sequence[int],
    animals: Sequence[int],
) -> list[dict]:
    """A line for each labelled animal of a video, and one for all of them together.

    Args:
        name: of the results.
        masks: uint8 (H, W) per frame, by the numbers of the labels.
        annotations: uint8 (H, W) per frame, as of `identity_measures.overlaps`.
        labelled: the numbers of the labelled animals.
        animals: those of all animals that the annotations show.
    """
    rows = []
    for animal in labelled:
        pairs = ((mask == animal, truth) for mask, truth in zip(masks, annotations, strict=True))
        score = score_identity(pairs, animals, animal)
        rows.append(
            {
                "name": name,
                "animal": animal,
                "frames": len(score.frames),
                "j": score.mean_j,
                "lost": score.lost,
                "switches": score.switches,
                "idf1": score.idf1,
            }  # fmt: skip
        )
    pairs = list(zip(masks, annotations, strict=True))[1:]
    frames = [track_frame(mask, truth, labelled) for mask, truth in pairs]
    together = {
        "name": name, "animal": "all",
        "frames": sum(row["frames"] for row in rows),
        "j": float(np.mean([row["j"] for row in rows])),
        "lost": sum(row["lost"] for row in rows),
        "switches": track_switches(frames),
        "idf1": tracks_f1(frames, len(labelled)),
    }  # fmt: skip
    return [*rows, together]


def print_together(rows: Sequence[dict]) -> None:
    """Prints the table. Means of J and IDF1 are over videos, switches and frames are added up."""
    header = ("video", "animal", "frames", "J", "lost", "switches", "IDF1")
    table: list = [_cells(row["name"], row["animal"], [row]) for row in rows]
    together = [row for row in rows if row["animal"] == "all"]
    table += [SEPARATING_LINE, _cells(f"{len(together)} videos", "all", together)]
    print(tabulate(table, header, floatfmt=".3f"))


def _cells(title: str, animal: int | str, rows: Sequence[dict]) -> list:
    frames, lost, switches = (sum(r[key] for r in rows) for key in ("frames", "lost", "switches"))
    j, idf1 = (float(np.mean([row[key] for row in rows])) for key in ("j", "idf1"))
    return [title, animal, frames, j, lost / max(frames, 1), switches, idf1]
