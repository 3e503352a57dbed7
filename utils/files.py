"""Files that appear whole or not at all, and their sha256."""

import hashlib
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any


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


def write_json(path: Path, content: Any) -> None:
    """Writes `content` as UTF-8 JSON, indented by two, keys in the order given, atomically."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomically(path, lambda aside: aside.write_text(text, encoding="utf-8"))


def sha256_of(path: Path) -> str:
    """The sha256 of a file's bytes in hexadecimal, read as a stream."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
