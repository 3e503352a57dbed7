"""Crops from processes: the same weights as from threads, and no process outlives the training."""

import os
import signal
import subprocess
import sys

import psutil
import pytest

import train_pascal_base
from utils.errors import InputError, UsageError
from utils.training.weights import read_weights


def test_training_with_processes_gives_the_same_weights(stage_config, tmp_path):
    for processes in (0, 2):
        output = tmp_path / f"weights{processes}"
        train_pascal_base.main(stage_config(output=output, loader_processes=processes, steps=4))
    one, two = (read_weights(tmp_path / f"weights{n}/deeplab.last.safetensors")[0] for n in (0, 2))
    assert all((one[name] == two[name]).all() for name in one)
    assert not any("spawn_main" in " ".join(p.cmdline()) for p in psutil.Process().children())


def test_an_image_that_cannot_be_read_is_named_and_ends_all_processes(stage_config, pairs):
    for image in (pairs / "JPEGImages").iterdir():
        image.write_bytes(b"no image")
    with pytest.raises(InputError, match="jpg"):
        train_pascal_base.main(stage_config(loader_processes=2, steps=4))
    assert not any("spawn_main" in " ".join(p.cmdline()) for p in psutil.Process().children())


@pytest.mark.parametrize("processes", [-1, 62])
def test_a_number_of_processes_that_cannot_be_is_refused(stage_config, processes):
    with pytest.raises(UsageError, match="loader-processes must be 0 to 61"):
        train_pascal_base.main(stage_config(loader_processes=processes, dry_run=True))


SCRIPT = """
import numpy as np
from utils.training.augmentation import AUGMENTATIONS
from utils.training.batches import Batches, FrameSample

if __name__ == "__main__":
    sample = FrameSample(np.zeros((40, 40, 3), "uint8"), np.ones((40, 40), "uint8"))
    # More than fits into a pipe at once.
    batches = Batches([sample] * 5000, (16, 16), 4, 2, AUGMENTATIONS["base"], 0, processes=2)
    batches[0]
    print("ready", flush=True)
    batches[1]
    input()
"""


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("kind", ["SIGKILL", "SIGTERM"])
def test_no_process_outlives_a_training_that_is_killed(tmp_path, kind):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    parent = subprocess.Popen(
        [sys.executable, script],
        env=os.environ | {"PYTHONPATH": os.getcwd(), "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        assert parent.stdout.readline() == "ready\n"
        children = psutil.Process(parent.pid).children()
        hidden = [child.environ().get("CUDA_VISIBLE_DEVICES") for child in children]
        loaders = [c for c in children if "spawn_main" in " ".join(c.cmdline())]
        assert len(loaders) == 2 and hidden.count("") >= 2
        parent.send_signal(getattr(signal, kind))
    gone, alive = psutil.wait_procs(loaders, timeout=60)
    assert not alive and len(gone) == 2
