"""Masks as DAVIS and YouTube-VOS have them: PNGs with a palette, and meta.json."""

import contextlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from utils.evaluation.mask_tracks import animals_in
from utils.evaluation.results import SegmentedVideo
from utils.export import CATEGORY
from utils.export.output_folder import replaced_folder
from utils.files import write_json
from utils.media.labels import VOID, write_label


def export_davis(folder: Path, video: SegmentedVideo, masks: Iterable[np.ndarray]) -> None:
    """Writes the masks of a video, and its entry in meta.json.

    `folder/Annotations/NAME/STEM.png` holds the animals' numbers in the DAVIS palette, even for
    one animal; `folder/meta.json` lists the frames that show each animal, as in YouTube-VOS.

    Args:
        folder: the data set's folder, which may hold other videos already.
        video: gives the names of video and masks.
        masks: per frame uint8 (height, width), 0 background, else the animal's number.
    """
    seen: dict[int, list[str]] = {}
    with replaced_folder(folder / "Annotations" / video.name) as temporary_path:
        for path, mask in zip(video.mask_paths, masks, strict=True):
            write_label(temporary_path / path.name, mask, range(1, VOID), as_palette=True)
            for animal in animals_in(mask):
                seen.setdefault(animal, []).append(path.stem)
    objects = {
        str(animal): {"category": CATEGORY, "frames": seen[animal]} for animal in sorted(seen)
    }
    videos = _read_videos(folder / "meta.json") | {video.name: {"objects": objects}}
    exported = {name: videos[name] for name in videos if (folder / "Annotations" / name).is_dir()}
    write_json(folder / "meta.json", {"videos": exported})


def _read_videos(meta_file: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return dict(json.loads(meta_file.read_text(encoding="utf-8"))["videos"])
    return {}
