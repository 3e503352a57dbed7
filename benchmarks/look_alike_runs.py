"""Stage 3 on look-alike videos, with the probabilities that it would throw away.

Not a benchmark itself; see look_alikes.py.
"""

from collections.abc import Sequence
from pathlib import Path

from utils import backend  # noqa: F401  backend before Keras: it starts it without noise

# isort: split
import numpy as np
from PIL import Image

import finetune_test
from benchmarks.look_alike_list import ALONE, LookAlike
from benchmarks.stage3_runs import load_tuner, no_chooser
from utils.errors import InputError
from utils.files import read_json, sha256_of, write_atomically, write_json
from utils.inputs.sequences import VideoSequence, sequence_dir
from utils.media.images import open_image, resize_image, working_size
from utils.media.labels import read_label, write_label
from utils.media.videos import FrameFolder, Video
from utils.stage3.fine_tuning import FineTuner
from utils.stage3.inference import predict_probability
from utils.stage3.partial_run import PartialRun, to_bytes
from utils.stage3.presets import PRESETS
from utils.stage3.saved_network import SavedNetwork

FINE_TUNED, BEFORE = "fine_tuned", "before"  # networks whose probabilities are kept


def run_all(items: Sequence[LookAlike], config: finetune_test.Config, with_alone: bool) -> None:
    """Runs stage 3 with the first frame labelled; what is finished is skipped.

    Args:
        items: what to follow.
        config: flags of finetune_test.py; of these, dataset, results, preset, weights and seed.
        with_alone: also follows the animal where it is alone, if the data set has that.
    """
    tuner, weights = load_tuner(config.weights, PRESETS[config.preset], config.seed)
    sha256 = sha256_of(weights)
    sequences = [_open([item], config.dataset, config.results) for item in items]
    # First, while the network is as it was loaded. One that takes prompts says nothing without.
    for sequence in () if PRESETS[config.preset].takes_prompts else sequences:
        _predict_before(tuner, sequence.video, config, sha256)
    for item, sequence in zip(items, sequences, strict=True):
        _run(sequence, config, tuner, weights, sha256)
        alone, results = config.dataset / ALONE, config.results / ALONE
        if with_alone and sequence_dir(alone, "JPEGImages", item.video):
            flags = finetune_test.Config(
                dataset=alone, results=results, preset=config.preset, seed=config.seed
            )
            _run(_open([item], alone, results), flags, tuner, weights, sha256)


def run_together(items: Sequence[LookAlike], config: finetune_test.Config) -> None:
    """Runs stage 3 with all animals of `items` that share a name labelled in the first frame; what
    is finished is skipped. No probabilities are kept.

    Args:
        items, config: as of `run_all`.
    """
    tuner, weights = load_tuner(config.weights, PRESETS[config.preset], config.seed)
    network = SavedNetwork(weights, {"sha256": sha256_of(weights)})
    for name in dict.fromkeys(item.name for item in items):
        same = [item for item in items if item.name == name]
        sequence = _open(same, config.dataset, config.results)
        job = finetune_test.prepare_job(
            sequence, config, config.dataset, network.sha256, no_chooser
        )
        finetune_test.run_job(job, config, tuner, network)


def read_probability(results: Path, name: str, network: str, stem: str) -> np.ndarray:
    """Reads what `run_all` kept of one frame: uint8 (h, w) for 0..1.

    Raises:
        InputError: if it is not there.
    """
    path = _folder(results, name, network) / f"{stem}.png"
    if not path.is_file():
        raise InputError(
            f"{path}: no such file. Probabilities are kept by python -m benchmarks.look_alikes run "
            "in a results folder that does not have the masks yet."
        )
    return np.asarray(open_image(path))


def _open(items: Sequence[LookAlike], dataset: Path, results: Path) -> VideoSequence:
    """The video with the label of its first frame, in which only the animals to follow are drawn:
    those of `items`, which are of one video."""
    item, animals = items[0], [item.animal for item in items]
    frames = sequence_dir(dataset, "JPEGImages", item.video)
    annotations = sequence_dir(dataset, "Annotations", item.video)
    if frames is None or annotations is None:
        raise InputError(f"{dataset}: expected frames and annotations of {item.video}, found none.")
    video = FrameFolder(frames, item.name)
    file = f"{video.frame_names[0]}.png"
    label, values = results / "labels" / item.name / file, read_label(annotations / file).values
    if len(animals) == 1:
        write_label(label, values == item.animal)
    else:
        write_label(label, np.where(np.isin(values, animals), values, 0), animals)
    # No annotation but the label is opened before all masks are written.
    return VideoSequence(item.name, video, {0: label}, "--label", None, str(label))


def _run(
    sequence: VideoSequence,
    config: finetune_test.Config,
    tuner: FineTuner,
    weights: Path,
    weights_sha256: str,
) -> None:
    """Runs stage 3, and keeps the probabilities."""
    video, results = sequence.video, config.results
    job = finetune_test.prepare_job(sequence, config, config.dataset, weights_sha256, no_chooser)

    def keep_probabilities(state: PartialRun, record: dict) -> None:
        for index, stem in enumerate(video.frame_names):
            probability = state.probability(record["animals"][0], index)
            _write(_folder(results, sequence.name, FINE_TUNED) / f"{stem}.png", probability)

    network = SavedNetwork(weights, {"sha256": weights_sha256})
    finetune_test.run_job(job, config, tuner, network, keep_probabilities)


def _predict_before(
    tuner: FineTuner, video: Video, config: finetune_test.Config, weights_sha256: str
) -> None:
    preset, folder = PRESETS[config.preset], _folder(config.results, video.name, BEFORE)
    key = {"weights": weights_sha256, "preset": config.preset, "frames": video.sha256()}
    if read_json(folder / "key.json") == key:
        return
    size = working_size(video.height, video.width, preset.lines)
    fine_size = working_size(video.height, video.width, preset.fine_lines)
    print(f"{video.name}: before fine-tuning", flush=True)
    for index, stem in enumerate(video.frame_names):
        image = resize_image(video.read(index), *size)
        probability = predict_probability(tuner.model, image, preset.flip)
        _write(folder / f"{stem}.png", to_bytes(resize_image(probability, *fine_size)))
    write_json(folder / "key.json", key)


def _folder(results: Path, name: str, network: str) -> Path:
    return Path(results) / "probabilities" / name / network


def _write(path: Path, probability: np.ndarray) -> None:
    image = Image.fromarray(probability)
    write_atomically(path, lambda temporary_path: image.save(temporary_path, format="PNG"))
