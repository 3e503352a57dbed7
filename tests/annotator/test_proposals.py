"""Masks that are proposed before a click: over the wire, and how they are made."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.bright_hen import (
    HEIGHT,
    NOTHING,
    NUM_FRAMES,
    WIDTH,
    ellipse,
    network_that_sees,
    overlap,
)
from tests.bright_parts import MASK, Finder
from tests.page_client import PATIENCE_SECONDS, TOKEN, labels_of
from utils import paths
from utils.annotator import proposals
from utils.annotator.background_network import BackgroundNetwork
from utils.annotator.frame_reader import FrameReader
from utils.annotator.prompted_segmenter import PromptedSegmenter
from utils.annotator.proposals import Labelled, find_animals, follow_animals
from utils.annotator.segment_click import ClickSegmenter
from utils.annotator.server import create_app
from utils.media.images import resize_image
from utils.media.labels import write_label
from utils.stage3.animal_grouping import InstanceMaps


def two_boxes() -> tuple[np.ndarray, np.ndarray]:
    """A large one on the left, a smaller one on the right."""
    large, small = np.zeros((2, HEIGHT, WIDTH), bool)
    large[20:100, 10:80] = small[40:90, 110:145] = True
    return large, small


def image_of(*masks: np.ndarray) -> np.ndarray:
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for mask in masks:
        image[mask] = 200
    return image


@pytest.fixture
def open_client(task):
    """Makes a client of a server whose network is loaded by a function."""

    def make(load):
        client = create_app(task, TOKEN, load and BackgroundNetwork(load)).test_client()
        client.get(f"/?token={TOKEN}")
        return client

    return make


def ask(client, frame) -> tuple[np.ndarray, str | None]:
    """The proposals, and the labelled frame that they come from."""
    response = client.get(f"/api/proposals/{frame}")
    return labels_of(response), response.headers.get("X-Starting-Frame")


# Found in the frame


def test_every_piece_is_an_animal_the_largest_first():
    large, small = two_boxes()
    found = find_animals(PromptedSegmenter(Finder()), 0, image_of(large, small))
    assert found.dtype == np.uint8 and set(np.unique(found)) == {0, 1, 2}
    assert overlap(found == 1, large) > 0.95 and overlap(found == 2, small) > 0.9


def test_nothing_is_proposed_where_the_network_finds_nothing_or_is_not_sure():
    large, _ = two_boxes()
    assert not find_animals(PromptedSegmenter(Finder()), 0, image_of()).any()
    unsure = ClickSegmenter(lambda image: np.full(image.shape[:2], 0.4, np.float32))
    assert not find_animals(unsure, 0, image_of(large)).any()
    assert not find_animals(ClickSegmenter(), 0, image_of(large)).any()


def test_no_more_are_proposed_than_help(monkeypatch):
    monkeypatch.setattr(proposals, "MAX_PROPOSALS", 1)
    large, small = two_boxes()
    found = find_animals(PromptedSegmenter(Finder()), 0, image_of(large, small))
    assert overlap(found == 1, large) > 0.95 and found.max() == 1


class Halves:
    """Tells the left half of an image from the right one, by a centre in each."""

    def look_apart(self, image, height, width):
        stride = 4
        rows, columns = np.indices((height // stride, width // stride)) * stride
        places = np.array([[0.3 * width, height / 2], [0.7 * width, height / 2]]).astype(int)
        places -= places % stride
        centre = np.zeros(rows.shape, np.float32)
        centre[places[:, 1] // stride, places[:, 0] // stride] = 0.9
        votes = places[(columns >= width / 2).astype(int)]
        mask = (image.mean(axis=2) > 120).astype(np.float32)
        return InstanceMaps(mask, centre, votes - np.stack([columns, rows], -1), stride)


def test_animals_that_touch_are_proposed_one_by_one_where_the_head_tells_them_apart():
    left, right = np.zeros((2, HEIGHT, WIDTH), bool)
    left[20:100, 10:80] = right[30:90, 80:145] = True
    image, loaded = image_of(left, right), []

    def load():
        loaded.append(True)
        return Halves()

    network = Finder()
    segmenter = PromptedSegmenter(network, load_instances=load)
    segmenter.look(0, image)
    assert not loaded  # clicks do not need it
    for _ in range(2):
        found = find_animals(segmenter, 0, image)
        assert overlap(found == 1, left) > 0.9 and overlap(found == 2, right) > 0.9
    assert loaded == [True]
    assert len(network.looked) == 1  # both in one window, which here is the frame
    assert set(np.unique(find_animals(PromptedSegmenter(Finder()), 0, image))) == {0, 1}


# Followed from a label


@pytest.mark.parametrize("segmenter", [PromptedSegmenter(Finder()), ClickSegmenter()], ids=type)
@pytest.mark.parametrize("start, frame", [(2, 5), (5, 2)])
def test_a_label_moves_with_the_animal(task, segmenter, start, frame):
    labels = np.where(ellipse(start), 3, 0).astype(np.uint8)
    reader = FrameReader(task.video)
    found = follow_animals(segmenter, frame, reader, Labelled(start, labels))
    assert overlap(found == 3, ellipse(frame)) > 0.8
    assert overlap(found == 3, ellipse(start)) < 0.75
    assert set(np.unique(found)) == {0, 3}


def test_far_from_the_label_only_a_network_that_knows_the_animal_is_asked(task, monkeypatch):
    monkeypatch.setattr(proposals, "MAX_CARRIED_FRAMES", 1)
    start, reader = Labelled(2, ellipse(2).astype(np.uint8)), FrameReader(task.video)
    assert not follow_animals(ClickSegmenter(), 5, reader, start).any()
    network = Finder()
    found = follow_animals(PromptedSegmenter(network), 5, reader, start)
    assert overlap(found, ellipse(5)) > 0.8
    shown = resize_image(network.prompts[0][..., MASK].astype(np.float32), HEIGHT, WIDTH)
    assert overlap(shown > 0.5, ellipse(2)) > 0.95  # where it was


def test_an_animal_that_is_lost_is_not_proposed(task):
    labels = np.where(ellipse(2), 1, 0).astype(np.uint8)
    labels[5:15, 140:155] = 2  # nothing is there
    found = follow_animals(
        PromptedSegmenter(Finder()), 3, FrameReader(task.video), Labelled(2, labels)
    )
    assert set(np.unique(found)) == {0, 1}


# Over the wire


def test_the_page_gets_what_the_network_finds_and_nothing_is_saved(task, open_client):
    client = open_client(lambda: ClickSegmenter(network_that_sees(ellipse(3))))
    found, start = ask(client, 3)
    assert overlap(found == 1, ellipse(3)) > 0.95 and start is None
    assert not paths.LABELS.exists()
    assert client.get("/api/labels").get_json()["drafts"] == []
    assert client.get(f"/api/proposals/{NUM_FRAMES}").status_code == 404


def test_on_other_frames_the_page_gets_the_nearest_label_moved(task, open_client):
    client = open_client(lambda: PromptedSegmenter(Finder()))
    for frame, animal in ((1, 2), (6, 3)):
        labels = np.where(ellipse(frame), animal, 0).astype(np.uint8)
        write_label(task.label_path(frame), labels, range(1, 4))
    for frame, animal, nearest in ((2, 2, "1"), (5, 3, "6")):
        found, start = ask(client, frame)
        assert overlap(found == animal, ellipse(frame)) > 0.8 and start == nearest
    assert ask(client, 6)[1] is None  # its own label is no proposal


def test_where_the_labelled_animal_is_lost_the_network_looks_for_others(task, open_client):
    client = open_client(lambda: PromptedSegmenter(Finder()))
    labels = NOTHING.copy()
    labels[2:10, 2:10] = 1
    write_label(task.label_path(2), labels)
    found, start = ask(client, 3)
    assert start is None and overlap(found == 1, ellipse(3)) > 0.8


def test_without_a_network_nothing_is_proposed(task, open_client):
    def fail():
        raise OSError("no weights")

    write_label(task.label_path(2), ellipse(2).astype(np.uint8))
    for load in (None, fail):
        assert not ask(open_client(load), 3)[0].any()


def test_of_the_requests_that_wait_only_the_latest_costs_time(task, open_client):
    may_load, asked = threading.Event(), []

    class Noting(ClickSegmenter):
        def look(self, frame, image):
            asked.append(frame)
            return super().look(frame, image)

    def load():
        may_load.wait(PATIENCE_SECONDS)
        return Noting(network_that_sees(ellipse(3)))

    arrived = []

    class NotingNetwork(BackgroundNetwork):
        def wait(self):
            arrived.append(True)
            return super().wait()

    app = create_app(task, TOKEN, NotingNetwork(load))

    def send(frame):
        client = app.test_client()
        client.get(f"/?token={TOKEN}")
        return ask(client, frame)[0].any()

    with ThreadPoolExecutor(3) as pool:
        answers = []
        for number, frame in enumerate((1, 2, 3), 1):
            answers.append(pool.submit(send, frame))
            wait_until(lambda n=number: len(arrived) == n)
        may_load.set()
        assert [answer.result(PATIENCE_SECONDS) for answer in answers] == [False, False, True]
    assert asked == [3]


def wait_until(condition):
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
