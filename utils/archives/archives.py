"""Reads tar and zip archives from untrusted sources.

Nothing is ever unpacked under the archive's own names: members are read one after the other, and
the caller writes what it wants under names of its own. An archive whose names lead outside is
refused all the same.
"""

import gzip
import lzma
import posixpath
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from utils.errors import InputError
from utils.media.images import list_files

SUFFIXES = (".tar", ".tgz", ".gz", ".zip")
MAX_MEMBER_BYTES = 64 * 2**20  # far above any image or .mat file of these data sets
_GZIP_START = b"\x1f\x8b"
_ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")  # the second: an empty archive
_TAR_MAGIC = b"ustar"  # at byte 257
_BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,  # a compression that Python does not know
    ValueError,  # a malformed number in a header
)
_Entry = tuple[str, int, Callable[[], BinaryIO]]


def list_archives(folder: Path) -> list[Path]:
    """Returns the tar, tar.gz and zip files of a folder; none if there is no such folder.

    First those with the usual suffixes, be they broken; then, of those without a suffix, with .gz
    alone or with the number of a second copy, such as `benchmark.tgz.1`, those that are archives by
    their first bytes.
    """
    folder = Path(folder)
    if not folder.exists():
        return []
    files = list_files(folder, SUFFIXES)
    named = [path for path in files if path.suffix != ".gz" or ".tar" in path.suffixes]
    others = sorted(path for path in folder.iterdir() if path.is_file() and path not in named)
    return named + [path for path in others if _is_archive(path)]


def _is_archive(path: Path) -> bool:
    suffix = path.suffix.lower()  # a document or a program may be a zip file, too
    if path.name.startswith(".") or not (suffix in ("", ".gz") or suffix[1:].isdigit()):
        return False
    try:
        with open(path, "rb") as file:
            start = file.read(tarfile.BLOCKSIZE)
        if start[:4] in _ZIP_STARTS:
            return True
        if start.startswith(_GZIP_START):  # it may as well be a single file, notes.txt.gz
            with gzip.open(path) as file:
                start = file.read(tarfile.BLOCKSIZE)
    except (OSError, EOFError, zlib.error):
        return False
    return start[257:].startswith(_TAR_MAGIC)


def list_members(path: Path) -> dict[str, int]:
    """Lists the regular files of a tar, tar.gz or zip archive.

    A tar.gz is decompressed to its end, so that a broken one is found before anything is made of
    it.

    Returns:
        name -> size in bytes, in the archive's order. Names have forward slashes and no leading
        `./`.

    Raises:
        InputError: if the file is not an archive, cut off or broken; or if a member, which the
            message names, is absolute, contains `..`, is a device, or links out of the archive.
    """
    with _naming(path):
        return {name: size for name, size, _ in _entries(path)}


def read_members(path: Path, names: Container[str]) -> Iterator[tuple[str, bytes]]:
    """Reads some members of an archive, one at a time.

    Args:
        path: the archive.
        names: the members to read, as `list_members` names them.

    Yields:
        name and content of each, in the archive's order.

    Raises:
        InputError: as in `list_members`, and if a member has more than MAX_MEMBER_BYTES.
    """
    with _naming(path):
        for name, size, open_member in _entries(path):
            if name not in names:
                continue
            if size > MAX_MEMBER_BYTES:
                raise InputError(
                    f"{path}: expected an image or label, found {name} of more than "
                    f"{MAX_MEMBER_BYTES >> 20} MiB; is it the official archive?"
                )
            with open_member() as stream:
                data = stream.read(size + 1)  # it may contain more than its header says
            if len(data) != size:
                raise EOFError(f"{name} does not have the size that its header says")
            yield name, data


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except _BROKEN as error:
        raise InputError(
            f"{path}: expected a whole archive, found a broken or unfinished one "
            f"({error or type(error).__name__}); remove it and get it again."
        ) from error


def _entries(path: Path) -> Iterator[_Entry]:
    with open(path, "rb") as file:
        start = file.read(4)
        file.seek(0)
        yield from (_zip_entries if start in _ZIP_STARTS else _tar_entries)(path, file)


def _tar_entries(path: Path, file: BinaryIO) -> Iterator[_Entry]:
    is_compressed = file.read(2) == _GZIP_START
    file.seek(0)
    stream = gzip.GzipFile(fileobj=file) if is_compressed else file
    with tarfile.open(fileobj=stream, mode="r:") as tar:
        while (info := tar.next()) is not None:
            tar.members.clear()  # otherwise it remembers every member
            name = _safe_name(path, info.name)
            if info.issym() or info.islnk():
                base = posixpath.dirname(name) if info.issym() else ""
                _check_link(path, name, base, info.linkname)
            elif info.isreg():
                yield name, info.size, lambda info=info: tar.extractfile(info)
            elif not info.isdir():
                raise InputError(
                    f"{path}: expected files and folders, found the device {name}; "
                    "is it the official archive?"
                )
        # tarfile silently takes a damaged header for the end.
        if is_compressed:
            while stream.read(2**20):  # the checksum comes last
                pass
        else:
            stream.seek(tar.offset)
            if any(stream.read(tarfile.BLOCKSIZE)):
                raise tarfile.ReadError(f"damaged at byte {tar.offset}")


def _zip_entries(path: Path, file: BinaryIO) -> Iterator[_Entry]:
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            name = _safe_name(path, info.filename)
            if info.flag_bits & 1:
                raise zipfile.BadZipFile(f"{name} is encrypted")
            if stat.S_ISLNK(info.external_attr >> 16):
                target = archive.read(info) if info.file_size <= 4096 else b"/"
                _check_link(path, name, posixpath.dirname(name), target.decode("utf-8", "replace"))
            elif not info.is_dir():
                yield name, info.file_size, lambda info=info: archive.open(info)


def _safe_name(path: Path, name: str) -> str:
    slashed = name.replace("\\", "/")  # some programs for Windows write these
    if _is_absolute(slashed) or ".." in slashed.split("/"):
        raise InputError(
            f"{path}: expected names inside the archive, found {name!r}, which leads outside; "
            "nothing was unpacked. Get the archive from its official address."
        )
    return posixpath.normpath(slashed)


def _check_link(path: Path, name: str, base: str, target: str) -> None:
    target = target.replace("\\", "/")
    if _is_absolute(target) or posixpath.normpath(posixpath.join(base, target)).startswith(".."):
        raise InputError(
            f"{path}: expected names inside the archive, found the link {name} to {target!r}, "
            "which leads outside; nothing was unpacked. Get the archive from its official address."
        )


def _is_absolute(name: str) -> bool:
    return name.startswith("/") or re.match("[A-Za-z]:", name) is not None
