"""Finding videos and the labels that exist for them, by file names alone."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from utils import paths
from utils.errors import InputError, UsageError
from utils.media.images import list_files, list_frames, natural_key
from utils.media.videos import FrameFolder, Video, VideoFile, list_videos


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


def find_sequences(
    dataset: Path | None,
    names: Sequence[str],
    videos: Sequence[Path],
    labels: Sequence[Path],
    guidance: str,
) -> tuple[Path, dict[str, Callable[[], VideoSequence]]]:
    """What the flags of a command line stand for; nothing is opened yet.

    Args:
        dataset: --dataset; None is the default one.
        names: --sequences.
        videos: --video.
        labels: --label.
        guidance: --guidance.

    Returns: the data set's folder (`datasets/` for videos), and name -> what opens the video.

    Raises: UsageError for flags that exclude each other; InputError where there is nothing.
    """
    if not videos:
        folder = dataset or default_dataset()
        names = choose_sequences(folder, names)
        if labels and len(names) > 1:
            raise UsageError(
                f"--label goes with one sequence, there are {len(names)}. Name it: --sequences."
            )
        return folder, {
            name: partial(open_dataset_sequence, folder, name, labels, guidance) for name in names
        }
    if dataset or names:
        raise UsageError("--video stands in place of --dataset and --sequences. Give one of them.")
    found = list_video_paths(videos)
    if labels and len(found) > 1:
        raise UsageError(
            f"--label goes with one --video, there are {len(found)}. Run them one by one."
        )
    return paths.DATASETS, {
        video_name(path): partial(open_video_sequence, path, labels, guidance) for path in found
    }


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


def _open(name, video, annotation_dir, label_path, label_files, guidance) -> VideoSequence:
    if label_files:
        labels, source = _match_labels(video, label_files, guidance), "--label"
    else:
        made = find_made_labels(video)
        labels, source = made, "datasets/labels" if made else "annotations"
        if annotation_dir is not None and not (made and guidance == "auto"):
            labels = _annotations(annotation_dir, video) | made  # a named frame may have either
    return VideoSequence(name, video, labels, source, annotation_dir, label_path)


def find_made_labels(video: Video) -> dict[int, Path]:
    """Finds the labels that were made for a video in `datasets/labels/NAME`: frame index -> file.

    Raises: InputError for a file that names no frame of the video.
    """
    folder = paths.LABELS / video.name
    files = list_files(folder, (".png",)) if folder.is_dir() else []
    try:
        return _match_labels(video, files, None) if files else {}
    except UsageError as error:  # a wrong file, not a wrong flag: other videos can be done
        raise InputError(str(error)) from None


def _annotations(folder: Path, video: Video) -> dict[int, Path]:
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
                f"{video.frame_names[0]}.png to {video.frame_names[-1]}.png"
                + (", or give --guidance N." if guidance else ".")
            )
        if frame >= len(video):
            raise UsageError(f"{path} labels frame {frame}, {video.name} has {len(video)} frames.")
        if frame in labels:
            raise UsageError(
                f"{labels[frame]} and {path} label one frame ({frame}). Keep one of them."
            )
        labels[frame] = path
    return labels
