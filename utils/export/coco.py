"""Masks as a COCO file of run-length masks, with a track per animal."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from pycocotools import mask as coco_mask

from utils.evaluation.mask_tracks import animals_in
from utils.evaluation.results import SegmentedVideo
from utils.export import CATEGORY, PROGRAM
from utils.files import write_atomically


def export_coco(
    path: Path, video: SegmentedVideo, masks: Iterable[np.ndarray], file_names: Sequence[str]
) -> None:
    """Writes one COCO file: an image per frame, an annotation per frame and animal in it.

    Beyond COCO, as in TAO: "videos", and on images and annotations "video_id" and "frame_index"
    (from 0); annotations of one animal share a "track_id", its number in the label. Ids start at 1.

    Args:
        path: the file to write.
        video: gives the video's name.
        masks: per frame uint8 (height, width), 0 background, else the animal's number.
        file_names: names of the images, one per frame.
    """

    def write(temporary_path: Path) -> None:
        # The escape of a byte that is not UTF-8 is also that of JSON.
        with temporary_path.open("w", encoding="utf-8", errors="backslashreplace") as file:
            _write_coco(file, video, masks, file_names)

    write_atomically(path, write)


def _write_coco(
    file: TextIO, video: SegmentedVideo, masks: Iterable[np.ndarray], file_names: Sequence[str]
) -> None:
    name, first_frame = video.name, video.first_frame
    head = {
        "info": {"description": f"{name}, segmented by {PROGRAM}"},
        "licenses": [],
        "categories": [{"id": 1, "name": CATEGORY, "supercategory": CATEGORY}],
    }
    # Piece by piece, since the annotations of a long video are many.
    file.write(json.dumps(head, ensure_ascii=False)[:-1] + ', "annotations": [')
    height, width = _write_annotations(file, masks, first_frame)
    size = {"height": height, "width": width}
    file.write('\n], "images": [')
    for frame, file_name in enumerate(file_names):
        image = {"id": frame + 1, "file_name": file_name, **size}
        image |= {"video_id": 1, "frame_index": first_frame + frame}
        file.write((",\n" if frame else "\n") + json.dumps(image, ensure_ascii=False))
    videos = [{"id": 1, "name": name, "length": len(file_names), **size}]
    file.write('\n], "videos": ' + json.dumps(videos, ensure_ascii=False) + "}\n")


def _write_annotations(
    file: TextIO, masks: Iterable[np.ndarray], first_frame: int
) -> tuple[int, int]:
    """Writes the annotations of all masks and returns the height and width of the masks."""
    annotation_id, shape = 0, (0, 0)
    for frame, mask in enumerate(masks):
        shape = mask.shape
        for animal in animals_in(mask):
            annotation_id += 1
            annotation = {"id": annotation_id, "image_id": frame + 1, "category_id": 1}
            annotation |= _encode_region(mask == animal)
            annotation |= {"video_id": 1, "frame_index": first_frame + frame, "track_id": animal}
            file.write((",\n" if annotation_id > 1 else "\n") + json.dumps(annotation))
    return shape


def _encode_region(region: np.ndarray) -> dict[str, Any]:
    encoded = coco_mask.encode(np.asfortranarray(region, np.uint8))
    return {
        "segmentation": {"size": encoded["size"], "counts": encoded["counts"].decode("ascii")},
        "area": int(coco_mask.area(encoded)),
        "bbox": coco_mask.toBbox(encoded).tolist(),
        "iscrowd": 0,
    }
