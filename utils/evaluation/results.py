"""What stage 3 left in a results folder: the masks and the record of each video, and its input."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from utils import paths
from utils.errors import InputError, UsageError
from utils.files import read_json
from utils.inputs.sequences import list_sequences
from utils.media.images import list_files
from utils.media.labels import read_label
from utils.media.videos import FrameFolder, Video, VideoFile


@dataclass(frozen=True)
class SegmentedVideo:
    """One video of a results folder.

    Attributes:
        name: of the video.
        results: the results folder.
        mask_paths: a mask per frame, in natural order.
        record: its run.json, empty where there is none that can be read.
    """

    name: str
    results: Path
    mask_paths: tuple[Path, ...]
    record: dict[str, Any]

    def __len__(self) -> int:
        return len(self.mask_paths)

    @property
    def run_dir(self) -> Path:
        return self.results / paths.RUNS / self.name

    @property
    def labelled_frames(self) -> list[int]:
        """Indices of the frames that a person labelled; none where the record does not tell."""
        labelled = self.record.get("labelled_frames")
        if not isinstance(labelled, list):
            return []
        return [frame for frame in labelled if type(frame) is int and 0 <= frame < len(self)]


def choose_segmented(results: Path, names: Sequence[str] = ()) -> list[str]:
    """The named videos of a results folder, or all, in natural order.

    Raises: UsageError for a name that has no masks, InputError if there are no masks at all.
    """
    known = list_sequences(results, paths.SEGMENTATION)
    folder = Path(results) / paths.SEGMENTATION
    if not known:
        raise InputError(
            f"{folder}: expected a folder of masks per video, found none; run finetune_test.py, "
            "or name another --results."
        )
    for name in names:
        if name not in known:
            raise UsageError(
                f"--sequences {name}: no masks of it in {folder}; there are: "
                f"{', '.join(known[:30])}."
            )
    return list(dict.fromkeys(names)) or known


def open_segmented(results: Path, name: str) -> SegmentedVideo:
    """Lists the masks of one video and reads its record; opens no mask.

    Raises: InputError if its folder holds no mask, or not as many as its record has frames.
    """
    folder = Path(results) / paths.SEGMENTATION / name
    masks = tuple(list_files(folder, (".png",)))
    if not masks:
        raise InputError(f"{folder}: expected masks (.png), found none; segment {name} again.")
    record = read_json(Path(results) / paths.RUNS / name / paths.RUN_FILE)
    record = record if isinstance(record, dict) else {}
    expected = record.get("num_frames", len(masks))
    if expected != len(masks):
        raise InputError(
            f"{folder}: expected {expected} masks as {paths.RUN_FILE} says, found {len(masks)}; "
            f"segment {name} again."
        )
    return SegmentedVideo(name, Path(results), masks, record)


def read_masks(video: SegmentedVideo) -> Iterator[np.ndarray]:
    """The masks one by one, uint8 (height, width), 0 background, 1..N animals.

    Raises: InputError naming the first mask that is unreadable or has a size of its own.
    """
    first = None
    for path in video.mask_paths:
        mask = read_label(path).values
        first = first or mask.shape
        if mask.shape != first:
            raise InputError(
                f"{path}: expected a mask of {first[1]}x{first[0]} as {video.mask_paths[0].name}, "
                f"found {mask.shape[1]}x{mask.shape[0]}; segment {video.name} again."
            )
        yield mask


def open_input(video: SegmentedVideo) -> Video:
    """The frames that the masks were made from, where run.json says they are.

    Raises: InputError if they are not known, have moved, or do not go with the masks.
    """
    place = video.record.get("input")
    if not isinstance(place, str):
        raise InputError(
            f'{video.run_dir / paths.RUN_FILE}: expected "input", the video that was segmented, '
            f"found none; segment {video.name} again."
        )
    path = Path(place)
    if not path.exists():
        raise InputError(
            f"{path}: expected the frames of {video.name} here, as run.json says, found nothing; "
            f'put them back, or correct "input" in {video.run_dir / paths.RUN_FILE}.'
        )
    frames = FrameFolder(path, video.name) if path.is_dir() else VideoFile(path, video.name)
    if frames.frame_names != tuple(mask.stem for mask in video.mask_paths):
        raise InputError(
            f"{path}: expected {len(video)} frames named as the masks of {video.name}, found "
            f"{len(frames)} or other names; put back the video that was segmented, or segment this "
            "one."
        )
    return frames
