"""All of the animals' kind in the labelled frames, and, where one of them shows several, in every
frame of the video; see `utils.stage3.company`."""

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cached_property

import keras
import numpy as np

from models.backbone import BACKBONE
from utils.media.images import resize_image
from utils.media.labels import VOID
from utils.stage3.company import add_where_missed, find_company, is_followed, knows_kind
from utils.stage3.company_filter import CompanyFilter
from utils.stage3.fine_tuning import FineTuner
from utils.stage3.inference import predict_probability
from utils.stage3.partial_run import PartialRun, to_bytes
from utils.stage3.settings import Preset, Stillness
from utils.stage3.still_frames import NextFrame, StillFrames
from utils.stage3.temporal_filter import TemporalFilter
from utils.stage3.working_frames import WorkingFrames


class KindFrames:
    """What the network finds before it is fine-tuned.

    Args:
        tuner: with the network and the weights to start from.
        preset: see `utils.stage3.settings.Preset`.
        frames: of the video.
        size: height and width at which it is looked at.
        partial: where it is kept.

    Attributes:
        company: number of an animal -> labelled frame -> others of its kind in it, bool (h, w);
            without those that have none.
    """

    def __init__(
        self,
        tuner: FineTuner,
        preset: Preset,
        frames: WorkingFrames,
        size: tuple[int, int],
        partial: PartialRun,
    ):
        self.tuner = tuner
        self.preset = preset
        self.frames = frames
        self.size = size
        self.partial = partial
        self.company: dict[int, dict[int, np.ndarray]] = {}
        self._labels: Mapping[int, np.ndarray] = {}

    def look(
        self,
        labels: Mapping[int, np.ndarray],
        show: Callable[[Collection[int]], Iterable[int]],
        stillness: Stillness | None,
    ) -> None:
        """Looks at the labelled frames, and, if there is company in any of them, at all others. The
        network then holds the weights to start from, unless the preset needs no look.

        Args:
            labels: labelled frame -> its label, uint8 (h, w).
            show: displays the progress over frames.
            stillness: which frames the network need not see; None: it sees all of them.
        """
        if not (self.preset.company or self.preset.start_share):
            return
        self.tuner.start_again()
        self._labels = labels
        for frame, label in labels.items():
            if not self.partial.has_kind(frame):
                self._find(frame)
            if not self.preset.company:
                continue
            for animal, company in self._company_in(frame, label).items():
                if company.any():
                    self.company.setdefault(animal, {})[frame] = company
        if not self.company:
            return
        still = stillness and StillFrames(stillness, 0, self.preset.refinement.threshold)
        for frame in show(range(len(self.frames))):
            if still:
                self._find_unless_still(frame, still)
            elif not self.partial.has_kind(frame):
                self._find(frame)

    def probability(self, frame: int) -> np.ndarray:
        """What the network found in a frame, uint8 (h, w) for 0..1."""
        kind = self.partial.kind(frame)
        if kind is None:
            raise FileNotFoundError(f"{self.partial.folder}: frame {frame} was not looked at")
        return kind

    def knows(self, animal: int) -> bool:
        """Whether the network, as it was before fine-tuning, finds the animal in a labelled frame
        that was looked at, and not most of the frame."""
        threshold = 255 * self.preset.refinement.threshold
        masks = {frame: label == animal for frame, label in self._labels.items()}
        return any(
            mask.any() and knows_kind(self.probability(frame) > threshold, mask)
            for frame, mask in masks.items()
        )

    def make_filter(
        self, animal: int, start: int, label: np.ndarray, frames: Collection[int]
    ) -> TemporalFilter | CompanyFilter:
        """The filter for an animal.

        Args:
            animal: its number.
            start: the labelled frame to start from.
            label: uint8 (h, w), its label.
            frames: that are looked at.
        """
        company, settings = self.company.get(animal, {}).get(start), self.preset.company
        if company is None or not is_followed(frames, settings):
            return TemporalFilter(self.preset.refinement, label, animal)
        return CompanyFilter(self.preset.refinement, settings, label, animal, company)

    def follows_company(self, animal: int, frames: Collection[int]) -> bool:
        """Whether an animal has company, and these frames are near enough to follow it."""
        return animal in self.company and is_followed(frames, self.preset.company)

    def add_where_missed(
        self, animal: int, frame: int, probability: np.ndarray, region: np.ndarray
    ) -> np.ndarray:
        """The animal's probability in a frame, see `company.add_where_missed`; without company as
        it is."""
        if animal not in self.company:
            return probability
        threshold, min_found = self.preset.refinement.threshold, self.preset.company.min_found
        return add_where_missed(probability, self.probability(frame), region, threshold, min_found)

    def _company_in(self, frame: int, label: np.ndarray) -> dict[int, np.ndarray]:
        """The company of each animal in a labelled frame."""
        animals = set(np.unique(label).tolist()) - {0, VOID}
        company = {animal: self.partial.company(animal, frame) for animal in animals}
        if any(mask is None for mask in company.values()):
            kind, features = self.probability(frame), self._features(frame)
            for animal in animals:
                company[animal] = find_company(kind, features, label, animal, self.preset.company)
                self.partial.write_company(animal, frame, company[animal])
        return company

    def _find(self, frame: int) -> np.ndarray:
        """Shows a frame to the network, uint8 (h, w) for 0..1."""
        kind = to_bytes(predict_probability(self.tuner.model, self._image(frame), flip=False))
        self.partial.write_kind(frame, kind)
        return kind

    def _find_unless_still(self, frame: int, still: StillFrames) -> None:
        """A frame that looks like the last one that the network saw is not shown again."""
        everywhere = np.ones(self.size, bool)
        next_frame = NextFrame(frame, self.frames.grey(frame), None, everywhere)

        def look() -> np.ndarray:
            kind = self.partial.kind(frame)
            return self._find(frame) if kind is None else kind

        kind = still(next_frame, look, is_whole=True)
        if not self.partial.has_kind(frame):
            self.partial.write_kind(frame, kind)

    @cached_property
    def _backbone(self) -> keras.Model:
        model = self.tuner.model
        last = model.get_layer(BACKBONE.output_layers[BACKBONE.last_block])
        return keras.Model(model.input, last.output)

    def _features(self, frame: int) -> np.ndarray:
        """What the backbone sees in a frame: its last map after ReLU, float32 (h', w', d), from
        0."""
        features = self._backbone.predict_on_batch(self._image(frame)[None])[0]
        return np.maximum(features.astype("float32"), 0)

    def _image(self, frame: int) -> np.ndarray:
        return resize_image(self.frames.read(frame), *self.size)
