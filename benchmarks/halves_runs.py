"""Cuts videos into parts, and runs stage 3 on them with what the network has learnt from some.

Not a benchmark itself; see halves.py.
"""

import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

from utils import backend, paths  # noqa: F401  backend before Keras: it starts it without noise

# isort: split
import numpy as np

import finetune_test
from benchmarks.stage3_runs import load_tuner, no_chooser
from utils.errors import InputError
from utils.evaluation.measures import score_sequence
from utils.files import read_json, sha256_of, write_json
from utils.inputs.sequences import VideoSequence, open_dataset_sequence, sequence_dir
from utils.media.images import list_frames
from utils.media.labels import read_labels
from utils.stage3.find_animals import NoAnimalError
from utils.stage3.fine_tuning import FineTuner
from utils.stage3.job import Job, share_labels
from utils.stage3.presets import PRESETS
from utils.stage3.saved_network import SavedNetwork
from utils.stage3.together import together_dir
from utils.training.weights import load_weights

Method = Literal["own_label", "fine_tuned", "one_label", "all_labels"]
OWN_LABEL, FINE_TUNED, ONE_LABEL, ALL_LABELS = METHODS = Method.__args__
MIN_FRAMES = 3  # of a part: its first and its last frame are never scored
NETWORK = "deeplab.safetensors"
LEARNT = "learnt.json"  # beside the results of a network that learnt several parts
STATE_KEY = "key.json"  # beside that network: what it depends on
Records = dict[int, dict | None]  # number of the part -> run.json; None: no animal was found


class Runs:
    """All runs of one seed; the network is built and traced once for them.

    Args:
        data: the parts, as `write_parts` makes them.
        results: gets METHOD/VIDEO/..., results of finetune_test.py, and networks/VIDEO.
        count: of the parts of a video.
        flags: of finetune_test.py that are the same in all runs: preset, seed, animals, weights.
    """

    def __init__(self, data: Path, results: Path, count: int, flags: finetune_test.Config):
        self.data, self.results, self.flags = data, results, flags
        self.numbers = range(1, count + 1)
        self.tuner, self.weights = load_tuner(flags.weights, PRESETS[flags.preset], flags.seed)
        # ImageNet weights are of the backbone alone: loaded again, they would leave the head.
        self._start_weights = self.tuner.start_weights
        self.start = SavedNetwork(self.weights, {"sha256": sha256_of(self.weights)})

    def measure(self, name: str, method: Method) -> Iterator[dict]:
        """Runs the parts of a video, or finds them finished. Yields a line of numbers for each, and
        with each the seconds that were spent before on what they have in common."""
        self.tuner.start_weights = self._start_weights  # whatever another method has left
        self.tuner.start_again()
        if method == OWN_LABEL:
            seconds, records = 0.0, self._run_by_themselves(name)
        elif method == FINE_TUNED:
            seconds, records = self._run_with_saved_network(name)
        else:
            seconds, records = self._run_together(name, method)
        for number, record in records.items():
            part, results = f"{name}-{number}", self._folder(method, name)
            score = {"j": 0.0, "f": 0.0, "tracks": 0}
            if record:
                annotations = sequence_dir(self.data, "Annotations", part)
                score = score_kept_track(results / paths.SEGMENTATION / part, annotations)
            seconds_of_part = record["seconds"]["total"] if record else 0.0
            yield {
                "video": name, "number": number, "method": method, "seed": self.flags.seed, **score,
                "seconds": seconds_of_part, "seconds_before": seconds,
            }  # fmt: skip

    def _run_by_themselves(self, name: str) -> Records:
        """Each part with its own label; the network of the first is kept."""
        records, kept = {}, self._saved_network(name)
        for number in self.numbers:
            flags = self._flags(OWN_LABEL, name)
            job = self._job(self._open(name, number), flags, self.start)
            keeps = number == 1 and not (job.is_finished and self._has_network_of_first(name))
            flags = replace(flags, save_weights=keeps)
            records[number] = finetune_test.run_job(job, flags, self.tuner, self.start)
            if keeps:
                folder = paths.FINE_TUNE_WEIGHTS / job.name
                if kept.parent.exists():
                    shutil.rmtree(kept.parent)
                shutil.copytree(folder, kept.parent)
                shutil.rmtree(folder)
        return records

    def _has_network_of_first(self, name: str) -> bool:
        """Whether the network that was kept is what the run of the first part has learnt."""
        kept = self._saved_network(name)
        saved = self._record_of_first(name)["saved_weights_sha256"] or {}
        return kept.is_file() and sha256_of(kept) == saved.get(NETWORK)

    def _record_of_first(self, name: str) -> dict:
        folder = self._folder(OWN_LABEL, name) / paths.RUNS / f"{name}-1"
        return read_json(folder / paths.RUN_FILE)

    def _run_with_saved_network(self, name: str) -> tuple[float, Records]:
        """All parts but the first with the network of the first, without labels."""
        path, records = self._saved_network(name), {}
        network = use_weights(self.tuner, path)
        flags = replace(self._flags(FINE_TUNED, name), guidance="none", fine_tuned=path)
        for number in self.numbers[1:]:
            job = self._job(without_labels(self._open(name, number)), flags, network)
            records[number] = self._find(job, flags, network)
        return self._record_of_first(name)["seconds"]["total"], records

    def _run_together(self, name: str, method: Method) -> tuple[float | None, Records]:
        """One network for all parts, of which the first, or each, is labelled."""
        flags = replace(self._flags(method, name), together=True)
        sequences = [self._open(name, number) for number in self.numbers]
        if method == ONE_LABEL:
            sequences[1:] = map(without_labels, sequences[1:])
        jobs = share_labels(
            [self._job(sequence, flags, self.start) for sequence in sequences],
            lambda video, key: bool(finetune_test.find_finished(video, key, flags, False)),
        )
        learnt, state = flags.results / LEARNT, together_dir(flags.results) / STATE_KEY
        before, start = read_json(state), time.perf_counter()
        network = finetune_test.learn_labels(jobs, flags, self.tuner, self.start)
        seconds, noted = time.perf_counter() - start, read_json(learnt) or {}
        # Otherwise all parts are finished, and nothing was learnt or loaded.
        if network is not self.start and noted.get("sha256") != network.sha256:
            # Where it was cut off while it learnt, nobody knows how long that took.
            is_whole = read_json(state) != before
            noted = {"seconds": seconds if is_whole else None, "sha256": network.sha256}
            write_json(learnt, noted)
        records = {
            number: self._find(job, flags, network)
            for number, job in zip(self.numbers, jobs, strict=True)
        }
        return noted.get("seconds"), records

    def _find(self, job: Job, flags: finetune_test.Config, network: SavedNetwork) -> dict | None:
        try:
            return finetune_test.run_job(job, flags, self.tuner, network)
        except NoAnimalError as error:
            print(error, flush=True)
            return None

    def _open(self, name: str, number: int) -> VideoSequence:
        return open_dataset_sequence(self.data, f"{name}-{number}")

    def _job(
        self, sequence: VideoSequence, flags: finetune_test.Config, network: SavedNetwork
    ) -> Job:
        if not sequence.labels:
            flags = replace(flags, guidance="auto")  # others name a frame, which needs its label
        return finetune_test.prepare_job(sequence, flags, self.data, network.sha256, no_chooser)

    def _flags(self, method: Method, name: str) -> finetune_test.Config:
        folder = self._folder(method, name)
        return replace(self.flags, results=folder, guidance="first", shot_changes="ignore")

    def _folder(self, method: Method, name: str) -> Path:
        return self.results / method / name

    def _saved_network(self, name: str) -> Path:
        return self.results / "networks" / name / NETWORK


def write_parts(dataset: Path, data: Path, name: str, count: int) -> None:
    """Copies the frames and annotations of a video into parts, NAME-1, NAME-2, ...; those of an
    earlier call are replaced.

    Raises:
        InputError: if the video is too short, or an annotation is missing.
    """
    annotations = sequence_dir(dataset, "Annotations", name) or Path(dataset, "Annotations", name)
    frames = list_frames(sequence_dir(dataset, "JPEGImages", name))
    if len(frames) < count * MIN_FRAMES:
        raise InputError(f"{name}: expected {count * MIN_FRAMES} frames, found {len(frames)}.")
    for number, part in enumerate(np.array_split(np.arange(len(frames)), count), start=1):
        images, labels = (
            data / kind / "480p" / f"{name}-{number}" for kind in ("JPEGImages", "Annotations")
        )
        for folder in (images, labels):
            if folder.exists():
                shutil.rmtree(folder)  # with another number of parts, it has other frames
            folder.mkdir(parents=True)
        for frame in (frames[index] for index in part):
            annotation = annotations / f"{frame.stem}.png"
            if not annotation.is_file():
                raise InputError(f"{annotation}: no such file. All frames have to be annotated.")
            shutil.copyfile(frame, images / frame.name)
            shutil.copyfile(annotation, labels / annotation.name)


def without_labels(sequence: VideoSequence) -> VideoSequence:
    return replace(sequence, labels={})


def use_weights(tuner: FineTuner, path: Path) -> SavedNetwork:
    """Loads weights from which every video then starts."""
    network = SavedNetwork(path, load_weights(tuner.model, path))
    tuner.keep_as_start()
    return network


def score_kept_track(masks: Path, annotations: Path) -> dict[str, float]:
    """Scores the track that a user would keep of those that were found: that of the highest J.

    Args:
        masks: folder of the masks of a video.
        annotations: those of all of its frames, with one animal.

    Returns: J and F, means over all frames but the first and the last one, and the number of
        tracks.
    """
    files = list_frames(annotations)[1:-1]
    truth = [label.values for label in read_labels(files)]
    found = read_labels([masks / file.name for file in files])
    scores = [
        score_sequence([label.values == track for label in found], truth)
        for track in found[0].animals or (1,)
    ]
    best = max(scores, key=lambda score: score["J-Mean"])
    return {"j": best["J-Mean"], "f": best["F-Mean"], "tracks": len(scores)}
