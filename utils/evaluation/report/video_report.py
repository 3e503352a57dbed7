"""What the report knows of one video, besides its files."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from utils import paths
from utils.evaluation.confidence import Confidence, consistency, frames_to_check, read_confidence
from utils.evaluation.mask_tracks import follow_animals
from utils.evaluation.results import SegmentedVideo, open_segmented, read_masks, require_finished
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
        animals: the numbers of its animals, increasing.
        size: height and width of its masks.
    """

    video: SegmentedVideo
    score: SequenceScore | None
    not_scored: str | None
    consistency: np.ndarray
    confidence: Confidence | None
    animals: tuple[int, ...]
    size: tuple[int, int]

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
        return frames_to_check(self.trust, self.video.labelled_frames)

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
    return VideoReport(
        video=video,
        score=score,
        not_scored=not_scored,
        consistency=np.min([consistency(track) for track in tracks.values()], axis=0),
        confidence=read_confidence(video),
        animals=tuple(tracks),
        size=size,
    )
