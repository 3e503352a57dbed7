"""A video without a label: the animals that a fine-tuned network finds take the label's place.

Whole frames, evenly spaced, are segmented. In the frame that shows the animals best, each piece of
sufficient size is an animal and gets a number; from there they are followed in both directions, as
from a label.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import keras
import numpy as np

from utils.console import Display
from utils.errors import InputError
from utils.media.images import resize_image, working_size
from utils.media.labels import MAX_ANIMALS, VOID, LabelMap
from utils.media.regions import number_pieces_across_gaps
from utils.media.videos import Video
from utils.stage3.partial_run import PartialRun, to_bytes
from utils.stage3.saved_network import SavedNetwork
from utils.stage3.settings import Finding, Preset
from utils.stage3.temporal_filter import mask_confidence
from utils.stage3.window import WindowedView
from utils.stage3.working_frames import WorkingFrames

SURVEY = 0  # stands for all animals in the state on disk; the animals themselves begin with 1


class NoAnimalError(InputError):
    """The network finds nothing that could take a label's place."""


@dataclass(frozen=True)
class Pieces:
    """What a network finds in one frame.

    Attributes:
        values: uint8 (h, w): 0 background, 1..N animals, the largest first, 255 pieces that are too
            small to be one, or one too many.
        count: N.
        confidence: that of all animals together, see `temporal_filter.mask_confidence`.
        area: of all animals together, pixels.
    """

    values: np.ndarray
    count: int
    confidence: float
    area: int


def find_labels(
    model: keras.Model,
    preset: Preset,
    video: Video,
    partial: PartialRun,
    display: Display,
    network: SavedNetwork,
    finding: Finding,
) -> dict[int, LabelMap]:
    """Finds the animals of a video in the frame in which they are clearest.

    Args:
        model: fine-tuned on animals of this kind.
        preset: see `utils.stage3.settings.Preset`.
        video: the frames.
        partial: keeps what was found in each frame, for a run that is continued.
        display: shows progress.
        network: what the model was loaded from, for its zoom.
        finding: what counts as an animal.

    Returns: index of that frame -> its label map at working size.

    Raises:
        NoAnimalError: if nothing was found.
    """
    size = working_size(video.height, video.width, preset.lines)
    fine_size = working_size(video.height, video.width, preset.fine_lines)
    view = WindowedView(
        model,
        WorkingFrames(video, fine_size, partial).read,
        fine_size,
        lines=min(size),
        zoom=network.zoom,
        settings=preset.window,
        threshold=preset.refinement.threshold,
        flip=preset.flip,
    )
    count = min(len(video), finding.num_surveyed)
    frames = np.unique(np.linspace(0, len(video) - 1, count).round().astype(int)).tolist()
    found = {}
    title = f"{video.name}: finding the animals"
    for frame in display.frames(frames, title, total=len(frames)):
        probability = _survey(partial, frame, size, view.whole)
        found[frame] = find_pieces(probability, preset.refinement.threshold, finding)
    frame = clearest_frame(found, finding)
    if frame is None:
        raise NoAnimalError(
            f"{video.name}: the network {network.path} finds no animal in the {len(frames)} frames "
            "that it looked at. Label one of its frames with annotate.py, or leave the video out."
        )
    pieces = found[frame]
    return {frame: LabelMap(pieces.values, tuple(range(1, pieces.count + 1)))}


def _survey(
    partial: PartialRun, frame: int, size: tuple[int, int], segment: Callable[[int], np.ndarray]
) -> np.ndarray:
    probability = partial.surveyed(SURVEY, frame)
    if probability is None:
        probability = to_bytes(resize_image(segment(frame), *size))
        partial.write_surveyed(SURVEY, frame, probability)
    return probability


def find_pieces(
    probability: np.ndarray,
    threshold: float,
    finding: Finding,
    regions: np.ndarray | None = None,
) -> Pieces:
    """Numbers the animals in one frame.

    Parts that a leg or a post separates are near each other and remain one animal, where `regions`
    is None.

    Args:
        probability: uint8 (h, w), 0..255.
        threshold: probability above which a pixel is animal.
        finding: how large a piece has to be, how far from the others, and how many there are.
        regions: int (h, w), a number from 1 for each animal, where they are known otherwise: see
            `utils.stage3.animal_grouping`. None: each piece of the mask is an animal.
    """
    mask = probability > threshold * 255
    if regions is None:
        radius = round(finding.gap * np.hypot(*mask.shape) / 2)
        regions, _ = number_pieces_across_gaps(mask, 2 * radius + 1)
    count = int(regions.max()) + 1
    areas = np.bincount(regions[mask], minlength=count)
    smallest = max(finding.min_share * mask.size, finding.min_of_largest * areas.max(), 1)
    large = [region for region in np.argsort(-areas, kind="stable") if areas[region] >= smallest]
    large = large[: min(MAX_ANIMALS, finding.max_animals or MAX_ANIMALS)]
    numbers = np.full(count, VOID, "uint8")
    numbers[large] = np.arange(1, len(large) + 1)
    values = np.where(mask, numbers[regions], 0).astype("uint8")
    animals = (values > 0) & (values != VOID)
    return Pieces(
        values,
        len(large),
        mask_confidence(probability, animals),
        int(np.count_nonzero(animals)),
    )


def clearest_frame(found: Mapping[int, Pieces], finding: Finding) -> int | None:
    """Of the surveyed frames the one to start from.

    How many animals there are is the largest number that more than a few frames show. Of the frames
    that show so many, the one with the highest confidence is taken; a small share of the usual area
    counts against it, since an animal that is entering the picture is not clear.

    Returns: its index; None if no frame shows an animal with confidence.
    """
    found = {
        frame: pieces
        for frame, pieces in found.items()
        if pieces.count and pieces.confidence >= finding.min_confidence
    }
    if not found:
        return None
    counts = sorted((pieces.count for pieces in found.values()), reverse=True)
    most = counts[int(finding.support * len(counts))]
    candidates = {frame: pieces for frame, pieces in found.items() if pieces.count == most}
    usual = float(np.median([pieces.area for pieces in candidates.values()]))

    def clarity(frame: int) -> float:
        pieces = candidates[frame]
        return pieces.confidence * min(1.0, pieces.area / usual)

    return max(sorted(candidates), key=clarity)
