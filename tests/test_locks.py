"""Locks: one process at a time, whatever became of the one before."""

import os
import subprocess
import sys

import pytest

from utils import paths
from utils.errors import InputError
from utils.files import hold_lock

pytest.importorskip("fcntl")
HOLDER = """
import sys, time
from pathlib import Path
from utils.files import hold_lock
with hold_lock(Path(sys.argv[1]), "hen"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds tmp_path/runs/lock."""
    arguments = [sys.executable, "-c", HOLDER, str(tmp_path / "runs" / "lock")]
    process = subprocess.Popen(arguments, cwd=paths.ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_process_is_refused_and_told_of_the_first(tmp_path, holder):
    lock = tmp_path / "runs" / "lock"
    with pytest.raises(InputError) as error, hold_lock(lock, "hen"):
        pytest.fail("both hold it")
    assert f"hen: process {holder.pid} on " in str(error.value) and str(lock) in str(error.value)
    assert lock.exists()  # it is still the other's


def test_the_lock_of_a_killed_process_is_no_hindrance(tmp_path, holder):
    lock = tmp_path / "runs" / "lock"
    holder.kill()
    holder.wait()
    assert lock.exists()
    with hold_lock(lock, "hen"):
        assert f"process {os.getpid()} on " in lock.read_text()
    assert not lock.exists()


def test_a_lock_is_gone_after_an_error(tmp_path):
    lock = tmp_path / "lock"
    with pytest.raises(KeyboardInterrupt), hold_lock(lock, "hen"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    with hold_lock(lock, "hen"):
        pass


def test_a_lock_excludes_within_one_process_too(tmp_path):
    with hold_lock(tmp_path / "lock", "hen"):
        with pytest.raises(InputError, match="at work on it"), hold_lock(tmp_path / "lock", "hen"):
            pytest.fail("held twice")
