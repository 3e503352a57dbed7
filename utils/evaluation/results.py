"""The one way to open what stage 3 left in a results folder.

A video has its masks in RESULTS/segmentation/SEQ and the record of its run in
RESULTS/runs/SEQ/run.json. Whoever reads results opens them here, so that all agree on which videos
there are, whether they are finished, and which animals they show.
"""

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from utils import paths
from utils.errors import InputError, UsageError, one_line
from utils.files import read_json
from utils.inputs.sequences import NO_SEQUENCES
from utils.media.images import list_files
from utils.media.labels import VOID, iterate_labels, read_label
from utils.media.name_order import natural_key, spelled_as
from utils.media.video_part import take_part
from utils.media.videos import FrameFolder, Video, VideoFile
from utils.stage3.saved_network import read_tuned_on


class State(enum.StrEnum):
    """How far stage 3 has come with a video."""

    FINISHED = "finished"  # its record is there, and so are all of its masks
    UNFINISHED = "unfinished"  # a run has begun and not written everything, or masks are missing
    UNKNOWN = "unknown"  # there are masks, but no trace of a run: another program's, or copied


class UnfinishedError(InputError):
    """A video's run has not written all of its masks.

    Attributes:
        name: the video's name.
        advice: what is missing and how to finish it.
    """

    def __init__(self, name: str, progress: str):
        self.name = name
        self.advice = (
            f"unfinished ({progress}); to finish it, run finetune_test.py on it again with the "
            "same flags"
        )
        super().__init__(f"{name}: {self.advice}")


@dataclass(frozen=True)
class SegmentedVideo:
    """One video of a results folder.

    Attributes:
        name: the video's name.
        results: the results folder.
        state: whether all of its masks are there.
        mask_paths: one mask per frame, in natural order; fewer where it is unfinished.
        record: the content of its run.json, empty where there is none.
        animals: the numbers of its animals in the label, increasing, whether or not a mask shows
            them; empty where no record says so.
    """

    name: str
    results: Path
    state: State
    mask_paths: tuple[Path, ...]
    record: dict[str, Any]
    animals: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.mask_paths)

    @property
    def run_dir(self) -> Path:
        """Folder of its record."""
        return self.results / paths.RUNS / self.name

    @property
    def frame_names(self) -> tuple[str, ...]:
        """The stems of its masks, which are those of the frames."""
        return tuple(path.stem for path in self.mask_paths)

    @property
    def labelled_frames(self) -> list[int]:
        """Indices of the frames that a person labelled; none where no record says so."""
        labelled = self.record.get("labelled_frames") or []
        return [n - self.first_frame for n in labelled if 0 <= n - self.first_frame < len(self)]

    @property
    def first_frame(self) -> int:
        """The number of the first frame, which is not 0 in a part of a video (`--frames`)."""
        return self.record["part"][0] if "part" in self.record else 0

    @property
    def input_path(self) -> Path | None:
        """The video that was segmented, which may have moved; None where no record says so."""
        source = self.record.get("input")
        return Path(source) if isinstance(source, str) else None

    @property
    def frames_sha256(self) -> str:
        """The hash of the frames; empty where no record says so."""
        return self.record.get("key", {}).get("sha256", {}).get("frames", "")

    @property
    def tuned_on(self) -> list[dict[str, Any]]:
        """What its network had learnt before, as `SavedNetwork.tuned_on`; empty where no record
        says so."""
        network = self.record.get("network")
        return read_tuned_on(network.get("tuned_on")) if isinstance(network, dict) else []

    @property
    def is_without_label(self) -> bool:
        """Whether its record says that no label was used."""
        return self.record.get("labelled_frames") == []

    @property
    def progress(self) -> str:
        """How many masks there are, in words."""
        expected = self.record.get("num_frames")
        return f"{len(self)} of {expected} masks" if expected else f"{len(self)} masks so far"


def list_results(results: Path) -> list[str]:
    """Names of all videos in a results folder, finished or not, in natural order."""
    masks, runs = Path(results) / paths.SEGMENTATION, Path(results) / paths.RUNS
    segmented = masks.iterdir() if masks.is_dir() else ()
    names = {path.name for path in segmented if path.is_dir()}
    names |= {path.parent.name for path in runs.glob(f"*/{paths.PARTIAL}") if path.is_dir()}
    names = {name for name in names if not name.startswith(".")} - {*NO_SEQUENCES}
    return sorted(names, key=natural_key)


def choose_results(results: Path, names: Sequence[str] = ()) -> list[str]:
    """The named videos of a results folder, or all of them, in natural order.

    Args:
        results: the results folder.
        names: names of videos; a repeated one counts once.

    Returns: names, each of which `open_segmented` accepts.

    Raises:
        UsageError: There are no results of a named video.
        InputError: There are no results at all.
    """
    known = list_results(results)
    folder = Path(results) / paths.SEGMENTATION
    if not known:
        raise InputError(
            f"{folder}: expected a folder of masks per video, found none; run finetune_test.py, "
            "or name another --results."
        )
    names = [spelled_as(name, known) for name in names]
    for name in names:
        if name not in known:
            raise UsageError(
                f"--sequences {name}: there are no masks of it in {folder}; there are masks of: "
                f"{', '.join(known[:30])}."
            )
    return list(dict.fromkeys(names)) or known


def open_segmented(results: Path, name: str) -> SegmentedVideo:
    """Lists the masks of a video and reads its record; no mask is opened.

    Args:
        results: the results folder.
        name: the video's name.

    Returns: the video. Check its `state`, or call `require_finished`, before relying on its masks.

    Raises:
        InputError: if there is neither a mask nor an unfinished run, if there are more masks than
            its record has frames, or if the record is malformed.
    """
    results = Path(results)
    folder, run_dir = results / paths.SEGMENTATION / name, results / paths.RUNS / name
    record = _read_record(run_dir / paths.RUN_FILE)
    order = record.get("frame_order")  # of a part of a video, but for older records
    masks = tuple(list_files(folder, (".png",), order)) if folder.is_dir() else ()
    state = _find_state(run_dir, record, len(masks))
    if not masks and state is not State.UNFINISHED:
        raise InputError(f"{folder}: expected masks (.png), found none; segment {name} again.")
    expected = record.get("num_frames", len(masks))
    if len(masks) > expected:
        raise InputError(
            f"{folder}: expected {expected} masks, as {paths.RUN_FILE} says, found {len(masks)}; "
            f"segment {name} again."
        )
    return SegmentedVideo(name, results, state, masks, record, _find_animals(run_dir, record))


def require_finished(video: SegmentedVideo) -> None:
    """Refuses a video of which masks are still to be written.

    Raises:
        UnfinishedError: saying how to finish it.
    """
    if video.state is State.UNFINISHED:
        raise UnfinishedError(video.name, video.progress)


def read_masks(video: SegmentedVideo) -> Iterator[np.ndarray]:
    """Reads the masks of a video one by one, twice where no record names its animals.

    Args:
        video: from `open_segmented`.

    Returns: per frame uint8 (height, width), 0 background, else the animal's number in the label.
        Colours of another program that are no numbers are numbered over all masks.

    Raises:
        InputError: naming the first mask that is unreadable, differs in size from the others, or
            shows an animal that the video does not have; if there are more colours than numbers.
    """
    if video.animals:
        labels = (read_label(path, video.animals) for path in video.mask_paths)
    else:
        labels = iterate_labels(video.mask_paths, as_masks=True)
    expected = None
    for path, label in zip(video.mask_paths, labels, strict=True):
        mask = label.values
        mask[mask == VOID] = 0
        expected = expected or mask.shape
        if mask.shape != expected:
            raise InputError(
                f"{path}: expected a mask of {expected[1]}x{expected[0]}, as "
                f"{video.mask_paths[0].name} is, found {mask.shape[1]}x{mask.shape[0]}; "
                f"segment {video.name} again."
            )
        yield mask


def open_input(video: SegmentedVideo) -> Video:
    """Opens the frames that the masks were made from, where run.json says they are.

    Args:
        video: from `open_segmented`.

    Returns: the frames, one per mask; close them after use.

    Raises:
        InputError: if it is not known where the frames are, if they have moved, or if they do not
            match the masks: by their names and, where run.json has it, by their hash; if they may
            not be read.
    """
    try:
        return _open_frames(video)
    except OSError as error:  # of another user, or on a disk that has gone
        raise InputError(
            f"{video.input_path}: expected the frames of {video.name}, found none that can be read "
            f"({one_line(error)}); make them readable, or put them back."
        ) from error


def _open_frames(video: SegmentedVideo) -> Video:
    path, run_file = video.input_path, video.run_dir / paths.RUN_FILE
    if path is None:
        raise InputError(
            f'{run_file}: expected "input", the video that was segmented, found none; segment '
            f"{video.name} again."
        )
    if not path.exists():
        raise InputError(
            f"{path}: expected the frames of {video.name} here, as run.json says, found nothing; "
            f'put them back, or correct "input" in {run_file}.'
        )
    frames = FrameFolder(path, video.name) if path.is_dir() else VideoFile(path, video.name)
    if "part" in video.record and video.record["part"][1] <= len(frames):
        frames = take_part(frames, *video.record["part"])
    if frames.frame_names != video.frame_names:
        raise InputError(
            f"{path}: expected {len(video)} frames named as the masks of {video.name}, found "
            f"{len(frames)} or other names; put back the video that was segmented, or segment this "
            "one."
        )
    # After the part was taken, which has a hash of its own. The bytes are hashed, no frame is
    # decoded: size and time of a file tell neither a copy from another video nor the reverse.
    if video.frames_sha256 not in ("", frames.sha256()):
        raise InputError(
            f"{path}: expected the frames that {video.name} was segmented from, found others of "
            "the same names and number; put back the video that was segmented, or segment this "
            "one."
        )
    return frames


def _find_state(run_dir: Path, record: dict[str, Any], num_masks: int) -> State:
    if record:
        is_complete = num_masks >= max(1, record.get("num_frames", 1))
        return State.FINISHED if is_complete else State.UNFINISHED
    return State.UNFINISHED if (run_dir / paths.PARTIAL).is_dir() else State.UNKNOWN


def _read_record(run_file: Path) -> dict[str, Any]:
    if not run_file.is_file():
        return {}
    record = read_json(run_file)
    if not isinstance(record, dict) or not record:
        raise InputError(f"{run_file}: not the record of a run; segment the video again.")
    for name in ("labelled_frames", "animals", "part"):
        numbers = record.get(name)
        # Some programs keep the confidence of each animal here, as evaluation/confidence.py says.
        if numbers is None or (name == "animals" and isinstance(numbers, dict)):
            continue
        if not isinstance(numbers, list) or not all(type(number) is int for number in numbers):
            raise InputError(f'{run_file}: "{name}" must be a list of numbers, not {numbers}.')
    order = record.get("frame_order", {})
    if not isinstance(order, dict) or not order.keys() <= {"decimal", "negative"}:
        raise InputError(f'{run_file}: "frame_order" must say what is decimal and negative.')
    if type(record.get("num_frames", 0)) is not int:
        raise InputError(f'{run_file}: "num_frames" must be a number, not {record["num_frames"]}.')
    return record


def _find_animals(run_dir: Path, record: dict[str, Any]) -> tuple[int, ...]:
    animals = record.get("animals")
    if isinstance(animals, list) and animals:
        return tuple(sorted(animals))
    count = record.get("num_animals")
    if type(count) is not int:
        return ()
    # Older records say only how many animals there are. Their confidence.json has the numbers.
    confidence = read_json(run_dir / paths.CONFIDENCE_FILE)
    by_animal = confidence.get("animals") if isinstance(confidence, dict) else None
    if isinstance(by_animal, dict) and len(by_animal) == count:
        if all(number.isdecimal() for number in by_animal):
            return tuple(sorted(map(int, by_animal)))
    return tuple(range(1, count + 1))
