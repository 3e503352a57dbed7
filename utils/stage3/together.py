"""One network for several videos: it learns the labels of all of them once, and is kept with the
results, so that further videos need no training."""

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from utils import paths
from utils.console import Display
from utils.files import write_atomically
from utils.media.images import resize_image, resize_labels, scaled_size, working_size
from utils.media.labels import VOID, LabelMap
from utils.media.videos import Video
from utils.stage3.fine_tuning import FineTuner
from utils.stage3.partial_run import open_state
from utils.stage3.saved_network import SavedNetwork, network_facts, tuned_on_video
from utils.stage3.settings import Preset
from utils.stage3.window import choose_zoom
from utils.training.batches import FrameSample
from utils.training.weights import load_weights, save_weights

TITLE = "together"  # of progress bars and messages


@dataclass(frozen=True)
class LabelledVideo:
    """A video, and the labels to learn from: labelled frame -> its label."""

    video: Video
    labels: dict[int, LabelMap]


def learn_together(
    tuner: FineTuner,
    preset: Preset,
    videos: Sequence[LabelledVideo],
    folder: Path,
    key: dict[str, Any],
    display: Display,
    *,
    head: str,
    preset_name: str,
    learnt_before: Sequence[dict[str, Any]] = (),
    starts_over: bool = False,
) -> SavedNetwork:
    """Fine-tunes one network on the labels of several videos, or finds that done.

    All animals of a label are the object: the network learns their kind. Which of them a piece of a
    mask belongs to is settled when they are followed.

    Args:
        tuner: the network and the weights to start from; it then starts every video from what was
            learnt.
        preset: see `utils.stage3.settings.Preset`.
        videos: with at least one label each.
        folder: keeps the network, and the state of a run that was cut off.
        key: configuration and hashes that the network depends on.
        display: shows progress.
        head: of the network.
        preset_name: of the preset.
        learnt_before: `SavedNetwork.tuned_on` of the weights to start from.
        starts_over: learns again even what is there.

    Returns: the network that was learnt.
    """
    open_state(folder, key, starts_over)
    path, backup = folder / f"{head}.safetensors", folder / "training.npz"
    if not path.is_file():
        start, names = time.perf_counter(), ", ".join(v.video.name for v in videos)
        print(f"{TITLE}: one network learns the labels of {names}", flush=True)
        zooms = [_zoom(labelled, preset) for labelled in videos]
        samples = [
            sample
            for labelled, zoom in zip(videos, zooms, strict=True)
            for sample in _samples(labelled, zoom, preset)
        ]
        steps = tuner.settings.epochs * tuner.settings.epoch_steps
        callbacks = display.training(f"{TITLE}: fine-tuning", steps)
        tuner.fit(samples, backup, callbacks)
        tuned_on = [*learnt_before, *map(_describe, videos)]
        facts = network_facts(head, preset_name, tuned_on, float(np.median(zooms)))
        save_weights(tuner.model, path, facts)
        print(f"{TITLE}: learnt in {time.perf_counter() - start:.0f} s, {path}", flush=True)
    backup.unlink(missing_ok=True)
    network = SavedNetwork(path, load_weights(tuner.model, path))
    tuner.keep_as_start()
    return network


def together_dir(results_dir: Path) -> Path:
    """The folder of the network that learnt the labels of several videos."""
    return results_dir / paths.TOGETHER


def keep_network(network: SavedNetwork) -> Path:
    """Copies the network to where `--save-weights` keeps those of single videos.

    Returns: the file.
    """
    folder = paths.FINE_TUNE_WEIGHTS / paths.TOGETHER
    # In this order: until its manifest is there as well, whoever reads a new network is refused,
    # since the one before lists another hash.
    for name in (network.path.name, paths.MANIFEST_NAME):
        write_atomically(folder / name, partial(shutil.copyfile, network.path.with_name(name)))
    return folder / network.path.name


def _zoom(labelled: LabelledVideo, preset: Preset) -> float:
    """That of the animal which needs the largest window."""
    size = working_size(labelled.video.height, labelled.video.width, preset.lines)
    masks = []
    for label in labelled.labels.values():
        values = resize_labels(label.values, *size)
        masks += [values == animal for animal in label.shown_animals if (values == animal).any()]
    return choose_zoom(masks, preset.window)


def _samples(labelled: LabelledVideo, zoom: float, preset: Preset) -> list[FrameSample]:
    """The labelled frames, as large as the network sees them: each video has its own zoom."""
    video = labelled.video
    fine = working_size(video.height, video.width, preset.fine_lines)
    scale = zoom * min(1.0, preset.lines / min(fine))
    size = scaled_size(*fine, scale)
    samples = []
    for frame, label in labelled.labels.items():
        values = resize_labels(label.values, *size)
        target = np.where(values == VOID, VOID, values > 0).astype("uint8")
        samples.append(FrameSample(resize_image(video.read(frame), *size), target))
    return samples


def _describe(labelled: LabelledVideo) -> dict[str, Any]:
    animals = sorted({a for label in labelled.labels.values() for a in label.shown_animals})
    video = labelled.video
    frames = [frame + video.first_frame for frame in labelled.labels]
    return tuned_on_video(video.name, frames, animals, video.sha256())
