"""Stage 3's training for an animal among others that look alike.

A network that has to call one of two equal animals background learns nothing. The prompted network
is told which one is meant: by the animal's mask in an earlier frame. So it learns to follow that
mask, on copies of the labelled animal side by side and on the labelled frame, where the neighbours
are background next to this prompt only.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import keras
import numpy as np

from models.prompted import PROMPT_CHANNELS
from utils.stage3.fine_tuning import FineTuner, make_loss
from utils.stage3.settings import FineTuning, Preset, PromptedPreset, Prompts
from utils.training.animals import NumberedImage
from utils.training.prompted_batches import PromptedBatches
from utils.training.prompted_network import PromptedNetwork
from utils.training.simulated_prompts import Prompting, body_length

MASK_CHANNEL = PROMPT_CHANNELS.index("mask")
_SPILL = 5  # stream of random numbers of a batch
_ASKED_FOR = 0.25  # share of the labelled animals' median area that a crop shows at least
_SPILL_SHARE = (0.05, 0.3)  # half axes of what is added, in lengths of the animal's body


@dataclass(frozen=True, eq=False)
class NumberedFrame:
    """A labelled frame, at the size at which the network sees it, held in memory."""

    numbered: NumberedImage
    kind: str = "labelled"

    def read(self) -> NumberedImage:
        """The frame, which is learnt as it is."""
        return self.numbered


class EarlierMaskBatches(PromptedBatches):
    """As `PromptedBatches`, for the prompted network itself: item i is ({"images": uint8 (batch, h,
    w, 3), "prompt": float32 (batch, h, w, 4), 0 or 1}, {"mask": uint8 (batch, h, w, 1), 0, 1, 255
    void}).

    Args:
        samples: labelled frames.
        spill: probability of an earlier mask that runs over its border into whatever is there.
        arguments, others: as of `PromptedBatches`.
    """

    def __init__(self, samples: Sequence[NumberedFrame], *arguments, spill: float, **others):
        super().__init__(samples, *arguments, **others)
        self.spill = spill
        # Where all are small, none would be asked for, and all of them be the answer.
        smallest_px = _ASKED_FOR * typical_area(samples)
        self.min_visible = min(self.min_visible, smallest_px / (self.crop[0] * self.crop[1]))

    def __getitem__(self, index):
        inputs, targets = super().__getitem__(index)
        prompt = inputs["prompt"].astype("float32")
        batch = self.first_batch + self.epoch * self.steps_per_epoch + index
        rng = np.random.default_rng([self.seed, _SPILL, batch])
        for mask in prompt[..., MASK_CHANNEL]:
            if rng.random() < self.spill:
                mask[spill_over(mask > 0, rng)] = 1
        return {"images": inputs["images"], "prompt": prompt}, targets


class PromptedTuner(FineTuner):
    """Fine-tunes the prompted network on one video after the other.

    Args:
        model: of `models.build_prompted_model`, with the weights to start from.
        loss, settings, seed: as of `FineTuner`.
        prompts: what it is to learn.
    """

    def __init__(
        self,
        model: keras.Model,
        loss: keras.losses.Loss,
        settings: FineTuning,
        seed: int,
        prompts: Prompts,
    ):
        super().__init__(model, loss, settings, seed)
        self.spill = prompts.spill
        self.network = PromptedNetwork(model)  # traced once for all videos
        self.prompting = Prompting(
            empty=0,
            composite=prompts.composite,
            mask=1,
            clicks_with_mask=0,
            box=0,
            others_with_mask=prompts.others,
            shift=(0, prompts.shift),
            shift_power=1,
            bleeding=prompts.bleeding,
            cut=prompts.cut,
            cut_share=(0.1, prompts.cut_share),
        )

    def make_batches(self, frames: Sequence[NumberedFrame], zoom: float) -> EarlierMaskBatches:
        """The crops to learn from; the frames are enlarged already, so `zoom` changes nothing."""
        settings = self.settings
        return EarlierMaskBatches(
            frames,
            settings.crop,
            settings.epoch_steps,
            settings.batch_size,
            settings.augmentation,
            self.seed,
            prompting=self.prompting,
            spill=self.spill,
        )


def typical_area(frames: Sequence[NumberedFrame]) -> float:
    """The median area of the labelled animals, pixels."""
    areas = [
        np.count_nonzero(frame.numbered.animals == number)
        for frame in frames
        for number in frame.numbered.numbers
    ]
    return float(np.median(areas))


def spill_over(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A mask, bool (h, w), with an ellipse added somewhere on its border; an empty one stays so."""
    on_border = np.argwhere(mask & (cv2.erode(mask.astype("uint8"), np.ones((3, 3))) == 0))
    if not len(on_border):
        return mask
    y, x = on_border[rng.integers(len(on_border))]
    axes = (rng.uniform(*_SPILL_SHARE, 2) * body_length(mask)).round().astype(int)
    spilled = mask.astype("uint8")
    cv2.ellipse(spilled, (int(x), int(y)), axes.tolist(), float(rng.uniform(0, 360)), 0, 360, 1, -1)
    return spilled > 0


def make_tuner(model: keras.Model, preset: Preset, seed: int) -> FineTuner:
    """What fine-tunes with a preset.

    Args:
        model: of `models.build_model`, or of `build_prompted_model` for a preset that takes
            prompts, with the weights to start from.
        preset: see `utils.stage3.presets`.
        seed: of crops and their augmentation.
    """
    if isinstance(preset, PromptedPreset):
        return PromptedTuner(model, make_loss(preset), preset.fine_tuning, seed, preset.prompts)
    return FineTuner(model, make_loss(preset), preset.fine_tuning, seed)
