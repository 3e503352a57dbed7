"""When each frame of a segmented video was taken, where the video says so."""

from dataclasses import dataclass

from utils.errors import InputError
from utils.evaluation.results import SegmentedVideo, open_input
from utils.media.video_part import VideoPart
from utils.media.videos import FrameFolder


@dataclass(frozen=True)
class FrameTimes:
    """The times of a video's frames.

    Attributes:
        times_seconds: from the start of the video to each frame; None where they are not known.
        pixel_aspect: width of a pixel as shown over its height; None where it is not known.
        notes: what a reader of these numbers has to know of them, in words.
    """

    times_seconds: list[float] | None
    pixel_aspect: float | None
    notes: tuple[str, ...] = ()


def read_frame_times(video: SegmentedVideo) -> FrameTimes:
    """Reads the times from the video that was segmented, if it is still there.

    Args:
        video: from `open_segmented`.
    """
    try:
        frames = open_input(video)
    except InputError as error:
        note = f"time_seconds and pixel_aspect stay empty: {error}"
        return FrameTimes(None, None, (note,))
    with frames:
        notes = []
        if frames.pixel_aspect != 1:
            notes.append(
                f"its pixels are {frames.pixel_aspect:.4g} times as wide as high; lengths, areas "
                "and angles are in stored pixels."
            )
        # A folder of frames does not say how fast they were taken.
        if isinstance(getattr(frames, "whole", frames), FrameFolder):
            return FrameTimes(None, frames.pixel_aspect, tuple(notes))
        if not frames.has_times:
            notes.append(
                f"time_seconds is estimated at {frames.frames_per_second:.4g} frames per second, "
                "since the file has no times."
            )
        is_part = isinstance(frames, VideoPart)
        times = frames.times_in_whole() if is_part else frames.times_seconds()
        return FrameTimes(times, frames.pixel_aspect, tuple(notes))
