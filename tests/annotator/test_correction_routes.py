"""Corrections over the wire: swaps, pieces, masks that are followed, undo, and the files."""

import json
import os
import signal
import threading
import time

import numpy as np
import pytest

from tests.bright_parts import Finder
from tests.crossing_animals import (
    HEIGHT,
    MEETING,
    NUM_FRAMES,
    SWAPPED_FROM,
    WIDTH,
    Crossing,
    segmented,
    truth,
)
from tests.page_client import PATIENCE_SECONDS, TOKEN, png, wait_for
from utils import paths
from utils.annotator import corrector
from utils.annotator.background_network import BackgroundNetwork
from utils.annotator.prompted_segmenter import PromptedSegmenter
from utils.annotator.segment_click import ClickSegmenter
from utils.annotator.server import create_app
from utils.annotator.task import AnnotationTask
from utils.files import hold_lock
from utils.inputs.sequences import open_video_sequence
from utils.media.videos import VideoFile

END = NUM_FRAMES - 1


@pytest.fixture
def open_page(tmp_path, monkeypatch):
    """Makes a client of the page of a segmented video, with a network."""
    monkeypatch.setattr(paths, "LABELS", tmp_path / "labels")
    apps = []

    def make(world: Crossing, segmenter=None, **facts):
        sequence = open_video_sequence(world.frames, (), "auto")
        task = AnnotationTask(
            sequence, 0, "a test", (), results=world.results, stage3=tmp_path / "stage3.py", **facts
        )
        task.stage3.write_text("import time\nwhile True:\n    time.sleep(0.01)\n")
        network = BackgroundNetwork(lambda: segmenter) if segmenter else None
        apps.append(create_app(task, TOKEN, network))
        client = apps[-1].test_client()
        client.get(f"/?token={TOKEN}")
        client.writer = apps[-1].extensions["corrector"].writer
        return client

    yield make
    for app in apps:
        app.extensions["run"].cancel()
        app.extensions["corrector"].writer.finish()


@pytest.fixture
def world(tmp_path) -> Crossing:
    return Crossing(tmp_path)


def correct(client, what, status=200, **content):
    response = client.post(f"/api/corrections/{what}", json=content)
    assert response.status_code == status, response.get_json()
    return response.get_json()


def shown(client, frame) -> np.ndarray:
    import gzip

    data = gzip.decompress(client.get(f"/api/masks/result/{frame}").data)
    return np.frombuffer(data, np.uint8).reshape(HEIGHT, WIDTH)


def written(client) -> dict:
    """Waits until all files are."""
    return wait_for(client, "/api/corrections", lambda a: not any(a["writing"].values()))


def swap(client, frame=SWAPPED_FROM, last=END, **facts):
    return correct(client, "swap", frame=frame, last=last, a=1, b=2, **facts)


def test_a_doubt_leads_to_the_swap_and_one_request_corrects_it_everywhere(world, open_page):
    client = open_page(world)
    assert client.get("/api/corrections").get_json()["summary"] == ""
    doubt = client.get("/api/doubts/5/next").get_json()
    assert doubt["frame"] == SWAPPED_FROM and doubt["pair"] == [1, 2]
    answer = swap(client)
    assert answer["changed"] == list(range(SWAPPED_FROM, NUM_FRAMES))
    assert answer["summary"] == f"1 correction by hand in frames {SWAPPED_FROM} to {END}"
    np.testing.assert_array_equal(shown(client, END), truth(END))  # at once
    written(client)
    for frame in range(NUM_FRAMES):
        np.testing.assert_array_equal(world.mask(frame), truth(frame))
    assert client.get("/api/doubts/7/next").get_json() == {"frame": None, "reached": END}


@pytest.mark.parametrize("last, frames", [(8, [8]), (END, [8, 9, 10, 11])])
def test_a_swap_goes_as_far_as_it_is_asked_to(world, open_page, last, frames):
    client = open_page(world)
    assert swap(client, 8, last)["changed"] == frames
    for bad in ({"last": 7}, {"frame": -1}, {"last": None}, {"last": 8, "b": 1}):
        correct(client, "swap", status=400, **{"frame": 8, "last": 9, "a": 1, "b": 2} | bad)
    correct(client, "swap", status=404, frame=8, last=NUM_FRAMES, a=1, b=2)


def test_each_request_searches_the_next_crossing_for_a_moment_and_leaves_it_to_the_next(
    world, open_page, monkeypatch
):
    monkeypatch.setattr(corrector, "SECONDS_AT_ONCE", 0)
    client, address = open_page(world), "/api/crossings/0/2/1"
    answers = [client.get(address).get_json() for _ in range(MEETING[0])]
    unfinished = [{"last": None, "reached": frame} for frame in range(1, MEETING[0])]
    assert answers == [*unfinished, {"last": MEETING[0] - 1, "reached": MEETING[0]}]
    assert client.get(address).get_json() == answers[-1]
    for address, status in (("/api/crossings/12/1/2", 404), ("/api/crossings/0/1/3", 422)):
        assert client.get(address).status_code == status


def test_undo_and_redo_reach_the_files(world, open_page):
    client = open_page(world)
    before = world.mask_path(END).read_bytes()
    swap(client)
    answer = correct(client, "undo")
    assert answer["can_redo"] and answer["list"] == []
    written(client)
    assert world.mask_path(END).read_bytes() == before
    correct(client, "redo")
    written(client)
    np.testing.assert_array_equal(world.mask(END), truth(END))
    correct(client, "redo", status=422)
    again = open_page(world)  # the page is opened another day
    assert again.get("/api/corrections").get_json()["list"][0]["frame"] == SWAPPED_FROM
    correct(again, "undo")
    written(again)
    assert world.mask_path(END).read_bytes() == before
    correct(again, "undo", status=422)


def test_a_piece_is_deleted_or_given_away(world, open_page):
    client = open_page(world)
    correct(client, "piece", frame=0, x=170, y=80, animal=1)
    np.testing.assert_array_equal(shown(client, 0), np.uint8(truth(0) > 0))
    correct(client, "piece", frame=0, x=170, y=80, animal=0)
    np.testing.assert_array_equal(shown(client, 0), np.uint8(truth(0) == 1))
    for bad in ({"x": 100, "y": 5, "animal": 0}, {"x": 20, "y": 50, "animal": 1}):
        correct(client, "piece", status=422, frame=0, **bad)
    error = correct(client, "piece", status=422, frame=0, x=20, y=50, animal=3)["error"]
    assert "no animal 3" in error
    for bad in ({"frame": 0, "x": WIDTH, "y": 0, "animal": 0}, {"frame": -1}, {}, {"frame": "0"}):
        correct(client, "piece", status=400, **bad)


def without_animal_1(frame: int, frames=(3, 4)) -> np.ndarray:
    """The truth, but that animal 1 is missing in some frames."""
    return truth(frame) * (truth(frame) != 1) if frame in frames else truth(frame)


def test_a_redrawn_mask_is_followed_both_ways_until_it_agrees(tmp_path, open_page):
    world = Crossing(tmp_path, lambda f: without_animal_1(f, (2, 3, 4)))
    client = open_page(world, PromptedSegmenter(Finder()))
    response = client.post("/api/corrections/masks/3", data=png(truth(3)))
    assert response.get_json()["changed"] == [3]
    answers = [correct(client, f"follow/{way}") for way in ("next", "next", "previous", "previous")]
    assert [answer["changed"] for answer in answers] == [[4], [], [2], []]
    assert [answer["ended"] for answer in answers] == ["", "agrees", "", "agrees"]
    for frame in (2, 3, 4):
        common = (shown(client, frame) == 1) & (truth(frame) == 1)
        assert common.sum() > 0.9 * (truth(frame) == 1).sum()
        np.testing.assert_array_equal(shown(client, frame) == 2, truth(frame) == 2)
    assert answers[-1]["summary"] == "1 correction by hand in frames 2 to 4"
    assert correct(client, "undo")["changed"] == [2, 3, 4]  # one step
    np.testing.assert_array_equal(shown(client, 4), without_animal_1(4))


def test_what_is_followed_stops_at_the_end_and_at_what_was_drawn_by_hand(tmp_path, open_page):
    world = Crossing(tmp_path, lambda f: without_animal_1(f, range(NUM_FRAMES)))
    client = open_page(world, PromptedSegmenter(Finder()))
    for frame in (2, 0):
        client.post(f"/api/corrections/masks/{frame}", data=png(truth(frame)))
    assert correct(client, "follow/previous")["ended"] == "end"
    assert correct(client, "follow/next")["changed"] == [1]
    assert correct(client, "follow/next")["ended"] == "drawn"


def test_a_mask_that_grows_or_shrinks_at_once_is_lost(tmp_path, open_page):
    class Careless(PromptedSegmenter):
        def follow(self, frame, image, labels, animals=None, one_window=False):
            return np.uint8(truth(frame) > 0)  # both animals, twice as large

    def masks(frame):
        return truth(frame) * np.uint8(truth(frame) != 1)

    client = open_page(Crossing(tmp_path, masks), Careless(Finder()))
    small = np.where(truth(3) == 1, truth(3), masks(3))
    small[:50][small[:50] == 1] = 0
    client.post("/api/corrections/masks/3", data=png(small))
    assert correct(client, "follow/next")["ended"] == "lost"
    np.testing.assert_array_equal(shown(client, 4), masks(4))


def test_an_animal_that_was_wrongly_another_one_is_followed_without_it(tmp_path, open_page):
    """The other one, which is in none of the frames, counted as lost at once."""

    def masks(frame):
        only_1 = np.uint8(truth(frame) == 1)
        return only_1 * np.uint8(2) if 2 <= frame <= 4 else only_1

    client = open_page(Crossing(tmp_path, masks), PromptedSegmenter(Finder()))
    client.post("/api/corrections/masks/3", data=png(np.uint8(truth(3) == 1)))
    answers = [correct(client, f"follow/{way}") for way in ("next", "next", "previous", "previous")]
    assert [answer["changed"] for answer in answers] == [[4], [], [2], []]
    assert [answer["ended"] for answer in answers] == ["", "agrees", "", "agrees"]
    assert not (shown(client, 4) == 2).any()


def test_an_animal_that_the_drawn_frame_hides_keeps_its_masks_elsewhere(tmp_path, open_page):
    """Masks never agreed on it, so it was taken out of every frame of the video."""
    hidden_in = 3

    def right(frame):
        return truth(frame) * np.uint8((truth(frame) != 2) | (frame != hidden_in))

    def masks(frame):  # half of animal 1 counts as the hidden one
        is_right_half = np.arange(WIDTH) >= 65
        return np.where((right(frame) == 1) & is_right_half & (frame == hidden_in), 2, right(frame))

    client = open_page(Crossing(tmp_path, masks), PromptedSegmenter(Finder()))
    client.post(f"/api/corrections/masks/{hidden_in}", data=png(right(hidden_in)))
    answers = [correct(client, f"follow/{way}") for way in ("next", "previous")]
    assert [(answer["changed"], answer["ended"]) for answer in answers] == [([], "agrees")] * 2
    for frame in range(NUM_FRAMES):
        np.testing.assert_array_equal(shown(client, frame), right(frame))


def test_an_animal_that_the_drawn_frame_hides_is_not_deleted_where_another_one_is_followed(
    tmp_path, open_page
):
    """In two frames half of animal 1 counts as animal 2, which is hidden in the first of them and
    which the network does not follow well."""

    def right(frame):
        return truth(frame) * np.uint8((truth(frame) != 2) | (frame != 3))

    def masks(frame):
        is_wrong_half = (np.arange(WIDTH) >= 65) & (right(frame) == 1) & (frame in (3, 4))
        return np.where(is_wrong_half, np.uint8(2), right(frame))

    class Misled(PromptedSegmenter):
        def follow(self, frame, image, labels, animals=None, one_window=False):
            found = super().follow(frame, image, labels, animals, one_window)
            return np.where(found == 2, 0, found) + 2 * np.uint8(np.roll(found, 12, axis=0) == 2)

    client = open_page(Crossing(tmp_path, masks), Misled(Finder()))
    client.post("/api/corrections/masks/3", data=png(right(3)))
    answers = [correct(client, "follow/next") for _ in range(2)]
    assert [(answer["changed"], answer["ended"]) for answer in answers] == [
        ([4], ""),
        ([], "agrees"),
    ]
    for frame in (3, 4, 5):
        np.testing.assert_array_equal(shown(client, frame), right(frame))


def test_a_small_correction_leaves_the_neighbours_of_a_quick_animal_alone(tmp_path, open_page):
    class Inexact(PromptedSegmenter):
        def follow(self, frame, image, labels, animals=None, one_window=False):
            moved = np.roll(truth(frame), 3, axis=1)  # an IoU of 0.8 with the right mask
            return moved * np.uint8(moved == 1)

    client = open_page(Crossing(tmp_path, truth), Inexact(Finder()))
    drawn = truth(3)
    drawn[37:40, 52:80] = 1
    client.post("/api/corrections/masks/3", data=png(drawn))
    for way in ("next", "previous"):
        answer = correct(client, f"follow/{way}")
        assert answer["ended"] == "agrees" and answer["changed"] == []
    np.testing.assert_array_equal(shown(client, 4), truth(4))


@pytest.mark.parametrize("segmenter", [None, ClickSegmenter()], ids=["none", "stage 1"])
def test_without_a_network_that_knows_the_animal_one_frame_is_corrected(
    tmp_path, open_page, segmenter
):
    client = open_page(Crossing(tmp_path, without_animal_1), segmenter)
    client.post("/api/corrections/masks/3", data=png(truth(3)))
    assert correct(client, "follow/next")["ended"] == "no network"
    np.testing.assert_array_equal(shown(client, 3), truth(3))


def test_a_mask_that_changes_nothing_or_shows_an_unknown_animal_is_refused(world, open_page):
    client = open_page(world)
    for labels, reason in ((truth(3), "already"), (truth(3) * np.uint8(2), "no animal 4")):
        response = client.post("/api/corrections/masks/3", data=png(labels))
        assert response.status_code == 422 and reason in response.get_json()["error"]
    assert correct(client, "follow/next", status=200)["ended"] == "no network"


def test_the_overlay_and_the_tables_that_there_are_follow(world, open_page):
    import export

    world.write_overlay()
    export.main(export.Config("csv", results=world.results))
    table = world.results / "export" / "csv" / "pair.csv"
    overlay = world.results / "overlay" / "pair.mp4"
    before = table.read_text(), overlay.read_bytes()
    client = open_page(world)
    version = client.get("/api/results").get_json()["overlay_version"]
    correct(client, "piece", frame=3, x=60, y=50, animal=0)
    written(client)
    lines = [line for line in table.read_text().splitlines() if line not in before[0]]
    assert any(line.startswith("3,00003.png") and ",1,False" in line for line in lines)
    assert overlay.read_bytes() != before[1]
    assert client.get("/api/results").get_json()["overlay_version"] != version
    video = VideoFile(overlay)
    red_before, red_after = video.read(2)[50, 45], video.read(3)[50, 60]
    video.close()
    assert int(red_before[0]) - red_before[1] > 40 > int(red_after[0]) - red_after[1]


def test_tables_follow_of_a_video_whose_name_begins_with_a_dash(tmp_path, open_page):
    """The name was taken for a flag, and the export refused."""
    import export

    world = Crossing(tmp_path, name="-pair")
    export.main(export.Config("csv", results=world.results))
    table = world.results / "export" / "csv" / "-pair.csv"
    before = table.read_text()
    client = open_page(world)
    correct(client, "piece", frame=3, x=60, y=50, animal=0)
    answer = wait_for(client, "/api/corrections", lambda a: not a["writing"]["overlay"])
    assert answer["writing"]["error"] is None
    assert table.read_text() != before


def export_again(world, open_page, script):
    """Corrects a frame where a table was exported. Returns: the answer that says what failed."""
    (world.results / "export" / "csv").mkdir(parents=True)
    (world.results / "export" / "csv" / "pair.csv").touch()
    export = world.results.with_name("export.py")
    export.write_text(script)
    client = open_page(world, export=export)
    correct(client, "piece", frame=3, x=60, y=50, animal=0)
    return wait_for(client, "/api/corrections", lambda answer: answer["writing"]["error"])


def test_an_export_that_fails_is_told_and_the_overlay_is_there(world, open_page):
    world.write_overlay()
    answer = export_again(world, open_page, "import sys\nsys.exit('error: no room')\n")
    assert "export.py csv failed" in answer["writing"]["error"]
    assert not answer["writing"]["overlay"]
    content = json.loads((world.run_dir / "corrections.json").read_text())
    assert content["is_overlay_written"]


def test_a_note_about_an_overlay_that_was_written_is_told_once(world, open_page, monkeypatch):
    """It counted as a failure: the overlay was never done, and written again in each session."""
    from utils.media import overlay

    world.write_overlay()
    write_overlay_video = overlay.write_overlay_video

    def write(*arguments, **options):
        write_overlay_video(*arguments, **options)
        return "it shows 10 frames per second"

    monkeypatch.setattr(overlay, "write_overlay_video", write)
    client = open_page(world)
    correct(client, "piece", frame=3, x=60, y=50, animal=0)
    answer = wait_for(client, "/api/corrections", lambda answer: answer["writing"]["error"])
    assert "it shows 10 frames per second" in answer["writing"]["error"]
    assert not answer["writing"]["overlay"]
    assert json.loads((world.run_dir / "corrections.json").read_text())["is_overlay_written"]
    again = open_page(world).get("/api/corrections").get_json()["writing"]
    assert again == {"masks": 0, "overlay": False, "error": None}


def test_an_overlay_that_cannot_be_written_is_still_due(world, open_page, monkeypatch):
    from utils.media import overlay

    def fail(*_, **__):
        raise ValueError("no such codec")

    world.write_overlay()
    monkeypatch.setattr(overlay, "write_overlay_video", fail)
    client = open_page(world)
    correct(client, "piece", frame=3, x=60, y=50, animal=0)
    answer = wait_for(client, "/api/corrections", lambda answer: answer["writing"]["error"])
    assert "no such codec" in answer["writing"]["error"] and answer["writing"]["overlay"]
    assert not json.loads((world.run_dir / "corrections.json").read_text())["is_overlay_written"]


def test_every_format_is_tried_and_all_that_went_wrong_is_told(world, open_page, monkeypatch):
    from utils.annotator import results_writer

    world.write_overlay()
    for path in ("csv/pair.csv", "coco/pair.json", "cutout/pair.webm"):
        (world.results / "export" / path).parent.mkdir(parents=True)
        (world.results / "export" / path).touch()
    export = world.results.with_name("failing_export.py")
    export.write_text(
        "import pathlib, sys\n"
        "pathlib.Path(__file__).with_name(sys.argv[1] + '.tried').touch()\n"
        "if sys.argv[1] != 'coco':\n    sys.exit('error: no room')\n"
    )
    client = open_page(world, export=export)
    monkeypatch.setattr(results_writer, "write_overlays", lambda *_: ["pair.mp4: without sound."])
    correct(client, "piece", frame=3, x=60, y=50, animal=0)
    answer = wait_for(client, "/api/corrections", lambda answer: answer["writing"]["error"])
    assert len(list(export.parent.glob("*.tried"))) == 3
    for told in ("without sound", "export.py csv failed", "export.py cutout failed"):
        assert told in answer["writing"]["error"]


@pytest.mark.skipif(os.name == "nt", reason="process groups are looked at as POSIX has them")
def test_ctrl_c_in_the_terminal_does_not_reach_an_export(world, open_page):
    """It ended the export, and the tables stayed as they were before the correction."""
    script = "import os, sys\nsys.exit(f'group {os.getpgrp()}.')\n"
    answer = export_again(world, open_page, script)
    assert "group " in answer["writing"]["error"]
    assert f"group {os.getpgrp()}." not in answer["writing"]["error"]


def is_sigint_ignored() -> bool:
    """Whether the tests run in the background of a shell, so that no process gets Ctrl-C."""
    return signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def test_a_run_ends_an_export_and_what_it_leaves_is_written_after_it(world, open_page):
    """It waited for the export, and a page that was opened meanwhile was not ready before."""
    table = world.results / "export" / "csv" / "pair.csv"
    table.parent.mkdir(parents=True)
    table.touch()
    export = world.results.with_name("export.py")
    export.write_text(
        "import pathlib, time\n"
        "calls = pathlib.Path(__file__).with_name('calls')\n"
        "calls.mkdir(exist_ok=True)\n"
        "is_first = not any(calls.iterdir())\n"
        "(calls / ('first' if is_first else 'second')).touch()\n"
        "end = time.monotonic() + 60 * is_first\n"
        "try:\n"
        "    while time.monotonic() < end:\n"
        "        time.sleep(0.01)\n"
        "except KeyboardInterrupt:\n"
        "    (calls / 'tidied').touch()\n"
    )
    calls = world.results.with_name("calls")
    client = open_page(world, export=export)
    correct(client, "piece", frame=3, x=60, y=50, animal=0)
    wait_for(client, "/api/corrections", lambda _: (calls / "first").exists())
    client.post("/api/labels/2", data=png(truth(2)))
    assert client.post("/api/run", json={"preset": "fast"}).status_code == 200
    assert os.name == "nt" or (calls / "tidied").exists() or is_sigint_ignored()
    client.post("/api/run/cancel")
    wait_for(client, "/api/run", lambda status: status["state"] == "cancelled")
    answer = wait_for(client, "/api/corrections", lambda a: not a["writing"]["overlay"])
    assert answer["writing"]["error"] is None and (calls / "second").exists()


def test_the_tables_follow_where_what_is_undone_held_in_no_frame(world, open_page):
    import export

    export.main(export.Config("csv", results=world.results))
    client = open_page(world)
    correct(client, "piece", frame=3, x=60, y=50, animal=0)
    written(client)
    path = world.run_dir / "corrections.json"
    content = json.loads(path.read_text())
    content["corrections"][0] |= {"holds_in": [], "note": "as after another run"}
    path.write_text(json.dumps(content))
    assert correct(client, "undo")["changed"] == []
    answer = wait_for(client, "/api/corrections", lambda a: not a["writing"]["overlay"])
    assert answer["writing"]["error"] is None


def test_nothing_is_corrected_while_a_run_is_at_work_or_before_there_is_a_result(world, open_page):
    client = open_page(world)
    with hold_lock(world.run_dir / paths.LOCK_FILE, "pair"):
        assert "working on it" in swap(client, status=422)["error"]
    swap(client)
    written(client)
    (world.run_dir / "run.json").unlink()
    assert "Run the segmentation" in swap(client, status=422)["error"]
    assert client.get("/api/corrections").get_json()["available"] is False


def swap_and_start_run(client):
    """The run waits for the first mask of the swap, and leaves the others."""
    writer, write_mask = client.writer, client.writer._write_mask
    has_begun = threading.Event()

    def write_when_a_run_waits(frame):
        has_begun.set()
        with writer._changed:
            assert writer._changed.wait_for(lambda: writer._is_paused, PATIENCE_SECONDS)
        writer._write_mask = write_mask
        write_mask(frame)

    writer._write_mask = write_when_a_run_waits
    swap(client)
    assert has_begun.wait(PATIENCE_SECONDS)  # else the run may start before the first mask
    client.post("/api/labels/2", data=png(truth(2)))
    assert client.post("/api/run", json={"preset": "fast"}).status_code == 200


def test_a_run_waits_for_no_more_than_one_mask_and_what_it_leaves_is_written_after_it(
    world, open_page
):
    world.write_overlay()
    overlay = world.results / "overlay" / "pair.mp4"
    before = overlay.read_bytes()
    client = open_page(world)
    swap_and_start_run(client)
    writer = client.writer
    assert writer.status()["masks"] == NUM_FRAMES - SWAPPED_FROM - 1
    assert "run is in progress" in swap(client, status=409)["error"]
    for what in ("undo", "redo"):
        correct(client, what, status=409)
    assert client.post("/api/corrections/masks/3", data=png(truth(3))).status_code == 409
    client.post("/api/run/cancel")
    wait_for(client, "/api/run", lambda status: status["state"] == "cancelled")
    written(client)
    np.testing.assert_array_equal(world.mask(END), truth(END))
    assert overlay.read_bytes() != before


def test_what_a_cancelled_run_has_left_is_written_though_nobody_asks_for_its_state(
    world, open_page
):
    client = open_page(world)
    swap_and_start_run(client)
    end = time.monotonic() + PATIENCE_SECONDS
    while client.post("/api/run/cancel").get_json()["state"] == "running":  # its output is read
        assert time.monotonic() < end
    written(client)
    np.testing.assert_array_equal(world.mask(END), truth(END))


def test_after_another_run_the_page_knows_what_is_left_of_its_corrections(world, open_page):
    client = open_page(world)
    swap(client)
    written(client)
    from utils.media.labels import write_label
    from utils.stage3.correction_files import correct_masks
    from utils.stage3.pipeline import clear_results

    clear_results(world.results, world.video)
    for frame in range(NUM_FRAMES):
        write_label(world.mask_path(frame), truth(frame), (1, 2))
    correct_masks(world.results, world.video, (1, 2))
    world.write_record()
    answer = client.get("/api/corrections").get_json()
    assert "do not confuse" in answer["list"][0]["note"] and answer["frames"] == []
    np.testing.assert_array_equal(shown(client, END), truth(END))


def test_what_a_killed_session_left_is_written_by_the_next(world, open_page):
    client = open_page(world)
    client.writer.write = lambda frames: None  # killed before it wrote
    swap(client)
    assert not np.array_equal(world.mask(END), truth(END))
    again = open_page(world)
    written(again)
    np.testing.assert_array_equal(world.mask(END), truth(END))


def test_another_page_of_this_video_leaves_what_the_first_one_may_redo(world, open_page):
    first = open_page(world)
    correct(first, "piece", frame=3, x=60, y=50, animal=0)
    correct(first, "undo")
    written(first)
    open_page(world).get("/api/corrections")
    assert correct(first, "redo")["changed"] == [3]
    written(first)
    assert not (world.mask(3) == 1).any()


def test_a_correction_without_its_pixels_is_reported_and_can_be_undone(world, open_page):
    client = open_page(world)
    correct(client, "piece", frame=3, x=60, y=50, animal=0)
    written(client)
    (path,) = (world.run_dir / "corrections").glob("0001_*.png")
    path.unlink()
    swap(client, 3, 3, status=422)  # it would need the missing one
    swap(client)
    correct(client, "undo")
    written(client)
    correct(client, "undo")
    written(client)
    np.testing.assert_array_equal(world.mask(3), segmented(3))


def test_whatever_goes_wrong_with_a_mask_is_told_and_the_writer_goes_on(world, open_page):
    client = open_page(world)
    write_mask = client.writer._write_mask

    def fail(frame):
        raise TypeError("no such thing")

    client.writer._write_mask = fail
    swap(client)
    answer = wait_for(client, "/api/corrections", lambda a: a["writing"]["error"])
    assert "no such thing" in answer["writing"]["error"]
    client.writer._write_mask = write_mask
    correct(client, "piece", frame=0, x=170, y=80, animal=0)
    written(client)
    np.testing.assert_array_equal(world.mask(END), truth(END))


def test_a_frame_that_cannot_be_written_does_not_hold_up_the_others(world, open_page):
    client = open_page(world)
    write_mask = client.writer._write_mask

    def write(frame):
        if frame == SWAPPED_FROM:
            raise OSError("no room for this frame")
        write_mask(frame)

    client.writer._write_mask = write
    swap(client)
    status = wait_for(client, "/api/corrections", lambda a: a["writing"]["masks"] == 1)["writing"]
    client.writer.pause()  # waits for the mask that is being written
    assert "no room for this frame" in status["error"] and status["overlay"]
    np.testing.assert_array_equal(world.mask(END), truth(END))
    assert not json.loads((world.run_dir / "corrections.json").read_text())["are_masks_written"]
    client.writer._write_mask = write_mask
    correct(client, "piece", frame=0, x=170, y=80, animal=0)
    written(client)
    np.testing.assert_array_equal(world.mask(SWAPPED_FROM), truth(SWAPPED_FROM))


def test_what_another_page_of_this_video_corrected_is_not_lost(world, open_page):
    first, second = open_page(world), open_page(world)
    for client in (first, second):
        assert client.get("/api/corrections").get_json()["list"] == []
    swap(first)
    written(first)
    answer = correct(second, "piece", frame=0, x=170, y=80, animal=0)
    assert len(answer["list"]) == 2
    written(second)
    assert len(first.get("/api/corrections").get_json()["list"]) == 2
    np.testing.assert_array_equal(world.mask(END), truth(END))
