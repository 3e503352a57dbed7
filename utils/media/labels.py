"""Label maps: the one meaning of labels, annotations and masks on disk, whatever wrote the file.

datasets/README.md states the rule in a table. A file is always read in the same way; only two
things depend on the other labels of its video, and `read_labels` takes care of both: colours
outside the DAVIS palette are numbered, and an animal that is the only one becomes animal 1.
"""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from utils.errors import InputError
from utils.files import write_atomically
from utils.media.images import open_image, resize_labels

VOID = 255  # in a label map: neither trained on nor scored
GREY_VOID, WHITE = 128, 255  # in grey files: void, and the animal of a file that has but one
MAX_ANIMALS = 32  # a file with more values or colours than this is a photo or a blurred label
_LOSSY = ("JPEG", "MPO")
_ADVICE = "save a black image with the animal in white as PNG, without anti-aliasing"
_FIRST_COLOUR = 256  # a colour that is no number is named by its 24 bits plus this


@dataclass(frozen=True, eq=False)
class LabelMap:
    """Which pixels belong to which animal.

    Attributes:
        values: uint8 (height, width), 0 background, 1..254 animals by their own numbers, 255 void.
        animals: the numbers of the animals, in increasing order. If several labels of a video were
            read together, these are the animals of all of them, and `values` may not show each.
    """

    values: np.ndarray
    animals: tuple[int, ...]

    @property
    def shown_animals(self) -> tuple[int, ...]:
        """The numbers of the animals that `values` shows, in increasing order."""
        return tuple(number for number in _used(self.values) if number not in (0, VOID))

    def resize(self, height: int, width: int) -> "LabelMap":
        """This label map at another size, by nearest neighbour."""
        return LabelMap(resize_labels(self.values, height, width), self.animals)


def read_label(path: Path, animals: Sequence[int] | None = None) -> LabelMap:
    """Reads one label, annotation or mask by itself.

    Animals keep the numbers that the file gives them: palette index, grey value or the place of the
    colour in the DAVIS palette. White is animal 1.

    Args:
        path: of the file.
        animals: those of its video, where they are known, as of masks in results/. The file may
            then show any of them and no other.

    Returns: the label map; its `animals` are the given ones, or else those that the file shows.

    Raises:
        InputError: naming the file if it is unreadable, is no label, can be understood in two ways,
            or shows an animal that is not one of `animals`.
    """
    content = _decode(Path(path))
    numbers = _number_animals([content])
    values, shown = content.number(numbers), tuple(sorted(numbers.values()))
    if animals is None:
        return LabelMap(values, shown)
    animals = tuple(sorted(animals))
    if content.is_black_and_white and len(animals) > 1:
        raise InputError(
            f"{path}: expected a palette PNG with an index per animal, found black and white as "
            "if there were one animal; label and segment each of them."
        )
    unexpected = [number for number in shown if number not in animals]
    if unexpected:
        raise InputError(
            f"{path}: expected no animals but {_join(animals)}, found {_join(unexpected)}; "
            "segment the video again."
        )
    return LabelMap(values, animals)


def read_labels(paths: Sequence[Path]) -> list[LabelMap]:
    """Reads labels of one video, in each of which other animals may be shown.

    An animal has one number in all of them. Colours outside the DAVIS palette get the numbers that
    are left, by their red, green and blue. An animal that is the only one in all labels is animal
    1, whatever its number in the files.

    Returns: a label map per path, all with the same `animals`.

    Raises:
        InputError: as `read_label`, and if there are more than MAX_ANIMALS animals in all.
    """
    contents = [_decode(Path(path)) for path in paths]
    numbers = _number_animals(contents, paths)
    animals = tuple(sorted(numbers.values()))
    return [LabelMap(content.number(numbers), animals) for content in contents]


def iterate_labels(paths: Sequence[Path]) -> Iterator[LabelMap]:
    """As `read_labels`, one label map at a time: reads each file twice, but holds only one.

    Raises:
        InputError: as `read_labels`, before the first label map.
    """
    contents = [_decode(Path(path)).without_pixels() for path in paths]
    numbers = _number_animals(contents, paths)
    animals = tuple(sorted(numbers.values()))
    for path in paths:
        yield LabelMap(_decode(Path(path)).number(numbers), animals)


def write_label(
    path: Path, values: np.ndarray, animals: Sequence[int] = (1,), *, as_palette: bool = False
) -> None:
    """Writes a label, annotation or mask as PNG, atomically, so that `read_label` gives it back.

    Animal 1 alone is written in grey: 0 background, 255 the animal, 128 void. Other or several
    animals are written as indices in the DAVIS palette, with 255 for void.

    Args:
        path: of the file.
        values: uint8 or bool (height, width), 0 background, numbers of `animals`, 255 void.
        animals: all animals of the video, whether `values` shows them or not.
        as_palette: writes indices even for animal 1 alone.

    Raises:
        ValueError: if the shape, type or values are not those.
    """
    values = np.asarray(values)
    if values.ndim != 2 or values.dtype not in (np.uint8, np.bool_):
        raise ValueError(f"values must be uint8 (height, width), got {values.dtype} {values.shape}")
    values = values.astype(np.uint8)
    unexpected = [v for v in _used(values) if v not in (0, VOID, *animals)]
    if unexpected or VOID in animals:
        raise ValueError(f"values contain {unexpected}, but the animals are {tuple(animals)}")
    if as_palette or set(animals) - {1}:
        image = Image.fromarray(values)
        image.putpalette(davis_palette().tobytes())
    else:
        grey = np.zeros(256, np.uint8)
        grey[[1, VOID]] = WHITE, GREY_VOID
        image = Image.fromarray(grey[values])
    write_atomically(path, lambda temporary_path: image.save(temporary_path, format="PNG"))


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


# What a file contains


class _NotALabelError(Exception):
    """Says what the image contains instead of labels and, where it is unusual, what to do."""

    def __init__(self, found: str, advice: str = ""):
        super().__init__(found)
        self.advice = advice


@dataclass(frozen=True, eq=False)
class _Content:
    """The pixels of a file, with its animals in the order of `names`.

    Attributes:
        places: uint8 (height, width), 0 background, 1..N the place in `names`, 255 void.
        names: what the file calls each animal: its number, or from _FIRST_COLOUR on its colour.
        is_black_and_white: the file numbers no animals; it has but one, in white.
    """

    places: np.ndarray
    names: tuple[int, ...]
    is_black_and_white: bool = False

    def without_pixels(self) -> "_Content":
        return replace(self, places=self.places[:0])

    def number(self, numbers: dict[int, int]) -> np.ndarray:
        """The values of the label map, where the animals have these numbers by their names."""
        table = np.arange(256, dtype=np.uint8)
        table[1 : len(self.names) + 1] = [numbers[name] for name in self.names]
        return table[self.places]


def _number_animals(contents: Sequence[_Content], of_video: Sequence[Path] = ()) -> dict[int, int]:
    """The numbers of the animals by their names; `of_video`: the paths of all labels of a video."""
    names = sorted({name for content in contents for name in content.names})
    if of_video and len(names) > MAX_ANIMALS:
        raise InputError(
            f"{of_video[0]} and the other labels of its video: expected at most {MAX_ANIMALS} "
            f"animals in all, found {len(names)}; give an animal one index or colour in each."
        )
    if of_video and len(names) == 1:
        return {names[0]: 1}
    free = (number for number in range(1, VOID) if number not in names)
    return {name: name if name < _FIRST_COLOUR else next(free) for name in names}


def _decode(path: Path) -> _Content:
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


def _decode_palette(image: Image.Image) -> _Content:
    indices, palette = np.asarray(image), _palette_of(image)
    used = [index for index in _used(indices) if index]
    black = [index for index in used if index < len(palette) and not palette[index].any()]
    if len(palette) and palette[0].any() and black:
        raise _NotALabelError(
            f"a palette whose index 0, the background, is not black while index {black[0]} is"
        )
    if used == [VOID] and (palette[VOID:] == 255).all() and len(palette) > VOID:
        return _Content((indices > 0).astype(np.uint8), (1,), is_black_and_white=True)
    animals = [index for index in used if index != VOID]
    if len(animals) > MAX_ANIMALS:
        raise _NotALabelError(f"{len(used)} different indices ({_shorten(used)})")
    return _Content(_find_places(indices, animals, VOID), tuple(animals))


def _decode_pixels(image: Image.Image) -> _Content:
    if image.mode in ("1", "L", "P") or image.mode.startswith("I"):
        return _decode_grey(np.asarray(image))
    pixels = np.asarray(image.convert("RGBA"))
    rgb, alpha = pixels[..., :3], pixels[..., 3]
    if (rgb == rgb[0, 0]).all() and alpha.min() != alpha.max():
        alphas = _used(alpha)
        if len(alphas) > 2 or alphas[0] != 0:
            raise _NotALabelError(f"one colour with alpha {_shorten(alphas)}")
        return _Content((alpha > 0).astype(np.uint8), (1,), is_black_and_white=True)
    if (rgb[..., 0] == rgb[..., 1]).all() and (rgb[..., 1] == rgb[..., 2]).all():
        return _decode_grey(rgb[..., 0])
    return _decode_colours(rgb)


def _decode_grey(values: np.ndarray) -> _Content:
    if values.dtype == np.bool_:
        values = values * np.uint8(WHITE)
    used = _used(values)
    if used[-1] > 255 and not any(value % 257 for value in used):
        values, used = (values // 257).astype(np.uint8), [value // 257 for value in used]
    animals = [value for value in used if value not in (0, GREY_VOID)]
    if len(animals) > 1 or (animals and animals != [WHITE] and GREY_VOID in used):
        _check_numbers(values, [value for value in used if value])
    places = _find_places(values, animals, GREY_VOID)
    if len(animals) == 1 and not 1 <= animals[0] < WHITE:
        return _Content(places, (1,), is_black_and_white=True)
    return _Content(places, tuple(animals))


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


def _decode_colours(rgb: np.ndarray) -> _Content:
    packed = _pack(rgb)
    used = np.unique(packed).tolist()
    if len(used) > MAX_ANIMALS + 2:  # background and void beside the animals
        raise _NotALabelError(f"{len(used)} different colours")
    if used[0] != 0 and len(used) > 1:
        raise _NotALabelError(f"{len(used)} colours, none of them black for the background")
    palette = _pack(davis_palette()).tolist()
    names = {colour: _FIRST_COLOUR + colour for colour in used}
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
    return _Content(places, tuple(names[colour] for colour in animals))


def _pack(rgb: np.ndarray) -> np.ndarray:
    """(..., 3) RGB as 24-bit numbers."""
    return rgb.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)


def _find_places(values: np.ndarray, animals: list[int], void: int) -> np.ndarray:
    places = np.zeros(values.shape, np.uint8)
    places[values == void] = VOID
    for place, value in enumerate(animals, start=1):
        places[values == value] = place
    return places


def _used(values: np.ndarray) -> list[int]:
    if values.dtype == np.uint8:
        return np.flatnonzero(np.bincount(values.ravel(), minlength=1)).tolist()
    return np.unique(values).astype(np.int64).tolist()


def _shorten(values: list[int]) -> str:
    shown = [str(value) for value in values[:4]] + ["..."] * (len(values) > 5)
    return ", ".join(shown + [str(value) for value in values[4:][-1:]])


def _join(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers)) or "none"
