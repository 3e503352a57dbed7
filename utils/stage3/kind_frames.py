"""All of the animals' kind in every frame of a video, where a labelled frame shows several of it;
see `utils.stage3.company`."""

from collections.abc import Callable, Collection, Iterable, Mapping

import numpy as np

from utils.media.images import resize_image
from utils.media.labels import VOID
from utils.stage3.company import CompanyFilter, find_company, is_followed, with_kind
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

    def look(
        self,
        labels: Mapping[int, np.ndarray],
        show: Callable[[Collection[int]], Iterable[int]],
        stillness: Stillness | None,
    ) -> None:
        """Looks for company in the labelled frames, and if there is any for the kind in all frames.
        The network then holds the weights to start from.

        Args:
            labels: labelled frame -> its label, uint8 (h, w).
            show: displays the progress over frames.
            stillness: which frames the network need not see; None: it sees all of them.
        """
        settings = self.preset.company
        if not settings:
            return
        self.tuner.start_again()
        for frame, label in labels.items():
            for animal in set(np.unique(label).tolist()) - {0, VOID}:
                company = self.partial.company(animal, frame)
                if company is None:
                    image, kind = self._image(frame), self.probability(frame)
                    company = find_company(self.tuner.model, image, kind, label, animal, settings)
                    self.partial.write_company(animal, frame, company)
                if company.any():
                    self.company.setdefault(animal, {})[frame] = company
        if not self.company:
            return
        still = stillness and StillFrames(stillness, 0, self.preset.refinement.threshold)
        for frame in show(range(len(self.frames))):
            if still:
                self._look_unless_still(frame, still)
            else:
                self.probability(frame)

    def probability(self, frame: int) -> np.ndarray:
        """What it found in a frame, uint8 (h, w) for 0..1."""
        kind = self.partial.kind(frame)
        if kind is None:
            kind = to_bytes(predict_probability(self.tuner.model, self._image(frame), flip=False))
            self.partial.write_kind(frame, kind)
        return kind

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

    def support(
        self, animal: int, frame: int, probability: np.ndarray, region: np.ndarray
    ) -> np.ndarray:
        """The animal's probability with what the network found before fine-tuning, where that
        counts; see `with_kind`."""
        if animal not in self.company:
            return probability
        threshold, least = self.preset.refinement.threshold, self.preset.company.least
        return with_kind(probability, self.probability(frame), region, threshold, least)

    def _image(self, frame: int) -> np.ndarray:
        return resize_image(self.frames.read(frame), *self.size)

    def _look_unless_still(self, frame: int, still: StillFrames) -> None:
        """A frame that looks like the last one that the network saw is not looked at again."""
        everywhere = np.ones(self.size, bool)
        next_frame = NextFrame(frame, self.frames.grey(frame), None, everywhere)
        kind = still(next_frame, lambda: self.probability(frame), is_whole=True)
        if self.partial.kind(frame) is None:
            self.partial.write_kind(frame, kind)
