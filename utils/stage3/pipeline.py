"""One video from its labels to its masks. `Pipeline.run` lists every step."""

import contextlib
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from utils import paths
from utils.ahead import ahead
from utils.console import Display
from utils.files import write_json
from utils.media.images import resize_image, resize_labels, working_size
from utils.media.labels import VOID, LabelMap, labelled_animals, read_label, write_label
from utils.media.overlay import noting_failures, write_overlays
from utils.media.videos import Video
from utils.stage3.animal_in_frame import AnimalInFrame
from utils.stage3.company_filter import CompanyFilter
from utils.stage3.correction_files import correct_masks
from utils.stage3.crossing import CrossingWatch
from utils.stage3.fine_tuning import FineTuner
from utils.stage3.inference import Network
from utils.stage3.kind_frames import KindFrames
from utils.stage3.motion import Motion, find_motion
from utils.stage3.openvino_network import Convert, SeenImages
from utils.stage3.outline import OutlineFilter
from utils.stage3.partial_run import PartialRun, to_bytes
from utils.stage3.preview import frames_to_preview, write_preview
from utils.stage3.second_look import (
    CertainFrame,
    certain_target,
    frames_to_learn_from,
    frames_to_survey,
    training_frames,
)
from utils.stage3.separation import SeparationWatch
from utils.stage3.settings import Preset, Stillness
from utils.stage3.settlement import Settlement
from utils.stage3.still_frames import NextFrame, StillFrames
from utils.stage3.temporal_filter import TemporalFilter, make_passes
from utils.stage3.timing import Timing
from utils.stage3.window import WindowedView, choose_zoom
from utils.stage3.working_frames import WorkingFrames
from utils.training.batches import FrameSample

NUM_CALIBRATION_FRAMES = 6  # that a converted network is adapted to, evenly spaced


@dataclass(frozen=True)
class Step:
    """A frame on the way out from a label.

    Attributes:
        index: of the frame.
        grey: uint8 (h, w), at working size.
        motion: from this frame to that of the step before; of the first, to the label's.
        distance_frames: how many frames of the video that frame is away, at least 1.
    """

    index: int
    grey: np.ndarray
    motion: Motion | None
    distance_frames: int

    def expecting(self, expected: np.ndarray | None, is_in_doubt: bool = False) -> NextFrame:
        """The next frame to look at, with where the animal is expected; see `NextFrame`."""
        return NextFrame(self.index, self.grey, self.motion, expected, is_in_doubt)


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
        convert: makes a faster network that segments as well, from a network and images that it is
            shown; None: the network itself segments.
        labels_are_found: the network has made the labels, no person: the overlay marks no frame.

    Attributes:
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
        convert: Convert | None = None,
        labels_are_found: bool = False,
    ):
        self.tuner = tuner
        self.preset = preset
        self.video = video
        self.results_dir = results_dir
        self.partial = partial
        self.display = display
        self.outline = outline
        self.stillness = stillness
        self.convert = convert
        self.labels_are_found = labels_are_found
        self.size = working_size(video.height, video.width, preset.lines)
        self.labels = {f: resize_labels(label.values, *self.size) for f, label in labels.items()}
        self.fine_size = working_size(video.height, video.width, preset.fine_lines)
        self.fine_labels = {
            f: resize_labels(label.values, *self.fine_size) for f, label in labels.items()
        }
        self.animals = labelled_animals(labels.values())
        self.frames = WorkingFrames(video, self.fine_size, partial, grey_size=self.size)
        self.views = {animal: self._view(animal) for animal in self.animals}
        margin = round(preset.window.margin * np.hypot(*self.size))
        self.still_frames = {
            animal: StillFrames(stillness, margin, preset.refinement.threshold)
            for animal in (self.animals if stillness else ())
        }
        self.kind = KindFrames(tuner, preset, self.frames, self.size, partial)
        self.timing = Timing()
        self.frames_seen: dict[int, int] = {}
        self.confidence: dict[int, list[float]] = {}  # empty until all masks are settled

    def run(
        self, keep_network: Callable[[int], None] = lambda animal: None, *, learns: bool = True
    ) -> None:
        """Writes `segmentation/NAME/STEM.png` for every frame, `runs/NAME/confidence.json` and the
        overlays below the results folder.

        Several animals are learnt one after the other, each from the start weights and with all
        others as background.

        Args:
            keep_network: called with each animal while the tuner's network is that of the animal.
            learns: False: the network to start from has been fine-tuned, and is used as it is.
        """
        if learns:
            self.kind.look(self.labels, self._show_kind, self.stillness)
        for animal in self.animals:
            if not learns:
                self.tuner.start_again()
            elif not self.partial.load_fine_tuned(self.tuner.model, animal):
                self.learn(animal)
            self.segment(animal)
            keep_network(animal)
        self.write(self.settle_identities())

    def learn(self, animal: int) -> None:
        """The network learns the animal, from its labels and from what it then finds."""
        labelled = self.labelled_frames(animal)
        self.fine_tune(animal, labelled)
        surveyed = self.survey(animal)
        self.preview(animal, surveyed)
        certain = self.identify(surveyed)
        del surveyed  # so large that training needs its memory
        self.second_look(animal, labelled, certain)
        if self.preset.start_share and self.kind.knows(animal):
            self.tuner.average_with_start(self.preset.start_share)
        self.partial.save_fine_tuned(self.tuner.model, animal)

    def labelled_frames(self, animal: int) -> list[FrameSample]:
        """The labelled frames as samples in which the animal is 1 and all else is background."""
        return [
            FrameSample(
                self.frames.read(frame),
                np.where(label == VOID, VOID, label == animal).astype("uint8"),
            )
            for frame, label in self.fine_labels.items()
        ]

    def fine_tune(self, animal: int, labelled: list[FrameSample]) -> None:
        """The network learns the animal from the labelled frames."""
        title, epochs = self._title(animal, "fine-tuning"), self.tuner.settings.epochs
        with self._timed_training(animal, title, epochs) as (backup, callbacks, losses):
            losses += self.tuner.fit(labelled, backup, callbacks, zoom=self.views[animal].zoom)

    def survey(self, animal: int) -> list[AnimalInFrame]:
        """What the network now finds in frames all over the video; nothing in a short video without
        a second look."""
        num_frames, second_look = len(self.video), self.preset.second_look
        if not second_look:
            frames = frames_to_preview(num_frames)
        else:
            frames = frames_to_survey(num_frames, second_look, in_company=True)
            if not self.kind.follows_company(animal, frames):
                frames = frames_to_survey(num_frames, second_look)
        if not frames:
            return []
        title = self._title(animal, "fine-tuning, survey")
        surveyed = {}
        with contextlib.closing(self._follow(animal, frames, self._predict_in_survey)) as following:
            for found, corrected in self.display.frames(following, title, total=len(frames)):
                surveyed[found.frame] = found
                for frame, region in corrected.items():
                    surveyed[frame] = replace(surveyed[frame], region=region)
        return [
            replace(
                found,
                probability=self.kind.add_where_missed(
                    animal, found.frame, found.probability, found.region
                ),
            )
            for found in surveyed.values()
        ]

    def preview(self, animal: int, surveyed: list[AnimalInFrame]) -> None:
        """Shows what the network finds so far, while the run goes on."""
        if not surveyed:
            return
        path, notes = self.partial.preview_path, []
        with noting_failures(path, notes):
            threshold = self.preset.refinement.threshold
            doubts = write_preview(path, self.video, surveyed, animal, threshold)
            print(f"{self._title(animal, 'preview')}: {path}, {doubts}", flush=True)
        for note in notes:
            print(f"warning: {note}", flush=True)

    def identify(self, surveyed: list[AnimalInFrame]) -> list[CertainFrame]:
        """Which surveyed frames to learn from, and what is certain in them: pixels that continue
        the animal, and pixels that do not."""
        settings = self.preset.second_look
        if not settings:
            return []
        confidence = {found.frame: found.confidence for found in surveyed}
        chosen = set(frames_to_learn_from(confidence, self.labels, settings)) if surveyed else ()
        return [
            CertainFrame(
                self.frames.read(found.frame),
                certain_target(
                    found.probability, found.region_at_fine_size, settings, self.num_pieces
                ),
            )
            for found in surveyed
            if found.frame in chosen
        ]

    def second_look(
        self, animal: int, labelled: list[FrameSample], certain: list[CertainFrame]
    ) -> None:
        """The network learns also from its own masks of other frames, where they are certain.

        What it then is, is averaged with what it was before: mistakes that it repeats because it
        made them weigh half, what it has learnt about the animal hardly less."""
        if not certain:
            return
        settings = self.preset.second_look
        self.partial.keep_before_second_look(self.tuner.model, animal)
        frames = training_frames(labelled, certain, settings)
        title = self._title(animal, "fine-tuning, second look")
        with self._timed_training(animal, title, settings.epochs) as (backup, callbacks, losses):
            losses += self.tuner.fit_further(
                frames, settings.epochs, backup, callbacks, zoom=self.views[animal].zoom
            )
        self.tuner.average_with(self.partial.before_second_look(animal), settings.share_before)

    def segment(self, animal: int) -> None:
        """Predicts and follows, frame by frame, going out from the labels."""
        everywhere = range(len(self.video))
        self.frames_seen[animal] = self.partial.frames_seen(animal) or 0
        if self.frames_seen[animal]:
            return
        self._convert_network(animal)
        title = self._title(animal, "segmenting")
        with contextlib.closing(self._follow_everywhere(animal)) as following:
            for frames in self.display.frames(following, title, total=len(everywhere)):
                # Kept, since animals labelled in other frames are followed in another order.
                for frame, regions in frames.items():
                    for number, region in regions.items():
                        self.partial.write_region(number, frame, region)
        still = self.still_frames.get(animal)
        self.frames_seen[animal] = still.num_seen if still else len(everywhere)
        self.partial.write_frames_seen(animal, self.frames_seen[animal])
        self.views[animal] = self._view(animal)  # a converted network is no longer needed

    def _follow_everywhere(self, animal: int) -> Iterator[dict[int, dict[int, np.ndarray]]]:
        """Yields: frame -> number of an animal -> bool (h, w), its pixels, for each frame that was
        looked at and those that it has changed."""
        for found, corrected in self._follow(animal, range(len(self.video)), self._predict):
            regions = {found.frame: found.region, **corrected}
            yield {frame: {animal: region} for frame, region in regions.items()}

    def settle_identities(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yields the index of each frame and its mask, uint8 (height, width) at the video's size:
        0, or the number of an animal."""
        settlement = Settlement(
            self.animals, self.video, self.frames, self._found, self.preset.refinement,
            self.outline, self.unseen_frames,
        )  # fmt: skip
        yield from settlement.masks()
        self.confidence = settlement.confidence

    def write(self, masks: Iterator[tuple[int, np.ndarray]]) -> None:
        """Writes masks, each while the next ones are settled, then confidence and overlays."""
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
            [] if self.labels_are_found else list(self.labels),
            show=lambda all_frames: self.display.frames(all_frames, f"{name}: overlay"),
        )
        for note in notes:
            print(f"warning: {note}", flush=True)

    def confidence_of_frames(self) -> list[float]:
        """Per frame, the lowest confidence of any animal, 0..1."""
        return [min(values) for values in zip(*self.confidence.values(), strict=True)]

    @property
    def unseen_frames(self) -> int:
        """Frames in a row in which a lost animal is not looked for everywhere, at most."""
        return 0

    @property
    def num_pieces(self) -> int:
        """The most connected regions in which an animal is learnt in a second look."""
        return 1

    @contextlib.contextmanager
    def _timed_training(self, animal: int, title: str, epochs: int) -> Iterator[tuple]:
        """Gives `fit` its backup, its callbacks and the list for the losses of its epochs."""
        epoch_steps, losses = self.tuner.settings.epoch_steps, []
        start = time.perf_counter()
        callbacks = self.display.training(title, epochs * epoch_steps)
        yield self.partial.training_backup(animal), callbacks, losses
        self.timing.fine_tuning += time.perf_counter() - start
        self.timing.steps += len(losses) * epoch_steps
        self.timing.losses.setdefault(animal, []).extend(losses)

    def _follow(
        self,
        animal: int,
        frames: Collection[int],
        probability_of: Callable[[int, NextFrame], np.ndarray],
    ) -> Iterator[tuple[AnimalInFrame, dict[int, np.ndarray]]]:
        """What continues the animal in these frames, going out from where it is labelled.

        Yields: what was found in the next frame, and the regions of earlier ones where this frame
            has shown what is the animal in them.
        """
        labelled = tuple(f for f, label in self.labels.items() if (label == animal).any())
        for start, going_away in make_passes(len(self.video), labelled):
            temporal_filter = self.kind.make_filter(animal, start, self.labels[start], frames)
            in_company = isinstance(temporal_filter, CompanyFilter)
            settings = self.preset.separation
            watch = SeparationWatch(settings, self._motion) if settings else None
            crossing = self._watch_crossings(temporal_filter)
            for step in self._steps(start, [i for i in going_away if i in frames]):
                index, motion = step.index, step.motion
                crosses = crossing is not None and crossing.goes_on
                expected = temporal_filter.expect(motion, with_others=crosses)
                in_doubt = in_company and temporal_filter.is_in_doubt
                probability = probability_of(animal, step.expecting(expected, in_doubt))
                at_working_size = resize_image(probability, *self.size)
                kind = self.kind.probability(index) if in_company else None
                region = temporal_filter(at_working_size, motion, step.distance_frames, kind)
                corrected = watch(index, region, motion) if watch else {}
                if index in corrected:
                    region = corrected.pop(index)
                    temporal_filter.settle(region)
                if crossing:
                    found, others = temporal_filter.found, temporal_filter.last_others
                    told_apart = crossing(index, found, region, others, motion)
                    if told_apart and not temporal_filter.tells_apart:
                        if watch:
                            watch.correct(told_apart)
                        region = told_apart.pop(index)
                        temporal_filter.settle(region)
                        corrected |= told_apart
                yield AnimalInFrame(index, probability, region), corrected

    def _steps(self, start: int, going_away: Sequence[int]) -> Iterator[Step]:
        """The way out from a labelled frame, each frame prepared while the network sees the one
        before.

        Args:
            start: the labelled frame.
            going_away: frames in the order in which they are looked at.
        """

        def prepare() -> Iterator[Step]:
            before, grey_before = start, self.frames.grey(start)
            for index in going_away:
                grey = self.frames.grey(index)
                motion = find_motion(grey, grey_before)
                # The label's own frame is 0 frames away from it; a filter's reach is at least 1.
                yield Step(index, grey, motion, max(1, abs(index - before)))
                before, grey_before = index, grey

        return ahead(prepare())

    def _watch_crossings(
        self, temporal_filter: TemporalFilter | CompanyFilter
    ) -> CrossingWatch | None:
        if self.preset.crossing is None:
            return None
        radius = self.preset.refinement.radius * float(np.hypot(*self.size))
        label = (temporal_filter.last_mask, temporal_filter.last_others)
        return CrossingWatch(self.preset.crossing, radius, self._motion, label)

    def _found(self, animal: int, frame: int) -> AnimalInFrame:
        """What the network and the filter have left of an animal in a frame."""
        probability = self.partial.settled_probability(animal, frame)
        region = self.partial.region(animal, frame)
        probability = self.kind.add_where_missed(animal, frame, probability, region)
        return AnimalInFrame(frame, probability, region)

    def _motion(self, frame: int, other: int) -> Motion | None:
        return find_motion(self.frames.grey(frame), self.frames.grey(other))

    def _predict_in_survey(self, animal: int, frame: NextFrame) -> np.ndarray:
        probability = self.partial.surveyed(animal, frame.index)
        if probability is None:
            # Whole frames: what resembles the animal elsewhere is to be learnt as background. No
            # window around the animal: what is learnt is what is certain, not the outline.
            probability = to_bytes(self.views[animal].whole(frame.index))
            self.partial.write_surveyed(animal, frame.index, probability)
        return probability

    def _predict(self, animal: int, frame: NextFrame) -> np.ndarray:
        is_whole = frame.is_in_doubt or self._is_whole(frame.index)

        def look() -> np.ndarray:
            return self._look(animal, frame, is_whole)

        if animal not in self.still_frames:
            return look()
        is_labelled = frame.index in self.labels
        probability = self.still_frames[animal](
            frame, look, is_whole=is_whole, must_look=is_labelled
        )
        if not self.partial.has_probability(animal, frame.index):
            self.partial.write_probability(animal, frame.index, probability)
        return probability

    def _look(self, animal: int, frame: NextFrame, is_whole: bool) -> np.ndarray:
        probability = self.partial.probability(animal, frame.index)
        if probability is None:
            start = time.perf_counter()
            found = self.views[animal].around(frame.index, frame.expected, is_whole)
            probability = to_bytes(found)
            self.partial.write_probability(animal, frame.index, probability)
            self.timing.segmentation += time.perf_counter() - start
            self.timing.frames += 1
        return probability

    def _convert_network(self, animal: int) -> None:
        """From here on the animal is segmented by a faster network, if there is one."""
        if self.convert is None:
            return
        start, seen = time.perf_counter(), SeenImages(self.tuner.model)
        view = self._view(animal, seen)
        for frame, label in self.labels.items():
            view.around(frame, label == animal, also_whole=True)
        for frame in np.linspace(0, len(self.video) - 1, NUM_CALIBRATION_FRAMES).round():
            view.whole(int(frame))
        self.views[animal] = self._view(animal, self.convert(self.tuner.model, seen.images))
        seconds = time.perf_counter() - start
        print(f"{self._title(animal, 'network converted')} in {seconds:.0f} s", flush=True)

    def _is_whole(self, index: int) -> bool:
        """Whether it is a frame's turn to be segmented outside of the window as well."""
        return index % self.preset.window.whole_every == 0

    def _view(self, animal: int, network: Network | None = None) -> WindowedView:
        return WindowedView(
            network or self.tuner.model,
            self.frames.read,
            self.fine_size,
            lines=min(self.size),
            zoom=self._zoom_of(animal),
            settings=self.preset.window,
            threshold=self.preset.refinement.threshold,
            flip=self.preset.flip,
        )

    def _zoom_of(self, animal: int) -> float:
        """How much the network sees an animal enlarged, see `choose_zoom`."""
        masks = [label == animal for label in self.labels.values() if (label == animal).any()]
        return choose_zoom(masks, self.preset.window)

    def _show_kind(self, frames: Collection[int]) -> Iterator[int]:
        title = f"{self.video.name}: finding all of the kind"
        return self.display.frames(frames, title, total=len(frames))

    def _title(self, animal: int, what: str) -> str:
        if len(self.animals) == 1:
            return f"{self.video.name}: {what}"
        place = self.animals.index(animal) + 1
        return f"{self.video.name}, animal {place} of {len(self.animals)}: {what}"


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
        # A player may have it open, on Windows: `write_overlays` says so then.
        with contextlib.suppress(PermissionError):
            (results_dir / paths.OVERLAY / f"{video.name}{suffix}").unlink(missing_ok=True)
