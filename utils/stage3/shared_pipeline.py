"""One video in which one network finds all animals at once: trained once, for this video or
before, and shown every frame once. Which of them is which, `utils.stage3.joint_filter` follows."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache, partial

import numpy as np

from utils.media.images import resize_image, resize_labels
from utils.media.labels import VOID, LabelMap, labelled_animals
from utils.stage3.animal_in_frame import AnimalInFrame
from utils.stage3.joint_filter import JointFilter
from utils.stage3.partial_run import PartialRun
from utils.stage3.pipeline import Pipeline
from utils.stage3.sharing import Sharing
from utils.stage3.temporal_filter import make_passes
from utils.stage3.window import choose_zoom


class SharedPipeline(Pipeline):
    """As `Pipeline`. To the network all labelled animals are one; it has the number of the first.

    Args:
        sharing: how they are told from each other.
        arguments, others: as of `Pipeline`; `can_share` holds of the labels.
    """

    learns = True  # of `run`

    def __init__(self, tuner, preset, video, labels, *arguments, sharing: Sharing, **others):
        animals = labelled_animals(labels.values())
        one = {frame: _as_one(label, animals[0]) for frame, label in labels.items()}
        pixels = preset.window.pixels * len(animals) ** sharing.pixels
        self.sharing = sharing
        self.telling_apart = preset
        # To the network they are one animal, which may come apart or enter piece by piece; so
        # newcomers and crossings are left to `JointFilter`, and company is not looked for.
        preset = replace(
            preset.without_newcomers(),
            crossing=None,
            company=None,
            window=replace(preset.window, pixels=round(pixels)),
        )
        super().__init__(tuner, preset, video, one, *arguments, **others)
        self.animals = animals
        self.numbered = {f: resize_labels(label.values, *self.size) for f, label in labels.items()}
        # Not of a method: a cycle would keep the frames that are in memory.
        read_owner = partial(_read_owner, self.partial, self.animals, self.size)
        self._owner = lru_cache(maxsize=4)(read_owner)

    def run(
        self, keep_network: Callable[[int], None] = lambda animal: None, *, learns: bool = True
    ) -> None:
        """As `Pipeline.run`; the network is kept once, as that of the first animal."""
        first, self.learns = self.animals[0], learns
        if not learns:
            self.tuner.start_again()
            self.views[first] = self._view(first)
        else:
            self.kind.look(self.labels, self._show_kind, self.stillness)
            if not self.partial.load_fine_tuned(self.tuner.model, first):
                self.learn(first)
        self.segment(first)
        self.frames_seen = dict.fromkeys(self.animals, self.frames_seen[first])
        keep_network(first)
        self.write(self.settle_identities())

    @property
    def unseen_frames(self) -> int:
        """Those from one whole frame to the next, while others are in sight."""
        return self.preset.window.whole_every - 1

    @property
    def num_pieces(self) -> int:
        """As many as there are animals."""
        return len(self.animals)

    def _follow_everywhere(self, animal: int) -> Iterator[dict[int, dict[int, np.ndarray]]]:
        """As of `Pipeline`: what `JointFilter` says of all animals."""
        for start, going_away in make_passes(len(self.video), tuple(self.labels)):
            joint_filter = JointFilter(
                self.telling_apart, self.sharing, self._motion, self.numbered[start]
            )
            for step in self._steps(start, going_away):
                expected = joint_filter.expect(step.motion)
                probability = self._predict(
                    animal, step.expecting(expected, joint_filter.is_in_doubt)
                )
                at_working_size = resize_image(probability, *self.size)
                yield joint_filter(step.index, at_working_size, step.motion, step.distance_frames)

    def _found(self, animal: int, frame: int) -> AnimalInFrame:
        """What is left of an animal in a frame: nothing where the network has found another one."""
        probability = self.partial.settled_probability(self.animals[0], frame)
        owner = self._owner(frame)
        of_another = resize_labels(np.where(owner == animal, 0, owner), *probability.shape) > 0
        return AnimalInFrame(frame, np.where(of_another, 0, probability), owner == animal)

    def _zoom_of(self, animal: int) -> float:
        """As the network has learnt them: all as one, or, if it has learnt before, each as large as
        in `utils.stage3.together`."""
        if self.learns:
            return super()._zoom_of(animal)
        masks = [label == number for label in self.numbered.values() for number in self.animals]
        return choose_zoom(masks, self.telling_apart.window)

    def _title(self, animal: int, what: str) -> str:
        return f"{self.video.name}, all {len(self.animals)} animals: {what}"


def _read_owner(
    state: PartialRun, animals: Sequence[int], size: tuple[int, int], frame: int
) -> np.ndarray:
    """Whose each pixel is, uint8 (h, w): the number of an animal, or 0."""
    owner = np.zeros(size, "uint8")
    for number in animals:
        owner[state.region(number, frame)] = number
    return owner


def _as_one(label: LabelMap, number: int) -> LabelMap:
    """All animals of a label as one of that number."""
    values = np.where(np.isin(label.values, (0, VOID)), label.values, number)
    return LabelMap(values.astype("uint8"), (number,))
