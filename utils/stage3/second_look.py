"""A second look at the video: the network learns also from its own masks of other frames, where
they are certain.

After OnAVOS (Voigtlaender and Leibe, BMVC 2017), which adapts frame by frame while it proceeds;
here once, when all of the video has been seen: pixels of high probability in regions that continue
the animal are animal, pixels of low probability or far from it are background, whatever is between
is void. What resembles the animal elsewhere in the picture is thus learnt as background.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from utils.media.labels import VOID
from utils.stage3.settings import SecondLook
from utils.training.batches import Sample


@dataclass(frozen=True)
class CertainFrame:
    """A frame with what is certain of it, held in memory. The animal is not moved about in it,
    since its outline is not known.

    Attributes:
        image: uint8 (h, w, 3), RGB.
        target: uint8 (h, w): 1 animal, 0 background, 255 void.
    """

    image: np.ndarray
    target: np.ndarray

    def read(self) -> tuple[np.ndarray, np.ndarray, None]:
        """See `utils.training.batches.Sample`."""
        return self.image, self.target, None


def training_frames(
    labelled: Sequence[Sample], certain: Sequence[Sample], settings: SecondLook
) -> list[Sample]:
    """Labelled and certain frames, the labelled ones repeated so that they make up `label_share` of
    the steps."""
    share = settings.label_share
    copies = max(1, round(len(certain) * share / (1 - share) / len(labelled)))
    return [*labelled] * copies + [*certain]


def frames_to_survey(
    num_frames: int, settings: SecondLook, *, in_company: bool = False
) -> list[int]:
    """The frames to segment, evenly spaced over the video.

    Args:
        num_frames: of the video.
        settings: how many.
        in_company: whether others of the animal's kind are to be followed too.
    """
    count = settings.num_in_company if in_company else settings.num_surveyed
    count = min(num_frames, count)
    return np.unique(np.linspace(0, num_frames - 1, count).round().astype(int)).tolist()


def frames_to_learn_from(
    confidence: dict[int, float], labelled: Collection[int], settings: SecondLook
) -> list[int]:
    """Of the surveyed frames those to learn from: certain enough, without a label, evenly spread.

    Args:
        confidence: surveyed frame -> confidence, see `temporal_filter.mask_confidence`.
        labelled: indices of the labelled frames.
        settings: how many, and how certain.
    """
    certain = [
        frame
        for frame in sorted(confidence)
        if confidence[frame] >= settings.min_confidence and frame not in labelled
    ]
    count = min(len(certain), settings.num_frames)
    places = np.linspace(0, len(certain) - 1, count).round().astype(int)
    return [certain[place] for place in places]


def certain_target(
    probability: np.ndarray, region: np.ndarray, settings: SecondLook, num_pieces: int = 1
) -> np.ndarray:
    """Training target from confident pixels.

    Of the animal only its largest piece counts, the others are void: a flower pot beside a horse,
    taken for a part of it once, would be learnt and then found everywhere.

    Args:
        probability: uint8 (h, w), 0..255.
        region: bool (h, w), the regions that continue the animal.
        settings: thresholds.
        num_pieces: how many count, for as many animals.

    Returns: uint8 (h, w): 1 animal, 0 background, 255 void.
    """
    distance = cv2.distanceTransform((~region).astype("uint8"), cv2.DIST_L2, 5)
    target = np.full(region.shape, VOID, "uint8")
    target[probability < settings.background * 255] = 0
    target[distance > settings.far * np.hypot(*region.shape)] = 0
    target[largest_pieces(region, num_pieces) & (probability > settings.animal * 255)] = 1
    return target


def largest_pieces(mask: np.ndarray, count: int) -> np.ndarray:
    """The largest connected regions of a mask, at most so many; both bool (h, w)."""
    _, regions, stats, _ = cv2.connectedComponentsWithStats(mask.astype("uint8"), connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    return np.isin(regions, 1 + np.argsort(-areas, kind="stable")[:count])
