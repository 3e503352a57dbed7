"""The corrections of a video on disk, and its masks with and without them.

Below RESULTS/runs/SEQ are `corrections.json`, the list; `corrections/`, the pixels that belong to
it; and `uncorrected/`, the masks of changed frames as the network made them. A mask in
RESULTS/segmentation/SEQ is always its uncorrected one with all corrections that hold in its frame,
in their order: to undo is to leave one out.
"""

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from utils import paths
from utils.errors import InputError
from utils.files import move_into_place, read_json, write_atomically, write_json
from utils.media.labels import VOID, read_label, write_label
from utils.media.videos import Video
from utils.stage3.corrections import KINDS, Operation, Redraw, Swap, describe


@dataclass(frozen=True)
class Correction:
    """One entry of the list.

    Attributes:
        number: names its files.
        operation: what it does.
        holds_in: the frames in which it is applied to the present masks.
        note: why not in all of its frames; empty if it is.
    """

    number: int
    operation: Operation
    holds_in: frozenset[int]
    note: str = ""


@dataclass(frozen=True)
class MaskFolder:
    """Where the masks of a video are, and what they show.

    Attributes:
        results: the results folder.
        name: of the video.
        frame_names: stems of its masks.
        animals: their numbers; empty where no record says so.
        sha256: of the frames, as in run.json; empty where that is not known.
    """

    results: Path
    name: str
    frame_names: Sequence[str]
    animals: tuple[int, ...]
    sha256: str = ""

    @property
    def run_dir(self) -> Path:
        return self.results / paths.RUNS / self.name

    def mask_path(self, frame: int) -> Path:
        return self.results / paths.SEGMENTATION / self.name / f"{self.frame_names[frame]}.png"

    def uncorrected_path(self, frame: int) -> Path:
        return self.run_dir / paths.UNCORRECTED / f"{self.frame_names[frame]}.png"


class Corrections:
    """The list of corrections of one video.

    Args:
        masks: of the video.

    Attributes:
        entries: the list, in the order in which it is applied.
        are_masks_written: whether the masks on disk have the corrections; False only while they are
            being written, or after that was cut off.
        is_overlay_written: the same for the overlay video.

    Raises:
        InputError: if the file is damaged, or was made for other frames.
    """

    def __init__(self, masks: MaskFolder):
        self.masks = masks
        self.path = masks.run_dir / paths.CORRECTIONS_FILE
        self.entries: list[Correction] = []
        self.are_masks_written = self.is_overlay_written = True
        self._saved_at = self._time_of_file()
        if self._saved_at is not None:
            self._read()

    def pixels(self, number: int, frame: int) -> np.ndarray:
        """The pixels of a correction in a frame, as a label map.

        Raises:
            InputError: if the file is missing or damaged.
        """
        path = self._pixels_path(number, frame)
        if not path.is_file():
            raise InputError(
                f"{path}: expected the pixels of a correction, found nothing; put the file back, "
                "or undo the correction in annotate.py."
            )
        return _read_labels(path)

    def corrected(self, frame: int, num_entries: int | None = None) -> np.ndarray:
        """The mask of a frame as it is to be.

        Args:
            frame: its index.
            num_entries: only this many of the corrections; None: all of them.

        Returns: uint8 (height, width), a label map.

        Raises:
            InputError: if a file is missing or damaged.
        """
        path = self.masks.uncorrected_path(frame)
        labels = _read_labels(path if path.is_file() else self.masks.mask_path(frame))
        for entry in self.entries[:num_entries]:
            if frame in entry.holds_in:
                is_swap = isinstance(entry.operation, Swap)  # has pixels in two of its frames
                pixels = None if is_swap else self.pixels(entry.number, frame)
                labels = entry.operation.apply(frame, labels, pixels)
        return labels

    def write_mask(self, frame: int) -> None:
        """Writes the mask of a frame as it is to be, and keeps what the network made of it."""
        path, uncorrected = self.masks.mask_path(frame), self.masks.uncorrected_path(frame)
        if not any(frame in entry.holds_in for entry in self.entries):
            if uncorrected.is_file():
                move_into_place(uncorrected, path)
            return
        labels = self.corrected(frame)
        if not uncorrected.is_file():
            write_atomically(uncorrected, lambda temporary: shutil.copyfile(path, temporary))
        _write_labels(path, labels, self.masks.animals)

    def keep_pixels(self, number: int, frame: int, pixels: np.ndarray) -> None:
        """Writes the pixels of a correction in a frame, before the correction is in the list."""
        _write_labels(self._pixels_path(number, frame), pixels, ())

    def next_number(self) -> int:
        """A number that neither an entry nor one that was undone has."""
        folder = self.masks.run_dir / paths.CORRECTIONS
        kept = [int(path.name.partition("_")[0]) for path in folder.glob("[0-9]*_*.png")]
        return max([entry.number for entry in self.entries] + kept, default=0) + 1

    def save(self) -> None:
        """Writes the list."""
        write_json(
            self.path,
            {
                "num_frames": len(self.masks.frame_names),
                "frames_sha256": self.masks.sha256,
                "are_masks_written": self.are_masks_written,
                "is_overlay_written": self.is_overlay_written,
                "corrections": [_to_json(entry) for entry in self.entries],
            },
        )
        self._saved_at = self._time_of_file()

    def is_outdated(self) -> bool:
        """Whether another process has written the list since."""
        return self._saved_at != self._time_of_file()

    def remove_unused_pixels(self) -> None:
        """Removes the pixels of corrections that are not in the list any more."""
        used = {entry.number for entry in self.entries}
        for path in (self.masks.run_dir / paths.CORRECTIONS).glob("[0-9]*_*.png"):
            if int(path.name.partition("_")[0]) not in used:
                path.unlink()

    def frames(self) -> list[int]:
        """All frames that a correction changes, increasing."""
        return sorted({frame for entry in self.entries for frame in entry.holds_in})

    def to_write(self) -> list[int]:
        """The frames whose masks may lack corrections, or have one that was undone."""
        if self.are_masks_written:
            return []
        has_copy = (self.masks.uncorrected_path(f).is_file() for f in range(self._num_frames))
        return sorted({*self.frames(), *(f for f, has in enumerate(has_copy) if has)})

    def require_uncorrected(self) -> None:
        """Raises InputError if a corrected mask is not there as the network made it."""
        if not self.are_masks_written:
            return
        missing = [f for f in self.frames() if not self.masks.uncorrected_path(f).is_file()]
        if missing:
            raise InputError(
                f"{self.masks.uncorrected_path(missing[0])}: expected the mask without corrections,"
                " found nothing; segment the video again with finetune_test.py --overwrite, which "
                "applies the corrections again."
            )

    def refit(self) -> list[str]:
        """Decides which corrections still hold in masks that were made anew.

        Returns: what does not, a line each.
        """
        notes = []
        for place, entry in enumerate(self.entries):
            operation, number = entry.operation, entry.number
            missing = [a for a in operation.animals if a and a not in self.masks.animals]
            if missing:
                holds_in, note = [], f"there is no animal {missing[0]} any more"
            else:
                holds_in, note = operation.refit(
                    lambda frame, before=place: self.corrected(frame, before),
                    lambda frame, number=number: self.pixels(number, frame),
                )
            self.entries[place] = replace(entry, holds_in=frozenset(holds_in), note=note)
            if note:
                where = (
                    f"kept in {len(holds_in)} frame{'s' * (len(holds_in) > 1)}"
                    if holds_in
                    else "left out"
                )
                notes.append(f"{describe(operation)}: {where}: {note}")
        return notes

    def leave_out_all(self, note: str) -> None:
        """No correction holds: where they held was decided in the masks of an earlier run."""
        self.entries = [replace(e, holds_in=frozenset(), note=note) for e in self.entries]

    @property
    def _num_frames(self) -> int:
        return len(self.masks.frame_names)

    def _time_of_file(self) -> int | None:
        return self.path.stat().st_mtime_ns if self.path.is_file() else None

    def _pixels_path(self, number: int, frame: int) -> Path:
        return self.masks.run_dir / paths.CORRECTIONS / f"{number:04d}_{frame:06d}.png"

    def _read(self) -> None:
        content = read_json(self.path)
        try:
            sha256, num_frames = content["frames_sha256"], content["num_frames"]
            entries = [_from_json(entry) for entry in content["corrections"]]
            self.are_masks_written = bool(content["are_masks_written"])
            self.is_overlay_written = bool(content["is_overlay_written"])
        except (TypeError, KeyError, ValueError) as error:
            raise InputError(
                f"{self.path}: expected a list of corrections, found something else ({error}); "
                "restore the file, or move it away to go without corrections."
            ) from error
        known = sha256 and self.masks.sha256
        if num_frames != self._num_frames or (known and sha256 != self.masks.sha256):
            raise InputError(
                f"{self.path}: expected corrections of these frames, found those of other frames; "
                f"they are not applied. Move the file and {paths.CORRECTIONS}/ beside it away to "
                "correct these masks."
            )
        self.entries = entries


def correct_masks(results: Path, video: Video, animals: Sequence[int]) -> list[str]:
    """Applies the corrections of a video to masks that were just made, as far as they still hold.

    Args:
        results: the results folder.
        video: the frames.
        animals: the numbers of its animals.

    Returns: what was done, a line each; nothing where there are no corrections.
    """
    if not (results / paths.RUNS / video.name / paths.CORRECTIONS_FILE).is_file():
        return []
    masks = MaskFolder(results, video.name, video.frame_names, tuple(animals), video.sha256())
    try:
        corrections = Corrections(masks)
    except InputError as error:
        return [str(error)]
    corrections.are_masks_written = False
    try:
        notes = corrections.refit()
        corrections.save()
        for frame in corrections.frames():
            corrections.write_mask(frame)
    except InputError as error:  # a file is missing or damaged
        corrections.leave_out_all(str(error))
        corrections.save()
        return [str(error)]
    corrections.are_masks_written = corrections.is_overlay_written = True
    corrections.save()
    return [summarise(corrections.entries), *notes]


def summarise(entries: Sequence[Correction], first_frame: int = 0) -> str:
    """How many corrections there are and where, in words; empty if there are none."""
    if not entries:
        return ""
    frames = sorted({frame + first_frame for entry in entries for frame in entry.holds_in})
    left_out = sum(not entry.holds_in for entry in entries)
    where = f" in {'frame' if len(frames) == 1 else 'frames'} {_join_runs(frames)}" * bool(frames)
    rest = f"; {left_out} left out, since the masks are not those that were corrected"
    several = "s" * (len(entries) != 1)
    return f"{len(entries)} correction{several} by hand{where}{rest * bool(left_out)}"


def drawn_frames(entries: Iterable[Correction]) -> set[int]:
    """The frames whose masks a person drew, as far as this holds in the present masks."""
    redrawn = [entry for entry in entries if isinstance(entry.operation, Redraw)]
    return {e.operation.drawn for e in redrawn if e.operation.drawn in e.holds_in}


def _join_runs(frames: Sequence[int]) -> str:
    return ", ".join(f"{a}" if a == b else f"{a} to {b}" for a, b in runs_of(frames))


def runs_of(frames: Iterable[int]) -> list[tuple[int, int]]:
    """First and last number of each run of consecutive ones; `frames` is increasing."""
    runs: list[tuple[int, int]] = []
    for frame in frames:
        if runs and frame == runs[-1][1] + 1:
            runs[-1] = runs[-1][0], frame
        else:
            runs.append((frame, frame))
    return runs


def _to_json(entry: Correction) -> dict[str, Any]:
    runs = [list(run) for run in runs_of(sorted(entry.holds_in))]
    return {
        "number": entry.number,
        **asdict(entry.operation),
        "holds_in": runs,
        "note": entry.note,
    }


def _from_json(content: dict[str, Any]) -> Correction:
    content = dict(content)
    number, runs, note = content.pop("number"), content.pop("holds_in"), content.pop("note")
    content["animals"] = tuple(content["animals"])
    operation = KINDS[content["kind"]](**content)
    holds_in = frozenset(frame for first, last in runs for frame in range(first, last + 1))
    return Correction(int(number), operation, holds_in, str(note))


def _read_labels(path: Path) -> np.ndarray:
    if not path.is_file():
        raise InputError(f"{path}: expected a mask, found nothing; segment the video again.")
    labels = read_label(path).values
    labels[labels == VOID] = 0
    return labels


def _write_labels(path: Path, labels: np.ndarray, animals: Sequence[int]) -> None:
    shown = (np.flatnonzero(np.bincount(labels.ravel(), minlength=256)[1:]) + 1).tolist()
    write_label(path, labels, sorted({*animals, *shown}) or (1,))
