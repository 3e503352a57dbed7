"""Image files: listing, reading and resizing frames. Labels: see `labels.py`.

Everything is read with Pillow: OpenCV turns palettes into colours and may return half of a
truncated JPEG without an error.
"""

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from utils.errors import InputError
from utils.files import is_broken_link
from utils.media.name_order import find_order, natural_key

FRAME_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
VIDEO_SUFFIXES = (
    ".mp4", ".mov", ".avi", ".webm", ".mkv", ".m4v", ".mpg", ".mpeg", ".wmv", ".asf", ".flv",
    ".3gp", ".ogv", ".ts", ".mts", ".m2ts", ".mxf", ".vob",
    ".h264", ".264", ".h265", ".265", ".hevc",
)  # fmt: skip
# Images that are not read. Among frames, they are frames that would be missing.
OTHER_IMAGE_SUFFIXES = (
    ".bmp", ".gif", ".tif", ".tiff", ".heic", ".heif", ".avif", ".jp2", ".jxl", ".jpe", ".jfif",
    ".pgm", ".ppm", ".pnm", ".tga", ".exr", ".dpx", ".dng", ".cr2", ".cr3", ".nef", ".arw",
)  # fmt: skip
STACK_FORMATS = ("GIF", "PNG", "TIFF", "WEBP")  # of Pillow; several pictures are an animation
HIGHEST_16_BIT = 65535
_TURNED = (5, 6, 7, 8)  # orientations of EXIF in which height and width change places


def list_files(
    folder: Path,
    suffixes: tuple[str, ...],
    order: Mapping[str, bool] | None = None,
    *,
    with_broken_links: bool = False,
) -> list[Path]:
    """Lists the files of a folder with one of `suffixes` (any letter case), by their stems.

    Hidden files are left out.

    Args:
        folder: the folder.
        suffixes: in lower case.
        order: from `find_order`, of all files where these are a part of them; None finds it.
        with_broken_links: whether links whose targets are missing are listed, not refused.

    Returns: the files in natural order.

    Raises:
        InputError: if there is no such folder, or if a file is a link whose target is missing.
    """
    folder = Path(folder)
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing"
        if is_broken_link(folder):
            found = f"a link whose target is missing ({os.readlink(folder)})"
        raise InputError(f"{folder}: expected a folder, found {found}; check the path.")
    files = []
    for path in folder.iterdir():
        if path.suffix.lower() not in suffixes or path.name.startswith("."):
            continue
        if path.is_file() or (with_broken_links and is_broken_link(path)):
            files.append(path)
        elif is_broken_link(path):
            raise InputError(
                f"{path}: expected a file, found a link whose target is missing "
                f"({os.readlink(path)}); fetch the target, or remove the link."
            )
    order = find_order([path.stem for path in files]) if order is None else order
    return sorted(files, key=lambda path: (natural_key(path.stem, **order), path.suffix))


def list_frames(folder: Path) -> list[Path]:
    """Lists the JPEG, PNG and WebP frames of a folder, or of a link to one.

    Returns: the files in natural order.

    Raises:
        InputError: if there is no such folder, no frame in it, something else that shows a video
            or a frame, or two frames of one stem, whose masks would overwrite each other.
    """
    frames = list_files(folder, FRAME_SUFFIXES)
    stems = {path.stem for path in frames}
    # A camera that writes each picture twice, as CR2 and as JPEG, leaves no gap.
    others = [p for p in list_files(folder, OTHER_IMAGE_SUFFIXES) if p.stem not in stems]
    others += list_files(folder, VIDEO_SUFFIXES)
    if not frames:
        folders = [p for p in sorted(folder.iterdir()) if p.is_dir() and p.name[0] != "."]
        found = "none; put them there"
        if others:
            found = f"only {join_few(others)}; convert them to PNG"
        elif folders:
            found = f"only the folders {join_few(folders)}; name one or several of these"
        raise InputError(f"{folder}: expected frames ({', '.join(FRAME_SUFFIXES)}), found {found}.")
    if others:
        raise InputError(
            f"{folder}: expected the frames of one video and nothing else, found "
            f"{join_few(frames)}, and {join_few(others)}, which would be left out; convert or "
            "move these."
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


def join_few(files: Sequence[Path]) -> str:
    """Returns the names of the first files, and how many there are beside them."""
    names = ", ".join(path.name for path in files[:2])
    return names + (f" and {len(files) - 2} more" if len(files) > 2 else "")


def open_image(path: Path) -> Image.Image:
    """Decodes an image file to its last byte and turns it upright, as EXIF says.

    Raises:
        InputError: if it is missing, empty, cut off or no image; the message names the file.
    """
    with _opened(path) as image:
        image.load()
        # exif_transpose forgets the format, which the label errors want to know.
        upright, upright_format = ImageOps.exif_transpose(image), image.format
        upright.format = upright_format
        return upright


def read_size(path: Path) -> tuple[int, int]:
    """Reads the height and width of an image, upright, mostly from its header alone.

    Raises:
        InputError: as `open_image`, but for files that are cut off behind the header.
    """
    with _opened(path) as image:
        is_turned = image.getexif().get(ExifTags.Base.Orientation, 1) in _TURNED
        return image.size if is_turned else image.size[::-1]


@contextlib.contextmanager
def _opened(path):
    """The only picture of a file, not yet decoded; whatever goes wrong with it is an InputError."""
    try:
        if path.stat().st_size == 0:
            raise InputError(f"{path}: expected an image, found 0 bytes; copy or extract it again.")
        with Image.open(path) as image:
            num_pictures = _count_pictures(image)
            if num_pictures > 1:
                raise InputError(
                    f"{path}: expected one picture, found {num_pictures} in one file, as in an "
                    "animation or a stack; save the right one as PNG."
                )
            yield image
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(
            f"{path}: expected an image, found no such file; check the path."
        ) from None
    except UnidentifiedImageError:
        raise InputError(
            f"{path}: expected a whole image, found a file that cannot be decoded as one; copy or "
            "extract it again, or save it as PNG with the program that made it."
        ) from None
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, struct.error, ...
        raise InputError(
            f"{path}: expected a whole image, found one that cannot be decoded ({error}); "
            "copy or extract it again."
        ) from error


def count_pictures(path: Path) -> int:
    """Returns how many pictures an animation or a stack (GIF, PNG, TIFF or WebP) has; 1 for any
    other file, whether it is an image or not."""
    try:
        with Image.open(path) as image:
            return _count_pictures(image)
    except Exception:  # whatever Pillow's decoders raise: it is no image that Pillow knows
        return 1


def _count_pictures(image: Image.Image) -> int:
    # The second picture of a JPEG (MPO) is a preview, those of a PSD are layers.
    return getattr(image, "n_frames", 1) if image.format in STACK_FORMATS else 1


def read_image(path: Path, highest: int = HIGHEST_16_BIT) -> np.ndarray:
    """Reads a frame. Orientation from EXIF is applied, transparency is ignored.

    Args:
        path: of the file.
        highest: what white is in files of 16 bits per channel: 4095 where a camera of 12 bits
            uses no more (`FrameFolder` finds out).

    Returns: uint8 (height, width, 3), RGB, 0..255.

    Raises:
        InputError: as `open_image`.
    """
    image = open_image(Path(path))
    if image.mode.startswith("I"):
        grey = np.clip(np.asarray(image), 0, HIGHEST_16_BIT)
        return np.repeat(to_8_bits(grey, highest)[..., None], 3, axis=2)
    if highest != HIGHEST_16_BIT and is_16_bit_png(path):
        return to_8_bits(_read_16_bit_colours(path), highest)
    return np.array(image.convert("RGB"))


def highest_value(path: Path) -> int:
    """Returns the highest value in a PNG of 16 bits per channel, 0 for any other file.

    Raises:
        InputError: as `open_image`.
    """
    if not is_16_bit_png(path):
        return 0
    image = open_image(path)
    return int((np.asarray(image) if image.mode[0] == "I" else _read_16_bit_colours(path)).max())


def is_16_bit_png(path: Path) -> bool:
    """Whether a file is a PNG of 16 bits per channel, by its first bytes."""
    try:
        with open(path, "rb") as file:
            header = file.read(25)
    except OSError:
        return False
    return header[:4] == b"\x89PNG" and header[24:] == b"\x10"


def white_level(highest: int) -> int:
    """What white is in frames of 16 bits per channel: all of the bits that are used.

    Args:
        highest: the highest value in any frame; 0 if no frame has 16 bits.
    """
    return 2 ** max(8, highest.bit_length()) - 1 if highest else HIGHEST_16_BIT


def to_8_bits(values: np.ndarray, highest: int) -> np.ndarray:
    """Scales values of 16 bits to uint8, so that `highest` becomes 255."""
    values = np.minimum(values.astype(np.uint32), highest)
    return ((values * 255 + highest // 2) // highest).astype(np.uint8)


def _read_16_bit_colours(path: Path) -> np.ndarray:
    """uint16 (height, width, 3), RGB. Pillow keeps 8 bits of these; it has decoded the file before,
    so it is whole."""
    values = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if values.ndim == 2:
        values = np.repeat(values[..., None], 3, axis=2)
    return values[..., 2::-1] if values.shape[2] >= 3 else np.repeat(values[..., :1], 3, axis=2)


def working_size(height: int, width: int, lines: int = 480) -> tuple[int, int]:
    """The height and width in px at which the network sees a frame.

    Args:
        height: of the frame.
        width: of the frame.
        lines: the shorter side has at most so many px.
    """
    return scaled_size(height, width, min(1.0, lines / min(height, width)))


def scaled_size(height: int, width: int, scale: float) -> tuple[int, int]:
    """Height and width of an image of this size at a scale, in px, at least 1."""
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
