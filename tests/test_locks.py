"""Locks: one process at a time, whatever became of the one before, on every system."""

import errno
import os
import subprocess
import sys

import filelock
import pytest

from utils import paths
from utils.errors import InputError
from utils.files import hold_lock

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


@pytest.fixture
def as_on_windows(monkeypatch):
    """No file that this process has open can be removed."""
    remove = os.unlink

    def is_open(path) -> bool:
        wanted = os.stat(path)
        for descriptor in range(256):
            try:
                if os.path.samestat(os.fstat(descriptor), wanted):
                    return True
            except OSError:
                pass
        return False

    def unlink(path, *arguments, **options):
        if os.path.exists(path) and is_open(path):
            raise PermissionError(errno.EACCES, "The file is used by another process", str(path))
        remove(path, *arguments, **options)

    monkeypatch.setattr(os, "unlink", unlink)
    monkeypatch.setattr(os, "remove", unlink)


def test_a_second_process_is_refused_and_told_of_the_first(tmp_path, holder):
    lock = tmp_path / "runs" / "lock"
    with pytest.raises(InputError) as error, hold_lock(lock, "hen"):
        pytest.fail("both hold it")
    assert f"hen: process {holder.pid} on " in str(error.value) and str(lock) in str(error.value)
    assert lock.exists()  # it is still the other's


def test_the_lock_of_a_killed_process_is_no_obstacle(tmp_path, holder):
    lock = tmp_path / "runs" / "lock"
    holder.kill()
    holder.wait()
    assert lock.exists()
    with hold_lock(lock, "hen"):
        assert f"process {os.getpid()} on " in (lock.parent / "lock.holder").read_text()
    assert list(lock.parent.iterdir()) == []


def test_a_lock_is_free_and_its_files_are_gone_after_an_error(tmp_path):
    lock = tmp_path / "lock"
    with pytest.raises(KeyboardInterrupt), hold_lock(lock, "hen"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    with hold_lock(lock, "hen"):
        pass


def test_a_lock_excludes_within_one_process_too(tmp_path):
    with hold_lock(tmp_path / "lock", "hen"):
        with (
            pytest.raises(InputError, match="has been working on it since"),
            hold_lock(tmp_path / "lock", "hen"),
        ):
            pytest.fail("held twice")


def test_the_files_of_a_lock_with_a_suffix_keep_the_suffix(tmp_path):
    with hold_lock(tmp_path / "deeplab.lock", "training"):
        names = {path.name for path in tmp_path.iterdir()}
    assert names == {"deeplab.lock", "deeplab.holder.lock"}  # .gitignore has *.lock


def test_a_lock_file_that_cannot_be_removed_while_open_costs_nothing(tmp_path, as_on_windows):
    lock = tmp_path / "lock"
    for _ in range(2):
        with hold_lock(lock, "hen"):
            with pytest.raises(PermissionError):
                lock.unlink()  # the simulation works
    with pytest.raises(ValueError, match="ours"), hold_lock(lock, "hen"):
        raise ValueError("ours")


def test_a_file_system_without_locks_does_not_stop_the_work(tmp_path, monkeypatch, capsys):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(filelock.FileLock, "_acquire", refuse)
    done = False
    with hold_lock(tmp_path / "lock", "hen"):
        done = True
    assert done and "no locks" in capsys.readouterr().out


def test_without_flock_a_marker_file_excludes_a_second_process(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")  # where it is missing, this is what happens anyway

    def missing(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", missing)
    with pytest.warns(UserWarning, match="flock"), hold_lock(tmp_path / "lock", "hen"):
        with (
            pytest.raises(InputError, match="has been working on it since"),
            hold_lock(tmp_path / "lock", "hen"),
        ):
            pytest.fail("held twice")
    with hold_lock(tmp_path / "lock", "hen"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_no_missing_lock(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(filelock.FileLock, "_acquire", refuse)
    with pytest.raises(OSError, match="No space left"), hold_lock(tmp_path / "lock", "hen"):
        pytest.fail("the block was entered")
