"""Stage 3: from one labelled frame of a video to the animal's mask in every frame.

Fine-tunes the network on the labelled frame, segments all frames before and after it, and writes
an overlay video and, where other frames are annotated, a score. With no argument: the videos of
datasets/finetune_test_dataset, else the bundled sample.

Reads   DIR/JPEGImages/480p/SEQ and the labelled frame's DIR/Annotations/480p/SEQ/STEM.png, or
        --video and --label; the best weights of stage 2, stage 1 or ImageNet in weights/.

Writes  results/segmentation/SEQ/STEM.png, results/overlay/SEQ.mp4 and SEQ.png,
        results/runs/SEQ/confidence.json and run.json; with --together results/together.

SEQ is the video's name, STEM the frame's (00037), DIR the data set. Your own video:
python finetune_test.py --video my_video.mp4

A label may show several animals, each in an index or a colour of its own. Each of them takes as
long as a video with one animal, unless one network finds all of them (--networks one). --preset
herd trains once for all of them, but still segments every frame once for each.
Videos without a label: --fine-tuned FILE uses a network that --save-weights kept, and --together
one that learns the labels of all videos of the call. The animals of a video are then those that the
network finds where they are clearest.
A finished video is skipped unless something it depends on changed; one that was cut off continues
where it was.
Paper: Xue et al., "One-shot Learning-based Animal Video Segmentation", IEEE TII 2022, the XFCN and
POST modules.
"""

import contextlib
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

from models import HeadName, build_model, build_prompted_model
from utils.command_line import check_seed, run_script, setting, shard_slice
from utils.console import Display, make_display
from utils.environment import describe_environment
from utils.errors import EXPECTED, InputError, UsageError, one_line
from utils.evaluation.scoring import score_run
from utils.files import check_writable, hold_lock, sha256_of, write_json
from utils.frame_choice.chooser import Chooser, load_chooser, select_frames
from utils.inputs.guidance import (
    Guidance,
    check_visible,
    choose_guidance,
    describe_labels,
    parse_guidance,
    read_labels,
)
from utils.inputs.parts import require_one_shot, take_sequence_part
from utils.inputs.sequences import WHOLE, VideoSequence, find_sequences, may_have_label
from utils.media.labels import LabelMap, labelled_animals
from utils.media.video_part import parse_part
from utils.media.videos import Video
from utils.stage3.find_animals import find_labels
from utils.stage3.fine_tuning import FineTuner
from utils.stage3.job import Job, describe_jobs, key_of_found, preset_for, share_labels
from utils.stage3.network_choice import (
    FROM_ANIMALS,
    Networks,
    choose_sharing,
    require_told_apart,
    share_found,
)
from utils.stage3.openvino_network import (
    Runtime,
    convert_network,
    openvino_versions,
    require_openvino,
)
from utils.stage3.outline import OutlineFilter
from utils.stage3.partial_run import PartialRun, is_redone, partial_dir, remove_left_state
from utils.stage3.pipeline import Pipeline
from utils.stage3.presets import PRESETS, PresetName
from utils.stage3.prompted_pipeline import PromptedPipeline
from utils.stage3.prompted_tuning import make_tuner
from utils.stage3.run_record import (
    finished_record,
    format_summary,
    make_record,
    namesake_warning,
)
from utils.stage3.saved_network import SavedNetwork, network_facts, tuned_on_video
from utils.stage3.settings import DenseCrf, Finding, GuidedFilter, Preset, Stillness
from utils.stage3.shared_pipeline import SharedPipeline
from utils.stage3.sharing import Sharing
from utils.stage3.temporal_filter import DOUBTFUL
from utils.stage3.together import LabelledVideo, keep_network, learn_together, together_dir
from utils.training.stage import check_stage
from utils.training.weights import find_weights, load_weights, save_weights


@dataclass(frozen=True)
class Config:
    dataset: Path | None = setting(None, "folder with JPEGImages/ and Annotations/")
    sequences: tuple[str, ...] = setting((), "names of the data set's videos (default: all)")
    video: tuple[Path, ...] = setting((), "video files or folders of frames instead of a data set")
    name: str | None = setting(None, "name of the results of the one video (default: its file's)")
    label: tuple[Path, ...] = setting((), "masks of labelled frames, named after their frames")
    guidance: str = setting(
        "auto", "auto, bubblenet, first, middle, last, frames (12 or 12,40), or none: no label"
    )
    frames: str | None = setting(
        None, "A:B: only from frame A up to, but without, B; frames keep their numbers"
    )
    animals: int | None = setting(
        None,
        "how many animals of this kind there are in the picture at most (default: any number); if "
        "all of them are labelled, what looks like them is not taken for another one",
    )
    networks: Networks = setting(
        "auto",
        "one: a single network finds all labelled animals, in the time that one animal takes, and "
        "tells them apart by where each was before; each: a network for each animal; auto: one for "
        f"animals that look alike, if they are {FROM_ANIMALS} or more or one is mostly hidden. The "
        "network of --together, and that of --fine-tuned without a label, finds all of them in any "
        "case; with each, every one of them is then followed by itself",
    )
    shot_changes: Literal["refuse", "ignore"] = setting(
        "refuse", "what to do with a video of several shots, across which nothing can be followed"
    )
    selection: Literal["BNLF", "BN0", "all", "rule"] | None = setting(
        None,
        "file of bubblenet_select.py to follow (default: BNLF; with --guidance auto the most "
        "trusted one)",
    )
    preset: PresetName = setting(
        "default",
        "fast, default and accurate: speed against accuracy; herd: one of many that look alike; "
        "paper: the paper's recipe",
    )
    head: HeadName = setting("deeplab", "network head; xfcn is the paper's")
    crf: bool = setting(False, "redraw outlines with dense CRF, as in the paper (0.5 s per frame)")
    guided_filter: bool = setting(False, "redraw outlines with a guided filter (0.1 s per frame)")
    every_frame: bool = setting(
        False, "show the network every frame of a long video, also those in which nothing moves"
    )
    weights: Path | None = setting(None, "weights to start from (default: the best in weights/)")
    fine_tuned: Path | None = setting(
        None, "network that --save-weights kept: a video without a label needs no training"
    )
    together: bool = setting(
        False, "one network learns all labels of these videos; those without a label need none"
    )
    results: Path = setting(paths.RESULTS, "folder for masks, overlays and records")
    seed: int = setting(0, "seed of augmentation and of untrained layers")
    precision: Literal["auto", "float32", "mixed_bfloat16"] = setting(
        "auto", "precision of the network; auto: mixed_bfloat16 where this device is faster in it"
    )
    runtime: Runtime = setting(
        "keras",
        "what computes the network that segments; openvino: 8-bit integers, for long videos (pip "
        "install -r requirements-openvino.txt)",
    )
    shard: str = setting("1/1", "I/N: process every N-th video, starting with the I-th")
    save_weights: bool = setting(False, "keep the fine-tuned network of each video")
    overwrite: bool = setting(False, "redo videos that are finished or half done, from the start")
    progress: Literal["bars", "json"] = setting("bars", "bars, or JSON lines for programs")
    dry_run: bool = setting(False, "check everything, print the configuration, write nothing")

    @property
    def outline(self) -> OutlineFilter | None:
        """What redraws outlines."""
        return DenseCrf() if self.crf else GuidedFilter() if self.guided_filter else None

    @property
    def finding(self) -> Finding:
        """What counts as an animal in a video without a label."""
        return Finding(max_animals=self.animals)

    def stillness_in(self, num_frames: int) -> Stillness | None:
        """Which frames of a video of this length the network need not see."""
        settings = Stillness()
        return settings if num_frames >= settings.min_frames and not self.every_frame else None


def main(config: Config) -> int:
    check_flags(config)
    preset = PRESETS[config.preset]
    weights, weights_reason = find_weights(
        config.head, config.fine_tuned or config.weights, takes_prompts=preset.takes_prompts
    )
    if config.fine_tuned:
        weights_reason = "named by --fine-tuned"
    if preset.takes_prompts:
        check_stage(weights, ("prompted",))

    precision = backend.choose_precision() if config.precision == "auto" else config.precision
    keras.config.set_dtype_policy(precision)
    backend.make_deterministic(config.seed, precision == "float32" or not backend.has_gpu())
    model = build_prompted_model() if preset.takes_prompts else build_model(config.head)
    network = SavedNetwork(weights, load_weights(model, weights))
    if config.fine_tuned:
        network.require_fine_tuned()
    print(f"weights: {weights} ({weights_reason})")
    print(f"precision: {precision} ({'measured' if config.precision == 'auto' else 'as asked'})")

    jobs, failed = prepare_jobs(config, network.sha256)
    if config.dry_run:
        print_dry_run(config, jobs, failed)
        return 1 if failed else 0

    tuner = make_tuner(model, preset, config.seed)
    if config.together:
        network = learn_labels(jobs, config, tuner, network)
    records = {}
    for job in jobs:
        try:
            records[job.name] = run_job(job, config, tuner, network)
        except Exception as error:
            if len(jobs) == 1 and not isinstance(error, EXPECTED):
                raise
            failed[job.name] = report_error(job.name, error)
        finally:
            job.sequence.video.close()
    print(format_summary(records, failed))
    if records:
        print(f"masks: {config.results / paths.SEGMENTATION}   ", end="")
        print(f"overlays: {config.results / paths.OVERLAY}")
    return 1 if failed else 0


def check_flags(config: Config) -> None:
    """Raises UsageError or InputError for flags that are wrong whatever the videos are."""
    parse_guidance(config.guidance)
    parse_part(config.frames or ":")
    check_seed(config.seed)
    if config.animals is not None and config.animals < 1:
        raise UsageError(f"--animals must be 1 or more, not {config.animals}.")
    if PRESETS[config.preset].takes_prompts:
        for flag, given in (
            ("--head xfcn", config.head != "deeplab"),
            ("--together", config.together),
            ("--fine-tuned", config.fine_tuned),
            ("--save-weights", config.save_weights),
            ("--guidance none", config.guidance == "none"),
            ("--runtime openvino", config.runtime != "keras"),
        ):
            if given:
                raise UsageError(
                    f"{flag} does not go with --preset {config.preset}, whose network takes "
                    "prompts and learns each video by itself."
                )
    for flag, given in (
        (f"--preset {config.preset}", not PRESETS[config.preset].can_share),
        ("--together", config.together),
        ("--fine-tuned", config.fine_tuned),
    ):
        if config.networks == "one" and given:
            raise UsageError(f"--networks one does not go with {flag}. Leave out one of the two.")
    if config.runtime == "openvino":
        require_openvino()
        if backend.has_gpu():
            print("warning: --runtime openvino segments on the processor, not on the GPU.")
    if config.crf and config.guided_filter:
        raise UsageError("--crf and --guided-filter both redraw the outline: choose one of them.")
    if config.fine_tuned and config.weights:
        raise UsageError("--fine-tuned stands in place of --weights. Give one of them.")
    if config.guidance == "none" and not config.fine_tuned:
        raise UsageError(
            "--guidance none uses no label, so it needs a network that was fine-tuned before: "
            "name it with --fine-tuned."
        )
    for flag, given in (("--label", config.label), ("--save-weights", config.save_weights)):
        if config.guidance == "none" and given:
            raise UsageError(f"{flag} does not go with --guidance none. Leave out one of the two.")
    if config.together and config.shard != "1/1":
        raise UsageError(
            "--together does not go with --shard: each part would train a network of its own. "
            "Train once, with --together --save-weights, then give its file to the parts with "
            "--fine-tuned."
        )
    for name in ("", paths.SEGMENTATION, paths.OVERLAY, paths.RUNS):
        check_writable(config.results / name, "another folder with --results")
    if config.save_weights:
        advice = "other permissions for it, or leave out --save-weights"
        check_writable(paths.FINE_TUNE_WEIGHTS, advice)


def report_error(name: str, error: Exception) -> str:
    """Prints in one line what is wrong with a video, and returns it.

    A bug also prints its traceback; the remaining videos still run.
    """
    if not isinstance(error, EXPECTED):
        traceback.print_exception(error)
    text = one_line(error)
    print(f"error: {name}: {text}", flush=True)
    return text


def prepare_jobs(config: Config, weights_sha256: str) -> tuple[list[Job], dict[str, str]]:
    """Checks every video and its label before anything is trained.

    Returns: the videos to process, and the others' names with what is wrong.

    Raises: InputError if only one video was asked for and it cannot be processed; UsageError.
    """
    dataset, open_by_name = find_sequences(
        config.dataset, config.sequences, config.video, config.label, config.guidance,
        config.name, parse_part(config.frames or ":"),
    )  # fmt: skip
    if config.dataset is None and dataset == paths.SAMPLE_DATASET:
        print(f"{paths.FINETUNE_TEST_DATASET} holds no videos: running on the sample, {dataset}.")
    get_chooser = cache(load_chooser)  # for the first video that needs it
    jobs, failed = [], {}
    for name in list(open_by_name)[shard_slice(config.shard)]:
        sequence = None
        try:
            sequence = open_by_name[name]()
            jobs.append(prepare_job(sequence, config, dataset, weights_sha256, get_chooser))
        except Exception as error:
            if sequence:
                sequence.video.close()  # it may hold many frames
            if isinstance(error, UsageError) or len(open_by_name) == 1:
                raise
            failed[name] = report_error(name, error)
    if config.together:
        jobs = share_labels(
            jobs,
            lambda video, key: bool(find_finished(video, key, config, False)),
            left_out=[name for name in failed if may_have_label(dataset, name)],
        )
        for job in jobs:  # found animals are known only after training
            require_told_apart(job.name, config.preset, job.preset, job.read_labels())
    is_long = any(len(job.sequence.video) >= Stillness().min_frames for job in jobs)
    if len(jobs) + len(failed) > 1 or is_long:
        preset, precision = PRESETS[config.preset], keras.config.dtype_policy().name
        table = describe_jobs(jobs, failed, preset, config.results, precision, config.runtime)
        print(table, flush=True)
    return jobs, failed


def find_finished(
    video: Video, key: dict[str, Any], config: Config, learns: bool
) -> dict[str, Any] | None:
    """The record of an earlier run that did the same, if this one is not to do it again."""
    if config.overwrite or is_redone(config.results, video.name, key):
        return None
    needs_network = config.save_weights and learns
    record = finished_record(config.results, video, key, needs_network)
    if record is None and "finding" in key:  # how many there are, only the record says
        record = finished_record(config.results, video, key_of_found(key, 1), needs_network)
        if record and len(record["animals"]) > 1:
            return None
    return record


def prepare_job(
    sequence: VideoSequence,
    config: Config,
    dataset: Path,
    weights_sha256: str,
    get_chooser: Callable[[], Chooser],
    *,
    variation: Preset | None = None,
) -> Job:
    """Decides on the labelled frame, decodes all frames once, reads the label.

    Args:
        sequence: the video and its labels.
        config: the flags.
        dataset: where selection files are.
        weights_sha256: of the weights to start from.
        get_chooser: gives the chooser if `--guidance bubblenet` finds no selection.
        variation: stands in place of `--preset`.
    """
    part, frames = sequence, parse_part(config.frames or ":")
    if frames not in (WHOLE, (0, len(sequence.video))):
        part = take_sequence_part(sequence, *frames)
    video = part.video
    guidance = choose_frames(sequence, part, config, dataset, get_chooser)
    start = time.perf_counter()
    warnings = video.check()
    seconds = time.perf_counter() - start
    labels = read_labels(part, guidance.frames)
    preset = preset_for(variation or PRESETS[config.preset], labels, config.animals)
    check_visible(part, labels, preset.lines)
    print(
        f"{video.name}: {len(video)} frames of {video.height}x{video.width} checked in "
        f"{seconds:.1f} s ({len(video) / max(seconds, 1e-3):.0f} frames/s)"
    )
    print("\n".join(describe_labels(part, labels) or [f"{video.name}: no label"]), flush=True)
    stillness = config.stillness_in(len(video))
    sharing = choose_sharing(
        config.networks,
        preset,
        video,
        labels,
        is_possible=not (config.together or config.fine_tuned),
    )
    followed_at_once = sharing
    if config.together or not labels:
        followed_at_once = share_found(config.networks, preset, video, labels)
    key = make_key(
        part, guidance, config, weights_sha256,
        preset=preset, stillness=stillness, sharing=followed_at_once,
    )  # fmt: skip
    learns, finished = bool(labels), False
    if not config.together:  # whose labels are not known yet
        finished = bool(find_finished(video, key, config, learns))
    if config.shot_changes == "refuse" and not finished:
        require_one_shot(video, make_display(config.progress))
    warnings.append(namesake_warning(config.results, video, key))
    for warning in filter(None, warnings):
        print(f"warning: {warning}", flush=True)
    video.close()  # many videos may be waiting: no decoder stays open
    return Job(part, guidance, key, preset, learns, finished, stillness, sharing)


def choose_frames(
    whole: VideoSequence,
    part: VideoSequence,
    config: Config,
    dataset: Path,
    get_chooser: Callable[[], Chooser],
) -> Guidance:
    """The labelled frames to use, counted from the beginning of the part.

    A selection file names frames of the whole video; those outside the part are passed over.
    """
    needs_no_label = (config.fine_tuned or config.together) and config.guidance == "auto"
    if config.guidance == "none" or (needs_no_label and not part.labels):
        return Guidance((), "no label")
    folder = paths.frame_selection_dir(dataset, part.name)
    selected, selected_by = select_frames(
        whole, config.guidance, config.selection, folder, get_chooser, write=not config.dry_run
    )
    selected = [frame - part.video.first_frame for frame in selected]
    selected = [frame for frame in selected if 0 <= frame < len(part.video)]
    return choose_guidance(part, config.guidance, selected, selected_by, takes_all=config.together)


def make_key(
    sequence: VideoSequence,
    guidance: Guidance,
    config: Config,
    weights_sha256: str,
    *,
    preset: Preset,
    stillness: Stillness | None,
    sharing: Sharing | None,
) -> dict[str, Any]:
    """What the masks depend on: a finished video with the same key is skipped.

    What was added later is absent where it is not used, so that earlier runs keep their key.
    """
    key = {
        "preset": asdict(preset),
        "head": config.head,
        "seed": config.seed,
        "precision": keras.config.dtype_policy().name,
        "labelled_frames": list(guidance.frames),
        "sha256": {
            "weights": weights_sha256,
            "frames": sequence.video.sha256(),
            "labels": {str(frame): sha256_of(sequence.labels[frame]) for frame in guidance.frames},
        },
        "backend": keras.backend.backend(),
    }
    if config.outline:
        key["outline"] = {type(config.outline).__name__: asdict(config.outline)}
    if config.runtime != "keras":
        key["runtime"] = config.runtime
    if stillness:
        key["stillness"] = asdict(stillness)
    if sharing:
        key["sharing"] = asdict(sharing)
    if not guidance.frames:
        key["finding"] = asdict(config.finding)
        if not config.animals:
            del key["finding"]["max_animals"]
    return key


def learn_labels(
    jobs: list[Job], config: Config, tuner: FineTuner, start: SavedNetwork
) -> SavedNetwork:
    """Fine-tunes the one network of --together, unless all videos are finished. Returns it."""
    folder = together_dir(config.results)
    if all(job.is_finished for job in jobs) and not config.save_weights:
        return start
    labelled = [
        LabelledVideo(job.sequence.video, job.read_labels()) for job in jobs if job.guidance.frames
    ]
    # of a video, or of what is done with a network that has learnt
    other = ("labelled_frames", "finding", "sharing", "stillness", "outline", "runtime")
    key = {name: v for name, v in jobs[0].key.items() if name not in other}
    key["sha256"] = {"weights": start.sha256}
    key["preset"] = asdict(PRESETS[config.preset])  # whatever --animals means to a video
    if config.overwrite:
        for job in jobs:  # all of them are redone from here on
            run_dir = config.results / paths.RUNS / job.name
            # One that another process works on is refused when its turn comes.
            with contextlib.suppress(InputError):
                with hold_lock(run_dir / paths.LOCK_FILE, str(run_dir)):
                    begin(job, config)
    with hold_lock(folder.with_name(f"{folder.name}.lock"), str(folder)):
        network = learn_together(
            tuner,
            PRESETS[config.preset],
            labelled,
            folder,
            key,
            make_display(config.progress),
            head=config.head,
            preset_name=config.preset,
            learnt_before=start.tuned_on,
            starts_over=config.overwrite,
        )
    if config.save_weights:
        print(f"network: {keep_network(network)}", flush=True)
    return network


def run_job(
    job: Job,
    config: Config,
    tuner: FineTuner,
    network: SavedNetwork,
    keep_state: Callable[[PartialRun, dict[str, Any]], None] = lambda state, record: None,
) -> dict[str, Any]:
    """Segments one video and writes its results, or finds it finished. Returns its record.

    `keep_state` is called with the state, before that is removed, and the record.
    """
    video, run_dir = job.sequence.video, config.results / paths.RUNS / job.name

    record = find_finished(video, job.key, config, job.learns)
    # A process that is killed right after it has written run.json leaves its state behind.
    if record is None or partial_dir(config.results, job.name).exists():
        with hold_lock(run_dir / paths.LOCK_FILE, str(run_dir)):
            # Again: another process may just have finished it.
            record = find_finished(video, job.key, config, job.learns)
            if record is None:
                state = begin(job, config)
                record = segment(job, config, tuner, network, state)
                keep_state(state, record)
                state.end_redo()
                write_json(run_dir / paths.RUN_FILE, record)  # last: it says "finished"
                state.remove()
                return record
            remove_left_state(config.results, job.name, job.key)
    print(f"{job.name}: finished before, skipped (--overwrite redoes it)", flush=True)
    return record


def begin(job: Job, config: Config) -> PartialRun:
    """The state of a video that is not finished; with --overwrite an empty one."""
    job.read_labels()  # refused, where they changed, before anything of an earlier run goes
    return PartialRun(config.results, job.name, job.key, config.overwrite)


def segment(
    job: Job, config: Config, tuner: FineTuner, network: SavedNetwork, state: PartialRun
) -> dict[str, Any]:
    """Segments one video, writes masks and overlays, and scores. Returns its record."""
    started, start = datetime.datetime.now(datetime.UTC), time.perf_counter()
    video, labelled = job.sequence.video, job.guidance.frames
    display = make_display(config.progress)
    preset, labels = job.preset, job.read_labels()
    if not labelled:
        tuner.start_again()
        labels = find_labels(tuner.model, preset, video, state, display, network, config.finding)
        preset = preset_for(preset, labels, config.animals)
    if not job.learns:
        require_told_apart(job.name, config.preset, preset, labels)
    key = key_of_found(job.key, len(labelled_animals(labels.values())))
    pipeline = make_pipeline(
        job, config, tuner, state,
        display=display, preset=preset, labels=labels, follows_at_once="sharing" in key,
    )  # fmt: skip
    animals, numbers = pipeline.animals, [frame + video.first_frame for frame in labels]
    frames = ", ".join(map(str, numbers))
    how = "at once" if "sharing" in key else "one after the other"
    several = f", {len(animals)} animals, {how}" if len(animals) > 1 else ""
    origin = f"label of frame {frames}" if labelled else f"found in frame {frames}"
    print(
        f"{video.name}: {len(video)} frames, {origin} ({job.guidance.reason}){several}", flush=True
    )
    saved = {}

    def save_network(animal: int) -> None:
        learnt = animals if job.sharing else [animal]
        file = f"{config.head}_animal{animal}" if len(learnt) < len(animals) else config.head
        path = paths.FINE_TUNE_WEIGHTS / video.name / f"{file}.safetensors"
        this = tuned_on_video(video.name, numbers, learnt, job.key["sha256"]["frames"])
        zoom = pipeline.views[animal].zoom_of_animal
        facts = network_facts(config.head, config.preset, [*network.tuned_on, this], zoom)
        saved[path.name] = save_weights(tuner.model, path, facts)

    keeps_networks = config.save_weights and job.learns
    pipeline.run(save_network if keeps_networks else lambda animal: None, learns=job.learns)
    confidence = round(float(np.mean(pipeline.confidence_of_frames())), 4)
    note_doubt(job, config, confidence)
    frames_sha256 = job.key["sha256"]["frames"]
    scores = score_run(job.sequence, config.results, labelled, frames_sha256, network.tuned_on)
    timing = pipeline.timing
    return make_record(
        job.sequence,
        job.guidance,
        started,
        animals=animals,
        found_in=None if labelled else numbers,
        confidence_mean=confidence,
        frames_seen_by_network={str(a): count for a, count in pipeline.frames_seen.items()},
        scores=scores,
        seconds=timing.summary(time.perf_counter() - start),
        losses={str(a): [round(x, 5) for x in losses] for a, losses in timing.losses.items()},
        weights=str(network.path),
        network=network.record() if network.tuned_on else None,
        saved_weights_sha256=saved or None,
        environment=describe_environment() | openvino_versions(config.runtime),
        key=key,
    )


def make_pipeline(
    job: Job,
    config: Config,
    tuner: FineTuner,
    state: PartialRun,
    *,
    display: Display,
    preset: Preset,
    labels: dict[int, LabelMap],
    follows_at_once: bool,
) -> Pipeline:
    """The pipeline of a video, for labels that were read, or found where there is none."""
    build = PromptedPipeline if preset.takes_prompts else Pipeline
    if follows_at_once:
        build = partial(SharedPipeline, sharing=job.sharing or Sharing())
    convert = partial(convert_network, partial(build_model, config.head))
    return build(
        tuner, preset, job.sequence.video, labels, config.results, state, display,
        outline=config.outline, stillness=job.stillness,
        convert=convert if config.runtime == "openvino" else None,
        labels_are_found=not job.guidance.frames,
    )  # fmt: skip


def note_doubt(job: Job, config: Config, confidence: float) -> None:
    """Says that the masks are doubtful, if they are, and what helps."""
    if confidence >= DOUBTFUL:
        return
    advice = "label a further frame"
    if not job.preset.takes_prompts and job.learns and config.head == "deeplab":
        advice = f"if others look like the animal, try --preset herd; otherwise {advice}"
    print(
        f"note: {job.name}: the masks are doubtful (confidence {confidence:.2f}): {advice}.",
        flush=True,
    )


def print_dry_run(config: Config, jobs: list[Job], failed: dict[str, str]) -> None:
    """Prints what a run would do."""
    print("configuration:")
    for name, value in asdict(config).items():
        print(f"  {name}: {value}")
    print(f"preset {config.preset}: {PRESETS[config.preset]}")
    for job in jobs:
        video = job.sequence.video
        frames = ", ".join(
            f"{i + video.first_frame} ({job.sequence.labels[i]})" for i in job.guidance.frames
        )
        label = f"label of frame {frames}, " if frames else ""
        print(
            f"{video.name}: {len(video)} frames of {video.height}x{video.width}, "
            f"{label}{job.guidance.reason}"
        )
    print(f"dry run: {len(jobs)} to process, {len(failed)} cannot be; nothing was written")


if __name__ == "__main__":
    run_script(main, Config, __doc__)
