"""What `--preset` means: one table."""

from dataclasses import dataclass, field

from utils.stage3.fine_tuning import FineTuning
from utils.stage3.second_look import SecondLook
from utils.stage3.temporal_filter import Refinement


@dataclass(frozen=True)
class Preset:
    """Everything of stage 3 that trades time for accuracy.

    Attributes:
        fine_tuning: steps, crops, learning rates, augmentation.
        region_weight: of the soft Jaccard loss.
        lines: shorter side at which the network sees frames.
        flip: average each frame with its mirror image.
        scales: sizes relative to `lines` whose results are averaged.
        refinement: threshold and temporal filter.
        second_look: learning also from sure masks of other frames, or None.
    """

    fine_tuning: FineTuning
    region_weight: float = 1.0
    lines: int = 480
    flip: bool = True
    scales: tuple[float, ...] = (1.0,)
    refinement: Refinement = field(default_factory=Refinement)
    second_look: SecondLook | None = None


PRESETS = {
    "default": Preset(FineTuning(steps=200), second_look=SecondLook(epochs=4)),
    "fast": Preset(FineTuning(steps=100, crop=(256, 448)), lines=360, flip=False),
    "accurate": Preset(FineTuning(steps=400), scales=(1.0, 1.25), second_look=SecondLook(epochs=8)),
}
