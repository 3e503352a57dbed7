"""Text files of image and annotation pairs, without Keras; `sample_lists.py` turns them into
samples."""

from pathlib import Path

from utils.errors import InputError
from utils.files import read_text


def read_pairs(list_path: Path) -> list[tuple[str, str]]:
    """Reads lines `JPEGImages/ID.jpg Annotations/ID.png`, paths relative to the data set.

    Empty lines and lines that begin with # do not count; a repeated line is returned as often.

    Raises:
        InputError: if there is no such list, it is no text in UTF-8 or UTF-16, or a line is not a
            pair.
    """
    if not list_path.is_file():
        raise InputError(f"{list_path}: expected a list of images, found none; name another one.")
    pairs = []
    for number, line in enumerate(read_text(list_path).splitlines(), 1):
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
