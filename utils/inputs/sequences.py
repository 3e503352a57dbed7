"""Finds videos and the labels that exist for them, by file names alone."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path

from utils import paths
from utils.errors import InputError, UsageError
from utils.files import is_broken_link
from utils.inputs.video_names import check_name, name_videos, video_name
from utils.media.images import FRAME_SUFFIXES, join_few, list_files, list_frames
from utils.media.name_order import has_decimals, natural_key, spelled_as
from utils.media.videos import FrameFolder, Video, VideoFile, list_videos

Part = tuple[int, int | None]  # of a video, see `utils.media.video_part.parse_part`
WHOLE: Part = (0, None)
# What storage on a network, and archives that were made on a Mac, add to any folder.
NO_SEQUENCES = ("@eaDir", "@Recycle", "#recycle", "__MACOSX")
SIZE_FOLDERS = ("480p", "1080p", "Full-Resolution")  # of DAVIS, between JPEGImages and the videos


@dataclass(frozen=True)
class VideoSequence:
    """One video and the label files that exist for it.

    Attributes:
        name: the name of its results.
        video: its frames.
        labels: frame index -> label file. If the user gave labels (with --label, or made them with
            annotate.py), only those; otherwise all annotations of the data set. None has been
            opened.
        source: "--label", "datasets/labels" or "annotations": where `labels` come from.
        annotation_dir: the folder to score against, None if there is none.
        label_path: where a missing label is expected, with {} for the frame's stem.
    """

    name: str
    video: Video
    labels: dict[int, Path]
    source: str
    annotation_dir: Path | None
    label_path: str


def default_dataset() -> Path:
    """Returns `datasets/finetune_test_dataset`, or the sample if that contains no sequences."""
    if list_sequences(paths.FINETUNE_TEST_DATASET):
        return paths.FINETUNE_TEST_DATASET
    return paths.SAMPLE_DATASET


def list_sequences(dataset_dir: Path, kind: str = "JPEGImages") -> list[str]:
    """Lists the sequences in `DIR/kind/480p` and `DIR/kind`.

    Args:
        dataset_dir: a data set, or a results folder.
        kind: the folder in it: JPEGImages, Annotations or segmentation.

    Returns: their names in natural order.
    """
    parents = (Path(dataset_dir) / kind / "480p", Path(dataset_dir) / kind)
    folders = [folder for parent in parents for folder in _list_subfolders(parent)]
    names = {folder.name for folder in folders if not _is_size_folder(folder)}
    return sorted(names, key=natural_key)


def _list_subfolders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [
        path
        for path in folder.iterdir()
        if (path.is_dir() or _is_broken_folder_link(path))
        and not path.name.startswith(".")
        and path.name not in NO_SEQUENCES
    ]


def _is_broken_folder_link(path: Path) -> bool:
    """Whether it is a link that leads nowhere, to a folder by its name: not to be passed over."""
    return is_broken_link(path) and not path.suffix


def _is_size_folder(folder: Path) -> bool:
    """Whether it holds sequences; a video named 480p.mp4 gives a sequence of that name."""
    if folder.name not in SIZE_FOLDERS:
        return False
    return bool(_list_subfolders(folder)) or not list_files(folder, FRAME_SUFFIXES)


def sequence_dir(dataset_dir: Path, kind: str, sequence: str) -> Path | None:
    """Finds `DIR/kind/480p/SEQ` or `DIR/kind/SEQ`.

    Args:
        dataset_dir: a data set.
        kind: JPEGImages or Annotations.
        sequence: a name as `list_sequences` returns it.

    Returns: the folder, None if there is neither. Its name may compose accents differently, as
        where one of the data set's folders was copied with a Mac.
    """

    def find(name: str) -> Path | None:
        folders = (Path(dataset_dir, kind, "480p", name), Path(dataset_dir, kind, name))
        exists = (folder for folder in folders if folder.is_dir() or _is_broken_folder_link(folder))
        return next(exists, None)

    return find(sequence) or find(spelled_as(sequence, list_sequences(dataset_dir, kind)))


def choose_sequences(dataset_dir: Path, names: Sequence[str]) -> list[str]:
    """Checks the names of `--sequences`.

    Returns: `names`, or all sequences of the data set if there are none.

    Raises:
        UsageError: for an unknown or repeated name.
        InputError: if the data set is missing or empty.
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
    names = [spelled_as(name, known) for name in names]
    for name in names:
        if name not in known:
            raise UsageError(
                f"No sequence {name} in {dataset_dir}; there are: {', '.join(known[:30])}."
            )
    if len(set(names)) != len(names):
        raise UsageError("--sequences names one sequence twice.")
    return list(names) or known


def list_video_paths(arguments: Sequence[Path]) -> dict[str, Path]:
    """Finds the videos that `--video` names.

    Returns: name -> video file or folder of frames, see `name_videos`. A folder of video files
        stands for all of them.

    Raises:
        UsageError: if two have one name, since their results would share a folder.
        InputError: if one does not exist, or a folder contains both frames and a video file.
    """
    found = []
    for path in arguments:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder. {_advice_on_missing(path)}")
        videos = list_videos(path) if path.is_dir() else []
        frames = list_files(path, FRAME_SUFFIXES) if videos else []
        if frames:
            raise InputError(
                f"{path}: expected the frames of a video or video files, found both: "
                f"{join_few(frames)} and {join_few(videos)}. Move one kind elsewhere, or name "
                "the video file with --video."
            )
        found += videos or [path]
    return name_videos(found)


def _advice_on_missing(path: Path) -> str:
    if re.match(r"[a-z]{2,}:[/\\]", str(path), re.IGNORECASE):
        return "Download the video, and name the file with --video."
    if any(char in path.name for char in "*?%"):
        return "Patterns are not filled in here: name the folder with --video, or its files."
    return "Check --video."


def find_sequences(
    dataset: Path | None,
    names: Sequence[str],
    videos: Sequence[Path],
    labels: Sequence[Path],
    guidance: str,
    name: str | None = None,
    part: Part = WHOLE,
) -> tuple[Path, dict[str, Callable[[], VideoSequence]]]:
    """Finds the videos that the flags of a command line stand for; opens none of them.

    Args:
        dataset: --dataset; None is the default one.
        names: --sequences.
        videos: --video.
        labels: --label.
        guidance: --guidance.
        name: of the only one of `videos`, in place of its own.
        part: of each video that will be taken, whose first, middle or last frame `guidance` means.

    Returns:
        the data set's folder (`datasets/` for videos), and name -> function that opens the video.

    Raises:
        UsageError: for flags that exclude each other.
        InputError: as `choose_sequences` and `list_video_paths`.
    """
    if not videos:
        if name is not None:
            raise UsageError("--name goes with --video.")
        folder = dataset or default_dataset()
        names = choose_sequences(folder, names)
        if labels and len(names) > 1:
            raise UsageError(
                f"--label goes with one sequence, there are {len(names)}. Name it: --sequences."
            )
        return folder, {
            name: partial(open_dataset_sequence, folder, name, labels, guidance, part)
            for name in names
        }
    if dataset or names:
        raise UsageError("--video stands in place of --dataset and --sequences. Give one of them.")
    found = list_video_paths(videos)
    if name is not None and len(found) > 1:
        raise UsageError(f"--name goes with one --video, there are {len(found)}.")
    for own, path in found.items():
        if name is not None:
            check_name(name, "--name")
        else:  # "..mp4" has the stem ".", and the root of a disk has no name
            check_name(own, str(path))
    if labels and len(found) > 1:
        raise UsageError(
            f"--label goes with one --video, there are {len(found)}. Save it as "
            f"{paths.LABELS / 'VIDEO' / 'FRAME.png'} instead: the video's name, "
            "the frame's number."
        )
    return paths.DATASETS, {
        video: partial(open_video_sequence, path, labels, guidance, video, part)
        for video, path in ((name or own, path) for own, path in found.items())
    }


def open_dataset_sequence(
    dataset_dir: Path,
    name: str,
    labels: Sequence[Path] = (),
    guidance: str = "auto",
    part: Part = WHOLE,
) -> VideoSequence:
    """Opens a sequence of a data set.

    Args:
        dataset_dir: the data set.
        name: as `list_sequences` returns it.
        labels: --label.
        guidance: --guidance.
        part: as of `find_sequences`.

    Raises:
        UsageError: if a label belongs to no frame, to several, or to the frame of another label.
        InputError: if such a label is in datasets/labels, or a label or the frames are missing.
    """
    video = FrameFolder(sequence_dir(dataset_dir, "JPEGImages", name), name)
    annotation_dir = sequence_dir(dataset_dir, "Annotations", name)
    expected = annotation_dir or Path(dataset_dir, "Annotations", "480p", name)
    source = _find_labels(video, annotation_dir, labels, guidance, part)
    return VideoSequence(name, video, *source, annotation_dir, f"{expected / '{}.png'}")


def open_video_sequence(
    path: Path,
    labels: Sequence[Path],
    guidance: str,
    name: str | None = None,
    part: Part = WHOLE,
) -> VideoSequence:
    """Opens a video file, or a folder of frames, named by `--video`.

    Args:
        path: of the file or folder.
        labels: --label.
        guidance: --guidance.
        name: of its results; None takes its own.
        part: as of `find_sequences`.

    Raises:
        UsageError, InputError: as `open_dataset_sequence`.
    """
    name = name or video_name(path)
    video = FrameFolder(path, name) if path.is_dir() else VideoFile(path, name)
    source = _find_labels(video, None, labels, guidance, part)
    return VideoSequence(name, video, *source, None, f"{paths.LABELS / name / '{}.png'}")


def _find_labels(
    video: Video,
    annotation_dir: Path | None,
    label_files: Sequence[Path],
    guidance: str,
    part: Part,
) -> tuple[dict[int, Path], str]:
    """The attributes `labels` and `source` of a VideoSequence."""
    if label_files:
        return _match_labels(video, label_files, guidance, part), "--label"
    made = find_made_labels(video)
    labels, source = made, "datasets/labels" if made else "annotations"
    if annotation_dir is not None and not (made and guidance == "auto"):
        labels = find_annotations(annotation_dir, video) | made  # a named frame may have either
    return labels, source


def find_made_labels(video: Video) -> dict[int, Path]:
    """Finds the labels that were made for a video in `datasets/labels/NAME`, whatever opens it.

    Returns: frame index -> file, in the order of the files' names.

    Raises:
        InputError: if a file belongs to no frame, to several, or to the frame of another file.
    """
    folder = paths.LABELS / video.name
    files = list_files(folder, (".png",)) if folder.is_dir() else []
    try:
        return _match_labels(video, files, None) if files else {}
    except UsageError as error:  # a wrong file, not a wrong flag: other videos can be done
        raise InputError(str(error)) from None


def may_have_label(dataset_dir: Path, name: str) -> bool:
    """Whether there are files that may label a video, be it one that cannot be opened.

    Args:
        dataset_dir: of the video, see `find_sequences`.
        name: of the video.
    """
    folders = (paths.LABELS / name, sequence_dir(dataset_dir, "Annotations", name))
    return any(f is not None and f.is_dir() and list_files(f, (".png",)) for f in folders)


def find_annotations(folder: Path, video: Video) -> dict[int, Path]:
    """Finds the annotations of a video in a folder of a data set. Returns: frame index -> file."""
    if not folder.is_dir() or not list_files(folder, (".png",)):
        return {}
    index = {name: number for number, name in enumerate(video.frame_names)}
    return {index[path.stem]: path for path in list_frames(folder) if path.stem in index}


def _match_labels(
    video: Video, files: Sequence[Path], guidance: str | None, part: Part = WHOLE
) -> dict[int, Path]:
    labels: dict[int, Path] = {}
    for path in files:
        if not path.is_file():
            if path.is_dir():
                raise InputError(f"{path}: expected a label file, found a folder; name its files.")
            raise InputError(f"{path}: no such label file. Check --label.")
        if isinstance(video, FrameFolder) and video.is_frame(path):
            raise UsageError(
                f"{path}: expected a label, found a frame of {video.name}; move the label out of "
                "the folder of the frames, or name the label of this frame."
            )
        frames = frames_of_label(path.stem, video.frame_names)
        if len(frames) != 1 and len(files) == 1 and guidance:
            frames = _frame_of_guidance(guidance, len(video), part) or frames
        if len(frames) > 1:
            names = " and ".join(video.frame_names[frame] for frame in frames[:2])
            raise UsageError(
                f"{path}: which frame does it label? The names of {names} end in this number. "
                f"Name it after its frame, {video.frame_names[frames[0]]}.png."
            )
        if not frames:
            raise UsageError(
                f"{path}: which frame does it label? Name it after its frame, "
                f"{video.frame_names[0]}.png to {video.frame_names[-1]}.png"
                + (", or give --guidance N." if guidance else ".")
            )
        (frame,) = frames
        if frame >= len(video):
            raise UsageError(f"{path} labels frame {frame}, {video.name} has {len(video)} frames.")
        if frame in labels:
            raise UsageError(
                f"{labels[frame]} and {path} label one frame ({frame}). Keep one of them."
            )
        labels[frame] = path
    return labels


def frames_of_label(stem: str, frame_names: Sequence[str]) -> list[int]:
    """The frames that a label can belong to: that of its name, else those that end in its number.

    A number is never an index: in a folder of frame_0001, frame_0002, ... label 2 is frame_0002.

    Args:
        stem: of the label's file.
        frame_names: stems of all frames of the video.

    Returns: indices of frames; a label belongs to one only if there is no other.
    """
    if stem in frame_names:
        return [frame_names.index(stem)]
    if has_decimals(frame_names):
        pattern = r"[0-9]+(\.[0-9]+)?"
    else:
        pattern = "[0-9]+"
    if not re.fullmatch(pattern, stem):
        return []
    numbers = [re.search(f"(?:{pattern})?$", name)[0] for name in frame_names]
    return [i for i, text in enumerate(numbers) if text and Decimal(text) == Decimal(stem)]


def _frame_of_guidance(guidance: str, num_frames: int, part: Part) -> list[int]:
    """The frame that `--guidance` names, if it names exactly one without looking at labels."""
    if guidance.isdecimal():
        return [int(guidance)]
    frames = range(num_frames)[slice(*part)] or range(num_frames)  # no part: refused when taken
    named = {"first": frames[0], "middle": frames[len(frames) // 2], "last": frames[-1]}
    return [named[guidance]] if guidance in named else []
