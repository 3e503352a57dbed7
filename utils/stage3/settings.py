"""Everything of stage 3 that trades time for accuracy, as frozen dataclasses. Imports no Keras."""

from dataclasses import dataclass, field, replace

from utils.training.augmentation import AUGMENTATIONS, Augmentation


@dataclass(frozen=True)
class FineTuning:
    """How the network learns from the labelled frames.

    Attributes:
        steps: updates of the weights.
        crop: height and width of what the network sees, pixels of the enlarged frame; not larger
            than the frame at `Preset.lines`, or the rest may be void. Turned for portrait frames.
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
class PaperFineTuning(FineTuning):
    """The same with the original's loss, a sum over pixels balanced between animal and background,
    and its optimizer: momentum, and `head_learning_rate` throughout, for the backbone as well.

    Attributes:
        momentum: of the optimizer.
    """

    momentum: float = 0.9


@dataclass(frozen=True)
class Refinement:
    """Threshold and temporal filter, chosen on two training videos of DAVIS 2016, the last two
    numbers on the development videos as well (docs/experiments.md).

    Attributes:
        threshold: probability above which a pixel is animal.
        radius: share of the diagonal that the animal may move per frame; 0 keeps all regions.
        margin: share of the diagonal from the animal's mask, moved along the optical flow, beyond
            which known background remains background, whatever the network finds there, unless it
            may be a part that was hidden (`patience`).
        min_reliable: share of what the network finds in a frame in which the flow has to be
            reliable for the known background to be moved along; otherwise the known background is
            reset.
        entrance: share of the diagonal from the animal's mask beyond which what enters through the
            frame's edge is another animal; 0: it never is.
        patience: frames looked at in a row that show a region out of reach or in the known
            background, or a piece that reaches from the animal into it, no larger than what is
            missing of the animal, before it is taken for a part of it; 0: it never is.
        neighbour_weight: of the frames before and after in the mean of an animal's probability,
            relative to the frame's own, see `utils.stage3.smoothing`; 0: each frame for itself.
    """

    threshold: float = 0.5
    radius: float = 0.1
    margin: float = 0.02
    min_reliable: float = 0.8
    entrance: float = 0.05
    patience: int = 3
    neighbour_weight: float = 0.8


@dataclass(frozen=True)
class Separation:
    """How another animal that was taken for a part of the labelled one is found, see
    `utils.stage3.separation`.

    Attributes:
        gap: share of the diagonal between pieces that stand apart.
        frames: in a row in which they do; tried again after 2, 4, 8, ... times as many.
        memory: frames to follow them back, at most.
        vanished: share of its area below which a piece is gone.
        min_area: of a newcomer, share of the animal's area.
        growth: the area of both together, at least, over that before the newcomer's birth.
        far: gap, in lengths of the newcomer, beyond which its area does not matter.
    """

    gap: float = 0.02
    frames: int = 3
    memory: int = 60
    vanished: float = 0.2
    min_area: float = 0.25
    growth: float = 1.25
    far: float = 1.0


@dataclass(frozen=True)
class Crossing:
    """How the animal is told from another one after the two have crossed, see
    `utils.stage3.crossing`. Frames are those that are looked at: in a survey, not all.

    Attributes:
        min_other: of the other in a region that both share, share of the animal's area.
        min_region: of a region after the crossing, share of the smaller one of the two before.
        frames: in a row in which they stand apart.
        memory: frames that a crossing may take.
        margin: by which the best score exceeds that with another region as the animal.
        area_weight: of the animal's growth or shrinking, as a natural logarithm, against likeness.
        area: lowest and highest area of the animal after the crossing, relative to that before.
    """

    min_other: float = 0.15
    min_region: float = 0.2
    frames: int = 2
    memory: int = 60
    margin: float = 0.15
    area_weight: float = 3.0
    area: tuple[float, float] = (0.65, 1.1)


@dataclass(frozen=True)
class Company:
    """How others of the animal's kind are found in the labelled frame and told from it in all
    frames, see `utils.stage3.company` and `utils.stage3.company_filter`.

    Attributes:
        probability: of the network before fine-tuning, above which a pixel is one of the kind.
        margin: share of the diagonal around the animal's label, and void, in which nothing is
            another animal.
        min_area: of another one, share of the animal's area.
        labelled_only: whether nothing without a label is another one.
        likeness: least cosine of the mean features of both, in the backbone's last map.
        min_share_of_others: in a piece beside the animal's own, from which on it is theirs as a
            whole.
        max_mistaken: share of the others near the animal that the fine-tuned network may take for
            it and still be said to tell them apart; counted where the flow is reliable.
        min_reliable: share of pixels with reliable flow, of those that are compared; if it is less,
            all of them count.
        min_agreement: IoU of the animal in both filters, from which on they follow the same one.
        min_found: share of the kind's pixels in the animal's region; a fine-tuned network that
            finds less has unlearnt the animal together with the others.
        doubtful: share of the region with reliable flow, median of up to 60 frames since the
            fine-tuned network last told the animals apart, below which the track may have slid onto
            another animal.
        max_slice: share of a piece up to which a region in it is a slice of another animal.
        max_found: share of such a slice that the fine-tuned network finds, at most, for the animal
            to be looked for elsewhere.
        min_whole: share of a piece from which on both networks find it as a whole.
        area: of the piece to which a track returns, smallest and largest, relative to the animal's
            median where it was known.
        max_gap: median distance between the frames that are looked at, beyond which company cannot
            be followed in them.
    """

    probability: float = 0.5
    margin: float = 0.01
    min_area: float = 0.1
    labelled_only: bool = False
    likeness: float = 0.6
    min_share_of_others: float = 0.3
    max_mistaken: float = 0.25
    min_reliable: float = 0.1
    min_agreement: float = 0.5
    min_found: float = 0.8
    doubtful: float = 0.5
    max_slice: float = 0.5
    max_found: float = 0.3
    min_whole: float = 0.7
    area: tuple[float, float] = (0.4, 6.0)
    max_gap: int = 3


@dataclass(frozen=True)
class SecondLook:
    """How the network learns from its own masks, see `utils.stage3.second_look`.

    Attributes:
        epochs: of `FineTuning.epoch_steps` steps, after those on the labelled frames alone.
        num_surveyed: frames segmented to choose from, evenly spaced; all of a shorter video.
        num_in_company: the same for an animal with company, if these are enough to follow it, see
            `Company.max_gap`.
        num_frames: frames learnt from, at most.
        label_share: share of the steps that see a labelled frame.
        animal, background: probabilities above and below which a pixel is taken for one.
        far: share of the diagonal from the animal beyond which a pixel is background, whatever its
            probability.
        min_confidence: of a frame to learn from, see `temporal_filter.mask_confidence`.
        share_before: of the weights before the second look in their mean with those after it.
    """

    epochs: int = 2
    num_surveyed: int = 16
    num_in_company: int = 25
    num_frames: int = 8
    label_share: float = 0.5
    animal: float = 0.9
    background: float = 0.1
    far: float = 0.1
    min_confidence: float = 0.6
    share_before: float = 0.5


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
class Stillness:
    """Which frames of a long video the network need not see, see `utils.stage3.still_frames`. Not a
    part of a preset: it is in the key of those runs alone that leave frames out.

    Attributes:
        min_frames: of a video; in a shorter one the network sees every frame.
        max_difference: grey levels between two frames, blurred, that sensor noise explains.
        min_reliable: share of the surroundings in which the optical flow has to be reliable where
            the picture has shifted.
        first_interval: frames from one that the network sees to the next, at most, to begin with.
        max_interval: the same once it has proved right again and again.
        min_iou: of a mask that was taken over with the network's own, in the frames that the
            network sees in between to check.
    """

    min_frames: int = 1000
    max_difference: float = 5.0
    min_reliable: float = 0.95
    first_interval: int = 2
    max_interval: int = 40
    min_iou: float = 0.98


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
        max_animals: that there are; None: any number.
    """

    num_surveyed: int = 50
    min_share: float = 0.0005
    min_of_largest: float = 0.25
    gap: float = 0.02
    support: float = 0.1
    min_confidence: float = 0.5
    max_animals: int | None = None


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
        separation: telling the animal from one that came out from behind it, or None.
        crossing: telling the animal from one that has crossed it, or None.
        company: telling the animal from others that the labelled frame shows, or None.
        second_look: learning also from certain masks of other frames, or None.
        start_share: of the weights to start from in the weighted mean with the fine-tuned ones, if
            they find the animal in a labelled frame; 0: none. With `--together` and prompts, none.
        window: how the network looks at the animal from near.
    """

    fine_tuning: FineTuning
    region_weight: float = 1.0
    lines: int = 480
    flip: bool = False
    refinement: Refinement = field(default_factory=Refinement)
    separation: Separation | None = field(default_factory=Separation)
    crossing: Crossing | None = field(default_factory=Crossing)
    company: Company | None = field(default_factory=Company)
    second_look: SecondLook | None = None
    start_share: float = 0.0
    window: Window = field(default_factory=Window)

    @property
    def fine_lines(self) -> int:
        """Shorter side of frames at fine size, pixels: what windows are cut from, and outlines are
        drawn at."""
        return round(self.lines * self.window.max_zoom)

    @property
    def takes_prompts(self) -> bool:
        """Whether the network does, see `PromptedPreset`."""
        return False

    @property
    def can_share(self) -> bool:
        """Whether one network can find all labelled animals: one that takes no prompts, and whose
        regions are followed from frame to frame."""
        return not self.takes_prompts and self.refinement.radius > 0

    def without_newcomers(self) -> "Preset":
        """The same for a video that shows no animal of this kind but those that are followed from
        the beginning: whatever looks like one of them is a part of it."""
        refinement = replace(self.refinement, entrance=0)
        company = self.company and replace(self.company, labelled_only=True)
        return replace(self, separation=None, company=company, refinement=refinement)


@dataclass(frozen=True)
class Prompts:
    """How the network learns to follow one animal among others that look alike, see
    `utils.stage3.prompted_tuning`. Probabilities and shares 0..1.

    Attributes:
        body_px: length of the labelled animal as the network sees it; the crop is what it sees
            around it.
        composite: of copies of the labelled animal side by side, each of them the one in its turn.
        shift: of the earlier mask, up to so many body lengths.
        bleeding: of an earlier mask that also covers a part of a neighbour.
        spill: of an earlier mask that runs over its border, into another animal or not.
        cut: of an earlier mask that lacks a part.
        cut_share: of the mask that is missing, at most.
        others: of the other animals' masks beside that of the one, where there are any.
        overlap: share of a piece that the earlier mask covers, from which on it is a part of the
            animal; the piece with the largest common area always is.
        growth: largest area of the animal, relative to the median of the frames before: a
            neighbour that it touches is not to become a part of it.
        partial: share of that median below which the mask before, moved along, and not what was
            found is the prompt for the next frame.
        memory: number of these frames.
        lost: share of the labelled area below which the animal is out of sight.
    """

    body_px: float = 100
    composite: float = 0.6
    shift: float = 0.5
    bleeding: float = 0.4
    spill: float = 0.4
    cut: float = 0.4
    cut_share: float = 0.7
    others: float = 0.0
    overlap: float = 0.3
    growth: float = 1.15
    partial: float = 0.6
    memory: int = 60
    lost: float = 0.15


@dataclass(frozen=True)
class PromptedPreset(Preset):
    """The same for an animal among others that look alike: it is followed by prompts. There are no
    mirror images, no second look and no company; of `refinement` and `window`, threshold and
    `max_zoom` count.

    Attributes:
        prompts: how.
    """

    prompts: Prompts = field(default_factory=Prompts)

    @property
    def takes_prompts(self) -> bool:
        return True


@dataclass(frozen=True)
class DenseCrf:
    """The dense CRF that redraws outlines with `--crf`, see `utils.stage3.dense_crf`. The defaults
    are those of OnAVOS (Voigtlaender and Leibe, 2017), found by random search on DAVIS.

    Attributes:
        iterations: of mean-field inference.
        gaussian_weight, gaussian_px: weight and standard deviation of the kernel of distance alone,
            pixels at 480 lines.
        bilateral_weight, bilateral_px, bilateral_levels: of the kernel of distance and colour:
            weight and standard deviations, pixels at 480 lines and levels of 255.
    """

    iterations: int = 12
    gaussian_weight: float = 1.2485
    gaussian_px: float = 0.2209
    bilateral_weight: float = 1.4033
    bilateral_px: float = 22.376
    bilateral_levels: float = 7.7025

    @property
    def reach_px(self) -> float:
        """Pixels at 480 lines beyond which one pixel says next to nothing to another."""
        return 3 * max(self.gaussian_px, self.bilateral_px)


@dataclass(frozen=True)
class GuidedFilter:
    """The guided filter that redraws outlines with `--guided-filter`, see
    `utils.stage3.guided_filter`.

    Attributes:
        radius_px: of the square windows, pixels at 480 lines.
        epsilon: variance of colour, in squares of 0..1, below which a window is flat.
    """

    radius_px: float = 4.0
    epsilon: float = 1e-4

    @property
    def reach_px(self) -> float:
        """Pixels at 480 lines beyond which one pixel says nothing to another."""
        return 2 * self.radius_px
