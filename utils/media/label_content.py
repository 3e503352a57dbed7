"""What a label file contains: its pixels, and its animals by the names that the file gives them.

`labels.py` gives the animals their numbers; datasets/README.md states the rule in a table.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from utils.errors import InputError
from utils.media.images import open_image
from utils.media.label_doubts import Colour, find_doubtful

VOID = 255  # in a label map: neither trained on nor scored
GREY_VOID, WHITE = 128, 255  # in grey files: void, and the animal of a file that has but one
MAX_ANIMALS = 32  # a file with more values or colours than this is a photo or a blurred label
FIRST_COLOUR = 256  # a colour that is no number is named by its 24 bits plus this
_LOSSY = ("JPEG", "MPO")
_ADVICE = "save a black image with the animal in white as PNG, without anti-aliasing"


@functools.cache
def davis_palette() -> np.ndarray:
    """The colour map of PASCAL VOC and DAVIS.

    Source: VOCcolormap of the VOC development kit; bit 3j+c of the index is bit 7-j of colour c.

    Returns: uint8 (256, 3), RGB, read-only.
    """
    index = np.arange(256)[:, None]
    bits = [((index >> (3 * j + np.arange(3))) & 1) << (7 - j) for j in range(8)]
    palette = np.sum(bits, axis=0).astype(np.uint8)
    palette.flags.writeable = False
    return palette


class _NotALabelError(Exception):
    """Says what the image contains instead of labels and, where it is unusual, what to do."""

    def __init__(self, found: str, advice: str = ""):
        super().__init__(found)
        self.advice = advice


@dataclass(frozen=True, eq=False)
class Content:
    """The pixels of a file, with its animals in the order of `names`.

    Attributes:
        places: uint8 (height, width), 0 background, 1..N the place in `names`, 255 void.
        names: what the file calls each animal: its number, or from FIRST_COLOUR on its colour.
        colours: RGB of each animal, as the file shows it.
        background, void: RGB of these.
        is_black_and_white: the file numbers no animals; it has but one, in white.
    """

    places: np.ndarray
    names: tuple[int, ...]
    is_black_and_white: bool = False
    colours: tuple[Colour, ...] = ()
    background: Colour = (0, 0, 0)
    void: Colour = (255, 255, 255)

    def without_pixels(self) -> "Content":
        return replace(self, places=self.places[:0].copy())  # a view would hold all of them

    def number(self, numbers: Mapping[int, int]) -> np.ndarray:
        """The values of the label map, where the animals have these numbers by their names."""
        table = np.arange(256, dtype=np.uint8)
        table[1 : len(self.names) + 1] = [numbers[name] for name in self.names]
        return table[self.places]


def check_one_way(path: Path, content: Content) -> None:
    """Raises InputError if some of the animals may be edges or noise of others."""
    if len(content.names) < 2:
        return
    shown = {0: content.background, **dict(enumerate(content.colours, start=1))}
    shown |= {VOID: content.void} if (content.places == VOID).any() else {}
    by_colour = content.names[-1] >= FIRST_COLOUR
    doubtful = find_doubtful(content.places, shown, by_colour=by_colour)
    if not doubtful:
        return
    counts = [
        f"{_name(content.names[place - 1], content.colours[place - 1])} "
        f"({np.count_nonzero(content.places == place)} px)"
        for place in range(1, len(content.names) + 1)
    ]
    found = ", ".join(counts[:8]) + ", ..." * (len(counts) > 8)
    raise InputError(
        f"{path}: expected a label (few exact values, 0 = background), found {found}, which can be "
        f"understood in two ways: as {len(counts)} animals, or as the smooth or lossy edges of "
        f"fewer; {_ADVICE}."
    )


def _name(name: int, colour: Colour) -> str:
    return f"the value {name}" if name < FIRST_COLOUR else f"the colour {colour}"


def decode_label(path: Path) -> Content:
    image = open_image(path)
    try:
        if image.mode == "P" and not _has_grey_palette(image):
            return _decode_palette(image)
        content = _decode_pixels(image)
        if image.format in _LOSSY and len(content.names) > 1:
            raise _NotALabelError("more than two values in a JPEG")
        return content
    except _NotALabelError as error:
        advice = error.advice or _ADVICE
        if image.format in _LOSSY:
            advice = "JPEG blurs labels: export them as PNG"
        raise InputError(
            f"{path}: expected a label (few exact values, 0 = background), found {error}; {advice}."
        ) from error


def _has_grey_palette(image: Image.Image) -> bool:
    """Whether index and grey value are the same thing, as some programs save grey images."""
    palette = _palette_of(image)
    return len(palette) > 2 and bool((palette == np.arange(len(palette))[:, None]).all())


def _palette_of(image: Image.Image) -> np.ndarray:
    return np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)


def _decode_palette(image: Image.Image) -> Content:
    indices, palette = np.asarray(image), _palette_of(image)
    used = [index for index in used_values(indices) if index]
    black = [index for index in used if index < len(palette) and not palette[index].any()]
    if len(palette) and palette[0].any() and black:
        raise _NotALabelError(
            f"a palette whose index 0, the background, is not black while index {black[0]} is"
        )
    hidden = [index for index in used if _is_transparent(image, index)]
    if hidden and not _is_transparent(image, 0) and not indices.all():
        raise _NotALabelError(
            f"a palette whose index {hidden[0]} is transparent while index 0, the background, is "
            "not, which can be understood in two ways",
            "save it without transparency, on black",
        )
    if used == [VOID] and (palette[VOID:] == 255).all() and len(palette) > VOID:
        return Content((indices > 0).astype(np.uint8), (1,), is_black_and_white=True)
    animals = [index for index in used if index != VOID]
    if len(animals) > MAX_ANIMALS:
        raise _NotALabelError(f"{len(used)} different indices ({_shorten(used)})")
    colours = [tuple(palette[i].tolist()) if i < len(palette) else (0, 0, 0) for i in range(256)]
    return Content(
        _find_places(indices, animals, VOID),
        tuple(animals),
        colours=tuple(colours[index] for index in animals),
        background=colours[0],
        void=colours[VOID],
    )


def _is_transparent(image: Image.Image, index: int) -> bool:
    transparency = image.info.get("transparency")  # one index, or the alpha of the first ones
    if isinstance(transparency, bytes):
        return index < len(transparency) and transparency[index] == 0
    return transparency == index


def _decode_pixels(image: Image.Image) -> Content:
    if image.mode in ("1", "L", "P") or image.mode.startswith("I"):
        return _decode_grey(np.asarray(image))
    if image.mode == "F":
        return _decode_float(np.asarray(image))
    try:
        pixels = np.asarray(image.convert("RGBA"))
    except ValueError:  # a colour space that Pillow does not convert
        raise _NotALabelError(f"an image in mode {image.mode}") from None
    rgb, alpha = pixels[..., :3], pixels[..., 3]
    if (rgb == rgb[0, 0]).all() and alpha.min() != alpha.max():
        alphas = used_values(alpha)
        if len(alphas) > 2 or alphas[0] != 0:
            raise _NotALabelError(f"one colour with alpha {_shorten(alphas)}")
        return Content((alpha > 0).astype(np.uint8), (1,), is_black_and_white=True)
    if (rgb[..., 0] == rgb[..., 1]).all() and (rgb[..., 1] == rgb[..., 2]).all():
        content = _decode_grey(rgb[..., 0])
    else:
        content = _decode_colours(rgb)
    num_hidden = np.count_nonzero((alpha == 0) & (content.places > 0))
    if num_hidden and alpha.any():
        raise _NotALabelError(
            f"{num_hidden} px of an animal that are transparent, which can be understood in two "
            "ways",
            "save it without transparency, on black",
        )
    return content


def _decode_float(values: np.ndarray) -> Content:
    whole = np.nan_to_num(values, nan=-1).round().clip(-1, 65535).astype(np.int32)
    if not np.array_equal(whole, values) or whole.min() < 0:
        raise _NotALabelError("numbers with fractions, as of probabilities")
    return _decode_grey(whole)


def _decode_grey(values: np.ndarray) -> Content:
    if values.dtype == np.bool_:
        values = values * np.uint8(WHITE)
    used = used_values(values)
    if used[-1] > 255 and not any(value % 257 for value in used):
        values, used = (values // 257).astype(np.uint8), [value // 257 for value in used]
    animals = [value for value in used if value not in (0, GREY_VOID)]
    if len(animals) > 1 or (animals and animals != [WHITE] and GREY_VOID in used):
        _check_numbers(values, [value for value in used if value])
    places = _find_places(values, animals, GREY_VOID)
    if len(animals) == 1 and not 1 <= animals[0] < WHITE:
        return Content(places, (1,), is_black_and_white=True)
    return Content(places, tuple(animals), colours=tuple((value,) * 3 for value in animals))


def _check_numbers(values: np.ndarray, nonzero: list[int]) -> None:
    """Raises _NotALabelError unless these grey values can only be numbers of animals."""
    if nonzero[0] > 0 and nonzero[-1] <= MAX_ANIMALS:
        return
    counts = [f"{value} ({np.count_nonzero(values == value)} px)" for value in nonzero[:8]]
    found = f"the grey values {', '.join(counts)}" + ", ..." * (len(nonzero) > 8)
    small = [value for value in nonzero if value not in (GREY_VOID, WHITE)]
    if 0 < small[0] and small[-1] <= MAX_ANIMALS:
        raise _NotALabelError(
            f"{found}, which can be understood in two ways",
            f"paint either one animal in {WHITE} (with {GREY_VOID} for void) and nothing else, or "
            "the animals in 1, 2, 3, ... without 128 and 255",
        )
    raise _NotALabelError(found)


def unpack_colour(packed: int) -> Colour:
    """The red, green and blue, 0..255, of the 24 bits of a colour."""
    return packed >> 16, packed >> 8 & 255, packed & 255


def _decode_colours(rgb: np.ndarray) -> Content:
    packed = _pack(rgb)
    used = np.unique(packed).tolist()
    if len(used) > MAX_ANIMALS + 2:  # background and void beside the animals
        raise _NotALabelError(f"{len(used)} different colours")
    if used[0] != 0 and len(used) > 1:
        raise _NotALabelError(f"{len(used)} colours, none of them black for the background")
    palette = _pack(davis_palette()).tolist()
    names = {colour: FIRST_COLOUR + colour for colour in used}
    names |= {colour: place for place, colour in enumerate(palette) if colour in names}
    white = int(_pack(np.full(3, 255)))
    if white in names:  # as in a label of the same video that shows no other animal
        names[white] = 1
        if palette[1] in names:
            raise _NotALabelError(
                "animals in white and in the dark red (128, 0, 0), both of which are animal 1",
                "give one of them another colour in all labels of the video",
            )
    animals = [colour for colour in used if names[colour] not in (0, VOID)]
    if len(animals) > MAX_ANIMALS:
        raise _NotALabelError(f"{len(used)} different colours")
    places = np.zeros(packed.shape, np.uint8)
    places[packed == palette[VOID]] = VOID
    for place, colour in enumerate(animals, start=1):
        places[packed == colour] = place
    colours = tuple(map(unpack_colour, animals))
    void = tuple(davis_palette()[VOID].tolist())
    return Content(places, tuple(names[colour] for colour in animals), colours=colours, void=void)


def _pack(rgb: np.ndarray) -> np.ndarray:
    """(..., 3) RGB as 24-bit numbers."""
    return rgb.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)


def _find_places(values: np.ndarray, animals: list[int], void: int) -> np.ndarray:
    places = np.zeros(values.shape, np.uint8)
    places[values == void] = VOID
    for place, value in enumerate(animals, start=1):
        places[values == value] = place
    return places


def used_values(values: np.ndarray) -> list[int]:
    if values.dtype == np.uint8:
        return np.flatnonzero(np.bincount(values.ravel(), minlength=1)).tolist()
    return np.unique(values).astype(np.int64).tolist()


def _shorten(values: list[int]) -> str:
    shown = [str(value) for value in values[:4]] + ["..."] * (len(values) > 5)
    return ", ".join(shown + [str(value) for value in values[4:][-1:]])
