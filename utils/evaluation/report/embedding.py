"""Pictures and videos as addresses in a page: embedded as data, or beside the page."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import numpy as np
from PIL import Image

from utils import paths

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


def embed_image(image: np.ndarray) -> str:
    """An image, uint8 (height, width, 3) RGB, as the data URI of a JPEG."""
    encoded = io.BytesIO()
    Image.fromarray(image).save(encoded, "JPEG", quality=85, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(encoded.getvalue()).decode("ascii")


def link_overlay(path: Path) -> str:
    """The address of a file in results/overlay, as seen from the report."""
    return f"../{paths.OVERLAY}/{quote(path.name)}"
