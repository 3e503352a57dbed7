"""Stage 3 from the page: the command, its progress, and its results."""

import os
import shlex
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.bright_hen import NUM_FRAMES, ellipse
from tests.page_client import PATIENCE_SECONDS, labels_of, png, wait_for
from utils import paths
from utils.annotator.background_run import BackgroundRun, Progress, ProgressClock, parse_progress
from utils.annotator.task import AnnotationTask
from utils.files import write_json
from utils.media.labels import write_label

# The next command and the run


def test_the_next_command_uses_all_labels(task, client):
    client.post("/api/labels/2", data=png(np.uint8(ellipse(2))))
    assert "--guidance" not in task.next_command()
    answer = client.post("/api/labels/6", data=png(np.uint8(ellipse(6)))).get_json()
    assert answer["command"].endswith(
        "--sequences hen --guidance 2,6 --results " + str(task.results)
    )
    assert answer["command"].startswith("python ")


def test_there_is_a_next_command_for_each_preset(task, client):
    for index in (2, 6):
        answer = client.post(f"/api/labels/{index}", data=png(np.uint8(ellipse(index)))).get_json()
    commands = answer["commands"]
    assert list(commands) == client.get("/api/video").get_json()["presets"]
    assert commands["default"] == answer["command"] == task.next_command()
    for preset in set(commands) - {"default"}:
        assert f"--guidance 2,6 --preset {preset} --results" in commands[preset]


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
    from utils.command_line import parse_config
    from utils.stage3.presets import PRESETS

    assert client.get("/api/video").get_json()["presets"] == list(PRESETS)
    for index in (2, 6):
        client.post(f"/api/labels/{index}", data=png(np.uint8(ellipse(index))))
    config = parse_config(finetune_test.Config, "", task.run_command("fast")[2:])
    assert config.progress == "json"
    assert config.guidance == "2,6" and config.preset == "fast" and config.sequences == ("hen",)
    assert AnnotationTask(task.sequence, 0, "", ()).stage3 == Path(finetune_test.__file__)


STAGE3 = """
import json, sys, time
from pathlib import Path
print("hen: 8 frames", flush=True)
for step in range(21):
    progress = {"title": "hen: fine-tuning", "done": step, "total": 20, "unit": "step", "loss": 0.1}
    print(json.dumps(progress), flush=True)
    while step == 10 and not Path(__file__).with_name("continue").exists():
        time.sleep(0.01)
print("\\n".join(sys.argv[1:]))
%s
"""


def let_stage3_go_on(task):
    """Else it stops at step 10 of 20, however slow the machine."""
    task.stage3.with_name("continue").touch()


def is_running(status) -> bool:
    return status["state"] == "running"


def is_over(status) -> bool:
    return not is_running(status)


def test_a_run_shows_its_progress_and_its_end(client, task):
    task.stage3.write_text(STAGE3 % "")
    assert client.get("/api/run").get_json()["state"] == "idle"
    assert client.post("/api/run", json={"preset": "fast"}).status_code == 409  # nothing labelled
    client.post("/api/labels/2", data=png(np.uint8(ellipse(2))))
    for bad in ({"preset": "; rm"}, {}, [], None):
        assert client.post("/api/run", json=bad).status_code == 400
    assert client.post("/api/run", json={"preset": "fast"}).status_code == 200
    assert client.post("/api/run", json={"preset": "fast"}).status_code == 409  # one at a time
    status = wait_for(client, "/api/run", lambda status: status["done"] == 10 or is_over(status))
    assert (status["state"], status["title"], status["total"]) == ("running", "fine-tuning", 20)
    let_stage3_go_on(task)
    status = wait_for(client, "/api/run", is_over)
    assert status["state"] == "done" and status["error"] is None and status["done"] == 20
    assert status["lines"][:3] == ["hen: 8 frames", "--dataset", task.input_flags[1]]
    assert status["lines"][-6:-2] == ["--preset", "fast", "--results", str(task.results)]
    assert status["lines"][-2:] == ["--progress", "json"]


def test_a_run_that_fails_says_why_in_one_line(client, task):
    task.stage3.write_text(STAGE3 % "print('error: hen: no room', file=sys.stderr); exit(1)")
    let_stage3_go_on(task)
    client.post("/api/labels/2", data=png(np.uint8(ellipse(2))))
    client.post("/api/run", json={"preset": "default"})
    assert wait_for(client, "/api/run", is_over)["error"] == "hen: no room"


def test_a_run_can_be_cancelled_and_started_again(client, task):
    task.stage3.write_text(STAGE3 % "")
    client.post("/api/labels/2", data=png(np.uint8(ellipse(2))))
    client.post("/api/run", json={"preset": "default"})
    client.post("/api/run/cancel")
    status = wait_for(client, "/api/run", is_over)
    assert status["state"] == "cancelled" and status["error"] is None
    let_stage3_go_on(task)
    assert client.post("/api/run", json={"preset": "default"}).status_code == 200
    status = wait_for(client, "/api/run", is_over)
    assert status["state"] == "done" and status["title"] == "fine-tuning"


def test_the_preview_of_this_run_is_shown_and_none_of_the_run_before(client, task):
    def preview() -> int | None:
        return client.get("/api/run").get_json()["preview"]

    task.stage3.write_text(STAGE3 % "")
    client.post("/api/labels/2", data=png(np.uint8(ellipse(2))))
    assert client.get("/api/preview.png").status_code == 404
    client.post("/api/run", json={"preset": "default"})
    assert preview() is None
    task.preview_path.parent.mkdir(parents=True)
    task.preview_path.write_bytes(png(np.uint8(ellipse(2))))
    assert preview() == task.preview_path.stat().st_mtime_ns
    assert client.get("/api/preview.png").data == task.preview_path.read_bytes()
    client.post("/api/run/cancel")
    assert preview()
    assert client.post("/api/run", json={"preset": "default"}).get_json()["preview"] is None
    os.utime(task.preview_path, ns=(0, 10**18))  # written anew
    assert preview() == 10**18
    # A run that continues the one before does not write it again.
    client.post("/api/run/cancel")
    assert client.post("/api/run", json={"preset": "default"}).get_json()["preview"] is None
    wait_for(client, "/api/run", lambda status: status["title"] is not None)
    assert preview() == 10**18


def test_progress_is_read_from_lines_of_json_and_from_nothing_else():
    line = '{"title": "a: b, animal 2: segmenting", "done": 7, "total": 40, "unit": "frame"}'
    assert parse_progress(line) == Progress("a: b, animal 2: segmenting", 7, 40)
    for text in (
        "",
        "hen: 6 masks, J 0.9",
        line[:-1],
        f"hen {line}",
        "[]",
        "{}",
        line.replace("7", "41"),
        line.replace("7", "-1"),
        line.replace("7", "true"),
        line.replace("40", "null"),
        line.replace('"done"', '"did"'),
    ):
        assert parse_progress(text) is None


def test_the_time_left_goes_by_the_pace_since_this_part_of_the_work_began():
    clock = ProgressClock()
    assert clock.seconds_left() is None
    for step, now in ((300, 5.0), (310, 10.0), (320, 25.0)):  # continued: 300 were done before
        clock.update(Progress("hen: fine-tuning", step, 500), now)
    assert clock.seconds_left() == 180  # a second per step
    clock.update(Progress("hen: segmenting", 0, 40), 30.0)
    assert clock.seconds_left() is None
    clock.update(Progress("hen: segmenting", 10, 40), 50.0)
    assert clock.seconds_left() == 60
    clock.update(Progress("hen: segmenting", 1, 40), 51.0)  # started again
    assert clock.seconds_left() is None


def test_lines_of_both_streams_are_read_whatever_ends_them(tmp_path):
    script = """
import sys
sys.stdout.buffer.write("h\\u00fchner\\r\\n".encode() + b"caf\\xe9\\r50%\\r100%\\nlast")
sys.stdout.flush()
sys.exit("error: hen: no room")
"""
    run = BackgroundRun()
    run.start([sys.executable, "-c", script], tmp_path)
    status = wait_until_over(run)
    assert status["lines"][:4] == ["h\u00fchner", "caf\ufffd", "50%", "100%"]
    assert status["state"] == "failed" and "hen: no room" in status["error"]


def test_a_process_that_ends_without_a_message_is_no_riddle(tmp_path):
    run = BackgroundRun()
    run.start([sys.executable, "-c", "import os; os._exit(3)"], tmp_path)
    status = wait_until_over(run)
    assert status["state"] == "failed" and status["error"]


def wait_until_over(run: BackgroundRun) -> dict:
    end = time.monotonic() + PATIENCE_SECONDS
    while is_running(status := run.status()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return status


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


def test_a_frame_that_was_redrawn_is_not_to_be_checked_first(client, task):
    confidence = [0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.3, 0.9]
    write_results(task, confidence=confidence)
    redrawn = {"animals": [1], "first": 6, "last": 6, "drawn": 6, "kind": "masks"}
    content = {
        "num_frames": NUM_FRAMES,
        "frames_sha256": "",
        "are_masks_written": True,
        "is_overlay_written": True,
        "corrections": [{"number": 1, **redrawn, "holds_in": [[6, 6]], "note": ""}],
    }
    run_dir = task.results / paths.RUNS / "hen"
    write_json(run_dir / paths.CORRECTIONS_FILE, content)
    check_first = client.get("/api/results").get_json()["check_first"]
    assert check_first and 6 not in check_first


def test_why_the_result_of_a_part_is_not_shown_is_said(client, task):
    write_results(task, frames=4)
    record = {"num_frames": 4, "labelled_frames": [2], "part": [0, 4]}
    write_json(task.results / paths.RUNS / "hen" / paths.RUN_FILE, record)
    results = client.get("/api/results").get_json()
    assert not results["available"] and "frames 0 to 3" in results["reason"]
    assert "(--frames)" in client.get("/api/corrections").get_json()["reason"]


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
