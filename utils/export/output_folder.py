"""A folder of exported frames that appears whole or not at all."""

import contextlib
import os
import platform
import secrets
import shutil
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

from utils.files import replace_path

_PREFIX = ".writing-"
_MACHINE = f"{zlib.crc32(os.fsencode(platform.node())):08x}"
_ABANDONED_SECONDS = 24 * 3600  # since the last file, where the process cannot be looked up


@contextlib.contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """Replaces a folder at the end of a `with` block, so that no old file stays among the new ones.

    What killed exports left beside it is removed first.

    Args:
        folder: the folder to make or replace.

    Returns:
        a hidden new folder to write to; it takes the place of `folder` when the block ends, and is
        removed if the block raises.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    for path in folder.parent.glob(f"{_PREFIX}*"):
        if path.is_dir() and _is_abandoned(path):
            shutil.rmtree(path, ignore_errors=True)
    name = f"{_PREFIX}{_MACHINE}-{os.getpid()}-{secrets.token_hex(4)}"
    temporary_path, old = folder.with_name(name), folder.with_name(f"{name}-old")
    temporary_path.mkdir()
    try:
        yield temporary_path
        # Nothing is lost if one cannot be moved: on Windows, a program may be working in it.
        if folder.exists():
            replace_path(folder, old)
        replace_path(temporary_path, folder)
    finally:
        if old.exists() and not folder.exists():  # also after Ctrl-C between the two
            replace_path(old, folder)
        for path in (temporary_path, old):
            shutil.rmtree(path, ignore_errors=True)


def _is_abandoned(temporary_path: Path) -> bool:
    """Whether the process that wrote to a hidden folder has ended."""
    machine, *process = temporary_path.name.removeprefix(_PREFIX).split("-")
    try:
        # On Windows, os.kill would end the process.
        if machine == _MACHINE and len(process) == 2 and os.name != "nt":
            os.kill(int(process[0]), 0)
            return False
        return time.time() - temporary_path.stat().st_mtime > _ABANDONED_SECONDS
    except ProcessLookupError:
        return True
    except OSError:  # the process of another user, or a folder that is in its place by now
        return False
