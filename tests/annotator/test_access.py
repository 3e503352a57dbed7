"""Who the page's server answers, and what it refuses."""

import re
import threading
import urllib.request
from dataclasses import replace

import numpy as np
import pytest

from tests.bright_hen import ellipse
from tests.page_client import TOKEN, png
from utils.annotator.frame_routes import PAGE_DIR
from utils.annotator.server import create_app, open_server
from utils.errors import InputError


def routes(client, methods=("GET", "POST", "DELETE")) -> list[tuple[str, str]]:
    """All of the application's, with a value for each variable."""
    values = {"index": "1", "size": "display", "name": "main.js", "kind": "label"}
    values |= {"way": "next", "a": "1", "b": "2", "what": "undo"}
    found = []
    for rule in client.application.url_map.iter_rules():
        path = re.sub(r"<[^>]*?(\w+)>", lambda match: values[match[1]], rule.rule)
        found += [(method, path) for method in methods if method in rule.methods]
    assert len(found) >= 6
    return found


def test_without_the_token_every_route_refuses(stranger):
    for method, path in routes(stranger):
        for query in ("", "?token=", "?token=a-tokem", "?token=%C3%A4"):
            response = stranger.open(path + query, method=method)
            assert response.status_code == 403, path
            assert "token" in response.get_json()["error"]
    stranger.set_cookie("annotate_80", "wrong")
    assert stranger.get("/api/video").status_code == 403
    # The address' token is good for the page alone: nothing else puts it into an address.
    assert stranger.get(f"/api/video?token={TOKEN}").status_code == 403


def test_the_token_becomes_a_cookie_that_scripts_and_other_sites_do_not_get(client):
    for host in ("localhost", "127.0.0.1:5000"):
        answer = client.get(f"/?token={TOKEN}", headers={"Host": host})
        cookie = answer.headers["Set-Cookie"]
        # Browsers send a cookie to all ports: its name tells them apart.
        assert cookie.startswith(f"annotate_{host.partition(':')[2] or 80}={TOKEN}")
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    assert client.get("/").status_code == client.get("/api/video").status_code == 200


def test_another_name_for_this_computer_is_refused_on_every_route(client):
    for method, path in routes(client):
        for host in ("evil.example", "evil.example:5000", "127.0.0.1.evil.example:5000"):
            for port in (80, 5000):
                client.set_cookie(f"annotate_{port}", TOKEN, domain=host.partition(":")[0])
            response = client.open(path, method=method, headers={"Host": host})
            assert response.status_code == 403, (path, host)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "http://localhost:5001"},  # another program on this computer
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_other_pages_can_write_nothing(client, task, headers):
    task.label_path(1).parent.mkdir(parents=True)
    task.label_path(1).write_bytes(b"kept")
    for method, path in routes(client, ("POST", "DELETE")):
        response = client.open(path, method=method, headers=headers, data=png(np.uint8(ellipse(1))))
        assert response.status_code == 403, path
    assert task.label_path(1).read_bytes() == b"kept"
    if "Sec-Fetch-Site" in headers:
        assert client.get("/api/frames/1/full.jpg", headers=headers).status_code == 403


def test_a_page_of_an_earlier_session_on_this_port_saves_nothing_into_another_video(task):
    other = replace(task, results=task.results / "other")
    ids = []
    for one in (other, task, task):  # the last: annotate.py was started again
        client = create_app(one, TOKEN).test_client()
        client.get(f"/?token={TOKEN}")
        ids.append(client.get("/api/video").get_json()["id"])
    label = png(np.uint8(ellipse(1)))
    response = client.post("/api/labels/1", data=label, headers={"X-Video": ids[0]})
    assert response.status_code == 409 and "Reload" in response.get_json()["error"]
    assert not task.label_path(1).exists()
    response = client.post("/api/labels/1", data=label, headers={"X-Video": ids[1]})
    assert response.status_code == 200


def test_the_page_itself_may_write(client):
    headers = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    response = client.post("/api/labels/1", data=png(np.uint8(ellipse(1))), headers=headers)
    assert response.status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/page/../server.py",
        "/page/%2e%2e/server.py",
        "/page/..%2fserver.py",
        "/page/index.html",
        "/page//etc/passwd",
        "/api/frames/-1/full.jpg",
        "/api/frames/8/full.jpg",
        "/api/frames/..%2f..%2fsecret/full.jpg",
        "/api/frames/1/..%2ffull.jpg",
        "/api/masks/label/8",
        "/api/masks/secret/1",
        "/api/masks/label/1",
        "/api/overlay.mp4",
        "/static/main.js",
    ],
)
def test_nothing_but_frames_masks_and_the_page_is_served(client, path):
    response = client.get(path)
    assert response.status_code == 404
    assert response.get_json()["error"]


def test_every_answer_forbids_scripts_of_others_and_guessing_of_types(client):
    for path in ("/", "/api/video", "/api/frames/1/full.jpg", "/page/main.js", "/nowhere"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    types = {client.get(f"/page/{name}").mimetype for name in ("main.js", "style.css", "icon.svg")}
    assert types == {"text/javascript", "text/css", "image/svg+xml"}


def test_the_page_names_nothing_outside_of_itself():
    for path in PAGE_DIR.iterdir():
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|//[a-z]+\.[a-z]|\son[a-z]+=|style=", text), path.name


def test_the_server_is_on_this_computer_alone_and_logs_no_token(task, capfd):
    server = open_server(create_app(task, TOKEN), 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        host, port = server.socket.getsockname()
        assert host == "127.0.0.1" and port == server.server_port > 0
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/?token={TOKEN}") as answer:
            assert answer.status == 200
        with pytest.raises(InputError, match=f"--port {port}"):
            open_server(create_app(task, TOKEN), port)
    finally:
        server.shutdown()
        server.server_close()
    assert TOKEN not in "".join(capfd.readouterr())
