"""Finding videos, the labels that exist for them, and the frame whose label the network may see."""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from utils import paths
from utils.errors import InputError, UsageError
from utils.images import (
    list_files,
    list_frames,
    natural_key,
    read_annotation,
    resize_labels,
    working_size,
)
from utils.videos import FrameFolder, Video, VideoFile, list_videos

VOID = 255


@dataclass(frozen=True)
class VideoSequence:
    """One video and the label files that exist for it.

    Attributes:
        name: of its results.
        video: its frames.
        labels: frame index -> label file. Where the user gave labels (--label, or made with
            annotate.py) only those; else all annotations of the data set. None has been opened.
        source: "--label", "datasets/labels" or "annotations": where `labels` come from.
        annotation_dir: folder to score against, None where there is none.
        label_path: where a missing label is expected, with {} for the frame's stem.
    """

    name: str
    video: Video
    labels: dict[int, Path]
    source: str
    annotation_dir: Path | None
    label_path: str


@dataclass(frozen=True)
class Guidance:
    """The labelled frames that fine-tuning sees, and in words why these."""

    frames: tuple[int, ...]
    reason: str


def default_dataset() -> Path:
    """`datasets/finetune_test_dataset`, or the sample where that holds no sequences."""
    if list_sequences(paths.FINETUNE_TEST_DATASET):
        return paths.FINETUNE_TEST_DATASET
    return paths.SAMPLE_DATASET


def list_sequences(dataset_dir: Path, kind: str = "JPEGImages") -> list[str]:
    """Names of the sequences below `DIR/kind/480p` and `DIR/kind`, in natural order."""
    parents = (Path(dataset_dir) / kind / "480p", Path(dataset_dir) / kind)
    folders = (path for parent in parents if parent.is_dir() for path in parent.iterdir())
    names = {path.name for path in folders if path.is_dir() and not path.name.startswith(".")}
    return sorted(names - {"480p", "1080p", "Full-Resolution"}, key=natural_key)  # DAVIS' sizes


def sequence_dir(dataset_dir: Path, kind: str, sequence: str) -> Path | None:
    """`DIR/kind/480p/SEQ` or `DIR/kind/SEQ`, `kind` being JPEGImages or Annotations."""
    folders = (Path(dataset_dir, kind, "480p", sequence), Path(dataset_dir, kind, sequence))
    return next((folder for folder in folders if folder.is_dir()), None)


def choose_sequences(dataset_dir: Path, names: Sequence[str]) -> list[str]:
    """The named sequences of a data set, or all.

    Raises: UsageError for an unknown or repeated name; InputError where the data set is missing or
    empty.
    """
    dataset_dir = Path(dataset_dir)
    if not dataset_dir.is_dir():
        raise InputError(f"{dataset_dir}: no such folder. Give the data set with --dataset.")
    known = list_sequences(dataset_dir)
    if not known:
        raise InputError(
            f"{dataset_dir}: no sequences, expected folders of frames in JPEGImages/480p/SEQ or "
            "JPEGImages/SEQ. Put them there, or name another --dataset."
        )
    for name in names:
        if name not in known:
            raise UsageError(
                f"No sequence {name} in {dataset_dir}; there are: {', '.join(known[:30])}."
            )
    if len(set(names)) != len(names):
        raise UsageError("--sequences names one sequence twice.")
    return list(names) or known


def list_video_paths(arguments: Sequence[Path]) -> list[Path]:
    """Video files and frame folders that `--video` names; a folder of video files stands for all
    of these.

    Raises: UsageError if two have one name, since their results would share a folder; InputError
    if one does not exist.
    """
    found = []
    for path in arguments:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder. Check --video.")
        videos = list_videos(path) if path.is_dir() else []
        found += videos or [path]
    names = [video_name(path) for path in found]
    lowered = [name.casefold() for name in names]  # some file systems do not tell them apart
    for name in names:
        if lowered.count(name.casefold()) > 1:
            raise UsageError(
                f"Two videos are named {name}; their results would share a folder. Rename one."
            )
    return found


def video_name(path: Path) -> str:
    """The name of a video's results: a folder's own name (a link's too), a file's stem."""
    return Path(os.path.abspath(path)).name if path.is_dir() else path.stem


def open_dataset_sequence(
    dataset_dir: Path, name: str, labels: Sequence[Path] = (), guidance: str = "auto"
) -> VideoSequence:
    """A sequence of a data set. Raises: InputError, UsageError as `_find_labels`."""
    video = FrameFolder(sequence_dir(dataset_dir, "JPEGImages", name), name)
    annotation_dir = sequence_dir(dataset_dir, "Annotations", name)
    expected = annotation_dir or Path(dataset_dir, "Annotations", "480p", name)
    return _open(name, video, annotation_dir, f"{expected / '{}.png'}", labels, guidance)


def open_video_sequence(path: Path, labels: Sequence[Path], guidance: str) -> VideoSequence:
    """A video file, or a folder of frames, named by `--video`."""
    name = video_name(path)
    video = FrameFolder(path, name) if path.is_dir() else VideoFile(path, name)
    return _open(name, video, None, f"{paths.LABELS / name / '{}.png'}", labels, guidance)


def choose_guidance(sequence: VideoSequence, guidance: str, selected: Sequence[int]) -> Guidance:
    """Decides which labelled frame the network sees, by file names alone.

    Args:
        sequence: the video and its labels.
        guidance: "auto", "bubblenet", "first", "middle", "last" or frame numbers "12" or "12,40".
        selected: frames that a selection file names, best first; empty without one.

    Raises: InputError for a frame that the video does not have, and for one without a label,
        naming the file to make.
    """
    num_frames, labels = len(sequence.video), sequence.labels
    if guidance == "auto":
        return _automatic_guidance(sequence, selected)
    if guidance in ("first", "middle", "last"):
        frames = {"first": 0, "middle": num_frames // 2, "last": num_frames - 1}[guidance]
        frames, reason = (frames,), f"--guidance {guidance}"
    elif guidance == "bubblenet":
        if selected:
            frames, reason = (selected[0],), "chosen by bubblenet_select.py"
        else:
            frames = (num_frames // 2,)
            reason = "the middle frame, since there is no selection file of bubblenet_select.py"
    else:
        frames = tuple(sorted({int(number) for number in guidance.split(",")}))
        reason = f"--guidance {guidance}"
    for frame in frames:
        if frame >= num_frames:
            raise InputError(
                f"{sequence.name}: there is no frame {frame}, the video has frames 0 to "
                f"{num_frames - 1}."
            )
        if frame not in labels:
            stem = sequence.video.frame_names[frame]
            raise InputError(
                f"{sequence.name}: frame {frame} ({reason}) has no label. "
                f"Make {sequence.label_path.replace('{}', stem)}, or choose a labelled frame with "
                "--guidance" + (f" ({_few(labels)})." if labels else ".")
            )
    return Guidance(frames, reason)


def parse_guidance(text: str) -> str:
    """Checks the form of `--guidance`. Raises: UsageError."""
    if text in ("auto", "bubblenet", "first", "middle", "last") or re.fullmatch(
        r"\d+(,\d+)*", text
    ):
        return text
    raise UsageError(
        "--guidance must be auto, bubblenet, first, middle, last or frame numbers (12 or 12,40), "
        f"not {text!r}."
    )


def read_selection(folder: Path, selection: str, frame_names: Sequence[str]) -> list[int]:
    """Frames that `bubblenet_select.py` (or the original BubbleNets) suggests.

    Args:
        folder: of BN0.txt, BNLF.txt, all.txt: a header line, then index and file name of each
            suggestion.
        selection: the file's stem.
        frame_names: stems of the video's frames; where a file name is one of them it counts, else
            the index.

    Returns: indices, best first; empty if there is no such file.

    Raises: InputError if the file is not of that form.
    """
    path = folder / f"{selection}.txt"
    if not path.is_file():
        return []
    lines = [
        line.strip()
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines()
        if line.strip()
    ]
    stems = {name: index for index, name in enumerate(frame_names)}
    frames = []
    for number, name in zip(lines[1::2], lines[2::2], strict=False):
        if not number.isdecimal() or int(number) >= len(frame_names):
            break
        frames.append(stems.get(Path(name).stem, int(number)))
    if not frames or len(lines) != 1 + 2 * len(frames):
        raise InputError(
            f"{path}: expected a header, then index and file name of frames 0 to "
            f"{len(frame_names) - 1}. "
            "Run bubblenet_select.py again."
        )
    return frames


def read_labels(sequence: VideoSequence, frames: Iterable[int]) -> dict[int, np.ndarray]:
    """Reads the chosen labels, and no other annotation.

    Returns: frame index -> uint8 (H, W), 0 background, 1..N animals, 255 void.

    Raises: InputError naming the file: unreadable, of another size than the video, without animal
        or without background, or with several animals (not supported yet).
    """
    labels = {}
    for frame in frames:
        path = sequence.labels[frame]
        label = read_annotation(path)
        height, width = sequence.video.height, sequence.video.width
        if label.shape != (height, width):
            raise InputError(
                f"{path}: the label is {label.shape[0]}x{label.shape[1]}, the video "
                f"{height}x{width} "
                "(height x width). Label a frame of this video at its full size."
            )
        animals = np.unique(label[(label > 0) & (label != VOID)])
        if not len(animals):
            raise InputError(f"{path}: the label marks no animal. Paint the animal white on black.")
        if not (label == 0).any():
            raise InputError(f"{path}: the label has no background. Paint the background black.")
        if len(animals) > 1:
            raise InputError(
                f"{path}: {len(animals)} animals are labelled; several animals are not supported "
                "yet. "
                "Keep one value, and label the others in runs of their own."
            )
        labels[frame] = label
    return labels


def check_visible(sequence: VideoSequence, labels: dict[int, np.ndarray], lines: int) -> None:
    """Raises: InputError if a labelled animal is so small that it vanishes at working size."""
    size = working_size(sequence.video.height, sequence.video.width, lines)
    for frame, label in labels.items():
        small = resize_labels(label, *size)
        if not ((small > 0) & (small != VOID)).any():
            raise InputError(
                f"{sequence.labels[frame]}: the animal vanishes at {size[0]}x{size[1]}, the size "
                "at which the network works. Label a frame where it is larger."
            )


def _open(name, video, annotation_dir, label_path, label_files, guidance) -> VideoSequence:
    if label_files:
        labels, source = _match_labels(video, label_files, guidance), "--label"
    else:
        made = paths.LABELS / name
        labels, source = _labels_in(made, video), "datasets/labels"
        if not labels and annotation_dir is not None:
            labels, source = _labels_in(annotation_dir, video), "annotations"
    return VideoSequence(name, video, labels, source, annotation_dir, label_path)


def _labels_in(folder: Path, video: Video) -> dict[int, Path]:
    if not folder.is_dir() or not list_files(folder, (".png",)):
        return {}
    index = {name: number for number, name in enumerate(video.frame_names)}
    return {index[path.stem]: path for path in list_frames(folder) if path.stem in index}


def _match_labels(video: Video, files: Sequence[Path], guidance: str | None) -> dict[int, Path]:
    index = {name: number for number, name in enumerate(video.frame_names)}
    numbers = {int(name): i for name, i in index.items() if name.isdecimal()}
    if not numbers:
        numbers = {i: i for i in range(len(video))}
    labels = {}
    for path in files:
        if not path.is_file():
            raise InputError(f"{path}: no such label file. Check --label.")
        if path.stem in index:
            frame = index[path.stem]
        elif path.stem.isdecimal() and int(path.stem) in numbers:
            frame = numbers[int(path.stem)]
        elif (
            len(files) == 1
            and guidance
            and guidance not in ("auto", "bubblenet")
            and "," not in guidance
        ):
            named = {"first": 0, "middle": len(video) // 2, "last": len(video) - 1}
            frame = named[guidance] if guidance in named else int(guidance)
        else:
            raise UsageError(
                f"{path}: which frame does it label? Name it after its frame, "
                f"{video.frame_names[0]}.png to {video.frame_names[-1]}.png, or give --guidance N."
            )
        if frame >= len(video):
            raise UsageError(f"{path} labels frame {frame}, {video.name} has {len(video)} frames.")
        if frame in labels:
            raise UsageError(
                f"{labels[frame]} and {path} label one frame ({frame}). Keep one of them."
            )
        labels[frame] = path
    return labels


def _automatic_guidance(sequence: VideoSequence, selected: Sequence[int]) -> Guidance:
    labels = sequence.labels
    if not labels:
        stem = sequence.video.frame_names[len(sequence.video) // 2]
        raise InputError(
            f"{sequence.name}: no frame is labelled. Make "
            f"{sequence.label_path.replace('{}', stem)} (animal white, background "
            "black), or name a label with --label."
        )
    if sequence.source == "--label":
        return Guidance(tuple(sorted(labels)), "given by --label")
    if len(labels) == 1:
        return Guidance(tuple(labels), "the only labelled frame")
    for frame in selected:
        if frame in labels:
            return Guidance((frame,), "the best by bubblenet_select.py of the labelled frames")
    middle = (len(sequence.video) - 1) / 2
    nearest = min(labels, key=lambda frame: (abs(frame - middle), frame))
    return Guidance((nearest,), f"of {len(labels)} labelled frames the one nearest the middle")


def _few(frames: Iterable[int]) -> str:
    frames = sorted(frames)
    return ", ".join(map(str, frames[:8])) + (", ..." if len(frames) > 8 else "")
