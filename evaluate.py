"""Scores segmented videos by the official measures of DAVIS 2016: J (region), F (contour), T.

Reads:
    RESULTS/segmentation/SEQ/*.png, RESULTS/runs/SEQ/run.json (which frames were labelled)
    DATASET/Annotations/[480p/]SEQ/*.png, DATASET/JPEGImages/[480p/]SEQ (frame names)

Writes:
    RESULTS/scores.json (with J and F of each frame), RESULTS/scores.csv
    with --report RESULTS/report/index.html: overlay videos, J and F per frame, confidence and
    record of all videos, including those without annotations

Command (a second per DAVIS video on a CPU):
    python evaluate.py --report

1. The first and the last frame of a video are not scored; the others are if they are annotated.
2. Recall is the share of scored frames above 0.5, decay the first quarter minus the last one.
3. Every video has the same weight in the mean; videos of different protocols (frame 0 labelled,
   another frame labelled, the labelled frame left out) have separate means.
4. --stability adds T, how much the outline changes from frame to frame (lower is better), for
   videos with one animal; half a second per frame. DAVIS counts it only for videos without
   occlusions and strong deformation; blackswan is one.
5. A video whose run has not finished is not scored, and counts as failed.
"""

import csv
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from utils import paths
from utils.command_line import run_script, setting
from utils.environment import git_commit
from utils.errors import InputError, UsageError
from utils.evaluation.corrected_masks import describe_corrections
from utils.evaluation.measures import NUMBERS
from utils.evaluation.report.page import write_report
from utils.evaluation.report.video_report import VideoReport, make_video_report
from utils.evaluation.results import (
    SegmentedVideo,
    list_results,
    open_segmented,
    require_finished,
)
from utils.evaluation.scoring import (
    NUM_WITH_STABILITY,
    STABILITY,
    NothingToScoreError,
    SequenceScore,
    format_table,
    mean_by_protocol,
    score_folders,
)
from utils.files import check_writable, write_atomically, write_json
from utils.inputs.sequences import default_dataset, list_sequences, sequence_dir
from utils.media.images import list_frames
from utils.media.name_order import spelled_as
from utils.media.videos import FrameFolder

ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class Config:
    dataset: Path | None = setting(
        None, "folder with Annotations/ (datasets/finetune_test_dataset; if empty, datasets/sample)"
    )
    results: Path = setting(
        paths.RESULTS, "folder with segmentation/SEQ; scores.json is written here"
    )
    sequences: tuple[str, ...] = setting((), "only these (default: all that are annotated)")
    json: Path | None = setting(None, "file to write a copy of scores.json to")
    exclude_guidance: bool = setting(False, "do not score the frames that were labelled")
    stability: bool = setting(False, "also score temporal stability T, of videos with one animal")
    report: bool = setting(False, "also write report/index.html, a page to open in a browser")


def main(config: Config) -> int:
    dataset_dir = find_dataset(config)
    sequences = choose_sequences(config, dataset_dir)
    writes_results = check_outputs(config)

    outcomes = try_each(sequences, lambda name: score_one(name, dataset_dir, config), "scores")
    scores = [outcome for outcome in outcomes.values() if isinstance(outcome, SequenceScore)]
    errors = {name: one for name, one in outcomes.items() if isinstance(one, Exception)}
    # A video of which nothing can be scored is an error only if it was asked for.
    may_skip = config.report or not config.sequences
    skipped = {
        name: error
        for name, error in errors.items()
        if may_skip and isinstance(error, NothingToScoreError)
    }
    failed = {name: error for name, error in errors.items() if name not in skipped}
    for error in skipped.values():
        print(f"not scored: {error}")
    for error in failed.values():
        print(f"error: {error}", file=sys.stderr)

    print_scores(scores)
    for score in scores:
        if score.note:
            print(score.note)
    write_scores(config, dataset_dir, scores, failed, writes_results=writes_results)
    if config.report:
        names = sequences if config.sequences else list_results(config.results)
        failed |= write_page(config, dataset_dir, names, scores, errors)
    return 1 if failed else 0


def find_dataset(config: Config) -> Path:
    """The folder with the annotations. Raises: InputError if there is no data set in it."""
    folder = config.dataset or default_dataset()
    if config.dataset is not None:
        if not folder.is_dir():
            raise InputError(f"{folder}: there is no such folder; check --dataset.")
        if not any((folder / kind).is_dir() for kind in ("Annotations", "JPEGImages")):
            raise InputError(
                f"{folder}: expected a data set, a folder with Annotations/ or JPEGImages/, found "
                "neither; check --dataset."
            )
    is_sample = config.dataset is None and folder == paths.SAMPLE_DATASET
    print(f"Annotations of {folder}" + f" ({paths.FINETUNE_TEST_DATASET} is empty)" * is_sample)
    return folder


def choose_sequences(config: Config, dataset_dir: Path) -> list[str]:
    """The sequences to score; prints which of the segmented ones cannot be.

    Raises: UsageError for a name that is neither segmented nor annotated, InputError if there is
        nothing to do at all.
    """
    segmented = list_results(config.results)
    annotated = list_sequences(dataset_dir, "Annotations")

    def is_annotated(name: str) -> bool:
        return spelled_as(name, annotated) in annotated

    known, folders = annotated, f"{dataset_dir}/Annotations"
    if config.report:  # shows those without annotations as well
        known = [*annotated, *(name for name in segmented if not is_annotated(name))]
        folders += f", {config.results / paths.SEGMENTATION}"
    # As the results spell it, where the data set composes accents differently.
    names = [spelled_as(spelled_as(name, annotated), segmented) for name in config.sequences]
    for name in names:
        if name not in segmented and name not in annotated:
            raise UsageError(
                f"--sequences {name}: expected one of {', '.join(known) or 'none'} ({folders})"
            )
    if names:
        return list(dict.fromkeys(names))
    chosen = [name for name in segmented if is_annotated(name)]
    if not chosen and not (config.report and segmented):
        raise InputError(
            f"no sequence to score: {config.results / paths.SEGMENTATION} has "
            f"{', '.join(segmented) or 'none'}, {dataset_dir}/Annotations has "
            f"{', '.join(annotated) or 'none'}; run finetune_test.py, or see --dataset and "
            "--results"
        )
    for name in segmented:
        if not is_annotated(name):
            print(f"{name}: not scored, {dataset_dir} has no annotations of it to compare with")
    return chosen


def check_outputs(config: Config) -> bool:
    """Checks, before anything is scored, that the files can be written.

    Returns: whether the results folder takes them; if not, there is only the copy (--json).

    Raises: InputError if they have no place.
    """
    if config.json is not None:
        check_writable(config.json.absolute().parent, "another file with --json")
    if config.report:
        advice = "a copy of the results with --results"
        check_writable((config.results / paths.REPORT_FILE).parent, advice)
    try:
        check_writable(config.results, "a file for the scores with --json, without --report")
    except InputError:
        if config.json is None or config.report:
            raise
        print(f"warning: {config.results} is not writable: the scores are in {config.json} alone")
        return False
    return True


def try_each(
    names: Sequence[str], work: Callable[[str], ResultT], title: str
) -> dict[str, ResultT | Exception]:
    """Does some work for each name in threads, with a progress bar.

    Returns: per name the result, or the InputError or OSError that was raised.
    """

    def attempt(name: str) -> ResultT | Exception:
        try:
            return work(name)
        except (InputError, OSError) as error:
            return error  # the others are worked on nevertheless

    with ThreadPool(os.cpu_count()) as pool:
        outcomes = pool.imap(attempt, names)
        bar = tqdm(outcomes, desc=title, total=len(names), unit="video", disable=None)
        return dict(zip(names, bar, strict=True))


def score_one(sequence: str, dataset_dir: Path, config: Config) -> SequenceScore:
    """Scores one sequence of the results. Raises: InputError naming what is missing or wrong."""
    annotation_dir = sequence_dir(dataset_dir, "Annotations", sequence)
    if annotation_dir is None:
        raise NothingToScoreError(
            f"{sequence}: no annotations in {dataset_dir}/Annotations (--dataset)"
        )
    video = open_segmented(config.results, sequence)
    require_finished(video)
    # The masks name every frame as well, where there are no frames.
    frames_dir = sequence_dir(dataset_dir, "JPEGImages", sequence)
    frame_names = [path.stem for path in list_frames(frames_dir)] if frames_dir else []
    if "part" in video.record:
        raise NothingToScoreError(f"{sequence}: not scored, its masks are of a part of the video")
    num_frames = video.record.get("num_frames", len(frame_names))
    if frames_dir and num_frames != len(frame_names):
        raise NothingToScoreError(
            f"{sequence}: its {num_frames} masks are of {video.record.get('input', 'other frames')}"
            f", {frames_dir} has {len(frame_names)} frames: it is another video of this name, or "
            "frames were added or removed since"
        )
    score = score_folders(
        sequence,
        config.results / paths.SEGMENTATION / sequence,
        annotation_dir,
        frame_names or video.frame_names,
        video.record.get("labelled_frames"),
        tuned_on=video.tuned_on,
        frames_sha256=video.frames_sha256,
        exclude_guidance=config.exclude_guidance,
        stability=config.stability,
    )
    comparison = score.comparison
    if frames_dir and is_of_others(video, frames_dir):
        source = video.input_path or "other frames"
        others = f"its masks are of {source}, not of the frames that {frames_dir} has now"
        comparison = "; ".join(filter(None, (comparison, others)))
    return replace(score, corrections=describe_corrections(video), comparison=comparison)


def is_of_others(video: SegmentedVideo, frames_dir: Path) -> bool:
    """Whether the masks are known to be of other frames than those of the data set."""
    try:
        found = FrameFolder(frames_dir, video.name).sha256() if video.frames_sha256 else ""
    except (InputError, OSError):  # scores need the masks and the annotations alone
        return False
    return found != video.frames_sha256


def print_scores(scores: Sequence[SequenceScore]) -> None:
    """Prints the table of scores and what to know when reading it."""
    if scores:
        print(format_table(scores))
    for score in scores:
        if score.num_annotated < score.num_frames:
            print(
                f"{score.sequence}: {score.num_annotated} of {score.num_frames} frames are "
                f"annotated, {len(score.frames)} of them scored"
            )
    for protocol, mean in mean_by_protocol(scores).items():
        with_stability, num = mean.get(NUM_WITH_STABILITY), mean["num_sequences"]
        if with_stability not in (None, num):
            print(f"The mean of T ({protocol}) is of {with_stability} of {num} videos")
    if len({score.protocol for score in scores}) > 1:
        print("The sequences were labelled in different ways; their means are not to be compared.")


def write_scores(
    config: Config,
    dataset_dir: Path,
    scores: Sequence[SequenceScore],
    failed: dict[str, Exception],
    *,
    writes_results: bool,
) -> None:
    """Writes scores.json, its copy if one is asked for, and scores.csv.

    Only the copy unless `writes_results`. Those of an earlier call stay where this one, as with
    another data set, had nothing to score.
    """
    path = config.results / "scores.json"
    record = make_record(config, dataset_dir, scores, failed)
    if config.json is not None:
        write_json(config.json, record)
    if not writes_results:
        return
    if not scores and not failed and path.is_file():
        print(f"Nothing was scored: {path} and scores.csv stay as they were")
        return
    write_json(path, record)
    write_atomically(config.results / "scores.csv", lambda path: write_csv(path, scores))
    print(f"Written: {path} and scores.csv")


def make_record(
    config: Config,
    dataset_dir: Path,
    scores: Sequence[SequenceScore],
    failed: dict[str, Exception],
) -> dict:
    """The content of scores.json."""
    return {
        "measures": "DAVIS 2016, first and last frame not scored",
        "dataset": str(dataset_dir),
        "results": str(config.results),
        "exclude_guidance": config.exclude_guidance,
        "means": mean_by_protocol(scores),
        "sequences": {
            score.sequence: {
                "protocol": score.protocol,
                "labelled_frames": score.labelled_frames,
                **({"corrections": score.corrections} if score.corrections else {}),
                **({"note": score.comparison} if score.comparison else {}),
                "num_frames": score.num_frames,
                "num_annotated": score.num_annotated,
                "num_scored": len(score.frames),
                "frames": score.frames,
                **score.scores,
            }
            for score in scores
        },
        "failed": {name: str(error) for name, error in failed.items()},
    }


def write_csv(path: Path, scores: Sequence[SequenceScore]) -> None:
    """Writes one line per sequence, the same numbers as in scores.json."""
    options = {"newline": "", "encoding": "utf-8", "errors": "surrogateescape"}
    columns = (*NUMBERS, STABILITY)
    with path.open("w", **options) as file:  # a name need not be UTF-8
        writer = csv.writer(file)
        facts = ("sequence", "protocol", "labelled_frames", "corrections", "num_scored")
        writer.writerow((*facts, *columns))
        for score in scores:
            labelled = " ".join(map(str, score.labelled_frames or ()))
            facts = (score.sequence, score.protocol, labelled, score.corrections, len(score.frames))
            writer.writerow((*facts, *map(score.scores.get, columns)))


def write_page(
    config: Config,
    dataset_dir: Path,
    names: Sequence[str],
    scores: Sequence[SequenceScore],
    errors: dict[str, Exception],
) -> dict[str, Exception]:
    """Writes the report.

    Args:
        config: Of this script.
        dataset_dir: The data set.
        names: Of the videos to show.
        scores: Of the videos that could be scored.
        errors: Name -> why a video could not be scored.

    Returns: the videos that the report cannot show: name -> why.
    """
    by_name = {score.sequence: score for score in scores}

    def make(name: str) -> VideoReport:
        score = by_name.get(name)
        reason = errors.get(name, f"there are no annotations of it in {dataset_dir}")
        return make_video_report(config.results, name, score, None if score else str(reason))

    outcomes = try_each(names, make, "report")
    broken = {name: one for name, one in outcomes.items() if isinstance(one, Exception)}
    for name, error in broken.items():
        if str(error) != str(errors.get(name)):  # otherwise it was printed before
            print(f"error: {error}", file=sys.stderr)
    path = config.results / paths.REPORT_FILE
    commit, mark, _ = git_commit().partition("+")
    facts = {"annotations": str(dataset_dir), "code": commit[:12] + mark}
    shown = [one for one in outcomes.values() if isinstance(one, VideoReport)]
    write_report(path, shown, broken, facts)
    print(f"Report: {path}")
    return broken


if __name__ == "__main__":
    run_script(main, Config, __doc__)
