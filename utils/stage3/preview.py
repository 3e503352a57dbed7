"""Masks of a few frames, to look at while the long part of a run goes on.

They are the network's right after fine-tuning: of frames that the second look surveys anyway, or,
where there is none, of a few frames of a long video.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from utils.media.overlay import write_tiles
from utils.media.videos import Video
from utils.stage3.animal_in_frame import AnimalInFrame, merge_animals
from utils.stage3.temporal_filter import DOUBTFUL

NUM_FRAMES = 10
MIN_FRAMES = 500  # of a video, to segment frames for the preview alone: they are 2 % of it at most
COLUMNS = 5


def frames_to_preview(num_frames: int) -> list[int]:
    """The frames to segment where there is no second look; none of a short video."""
    return _spread(range(num_frames)) if num_frames >= MIN_FRAMES else []


def write_preview(
    path: Path, video: Video, surveyed: Sequence[AnimalInFrame], animal: int, threshold: float
) -> str:
    """Writes a contact sheet of one animal's masks, each with its confidence.

    Args:
        path: of the PNG.
        video: the frames.
        surveyed: what was found, of which NUM_FRAMES frames are shown; not empty.
        animal: its number.
        threshold: probability above which a pixel is animal.

    Returns: what looks doubtful, in words.
    """
    by_frame = {found.frame: found for found in surveyed}
    shown = {frame: by_frame[frame] for frame in _spread(sorted(by_frame))}

    def mask_of(frame: int) -> np.ndarray:
        found = shown[frame]
        return merge_animals([found], threshold, *found.probability.shape) * np.uint8(animal)

    tags, doubtful = {}, []
    for frame, found in shown.items():
        confidence = found.confidence
        tags[frame] = f"{video.frame_names[frame]}  {confidence:.2f}"
        if confidence < DOUBTFUL:
            tags[frame] += " doubtful"
            doubtful.append(f"{frame + video.first_frame} ({confidence:.2f})")
    write_tiles(path, video, mask_of, tags, COLUMNS)
    several = "s" * (len(doubtful) > 1)
    return f"doubtful in frame{several} {', '.join(doubtful)}" if doubtful else "none is doubtful"


def _spread(frames: Sequence[int]) -> list[int]:
    """NUM_FRAMES of these, evenly spaced; all if there are fewer."""
    places = np.linspace(0, len(frames) - 1, min(NUM_FRAMES, len(frames))).round().astype(int)
    return [frames[place] for place in places]
