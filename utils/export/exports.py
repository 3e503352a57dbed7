"""Masks in the formats of other programs: COCO, DAVIS and YouTube-VOS, tables.

Every file and every folder of frames appears whole or not at all. Masks come one at a time, so
memory does not grow with the video.
"""

import contextlib
import csv
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from utils.evaluation.confidence import Confidence, consistency
from utils.evaluation.mask_tracks import COLUMNS, MaskTrack
from utils.evaluation.results import SegmentedVideo
from utils.files import write_atomically, write_json
from utils.media.labels import VOID, write_label

CATEGORY = "animal"
SCORER = "one_shot_animal_video_segmentation"  # DeepLabCut's word for who or what made the points
TABLE_HEADER = (
    "frame",  # counted from 0
    "file",  # the mask's name
    "time_seconds",  # from the video's time stamps; empty for a folder of frames
    "animal",  # its number in the label, from 1
    "visible",  # True or False; where False, the shape's columns are empty
    *COLUMNS,  # utils/evaluation/mask_tracks.py
    "consistency",  # 0..1, from the masks alone: utils/evaluation/confidence.py
    "confidence",  # 0..1, the network's own; empty where stage 3 saved none
    "labelled",  # whether a person labelled this frame
)
_COUNTS = ("area_px", "num_components", "largest_component_px", "box_x", "box_y")
_COUNTS += ("box_width", "box_height")


def export_coco(
    path: Path, video: SegmentedVideo, masks: Iterable[np.ndarray], file_names: Sequence[str]
) -> None:
    """Writes one COCO file: an image per frame, an annotation per animal and frame it is in.

    Beyond COCO, as in TAO: "videos", and on images and annotations "video_id" and "frame_index"
    (from 0); annotations of one animal share a "track_id", its number in the label. Ids start at 1.

    Args:
        masks: uint8 (height, width) per frame, 0 background, 1..N animals.
        file_names: of the images, one per frame.
    """

    def write(aside: Path) -> None:
        with aside.open("w", encoding="utf-8") as file:
            _write_coco(file, video.name, masks, file_names)

    write_atomically(path, write)


def _write_coco(file, name: str, masks: Iterable[np.ndarray], file_names: Sequence[str]) -> None:
    head = {
        "info": {"description": f"{name}, segmented by {SCORER}"},
        "licenses": [],
        "categories": [{"id": 1, "name": CATEGORY, "supercategory": CATEGORY}],
    }
    file.write(json.dumps(head, ensure_ascii=False)[:-1] + ', "annotations": [')
    annotation_id, shape = 0, (0, 0)
    for frame, mask in enumerate(masks):
        shape = mask.shape
        for animal in range(1, int(mask.max(initial=0)) + 1):
            annotation = _coco_annotation(mask == animal)
            if annotation["area"] == 0:
                continue
            annotation_id += 1
            known = {"id": annotation_id, "image_id": frame + 1, "category_id": 1}
            place = {"video_id": 1, "frame_index": frame, "track_id": animal}
            file.write(",\n" if annotation_id > 1 else "\n")
            file.write(json.dumps(known | annotation | place))
    file.write('\n], "images": [')
    size = {"height": shape[0], "width": shape[1]}
    for frame, file_name in enumerate(file_names):
        image = {"id": frame + 1, "file_name": file_name, **size}
        image |= {"video_id": 1, "frame_index": frame}
        file.write((",\n" if frame else "\n") + json.dumps(image, ensure_ascii=False))
    videos = [{"id": 1, "name": name, "length": len(file_names), **size}]
    file.write('\n], "videos": ' + json.dumps(videos, ensure_ascii=False) + "}\n")


def _coco_annotation(animal: np.ndarray) -> dict[str, Any]:
    encoded = coco_mask.encode(np.asfortranarray(animal, np.uint8))
    return {
        "segmentation": {"size": encoded["size"], "counts": encoded["counts"].decode("ascii")},
        "area": int(coco_mask.area(encoded)),
        "bbox": coco_mask.toBbox(encoded).tolist(),
        "iscrowd": 0,
    }


def export_davis(folder: Path, video: SegmentedVideo, masks: Iterable[np.ndarray]) -> None:
    """Writes `folder/Annotations/NAME/STEM.png`, indices in the DAVIS palette even for one animal,
    and the video's entry in `folder/meta.json`, as in YouTube-VOS.

    Args: masks: uint8 (height, width) per frame, 0 background, 1..N animals.
    """
    seen: dict[int, list[str]] = {}
    with replaced_folder(folder / "Annotations" / video.name) as aside:
        for path, mask in zip(video.mask_paths, masks, strict=True):
            write_label(aside / path.name, mask, range(1, VOID), as_palette=True)
            for animal in range(1, int(mask.max(initial=0)) + 1):
                if (mask == animal).any():
                    seen.setdefault(animal, []).append(path.stem)
    objects = {
        str(animal): {"category": CATEGORY, "frames": seen[animal]} for animal in sorted(seen)
    }
    videos = _read_meta(folder / "meta.json") | {video.name: {"objects": objects}}
    there = {name: videos[name] for name in videos if (folder / "Annotations" / name).is_dir()}
    write_json(folder / "meta.json", {"videos": there})


def _read_meta(path: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return dict(json.loads(path.read_text(encoding="utf-8"))["videos"])
    return {}


def export_table(
    path: Path,
    video: SegmentedVideo,
    tracks: dict[int, MaskTrack],
    times_seconds: Sequence[float] | None,
    confidence: Confidence | None,
) -> None:
    """Writes a line per frame and animal, `TABLE_HEADER` on top, as CSV.

    Args:
        tracks: from `utils.evaluation.mask_tracks.follow_animals`.
        times_seconds: of the frames; None leaves the column empty.
    """
    steady = {animal: consistency(track) for animal, track in tracks.items()}
    labelled = set(video.labelled_frames)

    def rows() -> Iterator[list]:
        for frame, mask_path in enumerate(video.mask_paths):
            time = "" if times_seconds is None else f"{times_seconds[frame]:.6f}"
            for animal, track in tracks.items():
                shape = dict(zip(COLUMNS, track.shapes[frame], strict=True))
                trust = "" if confidence is None else f"{confidence.of(animal)[frame]:.4f}"
                yield [
                    frame,
                    mask_path.name,
                    time,
                    animal,
                    bool(shape["area_px"] > 0),
                    *(_number(name, value) for name, value in shape.items()),
                    f"{steady[animal][frame]:.4f}",
                    trust,
                    frame in labelled,
                ]

    _write_rows(path, [TABLE_HEADER], rows())


def _number(name: str, value: float) -> str:
    if np.isnan(value):
        return ""
    return str(int(value)) if name in _COUNTS else f"{value:.3f}"


def export_deeplabcut(
    path: Path, tracks: dict[int, MaskTrack], confidence: Confidence | None
) -> None:
    """Writes the centroids as DeepLabCut writes its points: header rows scorer, bodyparts, coords
    (several animals: individuals in between), then x, y and likelihood per frame.

    The likelihood is the network's confidence where stage 3 saved it, else the masks' consistency,
    and 0 where the animal is not visible; x and y are empty there.
    """
    animals = list(tracks)
    header = [["scorer", *[SCORER] * 3 * len(animals)]]
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
    def write(aside: Path) -> None:
        with aside.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerows(header)
            writer.writerows(rows)

    write_atomically(path, write)


@contextlib.contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """A hidden new folder to fill; it takes the place of `folder` at the end, or goes on an error.

    Masks of an earlier, longer run do not stay behind among the new ones.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = folder.with_name(f".writing-{os.getpid()}-{secrets.token_hex(4)}")
    aside.mkdir()
    try:
        yield aside
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(aside, folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
