"""What the tests of annotate.py's server send to it and read from its answers."""

import gzip
import io
import time
from collections.abc import Callable

import numpy as np
from PIL import Image

from tests.bright_hen import HEIGHT, WIDTH

TOKEN = "a-token"
PATIENCE_SECONDS = 300  # for what hangs; a busy machine is slow


def png(labels: np.ndarray, mode: str | None = None) -> bytes:
    image = Image.fromarray(np.asarray(labels))
    buffer = io.BytesIO()
    (image.convert(mode) if mode else image).save(buffer, format="PNG")
    return buffer.getvalue()


def labels_of(response) -> np.ndarray:
    assert response.status_code == 200, response.get_json()
    return np.frombuffer(gzip.decompress(response.data), np.uint8).reshape(HEIGHT, WIDTH)


def wait_for(client, path: str, condition: Callable[[dict], bool]) -> dict:
    """Asks for a path until the answer meets a condition. Returns: the answer."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition(status := client.get(path).get_json()):
        assert time.monotonic() < end, f"still {status}"
        time.sleep(0.02)
    return status
