"""Crops of labelled frames for a network that learns several animals at once, with a target for
each of them.

The animals have their turns: a crop is placed around the one whose turn it is, and it is this one
that is moved over its background. All others remain what they are in it.
"""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from utils.media.labels import VOID
from utils.training.augmentation import (
    Augmentation,
    change_appearance,
    draw_affine,
    draw_object_affine,
    fill_object,
    lay_over,
    object_with_rim,
    warp_image,
    warp_labels,
)
from utils.training.batches import Batches


@dataclass(frozen=True, eq=False)
class TurnSample:
    """A frame in which one of several animals has its turn, held in memory.

    Attributes:
        image: uint8 (H, W, 3), RGB.
        targets: uint8 (animals, H, W): 1 this animal, 0 not, 255 void.
        turn: whose turn it is, counted from 0.
        moves: whether it may be moved about; not where its outline is unknown.
    """

    image: np.ndarray
    targets: np.ndarray
    turn: int
    moves: bool = True

    @cached_property
    def background(self) -> np.ndarray | None:
        """The frame without the animal whose turn it is."""
        return fill_object(self.image, self.targets[self.turn]) if self.moves else None

    def read(self):
        """See `utils.training.batches.Sample`."""
        return self.image, self.targets[self.turn], self.background


def take_turns(image: np.ndarray, targets: np.ndarray, *, moves: bool = True) -> list[TurnSample]:
    """A frame as samples in which each of the animals that it shows has its turn; see
    `TurnSample`."""
    shown = [place for place, target in enumerate(targets) if (target == 1).any()]
    return [TurnSample(image, targets, turn, moves) for turn in shown]


class AnimalBatches(Batches):
    """As `Batches`, of `TurnSample`s: targets are uint8 (batch, h, w, animals). Of augmentations,
    those with other images are left out."""

    def batch_number(self, number):
        first = number * self.batch_size
        crops = [self.crop_number(first + k) for k in range(self.batch_size)]
        images = np.stack([image for image, _ in crops])
        targets = np.stack([np.stack(targets, axis=-1) for _, targets in crops])
        return images, {name: targets for name in self.outputs}

    def crop_number(self, k: int) -> tuple[np.ndarray, list[np.ndarray]]:
        """Crop k of the run: uint8 (h, w, 3), and uint8 (h, w) for each animal."""
        rng = np.random.default_rng([self.seed, 1, k])
        sample = self.samples[self._sample_number(k)]
        return augment_turn(sample, self.crop, self.augmentation, rng)


def augment_turn(
    sample: TurnSample, size: tuple[int, int], augmentation: Augmentation, rng: np.random.Generator
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Draws one augmented crop, as `utils.training.augmentation.augment` does for one animal.

    Args:
        sample: the frame, and whose turn it is.
        size: height and width of the crop.
        augmentation: its strengths.
        rng: decides everything.

    Returns: the crop, uint8 (h, w, 3), and the target of each animal in it, uint8 (h, w).
    """
    recompose = sample.background is not None and rng.random() < augmentation.recompose
    target = sample.targets[sample.turn]
    matrix = draw_affine(target, size, augmentation, rng)
    moved = draw_object_affine(target, size, augmentation, rng) if recompose else None
    if moved is None:
        image = warp_image(sample.image, matrix, size)
        targets = [_warp_target(target, matrix, size) for target in sample.targets]
    else:
        image, targets = _move(sample, matrix, moved, size)
    return change_appearance(image, augmentation, rng), targets


def _move(sample, matrix, object_matrix, size):
    """The crop with the animal whose turn it is in another place, in front of the others."""
    target = sample.targets[sample.turn]
    hole = object_with_rim(target)
    placed, alpha = lay_over(np.zeros(size, "uint8"), target, object_matrix)
    targets = []
    for number, other in enumerate(sample.targets):
        if number == sample.turn:
            other = np.zeros_like(other)  # where it was is background, as it is painted over
        elif (hole & (other == 1)).any():
            # What is painted over an animal's neighbour may look like that neighbour.
            other = np.where(hole, np.uint8(VOID), other)
        warped = _warp_target(other, matrix, size)
        warped[placed == VOID] = VOID
        warped[placed == 1] = number == sample.turn
        targets.append(warped)
    canvas = warp_image(sample.background, matrix, size)
    layer = warp_image(sample.image, object_matrix, size)
    return (alpha * layer + (1 - alpha) * canvas).astype("uint8"), targets


def _warp_target(target, matrix, size):
    """A target through a matrix; an enlarged outline stays smooth, and all is void outside of the
    frame. In whole numbers, which takes half the time where there are many targets."""
    share = cv2.warpAffine(
        np.uint8(255) * (target == 1), matrix, size[::-1], flags=cv2.INTER_LINEAR
    )
    warped = (share > 127).astype("uint8")
    is_void = warp_labels((target == VOID).astype("uint8"), matrix, size) > 0
    warped[is_void & (warped == 0)] = VOID
    return warped
