"""The report's table of scores: the scored videos, three columns for each protocol that occurs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from utils.evaluation.report.video_report import VideoReport
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
        address: of the video's page, or of its part of this one.
        name: the video's name.
        scores: protocol -> J&F, J and F, for the protocols that it was scored under.
    """

    address: str
    name: str
    scores: dict[str, Scores]


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
    """

    protocols: dict[str, str]
    rows: list[Row]
    means: dict[str, Mean]


def make_score_table(reports: Sequence[VideoReport], addresses: Sequence[str]) -> ScoreTable | None:
    """Makes the table of the scored videos, in the order given; None if there are none.

    Args:
        reports: the videos.
        addresses: of each video's page, or of its part of this one.
    """
    rows = [
        Row(address, report.video.name, _scores_by_protocol(report))
        for report, address in zip(reports, addresses, strict=True)
        if report.score is not None
    ]
    if not rows:
        return None
    protocols = {
        name: meaning
        for name, meaning in PROTOCOLS.items()
        if any(name in row.scores for row in rows)
    }
    means = {}
    for protocol in protocols:
        scores = [row.scores[protocol] for row in rows if protocol in row.scores]
        means[protocol] = Mean(len(scores), tuple(np.mean(scores, axis=0).tolist()))
    return ScoreTable(protocols, rows, means)


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
