"""What annotate.py works on: one video, its labels and results on disk, and the next command."""

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from utils import paths
from utils.command_line import flag_words, shown_command
from utils.errors import InputError
from utils.evaluation.confidence import frames_to_check, read_confidence
from utils.evaluation.corrected_masks import find_drawn_frames
from utils.evaluation.results import open_segmented
from utils.inputs.sequences import VideoSequence, find_made_labels
from utils.media.labels import (
    MAX_ANIMALS,
    VOID,
    number_colours,
    read_label,
    write_coloured_label,
    write_label,
)
from utils.media.videos import Video
from utils.stage3.presets import PRESETS


@dataclass(frozen=True)
class AnnotationTask:
    """What is to be labelled, and where its files are.

    Attributes:
        sequence: the video.
        first_frame: index of the frame that the page opens on.
        first_reason: in words, why that one.
        input_flags: name the video to stage 3: --video FILE, or --dataset DIR --sequences SEQ.
        results: folder of stage 3's results.
        stage3: the script.
        export: the script that writes tables.
    """

    sequence: VideoSequence
    first_frame: int
    first_reason: str
    input_flags: tuple[str, ...]
    results: Path = paths.RESULTS
    stage3: Path = paths.ROOT / "finetune_test.py"
    export: Path = paths.ROOT / "export.py"

    @property
    def video(self) -> Video:
        return self.sequence.video

    @property
    def video_id(self) -> str:
        """Tells this video with these results from another one."""
        facts = self.video.path.absolute(), len(self.video), self.results.absolute()
        return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]

    @property
    def overlay_path(self) -> Path:
        return self.results / paths.OVERLAY / f"{self.sequence.name}.mp4"

    @property
    def preview_path(self) -> Path:
        """Where an unfinished run leaves its preview."""
        run_dir = self.results / paths.RUNS / self.sequence.name
        return run_dir / paths.PARTIAL / paths.PREVIEW_FILE

    # Labels

    def labelled_frames(self) -> list[int]:
        """Indices of the frames whose labels stage 3 would find now in datasets/labels, in
        increasing order.

        Raises:
            InputError: for a file there that names no frame of the video.
        """
        return sorted(find_made_labels(self.video))

    def label_times(self) -> dict[int, str]:
        """When the label of each of these frames was written: it may be another program's since.

        Returns: frame index -> nanoseconds, as text, since numbers of JavaScript cannot hold them.

        Raises:
            InputError: as `labelled_frames`.
        """
        labels = find_made_labels(self.video)
        return {frame: str(time_of(labels[frame])) for frame in sorted(labels)}

    def annotations(self) -> dict[int, Path]:
        """The data set's own annotations: frame index -> file. Empty where labels were made."""
        return self.sequence.labels if self.sequence.source == "annotations" else {}

    def label_path(self, frame: int) -> Path:
        """Where the label of a frame is, or will be."""
        expected = paths.LABELS / self.sequence.name / f"{self.video.frame_names[frame]}.png"
        return find_made_labels(self.video).get(frame, expected)

    def read_label(self, path: Path) -> np.ndarray:
        """Reads a label of the video, whatever program made it; animals keep their numbers, and
        those in colours of their own have the same number in all labels made for the video.

        Returns: uint8 (height, width): 0 background, 1..MAX_ANIMALS animals, 255 void.

        Raises:
            InputError: if it is no label, of another size, or shows animals beyond MAX_ANIMALS; the
                message names the file.
        """
        numbers, coloured = self._number_colours()
        label = read_label(path, numbers=numbers if path in coloured else None)
        self._check_size(path, label.values)
        if len(label.animals) == 1 and label.animals[0] > MAX_ANIMALS:  # more than the page offers
            label.values[(label.values > 0) & (label.values != VOID)] = 1
        else:
            _check_animals(path, label.animals)
        return label.values

    def save_label(self, frame: int, labels: np.ndarray) -> Path:
        """Writes the label of a frame, in place of the one it has.

        Animals that other labels of the video know by a colour are written in it: numbers and
        colours together would be more animals than there are.

        Args:
            labels: uint8 (height, width), 0 background, 1..MAX_ANIMALS animals, of which there is
                at least one.

        Returns: the file.
        """
        path = self.label_path(frame)
        numbers, _ = self._number_colours()
        if numbers:
            write_coloured_label(path, labels, numbers)
        else:
            write_label(path, labels, range(1, int(labels.max()) + 1))
        return path

    def _number_colours(self) -> tuple[dict[int, int], tuple[Path, ...]]:
        labels = find_made_labels(self.video).values()
        return _number_colours(tuple((path, time_of(path)) for path in labels))

    # Stage 3

    def stage3_flags(self, preset: str = "default") -> list[str]:
        """The flags of the run that uses all labels made here, and the annotations that the run
        before had, whose result they correct."""
        return self._flags(preset, self._frames_to_use())

    def _frames_to_use(self) -> list[int]:
        labelled = self.labelled_frames()
        return sorted({*labelled, *self._annotations_used()}) if labelled else []

    def _flags(self, preset: str, labelled: Sequence[int]) -> list[str]:
        flags = list(self.input_flags)
        if len(labelled) > 1:  # by itself it would choose one of them
            flags += ["--guidance", ",".join(map(str, labelled))]
        if preset != "default":
            flags += ["--preset", preset]
        if self.results != paths.RESULTS:
            flags += flag_words("--results", self.results)
        return flags

    def _annotations_used(self) -> list[int]:
        """Frames that were labelled in the last run and that the data set has an annotation of."""
        folder, names = self.sequence.annotation_dir, self.video.frame_names
        if folder is None:
            return []
        used = self.results_status().get("labelled", [])
        return [frame for frame in used if (folder / f"{names[frame]}.png").is_file()]

    def run_command(self, preset: str) -> list[str]:
        """The command that runs stage 3 from here, with this Python, for BackgroundRun."""
        flags = [*self.stage3_flags(preset), "--progress", "json"]
        return [sys.executable, str(self.stage3), *flags]

    def next_command(self) -> str:
        """What to type for it in the terminal and the folder where annotate.py was started."""
        return self.next_commands()["default"]

    def next_commands(self) -> dict[str, str]:
        """The same for each preset."""
        labelled = self._frames_to_use()  # found once for all of them
        flags = {preset: self._flags(preset, labelled) for preset in PRESETS}
        return {preset: shown_command(self.stage3, flags[preset]) for preset in flags}

    # Results

    def read_result(self, frame: int) -> np.ndarray | None:
        """Reads the mask that stage 3 wrote.

        Returns: uint8 (height, width), 0 background, 1..N animals; None where there is none.

        Raises:
            InputError: as `read_label`.
        """
        folder = self.results / paths.SEGMENTATION / self.sequence.name
        path = folder / f"{self.video.frame_names[frame]}.png"
        if not path.is_file():
            return None
        label = read_label(path)
        self._check_size(path, label.values)
        _check_animals(path, label.animals)
        return label.values

    def results_status(self) -> dict[str, Any]:
        """For JSON: whether the video is segmented, and which frames to look at first; or why its
        results are not shown."""
        try:
            video = open_segmented(self.results, self.sequence.name)
            is_this = video.frame_names == tuple(self.video.frame_names)
            if "part" in video.record and not is_this:
                first, end = video.record["part"]
                reason = (
                    f"{self.results} has frames {first} to {end - 1} of the video (--frames): they "
                    "cannot be reviewed here. Run segments the whole video and replaces them."
                )
                return {"available": False, "reason": reason}
            if not video.record or not is_this:
                return {"available": False}
            confidence = read_confidence(video)
        except InputError:
            return {"available": False}
        values = None if confidence is None else confidence.frames
        labelled = video.labelled_frames
        settled = {*labelled, *find_drawn_frames(video)}
        return {
            "available": True,
            "labelled": labelled,
            "version": (video.run_dir / paths.RUN_FILE).stat().st_mtime_ns,
            "has_overlay": self.overlay_path.is_file(),
            "overlay_version": time_of(self.overlay_path),
            "animals": list(video.animals),
            "confidence": None if values is None else values.round(4).tolist(),
            "check_first": [] if values is None else frames_to_check(values, settled),
        }

    def _check_size(self, path: Path, labels: np.ndarray) -> None:
        height, width = self.video.height, self.video.width
        if labels.shape != (height, width):
            raise InputError(
                f"{path}: expected {width}x{height} as the video, found {labels.shape[1]}x"
                f"{labels.shape[0]}; it belongs to another video of that name: move it away."
            )


@lru_cache(maxsize=4)
def _number_colours(
    files: tuple[tuple[Path, int | None], ...],
) -> tuple[dict[int, int], tuple[Path, ...]]:
    """`number_colours` of files as they were at a time."""
    return number_colours([path for path, _ in files])


def _check_animals(path: Path, animals: Sequence[int]) -> None:
    beyond = [animal for animal in animals if animal > MAX_ANIMALS]
    if beyond:
        raise InputError(
            f"{path}: this page shows animals 1 to {MAX_ANIMALS}, and here is animal {beyond[0]}; "
            "give the animals lower numbers."
        )


def time_of(path: Path) -> int | None:
    """When a file was written, in nanoseconds; None if it is not there."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None
