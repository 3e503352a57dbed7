"""Files that appear whole or not at all, their sha256, and locks."""

import codecs
import contextlib
import datetime
import errno
import hashlib
import json
import os
import platform
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import filelock

from utils.errors import InputError

# What a file system that has no locks answers; EIO and EINVAL come from some network shares.
_NO_LOCKS_CODES = {
    getattr(errno, name)
    for name in ("EINVAL", "EIO", "ENOLCK", "ENOSYS", "ENOTSUP", "EOPNOTSUPP")
    if hasattr(errno, name)
}
_HELD_CODES = {5, 32, 33}  # of Windows: access denied, sharing violation, lock violation
_RETRY_SECONDS = (0.05, 0.1, 0.2, 0.4, 0.8)
_LOCK_SECONDS = 2 if os.name == "nt" else 0  # it may be held for a moment, as files are


def write_atomically(path: Path, write: Callable[[Path], Any]) -> None:
    """Writes a temporary file and renames it, so that no reader and no kill ever sees half of it.

    Args:
        path: the file to write or replace; missing folders are created.
        write: called with a hidden path in the same folder and with the same suffix.

    Raises:
        Exception: whatever `write` raises; `path` is then as before and nothing is left beside it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without the file's own name, which may be as long as the file system allows.
    temporary_path = path.with_name(f".writing-{os.getpid()}-{secrets.token_hex(4)}{path.suffix}")
    try:
        write(temporary_path)
        replace_path(temporary_path, path)
    finally:
        with contextlib.suppress(OSError):  # what went wrong before says more
            temporary_path.unlink(missing_ok=True)


def move_into_place(source: Path, target: Path) -> None:
    """Moves a finished file to where it belongs, so that it appears there whole even if that is on
    another disk (a results folder may hold links)."""
    try:
        replace_path(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        write_atomically(target, lambda temporary_path: shutil.copyfile(source, temporary_path))
        source.unlink()


def replace_path(source: Path, target: Path) -> None:
    """Renames a file, in place of another one, or a folder.

    On Windows a virus scanner, or whoever reads the target, may hold one of them for a moment.

    Raises:
        OSError: as `os.replace`.
    """
    for seconds in _RETRY_SECONDS:
        try:
            os.replace(source, target)
            return
        except OSError as error:
            if getattr(error, "winerror", None) not in _HELD_CODES:
                raise
            time.sleep(seconds)
    os.replace(source, target)


def write_json(path: Path, content: Any) -> None:
    """Writes `content` atomically as UTF-8 JSON, indented by two, keys in the order given.

    Names of files that are not UTF-8 are written as escapes, and read back as they were.

    Raises:
        ValueError: if a number in it is not finite.
    """
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    # A byte that is not UTF-8 is a lone surrogate in Python; \\udce7 is its escape in JSON as well.
    encoded = text.encode("utf-8", "backslashreplace")
    write_atomically(path, lambda temporary_path: temporary_path.write_bytes(encoded))


def read_text(path: Path, errors: str = "strict") -> str:
    """Reads a text file that a person may have written with any program.

    Args:
        path: of the file.
        errors: "surrogateescape" where names of files that are not UTF-8 are in it.

    Returns: the text, from UTF-8 or, with a byte order mark, UTF-16 (as PowerShell writes it).

    Raises:
        InputError: if it is neither.
    """
    content = path.read_bytes()
    has_mark = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    encoding = "utf-16" if has_mark else "utf-8-sig"
    try:
        text = content.decode(encoding, errors)
        if "\0" not in text:
            return text
        found = "zero bytes, as of UTF-16 without its mark"
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        found = f"another encoding in line {line}"
    raise InputError(f"{path}: expected a text file in UTF-8, found {found}; save it as UTF-8.")


def read_json(path: Path) -> Any:
    """Returns the content of a JSON file, or None if it is missing, unreadable or cut off."""
    try:
        # A person may have saved it with a byte order mark.
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return None


def sha256_of(path: Path) -> str:
    """Returns the sha256 of a file's bytes in hexadecimal; the file is read as a stream."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_broken_link(path: Path) -> bool:
    """Whether it is a link whose target is missing."""
    return path.is_symlink() and not path.exists()


def existing_part(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists; the root of its drive if none does, as
    where a drive of Windows is not there. Absolute."""
    existing = folder.absolute()
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    return existing


def check_writable(folder: Path, advice: str) -> None:
    """Checks that files can be written to a folder that exists or is yet to be created.

    Nothing is created.

    Args:
        folder: where files will be written.
        advice: ends the message: "Choose `advice`."

    Raises:
        InputError: if they cannot be written there.
    """
    existing = existing_part(folder)
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise InputError(
            f"{folder}: cannot write results, {existing} is not a folder or is not writable. "
            f"Choose {advice}."
        )


@contextlib.contextmanager
def hold_lock(path: Path, work: str) -> Iterator[None]:
    """Holds a lock while the block runs, so that no second process does the same work.

    The system takes the lock from a process that ends, however it ends: files that a killed
    process leaves are no obstacle. A file named `*.holder*` beside the lock names the process.

    Args:
        path: the lock file; its folder is created.
        work: what is being done, for the message.

    Raises:
        InputError: if another process holds the lock; the message names that process.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # A file of its own: Windows lets nobody else read a locked file.
    holder_file = path.with_name(f"{path.stem}.holder{path.suffix}")
    lock = filelock.FileLock(path, timeout=_LOCK_SECONDS)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise InputError(
            f"{work}: {_describe_holder(holder_file)} ({path}). Wait until it is "
            "done, or stop it; then run this command again."
        ) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS_CODES:
            raise
        print(
            f"warning: {path.parent}: this file system has no locks ({error.strerror}). Do not "
            f"start a second process on {work}.",
            flush=True,
        )
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        lock = None
    if lock is None:
        yield
        return
    try:
        now = datetime.datetime.now().isoformat(sep=" ", timespec="seconds")
        holder = f"process {os.getpid()} on {platform.node()} since {now}\n"
        write_atomically(
            holder_file, lambda temporary_path: temporary_path.write_text(holder, encoding="utf-8")
        )
        yield
    finally:
        _release(lock, path, holder_file)


def _describe_holder(holder_file: Path) -> str:
    try:
        holder = holder_file.read_text(encoding="utf-8").strip()
    except OSError:  # the process has the lock, but has not written yet
        holder = ""
    process, _, start = holder.partition(" since ")
    if not start:
        return "another process is working on it"
    return f"{process} has been working on it since {start}"


def _release(lock: filelock.BaseFileLock, path: Path, holder_file: Path) -> None:
    """Releases the lock and removes its files, which must not make finished work fail."""
    try:
        with contextlib.suppress(OSError):
            holder_file.unlink(missing_ok=True)
        # Before the release: afterwards the file may be another process's lock. Windows does not
        # remove an open file; there the library removes it.
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
    finally:
        lock.release()
