"""Downloads large files over HTTP, resumes them, and checks them before they get their name."""

import http.client
import re
import shutil
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import BinaryIO

from tqdm import tqdm

from utils.errors import InputError
from utils.files import existing_part, sha256_of

TIMEOUT_SECONDS = 60
PAUSES_SECONDS = (1, 5, 15)  # between attempts that bring nothing new
_CHUNK_BYTES = 2**20


class _ConnectionLostError(Exception):
    """The connection failed in a way that is worth another attempt."""


def download(url: str, path: Path, num_bytes: int | None = None, sha256: str | None = None) -> None:
    """Downloads a file to `path`.part and renames it once it is complete and its checksum fits.

    An existing `path`.part is continued by an HTTP range request; if the server ignores it and
    sends the file from its beginning, it is written from the beginning. After a lost connection it
    tries again as long as something arrives, then three more times.

    Args:
        url: http or https.
        path: the file to write; its folder is created.
        num_bytes: its size, if known.
        sha256: its checksum, if one is published.

    Raises:
        InputError: if the server refuses, offers another size or a web page, or stays silent, or
            the checksum is wrong (`path`.part is then removed).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    failures, farthest = 0, _size(part)
    while True:
        try:
            _fetch(url, part, num_bytes)
            break
        except _ConnectionLostError as error:
            failures = 1 if _size(part) > farthest else failures + 1
            farthest = max(farthest, _size(part))
            if failures > len(PAUSES_SECONDS):
                raise InputError(
                    f"{url}: expected {path.name}, the connection failed after "
                    f"{_size(part) / 1e6:.1f} MB ({error}). Run the same command again to continue."
                ) from error
            pause = PAUSES_SECONDS[failures - 1]
            print(f"{path.name}: connection lost ({error}), again in {pause} s", flush=True)
            time.sleep(pause)
    if sha256 is not None and (found := sha256_of(part)) != sha256:
        part.unlink()
        raise InputError(
            f"{url}: expected a file with sha256 {sha256}, found {found}; it was removed. Run the "
            "same command again, or get the file elsewhere."
        )
    part.replace(path)


def require_free_space(needs: dict[Path, int]) -> None:
    """Checks that the disks have space for the bytes that will be written to these folders.

    Args:
        needs: folder -> bytes; folders on one disk are added up.

    Raises:
        InputError: if a disk has too little free space.
    """
    total: dict[int, int] = {}
    for folder, num_bytes in needs.items():
        existing = existing_part(folder)
        device = existing.stat().st_dev
        total[device] = total.get(device, 0) + num_bytes
        free = shutil.disk_usage(existing).free
        if total[device] > free:
            raise InputError(
                f"{folder}: expected {total[device] / 1e9:.2f} GB of free space, found "
                f"{free / 1e9:.2f} GB; make room, or put the archives on another disk (--archives)."
            )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _fetch(url: str, part: Path, num_bytes: int | None) -> None:
    """Makes one request and returns if the file is complete.

    Raises:
        _ConnectionLostError: if another attempt may help.
        InputError: if the server refuses, or offers something else.
    """
    if num_bytes is not None and _size(part) > num_bytes:
        part.unlink()  # a part of another file
    offset = _size(part)
    if offset == num_bytes:
        return
    with _open(url, offset) as response:
        if response.status == 416:  # nothing after our last byte
            total = re.fullmatch(r"bytes \*/(\d+)", response.headers.get("Content-Range", ""))
            if total and int(total[1]) == offset:
                return
            part.unlink()
            raise _ConnectionLostError("the server has another file now")
        content_range = response.headers.get("Content-Range", "")
        if response.status == 206 and not content_range.startswith(f"bytes {offset}-"):
            part.unlink()
            raise _ConnectionLostError(f"asked for byte {offset}, got {content_range!r}")
        if response.status != 206:
            offset = 0
        length = response.headers.get("Content-Length", "")
        total = offset + int(length) if length.isdecimal() else None
        _check_offer(url, response.headers.get("Content-Type", ""), total, num_bytes)
        received = _receive(response, part, offset, total)
    if total is not None and received < total:
        raise _ConnectionLostError(f"{received} of {total} bytes")


def _open(url: str, offset: int) -> http.client.HTTPResponse:
    headers = {"User-Agent": "one-shot-animal-video-segmentation"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
    try:
        return urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=TIMEOUT_SECONDS
        )
    except urllib.error.HTTPError as error:
        if error.code == 416:
            return error
        if error.code in (408, 429) or error.code >= 500:
            raise _ConnectionLostError(f"status {error.code}") from error
        raise InputError(
            f"{url}: expected a file, the server says {error.code} {error.reason}; get it with a "
            "browser from the data set's page, see datasets/README.md."
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise _ConnectionLostError(getattr(error, "reason", None) or error) from error


def _check_offer(url: str, content_type: str, total: int | None, num_bytes: int | None) -> None:
    is_page = content_type.startswith("text/html")
    if is_page or (num_bytes is not None and total is not None and total != num_bytes):
        found = "a web page" if is_page else f"{total} bytes"
        raise InputError(
            f"{url}: expected {'a file' if num_bytes is None else f'{num_bytes} bytes'}, found "
            f"{found}; the address may have changed, see datasets/README.md."
        )


def _receive(response: BinaryIO, part: Path, offset: int, total: int | None) -> int:
    """Writes the response to `part` from `offset` on; returns the size of `part` afterwards."""
    bar = tqdm(total=total, initial=offset, desc=part.stem, unit="B", unit_scale=True, disable=None)
    size = offset
    with bar, open(part, "ab") as file:
        file.truncate(offset)
        while True:
            try:
                chunk = response.read(_CHUNK_BYTES)
            except (OSError, http.client.HTTPException) as error:
                raise _ConnectionLostError(error) from error
            if not chunk:
                return size
            file.write(chunk)
            size += len(chunk)
            bar.update(len(chunk))
