"""Pictures and videos as addresses in a page: embedded as data, or beside the page."""

import base64
import io
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import numpy as np
from PIL import Image

_CHUNK_BYTES = 3 * 2**18  # a multiple of 3, so that encoded chunks join without padding


def embed_file(path: Path, kind: str) -> Iterator[str]:
    """A file as a data URI, in pieces, so that a large one is never in memory as a whole.

    Args:
        path: the file.
        kind: its media type, such as "video/mp4".
    """
    yield f"data:{kind};base64,"
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield base64.b64encode(chunk).decode("ascii")


def embed_image(image: np.ndarray, quality: int = 85) -> str:
    """An image, uint8 (height, width, 3) RGB, as the data URI of a JPEG."""
    encoded = io.BytesIO()
    Image.fromarray(image).save(encoded, "JPEG", quality=quality, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(encoded.getvalue()).decode("ascii")


def link_file(*parts: str) -> str:
    """The address of a file relative to a page, from the names of its folders and its own."""
    return "/".join(quote(os.fsencode(part)) for part in parts)  # a name need not be UTF-8
