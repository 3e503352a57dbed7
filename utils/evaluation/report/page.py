"""The report: one HTML page with overlay videos, scores and charts of all videos of a run.

The page needs no other file and no network: pictures, videos, style and script are in it. Only if
the videos are larger than MAX_EMBEDDED_BYTES in total are they played from ../overlay/.
The texts and tags are in templates/, this module gives them what to show.
"""

import datetime
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from utils import paths
from utils.evaluation.report.score_table import make_score_table
from utils.evaluation.report.video_report import VideoReport
from utils.evaluation.report.video_view import VideoView, open_view
from utils.evaluation.results import UnfinishedError
from utils.files import write_atomically

MAX_EMBEDDED_BYTES = 60_000_000  # of overlay videos and contact sheets in total
TEMPLATES = Path(__file__).with_name("templates")


def write_report(
    path: Path,
    reports: Sequence[VideoReport],
    broken: Mapping[str, Exception],
    facts: Mapping[str, str],
) -> None:
    """Writes the page, atomically and piece by piece.

    Args:
        path: the file, RESULTS/report/index.html.
        reports: the videos in the order to show them.
        broken: videos that cannot be shown: name -> why.
        facts: shown below the title: what -> value.
    """
    files = [path for r in reports for path in (r.overlay_path, r.sheet_path) if path.is_file()]
    num_bytes = sum(path.stat().st_size for path in files)
    is_embedded = num_bytes <= MAX_EMBEDDED_BYTES
    anchors = [f"video-{number}" for number in range(1, len(reports) + 1)]
    now = datetime.datetime.now().astimezone()
    context = {
        "num_videos": len(reports),
        "facts": {"videos": len(reports), **facts, "made": f"{now:%Y-%m-%d %H:%M %Z}"},
        "linked_bytes": 0 if is_embedded else num_bytes,
        "max_embedded_bytes": MAX_EMBEDDED_BYTES,
        "overlay_folder": f"../{paths.OVERLAY}/",
        "not_shown": [(name, _explain(error)) for name, error in broken.items()],
        "table": make_score_table(reports, anchors) if reports else None,
        # One at a time: a view holds pictures and an open video.
        "videos": _make_views(reports, anchors, is_embedded),
        "style": Markup((TEMPLATES / "style.css").read_text(encoding="utf-8")),
        "script": Markup((TEMPLATES / "script.js").read_text(encoding="utf-8")),
    }

    def write(temporary_path: Path) -> None:
        # A name need not be UTF-8.
        with temporary_path.open("w", encoding="utf-8", errors="xmlcharrefreplace") as file:
            file.writelines(_load_template("page.html").generate(context))

    write_atomically(path, write)


def _load_template(name: str) -> Template:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    return environment.get_template(name)


def _explain(error: Exception) -> str:
    return (
        f"is {error.advice}" if isinstance(error, UnfinishedError) else f"cannot be shown: {error}"
    )


def _make_views(
    reports: Sequence[VideoReport], anchors: Sequence[str], is_embedded: bool
) -> Iterator[VideoView]:
    for report, anchor in zip(reports, anchors, strict=True):
        with open_view(report, anchor, is_embedded) as view:
            yield view
