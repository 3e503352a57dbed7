"""When each frame of a segmented video was taken, where the video says so."""

from dataclasses import dataclass

from utils.errors import InputError
from utils.evaluation.results import SegmentedVideo, open_input
from utils.media.video_part import VideoPart
from utils.media.videos import FrameFolder, Video


@dataclass(frozen=True)
class FrameTimes:
    """The times of a video's frames.

    Attributes:
        times_seconds: from the start of the video to each frame; None where they are not known.
        pixel_aspect: width of a pixel as shown over its height; None where it is not known.
        times_note: what a reader of the times has to know of them, in words; empty if nothing.
        pixels_note: the same of lengths, areas and angles.
        file_names: of the frames, where they are files.
    """

    times_seconds: list[float] | None
    pixel_aspect: float | None
    times_note: str = ""
    pixels_note: str = ""
    file_names: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """The same of the columns of the table."""
        if self.pixel_aspect is None:
            return (f"time_seconds and pixel_aspect stay empty: {self.times_note}",)
        times = self.times_note and f"time_seconds is {self.times_note}."
        pixels = self.pixels_note and f"its pixels are {self.pixels_note}."
        return tuple(filter(None, (pixels, times)))


def read_frame_times(video: SegmentedVideo) -> FrameTimes:
    """Reads the times from the video that was segmented, if it is still there.

    Args:
        video: from `open_segmented`.
    """
    try:
        frames = open_input(video)
    except InputError as error:
        return FrameTimes(None, None, str(error))
    with frames:
        aspect, pixels_note, times_note = frames.pixel_aspect, "", ""
        if aspect != 1:
            pixels_note = (
                f"{aspect:.4g} times as wide as high; lengths, areas and angles are in stored "
                "pixels"
            )
        file_names = names_of_files(frames)
        if file_names:  # which do not say how fast they were taken
            return FrameTimes(None, aspect, pixels_note=pixels_note, file_names=file_names)
        if not frames.has_times:
            times_note = (
                f"estimated at {frames.frames_per_second:.4g} frames per second, since the file "
                "has no times"
            )
        is_part = isinstance(frames, VideoPart)
        times = frames.times_in_whole() if is_part else frames.times_seconds()
        return FrameTimes(times, aspect, times_note, pixels_note)


def names_of_files(frames: Video) -> tuple[str, ...]:
    """Names of a video's frames with their suffixes, where they are files; else nothing."""
    whole = frames.whole if isinstance(frames, VideoPart) else frames
    if not isinstance(whole, FrameFolder):
        return ()
    suffixes = {path.stem: path.suffix for path in whole.frame_paths}
    return tuple(stem + suffixes[stem] for stem in frames.frame_names)
