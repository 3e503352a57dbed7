"""Image files: frames in, labels in, masks out (DESIGN.md, section 3).

Everything is read with Pillow: OpenCV turns palettes into colours and may return half of a
truncated JPEG without a word.
"""

import functools
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from utils.errors import InputError
from utils.files import write_atomically

FRAME_SUFFIXES = (".jpg", ".jpeg", ".png")
VOID = 255
_LOSSY = ("JPEG", "MPO")
_FIRST_COLOUR = 256  # a colour that is no number is called by its 24 bits plus this
MAX_ANIMALS = 32  # more values or colours than this are a photo or lossy labels, not a label map


def natural_key(name: str) -> tuple:
    """Sort key that puts `frame2` before `frame10`, whatever the letter case; never a tie."""
    parts = re.split(r"([0-9]+)", unicodedata.normalize("NFC", name).casefold())
    # Odd positions are the digits, so that numbers only ever meet numbers.
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], name


def list_files(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """The files of a folder with one of `suffixes` (any letter case), in natural order.

    Hidden files are left out. Raises: InputError if there is no such folder.
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
    return sorted(files, key=lambda path: natural_key(path.name))


def list_frames(folder: Path) -> list[Path]:
    """The JPEG and PNG frames of a folder (or a link to one), in natural order.

    Raises: InputError if there is no such folder, no frame in it, or two frames of one stem, whose
        masks would overwrite each other.
    """
    frames = list_files(folder, FRAME_SUFFIXES)
    if not frames:
        raise InputError(
            f"{folder}: expected frames (.jpg, .jpeg, .png), found none; put them there."
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


def _open(path: Path) -> Image.Image:
    """Decodes an image file to its last byte, turned upright."""
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

    Raises: InputError naming the file if it is missing, empty, cut off or no image.
    """
    image = _open(Path(path))
    if image.mode.startswith("I"):
        grey = np.clip(np.asarray(image), 0, 65535).astype(np.uint32)
        return np.repeat(((grey + 128) // 257).astype(np.uint8)[..., None], 3, axis=2)
    return np.array(image.convert("RGB"))


def read_annotation(path: Path) -> np.ndarray:
    """Reads a label or annotation, whatever program made it.

    - One value besides 0 (1-bit, grey, black/white RGB, palette index): that value is animal 1, be
      it 1, 128, 255 or 65535. An image of a single value other than 0 is animal everywhere.
    - Grey with 128 and 255: 128 is void, 255 animal 1.
    - Grey or palette with small values 0..N: animals 1..N, 255 void. Gaps are closed: the values of
      this file are renumbered from 1 in increasing order. A palette counts by index, not colour.
    - Coloured RGB: black is background, every other colour an animal, numbered by its place in the
      DAVIS palette (whose last colour is void), then other colours by their red, green, blue.
    - RGBA of one colour and two alphas: what is not transparent is animal 1. Else alpha is ignored.

    Returns: uint8 (height, width): 0 background, 1..N (at most MAX_ANIMALS) animals, 255 void.

    Raises: InputError naming the file if it is none of these, or unreadable.
    """
    return _read_labels(Path(path))[0]


def read_annotations(paths: Sequence[Path]) -> list[np.ndarray]:
    """Reads labels of one video, in each of which other animals may be labelled.

    As `read_annotation`, but an animal has one number in all of them: its index or grey value, the
    place of its colour in the DAVIS palette; colours not in there get the numbers that are left,
    by their red, green, blue. An animal in white (or other than 0..MAX_ANIMALS in grey) is animal
    1. If there is but one animal in all, it is animal 1 whatever its number.

    Returns: uint8 (height, width) each: 0 background, 1..254 animals, 255 void.

    Raises: InputError as `read_annotation`.
    """
    files = [_read_labels(Path(path)) for path in paths]
    names = sorted({name for _, names in files for name in names})
    if len(names) > MAX_ANIMALS:
        raise InputError(
            f"{paths[0]} and the other labels of its video: expected at most {MAX_ANIMALS} animals "
            f"in all, found {len(names)}; give an animal one index or colour in all of them."
        )
    free = [number for number in range(1, VOID) if number not in names]
    numbers = {name: name if name < _FIRST_COLOUR else free.pop(0) for name in names}
    if len(names) == 1:
        numbers = {names[0]: 1}
    for labels, names in files:
        new = np.arange(256, dtype=np.uint8)
        new[1 : len(names) + 1] = [numbers[name] for name in names]
        labels[...] = new[labels]
    return [labels for labels, _ in files]


def _read_labels(path: Path) -> tuple[np.ndarray, list[int]]:
    """`read_annotation`'s labels, and what the file calls each of its animals: a number, or from
    _FIRST_COLOUR on a colour."""
    image = _open(path)
    try:
        if image.mode == "P" and not _has_grey_palette(image):
            return _labels_from_palette(image)
        labels, names = _labels_from_pixels(image)
        if image.format in _LOSSY and len(names) > 1:
            raise _NotALabelError("more than two values in a JPEG")
        return labels, names
    except _NotALabelError as error:
        advice = (
            "JPEG blurs labels: export them as PNG"
            if image.format in _LOSSY
            else "save a black image with the animal in white as PNG, without anti-aliasing"
        )
        raise InputError(
            f"{path}: expected a label (few exact values, 0 = background), found {error}; {advice}."
        ) from error


class _NotALabelError(Exception):
    """Says what the image holds instead of labels."""


def _palette_of(image: Image.Image) -> np.ndarray:
    return np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)


def _has_grey_palette(image: Image.Image) -> bool:
    """Whether index and grey value are the same thing, as some programs save grey images."""
    palette = _palette_of(image)
    return len(palette) > 2 and bool((palette == np.arange(len(palette))[:, None]).all())


def _labels_from_palette(image: Image.Image) -> tuple[np.ndarray, list[int]]:
    indices, palette = np.asarray(image), _palette_of(image)
    black = [i for i in _used(indices) if i and i < len(palette) and not palette[i].any()]
    if len(palette) and palette[0].any() and black:
        raise _NotALabelError(
            f"a palette whose index 0, the background, is not black while index {black[0]} is"
        )
    labels, names = _labels_from_values(indices, is_grey=False)
    if len(names) == 1 and (palette[names[0] : names[0] + 1] == 255).sum() == 3:
        names = [1]  # black and white, by whatever index
    return labels, names


def _labels_from_pixels(image: Image.Image) -> tuple[np.ndarray, list[int]]:
    if image.mode in ("1", "L", "P") or image.mode.startswith("I"):
        return _labels_from_values(np.asarray(image), is_grey=True)
    pixels = np.asarray(image.convert("RGBA"))
    rgb, alpha = pixels[..., :3], pixels[..., 3]
    if (rgb == rgb[0, 0]).all() and alpha.min() != alpha.max():
        alphas = _used(alpha)
        if len(alphas) > 2 or alphas[0] != 0:
            raise _NotALabelError(f"one colour with alpha {_few(alphas)}")
        return (alpha > 0).astype(np.uint8), [1]
    if (rgb[..., 0] == rgb[..., 1]).all() and (rgb[..., 1] == rgb[..., 2]).all():
        return _labels_from_values(rgb[..., 0], is_grey=True)
    return _labels_from_colours(rgb)


def _labels_from_values(values: np.ndarray, is_grey: bool) -> tuple[np.ndarray, list[int]]:
    used = _used(values)
    if is_grey and used[-1] > 255 and not any(value % 257 for value in used):
        values, used = values // 257, [value // 257 for value in used]  # 8 bits saved as 16
    nonzero = [value for value in used if value]
    if is_grey and nonzero == [128, 255]:
        animals, void = [255], [128]
    elif len(nonzero) <= 1:
        animals, void = nonzero, []
    else:
        animals, void = [v for v in nonzero if v != VOID], [v for v in nonzero if v == VOID]
        too_large = is_grey and animals[-1] > MAX_ANIMALS
        if used[0] < 0 or len(animals) > MAX_ANIMALS or too_large:
            raise _NotALabelError(f"{len(used)} different values ({_few(used)})")
    labels = np.zeros(values.shape, np.uint8)
    for number, value in enumerate(animals, start=1):
        labels[values == value] = number
    for value in void:
        labels[values == value] = VOID
    is_number = not is_grey or len(animals) != 1 or 1 <= animals[0] <= MAX_ANIMALS
    return labels, animals if is_number and animals != [VOID] else [1]


def _labels_from_colours(rgb: np.ndarray) -> tuple[np.ndarray, list[int]]:
    packed = rgb.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
    used = np.unique(packed).tolist()
    if len(used) > MAX_ANIMALS + 2:  # background and void beside the animals
        raise _NotALabelError(f"{len(used)} different colours")
    if used[0] != 0 and len(used) > 1:
        raise _NotALabelError(f"{len(used)} colours, none of them black for the background")
    palette = davis_palette().astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
    places = {colour: place for place, colour in enumerate(palette.tolist())}
    animals = [colour for colour in used if places.get(colour) not in (0, VOID)]
    animals.sort(key=lambda colour: (places.get(colour, 256), colour))
    if len(animals) > MAX_ANIMALS:
        raise _NotALabelError(f"{len(used)} different colours")
    labels = np.zeros(packed.shape, np.uint8)
    labels[packed == palette[VOID]] = VOID
    for number, colour in enumerate(animals, start=1):
        labels[packed == colour] = number
    return labels, [places.get(colour, _FIRST_COLOUR + colour) for colour in animals]


def _used(values: np.ndarray) -> list[int]:
    if values.dtype == np.uint8:
        return np.flatnonzero(np.bincount(values.ravel(), minlength=1)).tolist()
    return np.unique(values).astype(np.int64).tolist()


def _few(values: list[int]) -> str:
    shown = [str(value) for value in values[:4]] + ["..."] * (len(values) > 5)
    return ", ".join(shown + [str(value) for value in values[4:][-1:]])


@functools.cache
def davis_palette() -> np.ndarray:
    """The colour map of PASCAL VOC and DAVIS: uint8 (256, 3), RGB, read-only.

    Source: VOCcolormap of the VOC development kit; bit 3j+c of the index is bit 7-j of colour c.
    """
    index = np.arange(256)[:, None]
    bits = [((index >> (3 * j + np.arange(3))) & 1) << (7 - j) for j in range(8)]
    palette = np.sum(bits, axis=0).astype(np.uint8)
    palette.flags.writeable = False
    return palette


def write_mask(path: Path, mask: np.ndarray, num_animals: int = 1) -> None:
    """Writes a mask as PNG, atomically: 0/255 grey for one animal, DAVIS palette for several.

    Args:
        mask: uint8 or bool (height, width), 0 background, 1..num_animals.

    Raises: ValueError if the mask's shape or values are not those.
    """
    mask = np.asarray(mask)
    if mask.ndim != 2 or mask.dtype not in (np.uint8, np.bool_):
        raise ValueError(f"mask must be uint8 (height, width), got {mask.dtype} {mask.shape}")
    if mask.max(initial=0) > num_animals:
        raise ValueError(f"mask holds {mask.max()}, but there are {num_animals} animals")
    mask = mask.astype(np.uint8)
    if num_animals == 1:
        image = Image.fromarray(mask * np.uint8(255))
    else:
        image = Image.fromarray(mask)
        image.putpalette(davis_palette().tobytes())
    write_atomically(path, lambda aside: image.save(aside, format="PNG"))


def read_mask(path: Path) -> np.ndarray:
    """Reads what `write_mask` wrote; unlike `read_annotation` it keeps the numbers of the animals.

    Returns: uint8 (height, width), 0 background, 1..N.

    Raises: InputError naming the file if `write_mask` cannot have written it, or it is unreadable.
    """
    image = _open(Path(path))
    values = np.array(image)
    if image.mode == "P":
        return values
    if image.mode != "L" or any(value not in (0, 255) for value in _used(values)):
        raise InputError(
            f"{path}: expected a mask of this project (0/255 or palette PNG), found mode "
            f"{image.mode} or other values; delete it and segment the video again."
        )
    return values // np.uint8(255)


def working_size(height: int, width: int, lines: int = 480) -> tuple[int, int]:
    """Height and width at which the network sees a frame: the shorter side at most `lines` px."""
    scale = min(1.0, lines / min(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def resize_image(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resizes (H, W) or (H, W, C) to (height, width): area average to shrink, bilinear to grow."""
    if image.shape[:2] == (height, width):
        return image
    shrinks = height * width < image.shape[0] * image.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(image, (width, height), interpolation=method)


def resize_labels(labels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resizes uint8 (H, W) labels to (height, width) by nearest neighbour.

    Pixel (y, x) takes the value at floor((y + 0.5) * H / height), floor((x + 0.5) * W / width):
    centres correspond, as in Pillow; plain cv2.INTER_NEAREST shifts labels by up to half a pixel.
    """
    if labels.shape[:2] == (height, width):
        return labels
    return cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
