"""docs/cluster.md on a real Slurm: six videos, four slots, one task killed and requeued."""

import stat
import sys

import numpy as np
import pytest
from PIL import Image

from tests.slurm import missing, running_slurm, wait_for
from tests.stage3_world import World, animal, frame, small_stage3_in
from utils import paths
from utils.media.video_writing import write_video

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(missing()), reason=missing()),
]

# Stands for `python finetune_test.py`: the tiny network. The first try of the video `bee` stops
# after four frames and waits to be killed.
STAND_IN = """#!{python}
import os, sys, time
sys.path.insert(0, {root!r})
from pathlib import Path
from utils import backend
import finetune_test
from tests.stage3_world import small_stage3_in
from utils import paths
from utils.command_line import run_script
from utils.stage3 import pipeline

real, calls = pipeline.Pipeline._predict, []

def predict(self, animal, frame):
    calls.append(frame.index)
    if self.video.name == "bee" and "SLURM_RESTART_COUNT" not in os.environ and len(calls) > 4:
        Path({reached!r}).touch()
        while True:
            time.sleep(1)
    return real(self, animal, frame)

pipeline.Pipeline._predict = predict
sys.argv = sys.argv[1:]  # without this script's own name
with small_stage3_in(Path({folder!r})):
    run_script(finetune_test.main, finetune_test.Config, None)
"""


def write_stand_in(folder):
    path = folder / "python"
    values = {
        "python": sys.executable,
        "root": str(paths.ROOT),
        "reached": str(folder / "reached"),
        "folder": str(folder),
    }
    path.write_text(STAND_IN.format(**values))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def add_videos(folder, names):
    folder.mkdir()
    for name in names:
        write_video(folder / f"{name}.mp4", (frame(index) for index in range(6)), None, 10)


def test_a_task_that_is_killed_and_requeued_ends_with_the_same_masks(tmp_path, weights_file):
    names = ("ant", "bee", "cow", "dog", "elk", "fox")
    add_videos(tmp_path / "labelled", ["hen"])
    add_videos(tmp_path / "others", names)
    label = tmp_path / "labels" / "hen" / "00002.png"
    label.parent.mkdir(parents=True)
    Image.fromarray(animal(2) * np.uint8(255)).save(label)
    python, reached, results = write_stand_in(tmp_path), tmp_path / "reached", tmp_path / "results"
    network = tmp_path / "fine_tune_weights" / "together" / "deeplab.safetensors"
    variables = {
        "PYTHON": str(python),
        "RESULTS": str(results),
        "LABELLED": str(tmp_path / "labelled"),
        "VIDEOS": str(tmp_path / "others"),
        "NETWORK": str(network),
    }
    flags = ("--preset", "fast", "--precision", "float32")
    (tmp_path / "slurm").mkdir()
    with running_slurm(tmp_path / "slurm", slots=4) as slurm:

        def submit(*command):
            options = ("--parsable", "--cpus-per-task=1", f"--output={tmp_path}/%x-%a.log")
            return slurm("sbatch", *options, *command, *flags, **variables)

        train = submit("docs/cluster_train.sbatch", "--weights", str(weights_file))
        array = submit(
            f"--dependency=afterok:{train}", "--array=1-6", "docs/cluster_segment.sbatch"
        )
        wait_for(lambda: slurm.has_ended(train), "the network is trained")
        logs = "\n".join(path.read_text() for path in tmp_path.glob("animals-train*.log"))
        assert slurm.states(train) == {"COMPLETED"} and network.is_file(), logs
        wait_for(reached.exists, "bee's first try is under way")
        slurm("scontrol", "requeue", f"{array}_2")
        wait_for(lambda: slurm.has_ended(array), "all tasks have ended")
        logs = "\n".join(path.read_text() for path in tmp_path.glob("animals-segment*.log"))
        assert slurm.states(array) == {"COMPLETED"}, logs
    world = World(tmp_path / "world", weights_file)
    videos = tuple(tmp_path / "others" / f"{name}.mp4" for name in names)
    with small_stage3_in(tmp_path / "undisturbed"):
        assert world.run(video=videos, weights=None, fine_tuned=network) == 0
    for name in names:
        expected = world.masks(name)
        world.results, undisturbed = results, world.results
        np.testing.assert_array_equal(world.masks(name), expected)
        world.results = undisturbed
    assert not (results / "runs" / "bee" / "partial").exists()
