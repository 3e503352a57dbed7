"""annotate.py without a browser: who is answered, what is refused, what is saved; clicks to masks.

The page itself is tried in test_annotate_browser.py.
"""

import errno
import gzip
import io
import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from tqdm import tqdm

import annotate
from tests.bright_hen import (
    HEIGHT,
    NOTHING,
    NUM_FRAMES,
    WIDTH,
    ellipse,
    network_that_sees,
    overlap,
    picture,
)
from utils import paths
from utils.annotator import server
from utils.annotator.background_network import BackgroundNetwork
from utils.annotator.background_run import BackgroundRun, parse_progress
from utils.annotator.frame_reader import FRAMES_KEPT, BoundedStore, FrameReader
from utils.annotator.prompts import BY_HAND, parse_prompt
from utils.annotator.segment_click import Click
from utils.annotator.server import create_app, open_server
from utils.annotator.task import AnnotationTask
from utils.errors import InputError, UsageError
from utils.files import write_json
from utils.inputs.guidance import read_labels
from utils.inputs.sequences import open_dataset_sequence, open_video_sequence
from utils.media.labels import davis_palette, write_label
from utils.media.video_writing import write_video

TOKEN = "a-token"


def png(labels: np.ndarray, mode: str | None = None) -> bytes:
    image = Image.fromarray(np.asarray(labels))
    buffer = io.BytesIO()
    (image.convert(mode) if mode else image).save(buffer, format="PNG")
    return buffer.getvalue()


def labels_of(response) -> np.ndarray:
    assert response.status_code == 200, response.get_json()
    return np.frombuffer(gzip.decompress(response.data), np.uint8).reshape(HEIGHT, WIDTH)


@pytest.fixture
def dataset(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(paths, "LABELS", tmp_path / "labels")
    frames = tmp_path / "data" / "JPEGImages" / "480p" / "hen"
    frames.mkdir(parents=True)
    for index in range(NUM_FRAMES):
        Image.fromarray(picture(index)).save(frames / f"{index:05d}.png")
    return tmp_path / "data"


@pytest.fixture
def task(dataset, tmp_path) -> AnnotationTask:
    return AnnotationTask(
        open_dataset_sequence(dataset, "hen"),
        first_frame=3,
        first_reason="a test",
        input_flags=("--dataset", str(dataset), "--sequences", "hen"),
        results=tmp_path / "results",
        stage3=tmp_path / "stage3.py",
    )


@pytest.fixture
def stranger(task):
    """A client that has not shown the token."""
    app = create_app(task, TOKEN)
    yield app.test_client()
    app.extensions["run"].cancel()


@pytest.fixture
def client(stranger):
    assert stranger.get(f"/?token={TOKEN}").status_code == 200
    return stranger


def routes(client, methods=("GET", "POST", "DELETE")) -> list[tuple[str, str]]:
    """All of the application's, with a value for each variable."""
    values = {"index": "1", "size": "display", "name": "main.js", "kind": "label"}
    found = []
    for rule in client.application.url_map.iter_rules():
        path = re.sub(r"<[^>]*?(\w+)>", lambda match: values[match[1]], rule.rule)
        found += [(method, path) for method in methods if method in rule.methods]
    assert len(found) >= 6
    return found


# Who is answered


def test_without_the_token_every_route_refuses(stranger):
    for method, path in routes(stranger):
        for query in ("", "?token=", "?token=a-tokem", "?token=%C3%A4"):
            response = stranger.open(path + query, method=method)
            assert response.status_code == 403, path
            assert "token" in response.get_json()["error"]
    stranger.set_cookie("annotate_80", "wrong")
    assert stranger.get("/api/video").status_code == 403
    # The address' token is good for the page alone: nothing else puts it into an address.
    assert stranger.get(f"/api/video?token={TOKEN}").status_code == 403


def test_the_token_becomes_a_cookie_that_scripts_and_other_sites_do_not_get(client):
    for host in ("localhost", "127.0.0.1:5000"):
        answer = client.get(f"/?token={TOKEN}", headers={"Host": host})
        cookie = answer.headers["Set-Cookie"]
        # Browsers send a cookie to all ports: its name tells them apart.
        assert cookie.startswith(f"annotate_{host.partition(':')[2] or 80}={TOKEN}")
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    assert client.get("/").status_code == client.get("/api/video").status_code == 200


def test_another_name_for_this_computer_is_refused_on_every_route(client):
    for method, path in routes(client):
        for host in ("evil.example", "evil.example:5000", "127.0.0.1.evil.example:5000"):
            for port in (80, 5000):
                client.set_cookie(f"annotate_{port}", TOKEN, domain=host.partition(":")[0])
            response = client.open(path, method=method, headers={"Host": host})
            assert response.status_code == 403, (path, host)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "http://localhost:5001"},  # another program on this computer
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_other_pages_can_write_nothing(client, task, headers):
    task.label_path(1).parent.mkdir(parents=True)
    task.label_path(1).write_bytes(b"kept")
    for method, path in routes(client, ("POST", "DELETE")):
        response = client.open(path, method=method, headers=headers, data=png(np.uint8(ellipse(1))))
        assert response.status_code == 403, path
    assert task.label_path(1).read_bytes() == b"kept"
    if "Sec-Fetch-Site" in headers:
        assert client.get("/api/frames/1/full.jpg", headers=headers).status_code == 403


def test_the_page_itself_may_write(client):
    headers = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    response = client.post("/api/labels/1", data=png(np.uint8(ellipse(1))), headers=headers)
    assert response.status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/page/../annotation_server.py",
        "/page/%2e%2e/annotation_server.py",
        "/page/..%2fannotation_server.py",
        "/page/index.html",
        "/page//etc/passwd",
        "/api/frames/-1/full.jpg",
        "/api/frames/8/full.jpg",
        "/api/frames/..%2f..%2fsecret/full.jpg",
        "/api/frames/1/..%2ffull.jpg",
        "/api/masks/label/8",
        "/api/masks/secret/1",
        "/api/masks/label/1",
        "/api/overlay.mp4",
        "/static/main.js",
    ],
)
def test_nothing_but_frames_masks_and_the_page_is_served(client, path):
    response = client.get(path)
    assert response.status_code == 404
    assert response.get_json()["error"]


def test_every_answer_forbids_scripts_of_others_and_guessing_of_types(client):
    for path in ("/", "/api/video", "/api/frames/1/full.jpg", "/page/main.js", "/nowhere"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    types = {client.get(f"/page/{name}").mimetype for name in ("main.js", "style.css", "icon.svg")}
    assert types == {"text/javascript", "text/css", "image/svg+xml"}


def test_the_page_names_nothing_outside_of_itself():
    for path in server.PAGE_DIR.iterdir():
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|//[a-z]+\.[a-z]|\son[a-z]+=|style=", text), path.name


def test_the_server_is_on_this_computer_alone_and_logs_no_token(task, capfd):
    server = open_server(create_app(task, TOKEN), 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        host, port = server.socket.getsockname()
        assert host == "127.0.0.1" and port == server.server_port > 0
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/?token={TOKEN}") as answer:
            assert answer.status == 200
        with pytest.raises(InputError, match=f"--port {port}"):
            open_server(create_app(task, TOKEN), port)
    finally:
        server.shutdown()
        server.server_close()
    assert TOKEN not in "".join(capfd.readouterr())


# Frames


def test_each_frame_comes_as_jpeg_at_its_size(client):
    for index in (0, 5, NUM_FRAMES - 1):
        image = Image.open(io.BytesIO(client.get(f"/api/frames/{index}/full.jpg").data))
        assert image.format == "JPEG" and image.size == (WIDTH, HEIGHT)
        difference = np.abs(np.asarray(image.convert("L"), float) - picture(index).mean(axis=2))
        assert difference.mean() < 12
        small = Image.open(io.BytesIO(client.get(f"/api/frames/{index}/thumbnail.jpg").data))
        assert small.width <= 160 and small.height <= 90


def test_a_damaged_frame_and_one_of_another_size_are_named(client, dataset):
    frames = dataset / "JPEGImages" / "480p" / "hen"
    (frames / "00002.png").write_bytes(b"no picture")
    Image.fromarray(picture(4)[:-2]).save(frames / "00004.png")
    for index, word in ((2, "00002.png"), (4, "160x118")):
        for size in ("full", "display", "thumbnail"):
            response = client.get(f"/api/frames/{index}/{size}.jpg")
            assert response.status_code == 422 and word in response.get_json()["error"]


def test_few_frames_and_little_else_are_kept_of_a_long_video():
    class LongVideo:
        path, name, height, width = Path("long"), "long", 40, 60

        def __init__(self, *_):
            pass

        def read(self, index):
            return np.full((40, 60, 3), index % 256, np.uint8)

    frames = FrameReader(LongVideo())
    for index in range(300):
        assert frames.read(index)[0, 0, 0] == index % 256
        frames.thumbnail(index)
    assert len(frames._frames) == FRAMES_KEPT
    store = BoundedStore(1000)
    for number in range(100):
        store.put(number % 40, bytes(90))
    assert len(store.numbers()) == 11 and store.get(19) is not None and store.get(20) is None


def test_a_video_file_is_served_like_a_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "LABELS", tmp_path / "labels")
    write_video(tmp_path / "hen.mp4", (picture(i) for i in range(NUM_FRAMES)), None, 10)
    sequence = open_video_sequence(tmp_path / "hen.mp4", (), "auto")
    app = create_app(AnnotationTask(sequence, 0, "", ("--video", "hen.mp4")), TOKEN)
    client = app.test_client()
    client.get(f"/?token={TOKEN}")
    described = client.get("/api/video").get_json()
    assert described["num_frames"] == NUM_FRAMES
    assert (described["height"], described["width"]) == (HEIGHT, WIDTH)
    for index in (6, 1):
        image = Image.open(io.BytesIO(client.get(f"/api/frames/{index}/full.jpg").data))
        bright = np.asarray(image.convert("L"), float) > 115
        assert overlap(bright, ellipse(index)) > 0.6
        assert client.get(f"/api/frames/{index}/thumbnail.jpg").status_code == 200
    sequence.video.close()


# Labels


def test_one_animal_is_saved_white_on_black_and_read_back_exactly(client, task):
    labels = np.uint8(ellipse(3))
    answer = client.post("/api/labels/3", data=png(labels)).get_json()
    assert answer["path"] == str(task.label_path(3)) and answer["labelled"] == [3]
    image = Image.open(task.label_path(3))
    assert image.mode == "L" and image.size == (WIDTH, HEIGHT)
    np.testing.assert_array_equal(np.asarray(image), labels * 255)
    np.testing.assert_array_equal(labels_of(client.get("/api/masks/label/3")), labels)


def test_several_animals_are_saved_with_the_palette_and_keep_their_numbers(client, task):
    labels = NOTHING.copy()
    labels[10:30, 10:30], labels[50:60, 40:90] = 1, 3
    client.post("/api/labels/2", data=png(labels))
    image = Image.open(task.label_path(2))
    assert image.mode == "P"
    np.testing.assert_array_equal(np.asarray(image), labels)
    assert image.getpalette()[:12] == davis_palette()[:4].ravel().tolist()
    np.testing.assert_array_equal(labels_of(client.get("/api/masks/label/2")), labels)
    alone = np.where(labels == 3, np.uint8(3), np.uint8(0))
    client.post("/api/labels/2", data=png(alone))
    np.testing.assert_array_equal(labels_of(client.get("/api/masks/label/2")), alone)


def test_what_is_saved_is_what_stage_3_reads(client, task, dataset):
    for index in (1, 6):
        client.post(f"/api/labels/{index}", data=png(np.uint8(ellipse(index))))
    sequence = open_dataset_sequence(dataset, "hen")
    assert sequence.source == "datasets/labels" and list(sequence.labels) == [1, 6]
    for index, label in read_labels(sequence, (1, 6)).items():
        np.testing.assert_array_equal(label.values, ellipse(index))


def huge_png() -> bytes:
    buffer = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(buffer, format="PNG")
    return buffer.getvalue()


def jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.uint8(ellipse(1)) * 255).save(buffer, format="JPEG")
    return buffer.getvalue()


BAD_UPLOADS = {
    "nothing": (lambda: b"", 400),
    "no image": (lambda: b"hello" * 100, 400),
    "half an image": (lambda: png(np.uint8(ellipse(1)))[:150], 400),
    "jpeg": (jpeg, 400),
    "100 megapixels": (huge_png, 422),
    "another size": (lambda: png(np.uint8(ellipse(1))[:-1]), 422),
    "turned": (lambda: png(np.uint8(ellipse(1)).T), 422),
    "colours": (lambda: png(np.uint8(ellipse(1)), "RGB"), 422),
    "animal 33": (lambda: png(np.uint8(ellipse(1)) * 33), 422),
    "no animal": (lambda: png(NOTHING), 422),
    "no background": (lambda: png(NOTHING + 1), 422),
    "too many bytes": (lambda: bytes(9 * 2**20), 413),
}


@pytest.mark.parametrize("name", BAD_UPLOADS)
def test_a_bad_upload_is_refused_by_name_and_changes_nothing(client, task, name):
    make, status = BAD_UPLOADS[name]
    client.post("/api/labels/1", data=png(np.uint8(ellipse(1))))
    before = task.label_path(1).read_bytes()
    response = client.post("/api/labels/1", data=make())
    assert response.status_code == status
    assert len(response.get_json()["error"]) > 20
    assert task.label_path(1).read_bytes() == before
    assert len(list(task.label_dir.iterdir())) == 1


def test_a_full_disk_is_told_and_the_old_label_stays(client, task, monkeypatch):
    client.post("/api/labels/1", data=png(np.uint8(ellipse(1))))
    before, upload = task.label_path(1).read_bytes(), png(np.uint8(ellipse(2)))

    def fail(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fail)
    response = client.post("/api/labels/1", data=upload)
    assert response.status_code == 507 and "disk is full" in response.get_json()["error"]
    assert task.label_path(1).read_bytes() == before


def test_a_label_that_is_saved_twice_at_once_is_always_whole(client, task):
    app, stop = client.application, threading.Event()

    def save(labels):
        other = app.test_client()
        other.get(f"/?token={TOKEN}")
        while not stop.is_set():
            assert other.post("/api/labels/1", data=labels).status_code == 200

    versions = [np.uint8(ellipse(1)), np.uint8(ellipse(7))]
    client.post("/api/labels/1", data=png(versions[0]))
    threads = [threading.Thread(target=save, args=(png(labels),)) for labels in versions]
    for thread in threads:
        thread.start()
    for _ in range(60):
        read = np.asarray(Image.open(task.label_path(1))) // 255
        assert any(np.array_equal(read, labels) for labels in versions)
    stop.set()
    for thread in threads:
        thread.join()
    assert len(list(task.label_dir.iterdir())) == 1


def test_a_label_can_be_deleted_and_nothing_else(client, task):
    client.post("/api/labels/1", data=png(np.uint8(ellipse(1))))
    (task.label_dir / "notes.txt").write_text("mine")
    assert client.delete("/api/labels/1").get_json()["labelled"] == []
    assert [path.name for path in task.label_dir.iterdir()] == ["notes.txt"]
    assert client.delete("/api/labels/1").status_code == 200
    assert client.delete("/api/labels/99").status_code == 404


def test_annotations_of_the_data_set_are_a_beginning_and_their_void_is_told(dataset, tmp_path):
    folder = dataset / "Annotations" / "480p" / "hen"
    folder.mkdir(parents=True)
    grey = np.where(ellipse(2), np.uint8(255), np.uint8(0))
    grey[:5] = 128
    Image.fromarray(grey).save(folder / "00002.png")
    sequence = open_dataset_sequence(dataset, "hen")
    client = create_app(AnnotationTask(sequence, 0, "", ()), TOKEN).test_client()
    client.get(f"/?token={TOKEN}")
    assert client.get("/api/video").get_json()["annotated"] == [2]
    response = client.get("/api/masks/annotation/2")
    assert response.headers["X-Void-Px"] == str(5 * WIDTH)
    expected = ellipse(2) & (np.arange(HEIGHT)[:, None] >= 5)
    np.testing.assert_array_equal(labels_of(response), expected)
    assert client.get("/api/labels").get_json() == {"labelled": [], "drafts": [], "command": None}


def test_drafts_are_kept_with_what_was_drawn_by_hand_until_saved(client):
    draft = np.uint8(ellipse(1)) * 2
    draft[:4] |= BY_HAND
    assert client.post("/api/drafts/1", data=png(draft)).get_json()["drafts"] == [1]
    np.testing.assert_array_equal(labels_of(client.get("/api/masks/draft/1")), draft)
    assert client.post("/api/labels/1", data=png(np.uint8(ellipse(1)))).get_json()["drafts"] == []
    assert client.get("/api/masks/draft/1").status_code == 404
    assert client.post("/api/drafts/1", data=b"no image").status_code == 400


# The next command and the run


def test_the_next_command_uses_all_labels(task, client):
    client.post("/api/labels/2", data=png(np.uint8(ellipse(2))))
    assert "--guidance" not in task.next_command()
    answer = client.post("/api/labels/6", data=png(np.uint8(ellipse(6)))).get_json()
    assert answer["command"].endswith(
        "--sequences hen --guidance 2,6 --results " + str(task.results)
    )
    assert answer["command"].startswith("python ")


def test_a_label_that_corrects_a_result_joins_the_annotation_it_came_from(task, client, tmp_path):
    annotations = tmp_path / "annotations"
    write_label(annotations / "00003.png", ellipse(3))
    task = replace(task, sequence=replace(task.sequence, annotation_dir=annotations))
    write_results(task)
    run = task.results / paths.RUNS / "hen" / paths.RUN_FILE
    write_json(run, {"num_frames": NUM_FRAMES, "labelled_frames": [3]})
    assert "--guidance" not in task.next_command()  # nothing was labelled here yet
    client.post("/api/labels/6", data=png(np.uint8(ellipse(6))))
    assert "--guidance 3,6" in task.next_command()
    write_json(run, {"num_frames": NUM_FRAMES, "labelled_frames": [4]})  # a label from elsewhere
    assert "--guidance" not in task.next_command()


def test_a_name_with_spaces_is_one_word_of_the_command(task):
    spaced = AnnotationTask(task.sequence, 0, "", ("--video", "my hens' film.mp4"))
    assert shlex.split(spaced.next_command())[2:] == ["--video", "my hens' film.mp4"]


def test_stage_3_knows_the_flags_and_the_presets(task, client):
    import finetune_test
    from utils.annotator.task import PRESETS
    from utils.command_line import parse_config
    from utils.stage3.presets import PRESETS as ALL_PRESETS

    assert PRESETS == tuple(ALL_PRESETS)
    for index in (2, 6):
        client.post(f"/api/labels/{index}", data=png(np.uint8(ellipse(index))))
    config = parse_config(finetune_test.Config, "", task.stage3_flags("fast"))
    assert config.guidance == "2,6" and config.preset == "fast" and config.sequences == ("hen",)
    assert AnnotationTask(task.sequence, 0, "", ()).stage3 == Path(finetune_test.__file__)


STAGE3 = """
import sys, time
from pathlib import Path
from tqdm import tqdm
print("hen: 8 frames", flush=True)
for step in tqdm(range(20), desc="hen: fine-tuning", unit="step", mininterval=0, miniters=1):
    while step == 10 and not Path(__file__).with_name("go on").exists():
        time.sleep(0.01)
print("\\n".join(sys.argv[1:]))
%s
"""


def let_stage3_go_on(task):
    """Else it stops at step 10 of 20, however slow the machine."""
    task.stage3.with_name("go on").touch()


def wait_for(client, is_there, seconds=300) -> dict:
    """Asks how the run stands until `is_there` says so; the limit is for what hangs."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        status = client.get("/api/run").get_json()
        if is_there(status):
            return status
        time.sleep(0.02)
    raise AssertionError(f"still {status}")


def is_over(status) -> bool:
    return status["state"] != "running"


def test_a_run_shows_its_progress_and_its_end(client, task):
    task.stage3.write_text(STAGE3 % "")
    assert client.get("/api/run").get_json()["state"] == "idle"
    assert client.post("/api/run", json={"preset": "fast"}).status_code == 409  # nothing labelled
    client.post("/api/labels/2", data=png(np.uint8(ellipse(2))))
    for bad in ({"preset": "; rm"}, {}, [], None):
        assert client.post("/api/run", json=bad).status_code == 400
    assert client.post("/api/run", json={"preset": "fast"}).status_code == 200
    assert client.post("/api/run", json={"preset": "fast"}).status_code == 409  # one at a time
    status = wait_for(client, lambda status: status["done"] == 10 or is_over(status))
    assert (status["state"], status["title"], status["total"]) == ("running", "fine-tuning", 20)
    let_stage3_go_on(task)
    status = wait_for(client, is_over)
    assert status["state"] == "done" and status["error"] is None and status["done"] == 20
    assert status["lines"][:3] == ["hen: 8 frames", "--dataset", task.input_flags[1]]
    assert status["lines"][-4:] == ["--preset", "fast", "--results", str(task.results)]


def test_a_run_that_fails_says_why_in_one_line(client, task):
    task.stage3.write_text(STAGE3 % "print('error: hen: no room', file=sys.stderr); exit(1)")
    let_stage3_go_on(task)
    client.post("/api/labels/2", data=png(np.uint8(ellipse(2))))
    client.post("/api/run", json={"preset": "default"})
    assert wait_for(client, is_over)["error"] == "hen: no room"


def test_a_run_can_be_cancelled_and_started_again(client, task):
    task.stage3.write_text(STAGE3 % "")
    client.post("/api/labels/2", data=png(np.uint8(ellipse(2))))
    client.post("/api/run", json={"preset": "default"})
    client.post("/api/run/cancel")
    status = wait_for(client, is_over)
    assert status["state"] == "cancelled" and status["error"] is None
    let_stage3_go_on(task)
    assert client.post("/api/run", json={"preset": "default"}).status_code == 200
    status = wait_for(client, is_over)
    assert status["state"] == "done" and status["title"] == "fine-tuning"


def test_progress_is_read_from_real_bars_and_from_nothing_else():
    output = io.StringIO()
    for _ in tqdm(range(40), desc="a: b, animal 2: segmenting", file=output, mininterval=0):
        pass
    bars = [parse_progress(line) for line in output.getvalue().split("\r") if line]
    assert [bar.done for bar in bars if bar][0] == 0
    assert bars[-1].title == "segmenting" and (bars[-1].done, bars[-1].total) == (40, 40)
    slow = "hen: writing masks:  35%|###5      | 70/200 [00:12<1:02:05,  4.2step/s, loss=0.3]"
    assert parse_progress(slow).seconds_left == 3725
    for line in ("error: 100%| wrong", "hen: 6 masks, J 0.9", "", "J 50%|"):
        assert parse_progress(line) is None


def test_a_process_that_ends_without_a_word_is_no_riddle(tmp_path):
    run = BackgroundRun()
    run.start([sys.executable, "-c", "import os; os._exit(3)"], tmp_path)
    end = time.monotonic() + 300
    while run.status()["state"] == "running" and time.monotonic() < end:
        time.sleep(0.02)
    assert run.status()["state"] == "failed" and run.status()["error"]


# Results


def write_results(task, frames=NUM_FRAMES, confidence=None):
    folder = task.results / paths.SEGMENTATION / "hen"
    for index in range(frames):
        write_label(folder / f"{index:05d}.png", ellipse(index))
    run_dir = task.results / paths.RUNS / "hen"
    write_json(run_dir / paths.RUN_FILE, {"num_frames": frames, "labelled_frames": [2]})
    if confidence:
        write_json(run_dir / paths.CONFIDENCE_FILE, {"confidence": confidence})


def test_results_are_shown_when_the_video_is_done_and_of_this_video(client, task):
    assert client.get("/api/results").get_json() == {"available": False}
    write_results(task, frames=NUM_FRAMES - 1)  # of another cut of the video
    assert client.get("/api/results").get_json() == {"available": False}
    write_results(task, confidence=[0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.3, 0.9])
    results = client.get("/api/results").get_json()
    assert results["available"] and results["labelled"] == [2]
    assert results["check_first"][0] == 6 and len(results["confidence"]) == NUM_FRAMES
    assert not results["has_overlay"]
    np.testing.assert_array_equal(labels_of(client.get("/api/masks/result/6")), ellipse(6))


def test_a_result_of_another_size_is_refused_by_name(client, task):
    write_results(task)
    path = task.results / paths.SEGMENTATION / "hen" / "00006.png"
    write_label(path, ellipse(6)[:-1])
    response = client.get("/api/masks/result/6")
    assert response.status_code == 422 and "00006.png" in response.get_json()["error"]


def test_the_overlay_can_be_sought_in(client, task):
    task.overlay_path.parent.mkdir(parents=True)
    task.overlay_path.write_bytes(bytes(range(100)))
    response = client.get("/api/overlay.mp4", headers={"Range": "bytes=10-19"})
    assert response.status_code == 206 and response.data == bytes(range(10, 20))
    assert response.mimetype == "video/mp4"


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


# The network


def wait_for_network(client, seconds=300) -> dict:
    end = time.monotonic() + seconds
    while (status := client.get("/api/network").get_json())["state"] == "loading":
        assert time.monotonic() < end
        time.sleep(0.02)
    return status


def click_on(client, x, y) -> np.ndarray:
    request = {"animal": 1, "clicks": [{"x": x, "y": y, "positive": True}]}
    return labels_of(client.post("/api/segment/3", data={"request": json.dumps(request)}))


def test_clicks_do_not_wait_for_the_network_and_use_it_once_it_is_there(task):
    may_load, seen = threading.Event(), np.zeros((HEIGHT, WIDTH), bool)
    seen[10:50, 100:150] = True

    def load():
        may_load.wait(300)
        return network_that_sees(seen)

    client = create_app(task, TOKEN, BackgroundNetwork(load)).test_client()
    client.get(f"/?token={TOKEN}")
    assert client.get("/api/network").get_json()["state"] == "loading"
    assert overlap(click_on(client, 75, 60), ellipse(3)) > 0.9
    may_load.set()
    assert wait_for_network(client) == {"state": "ready", "reason": None}
    assert overlap(click_on(client, 125, 30), seen) > 0.9


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
    with pytest.raises(InputError, match=str(tmp_path)):
        annotate.load_network(HEIGHT, WIDTH)


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


# The script


def test_the_first_frame_is_the_selected_one_else_the_middle_one(dataset):
    task = annotate.open_task(annotate.Config(dataset=dataset))
    assert task.first_frame == NUM_FRAMES // 2
    folder = paths.frame_selection_dir(dataset, "hen")
    folder.mkdir(parents=True)
    (folder / "BNLF.txt").write_text("BNLF\n5\n00005.jpg\n")
    task = annotate.open_task(annotate.Config(dataset=dataset, sequence="hen"))
    assert task.first_frame == 5 and "BNLF" in task.first_reason
    (folder / "rule.txt").write_text("rule\n1\n00001.png\n")  # trusted more
    assert annotate.open_task(annotate.Config(dataset=dataset)).first_frame == 1


def test_the_first_video_without_a_label_is_taken(dataset, capsys):
    (dataset / "JPEGImages" / "480p" / "zebra").symlink_to(dataset / "JPEGImages" / "480p" / "hen")
    assert annotate.open_task(annotate.Config(dataset=dataset)).sequence.name == "hen"
    write_label(paths.LABELS / "hen" / "00001.png", ellipse(1))
    assert annotate.open_task(annotate.Config(dataset=dataset)).sequence.name == "zebra"
    assert "--sequence NAME" in capsys.readouterr().out


def test_wrong_flags_and_bad_videos_are_one_line(dataset, tmp_path):
    def fails(error, **flags):
        with pytest.raises(error) as caught:
            annotate.main(annotate.Config(no_browser=True, **flags))
        assert "\n" not in str(caught.value)
        return str(caught.value)

    fails(UsageError, dataset=dataset, sequence="cat")
    fails(UsageError, dataset=dataset, video=tmp_path / "a.mp4")
    fails(UsageError, dataset=dataset, port=70000)
    fails(InputError, video=tmp_path / "none.mp4")
    (tmp_path / "empty.mp4").write_bytes(b"")
    fails(InputError, video=tmp_path / "empty.mp4")
    with av.open(str(tmp_path / "song.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert "audio" in fails(InputError, video=tmp_path / "song.mp4")
    write_video(tmp_path / "whole.mp4", (picture(i) for i in range(30)), None, 10)
    data = (tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) // 2])
    fails(InputError, video=tmp_path / "cut.mp4")
    (tmp_path / "two").mkdir()
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / "two" / name).write_bytes(data)
    assert "a, b" in fails(UsageError, video=tmp_path / "two")


def test_the_script_serves_the_page_loads_the_network_and_ends_with_ctrl_c(tmp_path):
    cockatoo = paths.SAMPLE_DATASET / "JPEGImages" / "480p" / "cockatoo" / "00020.jpg"
    (tmp_path / "hen").mkdir()
    shutil.copy(cockatoo, tmp_path / "hen")
    command = [sys.executable, str(paths.ROOT / "annotate.py"), "--no-browser"]
    process = subprocess.Popen(
        [*command, "--video", "hen"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    try:
        line = next(line for line in process.stdout if "http" in line)
        address = re.search(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{40,}", line)[0]
        with browser.open(address, timeout=300) as answer:
            assert b"<canvas" in answer.read()
        root = address.partition("?")[0]
        status = {"state": "loading"}
        end = time.monotonic() + 600
        while status["state"] == "loading" and time.monotonic() < end:
            time.sleep(0.1)
            with browser.open(f"{root}api/network", timeout=300) as answer:
                status = json.load(answer)
        assert status == {"state": "ready", "reason": None}
        assert "weights/" in next(line for line in process.stdout if "Clicks use" in line)
        process.send_signal(signal.SIGINT)
        assert process.wait(300) == 0
    finally:
        process.kill()
        process.wait()
