"""The report's table of scores: all videos, three columns for each protocol that occurs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from utils.evaluation.report.video_report import VideoReport
from utils.evaluation.results import SegmentedVideo
from utils.evaluation.scoring import CHOSEN, FIRST, LEFT_OUT, NO_LABEL, UNKNOWN

PROTOCOLS = {
    FIRST: "frame 0 was labelled; comparable with published tables.",
    CHOSEN: "another frame, or several, were labelled, and these are scored as well.",
    LEFT_OUT: "the same without the labelled frames.",
    NO_LABEL: "a network that was fine-tuned on other videos found the animals.",
    UNKNOWN: "there is no record of which frame was labelled.",
}
Scores = tuple[float, float, float]  # J&F, J, F


@dataclass(frozen=True)
class Row:
    """One video.

    Attributes:
        anchor: id of the video's part of the page.
        name: the video's name.
        scores: protocol -> J&F, J and F, for the protocols that it was scored under.
        lowest_trust: of all frames, 0..1.
        num_frames: of the video.
        labelled: the labelled frames, in words.
        minutes: how long the run took, in words.
    """

    anchor: str
    name: str
    scores: dict[str, Scores]
    lowest_trust: float
    num_frames: int
    labelled: str
    minutes: str


@dataclass(frozen=True)
class Mean:
    """The mean over the videos of one protocol."""

    num_videos: int
    scores: Scores


@dataclass(frozen=True)
class ScoreTable:
    """All that the template shows.

    Attributes:
        protocols: those that occur -> what they mean.
        rows: one per video.
        means: protocol -> mean.
        trust_names: "confidence", "consistency" or both: what `Row.lowest_trust` is.
    """

    protocols: dict[str, str]
    rows: list[Row]
    means: dict[str, Mean]
    trust_names: list[str]


def make_score_table(reports: Sequence[VideoReport], anchors: Sequence[str]) -> ScoreTable:
    """Makes the table of the videos, in the order given."""
    rows = [_make_row(report, anchor) for report, anchor in zip(reports, anchors, strict=True)]
    protocols = {
        name: meaning
        for name, meaning in PROTOCOLS.items()
        if any(name in row.scores for row in rows)
    }
    means = {}
    for protocol in protocols:
        scores = [row.scores[protocol] for row in rows if protocol in row.scores]
        means[protocol] = Mean(len(scores), tuple(np.mean(scores, axis=0).tolist()))
    return ScoreTable(protocols, rows, means, sorted({report.trust_name for report in reports}))


def _make_row(report: VideoReport, anchor: str) -> Row:
    video = report.video
    nothing = "none" if video.is_without_label else "?"
    return Row(
        anchor=anchor,
        name=video.name,
        scores=_scores_by_protocol(report),
        lowest_trust=float(report.trust.min()),
        num_frames=len(video),
        labelled=", ".join(str(f + video.first_frame) for f in video.labelled_frames) or nothing,
        minutes=_minutes(video),
    )


def _scores_by_protocol(report: VideoReport) -> dict[str, Scores]:
    """J&F, J and F of a video under each protocol that its scores allow."""
    score = report.score
    if score is None:
        return {}
    numbers = score.scores
    by_protocol = {score.protocol: (numbers["J&F-Mean"], numbers["J-Mean"], numbers["F-Mean"])}
    if score.protocol == CHOSEN:
        labelled = {report.video.frame_names[frame] for frame in score.labelled_frames or ()}
        unseen = [k for k, frame in enumerate(score.frames) if frame not in labelled]
        j, f = (float(np.mean([numbers[key][k] for k in unseen])) for key in "JF")
        by_protocol[LEFT_OUT] = ((j + f) / 2, j, f)
    return by_protocol


def _minutes(video: SegmentedVideo) -> str:
    seconds = video.record.get("seconds")
    total = seconds.get("total") if isinstance(seconds, dict) else None
    return f"{total / 60:.1f}" if isinstance(total, (int, float)) else "?"
