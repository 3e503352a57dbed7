"""Which image and mask files of a data set are missing, or do not fit together."""

from pathlib import Path

from PIL import Image

Pair = tuple[Path, Path]  # an image and its mask
_EXIF_ORIENTATION, _SIDEWAYS = 0x0112, (5, 6, 7, 8)


def report_pairs(pairs: dict[str, list[Pair]], look_inside: bool) -> bool:
    """Prints how many pairs of each list are complete.

    Args:
        pairs: title of the list -> its pairs; lists may overlap.
        look_inside: also compare the sizes of image and mask.

    Returns:
        whether all pairs of all lists are complete.
    """
    every_pair = {pair for listed in pairs.values() for pair in listed}
    problems = {pair: pair_problem(*pair, look_inside) for pair in every_pair}
    for title, listed in pairs.items():
        wrong = [problems[pair] for pair in listed if problems[pair]]
        print(f"  {title}: {len(listed) - len(wrong)} of {len(listed)} pairs")
        if 0 < len(wrong) < len(listed):
            print(f"    {len(wrong)} missing or wrong, the first: {'; '.join(wrong[:3])}")
    return not any(problems.values())


def pair_problem(image: Path, mask: Path, look_inside: bool) -> str:
    """Returns in a few words what is wrong with an image and its mask, "" if nothing is.

    Args:
        image: the image file.
        mask: the mask file.
        look_inside: also compare their sizes, as the heads of the files give them.
    """
    missing = [path for path in (image, mask) if not path.is_file()]
    if missing:
        return f"{missing[0]} is missing"
    if look_inside:
        size = _upright_size(image)
        if size is None or size != _upright_size(mask):
            return f"{image} and its mask differ in size, or one is not an image"
    return ""


def _upright_size(path: Path) -> tuple[int, int] | None:
    """Returns width and height as `read_image` sees them, None for an unreadable file."""
    try:
        with Image.open(path) as image:
            is_sideways = image.getexif().get(_EXIF_ORIENTATION) in _SIDEWAYS
            return image.size[::-1] if is_sideways else image.size
    except (OSError, SyntaxError, ValueError):
        return None
