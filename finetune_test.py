"""Stage 3: from one labelled frame of a video to the animal's mask in every frame.

Fine-tunes the network on the labelled frame, segments all frames before and after it, and writes
an overlay video and, where other frames are annotated, a score. With no argument: the videos of
datasets/finetune_test_dataset, else the bundled sample.

Reads   DIR/JPEGImages/480p/SEQ and the labelled frame's DIR/Annotations/480p/SEQ/STEM.png, or
        --video and --label; the best weights of stage 2, stage 1 or ImageNet in weights/.

Writes  results/segmentation/SEQ/STEM.png, results/overlay/SEQ.mp4 and SEQ.png,
        results/runs/SEQ/confidence.json and run.json.

SEQ is the video's name, STEM the frame's (00037), DIR the data set. Your own video:
python finetune_test.py --video my_film.mp4

A label may show several animals, an index or colour each; each takes the time of a video with one.
A finished video is skipped unless something it depends on changed; one that was cut off goes on
where it was.
Paper: Xue et al., "One-shot Learning-based Animal Video Segmentation", IEEE TII 2022, the XFCN and
POST modules.
"""

import datetime
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

from utils import backend, paths  # backend before Keras: it starts it without noise

# isort: split
import keras
import numpy as np
from tqdm import tqdm

from models import build_model
from models.bubblenets import build_bubblenet
from models.losses import SegmentationLoss
from utils.command_line import run_script, setting, shard_slice
from utils.console import training_progress
from utils.environment import describe_environment, git_commit
from utils.errors import InputError, UsageError, describe
from utils.evaluation.scoring import NothingToScoreError, format_table, score_folders
from utils.files import check_writable, hold_lock, read_json, sha256_of, write_json
from utils.frame_choice.selection_files import Chooser, find_selection, load_chooser
from utils.inputs.guidance import (
    TRUSTED,
    Guidance,
    check_visible,
    choose_guidance,
    parse_guidance,
    read_labels,
)
from utils.inputs.sequences import VideoSequence, find_sequences
from utils.media.labels import read_label
from utils.media.overlay import write_overlays
from utils.media.videos import Video
from utils.stage3.fine_tuning import FineTuner
from utils.stage3.pipeline import partial_dir, remove_partial, segment_video
from utils.stage3.presets import PRESETS
from utils.stage3.run_record import format_summary, make_record, same_run
from utils.training.weights import find_weights, load_weights, save_weights

EXPECTED = (InputError, OSError, FloatingPointError)  # all others are faults of ours


@dataclass(frozen=True)
class Config:
    dataset: Path | None = setting(None, "folder with JPEGImages/ and Annotations/")
    sequences: tuple[str, ...] = setting((), "names of the data set's videos; all if absent")
    video: tuple[Path, ...] = setting(
        (), "video files or folders of frames, in place of a data set"
    )
    label: tuple[Path, ...] = setting((), "masks of labelled frames, named after their frames")
    guidance: str = setting("auto", "auto, bubblenet, first, middle, last, or frames: 12 or 12,40")
    selection: Literal["BNLF", "BN0", "all", "rule"] | None = setting(
        None, "file of bubblenet_select.py; if absent BNLF, with auto the most trusted one"
    )
    preset: Literal["default", "fast", "accurate"] = setting("default", "speed against accuracy")
    head: Literal["deeplab", "xfcn"] = setting("deeplab", "network head; xfcn is the paper's")
    weights: Path | None = setting(None, "weights to start from; the best in weights/ if absent")
    results: Path = setting(paths.RESULTS, "where results go")
    seed: int = setting(0, "of augmentation and of untrained layers")
    precision: Literal["float32", "mixed_bfloat16"] = setting(
        "float32", "mixed_bfloat16 is faster on GPUs, and on processors that compute in bfloat16"
    )
    shard: str = setting("1/1", "I/N: do each N-th video, beginning with the I-th")
    save_weights: bool = setting(False, "keep the fine-tuned network of each video")
    overwrite: bool = setting(False, "redo videos that are finished")
    dry_run: bool = setting(False, "check everything, print the configuration, write nothing")


@dataclass(frozen=True)
class Job:
    """One video with all that was checked before training."""

    sequence: VideoSequence
    guidance: Guidance
    key: dict[str, Any]  # what the masks depend on


def main(config: Config) -> int:
    parse_guidance(config.guidance)
    if not 0 <= config.seed < 2**32:
        raise UsageError(f"--seed must be 0 to {2**32 - 1}, not {config.seed}.")
    for name in ("", paths.SEGMENTATION, paths.OVERLAY, paths.RUNS):
        check_writable(config.results / name, "another folder with --results")
    preset = PRESETS[config.preset]
    weights_path, weights_reason = find_weights(config.head, config.weights)
    jobs, failed = prepare_jobs(config, weights_path)

    keras.config.set_dtype_policy(config.precision)
    backend.make_deterministic(config.seed, config.precision == "float32" or not backend.has_gpu())
    model = build_model(config.head)
    load_weights(model, weights_path)
    print(f"weights: {weights_path} ({weights_reason})")
    if config.precision == "float32" and not backend.has_gpu() and backend.cpu_computes_bfloat16():
        print("hint: this processor is about a third faster with --precision mixed_bfloat16.")
    if config.dry_run:
        print_dry_run(config, jobs, failed)
        return 1 if failed else 0

    tuner = FineTuner(
        model,
        SegmentationLoss(preset.balance, preset.region_weight),
        preset.fine_tuning,
        config.seed,
    )
    records = {}
    for job in jobs:
        name = job.sequence.name
        try:
            records[name] = run_video(job, config, tuner, weights_path)
        except Exception as error:
            if len(jobs) == 1 and not isinstance(error, EXPECTED):
                raise
            failed[name] = tell(name, error)
        finally:
            job.sequence.video.close()
    print(format_summary(records, failed))
    if records:
        print(f"masks: {config.results / paths.SEGMENTATION}   ", end="")
        print(f"overlays: {config.results / paths.OVERLAY}")
    return 1 if failed else 0


def tell(name: str, error: Exception) -> str:
    """Says in one line what is wrong with a video, and returns it.

    A fault of ours keeps its traceback, but does not cost the other videos of the night.
    """
    if not isinstance(error, EXPECTED):
        traceback.print_exception(error)
    text = describe(error)
    print(f"error: {name}: {text}", flush=True)
    return text


def prepare_jobs(config: Config, weights_path: Path) -> tuple[list[Job], dict[str, str]]:
    """Checks every video and its label before anything is trained.

    Returns: the videos to do, and the others' names with what is wrong.

    Raises: InputError if only one video was asked for and it cannot be done; UsageError.
    """
    dataset, openers = find_sequences(
        config.dataset, config.sequences, config.video, config.label, config.guidance
    )
    if config.dataset is None and dataset == paths.SAMPLE_DATASET:
        print(f"{paths.FINETUNE_TEST_DATASET} holds no videos: running on the sample, {dataset}.")
    weights_sha256 = sha256_of(weights_path) if weights_path.is_file() else "missing"
    # Loaded for the first video that needs it, before the run is seeded: it leaves no trace there.
    load = cache(partial(load_chooser, build_model, build_bubblenet))
    jobs, failed = [], {}
    for name in list(openers)[shard_slice(config.shard)]:
        try:
            jobs.append(prepare_job(openers[name](), config, dataset, weights_sha256, load))
        except Exception as error:
            if isinstance(error, UsageError) or len(openers) == 1:
                raise
            failed[name] = tell(name, error)
    return jobs, failed


def prepare_job(
    sequence: VideoSequence,
    config: Config,
    dataset: Path,
    weights_sha256: str,
    load: Callable[[], Chooser],
) -> Job:
    """Decides on the labelled frame, decodes all frames once, reads the label.

    Args:
        load: gives the chooser if `--guidance bubblenet` finds no selection.
    """
    video = sequence.video
    guidance = choose_guidance(
        sequence, config.guidance, *select_frames(sequence, config, dataset, load)
    )
    video.check()
    labels = read_labels(sequence, guidance.frames)
    check_visible(sequence, labels, PRESETS[config.preset].lines)
    del labels  # many videos may be waiting: they are read again when it is this one's turn
    key = {
        "preset": asdict(PRESETS[config.preset]),
        "head": config.head,
        "seed": config.seed,
        "precision": config.precision,
        "labelled_frames": list(guidance.frames),
        "sha256": {
            "weights": weights_sha256,
            "frames": video.sha256(),
            "labels": {str(frame): sha256_of(sequence.labels[frame]) for frame in guidance.frames},
        },
        "backend": keras.backend.backend(),
    }
    warn_of_namesake(video, key, config.results / paths.RUNS / video.name / paths.RUN_FILE)
    video.close()  # nor are decoders open meanwhile
    return Job(sequence, guidance, key)


def select_frames(
    sequence: VideoSequence, config: Config, dataset: Path, load: Callable[[], Chooser]
) -> tuple[list[int], str]:
    """What a selection file or, where `--guidance bubblenet` asks for it, BubbleNets suggest:
    frames, best first, and who says so."""
    folder = paths.frame_selection_dir(dataset, sequence.name)
    if config.guidance == "auto":
        wanted = (config.selection,) if config.selection else TRUSTED
        return find_selection(sequence.video, folder, wanted)
    if config.guidance == "bubblenet":
        wanted = (config.selection or "BNLF",)
        return find_selection(sequence.video, folder, wanted, load, write=not config.dry_run)
    return [], ""


def run_video(job: Job, config: Config, tuner: FineTuner, weights: Path) -> dict[str, Any]:
    """Segments one video and writes its results, or finds it finished. Returns its record."""
    name = job.sequence.name
    run_dir = config.results / paths.RUNS / name
    record = finished_record(job, config)
    if record is None:
        with hold_lock(run_dir / paths.LOCK_FILE, str(run_dir)):
            return segment(job, config, tuner, weights)
    if partial_dir(config.results, name).exists():  # a kill right after run.json leaves it
        with hold_lock(run_dir / paths.LOCK_FILE, str(run_dir)):
            remove_partial(config.results, name)
    print(f"{name}: done before, skipped (--overwrite does it again)", flush=True)
    return record


def warn_of_namesake(video: Video, key: dict[str, Any], run_file: Path) -> None:
    """Says so where other frames were segmented under this name: their results will be replaced,
    and a label in datasets/labels may be theirs."""
    before = read_json(run_file)
    if not isinstance(before, dict):
        return
    frames = before.get("key", {}).get("sha256", {}).get("frames")
    if frames and frames != key["sha256"]["frames"]:
        print(
            f"warning: {video.name}: replaces the results of another video of this name, "
            f"{before.get('input')}. Keep them apart with --results, and see that the label is of "
            "this one.",
            flush=True,
        )


def finished_record(job: Job, config: Config) -> dict[str, Any] | None:
    """The record of an earlier run that did the same and whose files are there."""
    name = job.sequence.name
    record = read_json(config.results / paths.RUNS / name / paths.RUN_FILE)
    files = mask_paths(job.sequence, config.results)
    if config.overwrite or not same_run(record, job.key) or not all(map(Path.is_file, files)):
        return None
    if config.save_weights:
        saved, folder = record.get("saved_weights_sha256"), paths.FINE_TUNE_WEIGHTS / name
        if not isinstance(saved, dict) or not all(
            (folder / file).is_file() and sha256_of(folder / file) == saved[file] for file in saved
        ):
            return None
    return record


def segment(job: Job, config: Config, tuner: FineTuner, weights: Path) -> dict[str, Any]:
    """Segments one video and writes masks, overlays and at last run.json, whose content it
    returns."""
    sequence, video, labelled = job.sequence, job.sequence.video, job.guidance.frames
    labels = read_labels(sequence, labelled)
    animals = labels[labelled[0]].animals
    frames = ", ".join(map(str, labelled))
    several = f", {len(animals)} animals, one after the other" if len(animals) > 1 else ""
    print(
        f"{video.name}: {len(video)} frames, label of frame {frames} ({job.guidance.reason})"
        f"{several}",
        flush=True,
    )
    started = datetime.datetime.now(datetime.UTC)
    start = time.perf_counter()
    saved = {}

    def save_network(animal: int) -> None:
        file = f"{config.head}_animal{animal}" if len(animals) > 1 else config.head
        path = paths.FINE_TUNE_WEIGHTS / video.name / f"{file}.safetensors"
        facts = {"stage": "fine_tune", "head": config.head, "data": video.name}
        facts |= {"commit": git_commit(), "labelled_frames": frames}
        saved[path.name] = save_weights(tuner.model, path, facts)

    timing, confidence = segment_video(
        tuner,
        PRESETS[config.preset],
        video,
        labels,
        config.results,
        job.key,
        show_progress,
        training_progress,
        save_network if config.save_weights else None,
    )
    masks = mask_paths(sequence, config.results)
    aside = partial_dir(config.results, video.name)  # a kill leaves no litter there
    write_overlays(
        config.results / paths.OVERLAY,
        aside,
        video,
        lambda i: read_label(masks[i]).values,
        labelled,
    )
    record = make_record(
        sequence,
        job.guidance,
        started,
        num_animals=len(animals),
        confidence_mean=round(float(np.mean(confidence)), 4),
        scores=score(sequence, masks[0].parent, labelled),
        seconds=timing.summary(time.perf_counter() - start),
        losses={str(a): [round(x, 5) for x in losses] for a, losses in timing.losses.items()},
        weights=str(weights),
        saved_weights_sha256=saved or None,
        environment=describe_environment(),
        key=job.key,
    )
    write_json(config.results / paths.RUNS / video.name / paths.RUN_FILE, record)  # last: "done"
    remove_partial(config.results, video.name)
    return record


def mask_paths(sequence: VideoSequence, results: Path) -> list[Path]:
    """Where the masks of a video are written, in the order of its frames."""
    video = sequence.video
    return [results / paths.SEGMENTATION / video.name / f"{n}.png" for n in video.frame_names]


def score(
    sequence: VideoSequence, mask_dir: Path, labelled: tuple[int, ...]
) -> dict[str, Any] | None:
    """Scores the masks where there are other annotations, which are opened only now."""
    if sequence.annotation_dir is None:
        return None
    names = sequence.video.frame_names
    try:
        result = score_folders(sequence.name, mask_dir, sequence.annotation_dir, names, labelled)
    except NothingToScoreError:
        return None
    except (InputError, OSError) as error:  # the masks are done; only the comparison is not
        print(f"{sequence.name}: not scored: {error}", flush=True)
        return None
    print(format_table([result]), flush=True)
    return {"protocol": result.protocol, "num_scored": len(result.frames), **result.means()}


def show_progress(items: Any, title: str) -> Any:
    """A progress bar with the time left."""
    return tqdm(items, desc=title, unit="frame", dynamic_ncols=True, mininterval=0.5)


def print_dry_run(config: Config, jobs: list[Job], failed: dict[str, str]) -> None:
    """What a run would do."""
    print("configuration:")
    for name, value in asdict(config).items():
        print(f"  {name}: {value}")
    print(f"preset {config.preset}: {PRESETS[config.preset]}")
    for job in jobs:
        video = job.sequence.video
        frames = ", ".join(f"{i} ({job.sequence.labels[i]})" for i in job.guidance.frames)
        print(
            f"{video.name}: {len(video)} frames of {video.height}x{video.width}, label of "
            f"frame {frames}, {job.guidance.reason}"
        )
    print(f"dry run: {len(jobs)} to do, {len(failed)} cannot be done; nothing was written")


if __name__ == "__main__":
    run_script(main, Config, __doc__)
