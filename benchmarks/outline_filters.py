"""J and F when outlines are redrawn by a dense CRF or a guided filter, and the seconds per frame.

Runs stage 3 with the first frame labelled, on videos with one animal, and keeps the probabilities
that it would throw away; then applies the filters of FILTERS to them. What the same flags and files
have given before, in RESULTS/kept or in an unfinished run of finetune_test.py, is not computed
again.

Reads   a data set with all frames annotated.
Writes  RESULTS as finetune_test.py does, RESULTS/kept/SEQ, a table to the screen and with --json to
        a file.

    python -m benchmarks.outline_filters --dataset DIR --sequences bear dog-agility mallard-fly
"""

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from utils import backend, paths  # noqa: F401  backend before Keras: it starts it without noise

# isort: split
import numpy as np
from tabulate import tabulate
from tqdm import tqdm

import finetune_test
from benchmarks.stage3_runs import load_tuner, no_chooser
from utils.command_line import run_script, setting
from utils.errors import InputError
from utils.evaluation.measures import contour_accuracy, region_similarity
from utils.files import read_json, sha256_of, write_json
from utils.inputs.sequences import open_dataset_sequence, sequence_dir
from utils.media.images import open_image, resize_image
from utils.media.labels import VOID, read_label
from utils.stage3.animal_in_frame import AnimalInFrame, merge_animals
from utils.stage3.job import Job
from utils.stage3.outline import OutlineFilter, redraw_outline
from utils.stage3.partial_run import PartialRun, partial_dir
from utils.stage3.presets import PRESETS, PresetName
from utils.stage3.run_record import same_run
from utils.stage3.saved_network import SavedNetwork
from utils.stage3.settings import DenseCrf, GuidedFilter
from utils.stage3.smoothing import smooth_over_time
from utils.training.weights import find_weights

FILTERS: dict[str, OutlineFilter | None] = {
    "none": None,
    "CRF of OnAVOS (--crf)": DenseCrf(),
    "CRF of OSMN": DenseCrf(5, 3, 3, 10, 40, 5),
    "CRF of DeepLab": DenseCrf(10, 3, 1, 4, 67, 3),
    "CRF, 5 rounds, 40 px, 5 levels, 3": DenseCrf(5, 0, 1, 3, 40, 5),
    "guided filter, 4 px (--guided-filter)": GuidedFilter(),
    "guided filter, 8 px": GuidedFilter(radius_px=8),
    "guided filter, 16 px": GuidedFilter(radius_px=16),
}
KEPT = "kept"  # folder of the results
KEY_FILE = "key.json"  # beside the maps: what they depend on, as in `PartialRun`
MEASURES = (region_similarity, contour_accuracy)
# Of `PartialRun`, which numbers animals: folder -> suffix.
MAPS = {"probability_1": ".png", "region_1": ".png", "grey": ".jpg"}


@dataclass(frozen=True)
class Config:
    dataset: Path = setting(paths.SAMPLE_DATASET, "folder with JPEGImages/ and Annotations/")
    sequences: tuple[str, ...] = setting(("cockatoo",), "names of its videos")
    results: Path = setting(paths.RESULTS / "outline_filters", "folder for runs and kept maps")
    preset: PresetName = setting("default", "preset of the runs")
    weights: Path | None = setting(None, "weights that runs start from (default: the best)")
    seed: int = setting(0, "seed of fine-tuning")
    every: int = setting(1, "measure every N-th of the scored frames")
    json: Path | None = setting(None, "write all numbers here as well")


@dataclass(frozen=True)
class KeptFrame:
    """What stage 3 found in a frame, and the truth.

    Attributes:
        image: uint8 (h, w, 3), RGB, at the size of the probability.
        found: what stage 3 found, evened out over time.
        truth, void: bool (H, W).
    """

    image: np.ndarray
    found: AnimalInFrame
    truth: np.ndarray
    void: np.ndarray


def main(config: Config) -> None:
    jobs = prepare_jobs(config)
    missing = [job for job in jobs if kept_dir(config, job) is None]
    if missing:
        run_stage3(config, missing)
    table = {job.name: measure(config, job) for job in jobs}
    mean = {name: np.mean([v[name] for v in table.values()], axis=0).tolist() for name in FILTERS}
    rows = [
        (name, *(f"{v[name][0]:.3f} / {v[name][1]:.3f}" for v in (*table.values(), mean)),
         f"{mean[name][2]:.2f}")
        for name in FILTERS
    ]  # fmt: skip
    print(tabulate(rows, ("", *table, "mean", "s per frame"), disable_numparse=True))
    if config.json:
        write_json(config.json, table | {"mean": mean})


def flags_of(config: Config) -> finetune_test.Config:
    return finetune_test.Config(
        dataset=config.dataset, guidance="first", preset=config.preset, results=config.results,
        seed=config.seed, overwrite=True,
    )  # fmt: skip


def prepare_jobs(config: Config) -> list[Job]:
    """The runs, whose keys say what their maps depend on."""
    takes_prompts = PRESETS[config.preset].takes_prompts
    weights, _ = find_weights("deeplab", config.weights, takes_prompts=takes_prompts)
    sha256, flags = sha256_of(weights), flags_of(config)
    return [
        finetune_test.prepare_job(
            open_dataset_sequence(config.dataset, name), flags, config.dataset, sha256, no_chooser
        )
        for name in config.sequences
    ]


def run_stage3(config: Config, jobs: list[Job]) -> None:
    """Runs stage 3 with the first frame labelled, and keeps its maps."""
    tuner, weights = load_tuner(config.weights, PRESETS[config.preset], config.seed)
    network = SavedNetwork(weights, {"sha256": sha256_of(weights)})
    for job in jobs:
        folder = config.results / KEPT / job.name

        def keep(state: PartialRun, record: dict, folder: Path = folder) -> None:
            if len(record["animals"]) != 1:
                raise InputError(f"{record['sequence']}: expected a label of one animal.")
            if folder.exists():
                shutil.rmtree(folder)
            for kind in MAPS:
                shutil.copytree(state.folder / kind, folder / kind)
            write_json(folder / KEY_FILE, record["key"])

        finetune_test.run_job(job, flags_of(config), tuner, network, keep)


def kept_dir(config: Config, job: Job) -> Path | None:
    """Where all maps of a run are, if they are anywhere."""
    for folder in (config.results / KEPT / job.name, partial_dir(config.results, job.name)):
        key = read_json(folder / KEY_FILE) or {}
        key.pop("code", None)  # of an unfinished run: the version of the code
        counts = (len(list((folder / kind).glob(f"*{suffix}"))) for kind, suffix in MAPS.items())
        num_frames = len(job.sequence.video)
        if same_run({"key": key}, job.key) and all(count == num_frames for count in counts):
            return folder
    return None


def measure(config: Config, job: Job) -> dict[str, list[float]]:
    """Mean J, mean F and seconds per frame of each filter."""
    threshold = PRESETS[config.preset].refinement.threshold
    values: dict[str, list] = {name: [] for name in FILTERS}
    for frame in tqdm(list_kept(config, job), desc=job.name, leave=False):
        for name, settings in FILTERS.items():
            start = time.perf_counter()
            found = frame.found
            if settings is not None:
                redrawn = redraw_outline(
                    found.probability, found.region, frame.image, settings, threshold
                )
                found = AnimalInFrame(found.frame, *redrawn)
            seconds = time.perf_counter() - start
            mask = merge_animals([found], threshold, *frame.truth.shape) > 0
            scores = [m(mask, frame.truth, frame.void) for m in MEASURES]
            values[name].append([*scores, seconds])
    return {name: np.mean(v, axis=0).tolist() for name, v in values.items()}


def list_kept(config: Config, job: Job) -> Iterator[KeptFrame]:
    """The official frames that are annotated: neither the first nor the last one."""
    folder, video = kept_dir(config, job), job.sequence.video
    annotations = sequence_dir(config.dataset, "Annotations", job.name)
    stems = video.frame_names
    official = [i for i in range(1, len(stems) - 1) if (annotations / f"{stems[i]}.png").is_file()]
    settings = PRESETS[config.preset].refinement

    def read(kind: str, index: int) -> np.ndarray:
        return np.asarray(open_image(folder / kind / f"{index:06d}{MAPS[kind]}"))

    def read_found(index: int) -> AnimalInFrame:
        return AnimalInFrame(index, read("probability_1", index), read("region_1", index) > 0)

    for index in official[:: config.every]:
        found = smooth_over_time(
            read_found(index), len(video), read_found, lambda frame: read("grey", frame), settings
        )
        label = read_label(annotations / f"{stems[index]}.png").values
        yield KeptFrame(
            resize_image(video.read(index), *found.probability.shape),
            found,
            (label > 0) & (label != VOID),
            label == VOID,
        )


if __name__ == "__main__":
    run_script(main, Config, __doc__)
