"""Downloads from a server on this machine: resumed, restarted, broken off, wrong."""

import hashlib
import os
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from utils.archives import downloads
from utils.archives.downloads import download, require_free_space
from utils.errors import InputError

CONTENT = os.urandom(3 * 2**20 + 17)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves CONTENT under any path; keeps the Range header of each request.

    Attributes:
        ranges: whether it knows ranges.
        break_after: bytes after which it drops the connection, one entry for each request.
        status, content_type, has_length: of the answers.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.ranges, self.break_after, self.requests = True, [], []
        self.status, self.content_type, self.has_length = 200, "application/zip", True
        self.content = CONTENT
        self.url = f"http://127.0.0.1:{self.server_port}/data.zip"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):  # noqa: N802 (the name is http.server's)
        server = self.server
        asked = self.headers.get("Range")
        server.requests.append(asked)
        if server.status != 200:
            self.send_error(server.status)
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and server.ranges else 0
        total = len(server.content)
        if start >= total:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{total}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Type", server.content_type)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        if server.has_length:
            self.send_header("Content-Length", str(total - start))
        self.end_headers()
        stop = server.break_after.pop(0) if server.break_after else total
        self.wfile.write(server.content[start : start + stop])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(downloads, "PAUSES_SECONDS", (0, 0))
    server = Server()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "archives" / "data.zip"


def part_of(path, content: bytes | None = None):
    part = path.with_name(path.name + ".part")
    if content is not None:
        part.parent.mkdir(exist_ok=True)
        part.write_bytes(content)
    return part


@pytest.mark.parametrize("has_length", [True, False])
def test_a_file_arrives_whole_and_nothing_stays_beside_it(server, path, has_length):
    server.has_length = has_length
    download(server.url, path, len(CONTENT), SHA256)
    assert path.read_bytes() == CONTENT
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_an_unfinished_file_is_continued_where_it_stopped(server, path):
    part_of(path, CONTENT[:1_000_000])
    download(server.url, path, len(CONTENT), SHA256)
    assert path.read_bytes() == CONTENT
    assert server.requests == ["bytes=1000000-"]


def test_a_server_without_ranges_sends_it_all_again(server, path):
    server.ranges = False
    part_of(path, b"x" * 1_000_000)
    download(server.url, path, len(CONTENT), SHA256)
    assert path.read_bytes() == CONTENT


def test_a_connection_that_breaks_is_taken_up_again(server, path):
    server.break_after = [1_000_000, 0, 500_000]
    download(server.url, path, len(CONTENT), SHA256)
    assert path.read_bytes() == CONTENT
    assert server.requests == [None, "bytes=1000000-", "bytes=1000000-", "bytes=1500000-"]


def test_a_connection_that_stays_broken_is_an_error_in_one_line_and_loses_nothing(server, path):
    server.break_after = [1_000_000] + [0] * 20
    with pytest.raises(InputError, match="same command again to continue") as error:
        download(server.url, path, len(CONTENT), SHA256)
    assert "\n" not in str(error.value)
    assert not path.exists() and part_of(path).read_bytes() == CONTENT[:1_000_000]
    server.break_after = []
    download(server.url, path, len(CONTENT), SHA256)
    assert path.read_bytes() == CONTENT


def test_a_server_without_ranges_that_always_breaks_ends_in_an_error(server, path):
    server.ranges, server.break_after = False, [1_000_000, 500_000] * 20
    with pytest.raises(InputError, match="connection failed"):
        download(server.url, path, len(CONTENT), SHA256)


def test_nobody_listening_is_an_error(server, path):
    server.shutdown()
    server.server_close()
    with pytest.raises(InputError, match="connection failed"):
        download(server.url, path)


def test_a_wrong_checksum_leaves_nothing(server, path):
    with pytest.raises(InputError, match="sha256"):
        download(server.url, path, len(CONTENT), "0" * 64)
    assert list(path.parent.iterdir()) == []


def test_a_part_of_another_file_is_found_out_by_the_checksum_and_then_fetched_anew(server, path):
    part_of(path, b"x" * 1000)
    with pytest.raises(InputError, match="sha256"):
        download(server.url, path, len(CONTENT), SHA256)
    download(server.url, path, len(CONTENT), SHA256)
    assert path.read_bytes() == CONTENT


def test_a_part_that_is_whole_already_is_only_checked(server, path):
    part_of(path, CONTENT)
    download(server.url, path, None, SHA256)  # the server says that nothing is left
    assert path.read_bytes() == CONTENT
    part_of(path, CONTENT)
    server.status = 404
    download(server.url, path, len(CONTENT), SHA256)


@pytest.mark.parametrize("num_bytes", [len(CONTENT), None])
def test_a_part_that_is_too_long_is_fetched_anew(server, path, num_bytes):
    part_of(path, CONTENT + b"x")
    download(server.url, path, num_bytes, SHA256)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"status": 404}, "404"),
        ({"status": 403}, "403"),
        ({"status": 503}, "503"),
        ({"content_type": "text/html; charset=utf-8"}, "web page"),
        ({"content": b"short"}, "5 bytes"),
    ],
    ids=str,
)
def test_a_refusal_or_another_file_is_told(server, path, change, message):
    for name, value in change.items():
        setattr(server, name, value)
    with pytest.raises(InputError, match=message):
        download(server.url, path, len(CONTENT), SHA256)
    assert not path.exists()


def test_the_search_for_the_disk_of_a_drive_that_is_not_there_ends(tmp_path, monkeypatch):
    asked = []

    def exists(path):  # not even the root, as of a drive of Windows
        asked.append(path)
        assert len(asked) < 100, "it never ended"
        return False

    monkeypatch.setattr(Path, "exists", exists)
    require_free_space({tmp_path / "archives": 1000})
    assert asked[-1] == Path(tmp_path.anchor)


def test_free_space_is_counted_by_disk(tmp_path):
    free = shutil.disk_usage(tmp_path).free
    require_free_space({tmp_path / "not" / "there": 1000})
    with pytest.raises(InputError, match="free space"):
        require_free_space({tmp_path / "a": free * 3 // 4, tmp_path / "b": free * 3 // 4})
