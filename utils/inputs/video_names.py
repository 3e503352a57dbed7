"""The names under which the results of `--video` are stored."""

import os
from collections.abc import Sequence
from pathlib import Path

from utils.errors import UsageError

IS_WINDOWS = os.name == "nt"
FORBIDDEN = "/\\\0\r\n\t" + ('<>:"|?*' if IS_WINDOWS else "")
_PORTS = {f"{port}{number}" for port in ("COM", "LPT") for number in range(10)}
_DEVICES = {"CON", "PRN", "AUX", "NUL", *_PORTS}


def video_name(path: Path) -> str:
    """Returns the name of a video's results: a folder's (or link's) own name, or a file's stem."""
    return Path(os.path.abspath(path)).name if path.is_dir() else path.stem


def check_name(name: str, source: str) -> None:
    """Checks that results can be stored under a name: in a folder of their own, and no other.

    Args:
        name: of a video's results.
        source: the flag or file that it comes from, for the message.

    Raises:
        UsageError: if it is empty, leads to another folder, as `..` and `a/b` do, or cannot be that
            of a folder on this system.
    """
    if name in ("", ".", "..") or any(char in name for char in FORBIDDEN) or _is_device(name):
        raise UsageError(
            f"{source}: results are stored in a folder of their own, which cannot have the name "
            f"{name!r} on this system. Choose another one: --name NAME."
        )


def _is_device(name):
    """Whether Windows takes a name for another one, or for a device."""
    return IS_WINDOWS and (name[-1] in ". " or name.partition(".")[0].rstrip().upper() in _DEVICES)


def name_videos(videos: Sequence[Path]) -> dict[str, Path]:
    """Names videos by their files, and those of one file name by their relative paths.

    `day1/GX010001.mp4` and `day2/GX010001.mp4` are `day1_GX010001` and `day2_GX010001`, wherever
    their common folder is.

    Returns: name -> video, in the order given.

    Raises:
        UsageError: if two have one name all the same, since their results would share a folder.
    """
    names = [video_name(path) for path in videos]
    # Some file systems do not tell upper from lower case.
    shared = {_fold(name) for name in names if list(map(_fold, names)).count(_fold(name)) > 1}
    for fold in shared:
        places = [place for place, name in enumerate(names) if _fold(name) == fold]
        folders = [Path(os.path.abspath(videos[place])).parent for place in places]
        try:
            common = os.path.commonpath(folders)
        except ValueError:  # on different drives of Windows
            continue
        for place, folder in zip(places, folders, strict=True):
            names[place] = "_".join([*folder.relative_to(common).parts, names[place]])
    named = dict(zip(names, videos, strict=True))
    for name in names:
        named_alike = [p for p, n in zip(videos, names, strict=True) if _fold(n) == _fold(name)]
        if len(named_alike) > 1:
            raise UsageError(
                f"Two videos are named {name}, {_join_paths(named_alike)}; their results would "
                "share a folder. Rename one, or run them one by one with --name."
            )
    return named


def _join_paths(videos: Sequence[Path]) -> str:
    return " and ".join(map(str, videos[:2]))


def _fold(name: str) -> str:
    return name.casefold()
