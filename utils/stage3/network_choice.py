"""Whether the labelled animals of a video get a network each, or one for all of them."""

from collections.abc import Iterable, Mapping
from typing import Literal

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter

from utils.errors import InputError
from utils.media.images import working_size
from utils.media.labels import LabelMap, labelled_animals
from utils.media.videos import Video
from utils.stage3.hidden_animals import hidden_animals
from utils.stage3.settings import Preset
from utils.stage3.sharing import Sharing

Networks = Literal["auto", "each", "one"]  # the choices of finetune_test.py's --networks
FROM_ANIMALS = 4  # on, animals that look alike share a network
MIN_LIKENESS = 0.7  # of an animal and the others, in the median
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
        networks: of `--networks`. What "auto" chooses is printed where it is one network, and why
            there is none where that depends on the labels alone.
        preset: of this video.
        video: its frames.
        labels: labelled frame -> its label.
        is_possible: whether the other flags leave the choice.
    """
    num_animals = len(labelled_animals(labels.values()))
    if networks == "each" or num_animals < 2:
        return None
    sharing, size = Sharing(), working_size(video.height, video.width, preset.lines)
    if networks == "auto":
        if not (is_possible and preset.can_share):
            return None
        hides_one = any(
            hidden_animals(label.resize(*size).masks(), sharing) for label in labels.values()
        )
        if num_animals < FROM_ANIMALS and not hides_one:
            return None
        if not any(len(label.shown_animals) > 1 for label in labels.values()):
            return None
        if not all(look_alike(video.read(frame), label) for frame, label in labels.items()):
            return None
    if not can_share(labels, size):
        kind = "warning" if networks == "one" else "note"
        print(
            f"{kind}: {video.name}: a network for each animal, since not every label shows all of "
            f"them at {size[1]}x{size[0]}, the size at which they are followed",
            flush=True,
        )
        return None
    if networks == "auto":
        hidden = " and of which at least one is mostly hidden" if hides_one else ""
        print(
            f"{video.name}: one network for all {num_animals} animals, which look alike{hidden}; "
            "label any others of their kind as well, or give each its own with --networks each",
            flush=True,
        )
    return sharing


def share_found(
    networks: Networks, preset: Preset, video: Video, labels: Mapping[int, LabelMap]
) -> Sharing | None:
    """How all animals are followed at once in what a network finds that has learnt before; None:
    each by itself.

    To such a network all animals are one, so nothing else says that one which has left is not
    another one.

    Args:
        networks: of `--networks`; "one" does not go with such a network.
        preset: of this video.
        video: its frames.
        labels: labelled frame -> its label; empty: the animals are to be found in one frame.
    """
    size = working_size(video.height, video.width, preset.lines)
    if networks == "each" or not preset.can_share or (labels and not can_share(labels, size)):
        return None
    return Sharing()


def require_told_apart(
    video: str, name: str, preset: Preset, labels: Mapping[int, LabelMap]
) -> None:
    """Refuses animals that a network has not learnt one by one, where nothing follows them.

    Args:
        video: its name.
        name, preset: of `--preset`.
        labels: labelled or found frame -> its label.

    Raises:
        InputError: all of them would be the first one.
    """
    num_animals = len(labelled_animals(labels.values()))
    if num_animals > 1 and not preset.takes_prompts and not preset.can_share:
        raise InputError(
            f"{video}: {num_animals} animals, but with --preset {name} nothing tells them apart "
            "where a network has not learnt each of them: regions are not followed from frame to "
            "frame. Use another --preset; --animals 1, if there is one; or label this video, "
            "without --fine-tuned and --together."
        )


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


def look_alike(image: np.ndarray, label: LabelMap) -> bool:
    """Whether the animals that a label shows are about the same in colour, each of them as most of
    the others.

    Args:
        image: uint8 (H, W, 3), RGB.
        label: of the same size.
    """
    likeness = colour_likeness(image, label.masks().values())
    others = ~np.eye(len(likeness), dtype=bool)
    return all(
        float(np.median(row[is_other])) >= MIN_LIKENESS
        for row, is_other in zip(likeness, others, strict=True)
        if is_other.any()
    )


def colour_likeness(image: np.ndarray, animals: Iterable[np.ndarray]) -> np.ndarray:
    """How much the colours of animals overlap: the Bhattacharyya coefficient of their smoothed
    histograms in CIELAB.

    Args:
        image: uint8 (H, W, 3), RGB.
        animals: bool (H, W), each with a pixel at least.

    Returns: float (animals, animals), 0..1.
    """
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    roots = [np.sqrt(_histogram(lab[mask]).ravel()) for mask in animals]
    return np.array([[float(one @ other) for other in roots] for one in roots])


def _histogram(pixels: np.ndarray) -> np.ndarray:
    # Colours of 8-bit CIELAB: few are far from grey, so a and b have their bins around it, and the
    # outermost ones also hold what is farther away.
    ranges = ((0, 256), (64, 192), (64, 192))
    near_grey = np.clip(pixels, *np.transpose(ranges))
    counts, _ = np.histogramdd(near_grey, bins=COLOUR_BINS, range=ranges)
    smooth = gaussian_filter(counts, 1)
    return smooth / max(smooth.sum(), 1e-9)
