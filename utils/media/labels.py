"""Label maps: the one meaning of labels, annotations and masks on disk, whatever wrote the file.

datasets/README.md states the rule in a table. A file is always read in the same way; only two
things depend on the other labels of its video, and `read_labels` takes care of both: colours
outside the DAVIS palette are numbered, and an animal that is the only one becomes animal 1.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from utils.errors import InputError
from utils.files import write_atomically
from utils.media.images import resize_labels
from utils.media.label_content import (
    FIRST_COLOUR,
    GREY_VOID,
    MAX_ANIMALS,
    VOID,
    WHITE,
    Content,
    check_one_way,
    davis_palette,
    decode_label,
    unpack_colour,
    used_values,
)

__all__ = [
    "MAX_ANIMALS",
    "VOID",
    "LabelMap",
    "davis_palette",
    "iterate_labels",
    "labelled_animals",
    "number_animals",
    "number_colours",
    "read_label",
    "read_labels",
    "write_coloured_label",
    "write_label",
]


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
        return tuple(number for number in used_values(self.values) if number not in (0, VOID))

    def masks(self) -> dict[int, np.ndarray]:
        """Number -> bool (height, width), of each animal that `values` shows."""
        return {number: self.values == number for number in self.shown_animals}

    def resize(self, height: int, width: int) -> "LabelMap":
        """This label map at another size, by nearest neighbour."""
        return LabelMap(resize_labels(self.values, height, width), self.animals)


def labelled_animals(labels: Iterable[LabelMap]) -> list[int]:
    """The numbers of all animals of a video's labels, in increasing order."""
    return sorted({animal for label in labels for animal in label.animals})


def number_animals(paths: Sequence[Path], first: Sequence[Path] = ()) -> dict[int, int]:
    """The numbers of the animals of a video by the names that its labels give them.

    Args:
        paths: of the labels of one video.
        first: those of them that have been read without the others, as by a run that they guided:
            if they show several animals, these keep the numbers that they got there.

    Returns: {name: number} for `read_label`.

    Raises:
        InputError: as `iterate_labels`.
    """
    contents = {path: decode_label(Path(path)).without_pixels() for path in paths}
    return _number_animals(list(contents.values()), paths, first=[contents[path] for path in first])


def number_colours(paths: Sequence[Path]) -> tuple[dict[int, int], tuple[Path, ...]]:
    """The numbers of the animals of several labels, where some have colours of their own.

    Args:
        paths: of the labels; files that are no labels are passed over.

    Returns: {name: number} for `read_label`, empty without such colours or with too many animals,
        and the files with them.
    """
    contents = {}
    for path in paths:
        with contextlib.suppress(InputError):
            contents[path] = decode_label(Path(path)).without_pixels()
    coloured = tuple(
        path for path, content in contents.items() if max(content.names, default=0) >= FIRST_COLOUR
    )
    names = {name for content in contents.values() for name in content.names}
    if not coloured or len(names) > MAX_ANIMALS:
        return {}, ()
    return _number_animals(list(contents.values())), coloured


def read_label(
    path: Path,
    animals: Sequence[int] | None = None,
    numbers: Mapping[int, int] | None = None,
) -> LabelMap:
    """Reads one label, annotation or mask by itself.

    Animals keep the numbers that the file gives them: palette index, grey value or the place of the
    colour in the DAVIS palette. White is animal 1.

    Args:
        path: of the file.
        animals: those of its video, where they are known, as of masks in results/. The file may
            then show any of them and no other.
        numbers: of the animals by their names, from `number_animals`, in place of the file's own.

    Returns: the label map; its `animals` are the given ones, or else those that the file shows.

    Raises:
        InputError: naming the file if it is unreadable, is no label, can be understood in two ways,
            or shows an animal that is not one of `animals` or of `numbers`.
    """
    content = decode_label(Path(path))
    if numbers is None:
        numbers = _number_animals([content])
    for name, colour in zip(content.names, content.colours, strict=False):
        if name not in numbers:
            raise InputError(
                f"{path}: expected animals in the colours of the annotations, found the colour "
                f"{colour}; give each animal one colour, or one index of a palette, in both."
            )
    values, shown = content.number(numbers), tuple(sorted(numbers[n] for n in content.names))
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
        InputError: as `read_label`, if there are more than MAX_ANIMALS animals in all, and if some
            of them may be smoothed edges or noise of others (`label_doubts.py`).
    """
    contents = [decode_label(Path(path)) for path in paths]
    numbers = _number_animals(contents, paths)
    for path, content in zip(paths, contents, strict=True):
        check_one_way(path, content)
    animals = tuple(sorted(numbers.values()))
    return [LabelMap(content.number(numbers), animals) for content in contents]


def iterate_labels(paths: Sequence[Path], *, as_masks: bool = False) -> Iterator[LabelMap]:
    """As `read_labels`, one label map at a time: reads each file twice, but holds only one.

    Args:
        paths: of the labels of one video.
        as_masks: they are masks, whatever program made them: an animal that is the only one keeps
            its number, as in `read_label`, and there may be 254 in all.

    Raises:
        InputError: as `read_labels`, before the first label map.
    """
    contents = [decode_label(Path(path)).without_pixels() for path in paths]
    numbers = _number_animals(contents, paths, as_masks=as_masks)
    animals = tuple(sorted(numbers.values()))
    for path in paths:
        yield LabelMap(decode_label(Path(path)).number(numbers), animals)


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
    unexpected = [v for v in used_values(values) if v not in (0, VOID, *animals)]
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


def write_coloured_label(path: Path, values: np.ndarray, numbers: Mapping[int, int]) -> None:
    """Writes a label in RGB, atomically, for a video whose other labels name animals by colours.

    Args:
        path: of the file.
        values: uint8 (height, width), 0 background, numbers of animals.
        numbers: {name: number} of `number_colours`; an animal that has no colour there gets that
            of its number in the DAVIS palette.
    """
    colours = davis_palette().copy()
    for name, number in numbers.items():
        if name >= FIRST_COLOUR:
            colours[number] = unpack_colour(name - FIRST_COLOUR)
    image = Image.fromarray(colours[values])
    write_atomically(path, lambda temporary_path: image.save(temporary_path, format="PNG"))


def _number_animals(
    contents: Sequence[Content],
    of_video: Sequence[Path] = (),
    *,
    as_masks: bool = False,
    first: Sequence[Content] = (),
) -> dict[int, int]:
    """The numbers of the animals by their names; `of_video`: the paths of all labels of a video;
    `first`: those of `contents` whose animals are numbered before the others."""
    names = sorted({name for content in contents for name in content.names})
    most = VOID - 1 if as_masks else MAX_ANIMALS
    if of_video and len(names) > most:
        raise InputError(
            f"{of_video[0]} and the other labels of its video: expected at most {most} "
            f"animals in all, found {len(names)}; give an animal one index or colour in each."
        )
    if of_video and len(names) == 1 and not as_masks:
        return {names[0]: 1}
    numbers = _number_animals(first) if first else {}
    taken = {*names, *numbers.values()}
    free = (number for number in range(1, VOID) if number not in taken)
    for name in names:
        if name not in numbers:
            has_own = name < FIRST_COLOUR and name not in numbers.values()
            numbers[name] = name if has_own else next(free)
    return numbers


def _join(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers)) or "none"
