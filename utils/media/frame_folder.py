"""A folder of frames as a `Video` (see `videos.py`)."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np

from utils.errors import InputError
from utils.files import sha256_of
from utils.media.images import list_frames, read_image

FRAMES_PER_SECOND = 24.0  # the rate of DAVIS; a folder does not state its own


class FrameFolder:
    """A folder of JPEG, PNG or WebP frames in natural order.

    Args:
        folder: the frames, or a link to a folder of them.
        name: of the sequence; None takes that of the folder.

    Raises:
        InputError: at the first use if the folder is missing or holds no frames (`list_frames`).
    """

    frames_per_second = FRAMES_PER_SECOND
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
    def _size(self) -> tuple[int, int]:
        return read_image(self.frame_paths[0]).shape[:2]

    @property
    def height(self) -> int:
        return self._size[0]

    @property
    def width(self) -> int:
        return self._size[1]

    def __len__(self) -> int:
        return len(self.frame_paths)

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
        return read_image(self.frame_paths[index])

    def times_seconds(self) -> list[float]:
        """Returns the time of each frame in seconds, the first at 0."""
        return [index / self.frames_per_second for index in range(len(self))]

    def check(self) -> None:
        """Decodes every frame in full.

        Raises:
            InputError: naming the first frame that is unreadable or differs in size.
        """
        expected = self._size
        with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
            # The workers return sizes, not images, so memory does not grow with the video.
            sizes = pool.map(lambda path: read_image(path).shape[:2], self.frame_paths)
            for path, size in zip(self.frame_paths, sizes, strict=True):
                if size != expected:
                    raise InputError(
                        f"{path}: expected {expected[1]}x{expected[0]} as in "
                        f"{self.frame_paths[0].name}, found {size[1]}x{size[0]}; extract the "
                        "frames of one video again, or move this one away."
                    )

    def sha256(self) -> str:
        """Returns the digest of the names and contents of all frames, in order."""
        digest = hashlib.sha256()
        for path in self.frame_paths:
            digest.update(f"{path.name}\0{sha256_of(path)}\n".encode())
        return digest.hexdigest()
