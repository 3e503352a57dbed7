"""The report: a table of all videos, and a part or a page for each of them.

A few small videos are all in one page, which needs no other file and no network: pictures, videos,
style and script are in it. Beyond MAX_VIDEOS or MAX_EMBEDDED_BYTES, each video has a page of its
own in videos/, which plays the overlay video from its folder, so that the first page opens at once
however many videos there are; it needs nothing but itself for what it shows.
The texts and tags are in templates/, this module gives them what to show.
"""

import datetime
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from utils import paths
from utils.evaluation.report.embedding import link_file
from utils.evaluation.report.score_table import make_score_table
from utils.evaluation.report.study_table import make_study_table
from utils.evaluation.report.video_report import VideoReport
from utils.evaluation.report.video_view import VideoView, open_view
from utils.evaluation.results import UnfinishedError
from utils.files import write_atomically

MAX_VIDEOS = 8  # on one page
MAX_EMBEDDED_BYTES = 60_000_000  # of their overlay videos and contact sheets in total
TEMPLATES = Path(__file__).with_name("templates")
_ANCHOR = "video-{}"  # id of a video's part of a page, by its number
_FRAME = "-frame-"  # after that, before the number of a frame: script.js shows it


def write_report(
    path: Path,
    reports: Sequence[VideoReport],
    broken: Mapping[str, Exception],
    facts: Mapping[str, str],
) -> None:
    """Writes the page and, where there are many or large videos, a page for each of them.

    Pages are written atomically and piece by piece; those of an earlier report are removed.

    Args:
        path: the file, RESULTS/report/index.html.
        reports: the videos in the order to show them.
        broken: videos that cannot be shown: name -> why.
        facts: shown below the title: what -> value.
    """
    pages = path.parent / paths.REPORT_VIDEOS
    has_pages = len(reports) > MAX_VIDEOS or _num_bytes(reports) > MAX_EMBEDDED_BYTES
    anchors = [_ANCHOR.format(number) for number in range(1, len(reports) + 1)]
    addresses = [f"#{anchor}" for anchor in anchors]
    if has_pages:
        addresses = [link_file(pages.name, _page_name(report)) for report in reports]
        _write_pages(pages, path.name, reports)
    _remove_old_pages(pages, set(map(_page_name, reports)) if has_pages else set())
    now = datetime.datetime.now().astimezone()
    num_videos = len(reports)
    content = {
        "title": f"Segmented animals: {num_videos} video{'s' * (num_videos != 1)}",
        "up": None,
        "facts": {"videos": num_videos, **facts, "made": f"{now:%Y-%m-%d %H:%M %Z}"},
        "has_pages": has_pages,
        "pages_folder": f"{pages.name}/",
        "overlay_folder": f"../{paths.OVERLAY}/",
        "not_shown": [(name, _explain(error)) for name, error in broken.items()],
        "study": make_study_table(reports, addresses, _frame_address) if reports else None,
        "table": make_score_table(reports, addresses),
        # One at a time: a view holds pictures and an open video.
        "videos": () if has_pages else _make_views(reports, anchors),
        "scripts": ("study.js",) if has_pages else ("script.js", "study.js"),
    }
    _write_page(path, content)


def _write_pages(folder: Path, index_name: str, reports: Sequence[VideoReport]) -> None:
    for report in reports:
        content = {
            "title": report.video.name,
            "up": f"../{index_name}",
            "has_pages": False,
            "not_shown": (),
            "study": None,
            "videos": _make_views([report], [_ANCHOR.format(1)], f"../../{paths.OVERLAY}/"),
            "scripts": ("script.js",),
        }
        _write_page(folder / _page_name(report), content)


def _write_page(path: Path, content: Mapping[str, Any]) -> None:
    scripts = [(TEMPLATES / name).read_text(encoding="utf-8") for name in content["scripts"]]
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    context = {**content, "style": Markup(style), "scripts": [Markup(one) for one in scripts]}

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


def _page_name(report: VideoReport) -> str:
    return f"{report.video.name}.html"


def _frame_address(address: str) -> str:
    anchor = "" if address.startswith("#") else "#" + _ANCHOR.format(1)
    return address + anchor + _FRAME


def _num_bytes(reports: Sequence[VideoReport]) -> int:
    files = [path for r in reports for path in (r.overlay_path, r.sheet_path) if path.is_file()]
    return sum(path.stat().st_size for path in files)


def _remove_old_pages(folder: Path, kept: set[str]) -> None:
    for path in folder.glob("*.html"):
        if path.name not in kept:
            path.unlink()
    if not kept and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _explain(error: Exception) -> str:
    return (
        f"is {error.advice}" if isinstance(error, UnfinishedError) else f"cannot be shown: {error}"
    )


def _make_views(
    reports: Sequence[VideoReport], anchors: Sequence[str], overlay_folder: str | None = None
) -> Iterator[VideoView]:
    for report, anchor in zip(reports, anchors, strict=True):
        with open_view(report, anchor, overlay_folder) as view:
            yield view
