"""Text files of image and annotation pairs, without Keras; `sample_lists.py` turns them into
samples."""

from pathlib import Path

from PIL import Image

from utils.errors import InputError

Pair = tuple[Path, Path]  # an image and its mask
_EXIF_ORIENTATION, _SIDEWAYS = 0x0112, (5, 6, 7, 8)


def read_pairs(list_path: Path) -> list[tuple[str, str]]:
    """Reads lines `JPEGImages/ID.jpg Annotations/ID.png`, paths relative to the data set.

    Empty lines and lines that begin with # do not count; a repeated line is returned as often.

    Raises: InputError if there is no such list, or a line is not a pair.
    """
    if not list_path.is_file():
        raise InputError(f"{list_path}: expected a list of images, found none; name another one.")
    pairs = []
    for number, line in enumerate(list_path.read_text(encoding="utf-8-sig").splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) != 2:
            raise InputError(
                f"{list_path}, line {number}: expected an image and an annotation, separated by "
                f"a space, found {line!r}; fix the line."
            )
        pairs.append((words[0], words[1]))
    return pairs


def pair_problem(image: Path, mask: Path, look_inside: bool) -> str:
    """Says what is wrong with an image and its mask.

    Args:
        image, mask: files.
        look_inside: also compare their sizes, which takes longer.

    Returns: a few words, "" if nothing is wrong.
    """
    absent = [path for path in (image, mask) if not path.is_file()]
    if absent:
        return f"{absent[0]} is not there"
    if look_inside:
        size = _upright_size(image)
        if size is None or size != _upright_size(mask):
            return f"{image} and its mask differ in size, or one is not an image"
    return ""


def _upright_size(path: Path) -> tuple[int, int] | None:
    """Width and height as `read_image` sees them, from the head of the file; None if unreadable."""
    try:
        with Image.open(path) as image:
            is_sideways = image.getexif().get(_EXIF_ORIENTATION) in _SIDEWAYS
            return image.size[::-1] if is_sideways else image.size
    except (OSError, SyntaxError, ValueError):
        return None
