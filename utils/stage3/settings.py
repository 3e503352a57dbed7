"""Everything of stage 3 that trades time for accuracy, as frozen dataclasses. Imports no Keras."""

from dataclasses import dataclass, field

from utils.training.augmentation import AUGMENTATIONS, Augmentation


@dataclass(frozen=True)
class FineTuning:
    """How the network learns from the labelled frames.

    Attributes:
        steps: updates of the weights.
        crop: height and width of what the network sees, pixels of the enlarged frame; not larger
            than the frame at `Preset.lines`, or the rest may be void.
        batch_size: crops per step.
        head_learning_rate, backbone_learning_rate: peaks, after a warm-up over a twentieth of the
            steps.
        final_rate: share of the learning rates at the last step.
        frozen_blocks: first blocks of the backbone that stay as they are.
        steps_per_epoch: at most; a backup is kept at the end of each epoch.
        augmentation: see `utils.training.augmentation`.
    """

    steps: int
    crop: tuple[int, int] = (320, 560)
    batch_size: int = 1
    head_learning_rate: float = 1e-3
    backbone_learning_rate: float = 1e-4
    final_rate: float = 0.5
    frozen_blocks: int = 3
    steps_per_epoch: int = 25
    augmentation: Augmentation = AUGMENTATIONS["fine_tune"]

    @property
    def epochs(self) -> int:
        return -(-self.steps // self.steps_per_epoch)

    @property
    def epoch_steps(self) -> int:
        """Steps of each epoch, equal for all, so that `steps` may be exceeded by a few."""
        return -(-self.steps // self.epochs)


@dataclass(frozen=True)
class Refinement:
    """Threshold and temporal filter, chosen on two training videos of DAVIS 2016, the last two
    numbers on the development videos as well (docs/experiments.md).

    Attributes:
        threshold: probability above which a pixel is animal.
        radius: share of the diagonal that the animal may move per frame; 0 keeps all regions.
        margin: share of the diagonal from the animal's mask, moved along the optical flow, beyond
            which known background remains background, whatever the network finds there.
        min_reliable: share of what the network finds in a frame in which the flow has to be
            reliable for the known background to be moved along; otherwise the known background is
            reset.
    """

    threshold: float = 0.5
    radius: float = 0.1
    margin: float = 0.02
    min_reliable: float = 0.8


@dataclass(frozen=True)
class SecondLook:
    """How the network learns from its own masks, see `utils.stage3.second_look`.

    Attributes:
        epochs: of `FineTuning.epoch_steps` steps, after those on the labelled frames alone.
        num_surveyed: frames segmented to choose from, evenly spaced; all of a shorter video.
        num_frames: frames learnt from, at most.
        label_share: share of the steps that see a labelled frame.
        animal, background: probabilities above and below which a pixel is taken for one.
        far: share of the diagonal from the animal beyond which a pixel is background, whatever its
            probability.
        min_confidence: of a frame to learn from, see `temporal_filter.mask_confidence`.
    """

    epochs: int = 2
    num_surveyed: int = 50
    num_frames: int = 8
    label_share: float = 0.5
    animal: float = 0.9
    background: float = 0.1
    far: float = 0.1
    min_confidence: float = 0.6


@dataclass(frozen=True)
class Window:
    """How the network looks at the animal from near, see `utils.stage3.window`.

    Attributes:
        pixels: of the window in the labelled frame, as the network sees it; the zoom follows.
        max_zoom: of a small animal, relative to `Preset.lines`.
        margin: share of the diagonal between the animal and the window's edge; not less than
            `Refinement.radius`, or parts that come into view are missed.
        growth: how many times as many pixels the window of an animal that has grown may have
            before its zoom is reduced.
        whole_every: every so many frames the whole frame is segmented as well.
        whole_scale: zoom of the whole frame as a share of the animal's, at least 1.
    """

    pixels: int = 420_000
    max_zoom: float = 2.0
    margin: float = 0.1
    growth: float = 1.5
    whole_every: int = 5
    whole_scale: float = 0.7


@dataclass(frozen=True)
class Finding:
    """What counts as an animal in a video without a label, see `utils.stage3.find_animals`.

    Attributes:
        num_surveyed: frames looked at, evenly spaced; all of a shorter video.
        min_share: of the frame that an animal covers.
        min_of_largest: of the area of the largest animal in the frame.
        gap: share of the diagonal; pieces that are nearer to each other are one animal.
        support: share of the frames that show animals in which more of them may be seen than there
            are, by mistake.
        min_confidence: of a frame that counts, see `temporal_filter.mask_confidence`.
    """

    num_surveyed: int = 50
    min_share: float = 0.0005
    min_of_largest: float = 0.25
    gap: float = 0.02
    support: float = 0.1
    min_confidence: float = 0.5


@dataclass(frozen=True)
class Preset:
    """One row of `--preset`'s table, `utils.stage3.presets`.

    Attributes:
        fine_tuning: steps, crops, learning rates, augmentation.
        region_weight: of the soft Jaccard loss.
        lines: shorter side of frames at working size, pixels: at which the animal is followed, and
            at least at which the network sees it.
        flip: average each view with its mirror image.
        refinement: threshold and temporal filter.
        second_look: learning also from certain masks of other frames, or None.
        window: how the network looks at the animal from near.
    """

    fine_tuning: FineTuning
    region_weight: float = 1.0
    lines: int = 480
    flip: bool = False
    refinement: Refinement = field(default_factory=Refinement)
    second_look: SecondLook | None = None
    window: Window = field(default_factory=Window)

    @property
    def fine_lines(self) -> int:
        """Shorter side of frames at fine size, pixels: what windows are cut from, and outlines are
        drawn at."""
        return round(self.lines * self.window.max_zoom)
