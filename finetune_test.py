"""Stage 3: from one labelled frame of a video to the animal's mask in every frame.

Fine-tunes the network on the labelled frame, segments all frames before and after it, and writes
an overlay video and, where other frames are annotated, a score. With no argument: the videos of
datasets/finetune_test_dataset, else the bundled sample.

Reads   DIR/JPEGImages/480p/SEQ and the labelled frame's DIR/Annotations/480p/SEQ/STEM.png, or
        --video and --label; the best weights of stage 2, stage 1 or ImageNet in weights/.
Writes  results/segmentation/SEQ/STEM.png, results/overlay/SEQ.mp4 and SEQ.png, and
        results/runs/SEQ/run.json.

A finished video is skipped unless something it depends on changed; one that was cut off goes on
where it was.
Paper: Xue et al., "One-shot Learning-based Animal Video Segmentation", IEEE TII 2022, the XFCN and
POST modules.
"""

import datetime
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from utils import backend, paths  # backend before Keras: it starts it without noise

# isort: split
import keras
from tqdm import tqdm

from models import build_model
from models.losses import SegmentationLoss
from utils.command_line import run_script, setting
from utils.errors import InputError, UsageError
from utils.files import sha256_of, write_json
from utils.finetuning import FineTuner
from utils.images import read_mask
from utils.overlay import write_contact_sheet, write_overlay_video
from utils.presets import PRESETS
from utils.run_record import git_commit, peak_memory_mib, read_record, same_run
from utils.scoring import NothingToScoreError, format_table, score_folders
from utils.segmentation import Timing, partial_dir, remove_partial, segment_video
from utils.sequences import (
    Guidance,
    VideoSequence,
    check_visible,
    choose_guidance,
    choose_sequences,
    default_dataset,
    list_video_paths,
    open_dataset_sequence,
    open_video_sequence,
    parse_guidance,
    read_labels,
    read_selection,
    video_name,
)
from utils.videos import Video
from utils.weights import find_weights, load_weights, save_weights


@dataclass(frozen=True)
class Config:
    dataset: Path | None = setting(None, "folder with JPEGImages/ and Annotations/")
    sequences: tuple[str, ...] = setting((), "names of the data set's videos; all if absent")
    video: tuple[Path, ...] = setting(
        (), "video files or folders of frames, in place of a data set"
    )
    label: tuple[Path, ...] = setting((), "masks of labelled frames, named after their frames")
    guidance: str = setting("auto", "auto, bubblenet, first, middle, last, or frames: 12 or 12,40")
    selection: Literal["BNLF", "BN0", "all", "rule"] = setting(
        "BNLF", "file of bubblenet_select.py"
    )
    preset: Literal["default", "fast", "accurate"] = setting("default", "speed against accuracy")
    head: Literal["deeplab", "xfcn"] = setting("deeplab", "network head; xfcn is the paper's")
    weights: Path | None = setting(None, "weights to start from; the best in weights/ if absent")
    results: Path = setting(paths.RESULTS, "where results go")
    seed: int = setting(0, "of augmentation and of untrained layers")
    precision: Literal["float32", "mixed_bfloat16"] = setting("float32", "mixed_bfloat16 for GPUs")
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
    labels: dict


def main(config: Config) -> int:
    parse_guidance(config.guidance)
    if not 0 <= config.seed < 2**32:
        raise UsageError(f"--seed must be 0 to {2**32 - 1}, not {config.seed}.")
    check_writable(config.results)
    preset = PRESETS[config.preset]
    weights_path, weights_reason = find_weights(config.head, config.weights)
    jobs, failed = prepare_jobs(config, weights_path)

    keras.config.set_dtype_policy(config.precision)
    backend.make_deterministic(config.seed, bitwise=config.precision == "float32")
    model = build_model(config.head)
    load_weights(model, weights_path)
    print(f"weights: {weights_path} ({weights_reason})")
    if config.dry_run:
        print_dry_run(config, jobs, failed)
        return 1 if failed else 0

    tuner = FineTuner(
        model,
        SegmentationLoss(preset.balance, preset.region_weight),
        preset.fine_tuning,
        config.seed,
    )
    rows = []
    for job in jobs:
        name = job.sequence.name
        try:
            rows.append((name, run_video(job, config, tuner, weights_path)))
        except (InputError, OSError, FloatingPointError) as error:
            failed[name] = str(error)
            print(f"error: {name}: {' '.join(str(error).split())}", flush=True)
        finally:
            job.sequence.video.close()
    print_summary(rows, failed, config.results)
    return 1 if failed else 0


def prepare_jobs(config: Config, weights_path: Path) -> tuple[list[Job], dict[str, str]]:
    """Checks every video and its label before anything is trained.

    Returns: the videos to do, and the others' names with what is wrong.

    Raises: InputError if only one video was asked for and it cannot be done; UsageError.
    """
    openers = {}
    if config.video:
        if config.dataset or config.sequences:
            raise UsageError(
                "--video stands in place of --dataset and --sequences. Give one of them."
            )
        videos = list_video_paths(config.video)
        if config.label and len(videos) > 1:
            raise UsageError(
                f"--label goes with one --video, there are {len(videos)}. Run them one by one."
            )
        for path in videos:
            name = video_name(path)
            openers[name] = lambda path=path: open_video_sequence(
                path, config.label, config.guidance
            )
        dataset = paths.DATASETS
    else:
        dataset = config.dataset or default_dataset()
        names = choose_sequences(dataset, config.sequences)
        if config.label and len(names) > 1:
            raise UsageError(
                f"--label goes with one sequence, there are {len(names)}. Name it: --sequences."
            )
        if config.dataset is None and dataset == paths.SAMPLE_DATASET:
            print(
                f"{paths.FINETUNE_TEST_DATASET} holds no videos: running on the sample, {dataset}."
            )
        for name in names:
            openers[name] = lambda name=name: open_dataset_sequence(
                dataset, name, config.label, config.guidance
            )

    weights_sha256 = sha256_of(weights_path) if weights_path.is_file() else "missing"
    jobs, failed = [], {}
    for name in list(openers)[shard_slice(config.shard)]:
        try:
            sequence = openers[name]()
            jobs.append(prepare_job(sequence, config, dataset, weights_sha256))
        except UsageError:
            raise
        except (InputError, OSError) as error:
            if len(openers) == 1:
                raise
            failed[name] = str(error)
            print(f"error: {name}: {' '.join(str(error).split())}", flush=True)
    return jobs, failed


def prepare_job(sequence: VideoSequence, config: Config, dataset: Path, weights_sha256: str) -> Job:
    """Decides on the labelled frame, decodes all frames once, reads the label."""
    video = sequence.video
    selected = []
    if config.guidance in ("auto", "bubblenet"):
        folder = paths.frame_selection_dir(dataset, sequence.name)
        selected = read_selection(folder, config.selection, video.frame_names)
    guidance = choose_guidance(sequence, config.guidance, selected)
    video.check()
    labels = read_labels(sequence, guidance.frames)
    check_visible(sequence, labels, PRESETS[config.preset].lines)
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
    video.close()  # many videos may be waiting: no open decoders meanwhile
    return Job(sequence, guidance, key, labels)


def run_video(job: Job, config: Config, tuner: FineTuner, weights: Path) -> dict[str, Any]:
    """Segments one video and writes its results, or finds it finished. Returns its record."""
    sequence, video = job.sequence, job.sequence.video
    masks = [
        config.results / paths.SEGMENTATION / video.name / f"{n}.png" for n in video.frame_names
    ]
    run_file = config.results / paths.RUNS / video.name / paths.RUN_FILE
    record = read_record(run_file)
    saved = paths.FINE_TUNE_WEIGHTS / video.name / f"{config.head}.safetensors"
    finished = same_run(record, job.key) and all(path.is_file() for path in masks)
    if config.save_weights and finished:
        finished = saved.is_file() and sha256_of(saved) == record["saved_weights_sha256"]
    if finished and not config.overwrite:
        remove_partial(config.results, video.name)  # a kill right after run.json leaves it
        print(f"{video.name}: done before, skipped (--overwrite does it again)", flush=True)
        return record
    frames = ", ".join(map(str, job.guidance.frames))
    print(
        f"{video.name}: {len(video)} frames, label of frame {frames} ({job.guidance.reason})",
        flush=True,
    )

    started = datetime.datetime.now(datetime.UTC)
    start = time.perf_counter()
    preset = PRESETS[config.preset]
    timing = segment_video(
        tuner, preset, video, job.labels, config.results, job.key, show_progress, training_progress
    )
    labelled = job.guidance.frames
    write_overlays(video, masks, labelled, config.results)
    saved_sha256 = None
    if config.save_weights:
        facts = {"stage": "fine_tune", "head": config.head, "data": video.name}
        facts |= {"commit": git_commit(), "labelled_frames": frames}
        saved_sha256 = save_weights(tuner.model, saved, facts)
    record = {
        "sequence": video.name,
        "input": str(video.path),
        "num_frames": len(video),
        "size": [video.height, video.width],
        "labelled_frames": list(labelled),
        "guidance": job.guidance.reason,
        "scores": score(sequence, masks[0].parent, labelled),
        "seconds": seconds(timing, time.perf_counter() - start),
        "losses": [round(loss, 5) for loss in timing.losses],
        "peak_memory_mib": peak_memory_mib(),
        "started": started.isoformat(timespec="seconds"),
        "ended": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "weights": str(weights),
        "saved_weights_sha256": saved_sha256,
        "git_commit": git_commit(),
        "environment": backend.describe(),
        "key": job.key,
    }
    write_json(run_file, record)  # last: it marks the video as done
    remove_partial(config.results, video.name)
    return record


def write_overlays(
    video: Video, masks: list[Path], labelled: tuple[int, ...], results: Path
) -> None:
    """Overlay video and contact sheet. Made in the run's folder: a kill leaves no litter."""
    aside = partial_dir(results, video.name)
    folder = results / paths.OVERLAY
    folder.mkdir(parents=True, exist_ok=True)
    for suffix, write in ((".mp4", write_overlay_video), (".png", write_contact_sheet)):
        write(aside / f"overlay{suffix}", video, lambda i: read_mask(masks[i]), labelled)
        os.replace(aside / f"overlay{suffix}", folder / f"{video.name}{suffix}")


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
    means = {name: value for name, value in result.scores.items() if isinstance(value, float)}
    return {"protocol": result.protocol, "num_scored": len(result.frames), **means}


def seconds(timing: Timing, total: float) -> dict[str, float | int | None]:
    """What took how long; steps and frames found after a restart are not counted."""
    return {
        "fine_tuning": round(timing.fine_tuning, 2),
        "per_step": round(timing.fine_tuning / timing.steps, 3) if timing.steps else None,
        "steps": timing.steps,
        "segmentation": round(timing.segmentation, 2),
        "per_frame": round(timing.segmentation / timing.frames, 3) if timing.frames else None,
        "frames": timing.frames,
        "total": round(total, 2),
    }


def show_progress(items: Any, title: str) -> Any:
    """A progress bar with the time left."""
    return tqdm(items, desc=title, unit="frame", dynamic_ncols=True, mininterval=0.5)


def training_progress(title: str, steps: int) -> list[keras.callbacks.Callback]:
    """The same for training steps, with the loss."""
    bar = tqdm(total=steps, desc=title, unit="step", dynamic_ncols=True, mininterval=0.5)

    def on_batch_end(batch, logs):
        bar.update()
        bar.set_postfix(loss=f"{float(logs['loss']):.3f}", refresh=False)

    return [
        keras.callbacks.LambdaCallback(
            on_train_batch_end=on_batch_end, on_train_end=lambda logs: bar.close()
        )
    ]


def shard_slice(shard: str) -> slice:
    """From "2/5" the second of every five. Raises: UsageError."""
    first, _, count = shard.partition("/")
    if not (first.isdecimal() and count.isdecimal() and 1 <= int(first) <= int(count)):
        raise UsageError(f"--shard must be I/N with I from 1 to N, not {shard!r}.")
    return slice(int(first) - 1, None, int(count))


def check_writable(results: Path) -> None:
    """Raises: InputError if results could not be written there. Makes nothing."""
    for name in ("", paths.SEGMENTATION, paths.OVERLAY, paths.RUNS):
        existing = (results / name).absolute()
        while not existing.exists() and existing != existing.parent:
            existing = existing.parent
        if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
            raise InputError(
                f"{results}: cannot write results, {existing} is no folder or not writable. "
                "Choose another folder with --results."
            )


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


def print_summary(rows: list[tuple[str, dict]], failed: dict[str, str], results: Path) -> None:
    """One line per video at the end."""
    print()
    for name, record in rows:
        scores = record["scores"]
        text = f"J {scores['J-Mean']:.3f}  F {scores['F-Mean']:.3f}" if scores else "not scored"
        print(f"{name}: {record['num_frames']} masks, {text}, {record['seconds']['total']:.0f} s")
    for name in failed:
        print(f"{name}: failed, see above")
    if rows:
        print(f"masks: {results / paths.SEGMENTATION}   overlays: {results / paths.OVERLAY}")


if __name__ == "__main__":
    run_script(main, Config, __doc__)
