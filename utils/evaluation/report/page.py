"""The report: one HTML page with the overlay videos, scores and charts of all videos of a run.

The page needs no other file and no network: pictures, videos, style and script are in it. Only
where the videos are larger than MAX_EMBEDDED_BYTES together does it play them from ../overlay/.
"""

import base64
import datetime
import html
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote

import numpy as np
from PIL import Image

from utils import paths
from utils.errors import InputError
from utils.evaluation.confidence import Confidence, consistency, frames_to_check, read_confidence
from utils.evaluation.mask_tracks import follow_animals
from utils.evaluation.report.charts import Series, draw_chart
from utils.evaluation.results import SegmentedVideo, open_segmented, read_masks
from utils.evaluation.scoring import CHOSEN, FIRST, LEFT_OUT, UNKNOWN, SequenceScore
from utils.files import write_atomically
from utils.media.images import read_image, resize_image
from utils.media.videos import VideoFile

MAX_EMBEDDED_BYTES = 60_000_000  # of overlay videos and contact sheets, together
TEMPLATE = Path(__file__).with_name("template.html")
_CHUNK_BYTES = 3 * 2**18  # a multiple of 3, so that encoded chunks join without padding
_THUMBNAIL_WIDTH_PX = 240

PROTOCOLS = {
    FIRST: "frame 0 was labelled; comparable with published tables.",
    CHOSEN: "another frame, or several, were labelled, and these are scored, too.",
    LEFT_OUT: "the same without the labelled frames.",
    UNKNOWN: "no record of which frame was labelled.",
}


@dataclass(frozen=True)
class VideoReport:
    """What the page shows of one video, besides its files.

    Attributes:
        video: its masks and its record.
        score: J and F, None if it was not scored.
        not_scored: why not, None if it was.
        consistency: float64 (frames,), 0..1, of the least consistent animal.
        confidence: the network's own, None if it was not saved.
        num_animals: in its masks.
        shape: height and width of its masks.
    """

    video: SegmentedVideo
    score: SequenceScore | None
    not_scored: str | None
    consistency: np.ndarray
    confidence: Confidence | None
    num_animals: int
    shape: tuple[int, int]

    @property
    def trust(self) -> np.ndarray:
        """The curve by which frames are picked to look at first."""
        return self.consistency if self.confidence is None else self.confidence.frames

    @property
    def overlay_path(self) -> Path:
        return self.video.results / paths.OVERLAY / f"{self.video.name}.mp4"

    @property
    def sheet_path(self) -> Path:
        return self.overlay_path.with_suffix(".png")


def gather(
    results: Path, name: str, score: SequenceScore | None, not_scored: str | None
) -> VideoReport:
    """Reads the masks of one video once, one at a time.

    Raises: InputError if masks are missing or unreadable.
    """
    video = open_segmented(results, name)
    shape = (0, 0)

    def masks() -> Iterator[np.ndarray]:
        nonlocal shape
        for mask in read_masks(video):
            shape = mask.shape
            yield mask

    tracks = follow_animals(masks())
    steady = np.min([consistency(track) for track in tracks.values()], axis=0)
    return VideoReport(video, score, not_scored, steady, read_confidence(video), len(tracks), shape)


def write_report(
    path: Path, reports: Sequence[VideoReport], broken: Mapping[str, str], facts: Mapping[str, str]
) -> None:
    """Writes the page, atomically and piece by piece.

    Args:
        path: RESULTS/report/index.html.
        reports: the videos in the order to show them.
        broken: videos that cannot be shown: name -> what is wrong.
        facts: shown below the title: what -> value.
    """

    def write(aside: Path) -> None:
        with aside.open("w", encoding="utf-8") as file:
            file.writelines(_page(reports, broken, facts))

    write_atomically(path, write)


def _page(
    reports: Sequence[VideoReport], broken: Mapping[str, str], facts: Mapping[str, str]
) -> Iterator[str]:
    files = [path for r in reports for path in (r.overlay_path, r.sheet_path) if path.is_file()]
    num_bytes = sum(path.stat().st_size for path in files)
    is_embedded = num_bytes <= MAX_EMBEDDED_BYTES
    now = datetime.datetime.now().astimezone()
    facts = {**facts, "made": f"{now:%Y-%m-%d %H:%M %Z}"}
    num_videos = f"{len(reports)} video{'s' * (len(reports) != 1)}"
    template = Template(TEMPLATE.read_text(encoding="utf-8"))
    page = template.substitute(title=f"Segmented animals: {num_videos}")
    head, foot = page.split("<!--content-->")
    yield head
    yield f"<header><h1>Segmented animals</h1>{_facts({'videos': str(len(reports)), **facts})}"
    if not is_embedded:
        yield (
            '<p class="note">The overlay videos and contact sheets are '
            f"{num_bytes / 1e6:.0f} MB, more than the {MAX_EMBEDDED_BYTES / 1e6:.0f} MB that this "
            "page would hold: it shows them from <code>../overlay/</code>. Move both together.</p>"
        )
    yield "</header>"
    for name, reason in broken.items():
        yield f'<p class="note bad"><strong>{_text(name)}</strong> cannot be shown: {_text(reason)}'
        yield "</p>"
    if reports:
        yield _table(reports)
    for number, report in enumerate(reports, start=1):
        yield from _article(f"video-{number}", report, is_embedded)
    yield foot


def _table(reports: Sequence[VideoReport]) -> str:
    """The scores of all videos, three columns for each protocol that occurs."""
    scores = [_scores_by_protocol(report) for report in reports]
    protocols = [name for name in PROTOCOLS if any(name in by for by in scores)]
    groups = "".join(
        f'<th colspan="3" scope="colgroup" class="start">{_text(p)}</th>' for p in protocols
    )
    columns = '<th class="start">J&amp;F</th><th>J</th><th>F</th>' * len(protocols)
    rows = []
    for number, (report, by_protocol) in enumerate(zip(reports, scores, strict=True), start=1):
        video = report.video
        labelled = ", ".join(map(str, video.labelled_frames)) or "?"
        link = f'<a href="#video-{number}">{_text(video.name)}</a>'
        cells = "".join(_score_cells(by_protocol.get(protocol)) for protocol in protocols)
        rows.append(
            f'<tr><th scope="row">{link}</th>{cells}<td class="start">{report.trust.min():.2f}</td>'
            f"<td>{len(video)}</td><td>{_text(labelled)}</td><td>{_text(_minutes(video))}</td></tr>"
        )
    means = [[by[protocol] for by in scores if protocol in by] for protocol in protocols]
    cells = "".join(_score_cells(tuple(np.mean(values, axis=0))) for values in means)
    counts = ", ".join(str(len(values)) for values in means)
    mean = f'<tfoot><tr><th scope="row">mean of {counts}</th>{cells}</tr></tfoot>'
    kinds = {"confidence" if report.confidence else "consistency" for report in reports}
    trust = " or<br>".join(sorted(kinds))
    notes = "".join(f"<li><b>{_text(p)}</b>: {_text(PROTOCOLS[p])}</li>" for p in protocols)
    about = (
        "<p>J: share of the union of mask and annotation that both have (region). F: agreement of "
        "their outlines. As in DAVIS 2016, the first and the last frame are not scored. Columns "
        f"of different protocols are not to be compared:</p><ul>{notes}</ul>"
    )
    return (
        '<section><h2>Scores</h2><div class="scroll"><table><thead>'
        f'<tr><th rowspan="2" scope="col">video</th>{groups}<th rowspan="2" class="start">'
        f'lowest<br>{trust}</th><th rowspan="2">frames</th><th rowspan="2">labelled</th>'
        f'<th rowspan="2">minutes</th></tr><tr>{columns}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody>{mean if protocols and len(reports) > 1 else ''}</table>"
        f'</div><div class="about">'
        f"{about if protocols else '<p>No video has annotations to score against.</p>'}"
        "</div></section>"
    )


def _scores_by_protocol(report: VideoReport) -> dict[str, tuple[float, float, float]]:
    """J&F, J and F of a video under each protocol that its scores tell of."""
    score = report.score
    if score is None:
        return {}
    numbers = score.scores
    found = {score.protocol: (numbers["J&F-Mean"], numbers["J-Mean"], numbers["F-Mean"])}
    if score.protocol == CHOSEN:
        labelled = {report.video.mask_paths[frame].stem for frame in score.labelled_frames or ()}
        unseen = [k for k, frame in enumerate(score.frames) if frame not in labelled]
        j, f = (float(np.mean([numbers[key][k] for k in unseen])) for key in "JF")
        found[LEFT_OUT] = ((j + f) / 2, j, f)
    return found


def _score_cells(values: tuple[float, float, float] | None) -> str:
    first, *others = ["–"] * 3 if values is None else [f"{value:.3f}" for value in values]
    return f'<td class="start">{first}</td>' + "".join(f"<td>{cell}</td>" for cell in others)


def _article(anchor: str, report: VideoReport, is_embedded: bool) -> Iterator[str]:
    """One video: overlay, charts, frames to look at, contact sheet, record."""
    video, name = report.video, _text(report.video.name)
    overlay, problem = _open_overlay(report)
    yield f'<article id="{anchor}"><h2>{name}</h2>{_facts(_video_facts(report))}<div class="side">'
    yield "<div>"
    if overlay is None:
        yield f'<p class="note">{_text(problem)}</p>'
    else:
        yield '<video controls playsinline preload="metadata" src="'
        yield from _source(report.overlay_path, "video/mp4", is_embedded)
        yield f'" width="{overlay.width}" height="{overlay.height}"></video>'
    yield "</div><div>"
    series, charts = _charts(report)
    yield f"{charts}</div></div>"
    if overlay is not None:
        yield from _thumbnails(report, overlay)
    yield from _contact_sheet(report, is_embedded)
    yield _record(video)
    times = overlay.times_seconds() if overlay is not None else []
    data = {
        "names": [path.stem for path in video.mask_paths],
        "times": [round(time, 4) for time in times],
        "series": {
            one.name: {"frames": list(one.frames), "values": [round(v, 4) for v in one.values]}
            for one in series
        },
    }
    yield f'<script type="application/json">{_json(data)}</script></article>'
    if overlay is not None:
        overlay.close()


def _open_overlay(report: VideoReport) -> tuple[VideoFile | None, str]:
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


def _video_facts(report: VideoReport) -> dict[str, str]:
    video, score = report.video, report.score
    labelled = ", ".join(map(str, video.labelled_frames)) or "unknown"
    reason = video.record.get("guidance")
    facts = {
        "frames": f"{len(video)}, {report.shape[1]} x {report.shape[0]}",
        "labelled frame": f"{labelled} ({reason})" if reason else labelled,
    }
    if report.num_animals > 1:
        facts["animals"] = str(report.num_animals)
    if score is None:
        return facts | {"scores": report.not_scored or "none"}
    numbers = score.scores
    for key, title in (("J", "J (region)"), ("F", "F (outline)")):
        mean, recall, decay = (numbers[f"{key}-{kind}"] for kind in ("Mean", "Recall", "Decay"))
        facts[title] = f"{mean:.3f}, recall {recall:.3f}, decay {decay:+.3f}"
    for animal, one in numbers.get("animals", {}).items():
        facts[f"animal {animal}"] = f"J {one['J-Mean']:.3f}, F {one['F-Mean']:.3f}"
    return facts | {"protocol": score.protocol}


def _charts(report: VideoReport) -> tuple[list[Series], str]:
    """The lines of a video's charts, and the charts."""
    video, num_frames = report.video, len(report.video)
    labelled = video.labelled_frames
    everything, charts = [], ""
    if report.score is not None:
        index = {path.stem: frame for frame, path in enumerate(video.mask_paths)}
        frames = [index[name] for name in report.score.frames]
        scores = [Series(key, key.lower(), frames, report.score.scores[key]) for key in "JF"]
        title = f"J and F of {len(frames)} annotated frame{'s' * (len(frames) != 1)}"
        charts += draw_chart(title, scores, num_frames, labelled)
        everything += scores
    name = "consistency" if report.confidence is None else "confidence"
    trust = [Series(name, "trust", range(num_frames), report.trust.tolist())]
    if report.confidence is not None:
        steady = report.consistency.tolist()
        trust.append(Series("consistency", "second", range(num_frames), steady))
    numbers = {frame: str(k) for k, frame in enumerate(_to_check(report), start=1)}
    title = "Confidence of the network" if report.confidence else "Consistency of the masks"
    charts += draw_chart(title, trust, num_frames, labelled, numbers)
    return everything + trust, charts


def _to_check(report: VideoReport) -> list[int]:
    return frames_to_check(report.trust, report.video.labelled_frames)


def _thumbnails(report: VideoReport, overlay: VideoFile) -> Iterator[str]:
    """The labelled frames and those to look at first, each a button that shows its frame."""
    to_check = _to_check(report)
    about = (
        "how little a mask differs from its neighbours; an error that stays the same is not seen"
        if report.confidence is None
        else "as the network itself says"
    )
    about = (
        f"Look at these first, the numbers in the chart ({about}):"
        if to_check
        else f"No frame stands out ({about})."
    )
    yield f'<p class="look">{about}</p><div class="thumbs">'
    labelled = report.video.labelled_frames[:4]
    for frame in labelled + to_check:
        try:
            image = overlay.read(frame)
        except InputError:  # damaged there; the player shows what can be shown
            continue
        width = min(_THUMBNAIL_WIDTH_PX, image.shape[1])
        height = max(1, round(image.shape[0] * width / image.shape[1]))
        picture = _jpeg(resize_image(image, height, width))
        if frame in to_check:
            mark = f'<b class="mark">{to_check.index(frame) + 1}</b>'
            caption = f"<span>{report.trust[frame]:.2f}</span>"
        else:
            mark, caption = "", '<span class="labelled">labelled</span>'
        yield (
            f'<button type="button" data-frame="{frame}"><img alt="" width="{width}" '
            f'height="{height}" src="{picture}">{mark}frame {frame} {caption}</button>'
        )
    yield "</div>"


def _contact_sheet(report: VideoReport, is_embedded: bool) -> Iterator[str]:
    path = report.sheet_path
    if not path.is_file():
        return
    try:
        source = _jpeg(read_image(path)) if is_embedded else _link(path)
    except InputError as error:
        yield f'<p class="note">{_text(error)}</p>'
        return
    yield "<details><summary>Contact sheet</summary>"
    yield f'<img loading="lazy" alt="{_text(report.video.name)}" src="{source}"></details>'


def _record(video: SegmentedVideo) -> str:
    """All that run.json holds, in four groups."""
    record = dict(video.record)
    if not record:
        return f'<p class="note">No record of this run ({_text(paths.RUN_FILE)}).</p>'
    key = dict(record.pop("key")) if isinstance(record.get("key"), dict) else {}
    hashes = key.pop("sha256", {})
    for shown in ("sequence", "num_frames", "size", "scores", "guidance", "confidence", "animals"):
        record.pop(shown, None)

    def take(*names: str) -> dict[str, Any]:
        return {name: record.pop(name) for name in names if name in record}

    groups = {
        "Time": take("seconds", "started", "ended", "peak_memory_mib", "losses"),
        "Configuration": {**take("labelled_frames"), **dict(sorted(key.items(), key=_is_nested))},
        "Files": {**take("input", "weights", "saved_weights_sha256"), "sha256": hashes},
        "Versions": take("git_commit", "environment"),
        "More": record,
    }
    tables = ""
    for title, content in groups.items():
        rows = "".join(
            f"<div><dt>{_text(name)}</dt><dd>{_text(value)}</dd></div>"
            for name, value in _flatten(content)
        )
        tables += f"<h3>{title}</h3><dl>{rows}</dl>" if rows else ""
    return (
        "<details><summary>Time, configuration, files, versions</summary>"
        f'<div class="record">{tables}</div></details>'
    )


def _is_nested(item: tuple[str, Any]) -> bool:
    return isinstance(item[1], dict)


def _flatten(content: Any, *names: str) -> Iterator[tuple[str, str]]:
    """Nested settings as pairs of the last two names and the value."""
    title = " ".join(names[-2:]).replace("_", " ")
    if isinstance(content, dict):
        for name, value in sorted(content.items(), key=_is_nested):
            yield from _flatten(value, *names, str(name))
    elif isinstance(content, list):
        yield title, ", ".join(map(str, content)) or "none"
    else:
        yield title, "none" if content is None else str(content)


def _minutes(video: SegmentedVideo) -> str:
    seconds = video.record.get("seconds")
    total = seconds.get("total") if isinstance(seconds, dict) else None
    return f"{total / 60:.1f}" if isinstance(total, (int, float)) else "?"


def _facts(facts: Mapping[str, str]) -> str:
    items = "".join(
        f"<div><dt>{_text(name)}</dt><dd>{_text(value)}</dd></div>" for name, value in facts.items()
    )
    return f'<dl class="facts">{items}</dl>'


def _source(path: Path, kind: str, is_embedded: bool) -> Iterator[str]:
    """The address of a file: itself as a data URI, in pieces, or its place beside the report."""
    if not is_embedded:
        yield _link(path)
        return
    yield f"data:{kind};base64,"
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield base64.b64encode(chunk).decode("ascii")


def _link(path: Path) -> str:
    return _text(f"../{paths.OVERLAY}/{quote(path.name)}")


def _jpeg(image: np.ndarray) -> str:
    encoded = io.BytesIO()
    Image.fromarray(image).save(encoded, "JPEG", quality=85, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(encoded.getvalue()).decode("ascii")


def _text(text: Any) -> str:
    return html.escape(str(text))


def _json(data: Any) -> str:
    """JSON that cannot end the script it stands in."""
    text = json.dumps(data, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
