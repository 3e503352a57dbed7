"""Masks that the page proposes before a click: of the animals that the network finds in a
frame, or of those of a labelled frame, moved to this one.

This module imports Keras: it is for when a network is loaded.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from utils.annotator.background_network import Segmenter
from utils.annotator.frame_reader import FrameReader
from utils.media.images import resize_image, scaled_size
from utils.media.labels import VOID
from utils.stage3.animal_grouping import Grouping, find_centres, group_animals
from utils.stage3.find_animals import find_pieces
from utils.stage3.motion import find_motion, to_grey, warp_labels
from utils.stage3.settings import Finding

MAX_PROPOSALS = 8  # more of them cost time and are no help
# Farther away, motion has gone astray: the mask is then shown to the network where it was. In seven
# training videos of DAVIS both gave the same IoU after 10 frames (0.77); after 20 frames it was
# 0.65 with the mask moved and 0.71 with the mask where it was.
MAX_CARRIED_FRAMES = 10
_FLOW_PX = 384  # longer side of the frames at which they are carried
_MIN_KEPT_SHARE = 0.2  # of an animal's area; with less of it, the animal was lost


@dataclass(frozen=True)
class Labelled:
    """A frame that has a label.

    Attributes:
        frame: its index.
        labels: uint8 (H, W), 0 background, 1..N animals.
    """

    frame: int
    labels: np.ndarray


def find_animals(segmenter: Segmenter, frame: int, image: np.ndarray) -> np.ndarray:
    """The animals that a network finds in a frame.

    Args:
        segmenter: asks the network.
        frame: tells images apart.
        image: uint8 (H, W, 3) RGB.

    Returns: uint8 (H, W), 0 background, 1..N animals, the largest first; 0 where the network is not
        sure enough.
    """
    maps = segmenter.look_apart(frame, image)
    probability = segmenter.look(frame, image) if maps is None else maps.mask
    is_apart = maps is not None and len(find_centres(maps, Grouping())) > 0
    regions = group_animals(maps) if is_apart else None
    finding = Finding()
    pieces = find_pieces((probability * 255).round().astype(np.uint8), 0.5, finding, regions)
    if pieces.confidence < finding.min_confidence:
        return np.zeros(image.shape[:2], np.uint8)
    values = np.where((pieces.values == VOID) | (pieces.values > MAX_PROPOSALS), 0, pieces.values)
    found = _resize_labels(values, *image.shape[:2])
    return segmenter.follow(frame, image, found, one_window=maps is not None)


def follow_animals(
    segmenter: Segmenter,
    frame: int,
    frames: FrameReader,
    start: Labelled,
    animals: Collection[int] | None = None,
) -> np.ndarray:
    """The animals of a labelled frame in another one.

    Args:
        segmenter: asks the network.
        frame: the other one.
        frames: of the video.
        start: the labelled frame.
        animals: those that are asked for; None: all of them.

    Returns: uint8 (H, W), 0 background, 1..N these animals; 0 where they were lost, or if the
        frame is so far away that the network would have to know them, and it does not.
    """
    is_near = abs(frame - start.frame) <= MAX_CARRIED_FRAMES
    if not is_near and not segmenter.knows_animals:
        return np.zeros_like(start.labels)
    carried = _carry(frames, start, frame) if is_near else start.labels
    found = segmenter.follow(frame, frames.read(frame), carried, animals)
    for animal in np.unique(found[found > 0]):
        is_lost = (found == animal).sum() < _MIN_KEPT_SHARE * (start.labels == animal).sum()
        if is_lost:
            found = np.where(found == animal, np.uint8(0), found)
    return found


def _carry(frames: FrameReader, start: Labelled, frame: int) -> np.ndarray:
    """Moves labels to another frame along the optical flow, from frame to frame."""
    size = scaled_size(*start.labels.shape, _FLOW_PX / max(start.labels.shape))

    def read_grey(index: int) -> np.ndarray:
        return to_grey(resize_image(frames.read(index), *size))

    labels, before = _resize_labels(start.labels, *size), read_grey(start.frame)
    step = 1 if frame > start.frame else -1
    for index in range(start.frame + step, frame + step, step):
        grey = read_grey(index)
        labels, before = warp_labels(labels, find_motion(grey, before)), grey
    return _resize_labels(labels, *start.labels.shape)


def _resize_labels(labels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resizes the mask of each animal: outlines stay smooth."""
    result, best = np.zeros((height, width), np.uint8), np.full((height, width), 0.5, np.float32)
    for animal in np.unique(labels[labels > 0]):
        share = resize_image((labels == animal).astype(np.float32), height, width)
        result[share > best] = animal
        best = np.maximum(best, share)
    return result
