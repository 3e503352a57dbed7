"""Images in which every animal counts by itself: what the prompted network is trained on.

A data set with `Instances/` has a number per animal. In other data sets all animals are one mask,
whose pieces are taken for animals; only a mask of one piece is sure to show a single one. What is
void there, but for the rims along outlines, is another object: a rider, a sofa. To whoever is
asked for one animal it is background, and a person who clicks it away is to be understood.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from utils.errors import InputError
from utils.media.images import open_image, read_image, read_size
from utils.media.labels import VOID, read_label
from utils.training.batches import check_sizes
from utils.training.sample_lists import read_sample_list

SampleT = TypeVar("SampleT", bound="AnimalSample")

ANNOTATIONS = "Annotations"
INSTANCES = "Instances"  # the folder beside it with a number per animal
UNNUMBERED = 254  # in a map of animals: an animal, or part of one, but it is not known of which
_SMALLER_PIECE = 0.25  # share of the largest piece: what is smaller may be a part of it
_MIN_CUT_OUT_PX = 400
_BORDER_PX = 3  # around a cut-out
_RIM_PX = 6  # half the width of void below which it is the rim of an outline


@dataclass(frozen=True)
class AnimalSample:
    """An image on disk and the file that says which pixels belong to which animal."""

    image_path: Path
    annotation_path: Path

    @property
    def kind(self) -> str:
        """Images of one kind show animals that may stand side by side: the part of the name
        before the first "_", or the video's name."""
        start, separator, _ = self.image_path.stem.partition("_")
        return start if separator else self.image_path.parent.name

    def read(self) -> "NumberedImage":
        image, (animals, are_single) = read_image(self.image_path), self.read_animals()
        check_sizes(self, image.shape[:2], animals.shape)
        return NumberedImage(image, animals, are_single)

    def read_animals(self) -> tuple[np.ndarray, bool]:
        """`animals` and `are_single` of the `NumberedImage`, without the image."""
        annotation = self._read_annotation()
        if has_numbers(self.annotation_path):
            return annotation, True
        return number_pieces(without_other_objects(annotation))

    def check(self) -> None:
        """As `FileSample.check`."""
        check_sizes(self, read_size(self.image_path), self._read_annotation().shape)

    def _read_annotation(self):
        if has_numbers(self.annotation_path):
            return read_numbers(self.annotation_path)
        return read_label(self.annotation_path).values


def group_by_kind(samples: Iterable[SampleT]) -> dict[str, list[SampleT]]:
    """The samples of each kind, in their order."""
    by_kind = defaultdict(list)
    for sample in samples:
        by_kind[sample.kind].append(sample)
    return dict(by_kind)


@dataclass(frozen=True, eq=False)
class NumberedImage:
    """An image whose animals are numbered.

    Attributes:
        image: uint8 (H, W, 3) RGB.
        animals: uint8 (H, W): 0 background, 1, 2, ... the animals, UNNUMBERED, 255 void.
        are_single: whether each number is sure to be one animal.
        min_share: of the image, below which an animal is too small to be cut out.
    """

    image: np.ndarray
    animals: np.ndarray
    are_single: bool
    min_share: float = 0.005

    @property
    def numbers(self) -> list[int]:
        """The numbers of the animals, in increasing order."""
        return numbers_in(self.animals)

    def cut_out(self, number: int) -> "CutOut | None":
        """One animal without what is around it; None if it is very small, or perhaps several."""
        mask = (self.animals == number).astype(np.uint8)
        area = np.count_nonzero(mask)
        if not self.are_single or area < max(_MIN_CUT_OUT_PX, self.min_share * mask.size):
            return None
        left, top, width, height = cv2.boundingRect(mask)
        place = (
            slice(max(0, top - _BORDER_PX), top + height + _BORDER_PX),
            slice(max(0, left - _BORDER_PX), left + width + _BORDER_PX),
        )
        mask = mask[place]
        near = cv2.dilate(mask, np.ones((2 * _BORDER_PX + 1,) * 2, np.uint8))
        is_void = (self.animals[place] == VOID) & (near > 0)
        return CutOut(self.image[place], np.where(is_void, VOID, mask).astype(np.uint8))


@dataclass(frozen=True, eq=False)
class CutOut:
    """One animal: uint8 image (h, w, 3) RGB and uint8 target (h, w), 1 animal, 0 not, 255 void."""

    image: np.ndarray
    target: np.ndarray


def read_numbers(path: Path) -> np.ndarray:
    """Reads a map of animals, uint8 (H, W), values as they are in the file.

    `read_label` is for what people draw: to it, so many animals as a herd has are the soft edges of
    fewer.

    Raises:
        InputError: naming the file if it is unreadable or has more than one channel.
    """
    image = open_image(path)
    if image.mode not in ("L", "P"):
        raise InputError(f"{path}: expected an image of one channel, found mode {image.mode}.")
    return np.array(image)


def numbers_in(animals: np.ndarray) -> list[int]:
    """The numbers of the animals of a map, in increasing order."""
    found = np.flatnonzero(np.bincount(animals.ravel(), minlength=256))
    return [int(number) for number in found if 0 < number < UNNUMBERED]


def without_other_objects(label: np.ndarray) -> np.ndarray:
    """The label with the inside of void regions as background; the rims stay void.

    Args:
        label: uint8 (H, W), 255 void.
    """
    # Void goes on beyond the image's edge.
    is_void = np.pad((label == VOID).astype(np.uint8), 1, mode="edge")
    depth = cv2.distanceTransform(is_void, cv2.DIST_L2, 5)[1:-1, 1:-1]
    return np.where(depth > _RIM_PX, 0, label).astype(np.uint8)


def number_pieces(label: np.ndarray) -> tuple[np.ndarray, bool]:
    """Numbers the pieces of a mask, the largest first; smaller ones may be parts of it.

    Args:
        label: uint8 (H, W), 0 background, 255 void, everything else animal.

    Returns: the map of animals, and whether there is but one piece.
    """
    mask = ((label > 0) & (label != VOID)).astype(np.uint8)
    count, components, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    numbers = np.zeros(count, np.uint8)
    number = 0
    for piece in np.argsort(-areas, kind="stable"):
        is_animal = areas[piece] >= _SMALLER_PIECE * areas.max() and number < UNNUMBERED - 1
        number += is_animal
        numbers[piece + 1] = number if is_animal else UNNUMBERED
    animals = numbers[components]
    animals[label == VOID] = VOID
    return animals, count == 2


def read_animal_list(
    list_path: Path, dataset: Path, exclude: Sequence[str] = ()
) -> list[AnimalSample]:
    """Reads a list as `read_sample_list` does, for samples in which every animal counts by itself.

    Where `Annotations/ID.png` has a counterpart `Instances/ID.png`, that is read.

    Args:
        list_path, dataset: see there.
        exclude: beginnings of names of files or folders that are left out; of a file outside of the
            data set, all folders count.

    Raises:
        InputError: see there.
    """
    samples = []
    for sample in read_sample_list(list_path, dataset):
        image, annotation = sample.image_path, sample.annotation_path
        if any(name.startswith(start) for name in _names(image, dataset) for start in exclude):
            continue
        samples.append(AnimalSample(image, numbered_annotation(annotation)))
    return samples


def _names(image, dataset):
    image, dataset = image.absolute(), dataset.absolute()
    return image.relative_to(dataset).parts if image.is_relative_to(dataset) else image.parts


def numbered_annotation(annotation: Path) -> Path:
    """The counterpart below `Instances/` of a file below `Annotations/`; the file itself where
    there is none."""
    for folder in annotation.parents:
        if folder.name == ANNOTATIONS:
            numbered = folder.with_name(INSTANCES) / annotation.relative_to(folder)
            return numbered if numbered.is_file() else annotation
    return annotation


def has_numbers(annotation: Path) -> bool:
    """Whether a file is in `Instances/`, so that it has a number per animal.

    Only the folder that stands in place of `Annotations/` counts: a data set may be below a folder
    of this name.
    """
    names = (folder.name for folder in annotation.parents)
    return next((n for n in names if n in (ANNOTATIONS, INSTANCES)), None) == INSTANCES
