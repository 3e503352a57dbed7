"""What the report knows of one video, besides its files."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from utils import paths
from utils.evaluation.confidence import Confidence, consistency, frames_to_check, read_confidence
from utils.evaluation.corrected_masks import find_drawn_frames
from utils.evaluation.frame_times import FrameTimes, read_frame_times
from utils.evaluation.label_gain import find_labelled
from utils.evaluation.mask_tracks import MaskTrack, compute_speed, follow_animals
from utils.evaluation.report.strip import make_strip
from utils.evaluation.results import SegmentedVideo, open_segmented, read_masks, require_finished
from utils.evaluation.scale import Scale, find_scale
from utils.evaluation.scoring import SequenceScore


@dataclass(frozen=True)
class VideoReport:
    """One video of the report.

    Attributes:
        video: its masks and its record.
        score: J and F, None if it was not scored.
        not_scored: why it was not scored, None if it was.
        consistency: float64 (frames,), 0..1, of the least consistent animal.
        confidence: the network's own, None if none was saved.
        tracks: the number of each animal, increasing -> its track.
        frame_times: when the frames were taken, where that is known.
        scale: how long a pixel is, None if nobody has drawn it.
        labelled_now: frames with a label, whether or not the run had it.
        drawn: frames whose masks a person drew after the run.
        size: height and width of its masks.
        strip: some of its frames side by side, from `make_strip`.
    """

    video: SegmentedVideo
    score: SequenceScore | None
    not_scored: str | None
    consistency: np.ndarray
    confidence: Confidence | None
    tracks: dict[int, MaskTrack]
    frame_times: FrameTimes
    scale: Scale | None
    labelled_now: list[int]
    drawn: set[int]
    size: tuple[int, int]
    strip: np.ndarray

    @property
    def animals(self) -> tuple[int, ...]:
        """The numbers of its animals, increasing."""
        return tuple(self.tracks)

    @property
    def times_seconds(self) -> list[float] | None:
        """Time of each frame, None where they are not known."""
        return self.frame_times.times_seconds

    @property
    def trust(self) -> np.ndarray:
        """float64 (frames,), 0..1: the curve that decides which frames to look at first."""
        return self.consistency if self.confidence is None else self.confidence.frames

    @property
    def trust_name(self) -> str:
        """What that curve is."""
        return "consistency" if self.confidence is None else "confidence"

    @property
    def frames_to_check(self) -> list[int]:
        """Indices of the frames to look at first, the worst one first."""
        # The confidence of a mask that was drawn since is that of the one it replaces.
        return frames_to_check(self.trust, {*self.video.labelled_frames, *self.drawn})

    def speed(self, animal: int) -> np.ndarray:
        """float64 (frames,), px/s, or px per frame where the times are not known."""
        times = self.times_seconds or list(range(len(self.video)))
        return compute_speed(self.tracks[animal], times)

    def speeds_cm(self) -> list[np.ndarray]:
        """Per animal float64 (frames,), cm/s; only where scale and times are known."""
        return [
            compute_speed(track, self.times_seconds, self.scale.pixel_aspect) * self.scale.cm_per_px
            for track in self.tracks.values()
        ]

    @property
    def overlay_path(self) -> Path:
        """The overlay video, which may be missing."""
        return self.video.results / paths.OVERLAY / f"{self.video.name}.mp4"

    @property
    def sheet_path(self) -> Path:
        """The contact sheet, which may be missing."""
        return self.overlay_path.with_suffix(".png")


def make_video_report(
    results: Path, name: str, score: SequenceScore | None, not_scored: str | None
) -> VideoReport:
    """Reads the masks of a video once, one at a time.

    Args:
        results: the results folder.
        name: the video's name.
        score: J and F, None if it was not scored.
        not_scored: why it was not scored, None if it was.

    Raises:
        UnfinishedError: if masks are still to be written.
        InputError: if one is unreadable.
    """
    video = open_segmented(results, name)
    require_finished(video)
    size = (0, 0)

    def masks() -> Iterator[np.ndarray]:
        nonlocal size
        for mask in read_masks(video):
            size = mask.shape
            yield mask

    tracks = follow_animals(masks(), video.animals)
    overlay_path = results / paths.OVERLAY / f"{name}.mp4"
    return VideoReport(
        video=video,
        score=score,
        not_scored=not_scored,
        consistency=np.min([consistency(track) for track in tracks.values()], axis=0),
        confidence=read_confidence(video),
        tracks=tracks,
        frame_times=read_frame_times(video),
        scale=find_scale(name, video.input_path, size),
        labelled_now=find_labelled(video),
        drawn=find_drawn_frames(video),
        size=size,
        strip=make_strip(video, tracks, size, overlay_path),
    )
