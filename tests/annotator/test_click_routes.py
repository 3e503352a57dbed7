"""Clicks that the page sends, with and without a network."""

import io
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.bright_hen import HEIGHT, NOTHING, WIDTH, ellipse, network_that_sees, overlap, picture
from tests.page_client import PATIENCE_SECONDS, TOKEN, labels_of, png, wait_for
from utils import paths
from utils.annotator.background_network import BackgroundNetwork
from utils.annotator.click_marks import Click
from utils.annotator.click_network import load_segmenter
from utils.annotator.prompts import BY_HAND, parse_prompt
from utils.annotator.segment_click import ClickSegmenter
from utils.annotator.server import create_app
from utils.errors import InputError

# Clicks


def test_clicks_over_the_wire_find_the_ellipse_and_spare_other_animals(client):
    draft = NOTHING.copy()
    truth = ellipse(3)
    draft[truth & (np.arange(WIDTH) >= 88)] = 2
    request = {"animal": 1, "clicks": [{"x": 70, "y": 60, "positive": True}], "box": None}
    data = {"request": json.dumps(request), "labels": (io.BytesIO(png(draft)), "labels.png")}
    mask = labels_of(client.post("/api/segment/3", data=data))
    assert not mask[draft == 2].any()
    assert overlap(mask, truth & (draft == 0)) > 0.85


@pytest.mark.parametrize(
    "prompt",
    [
        {"clicks": [{"x": 75, "y": 60, "positive": True}]},
        {"clicks": [], "box": [45, 25, 105, 95], "fresh": True},
    ],
    ids=["click", "box"],
)
def test_what_was_erased_is_found_by_who_starts_over(client, prompt):
    """Only the pixels of the click were."""
    draft = NOTHING.copy()
    draft[ellipse(3)] = BY_HAND
    if prompt.get("fresh"):
        draft[55:65, 70:80] = 1  # what is left of the mask before
    data = {
        "request": json.dumps({"animal": 1, **prompt}),
        "labels": (io.BytesIO(png(draft)), "labels.png"),
    }
    assert overlap(labels_of(client.post("/api/segment/3", data=data)), ellipse(3)) > 0.85


# The network


def wait_for_network(client) -> dict:
    return wait_for(client, "/api/network", lambda status: status["state"] != "loading")


def click_on(client, x, y) -> np.ndarray:
    request = {"animal": 1, "clicks": [{"x": x, "y": y, "positive": True}]}
    return labels_of(client.post("/api/segment/3", data={"request": json.dumps(request)}))


def test_a_click_waits_for_the_network(task):
    may_load, seen = threading.Event(), np.zeros((HEIGHT, WIDTH), bool)
    seen[10:50, 100:150] = True

    def load():
        may_load.wait(PATIENCE_SECONDS)
        return ClickSegmenter(network_that_sees(seen))

    client = create_app(task, TOKEN, BackgroundNetwork(load)).test_client()
    client.get(f"/?token={TOKEN}")
    assert client.get("/api/network").get_json()["state"] == "loading"
    with ThreadPoolExecutor(1) as pool:
        click = pool.submit(click_on, client, 125, 30)
        assert client.get("/api/network").get_json()["state"] == "loading" and not click.done()
        may_load.set()
        assert overlap(click.result(PATIENCE_SECONDS), seen) > 0.9
    assert wait_for_network(client) == {"state": "ready", "reason": None}


def test_a_network_that_cannot_be_loaded_is_told_and_clicks_work(task, capsys):
    def load():
        raise InputError("no weights here")

    client = create_app(task, TOKEN, BackgroundNetwork(load)).test_client()
    client.get(f"/?token={TOKEN}")
    assert wait_for_network(client) == {"state": "failed", "reason": "no weights here"}
    assert "no weights here" in capsys.readouterr().out
    assert overlap(click_on(client, 75, 60), ellipse(3)) > 0.9


def test_weights_that_are_missing_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "PASCAL_BASE_WEIGHTS", tmp_path)
    monkeypatch.setattr(paths, "PROMPTED_WEIGHTS", tmp_path)
    with pytest.raises(InputError, match=str(tmp_path)):
        load_segmenter(3, picture(3))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "null",
        "{}",
        {"animal": 1, "clicks": []},
        {"animal": 0, "clicks": [{"x": 1, "y": 1, "positive": True}]},
        {"animal": 33, "clicks": [{"x": 1, "y": 1, "positive": True}]},
        {"animal": True, "clicks": [{"x": 1, "y": 1, "positive": True}]},
        {"animal": 1, "clicks": [{"x": "1", "y": 1, "positive": True}]},
        {"animal": 1, "clicks": [{"x": None, "y": 1, "positive": True}]},
        '{"animal": 1, "clicks": [{"x": NaN, "y": 1, "positive": true}]}',
        '{"animal": 1, "clicks": [{"x": Infinity, "y": 1, "positive": true}]}',
        {"animal": 1, "clicks": [{"x": 1}]},
        {"animal": 1, "clicks": [7]},
        {"animal": 1, "clicks": 7},
        {"animal": 1, "clicks": [{"x": 1, "y": 1, "positive": True}] * 501},
        {"animal": 1, "clicks": [], "box": [1, 2, 3]},
        {"animal": 1, "clicks": [], "box": [5, 5, 5, 50]},
        {"animal": 1, "clicks": [], "box": [900, 5, 990, 50]},
        {"animal": 1, "clicks": [], "box": "abcd"},
    ],
    ids=lambda content: str(content)[:60],
)
def test_malformed_clicks_are_refused(client, content):
    text = content if isinstance(content, str) else json.dumps(content)
    response = client.post("/api/segment/3", data={"request": text})
    assert response.status_code == 400 and "clicks or a box" in response.get_json()["error"]


def test_clicks_outside_the_frame_are_moved_into_it():
    text = json.dumps({"animal": 1, "clicks": [{"x": -5, "y": 900, "positive": False}]})
    assert parse_prompt(text, HEIGHT, WIDTH).clicks == [Click(0, HEIGHT, False)]
