"""Who may use the page of annotate.py: the person who started it, in a browser on this computer.

Only requests with the token are answered, and other pages that are open in the same browser can
neither read nor change anything: Host, Origin and Sec-Fetch-Site are checked, and the cookie is
SameSite=Strict.
"""

import contextlib
import hmac
import html
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from flask import Flask, Response, g, request
from werkzeug.exceptions import Conflict, Forbidden

HOST = "127.0.0.1"
LOCAL_NAMES = (HOST, "localhost")
VIDEO_HEADER = "X-Video"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "media-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_REDIRECT_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url={address}">
<title>Label a frame</title>
</head>
<body><p><a href="{address}">Open the page of annotate.py</a></p></body>
</html>
"""


def guard(app: Flask, token: str, video_id: str) -> None:
    """Refuses all requests but those of the page itself.

    Args:
        app: the application; every answer gets the headers that forbid foreign scripts.
        token: what the page's address must carry once (?token=...); from then on a cookie does.
        video_id: what the page sends as VIDEO_HEADER; one that was opened with an earlier
            annotate.py on this port may show another video.
    """

    def is_token(text: str | None) -> bool:
        return text is not None and hmac.compare_digest(text.encode(), token.encode())

    @app.before_request
    def refuse_strangers() -> None:
        is_page = request.path == "/" and request.method == "GET"
        _refuse_other_sites(is_page)
        # Cookies are sent to every port, and a second annotate.py may run on another one.
        cookie = f"annotate_{request.host.partition(':')[2] or 80}"
        if is_page and is_token(request.args.get("token")):
            g.cookie = cookie
        elif not is_token(request.cookies.get(cookie)):
            raise Forbidden(
                "Wrong or missing token. Open the whole address that annotate.py printed."
            )
        if request.headers.get(VIDEO_HEADER, video_id) != video_id:
            raise Conflict("annotate.py shows another video now than this page. Reload the page.")

    @app.after_request
    def add_headers(response: Response) -> Response:
        response.headers.update(HEADERS)
        response.headers.setdefault("Cache-Control", "no-store")
        if "cookie" in g:
            response.set_cookie(g.cookie, token, httponly=True, samesite="Strict")
        return response


def _refuse_other_sites(is_page: bool) -> None:
    if request.host.partition(":")[0] not in LOCAL_NAMES:
        # Another name that was made to lead to this computer: DNS rebinding.
        raise Forbidden("This server answers to 127.0.0.1 and localhost only.")
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    is_foreign = site != "same-origin" and not is_page
    if request.method not in ("GET", "HEAD"):
        own = f"http://{request.host}"
        is_foreign |= request.headers.get("Origin", own) != own
    if is_foreign:
        raise Forbidden("Requests of other pages are refused.")


@contextlib.contextmanager
def redirect_file(address: str) -> Iterator[Path]:
    """A page that leads a browser to an address, so that the address is not on its command line.

    Every user of a computer can read the command lines of all processes; this file can be read by
    its owner only. It is removed when the block ends.

    Args:
        address: of the page, with its token.
    """
    with tempfile.TemporaryDirectory(
        prefix="annotate-", dir=_redirect_parent(), ignore_cleanup_errors=True
    ) as folder:
        path = Path(folder) / "open.html"
        # Windows ignores the mode; the temporary folder there is in the user's own profile.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(_REDIRECT_PAGE.format(address=html.escape(address)))
        yield path


def _redirect_parent() -> Path | None:
    """Where browsers can read a file; None: the system's folder for temporary files."""
    # A browser that is installed as a snap (Firefox on Ubuntu) has a /tmp of its own.
    home = Path.home()
    return home if Path("/snap/bin").is_dir() and os.access(home, os.W_OK) else None
