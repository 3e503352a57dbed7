"""The page on small screens, by touch, and without a mouse."""

import json

import pytest

from tests.bright_hen import overlap
from tests.page_session import ellipse


def test_fingers_tap_pinch_and_paint(make_session):
    session = make_session(viewport={"width": 400, "height": 800}, has_touch=True)
    session.open()
    page = session.page
    page.touchscreen.tap(*session.place(94, 75))
    session.answered()
    session.wait_text("#frame-state", "unsaved")
    first = session.save(6)
    assert overlap(first == 255, ellipse(6)) > 0.9
    touch = session.context.new_cdp_session(page)

    def send(kind, *places):
        points = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(places)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    page.tap('[data-tool="brush"]')
    y = 20
    send("touchStart", session.place(20, y))
    send("touchMove", session.place(40, y))
    send("touchMove", session.place(60, y))
    send("touchEnd")
    session.wait_text("#frame-state", "unsaved")
    painted = session.save(6)
    assert painted[y, 20] == painted[y, 50] == 255 and first[y, 50] == 0
    before = session.text("#zoom-fit")
    x, y = session.place(100, 75)
    for kind, reach in [("touchStart", 20), ("touchMove", 40), ("touchMove", 80)]:
        send(kind, (x - reach, y), (x + reach, y))
    send("touchEnd")
    session.wait(f"document.getElementById('zoom-fit').innerText !== {json.dumps(before)}")
    assert not page.locator("#save").is_enabled()  # the pinch has drawn nothing


@pytest.mark.parametrize("size", [(1400, 900), (400, 800), (700, 380)], ids=str)
def test_nothing_is_cut_off_or_covered_on_any_screen(make_session, size):
    session = make_session(viewport={"width": size[0], "height": size[1]}).open()
    outside = session.page.evaluate(
        """() => [...document.querySelectorAll("header button, #tools button, footer button.icon")]
          .filter((e) => e.offsetParent).filter((e) => {
            const box = e.getBoundingClientRect();
            const top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
            return box.left < 0 || box.right > innerWidth || box.bottom > innerHeight
              || !e.contains(top) && e !== top;
          }).map((e) => e.id || e.dataset.tool)"""
    )
    assert outside == []
    assert session.page.locator("#canvas").bounding_box()["height"] > 90


def test_every_control_can_be_reached_by_tab_and_has_a_name(make_session):
    session = make_session().open()
    page = session.page
    seen = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        active = "document.activeElement"
        seen.add(page.evaluate(f"() => {active}.id || {active}.dataset.tool || ''"))
    assert {"help", "click", "brush", "canvas", "opacity", "line", "number"} <= seen
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, canvas")].filter((e) =>
            !(e.getAttribute("aria-label") || e.textContent.trim() || e.labels?.length
              || e.getAttribute("aria-hidden"))).map((e) => e.outerHTML)"""
    )
    assert nameless == []


def test_arrow_keys_choose_an_animal_where_one_is_focused_and_a_frame_elsewhere(make_session):
    session = make_session().open()
    page = session.page
    for _ in range(2):
        page.keyboard.press("n")
    chosen, stops = "#animals [aria-checked=true]", "#animals [tabindex='0']"
    assert session.text(chosen) == session.text(stops) == "Animal 3"
    page.focus(chosen)
    for key, number in (("ArrowLeft", 2), ("ArrowDown", 3), ("ArrowRight", 1), ("ArrowUp", 3)):
        page.keyboard.press(key)
        assert session.text(chosen) == session.text(stops) == f"Animal {number}"
        assert session.text("#animals :focus") == f"Animal {number}"
    assert session.frame() == 6
    page.click("#animals :text('Animal 2')")
    page.keyboard.press("ArrowRight")  # the mouse leaves the keys to the canvas
    session.wait(lambda: session.frame() == 7)
    session.loaded()
    assert session.text(chosen) == "Animal 2"
