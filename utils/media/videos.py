"""Videos, as a folder of frames or as a file, behind one small interface (`Video`)."""

from pathlib import Path
from typing import Protocol

import numpy as np

from utils.media.frame_folder import FrameFolder
from utils.media.images import VIDEO_SUFFIXES, list_files
from utils.media.sound import Sound
from utils.media.video_file import VideoFile

__all__ = ["VIDEO_SUFFIXES", "FrameFolder", "Video", "VideoFile", "list_videos", "shown_size"]


class Video(Protocol):
    """One sequence of frames, each read as uint8 (height, width, 3) RGB.

    Constructing one reads nothing; the first attribute that needs the disk does, and may raise
    InputError.

    Attributes:
        name: of the sequence, as in the names of its results.
        path: the folder of frames or the file.
        first_frame: the number of the first frame; 0 but in a part of a video, whose frames keep
            the numbers of the whole. Indices here always count from 0.
        frame_names: stems of the mask files, one per frame.
        height, width: of the upright frames, pixels.
        frames_per_second: the average rate.
        has_times: whether the video itself states the times of its frames.
        pixel_aspect: width of a pixel as it is shown, in units of its height.
        sound: the sound that belongs to the frames, or None.
    """

    name: str
    path: Path
    first_frame: int
    frame_names: tuple[str, ...]
    height: int
    width: int
    frames_per_second: float
    has_times: bool
    pixel_aspect: float
    sound: Sound | None

    def __len__(self) -> int: ...
    def read(self, index: int) -> np.ndarray: ...
    def times_seconds(self) -> list[float]: ...
    def locate(self, index: int) -> str: ...
    def check(self, *, every_frame: bool = True) -> list[str]: ...
    def sha256(self) -> str: ...
    def close(self) -> None: ...


def shown_size(video: Video) -> tuple[int, int]:
    """The height and width in square pixels at which a video is to be shown; no side is smaller
    than the stored one."""
    aspect = video.pixel_aspect
    return round(video.height * max(1, 1 / aspect)), round(video.width * max(1, aspect))


def list_videos(folder: Path) -> list[Path]:
    """Lists the video files of a folder by their suffix.

    A link whose target is missing is among them: opening it fails, as of any other broken file.

    Args:
        folder: hidden files in it are left out.

    Returns: the files in natural order; an empty list if there are none.

    Raises:
        InputError: if there is no such folder.
    """
    return list_files(folder, VIDEO_SUFFIXES, with_broken_links=True)
