"""The files that say which frame of a video to label (docs/design.md has their format).

BN0.txt, BNLF.txt and all.txt have the original's format, rule.txt has the same. selection.json
keeps the whole rankings and what they were made from, so that an outdated choice is made again.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from utils import paths
from utils.errors import InputError
from utils.files import read_json, read_text, write_atomically, write_json
from utils.media.videos import FrameFolder, Video
from utils.stage3.run_record import same_run

BUBBLENETS = ("BNLF", "BN0")  # in the order in which the original and stage 3 prefer them
RULE = "rule"


def read_selection(folder: Path, selection: str, frame_names: Sequence[str]) -> list[int]:
    """Reads the frames that bubblenet_select.py or the original BubbleNets suggest.

    Args:
        folder: folder of BN0.txt, BNLF.txt, all.txt and rule.txt, each with a header line, then
            index and file name of each suggestion.
        selection: stem of the file to read.
        frame_names: stems of the video's frames. A file name that is among them counts, else the
            index.

    Returns:
        frame indices, best first; empty if there is no such file.

    Raises:
        InputError: if the file does not have that format.
    """
    path = folder / f"{selection}.txt"
    if not path.is_file():
        return []
    lines = [
        line.strip() for line in read_text(path, "surrogateescape").splitlines() if line.strip()
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
            f"{len(frame_names) - 1}. Run bubblenet_select.py again."
        )
    return frames


def write_selection(folder: Path, video: Video, rankings: dict[str, Sequence[int]]) -> None:
    """Writes BN0.txt, BNLF.txt and rule.txt (those with a ranking) and, with networks, all.txt.

    Args:
        folder: see `read_selection`.
        video: the video that was ranked.
        rankings: "BN0", "BNLF", "rule" -> frames, best first.
    """
    for name, ranking in rankings.items():
        _write_lines(folder / f"{name}.txt", name, ranking[:1], video)
    frames = suggestions(rankings)
    if frames:
        # The plural stands for one frame as well, as in the original's files.
        header = f"{len(frames)} suggested annotations for {video.name}"
        _write_lines(folder / "all.txt", header, frames, video)


def suggestions(rankings: dict[str, Sequence[int]]) -> list[int]:
    """Returns the networks' choices, each once, in the order of the video, as in all.txt."""
    return sorted({rankings[name][0] for name in BUBBLENETS if name in rankings})


def frame_file(video: Video, frame: int) -> str:
    """Returns the name of a frame's file; in a video file, the one that extraction would give."""
    if isinstance(video, FrameFolder):
        return video.frame_paths[frame].name
    return f"{video.frame_names[frame]}.jpg"


def read_ranking(folder: Path, selection: str, selected: Sequence[int]) -> list[int]:
    """Reads the whole ranking behind a selection, in which the best labelled frame is looked up.

    Args:
        folder: see `read_selection`.
        selection: see `read_selection`.
        selected: what `read_selection` found.

    Returns:
        `selected`, followed by the rest of the ranking if selection.json has one that begins with
        the same frame (a file written by hand or by the original has none).
    """
    record = read_json(folder / paths.SELECTION_RECORD)
    ranking = _rankings_of(record).get(selection, [])
    if not selected or ranking[:1] != list(selected[:1]):
        return list(selected)
    return [*selected, *(frame for frame in ranking if frame not in selected)]


def is_outdated(folder: Path, frames_sha256: str) -> bool:
    """Returns whether this project made the selection in `folder` from other frames than these.

    Args:
        folder: see `read_selection`.
        frames_sha256: result of `Video.sha256`.
    """
    record = read_json(folder / paths.SELECTION_RECORD)
    return isinstance(record, dict) and record.get("key", {}).get("frames") != frames_sha256


def read_current_rankings(
    folder: Path, key: dict[str, Any], video: Video
) -> dict[str, list[int]] | None:
    """Reads the rankings that were made from the same frames and networks.

    Args:
        folder: see `read_selection`.
        key: names and hashes of what the ranking depends on.
        video: the video that was ranked.

    Returns:
        the rankings as given to `save_rankings`, or None if there are none, they were made from
        something else, or a text file no longer says the same.
    """
    record = read_json(folder / paths.SELECTION_RECORD)
    if same_run(record, key) and _files_agree(folder, record["rankings"], video):
        return record["rankings"]
    return None


def save_rankings(
    folder: Path, key: dict[str, Any], video: Video, rankings: dict[str, list[int]]
) -> None:
    """Writes the text files and selection.json, and removes outdated choices of this project.

    Files without a record are the original's or were written by hand; they stay.

    Args:
        folder: see `read_selection`.
        key: see `read_current_rankings`.
        video: the video that was ranked.
        rankings: see `write_selection`.
    """
    old = _rankings_of(read_json(folder / paths.SELECTION_RECORD))
    outdated = [name for name in old if name not in rankings]
    if suggestions(old) and not suggestions(rankings):
        outdated.append("all")
    for name in outdated:
        (folder / f"{name}.txt").unlink(missing_ok=True)
    write_selection(folder, video, rankings)
    # Last, because it says that the text files are complete.
    write_json(folder / paths.SELECTION_RECORD, {"key": key, "rankings": rankings})


def _rankings_of(record: Any) -> dict[str, list[int]]:
    return record.get("rankings", {}) if isinstance(record, dict) else {}


def _files_agree(folder, rankings, video):
    """Returns whether each text file still says what its ranking says."""
    expected = {name: ranking[:1] for name, ranking in rankings.items()}
    if suggestions(rankings):
        expected["all"] = suggestions(rankings)
    for name, frames in expected.items():
        path = folder / f"{name}.txt"
        lines = [_in_one_line(line) for line in _frame_lines(frames, video)]
        if not path.is_file() or read_text(path, "surrogateescape").splitlines()[1:] != lines:
            return False
    return True


def _frame_lines(frames, video):
    return [line for frame in frames for line in (str(frame), frame_file(video, frame))]


def _in_one_line(text: str) -> str:
    """Of a name with a line break; such a frame is found by its index."""
    return " ".join(text.splitlines())


def _write_lines(path, header, frames, video):
    lines = [header, *_frame_lines(frames, video)]
    text = "".join(f"{_in_one_line(line)}\n" for line in lines)
    content = text.encode("utf-8", "surrogateescape")  # a name need not be UTF-8
    write_atomically(path, lambda temporary_path: temporary_path.write_bytes(content))
