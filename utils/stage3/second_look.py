"""A second look at the video: the network learns also from its own masks of other frames, where
they are sure.

After OnAVOS (Voigtlaender and Leibe, BMVC 2017), which adapts frame by frame while it goes on; here
once, when all of the video has been seen: pixels of high probability in regions that continue the
animal are animal, pixels of low probability or far from it are background, whatever is between is
void. What resembles the animal elsewhere in the picture is thus learnt as background.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from utils.media.labels import VOID
from utils.training.batches import Sample


@dataclass(frozen=True)
class SecondLook:
    """How the network learns from its own masks.

    Attributes:
        epochs: of `FineTuning.epoch_steps` steps, after those on the labelled frames alone.
        num_surveyed: frames segmented to choose from, evenly spaced; all of a shorter video.
        num_frames: frames learnt from, at most.
        label_share: of the steps that see a labelled frame.
        animal, background: probabilities above and below which a pixel is taken for one.
        far: share of the diagonal beyond which a pixel is background, whatever its probability.
        min_confidence: of a frame to learn from, see `temporal_filter.mask_confidence`.
    """

    epochs: int = 4
    num_surveyed: int = 50
    num_frames: int = 8
    label_share: float = 0.5
    animal: float = 0.9
    background: float = 0.1
    far: float = 0.1
    min_confidence: float = 0.6


@dataclass(frozen=True)
class SureFrame:
    """A frame with what is certain of it, held in memory; the animal is not moved about in it,
    since its outline is not known."""

    image: np.ndarray
    target: np.ndarray

    def read(self):
        return self.image, self.target, None


def mix(labelled: Sequence[Sample], sure: Sequence[Sample], settings: SecondLook) -> list[Sample]:
    """Labelled and sure frames, the labelled ones repeated to have their share."""
    share = settings.label_share
    copies = max(1, round(len(sure) * share / (1 - share) / len(labelled)))
    return [*labelled] * copies + [*sure]


def survey_frames(num_frames: int, settings: SecondLook) -> list[int]:
    """The frames to segment, evenly spaced over the video."""
    count = min(num_frames, settings.num_surveyed)
    return np.unique(np.linspace(0, num_frames - 1, count).round().astype(int)).tolist()


def choose_frames(
    frames: Sequence[int],
    confidence: Sequence[float],
    labelled: Sequence[int],
    settings: SecondLook,
) -> list[int]:
    """Of the surveyed frames those to learn from: sure enough, without a label, evenly spread."""
    sure = [
        frame
        for frame, value in zip(frames, confidence, strict=True)
        if value >= settings.min_confidence and frame not in set(labelled)
    ]
    places = np.linspace(0, len(sure) - 1, min(len(sure), settings.num_frames)).round().astype(int)
    return [sure[place] for place in places]


def make_target(probability: np.ndarray, region: np.ndarray, settings: SecondLook) -> np.ndarray:
    """What the network takes for certain of a frame.

    Args:
        probability: uint8 (H, W), 0..255.
        region: bool (H, W), the regions that continue the animal.

    Returns: uint8 (H, W): 1 animal, 0 background, 255 void.
    """
    distance = cv2.distanceTransform((~region).astype("uint8"), cv2.DIST_L2, 5)
    target = np.full(region.shape, VOID, "uint8")
    target[probability < settings.background * 255] = 0
    target[distance > settings.far * np.hypot(*region.shape)] = 0
    target[region & (probability > settings.animal * 255)] = 1
    return target
