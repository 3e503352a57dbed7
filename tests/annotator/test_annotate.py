"""annotate.py itself: the frame and video that it opens, its flags, its browser, its end.

The page itself is tested in test_browser_*.py.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import av
import numpy as np
import pytest

import annotate
import finetune_test
from tests.bright_hen import NUM_FRAMES, ellipse, picture
from tests.page_client import PATIENCE_SECONDS, TOKEN, png
from utils import paths
from utils.annotator.segment_click import ClickSegmenter
from utils.command_line import parse_config
from utils.errors import InputError, UsageError
from utils.files import write_json
from utils.media.labels import write_label
from utils.media.video_writing import write_video
from utils.media.videos import FrameFolder


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


def test_a_selection_for_other_frames_is_not_followed_and_that_is_said(dataset):
    folder = paths.frame_selection_dir(dataset, "hen")
    folder.mkdir(parents=True)
    (folder / "rule.txt").write_text("rule\n5\n00005.png\n")
    frames = FrameFolder(dataset / "JPEGImages" / "480p" / "hen")
    rankings = {"rule": [5, 4]}
    for key, first, words in (
        ({"frames": frames.sha256()}, 5, "rule"),
        ({"frames": "of another video"}, NUM_FRAMES // 2, "chosen for other frames"),
    ):
        write_json(folder / paths.SELECTION_RECORD, {"key": key, "rankings": rankings})
        task = annotate.open_task(annotate.Config(dataset=dataset))
        assert task.first_frame == first and words in task.first_reason


def test_an_outdated_selection_of_a_longer_video_is_no_obstacle(dataset):
    folder = paths.frame_selection_dir(dataset, "hen")
    folder.mkdir(parents=True)
    (folder / "rule.txt").write_text("rule\n99\n00099.png\n")
    record = {"key": {"frames": "of a longer video"}, "rankings": {"rule": [99]}}
    write_json(folder / paths.SELECTION_RECORD, record)
    task = annotate.open_task(annotate.Config(dataset=dataset))
    assert task.first_frame == NUM_FRAMES // 2 and "for other frames" in task.first_reason


def test_results_of_another_folder_are_reviewed_and_run_into(dataset, tmp_path):
    results = tmp_path / "study"
    task = annotate.open_task(annotate.Config(dataset=dataset, results=results))
    assert task.overlay_path == results / "overlay" / "hen.mp4"
    assert task.stage3_flags()[-2:] == ["--results", str(results)]


def test_the_first_video_without_a_label_is_taken(dataset, capsys):
    (dataset / "JPEGImages" / "480p" / "zebra").symlink_to(dataset / "JPEGImages" / "480p" / "hen")
    assert annotate.open_task(annotate.Config(dataset=dataset)).sequence.name == "hen"
    write_label(paths.LABELS / "hen" / "00001.png", ellipse(1))
    assert annotate.open_task(annotate.Config(dataset=dataset)).sequence.name == "zebra"
    assert "--sequence NAME" in capsys.readouterr().out


@pytest.mark.parametrize("name", [None, "-day1"])
def test_the_next_command_takes_names_that_begin_with_a_hyphen(
    dataset, tmp_path, monkeypatch, name
):
    """They were taken for flags: a Path has dropped the ./ before them."""
    (dataset / "JPEGImages" / "480p" / "hen").rename(dataset / "JPEGImages" / "480p" / "-hen")
    monkeypatch.chdir(dataset / "JPEGImages" / "480p")
    flags = {"video": Path("./-hen"), "name": name} if name else {"dataset": dataset}
    task = annotate.open_task(annotate.Config(results=Path("./-out"), **flags))
    for words in (task.run_command("fast")[2:-2], shlex.split(task.next_command())[2:]):
        config = parse_config(finetune_test.Config, "", words)
        assert config.results == Path("-out") and config.name == name
        assert (config.video, config.sequences) == (
            ((Path("-hen"),), ()) if name else ((), ("-hen",))
        )


def test_wrong_flags_and_bad_videos_are_one_line(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(annotate, "load_segmenter", lambda frame, image: None)

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


class Script:
    """annotate.py as a process, with a short video of its own."""

    def __init__(self, folder: Path, *flags: str, **environment: str):
        cockatoo = paths.SAMPLE_DATASET / "JPEGImages" / "480p" / "cockatoo" / "00020.jpg"
        (folder / "hen").mkdir()
        shutil.copy(cockatoo, folder / "hen")
        self.process = subprocess.Popen(
            [sys.executable, str(paths.ROOT / "annotate.py"), "--video", "hen", *flags],
            cwd=folder,
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def line_with(self, word: str) -> str:
        """The next line of its output that has a word in it."""
        return next(line for line in self.process.stdout if word in line)

    def address(self) -> str:
        return re.search(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{40,}", self.line_with("http"))[0]

    def end(self) -> int:
        """Ctrl-C. Returns: the status."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(PATIENCE_SECONDS)


def test_the_script_loads_the_network_at_once_serves_the_page_and_ends_with_ctrl_c(tmp_path):
    with Script(tmp_path, "--no-browser") as script:
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        address = script.address()
        assert "weights/" in script.line_with("Clicks use")  # nobody has opened the page
        with browser.open(address, timeout=PATIENCE_SECONDS) as answer:
            assert b"<canvas" in answer.read()
        root = address.partition("?")[0]
        status = {"state": "loading"}  # the line comes a moment before
        end = time.monotonic() + PATIENCE_SECONDS
        while status["state"] == "loading" and time.monotonic() < end:
            with browser.open(f"{root}api/network", timeout=PATIENCE_SECONDS) as answer:
                status = json.load(answer)
        assert status == {"state": "ready", "reason": None}
        assert script.end() == 0


def test_what_was_drawn_and_not_saved_is_named_at_the_end(dataset, tmp_path, monkeypatch, capsys):
    def serve(server, *_):
        client = server.app.test_client()
        client.get(f"/?token={TOKEN}")
        for frame in (1, 2, 5):
            client.post(f"/api/drafts/{frame}", data=png(np.uint8(ellipse(frame))))
        client.post("/api/labels/2", data=png(np.uint8(ellipse(2))))
        server.server_close()

    monkeypatch.setattr(annotate, "serve", serve)
    monkeypatch.setattr(annotate, "load_segmenter", lambda *_: ClickSegmenter())
    monkeypatch.setattr(annotate.secrets, "token_urlsafe", lambda _: TOKEN)
    monkeypatch.setattr(annotate.signal, "signal", lambda *_: None)
    annotate.main(annotate.Config(dataset=dataset, results=tmp_path / "results", no_browser=True))
    out = capsys.readouterr().out
    assert "not saved: frame 1, 5.\n" in out
    # Without its name, the next video would be opened, as this one has a label now.
    assert re.search(r"the same command with --port [1-9]\d* --sequence hen, open", out)


# Stands for a browser: notes its arguments, and what is in the file that it is to open.
BROWSER = """#!/bin/sh
printf '%s\\n' "$@" > "$NOTES.part"
file=${1#file://}
ls -ld "$(dirname "$file")" "$file" >> "$NOTES.part"
cat "$file" >> "$NOTES.part"
mv "$NOTES.part" "$NOTES"
"""


@pytest.mark.skipif(os.name == "nt", reason="the browser of this test is a shell script")
def test_the_token_is_in_no_command_line_but_in_a_file_of_the_users_own(tmp_path):
    notes, browser = tmp_path / "notes.txt", tmp_path / "browser"
    browser.write_text(BROWSER)
    browser.chmod(0o700)
    with Script(tmp_path, BROWSER=str(browser), NOTES=str(notes)) as script:
        address = script.address()
        end = time.monotonic() + PATIENCE_SECONDS
        while not notes.exists():
            assert time.monotonic() < end
            time.sleep(0.02)
        argument, *lines = notes.read_text().splitlines()
        assert address.partition("token=")[2] not in argument
        path = Path(argument.removeprefix("file://"))
        folder, file, *content = lines
        assert path.is_file()
        assert folder.startswith("drwx------") and file.startswith("-rw-------")
        assert f'content="0; url={address}"' in "".join(content)
        assert script.end() == 0
        assert not path.exists() and not path.parent.exists()
