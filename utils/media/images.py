"""Image files: natural order, listing, reading and resizing frames. Labels: see `labels.py`.

Everything is read with Pillow: OpenCV turns palettes into colours and may return half of a
truncated JPEG without an error.
"""

import re
import unicodedata
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from utils.errors import InputError

FRAME_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


def natural_key(name: str) -> tuple:
    """The key of the natural order: `frame2` before `frame10`, whatever the letter case.

    Args:
        name: of a sequence, or the stem of a file. With the suffix, `x.jpg` and `x.k.jpg` would
            be in another order than their masks `x.png` and `x.k.png`.

    Returns: a key that two different names never share.
    """
    parts = re.split(r"([0-9]+)", unicodedata.normalize("NFC", name).casefold())
    # Odd positions are the digits, so that numbers only ever meet numbers.
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], name


def list_files(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """Lists the files of a folder with one of `suffixes` (any letter case), by their stems.

    Hidden files are left out.

    Returns: the files in natural order.

    Raises:
        InputError: if there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing"
        raise InputError(f"{folder}: expected a folder, found {found}; check the path.")
    files = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file()
    ]
    return sorted(files, key=lambda path: (natural_key(path.stem), path.suffix))


def list_frames(folder: Path) -> list[Path]:
    """Lists the JPEG, PNG and WebP frames of a folder, or of a link to one.

    Returns: the files in natural order.

    Raises:
        InputError: if there is no such folder, no frame in it, or two frames of one stem, whose
            masks would overwrite each other.
    """
    frames = list_files(folder, FRAME_SUFFIXES)
    if not frames:
        raise InputError(
            f"{folder}: expected frames ({', '.join(FRAME_SUFFIXES)}), found none; put them there."
        )
    seen: dict[str, Path] = {}
    for frame in frames:
        # casefold: on macOS and Windows A.png and a.png are one mask file.
        other = seen.setdefault(frame.stem.casefold(), frame)
        if other is not frame:
            raise InputError(
                f"{folder}: {other.name} and {frame.name} would both write the mask "
                f"{frame.stem}.png; rename or remove one of them."
            )
    return frames


def open_image(path: Path) -> Image.Image:
    """Decodes an image file to its last byte and turns it upright, as EXIF says.

    Raises:
        InputError: if it is missing, empty, cut off or no image; the message names the file.
    """
    try:
        if path.stat().st_size == 0:
            raise InputError(f"{path}: expected an image, found 0 bytes; copy or extract it again.")
        with Image.open(path) as image:
            image.load()
            # exif_transpose forgets the format, which the label errors want to know.
            upright, upright_format = ImageOps.exif_transpose(image), image.format
            upright.format = upright_format
            return upright
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(
            f"{path}: expected an image, found no such file; check the path."
        ) from None
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, struct.error, ...
        raise InputError(
            f"{path}: expected a whole image, found one that cannot be decoded ({error}); "
            "copy or extract it again."
        ) from error


def read_image(path: Path) -> np.ndarray:
    """Reads a frame. Orientation from EXIF is applied, transparency is ignored.

    Returns: uint8 (height, width, 3), RGB, 0..255; 16-bit grey is scaled to 8 bits.

    Raises:
        InputError: as `open_image`.
    """
    image = open_image(Path(path))
    if image.mode.startswith("I"):
        grey = np.clip(np.asarray(image), 0, 65535).astype(np.uint32)
        return np.repeat(((grey + 128) // 257).astype(np.uint8)[..., None], 3, axis=2)
    return np.array(image.convert("RGB"))


def working_size(height: int, width: int, lines: int = 480) -> tuple[int, int]:
    """The height and width in px at which the network sees a frame.

    Args:
        height: of the frame.
        width: of the frame.
        lines: the shorter side has at most so many px.
    """
    scale = min(1.0, lines / min(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def resize_image(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resizes an image: area average to shrink, bilinear to grow.

    Args:
        image: uint8 or float32 (H, W) or (H, W, C).
        height: of the result.
        width: of the result.

    Returns: the same type, (height, width) or (height, width, C).
    """
    if image.shape[:2] == (height, width):
        return image
    shrinks = height * width < image.shape[0] * image.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(image, (width, height), interpolation=method)


def resize_labels(labels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resizes labels by nearest neighbour.

    Args:
        labels: uint8 (H, W).
        height: of the result.
        width: of the result.

    Returns:
        uint8 (height, width), whose pixel (y, x) is the one at floor((y + 0.5) * H / height),
        floor((x + 0.5) * W / width): centres correspond, as in Pillow; plain cv2.INTER_NEAREST
        shifts labels by up to half a pixel.
    """
    if labels.shape[:2] == (height, width):
        return labels
    return cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
