"""One video from label to masks: fine-tune, segment every frame, refine, write; resumable at any
moment.

While a video is being worked on, `results/runs/SEQ/partial/` keeps the state: the run's key
(configuration and hashes), every frame in grey (for the optical flow along which animals are
followed) and, of each animal, the training backup, the survey for the second look
(utils/stage3/second_look.py), the fine-tuned weights, the probability of every frame so far and the
regions kept of it. A run with the same key goes on from there, with another key it starts afresh.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np

from utils import paths
from utils.files import read_json, write_atomically, write_json
from utils.media.images import resize_image, resize_labels, working_size
from utils.media.labels import VOID, LabelMap, write_label
from utils.media.videos import Video
from utils.stage3.fine_tuning import FineTuner
from utils.stage3.inference import predict_probability
from utils.stage3.motion import find_motion, to_grey
from utils.stage3.presets import Preset
from utils.stage3.second_look import SureFrame, choose_frames, make_target, mix, survey_frames
from utils.stage3.temporal_filter import Refinement, TemporalFilter, make_passes, mask_confidence
from utils.training.batches import FrameSample

PARTIAL = "partial"
QUICKLY = {".png": [cv2.IMWRITE_PNG_COMPRESSION, 1], ".jpg": [cv2.IMWRITE_JPEG_QUALITY, 90]}
Progress = Callable[[Iterable, str], Iterable]


@dataclass
class Timing:
    """Seconds of the steps and frames really computed, not of those found after a restart; with
    several animals a frame counts once for each.

    Attributes:
        losses: number of the animal -> mean loss of each epoch computed.
    """

    fine_tuning: float = 0.0
    steps: int = 0
    segmentation: float = 0.0
    frames: int = 0
    losses: dict[int, list[float]] = field(default_factory=dict)

    def summary(self, total: float) -> dict[str, float | int | None]:
        """For run.json; `total` are the seconds of the whole run."""
        return {
            "fine_tuning": round(self.fine_tuning, 2),
            "per_step": round(self.fine_tuning / self.steps, 3) if self.steps else None,
            "steps": self.steps,
            "segmentation": round(self.segmentation, 2),
            "per_frame": round(self.segmentation / self.frames, 3) if self.frames else None,
            "frames": self.frames,
            "total": round(total, 2),
        }


class PartialRun:
    """The state of an unfinished video on disk."""

    def __init__(self, folder: Path, key: dict[str, Any]):
        self.folder = folder
        self.key = json.loads(json.dumps(key))
        if read_json(folder / "key.json") != self.key:
            if folder.exists():
                shutil.rmtree(folder)  # what resists is an error: old state must not mix with new
            folder.mkdir(parents=True)
            write_json(folder / "key.json", self.key)

    def training_backup(self, animal: int) -> Path:
        return self.folder / f"training_{animal}.npz"

    def tuned_weights(self, animal: int) -> Path:
        return self.folder / f"fine_tuned_{animal}.npz"

    def probability(self, animal: int, frame: int) -> Path:
        return self.folder / f"probability_{animal}" / f"{frame:06d}.png"

    def survey(self, animal: int, frame: int) -> Path:
        return self.folder / f"survey_{animal}" / f"{frame:06d}.png"

    def kept(self, animal: int, frame: int) -> Path:
        return self.folder / f"kept_{animal}" / f"{frame:06d}.png"

    def grey(self, frame: int) -> Path:
        return self.folder / "grey" / f"{frame:06d}.jpg"


def segment_video(
    tuner: FineTuner,
    preset: Preset,
    video: Video,
    labels: dict[int, LabelMap],
    results_dir: Path,
    key: dict[str, Any],
    progress: Progress,
    training_callbacks: Callable[[str, int], list[keras.callbacks.Callback]],
    keep_network: Callable[[int], None] | None = None,
) -> tuple[Timing, list[float]]:
    """Writes `results_dir/segmentation/NAME/STEM.png` for every frame of a video, and
    `results_dir/runs/NAME/confidence.json`.

    Several animals are learnt one after the other, each from the start weights and with all others
    as background; where two claim a pixel, the higher probability has it.

    Args:
        tuner: holds the network and the weights to start from.
        preset: see `utils.stage3.presets`.
        video: the frames.
        labels: labelled frame -> its label. A label shows at least one animal; an animal that it
            does not show is not in that frame.
        results_dir: `results/` or what stands for it.
        key: configuration and hashes that this run depends on.
        progress: wraps an iterable of frames for display: (frames, title).
        training_callbacks: makes the callbacks that show training's progress: (title, steps).
        keep_network: called with each animal while the tuner's network is the one of this animal.

    Returns: how long it took, and the confidence of each frame, 0..1.
    """
    run_dir = results_dir / paths.RUNS / video.name
    for half_written in run_dir.glob(".writing-*"):
        half_written.unlink()
    partial = PartialRun(partial_dir(results_dir, video.name), key)
    size = working_size(video.height, video.width, preset.lines)
    animals = next(iter(labels.values())).animals
    labels = {frame: label.resize(*size).values for frame, label in labels.items()}
    timing = Timing()
    for place, animal in enumerate(animals, start=1):
        which = f", animal {place} of {len(animals)}" if len(animals) > 1 else ""
        title = f"{video.name}{which}: fine-tuning"
        shown = title, training_callbacks, progress
        _fine_tune(tuner, preset, video, labels, animal, partial, timing, *shown)
        title = f"{video.name}{which}: segmenting"
        _predict(tuner, preset, video, animal, size, partial, timing, title, progress)
        if keep_network:
            keep_network(animal)
    _keep_regions(preset.refinement, video, labels, animals, partial, progress)
    confidence = _write_masks(preset.refinement, video, animals, partial, results_dir, progress)
    return timing, confidence


def partial_dir(results_dir: Path, name: str) -> Path:
    """The folder of an unfinished video's state."""
    return results_dir / paths.RUNS / name / PARTIAL


def remove_partial(results_dir: Path, name: str) -> None:
    """Removes the state of a video that is finished."""
    shutil.rmtree(partial_dir(results_dir, name), ignore_errors=True)


def clear_results(results_dir: Path, video: Video) -> None:
    """Removes an earlier run's record, which says "done", masks and overlay of this video."""
    for file in (paths.RUN_FILE, paths.CONFIDENCE_FILE):
        (results_dir / paths.RUNS / video.name / file).unlink(missing_ok=True)
    shutil.rmtree(results_dir / paths.SEGMENTATION / video.name, ignore_errors=True)
    for suffix in (".mp4", ".png"):
        (results_dir / paths.OVERLAY / f"{video.name}{suffix}").unlink(missing_ok=True)


def _fine_tune(
    tuner, preset, video, labels, animal, partial, timing, title, training_callbacks, progress
):
    tuned = partial.tuned_weights(animal)
    if tuned.is_file():
        with np.load(tuned) as state:
            for variable in tuner.model.variables:
                variable.assign(state[variable.path])
        return
    targets = {
        frame: np.where(label == VOID, VOID, label == animal).astype("uint8")
        for frame, label in labels.items()
    }
    frames = [
        FrameSample(resize_image(video.read(frame), *target.shape), target)
        for frame, target in targets.items()
    ]
    backup, epoch_steps = partial.training_backup(animal), tuner.settings.epoch_steps
    start = time.perf_counter()
    callbacks = training_callbacks(title, tuner.settings.epochs * epoch_steps)
    losses = tuner.fit(frames, backup, callbacks)
    timing.fine_tuning += time.perf_counter() - start
    second = preset.second_look
    sure = second and _survey(tuner, preset, video, labels, animal, partial, title, progress)
    if sure:
        start = time.perf_counter()
        callbacks = training_callbacks(f"{title}, second look", second.epochs * epoch_steps)
        losses += tuner.fit_further(mix(frames, sure, second), second.epochs, backup, callbacks)
        timing.fine_tuning += time.perf_counter() - start
    timing.losses[animal] = losses
    timing.steps += len(losses) * epoch_steps
    _save_fine_tuned(tuner.model, tuned)
    backup.unlink(missing_ok=True)


def _survey(tuner, preset, video, labels, animal, partial, title, progress):
    """Segments frames all over the video and gives back those of which much is certain."""
    second = preset.second_look
    frames = survey_frames(len(video), second)
    size = next(iter(labels.values())).shape
    missing = [i for i in frames if not partial.survey(animal, i).is_file()]
    for index in progress(missing, f"{title}, survey"):
        image = resize_image(video.read(index), *size)
        _keep_grey(partial, index, image)
        probability = predict_probability(tuner.model, image, flip=False)
        _write_bytes(partial.survey(animal, index), np.round(probability * 255))
    for label in labels:
        if not partial.grey(label).is_file():
            _keep_grey(partial, label, resize_image(video.read(label), *size))
    found = {}
    followed = _follow(
        preset.refinement, labels, animal, len(video), frames, partial, partial.survey
    )
    for index, probability, region in followed:
        confidence = mask_confidence(probability, region)
        found[index] = confidence, make_target(probability, region, second)
    confidence = [found[index][0] for index in frames]
    chosen = choose_frames(frames, confidence, tuple(labels), second)
    return [SureFrame(resize_image(video.read(i), *size), found[i][1]) for i in chosen]


def _save_fine_tuned(model: keras.Model, path: Path) -> None:
    values = {v.path: keras.ops.convert_to_numpy(v.value) for v in model.variables}
    if not all(np.isfinite(value).all() for value in values.values()):
        raise FloatingPointError("Fine-tuning ended with weights that are not finite; try --seed.")

    def write(aside):
        with open(aside, "wb") as file:
            np.savez(file, **values)

    write_atomically(path, write)


def _predict(tuner, preset, video, animal, size, partial, timing, title, progress):
    missing = [i for i in range(len(video)) if not partial.probability(animal, i).is_file()]
    for index in progress(missing, title):
        start = time.perf_counter()
        image = resize_image(video.read(index), *size)
        _keep_grey(partial, index, image)
        probability = predict_probability(tuner.model, image, preset.flip, preset.scales)
        # 8 bits: finer differences than 1/255 never decided a mask, and a long video needs little
        # disk.
        _write_bytes(partial.probability(animal, index), np.round(probability * 255))
        timing.segmentation += time.perf_counter() - start
        timing.frames += 1


def _keep_grey(partial, index, image):
    if not partial.grey(index).is_file():
        _write_bytes(partial.grey(index), to_grey(image))


def _write_bytes(path: Path, values: np.ndarray) -> None:
    encoded = cv2.imencode(path.suffix, values.astype("uint8"), QUICKLY[path.suffix])[1]
    write_atomically(path, lambda aside: aside.write_bytes(encoded.tobytes()))


def _read_bytes(path: Path) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(path.read_bytes(), "uint8"), cv2.IMREAD_GRAYSCALE)


def _follow(refinement, labels, animal, num_frames, frames, partial, probability_path):
    """The probability of each of these frames and the regions in it that continue the animal, out
    from where it is labelled."""
    starts = tuple(frame for frame, label in labels.items() if (label == animal).any())
    for start, going_away in make_passes(num_frames, starts):
        keep = TemporalFilter(refinement, labels[start], animal)
        before = _read_bytes(partial.grey(start))
        for index in (i for i in going_away if i in frames):
            grey = _read_bytes(partial.grey(index))
            probability = _read_bytes(probability_path(animal, index))
            yield index, probability, keep(probability, find_motion(grey, before))
            before = grey


def _keep_regions(refinement, video, labels, animals, partial, progress):
    """Finds the regions of each frame that continue each animal.

    They go to disk, since animals that are labelled in other frames are followed in another order.
    """
    frames = range(len(video))
    for animal in animals:
        followed = _follow(
            refinement, labels, animal, len(video), frames, partial, partial.probability
        )
        shown = progress(frames, f"{video.name}: following")
        for _, (index, _, region) in zip(shown, followed, strict=True):
            _write_bytes(partial.kept(animal, index), region)


def _write_masks(refinement, video, animals, partial, results_dir, progress):
    folder = results_dir / paths.SEGMENTATION / video.name
    clear_results(results_dir, video)
    numbers = np.array([0, *animals], "uint8")
    confidence = {str(animal): [] for animal in animals}
    for index in progress(range(len(video)), f"{video.name}: writing masks"):
        probabilities = [_read_bytes(partial.probability(a, index)) for a in animals]
        kept = [_read_bytes(partial.kept(a, index)) > 0 for a in animals]
        mask = merge_animals(probabilities, kept, refinement, video.height, video.width)
        write_label(folder / f"{video.frame_names[index]}.png", numbers[mask], animals)
        for values, *seen in zip(confidence.values(), probabilities, kept, strict=True):
            values.append(round(mask_confidence(*seen), 4))
    record = {"confidence": [min(values) for values in zip(*confidence.values(), strict=True)]}
    if len(animals) > 1:
        record["animals"] = confidence
    write_json(results_dir / paths.RUNS / video.name / paths.CONFIDENCE_FILE, record)
    return record["confidence"]


def merge_animals(
    probabilities: list[np.ndarray],
    kept: list[np.ndarray],
    refinement: Refinement,
    height: int,
    width: int,
) -> np.ndarray:
    """One mask at the input's size from the animals' probabilities at working size.

    Args:
        probabilities: per animal, uint8 (h, w).
        kept: per animal, bool (h, w), the regions that continue it.
        refinement: the threshold.
        height: of the mask.
        width: of the mask.

    Returns: uint8 (height, width): 0, or 1..N, the animal of the highest probability.
    """
    mask = np.zeros((height, width), "uint8")
    best = np.full((height, width), refinement.threshold * 255, "float32")
    for animal, (probability, region) in enumerate(zip(probabilities, kept, strict=True), start=1):
        probability = probability.astype("float32")
        if probability.shape != (height, width):
            # Up-sampled probabilities give a smooth contour; the region only says which parts
            # count.
            region = cv2.dilate(region.astype("uint8"), np.ones((3, 3), "uint8"))
            region = resize_labels(region, height, width).astype(bool)
            probability = cv2.resize(probability, (width, height), interpolation=cv2.INTER_LINEAR)
        wins = region & (probability > best)
        mask[wins] = animal
        best[wins] = probability[wins]
    return mask
