"""All that the report shows of one video: facts, player, charts, thumbnails, record."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from utils.errors import InputError
from utils.evaluation.corrected_masks import describe_corrections
from utils.evaluation.report.charts import Chart, Series, lay_out_chart
from utils.evaluation.report.embedding import embed_file, embed_image, link_file
from utils.evaluation.report.run_details import group_record
from utils.evaluation.report.video_report import VideoReport
from utils.media.images import read_image, resize_image
from utils.media.videos import VideoFile

_THUMBNAIL_WIDTH_PX = 240
_MAX_LABELLED_THUMBNAILS = 4


@dataclass(frozen=True)
class Player:
    """The overlay video.

    Attributes:
        source: its address, in pieces.
        width: in pixels.
        height: in pixels.
    """

    source: Iterable[str]
    width: int
    height: int


@dataclass(frozen=True)
class Thumbnail:
    """A frame that a click shows in the player.

    Attributes:
        frame: its index.
        source: address of the picture.
        width: of the picture, in pixels.
        height: of the picture, in pixels.
        rank: its place among the frames to look at first, 0 for a labelled frame.
        trust: confidence or consistency of the frame, 0..1.
    """

    frame: int
    source: str
    width: int
    height: int
    rank: int
    trust: float


@dataclass(frozen=True)
class VideoView:
    """All that the template shows of one video; of the player and the contact sheet either the
    thing itself or the reason why it is missing."""

    anchor: str
    name: str
    facts: dict[str, str]
    player: Player | None
    no_player: str
    charts: list[Chart]
    has_frames_to_check: bool
    trust_meaning: str
    thumbnails: list[Thumbnail]
    contact_sheet: str
    no_contact_sheet: str
    record: dict[str, list[tuple[str, str]]]
    data: dict[str, Any]


@contextlib.contextmanager
def open_view(report: VideoReport, anchor: str, overlay_folder: str | None) -> Iterator[VideoView]:
    """Makes the view of a video; its overlay video is open in the `with` block.

    Args:
        report: the video.
        anchor: id of the video's part of the page.
        overlay_folder: where the overlay videos and contact sheets are, as seen from the page; None
            embeds them in the page.
    """
    overlay, problem = _open_overlay(report)
    try:
        yield _make_view(report, anchor, overlay, problem, overlay_folder)
    finally:
        if overlay is not None:
            overlay.close()


def _make_view(
    report: VideoReport,
    anchor: str,
    overlay: VideoFile | None,
    problem: str,
    overlay_folder: str | None,
) -> VideoView:
    series, charts = _make_charts(report)
    player = None
    if overlay is not None:
        path = report.overlay_path
        source = (
            embed_file(path, "video/mp4")
            if overlay_folder is None
            else (overlay_folder + link_file(path.name),)
        )
        player = Player(source, overlay.width, overlay.height)
    meaning = "as the network itself says"
    if report.confidence is None:
        meaning = "how little a mask differs from its neighbours; an error that stays the same is "
        meaning += "not noticed"
    sheet, sheet_problem = _read_contact_sheet(report, overlay_folder)
    record = report.video.record
    return VideoView(
        anchor=anchor,
        name=report.video.name,
        facts=_list_facts(report),
        player=player,
        no_player=problem,
        charts=charts,
        has_frames_to_check=bool(report.frames_to_check),
        trust_meaning=meaning,
        thumbnails=[] if overlay is None else _make_thumbnails(report, overlay),
        contact_sheet=sheet,
        no_contact_sheet=sheet_problem,
        record=group_record(record) if record else {},
        data=_make_data(report, series, overlay),
    )


def _open_overlay(report: VideoReport) -> tuple[VideoFile | None, str]:
    """The overlay video, or None and the reason."""
    path, name = report.overlay_path, report.video.name
    if not path.is_file():
        return None, f"There is no overlay video ({path}); run finetune_test.py on {name} again."
    overlay = VideoFile(path)
    try:
        num_frames = len(overlay)
    except InputError as error:
        return None, str(error)
    if num_frames != len(report.video):
        return None, (
            f"{path} is of another run: it has {num_frames} frames, there are {len(report.video)} "
            f"masks; run finetune_test.py on {name} again."
        )
    return overlay, ""


def _list_facts(report: VideoReport) -> dict[str, str]:
    video, score = report.video, report.score
    nothing = "none" if video.is_without_label else "unknown"
    labelled = ", ".join(str(f + video.first_frame) for f in video.labelled_frames) or nothing
    reason = video.record.get("guidance")
    facts = {
        "frames": f"{len(video)}, {report.size[1]} x {report.size[0]}",
        "labelled frame": f"{labelled} ({reason})" if reason else labelled,
    }
    if "part" in video.record:
        first, end = video.record["part"]
        facts["frames"] += f"; frames {first} to {end - 1} of the video, counted from 0 here"
    times = report.frame_times
    if times.times_note and video.input_path:  # else nobody said where the frames are
        is_known = times.times_seconds is not None
        facts["times"] = times.times_note if is_known else f"not known: {times.times_note}"
    if times.pixels_note:
        facts["pixels"] = times.pixels_note
    corrections = describe_corrections(video)
    if corrections:
        facts["corrected"] = corrections
    if len(report.animals) > 1:
        facts["animals"] = ", ".join(map(str, report.animals))
    if score is None:
        return facts | {"scores": report.not_scored or "none"}
    numbers = score.scores
    for key, title in (("J", "J (region)"), ("F", "F (outline)")):
        mean, recall, decay = (numbers[f"{key}-{kind}"] for kind in ("Mean", "Recall", "Decay"))
        facts[title] = f"{mean:.3f}, recall {recall:.3f}, decay {decay:+.3f}"
    for animal, one in numbers.get("animals", {}).items():
        facts[f"animal {animal}"] = f"J {one['J-Mean']:.3f}, F {one['F-Mean']:.3f}"
    return facts | {"protocol": score.protocol}


def _make_charts(report: VideoReport) -> tuple[list[Series], list[Chart]]:
    """The lines of a video's charts, and the charts."""
    video, num_frames = report.video, len(report.video)
    labelled = video.labelled_frames
    scores, charts = [], []
    if report.score is not None:
        index = {name: frame for frame, name in enumerate(video.frame_names)}
        frames = [index[name] for name in report.score.frames]
        scores = [Series(key, key.lower(), frames, report.score.scores[key]) for key in "JF"]
        title = f"J and F of {len(frames)} annotated frame{'s' * (len(frames) != 1)}"
        charts.append(lay_out_chart(title, scores, num_frames, labelled=labelled))
    lines = [Series(report.trust_name, "trust", range(num_frames), report.trust.tolist())]
    title = "Consistency of the masks"
    if report.confidence is not None:
        title = "Confidence of the network"
        consistency = report.consistency.tolist()
        lines.append(Series("consistency", "second", range(num_frames), consistency))
    ranks = {frame: str(rank) for rank, frame in enumerate(report.frames_to_check, start=1)}
    charts.append(lay_out_chart(title, lines, num_frames, labelled=labelled, marked=ranks))
    return scores + lines, charts


def _make_thumbnails(report: VideoReport, overlay: VideoFile) -> list[Thumbnail]:
    """The labelled frames, then those to look at first."""
    to_check = report.frames_to_check
    thumbnails = []
    for frame in report.video.labelled_frames[:_MAX_LABELLED_THUMBNAILS] + to_check:
        try:
            image = overlay.read(frame)
        except InputError:  # damaged there; the player shows what can be shown
            continue
        width = min(_THUMBNAIL_WIDTH_PX, image.shape[1])
        height = max(1, round(image.shape[0] * width / image.shape[1]))
        source = embed_image(resize_image(image, height, width))
        rank = to_check.index(frame) + 1 if frame in to_check else 0
        trust = float(report.trust[frame])
        thumbnails.append(Thumbnail(frame, source, width, height, rank, trust))
    return thumbnails


def _read_contact_sheet(report: VideoReport, overlay_folder: str | None) -> tuple[str, str]:
    """The contact sheet's address, or the reason why it cannot be shown; neither if there is none.

    An embedded one becomes a JPEG, which is smaller."""
    path = report.sheet_path
    if not path.is_file():
        return "", ""
    if overlay_folder is not None:
        return overlay_folder + link_file(path.name), ""
    try:
        return embed_image(read_image(path)), ""
    except InputError as error:
        return "", str(error)


def _make_data(
    report: VideoReport, series: Sequence[Series], overlay: VideoFile | None
) -> dict[str, Any]:
    """What the page's script needs: names and times of the frames, and the values of the charts."""
    times = overlay.times_seconds() if overlay is not None else []
    return {
        "names": list(report.video.frame_names),
        "times": [round(time, 4) for time in times],
        "series": {
            one.name: {
                "frames": list(one.frames),
                "values": [round(value, 4) for value in one.values],
            }
            for one in series
        },
    }
