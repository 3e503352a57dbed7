"""annotate.py itself: the frame and video that it opens, its flags, its browser, its end.

The page is tried in test_annotate_browser.py.
"""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request

import av
import numpy as np
import pytest

import annotate
from tests.bright_hen import NUM_FRAMES, ellipse, picture
from utils import paths
from utils.errors import InputError, UsageError
from utils.media.images import write_mask
from utils.media.video_writing import write_video


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
    write_mask(paths.LABELS / "hen" / "00001.png", ellipse(1))
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
