"""Files that appear whole or not at all, their sha256, and locks."""

import contextlib
import datetime
import errno
import hashlib
import json
import os
import platform
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from utils.errors import InputError

try:
    import fcntl
except ImportError:  # Windows: two processes on one video are not noticed there
    fcntl = None


def write_atomically(path: Path, write: Callable[[Path], Any]) -> None:
    """Writes a file aside and renames it, so that no reader and no kill ever sees half of it.

    Args:
        path: the file to write or replace; missing folders are made.
        write: called with a hidden path in the same folder and with the same suffix.

    Raises: whatever `write` raises; `path` is then as before and nothing is left beside it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without the file's own name: it may be as long as the file system allows.
    aside = path.with_name(f".writing-{os.getpid()}-{secrets.token_hex(4)}{path.suffix}")
    try:
        write(aside)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def move_into_place(source: Path, target: Path) -> None:
    """Moves a finished file to where it belongs, so that it appears there whole even if that is on
    another disk (a results folder may hold links)."""
    try:
        os.replace(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        write_atomically(target, lambda aside: shutil.copyfile(source, aside))
        source.unlink()


def write_json(path: Path, content: Any) -> None:
    """Writes `content` as UTF-8 JSON, indented by two, keys in the order given, atomically."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomically(path, lambda aside: aside.write_text(text, encoding="utf-8"))


def read_json(path: Path) -> Any:
    """The content of a JSON file, or None where none can be read: what was cut off leaves none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def sha256_of(path: Path) -> str:
    """The sha256 of a file's bytes in hexadecimal, read as a stream."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_writable(folder: Path, advice: str) -> None:
    """Raises: InputError if files could not be written to a folder, there or yet to be made; its
    last words are "Choose " and `advice`. Makes nothing."""
    existing = folder.absolute()
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise InputError(
            f"{folder}: cannot write results, {existing} is no folder or not writable. "
            f"Choose {advice}."
        )


@contextlib.contextmanager
def hold_lock(path: Path, work: str) -> Iterator[None]:
    """Holds a lock file, which tells of the process that holds it, while the block runs.

    The system takes the lock from a process that ends, however it ends: the file that a killed
    process leaves is no hindrance.

    Args:
        path: the lock file; removed in the end.
        work: what the process is at, for the message.

    Raises: InputError if another process holds it, naming that process.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = _open_locked(path, work)
    now = datetime.datetime.now().isoformat(sep=" ", timespec="seconds")
    try:
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()} since {now}\n")
        file.flush()
        yield
    finally:
        path.unlink(missing_ok=True)
        file.close()


def _open_locked(path: Path, work: str):
    while True:
        file = open(path, "a+", encoding="utf-8")
        try:
            if fcntl:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                return file
        except FileNotFoundError:
            pass  # removed by the process before, between our opening and our locking it
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                return file  # a file system without locks shall not stop the work
            file.seek(0)
            holder = file.read().strip() or "another process"
            file.close()
            raise InputError(
                f"{work}: {holder} is at work on it ({path}). Wait until it is done, or end it; "
                "then run this command again."
            ) from None
        file.close()
