"""Whether the labelled animals of a video get a network each, or one for all of them."""

from collections.abc import Mapping
from itertools import combinations
from typing import Literal

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter

from utils.media.images import working_size
from utils.media.labels import LabelMap
from utils.media.videos import Video
from utils.stage3.settings import Preset
from utils.stage3.sharing import Sharing

Networks = Literal["auto", "each", "one"]  # the choices of every --networks flag
FROM_ANIMALS = 4  # on, animals that look alike share a network
MIN_LIKENESS = 0.7  # of two animals that look alike
COLOUR_BINS = 16  # for each of L, a, b


def choose_sharing(
    networks: Networks,
    preset: Preset,
    video: Video,
    labels: Mapping[int, LabelMap],
    *,
    is_possible: bool,
) -> Sharing | None:
    """How one network follows all labelled animals of a video; None: each has its own.

    Args:
        networks: of `--networks`. "auto" prints its choice, if that is one network, and "one" a
            warning, if that is no use.
        preset: of this video.
        video: its frames.
        labels: labelled frame -> its label.
        is_possible: whether the other flags leave the choice.
    """
    num_animals = len({animal for label in labels.values() for animal in label.animals})
    if networks == "each" or num_animals < 2:
        return None
    size = working_size(video.height, video.width, preset.lines)
    shows_all = can_share(labels, size)
    if networks == "one":
        if not shows_all:
            print(
                f"warning: {video.name}: a network for each animal in spite of --networks one, "
                f"since not every label shows all of them at {size[1]}x{size[0]}, the size at "
                "which they are followed",
                flush=True,
            )
        return Sharing() if shows_all else None
    if not (is_possible and preset.can_share and shows_all) or num_animals < FROM_ANIMALS:
        return None
    if not look_alike({frame: video.read(frame) for frame in labels}, labels):
        return None
    print(
        f"{video.name}: one network for all {num_animals} animals (--networks each: one for each)"
    )
    return Sharing()


def can_share(labels: Mapping[int, LabelMap], size: tuple[int, int]) -> bool:
    """Whether one network can find the animals of these labels: there are several, and each label
    shows all of them.

    Args:
        labels: labelled frame -> its label.
        size: height and width at which animals are followed.
    """
    return bool(labels) and all(
        len(label.animals) > 1 and label.resize(*size).shown_animals == label.animals
        for label in labels.values()
    )


def look_alike(images: Mapping[int, np.ndarray], labels: Mapping[int, LabelMap]) -> bool:
    """Whether the labelled animals are about the same in colour: most pairs of them in a frame.

    Args:
        images: labelled frame -> uint8 (H, W, 3), RGB.
        labels: labelled frame -> its label.
    """
    likeness = [
        colour_likeness(images[frame], label.values == one, label.values == other)
        for frame, label in labels.items()
        for one, other in combinations(label.shown_animals, 2)
    ]
    return bool(likeness) and float(np.median(likeness)) >= MIN_LIKENESS


def colour_likeness(image: np.ndarray, one: np.ndarray, other: np.ndarray) -> float:
    """How much the colours of two animals overlap: the Bhattacharyya coefficient of their smoothed
    histograms in CIELAB, 0..1.

    Args:
        image: uint8 (H, W, 3), RGB.
        one, other: bool (H, W), each with a pixel at least.
    """
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    histograms = [_histogram(lab[mask]) for mask in (one, other)]
    return float(np.sqrt(np.prod(histograms, axis=0)).sum())


def _histogram(pixels: np.ndarray) -> np.ndarray:
    # Colours of 8-bit CIELAB: few are far from grey, so a and b have their bins around it.
    ranges = ((0, 256), (64, 192), (64, 192))
    counts, _ = np.histogramdd(pixels, bins=COLOUR_BINS, range=ranges)
    smooth = gaussian_filter(counts, 1)
    return smooth / max(smooth.sum(), 1e-9)
