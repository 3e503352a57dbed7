"""The report's first table: all videos of a study, and the frames that are worth a label."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from utils.evaluation.label_gain import MIN_GAIN_FRAMES, LabelGain, rank_study
from utils.evaluation.report.embedding import embed_image
from utils.evaluation.report.sparkline import Sparkline, draw_per_animal, draw_trust
from utils.evaluation.report.video_report import VideoReport
from utils.evaluation.results import SegmentedVideo

MAX_PROPOSALS = 9
_MAX_FRAMES_TO_CHECK = 4  # named in the table; the video's own page has all of them
_STRIP_QUALITY = 72


@dataclass(frozen=True)
class Quantity:
    """A number per frame and animal, in a cell.

    Attributes:
        curve: over the frames.
        medians: unit -> median over frames and animals, NaN where there is none; in pixels and,
            where the scale is known, in centimetres.
    """

    curve: Sparkline
    medians: dict[str, float]

    @property
    def texts(self) -> list[str]:
        """The medians with their units."""
        return [f"{format_number(median)} {unit}" for unit, median in self.medians.items()]


@dataclass(frozen=True)
class Row:
    """One video.

    Attributes:
        name: the video's name.
        address: of its page, or of its part of this one.
        strip: address of the picture with frames of the video.
        strip_size: its width and height in pixels.
        trust: curve of confidence or consistency.
        lowest_trust: of all frames, 0..1.
        mean_trust: of all frames, 0..1.
        to_check: frames to look at first -> address that shows it.
        area: of each animal.
        speed: of each animal.
        num_frames: of the video.
        animals: how many.
        labelled: the labelled frames, in words.
        gain: of a further label, in frames.
        minutes: how long the run took; None if not known.
    """

    name: str
    address: str
    strip: str
    strip_size: tuple[int, int]
    trust: Sparkline
    lowest_trust: float
    mean_trust: float
    to_check: dict[int, str]
    area: Quantity
    speed: Quantity
    num_frames: int
    animals: int
    labelled: str
    gain: float
    minutes: float | None


@dataclass(frozen=True)
class Proposal:
    """A frame that is worth a label; `number` is its number in the whole video."""

    video: str
    number: int
    address: str
    gain: float


@dataclass(frozen=True)
class StudyTable:
    """All that the template shows.

    Attributes:
        rows: one per video.
        proposals: frames to label next, best first.
        trust_names: "confidence", "consistency" or both: what the rows' trust is.
        has_scale: whether some quantities are in centimetres.
        area_unit: unit by which areas are sorted.
        speed_unit: unit by which speeds are sorted; a video without it comes last.
    """

    rows: list[Row]
    proposals: list[Proposal]
    trust_names: list[str]
    has_scale: bool
    area_unit: str
    speed_unit: str


def make_study_table(
    reports: Sequence[VideoReport], addresses: Sequence[str], frame_address: Callable[[str], str]
) -> StudyTable:
    """Makes the table of all videos, in the order given.

    Args:
        reports: the videos.
        addresses: of each video's page, or of its part of this one.
        frame_address: makes, from such an address, the one that a frame's number is appended to.
    """
    by_name = dict(zip([one.video.name for one in reports], reports, strict=True))
    places = {
        name: frame_address(address) for name, address in zip(by_name, addresses, strict=True)
    }
    gains = rank_study((r.video.name, 1 - r.trust, r.labelled_now) for r in reports)
    best: dict[str, float] = {}
    for one in gains:
        best.setdefault(one.video, one.gain)
    rows = [
        _make_row(report, address, places[name], best.get(name, 0.0))
        for (name, report), address in zip(by_name.items(), addresses, strict=True)
    ]
    proposals = [
        _make_proposal(one, by_name[one.video].video, places[one.video])
        for one in gains[:MAX_PROPOSALS]
        if one.gain >= MIN_GAIN_FRAMES
    ]
    return StudyTable(
        rows=rows,
        proposals=proposals,
        trust_names=sorted({report.trust_name for report in reports}),
        has_scale=any(report.scale for report in reports),
        area_unit=_unit_to_sort_by([row.area for row in rows], ("cm²", "px")),
        speed_unit=_unit_to_sort_by([row.speed for row in rows], ("cm/s", "px/s", "px/frame")),
    )


def _unit_to_sort_by(quantities: Sequence[Quantity], units: Sequence[str]) -> str:
    """The first of the units, centimetres, where all have it, else the first other one that any
    has: numbers of different units are never compared."""
    centimetres, *pixels = units
    if all(centimetres in one.medians for one in quantities):
        return centimetres
    return next(unit for unit in pixels if any(unit in one.medians for one in quantities))


def _make_proposal(one: LabelGain, video: SegmentedVideo, place: str) -> Proposal:
    number = one.frame + video.first_frame
    return Proposal(one.video, number, f"{place}{one.frame}", one.gain)


def _make_row(report: VideoReport, address: str, place: str, gain: float) -> Row:
    video = report.video
    height, width = report.strip.shape[:2]
    nothing = "none" if video.is_without_label else "?"
    return Row(
        name=video.name,
        address=address,
        strip=embed_image(report.strip, _STRIP_QUALITY),
        strip_size=(width, height),
        trust=draw_trust(report.trust),
        lowest_trust=float(report.trust.min()),
        mean_trust=float(report.trust.mean()),
        to_check={f: f"{place}{f}" for f in report.frames_to_check[:_MAX_FRAMES_TO_CHECK]},
        area=_measure_area(report),
        speed=_measure_speed(report),
        num_frames=len(video),
        animals=len(report.animals),
        labelled=", ".join(str(f + video.first_frame) for f in video.labelled_frames) or nothing,
        gain=gain,
        minutes=_minutes(video),
    )


def _measure_area(report: VideoReport) -> Quantity:
    areas = {animal: track.column("area_px") for animal, track in report.tracks.items()}
    median = _median([np.where(one > 0, one, np.nan) for one in areas.values()])
    medians = {"px": median}
    if report.scale is not None:
        medians["cm²"] = median * report.scale.cm2_per_px
    return Quantity(draw_per_animal(areas), medians)


def _measure_speed(report: VideoReport) -> Quantity:
    speeds = {animal: report.speed(animal) for animal in report.tracks}
    has_times = report.times_seconds is not None
    medians = {"px/s" if has_times else "px/frame": _median(list(speeds.values()))}
    if report.scale is not None and has_times:
        medians["cm/s"] = _median(report.speeds_cm())
    return Quantity(draw_per_animal(speeds), medians)


def _median(values: Sequence[np.ndarray]) -> float:
    joined = np.concatenate(values)
    joined = joined[np.isfinite(joined)]
    return float(np.median(joined)) if len(joined) else float("nan")


def format_number(value: float) -> str:
    """A number with three digits or more, "–" for NaN: 0.0123, 1.23, 12 345."""
    if not np.isfinite(value):
        return "–"
    if abs(value) < 1:
        return f"{value:#.3g}"  # with zeros at the end, 0.500
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def _minutes(video: SegmentedVideo) -> float | None:
    seconds = video.record.get("seconds")
    total = seconds.get("total") if isinstance(seconds, dict) else None
    return total / 60 if isinstance(total, (int, float)) else None
