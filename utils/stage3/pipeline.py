"""One video from its labels to its masks. `Pipeline.run` lists every step."""

import contextlib
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property, lru_cache, partial
from pathlib import Path

import numpy as np

from utils import paths
from utils.console import Display
from utils.files import write_json
from utils.media.images import resize_labels, working_size
from utils.media.labels import VOID, LabelMap, read_label, write_label
from utils.media.overlay import noting_failures, write_overlays
from utils.media.videos import Video
from utils.stage3.animal_in_frame import AnimalInFrame, merge_animals
from utils.stage3.correction_files import correct_masks
from utils.stage3.fine_tuning import FineTuner
from utils.stage3.following import Followed, Look, follow
from utils.stage3.outline import OutlineFilter, redraw_outline
from utils.stage3.partial_run import PartialRun, to_bytes
from utils.stage3.preview import frames_to_preview, write_preview
from utils.stage3.second_look import (
    CertainFrame,
    certain_targets,
    frames_to_learn_from,
    frames_to_survey,
    training_frames,
)
from utils.stage3.settings import Preset, Stillness
from utils.stage3.shared_window import SharedView, choose_shared_zoom, settings_for
from utils.stage3.sharing import labelled_together
from utils.stage3.smoothing import smooth_over_time
from utils.stage3.still_frames import NextFrame, StillFrames
from utils.stage3.survey import Survey
from utils.stage3.temporal_filter import make_passes
from utils.stage3.timing import Timing
from utils.stage3.window import WindowedView
from utils.stage3.working_frames import WorkingFrames
from utils.training.batches import FrameSample, Sample
from utils.training.several_animals import take_turns


class Pipeline:
    """Everything that the work on one video needs to know.

    An animal is followed at working size, `Preset.lines`; the network sees it, and its outline is
    drawn, at fine size: up to `Window.max_zoom` times as large, as far as the video has the pixels.

    Args:
        tuner: the network and the weights to start from.
        preset: see `utils.stage3.settings.Preset`.
        video: the frames.
        labels: labelled frame -> its label. A label shows at least one animal; an animal that it
            does not show is not in that frame.
        results_dir: `results/` or what stands for it.
        partial: the state of this run on disk; every verb continues where it was cut off.
        display: shows progress.
        outline: redraws outlines along the edges of the image; None: they stay the network's.
        stillness: which frames the network need not see; None: it sees all of them.

    Attributes:
        groups: animals that are labelled in the same frames, which are followed together.
        channels: animal -> its channel of the network, where several learn together.
        frames_seen: number of the animal -> frames that the network saw to segment it.
    """

    def __init__(
        self,
        tuner: FineTuner,
        preset: Preset,
        video: Video,
        labels: dict[int, LabelMap],
        results_dir: Path,
        partial: PartialRun,
        display: Display,
        *,
        outline: OutlineFilter | None = None,
        stillness: Stillness | None = None,
    ):
        self.tuner = tuner
        self.preset = preset
        self.video = video
        self.results_dir = results_dir
        self.partial = partial
        self.display = display
        self.outline = outline
        self.size = working_size(video.height, video.width, preset.lines)
        self.labels = {f: resize_labels(label.values, *self.size) for f, label in labels.items()}
        self.fine_size = working_size(video.height, video.width, preset.fine_lines)
        self.fine_labels = {
            f: resize_labels(label.values, *self.fine_size) for f, label in labels.items()
        }
        self.animals = sorted({animal for label in labels.values() for animal in label.animals})
        self.frames = WorkingFrames(video, self.fine_size, partial, grey_size=self.size)
        self.groups = labelled_together(self.labels)
        self.channels: dict[int, int] = {}
        margin = round(preset.window.margin * np.hypot(*self.size))
        self.still_frames = {
            animal: StillFrames(stillness, margin, preset.refinement.threshold)
            for animal in (self.animals if stillness else ())
        }
        self.timing = Timing()
        self.frames_seen: dict[int, int] = {}
        self.confidence: dict[int, list[float]] = {animal: [] for animal in self.animals}

    def run(
        self, keep_network: Callable[[int], None] = lambda animal: None, *, learns: bool = True
    ) -> None:
        """Writes `segmentation/NAME/STEM.png` for every frame, `runs/NAME/confidence.json` and the
        overlays below the results folder.

        One network learns all animals, with a channel for each.

        Args:
            keep_network: called with each animal while the tuner's network for one animal is that
                of this animal.
            learns: False: the network to start from has been fine-tuned, and is used as it is. It
                has one channel, in which each animal is followed by itself.
        """
        if not learns:
            self.tuner.start_again()
            self.groups = [(animal,) for animal in self.animals]
        else:
            self.tuner = self.tuner.for_animals(len(self.animals))
            if len(self.animals) > 1:
                self.channels = {animal: place for place, animal in enumerate(self.animals)}
            if not self.partial.load_fine_tuned(self.tuner.model, self.animals[0]):
                labelled = self.labelled_frames()
                self.fine_tune(labelled)
                surveyed = self.survey()
                self.preview(surveyed)
                self.second_look(labelled, self.identify(surveyed))
                self.partial.save_fine_tuned(self.tuner.model, self.animals[0])
        for group in self.groups:
            self.segment(group)
        for place, animal in enumerate(self.animals):
            self.tuner.hold(place)
            keep_network(animal)
        self.write(self.settle_identities())

    def labelled_frames(self) -> list[Sample]:
        """What to learn from: the labelled frames, each of them once for every animal in it."""
        samples: list[Sample] = []
        for frame, label in self.fine_labels.items():
            image, targets = self.frames.read(frame), self._targets(label)
            if len(targets) == 1:
                samples.append(FrameSample(image, targets[0]))
            else:
                samples += take_turns(image, targets)
        return samples

    def _targets(self, label: np.ndarray) -> np.ndarray:
        """Of each animal: it is 1 and all else is background, uint8 (animals, h, w)."""
        return np.stack(
            [np.where(label == VOID, VOID, label == a).astype("uint8") for a in self.animals]
        )

    def fine_tune(self, labelled: list[Sample]) -> None:
        """The network learns the animals from the labelled frames."""
        title, epochs = self._title(self.animals, "fine-tuning"), self.tuner.settings.epochs
        with self._timed_training(title, epochs) as (backup, callbacks, losses):
            losses += self.tuner.fit(labelled, backup, callbacks, zoom=self._training_zoom)

    def survey(self) -> Survey:
        """What the network now finds in frames all over the video; nothing in a short video without
        a second look."""
        num_frames, second_look = len(self.video), self.preset.second_look
        frames = (
            frames_to_survey(num_frames, second_look)
            if second_look
            else frames_to_preview(num_frames)
        )
        surveyed = Survey(self.partial)
        for group in self.groups if frames else ():
            following = self._follow(group, frames, self._predict_in_survey)
            title = self._title(group, "fine-tuning, survey")
            for followed in self.display.frames(following, title, total=len(frames)):
                for animal in followed:
                    surveyed.add(animal)
        return surveyed

    def preview(self, surveyed: Survey) -> None:
        """Shows what the network finds so far, while the run goes on."""
        if not surveyed.frames:
            return
        path, notes = self.partial.preview_path, []
        with noting_failures(path, notes):
            threshold = self.preset.refinement.threshold
            doubts = write_preview(
                path,
                self.video,
                surveyed.frames,
                lambda frame: [surveyed.found(animal, frame) for animal in self.animals],
                self.animals,
                threshold,
            )
            print(f"{self._title(self.animals, 'preview')}: {path}, {doubts}", flush=True)
        for note in notes:
            print(f"warning: {note}", flush=True)

    def identify(self, surveyed: Survey) -> list[Sample]:
        """What else to learn from: what is certain in some of the surveyed frames, pixels that
        continue an animal, and pixels that do not."""
        settings = self.preset.second_look
        if not settings or not surveyed.frames:
            return []
        samples: list[Sample] = []
        chosen = frames_to_learn_from(surveyed.confidence, self.labels, settings)
        for frame in (frame for frame in surveyed.frames if frame in chosen):
            found = [surveyed.found(animal, frame) for animal in self.animals]
            image, targets = self.frames.read(frame), certain_targets(found, settings)
            if len(targets) == 1:
                samples.append(CertainFrame(image, targets[0]))
            else:
                samples += take_turns(image, targets, moves=False)
        return samples

    def second_look(self, labelled: list[Sample], certain: list[Sample]) -> None:
        """The network learns also from its own masks of other frames, where they are certain.

        What it then is, is averaged with what it was before: mistakes that it repeats because it
        made them weigh half, what it has learnt about the animals hardly less."""
        if not certain:
            return
        settings, first = self.preset.second_look, self.animals[0]
        self.partial.keep_before_second_look(self.tuner.model, first)
        frames = training_frames(labelled, certain, settings)
        title = self._title(self.animals, "fine-tuning, second look")
        with self._timed_training(title, settings.epochs) as (backup, callbacks, losses):
            losses += self.tuner.fit_further(
                frames, settings.epochs, backup, callbacks, zoom=self._training_zoom
            )
        self.tuner.average_with(self.partial.before_second_look(first), settings.share_before)

    def segment(self, animals: tuple[int, ...]) -> None:
        """Predicts and follows animals, frame by frame, going out from their labels."""
        everywhere = range(len(self.video))
        seen = {animal: self.partial.frames_seen(animal) or 0 for animal in animals}
        self.frames_seen |= seen
        if all(seen.values()):
            return
        following = self._follow(animals, everywhere, self._predict)
        title = self._title(animals, "segmenting")
        for followed in self.display.frames(following, title, total=len(everywhere)):
            for one in followed:
                # Kept, since animals labelled in other frames are followed in another order.
                for frame, region in {one.found.frame: one.found.region, **one.corrected}.items():
                    self.partial.write_region(one.animal, frame, region)
        for animal in animals:
            still = self.still_frames.get(animal)
            self.frames_seen[animal] = still.num_seen if still else len(everywhere)
            self.partial.write_frames_seen(animal, self.frames_seen[animal])

    def settle_identities(self) -> Iterator[tuple[int, np.ndarray]]:
        """Gives every pixel to one animal or to the background.

        Yields:
            index of the frame, and uint8 (height, width) at the video's size: 0, or the number of
            an animal.
        """
        numbers = np.array([0, *self.animals], "uint8")
        # Each frame is asked for as the one after, itself and the one before; with a fourth one
        # per animal, what the next animals still need is not dropped.
        read_found = lru_cache(maxsize=4 * len(self.animals))(self._found)
        read_grey = lru_cache(maxsize=3)(self.frames.grey)
        for index in range(len(self.video)):
            candidates = [read_found(animal, index) for animal in self.animals]
            for animal, found in zip(self.animals, candidates, strict=True):
                self.confidence[animal].append(round(found.confidence, 4))
            candidates = [
                smooth_over_time(
                    found,
                    len(self.video),
                    partial(read_found, animal),
                    read_grey,
                    self.preset.refinement,
                )
                for animal, found in zip(self.animals, candidates, strict=True)
            ]
            candidates = [self.redraw(found) for found in candidates]
            threshold = self.preset.refinement.threshold
            yield (
                index,
                numbers[merge_animals(candidates, threshold, self.video.height, self.video.width)],
            )

    def redraw(self, found: AnimalInFrame) -> AnimalInFrame:
        """What was found of an animal, with the outline that the run's filter gives it."""
        if self.outline is None:
            return found
        image, threshold = self.frames.read(found.frame), self.preset.refinement.threshold
        redrawn = redraw_outline(found.probability, found.region, image, self.outline, threshold)
        return AnimalInFrame(found.frame, *redrawn)

    def write(self, masks: Iterable[tuple[int, np.ndarray]]) -> None:
        """Writes masks, confidence and overlays."""
        name, stems = self.video.name, self.video.frame_names
        clear_results(self.results_dir, self.video)
        folder = self.results_dir / paths.SEGMENTATION / name
        title = f"{name}: writing masks"
        for index, mask in self.display.frames(masks, title, total=len(stems)):
            write_label(folder / f"{stems[index]}.png", mask, self.animals)
        record = {"confidence": self.confidence_of_frames()}
        if len(self.animals) > 1:
            record["animals"] = {str(animal): v for animal, v in self.confidence.items()}
        write_json(self.results_dir / paths.RUNS / name / paths.CONFIDENCE_FILE, record)
        for note in correct_masks(self.results_dir, self.video, self.animals):
            print(f"{name}: {note}", flush=True)
        notes = write_overlays(
            self.results_dir / paths.OVERLAY,
            self.partial.folder,  # temporary files go here; they are removed on resume
            self.video,
            lambda index: read_label(folder / f"{stems[index]}.png", self.animals).values,
            list(self.labels),
            show=lambda all_frames: self.display.frames(all_frames, f"{name}: overlay"),
        )
        for note in notes:
            print(f"warning: {note}", flush=True)

    def confidence_of_frames(self) -> list[float]:
        """Per frame, the lowest confidence of any animal, 0..1."""
        return [min(values) for values in zip(*self.confidence.values(), strict=True)]

    @contextlib.contextmanager
    def _timed_training(self, title: str, epochs: int) -> Iterator[tuple]:
        """Gives `fit` its backup, its callbacks and the list for the losses of its epochs."""
        epoch_steps, losses = self.tuner.settings.epoch_steps, []
        start = time.perf_counter()
        callbacks = self.display.training(title, epochs * epoch_steps)
        yield self.partial.training_backup(self.animals[0]), callbacks, losses
        self.timing.fine_tuning += time.perf_counter() - start
        self.timing.steps += len(losses) * epoch_steps
        for animal in self.animals:
            self.timing.losses.setdefault(animal, []).extend(losses)

    def _follow(
        self, animals: tuple[int, ...], frames: Collection[int], look: Look
    ) -> Iterator[list[Followed]]:
        """What continues animals in these frames, going out from where they are labelled.

        Yields: of each frame, what was found of every animal.
        """
        labelled = [f for f, label in self.labels.items() if (label == animals[0]).any()]
        for start, going_away in make_passes(len(self.video), labelled):
            yield from follow(
                animals,
                start,
                self.labels[start],
                [index for index in going_away if index in frames],
                look,
                self.frames.grey,
                self.preset,
            )

    def _found(self, animal: int, frame: int) -> AnimalInFrame:
        """What the network and the filter have left of an animal in a frame."""
        probability = self.partial.probability(animal, frame)
        return AnimalInFrame(frame, probability, self.partial.region(animal, frame))

    def _predict_in_survey(self, frames: Mapping[int, NextFrame]) -> dict[int, np.ndarray]:
        index = _index_of(frames)
        found = {animal: self.partial.surveyed(animal, index) for animal in frames}
        if any(probability is None for probability in found.values()):
            # Whole frames: what resembles an animal elsewhere is to be learnt as background.
            found = self._look(frames, also_whole=True)
            for animal, probability in found.items():
                self.partial.write_surveyed(animal, index, probability)
        return found

    def _predict(self, frames: Mapping[int, NextFrame]) -> dict[int, np.ndarray]:
        index = _index_of(frames)
        is_whole = self._is_whole(index)

        @cache  # once for all animals
        def look_at_all() -> dict[int, np.ndarray]:
            start = time.perf_counter()
            found = self._look(frames, is_whole)
            self.timing.segmentation += time.perf_counter() - start
            self.timing.frames += 1
            return found

        def look_at(animal: int) -> np.ndarray:
            probability = self.partial.probability(animal, index)
            if probability is None:
                probability = look_at_all()[animal]
                self.partial.write_probability(animal, index, probability)
            return probability

        return {
            animal: self._take_over_or_look(animal, frame, partial(look_at, animal), is_whole)
            for animal, frame in frames.items()
        }

    def _take_over_or_look(
        self, animal: int, frame: NextFrame, look: Callable[[], np.ndarray], is_whole: bool
    ) -> np.ndarray:
        if animal not in self.still_frames:
            return look()
        is_labelled = frame.index in self.labels
        probability = self.still_frames[animal](
            frame, look, is_whole=is_whole, must_look=is_labelled
        )
        if not self.partial.has_probability(animal, frame.index):
            self.partial.write_probability(animal, frame.index, probability)
        return probability

    def _look(self, frames: Mapping[int, NextFrame], also_whole: bool) -> dict[int, np.ndarray]:
        """What the network finds of animals in a frame, uint8."""
        index = _index_of(frames)
        expected = {animal: frame.expected for animal, frame in frames.items()}
        view = self.views[next(iter(expected))]
        if isinstance(view, SharedView):
            found = view.around_all(index, expected, also_whole)
        else:
            found = {a: view.around(index, where, also_whole) for a, where in expected.items()}
        return {animal: to_bytes(probability) for animal, probability in found.items()}

    def _is_whole(self, index: int) -> bool:
        """Whether it is a frame's turn to be segmented outside of the window as well."""
        return index % self.preset.window.whole_every == 0

    @property
    def _training_zoom(self) -> float:
        return self.views[self.animals[0]].zoom

    @cached_property
    def views(self) -> dict[int, WindowedView]:
        """Animal -> what looks at it, once it is known which network does."""
        return {animal: self._view(group) for group in self.groups for animal in group}

    def _view(self, animals: tuple[int, ...]) -> WindowedView:
        """What looks at animals that are followed together."""
        enlarged = self.animals if self.channels else animals  # by the same, as they are learnt
        masks = [
            [label == a for a in enlarged if (label == a).any()] for label in self.labels.values()
        ]
        settings = settings_for(self.preset.window, len(enlarged))
        make = partial(SharedView, channels=self.channels) if self.channels else WindowedView
        return make(
            self.tuner.model,
            self.frames.read,
            self.fine_size,
            lines=min(self.size),
            zoom=choose_shared_zoom([shown for shown in masks if shown], settings),
            settings=settings_for(self.preset.window, len(animals)),
            threshold=self.preset.refinement.threshold,
            flip=self.preset.flip,
        )

    def _title(self, animals: Sequence[int], what: str) -> str:
        name, places = self.video.name, [self.animals.index(animal) + 1 for animal in animals]
        if len(places) == len(self.animals):
            return f"{name}: {what}"
        several = "s" * (len(places) > 1)
        numbers = ", ".join(map(str, places))
        return f"{name}, animal{several} {numbers} of {len(self.animals)}: {what}"


def _index_of(frames: Mapping[int, NextFrame]) -> int:
    """That of the frame, which is the same for all animals."""
    return next(iter(frames.values())).index


def clear_results(results_dir: Path, video: Video) -> None:
    """Removes an earlier run's record, which says "finished", masks and overlay of this video.
    Corrections stay."""
    run_dir = results_dir / paths.RUNS / video.name
    for file in (paths.RUN_FILE, paths.CONFIDENCE_FILE):
        (run_dir / file).unlink(missing_ok=True)
    for half_written in run_dir.glob(".writing-*"):
        half_written.unlink()
    for folder in (results_dir / paths.SEGMENTATION / video.name, run_dir / paths.UNCORRECTED):
        shutil.rmtree(folder, ignore_errors=True)
    for suffix in (".mp4", ".png"):
        (results_dir / paths.OVERLAY / f"{video.name}{suffix}").unlink(missing_ok=True)
