"""A folder of exported frames that appears whole or not at all."""

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """Replaces a folder at the end of a `with` block, so that no old file stays among the new ones.

    Args:
        folder: the folder to make or replace.

    Returns:
        a hidden new folder to write to; it takes the place of `folder` when the block ends, and is
        removed if the block raises.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary_path = folder.with_name(f".writing-{os.getpid()}-{secrets.token_hex(4)}")
    temporary_path.mkdir()
    try:
        yield temporary_path
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(temporary_path, folder)
    finally:
        shutil.rmtree(temporary_path, ignore_errors=True)
