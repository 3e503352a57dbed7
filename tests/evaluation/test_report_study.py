"""evaluate.py --report: the table of all videos, and what it proposes to label next."""

import json
import re
from urllib.parse import unquote

import numpy as np
import pytest

import evaluate
from tests.browser import open_page, wait_until
from tests.made_results import FRAME_SECONDS, HEIGHT, NUM_FRAMES, WIDTH, MadeResults, animal
from utils.evaluation.mask_tracks import follow_animals
from utils.evaluation.report import page
from utils.evaluation.report.sparkline import draw_per_animal
from utils.evaluation.report.strip import TILE_HEIGHT_PX, make_strip
from utils.evaluation.report.study_table import format_number
from utils.evaluation.results import open_segmented, read_masks
from utils.evaluation.scale import Scale, save_scale
from utils.media.labels import write_label
from utils.media.overlay import animal_colour


@pytest.fixture
def made(tmp_path) -> MadeResults:
    return MadeResults(tmp_path)


def add(made: MadeResults, name: str, *doubtful: int, **options) -> None:
    """A video of which the network is sure but for some frames."""
    made.add(name, labelled=(0,), **options)
    confidence = [0.3 if index in doubtful else 0.99 for index in range(NUM_FRAMES)]
    made.write_record(name, {"confidence": confidence}, "confidence.json")


def write_report(made: MadeResults) -> str:
    (made.dataset / "Annotations").mkdir(parents=True, exist_ok=True)
    evaluate.main(evaluate.Config(dataset=made.dataset, results=made.results, report=True))
    return (made.results / "report" / "index.html").read_text(encoding="utf-8")


def row_of(source: str, name: str) -> str:
    rows = source.split('<table class="study">')[1].split("</table>")[0].split("<tr>")
    return next(row for row in rows if f">{name}</a></th>" in row)


def proposals(source: str) -> list[str]:
    return re.findall(r"<li><a [^>]*>(.*?)</a>", source)


def test_the_frames_worth_a_label_are_ranked_over_all_videos(made):
    add(made, "ant", 6)
    add(made, "bee", *range(4, 11))
    add(made, "cat")
    source = write_report(made)
    first = proposals(source)[0]
    assert re.fullmatch(r"bee, frame ([4-9]|10)", first)
    assert not any(one.startswith("cat") for one in proposals(source))
    gains = [
        float(re.findall(r"<td data-value=\"([\d.]+)\">[\d.]+</td>", row_of(source, name))[-1])
        for name in ("bee", "ant", "cat")
    ]
    assert gains == sorted(gains, reverse=True)


def test_a_label_made_since_the_run_counts(made, monkeypatch, tmp_path):
    monkeypatch.setattr("utils.paths.LABELS", tmp_path / "labels")
    add(made, "bee", *range(5, 8))
    assert proposals(write_report(made))
    write_label(tmp_path / "labels" / "bee" / "00006.png", animal(6))
    assert not proposals(write_report(made))


def test_a_row_shows_the_speed_by_the_times_of_the_video(made):
    made.add("own", is_file=True)
    made.add("folder")
    source = write_report(made)
    assert f"{2 / FRAME_SECONDS:.1f} px/s" in row_of(source, "own")
    assert "2.00 px/frame" in row_of(source, "folder")


def test_with_a_scale_there_are_centimetres_beside_pixels(made, monkeypatch, tmp_path):
    monkeypatch.setattr("utils.paths.LABELS", tmp_path / "labels")
    made.add("own", is_file=True)
    save_scale("own", None, Scale(0, ((0, 0), (0, 40)), 10, (HEIGHT, WIDTH)))
    row = row_of(write_report(made), "own")
    assert "<span>20.0 px/s</span><span>5.00 cm/s</span>" in row
    area = int(animal(0).sum())
    assert f"<span>{area} px</span><span>{area / 16:.1f} cm²</span>" in row


def sort_values(source: str, name: str) -> list[str]:
    """By which the row is sorted: area and speed."""
    cell = r"<td data-value=\"([^\"]*)\"><svg class=\"spark [jf]\""
    return re.findall(cell, row_of(source, name))


def test_area_and_speed_are_sorted_by_one_unit_that_the_page_names(made, monkeypatch, tmp_path):
    monkeypatch.setattr("utils.paths.LABELS", tmp_path / "labels")
    made.add("own", is_file=True)
    made.add("second", is_file=True)
    save_scale("own", None, Scale(0, ((0, 0), (0, 40)), 10, (HEIGHT, WIDTH)))
    source, area = write_report(made), int(animal(0).sum())
    for name in ("own", "second"):  # one of them has no centimetres
        assert [float(one) for one in sort_values(source, name)] == pytest.approx([area, 20])
    assert "area in px and of speed in px/s" in source
    save_scale("second", None, Scale(0, ((0, 0), (0, 40)), 20, (HEIGHT, WIDTH)))
    source = write_report(made)
    values = [[float(one) for one in sort_values(source, name)] for name in ("own", "second")]
    assert values == [pytest.approx([area / 16, 5]), pytest.approx([area / 4, 10])]
    assert "area in cm² and of speed in cm/s" in source
    made.add("folder")
    source = write_report(made)
    assert sort_values(source, "folder")[1] == "nan"
    assert [float(sort_values(source, name)[1]) for name in ("own", "second")] == [
        pytest.approx(20),
        pytest.approx(20),
    ]


def test_frames_without_times_are_sorted_by_what_they_have(made):
    made.add("folder")
    made.add("other")
    assert sort_values(write_report(made), "folder")[1] == "2.0"


@pytest.mark.parametrize("overlay", [True, False])
def test_the_strip_shows_the_way_of_the_animal(made, overlay):
    made.add("own", overlay=overlay)
    video = open_segmented(made.results, "own")
    tracks = follow_animals(read_masks(video))
    path = made.results / "overlay" / "own.mp4"
    strip = make_strip(video, tracks, (HEIGHT, WIDTH), path).astype(int)
    width = round(TILE_HEIGHT_PX * WIDTH / HEIGHT)
    assert strip.shape == (TILE_HEIGHT_PX, 5 * width + 4 * 2, 3)
    last = strip[:, -width:]
    x, y = tracks[1].shapes[0, 1:3] * TILE_HEIGHT_PX / HEIGHT  # where the animal was at first
    near = last[int(y) - 1 : int(y) + 4, int(x) - 1 : int(x) + 4].reshape(-1, 3)
    assert np.abs(near - animal_colour(1)).sum(axis=1).min() < 150


@pytest.mark.parametrize(
    "value, text",
    [
        (0.0216, "0.0216"),
        (0.0034, "0.00340"),
        (0.12345, "0.123"),
        (0.0, "0.00"),
        (1.2345, "1.23"),
        (12.345, "12.3"),
        (12345.6, "12\N{NARROW NO-BREAK SPACE}346"),
        (float("nan"), "–"),
    ],
)
def test_numbers_have_three_digits_or_more(value, text):
    assert format_number(value) == text


def test_curves_keep_a_short_dip_and_are_interrupted_where_nothing_is_known():
    values = np.ones(10_000)
    values[7_000] = 0
    values[2_000:4_000] = np.nan
    ((line, _),) = draw_per_animal({1: values}).lines
    assert " 20" in line and line.count("M") == 2 and len(line) < 3000
    assert draw_per_animal({1: np.full(3, np.nan)}).lines == (("", ""),)


def test_in_a_browser_the_table_is_sorted_and_leads_to_a_frame_of_a_video(made, monkeypatch):
    monkeypatch.setattr(page, "MAX_VIDEOS", 2)
    add(made, "ant2", 6, overlay=True)
    add(made, "ant10", 2, 3, overlay=True)
    add(made, "bee")
    write_report(made)
    with open_page(made.results / "report" / "index.html") as shown:

        def names() -> list[str]:
            return shown.locator(".study tbody th").all_inner_texts()

        def sort_by(title: str) -> None:
            shown.locator(".study thead button", has_text=title).click()

        assert names() == ["ant2", "ant10", "bee"]
        sort_by("label gain")
        assert names()[0] == "bee"
        sort_by("label gain")
        assert names()[-1] == "bee"
        sort_by("video")
        assert names() == ["ant2", "ant10", "bee"]
        assert shown.evaluate("[...document.images].every((one) => one.naturalWidth > 100)")
        shown.locator(".study .look a", has_text="6").first.click()
        wait_until(shown, "document.querySelector('article video')?.readyState >= 1")
        wait_until(shown, "!document.querySelector('article video').seeking")
        seconds = shown.evaluate("document.querySelector('article video').currentTime")
        assert int(seconds * 24) == 6 and "ant2.html" in shown.url
        shown.locator("header a").click()
        wait_until(shown, "document.querySelector('.study') !== null")
        assert shown.complaints == []


def test_in_a_browser_only_the_first_heading_stays_when_the_table_is_scrolled(made):
    add(made, "ant", 6)
    write_report(made)
    with open_page(made.results / "report" / "index.html", 500, 700) as shown:
        headings = shown.locator(".study thead th")
        before = [one.bounding_box()["x"] for one in headings.all()]
        moved = shown.evaluate(
            "(() => { const one = document.querySelector('.study').parentElement;"
            " one.scrollLeft = 300; return one.scrollLeft; })()"
        )
        after = [one.bounding_box()["x"] for one in headings.all()]
        ways = [old - new for old, new in zip(before, after, strict=True)]
        assert moved == 300 and ways == pytest.approx([0] + [300] * (len(ways) - 1), abs=1)
        row = shown.locator(".study tbody th").bounding_box()
        assert row["x"] == pytest.approx(after[0], abs=1)


@pytest.mark.parametrize("name", ["a b#1?%20", "'\"><b>&amp;", "été"])
def test_links_to_pages_of_odd_names_lead_there(made, monkeypatch, name):
    monkeypatch.setattr(page, "MAX_VIDEOS", 0)
    add(made, name, 5)
    source = write_report(made)
    links = set(re.findall(r'href="(videos/[^"#]*)', source))
    (link,) = links
    assert (made.results / "report" / unquote(link)).name == f"{name}.html"
    assert (made.results / "report" / unquote(link)).is_file()


def test_the_table_is_about_everything_that_has_results(made):
    made.add("own")
    made.add("bad")
    made.mask_path("bad", 3).write_bytes(b"no mask")
    source = write_report(made)
    assert row_of(source, "own") and "<strong>bad</strong> cannot be shown" in source
    assert json.loads((made.results / "scores.json").read_text())["sequences"] == {}
