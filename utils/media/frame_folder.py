"""A folder of frames as a `Video` (see `videos.py`)."""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np

from utils.errors import InputError
from utils.files import sha256_of
from utils.media.images import (
    highest_value,
    list_frames,
    open_image,
    read_image,
    white_level,
)
from utils.media.label_content import MAX_ANIMALS
from utils.media.labels import read_label

FRAMES_PER_SECOND = 24.0  # the rate of DAVIS; a folder does not state its own
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")


class FrameFolder:
    """A folder of JPEG, PNG or WebP frames in natural order.

    Args:
        folder: the frames, or a link to a folder of them.
        name: of the sequence; None takes that of the folder.

    Raises:
        InputError: at the first use if the folder is missing or holds no frames (`list_frames`).
    """

    frames_per_second = FRAMES_PER_SECOND
    has_times = False
    pixel_aspect = 1.0
    first_frame = 0
    sound = None

    def __init__(self, folder: Path, name: str | None = None):
        self.path = Path(folder)
        self.name = name or Path(os.path.abspath(folder)).name

    @cached_property
    def frame_paths(self) -> tuple[Path, ...]:
        return tuple(list_frames(self.path))

    @cached_property
    def frame_names(self) -> tuple[str, ...]:
        return tuple(path.stem for path in self.frame_paths)

    @cached_property
    def _path_of_file(self) -> dict[tuple[int, int], Path]:
        """By device and number of the file, which all links to it have."""
        files = ((path.stat(), path) for path in self.frame_paths)
        return {(status.st_dev, status.st_ino): path for status, path in files}

    @cached_property
    def _size(self) -> tuple[int, int]:
        return read_image(self.frame_paths[0]).shape[:2]

    @cached_property
    def _highest_value(self) -> int:
        """What white is in frames of 16 bits: the highest value of as many bits as they use."""
        with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
            highest = max(pool.map(highest_value, self.frame_paths))
        return white_level(highest)

    @property
    def height(self) -> int:
        return self._size[0]

    @property
    def width(self) -> int:
        return self._size[1]

    def __len__(self) -> int:
        return len(self.frame_paths)

    def is_frame(self, path: Path) -> bool:
        """Whether a file is one of the frames, whatever its path."""
        status = path.stat()
        frame = self._path_of_file.get((status.st_dev, status.st_ino))
        # A new file may have the number of a frame that was removed meanwhile.
        return frame is not None and frame.exists() and frame.samefile(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Does nothing, since no file stays open."""

    def read(self, index: int) -> np.ndarray:
        """Reads one frame.

        Args:
            index: from 0.

        Returns: uint8 (height, width, 3) RGB.

        Raises:
            IndexError: outside 0..len-1.
            InputError: if it is unreadable; the message names the file.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"{self.path}: no frame {index}; there are {len(self)}, from 0")
        return read_image(self.frame_paths[index], self._highest_value)

    def times_seconds(self) -> list[float]:
        """Returns the time of each frame in seconds, the first at 0."""
        return [index / self.frames_per_second for index in range(len(self))]

    def locate(self, index: int) -> str:
        """Returns the name of a frame's file."""
        return self.frame_paths[index].name

    def check(self, *, every_frame: bool = True) -> list[str]:
        """Decodes every frame in full.

        Args:
            every_frame: False decodes only the first and the last one.

        Returns: what is unusual but no obstacle, a line each.

        Raises:
            InputError: naming the first frame that is unreadable or differs in size, and one that
                is a label among pictures.
        """
        expected = self._size
        paths = self.frame_paths if every_frame else (self.frame_paths[0], self.frame_paths[-1])
        kinds = []
        with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
            # The workers return sizes, not images, so memory does not grow with the video.
            found = pool.map(_size_and_kind, paths)
            for path, (size, kind) in zip(paths, found, strict=True):
                if size != expected:
                    raise InputError(
                        f"{path}: expected {expected[1]}x{expected[0]} as in "
                        f"{self.frame_paths[0].name}, found {size[1]}x{size[0]}; extract the "
                        "frames of one video again, or move this one away."
                    )
                kinds.append(kind)
        for path in _find_odd(paths, kinds):
            if _is_label(path):
                raise InputError(
                    f"{path}: expected a picture like the other frames, found a label; move it "
                    "elsewhere, and name it with --label."
                )
        return []

    def sha256(self) -> str:
        """Returns the digest of the names and contents of all frames, in order."""
        digest = hashlib.sha256()
        for path in self.frame_paths:
            line = f"{path.name}\0{sha256_of(path)}\n"
            digest.update(line.encode("utf-8", "surrogateescape"))  # a name need not be UTF-8
        return digest.hexdigest()


_Kind = tuple[tuple[str, str], bool]


def _size_and_kind(path: Path) -> tuple[tuple[int, int], _Kind]:
    """The height and width of an image, and what distinguishes a label from pictures at a glance:
    its format and mode, and whether it has several colours, but no more than a label."""
    image = open_image(path)
    colours = None
    if not image.mode.startswith("I;"):  # Pillow does not count those of 16 bits
        colours = image.getcolors(MAX_ANIMALS + 2)  # background and void beside the animals
    few = colours is not None and len(colours) > 1
    return (image.height, image.width), ((image.format or "", image.mode), few)


def _find_odd(paths: Sequence[Path], kinds: Sequence[_Kind]) -> list[Path]:
    """The files that differ from most others in format or mode, and those that have few colours
    where most have many, and are named like none of these: a dark frame may have few as well."""
    names = [_NUMBER.sub("0", path.stem.casefold()) for path in paths]
    formats, with_few_colours = zip(*kinds, strict=True)
    usual = Counter(formats).most_common(1)[0][0]
    few_are_rare = 2 * sum(with_few_colours) <= len(paths)
    of_pictures = {name for name, few in zip(names, with_few_colours, strict=True) if not few}
    return [
        path
        for path, (file_format, few), name in zip(paths, kinds, names, strict=True)
        if file_format != usual or (few and few_are_rare and name not in of_pictures)
    ]


def _is_label(path: Path) -> bool:
    try:
        return bool(read_label(path).animals)
    except InputError:
        return False
