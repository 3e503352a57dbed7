"""The scale in the page of annotate.py."""

import math

import pytest

from tests.bright_hen import HEIGHT, WIDTH
from tests.crossing_animals import Crossing
from tests.page_session import HEIGHT as PAGE_HEIGHT
from tests.page_session import WIDTH as PAGE_WIDTH
from utils.evaluation.scale import find_scale

LINE = {"frame": 2, "points": [[10, 20], [16, 28]], "distance_cm": 5}


def test_a_scale_is_kept_for_the_video_or_its_folder_and_removed(client, task):
    assert client.get("/api/scale").get_json() == {"scale": None}
    kept = client.post("/api/scale", json=LINE).get_json()["scale"]
    assert kept["cm_per_px"] == 0.5 and kept["size"] == [HEIGHT, WIDTH]
    other = task.video.path.with_name("cock")
    assert find_scale("cock", other, (HEIGHT, WIDTH)) is None
    client.post("/api/scale", json={**LINE, "for_folder": True})
    assert find_scale("cock", other, (HEIGHT, WIDTH)).distance_cm == 5
    assert client.delete("/api/scale").get_json() == {"scale": None}


@pytest.mark.parametrize("wrong", [{"distance_cm": -1}, {"points": "here"}, {"frame": "x"}])
def test_what_is_no_scale_is_refused(client, wrong):
    answer = client.post("/api/scale", json=LINE | wrong)
    assert answer.status_code == 400 and "no scale" in answer.get_json()["error"]
    assert client.post("/api/scale", data=b"none").status_code == 400


def test_a_broken_file_of_scales_does_not_keep_anyone_from_labelling(make_session, tmp_path):
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "scales.json").write_text("[]")
    session = make_session()
    session.expected_complaint = "422"
    session.open()
    session.wait_text("#toast", "scales.json")
    session.click(94, 75)
    session.answered()
    session.wait_text("#frame-state", "unsaved")


def test_in_the_browser_a_length_is_drawn_and_its_centimetres_are_typed(make_session):
    session = make_session().open()
    page = session.page
    session.wait_text("#scale-text", "None")
    page.click("#scale-draw")
    session.drag((20, 30), (60, 60))
    page.fill("#scale-cm", "25")
    page.keyboard.press("Enter")
    session.wait_text("#scale-text", "100 pixels are 50 cm")
    scale = find_scale("hen", None, (PAGE_HEIGHT, PAGE_WIDTH))
    assert scale.distance_cm == 25 and scale.frame == 6
    assert math.dist(*scale.points) == pytest.approx(50, rel=0.03)
    page.click("#scale-draw")  # two clicks are a line as well
    session.click(20, 30)
    session.click(120, 30)
    page.fill("#scale-cm", "100")
    page.click("#scale-form button")
    session.wait_text("#scale-text", "100 pixels are 1")
    scale = find_scale("hen", None, (PAGE_HEIGHT, PAGE_WIDTH))
    assert scale.cm_per_px == pytest.approx(1, rel=0.03)
    session.click(94, 75)  # the tool before is back, and no line is a label
    session.answered()
    session.wait_text("#frame-state", "unsaved")
    page.click("#scale-remove")
    session.wait_text("#scale-text", "None")


def test_a_length_is_drawn_from_the_review_of_a_result_and_on_a_narrow_screen(
    open_results, tmp_path
):
    """Nothing was drawn in review, and on a narrow screen the panel covered the frame."""
    session = open_results(Crossing(tmp_path), 3, width=500, height=800)
    page = session.page
    page.keyboard.press("r")
    session.wait_text("#frame-state", "result")
    page.click("#panel-toggle")
    page.click("#scale-draw")
    page.wait_for_selector("#scale-draw", state="hidden")
    session.loaded()
    session.drag((20, 30), (60, 60))
    page.fill("#scale-cm", "25")
    page.keyboard.press("Enter")
    session.wait_text("#scale-text", "100 pixels are 50 cm")


def test_a_scale_of_the_folder_says_so_and_is_removed_for_all_its_videos_when_asked(make_session):
    session = make_session().open()
    page, size = session.page, (PAGE_HEIGHT, PAGE_WIDTH)
    page.click("#scale-draw")
    session.drag((20, 30), (60, 60))
    page.fill("#scale-cm", "25")
    page.check("#scale-folder")
    page.keyboard.press("Enter")
    session.wait_text("#scale-text", "all videos of this size in this folder")
    questions = []
    page.once("dialog", lambda dialog: (questions.append(dialog.message), dialog.dismiss()))
    page.click("#scale-remove")
    assert "all videos of this size" in questions[0]
    session.wait_text("#scale-text", "100 pixels are 50 cm")
    page.once("dialog", lambda dialog: dialog.accept())
    page.click("#scale-remove")
    session.wait_text("#scale-text", "None")
    assert find_scale("hen", session.task.video.path, size) is None
