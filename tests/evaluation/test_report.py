"""evaluate.py --report: what the page shows, and that it stands alone."""

import json
import re
import tracemalloc
from html.parser import HTMLParser

import numpy as np
import pytest
from markupsafe import escape

import evaluate
from tests.browser import open_page, wait_until
from tests.made_results import NUM_FRAMES, MadeResults, animal
from utils.evaluation.report import page
from utils.evaluation.report.charts import HEIGHT, MAX_POINTS, WIDTH, Series, lay_out_chart
from utils.evaluation.report.video_report import make_video_report
from utils.media.labels import write_label
from utils.media.videos import VideoFile

EVERY_FRAME = range(NUM_FRAMES)


@pytest.fixture
def made(tmp_path) -> MadeResults:
    return MadeResults(tmp_path)


class Page(HTMLParser):
    """The page's text, tables, addresses and data."""

    def __init__(self, path):
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.tags, self.text, self.addresses, self.data, self.rows = [], "", [], [], []
        self._in_data = self._in_style = self._in_cell = False
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append((tag, attrs))
        self.addresses += [attrs[key] for key in ("src", "href", "poster") if key in attrs]
        self._in_data = attrs.get("type") == "application/json"
        self._in_style = tag in ("style", "script") and not self._in_data
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag):
        self._in_data = self._in_style = False
        self._in_cell = self._in_cell and tag not in ("td", "th")

    def handle_data(self, data):
        if self._in_data:
            self.data.append(json.loads(data))
        elif not self._in_style:
            self.text += data
            if self._in_cell:
                self.rows[-1][-1] += data.strip()

    def attributes(self, tag: str, key: str) -> list[str]:
        return [attrs[key] for name, attrs in self.tags if name == tag and key in attrs]


def make_page(made, **flags) -> tuple[int, Page, dict]:
    config = evaluate.Config(dataset=made.dataset, results=made.results, report=True, **flags)
    status = evaluate.main(config)
    scores = json.loads((made.results / "scores.json").read_text())
    return status, Page(made.results / "report" / "index.html"), scores


def shifted(columns: int) -> list[np.ndarray]:
    return [np.roll(animal(index), columns, axis=1) for index in EVERY_FRAME]


def broken_at(*frames: int) -> list[np.ndarray]:
    masks = [animal(index) for index in EVERY_FRAME]
    for index in frames:
        masks[index][30:] = 0
    return masks


def test_every_video_is_shown_scored_or_not(made):
    made.add("ant", annotated=EVERY_FRAME)
    made.add("bee")
    made.add("cat", annotated=(3,), labelled=(3,))
    status, page, scores = make_page(made)
    assert status == 0
    assert list(scores["sequences"]) == ["ant"]
    headings = re.findall(r"<h2>(.*?)</h2>", page.source)
    assert headings == ["Videos", "Scores", "ant", "bee", "cat"]
    assert "there are no annotations of it" in page.text
    assert "nothing to score" in page.text


def test_with_nothing_to_score_there_is_a_report_all_the_same(made):
    made.add("own")
    status, page, scores = make_page(made)
    assert (status, scores["sequences"], scores["failed"]) == (0, {}, {})
    assert "own" in page.text and "No video has annotations to score against" in page.text
    status, page, _ = make_page(made, sequences=("own",))
    assert status == 0


def test_only_the_named_videos(made):
    made.add("ant", annotated=EVERY_FRAME)
    made.add("bee", annotated=EVERY_FRAME)
    _, page, _ = make_page(made, sequences=("bee",))
    assert re.findall(r"<h2>(.*?)</h2>", page.source) == ["Videos", "Scores", "bee"]


def table_cells(page: Page) -> tuple[list[str], dict[str, list[str]]]:
    """The protocols in the head, and the score cells of each row, three per protocol."""
    columns = next(place for place, row in enumerate(page.rows) if row[:1] == ["J&F"])
    protocols = page.rows[columns - 1][1:]
    assert page.rows[columns] == ["J&F", "J", "F"] * len(protocols)
    return protocols, {row[0]: row[1:] for row in page.rows[columns + 1 :]}


def test_protocols_never_share_a_column(made):
    made.add("ant", shifted(9), annotated=EVERY_FRAME, labelled=(0,))
    made.add("bee", shifted(9), annotated=EVERY_FRAME, labelled=(3,))
    made.add("cat", annotated=EVERY_FRAME, labelled=None)
    made.add("dog")
    _, page, scores = make_page(made)
    protocols, rows = table_cells(page)
    assert protocols == ["first", "chosen", "chosen, labelled frame left out", "unknown"]
    values = {
        name: [f"{numbers[key]:.3f}" for key in ("J&F-Mean", "J-Mean", "F-Mean")]
        for name, numbers in scores["sequences"].items()
    }
    none = ["–"] * 3
    assert rows["ant"] == values["ant"] + 3 * none
    assert rows["bee"][:6] == none + values["bee"]
    assert rows["bee"][9:] == none
    assert rows["cat"] == 3 * none + values["cat"]
    assert "dog" not in rows
    assert rows["mean of 1, 1, 1, 1"][:3] == values["ant"]


def test_scores_without_the_labelled_frame_are_those_of_exclude_guidance(made):
    masks = shifted(9)
    masks[3] = animal(3)
    made.add("bee", masks, annotated=EVERY_FRAME, labelled=(3, 7))
    both = table_cells(make_page(made)[1])
    alone = table_cells(make_page(made, exclude_guidance=True)[1])
    assert alone[0] == ["chosen, labelled frame left out"]
    assert both[1]["bee"][3:] == alone[1]["bee"] != both[1]["bee"][:3]


@pytest.mark.parametrize(("most", "lower_end"), [(11, 0.0), (2, 0.5), (1, 0.9)])
def test_points_of_the_charts_are_the_scores(made, most, lower_end):
    masks = [np.roll(animal(index), min(index, most), axis=1) for index in EVERY_FRAME]
    made.add("ant", masks, annotated=(1, 2, 3, 6, 10))
    _, page, scores = make_page(made)
    numbers = scores["sequences"]["ant"]
    (data,) = page.data
    for key in "JF":
        assert data["series"][key]["frames"] == [1, 2, 3, 6, 10]
        assert data["series"][key]["values"] == pytest.approx(numbers[key], abs=5e-5)
    assert data["series"]["consistency"]["frames"] == list(EVERY_FRAME)
    figure = page.source.split('data-series="J F"')[1].split("</figure>")[0]
    for key in "JF":
        drawn = read_line(figure, key.lower())
        assert [place for place, _ in drawn] == pytest.approx(
            [WIDTH * index / (NUM_FRAMES - 1) for index in (1, 2, 3, 6, 10)], abs=0.01
        )
        lower = lowest_label(figure)
        assert lower == lower_end
        heights = [1 - (1 - lower) * y / HEIGHT for _, y in drawn]
        assert heights == pytest.approx(numbers[key], abs=1e-3)


def read_line(figure: str, style: str) -> list[tuple[float, float]]:
    return read_points(re.search(rf'class="line {style}" d="(.*?)"', figure)[1])


def read_points(line: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", line)]


def lowest_label(figure: str) -> float:
    return min(float(label) for label in re.findall(r'class="y"[^>]*>([\d.]+)<', figure))


def test_a_line_is_broken_where_frames_are_not_scored():
    chart = lay_out_chart("J", [Series("J", "j", [1, 2, 3, 6, 7], [0.5] * 5)], 10)
    line = chart.series[0].line
    assert (line.count("M"), line.count("L")) == (2, 3)


def test_a_long_line_is_thinned_out_but_keeps_its_dips():
    values = np.ones(50_000)
    values[31_234] = 0.2
    line = lay_out_chart("J", [Series("J", "j", range(50_000), values)], 50_000).series[0].line
    drawn = read_points(line)
    assert len(drawn) <= MAX_POINTS
    assert (pytest.approx(WIDTH * 31_234 / 49_999, abs=0.01), 80.0) in drawn
    assert line.count("M") == 1


@pytest.mark.parametrize("num_frames", [1, 2, 3, 12, 101, 12_345])
def test_axis_numbers_are_round_end_with_the_last_frame_and_do_not_collide(num_frames):
    chart = lay_out_chart("J", [Series("J", "j", [0], [0.95])], num_frames)
    frames = [int(tick.text) for tick in chart.x_ticks]
    assert frames[-1] == num_frames - 1 and len(frames) <= 7
    assert frames == sorted(set(frames))


def test_frames_to_look_at_first_are_marked_and_the_labelled_one_is_not(made):
    made.add("own", broken_at(5, 9), labelled=(9,), overlay=True)
    _, page, _ = make_page(made)
    marks = re.findall(r'class="mark" style="left:([\d.]+)%[^>]*>(\d)<', page.source)
    places = {number: round(float(place) * (NUM_FRAMES - 1) / 100) for place, number in marks}
    assert places["1"] == 5 and 9 not in places.values()
    buttons = page.attributes("button", "data-frame")
    assert buttons[:2] == ["9", "5"] and buttons.count("9") == 1
    assert "Consistency of the masks" in page.text


def test_confidence_of_stage_3_is_drawn_where_there_is_one(made):
    made.add("own", broken_at(5))
    confidence = [0.9] * NUM_FRAMES
    confidence[8] = 0.3
    made.write_record("own", {"confidence": confidence}, "confidence.json")
    _, page, _ = make_page(made)
    (data,) = page.data
    assert data["series"]["confidence"]["values"] == confidence
    assert len(data["series"]["consistency"]["values"]) == NUM_FRAMES
    marks = re.findall(r'class="mark" style="left:([\d.]+)%[^>]*>1<', page.source)
    assert round(float(marks[0]) * (NUM_FRAMES - 1) / 100) == 8
    assert "Confidence of the network" in page.text and "confidence" in page.rows[0]


def test_the_label_its_reason_and_the_record_are_shown(made):
    made.add("own", labelled=(3, 7), labels_note={"by": "hand"})
    _, page, _ = make_page(made)
    for text in ("3, 7", "the only labelled frame", "abc123", "480", "labels note by"):
        assert text in page.text
    row = next(row for row in page.rows if row[:1] == ["own"])
    assert row[-4:] == ["12", "1", "3, 7", "1.5"]  # frames, animals, labelled, minutes


def test_animals_have_scores_of_their_own(made):
    def pair(index):
        return animal(index) + np.uint8(2) * (np.roll(animal(index), 30, axis=0) > animal(index))

    made.add("two", [pair(index) for index in EVERY_FRAME])
    for index in EVERY_FRAME:
        path = made.dataset / "Annotations" / "two" / f"{index:05d}.png"
        write_label(path, np.roll(pair(index), 2, axis=1), (1, 2))
    _, page, scores = make_page(made)
    for number, animal_scores in scores["sequences"]["two"]["animals"].items():
        assert f"animal {number}J {animal_scores['J-Mean']:.3f}" in page.text


def test_animals_are_called_by_the_numbers_of_the_label(made):
    made.add("two", [3 * animal(index) for index in EVERY_FRAME], label_animals=(3, 7))
    assert "animals3, 7" in make_page(made)[1].text


def test_the_page_needs_nothing_but_itself(made):
    made.add("ant", annotated=EVERY_FRAME, overlay=True)
    made.add("bee", is_file=True)
    _, page, _ = make_page(made)
    assert not re.search(r"https?:|//[a-z]", re.sub(r"base64,[^\"]*", "", page.source))
    assert page.addresses
    for address in page.addresses:
        assert address.startswith(("data:", "#video-"))
    videos = [address for address in page.attributes("video", "src")]
    assert len(videos) == 1 and videos[0].startswith("data:video/mp4;base64,")
    assert "default-src 'none'" in page.source


def test_large_videos_have_pages_of_their_own_and_are_linked(made, monkeypatch):
    made.add("a b#1", overlay=True)
    made.add("bee", overlay=True)
    monkeypatch.setattr(page, "MAX_EMBEDDED_BYTES", 1000)
    _, shown, _ = make_page(made)
    assert shown.attributes("video", "src") == []
    assert {"videos/a%20b%231.html", "videos/bee.html"} <= set(shown.addresses)
    assert "Move these folders together" in shown.text
    own = Page(made.results / "report" / "videos" / "a b#1.html")
    assert own.attributes("video", "src") == ["../../overlay/a%20b%231.mp4"]
    assert {"../../overlay/a%20b%231.png", "../index.html"} <= set(own.addresses)
    assert re.findall(r"<h2>(.*?)</h2>", own.source) == ["a b#1"]


def test_many_videos_have_pages_of_their_own_which_go_when_there_are_few(made, monkeypatch):
    for name in ("ant", "bee", "cat"):
        made.add(name)
    monkeypatch.setattr(page, "MAX_VIDEOS", 2)
    make_page(made)
    folder = made.results / "report" / "videos"
    assert {path.name for path in folder.iterdir()} == {"ant.html", "bee.html", "cat.html"}
    _, shown, _ = make_page(made, sequences=("ant", "bee"))
    assert not folder.exists() and shown.addresses.count("#video-1") == 2


@pytest.mark.parametrize("name", ["<img src=x onerror=alert(1)>", '"><b>&amp;', "a'b & <!--"])
def test_names_and_record_are_escaped(made, name):
    made.add(
        name,
        annotated=EVERY_FRAME,
        overlay=True,
        guidance="</dd><script>alert(2)</script>",
        note={"<marquee>": "</details>", "list": ["<blink>"]},
        stems=[f"<!--<script>{index:02d}" for index in EVERY_FRAME],
    )
    status, page, _ = make_page(made)
    assert status == 0
    assert str(escape(name)) in page.source and name in page.text
    assert "</dd><script>alert(2)</script>" in page.text
    assert page.data[0]["names"][0] == "<!--<script>00"
    # Browsers, unlike this parser, would take these for the start of another script.
    assert "<!--<script>" not in page.source
    assert not {"marquee", "blink"} & {tag for tag, _ in page.tags}
    assert [tag for tag, _ in page.tags].count("script") == 3  # one video's data, and the page's
    assert not any("onerror" in attrs for _, attrs in page.tags)


def test_overlay_missing_or_of_another_run_is_said(made):
    made.add("ant")
    made.add("bee", overlay=True)
    made.write_record("bee", {"num_frames": NUM_FRAMES + 1})
    write_label(made.mask_path("bee", NUM_FRAMES), animal(0))
    made.add("cat", overlay=True)
    for suffix in ("mp4", "png"):
        (made.results / "overlay" / f"cat.{suffix}").write_bytes(b"no video, no picture")
    status, page, _ = make_page(made)
    assert status == 0
    assert "There is no overlay video" in page.text
    assert f"it has {NUM_FRAMES} frames, there are {NUM_FRAMES + 1} masks" in page.text
    assert "cannot be opened" in page.text and "cat.png: expected a whole image" in page.text
    assert page.attributes("video", "src") == []


def test_a_video_that_cannot_be_read_is_named_and_the_others_are_shown(made, capsys):
    made.add("ant", annotated=EVERY_FRAME)
    made.add("bee")
    bad = made.mask_path("bee", 4)
    bad.write_bytes(bad.read_bytes()[:40])
    status, page, scores = make_page(made)
    assert status == 1
    assert list(scores["sequences"]) == ["ant"]
    assert "bee cannot be shown" in page.text and "00004.png" in page.text
    assert str(bad) in capsys.readouterr().err


def test_without_a_record_there_is_a_page_too(made):
    made.add("own", labelled=None)
    status, page, _ = make_page(made)
    assert status == 0 and "No record of this run" in page.text
    made.write_record("own", ["no", "record"])
    assert "own" in make_page(made)[1].text


def test_memory_does_not_grow_with_the_videos_embedded(made):
    made.add("own", overlay=True)
    path = made.results / "overlay" / "own.mp4"
    size = 24 * 2**20
    with path.open("ab") as file:  # a box of an MP4 file that players pass over
        file.write(size.to_bytes(4, "big") + b"free" + bytes(size - 8))
    tracemalloc.start()
    try:
        gathered = make_video_report(made.results, "own", None, "no annotations")
        page.write_report(made.root / "page.html", [gathered], {}, {})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (made.root / "page.html").stat().st_size > 4 / 3 * size
    assert peak < 8 * 2**20


def test_in_a_browser_a_click_on_the_chart_shows_that_frame(made):
    masks = broken_at(6)
    made.add("ant", masks, annotated=(2, 8), overlay=True, is_file=False)
    make_page(made)
    with open_page(made.results / "report" / "index.html") as page:
        video = "document.querySelector('article video')"
        wait_until(page, f"{video}.currentSrc.startsWith('blob:') && {video}.readyState >= 2")
        assert page.evaluate(f"{video}.videoWidth") == 96
        plot = page.locator(".plot").nth(1)  # consistency, every frame
        plot.scroll_into_view_if_needed()

        def at(index: int) -> dict:
            return {"x": plot.bounding_box()["width"] * index / (NUM_FRAMES - 1), "y": 50}

        def shown() -> int:
            wait_until(page, f"!{video}.seeking")
            time = page.evaluate(f"{video}.currentTime")
            return int(time * 24)  # the rate of a folder of frames

        plot.click(position=at(7))
        assert shown() == 7
        assert "frame 7" in page.locator(".readout").nth(1).inner_text()
        plot.hover(position=at(4))
        assert "frame 4 · consistency" in page.locator(".readout").nth(1).inner_text()
        wait_until(page, "document.querySelector('.tip video').readyState >= 1")
        assert shown() == 7  # the large player stays
        page.locator(".plot").nth(0).click(position=at(9))
        assert shown() == 8  # the nearest frame that has a score
        plot.focus()
        page.keyboard.press("ArrowLeft")
        assert shown() == 7
        page.locator(".thumbs button").nth(1).click()
        assert shown() == 6  # labelled first, then the worst frame
        assert page.complaints == []


def test_in_a_browser_the_page_fits_a_phone(made):
    made.add(
        "a_rather_long_name_of_a_video_from_a_camera_trap_2024", annotated=(2, 8), overlay=True
    )
    make_page(made)
    with open_page(made.results / "report" / "index.html", 360, 700) as page:
        wait_until(page, "document.querySelector('article video').readyState >= 1")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        for figure in page.locator(".chart").all():
            assert figure.bounding_box()["width"] > 250
        assert page.complaints == []


def test_the_facts_say_what_to_know_of_times_and_pixels(made, monkeypatch):
    made.add("own", is_file=True)
    made.add("moved", is_file=True)
    (made.root / "moved.mp4").unlink()
    made.add("folder")
    made.add("copied", labelled=None)
    assert "estimated" not in make_page(made, sequences=("own",))[1].text
    monkeypatch.setattr(VideoFile, "has_times", False)
    monkeypatch.setattr(VideoFile, "pixel_aspect", 1.5)
    facts = re.findall(r"<dt>(times|pixels)</dt><dd>(.*?)</dd>", make_page(made)[1].source)
    (moved,) = [text for _, text in facts if "moved" in text]
    assert moved.startswith("not known: ") and "moved.mp4" in moved
    others = [(name, text.partition(" ")[0]) for name, text in facts if text != moved]
    assert others == [("times", "estimated"), ("pixels", "1.5")]
    assert "time_seconds" not in str(facts)


def test_frames_that_a_person_has_redrawn_are_not_to_be_looked_at(made):
    """They led the list: their confidence is still that of the mask that was replaced."""
    made.add("hen", key={"sha256": {"frames": "of this video"}})
    confidence = [0.2 if frame in (5, 9) else 0.9 for frame in range(NUM_FRAMES)]
    made.write_record("hen", {"confidence": confidence}, "confidence.json")
    redrawn = {"animals": [1], "first": 5, "last": 6, "drawn": 5, "kind": "masks"}
    content = {
        "num_frames": NUM_FRAMES,
        "frames_sha256": "of this video",
        "are_masks_written": True,
        "is_overlay_written": True,
    }

    def to_check(**entry) -> list[int]:
        corrections = [{"number": 1, **redrawn, "holds_in": [[5, 6]], "note": ""} | entry]
        made.write_record("hen", content | {"corrections": corrections}, "corrections.json")
        return make_video_report(made.results, "hen", None, "").frames_to_check

    found = to_check()
    assert found[0] == 9 and 5 not in found
    assert to_check(holds_in=[], note="the animal has another number")[0] == 5


def test_corrections_by_hand_are_counted_and_located(made, capsys):
    key = {"sha256": {"frames": "of this video"}}
    made.add("hen", annotated=range(NUM_FRAMES), key=key)
    operation = {"animals": [1, 0], "first": 4, "last": 4, "kind": "piece"}
    entry = {"number": 1, **operation, "holds_in": [[4, 4]], "note": ""}
    content = {
        "num_frames": NUM_FRAMES,
        "frames_sha256": "of this video",
        "are_masks_written": True,
        "is_overlay_written": True,
        "corrections": [entry],
    }
    made.write_record("hen", content, "corrections.json")
    made.add("cow")
    evaluate.main(evaluate.Config(dataset=made.dataset, results=made.results, report=True))
    text = Page(made.results / "report" / "index.html").text
    assert text.count("correction by hand") == 1 and "1 correction by hand in frame 4" in text
    assert "1 correction by hand" in capsys.readouterr().out
    record = json.loads((made.results / "scores.json").read_text("utf-8"))
    assert record["sequences"]["hen"]["corrections"] == "1 correction by hand in frame 4"
    assert "1 correction by hand in frame 4" in (made.results / "scores.csv").read_text("utf-8")
    for other in (
        {"frames_sha256": "of another video"},
        {"num_frames": NUM_FRAMES + 1},
        {"corrections": [entry | {"holds_in": [], "note": "the new mask has no such piece"}]},
    ):
        made.write_record("hen", content | other, "corrections.json")
        evaluate.main(evaluate.Config(dataset=made.dataset, results=made.results, report=True))
        text = Page(made.results / "report" / "index.html").text
        assert "corrected" not in text and "of corrected masks" not in capsys.readouterr().out
        assert "by hand" not in (made.results / "scores.json").read_text("utf-8")
    content["are_masks_written"] = False
    nowhere = entry | {"holds_in": [], "note": "the new mask has no such piece"}
    for entries in ([entry], [nowhere], []):
        made.write_record("hen", content | {"corrections": entries}, "corrections.json")
        evaluate.main(evaluate.Config(dataset=made.dataset, results=made.results, report=True))
        text = Page(made.results / "report" / "index.html").text
        assert "open annotate.py once more" in text
