"""Scores segmented videos by the official measures of DAVIS 2016: J (region) and F (contour).

Reads:
    RESULTS/segmentation/SEQ/*.png, RESULTS/runs/SEQ/run.json (which frames were labelled)
    DATASET/Annotations/[480p/]SEQ/*.png, DATASET/JPEGImages/[480p/]SEQ (frame names)

Writes:
    RESULTS/scores.json (with J and F of each frame), RESULTS/scores.csv
    with --report RESULTS/report/index.html: overlay videos, J and F per frame, confidence, record,
    for videos without annotations, too

Command (a second per DAVIS video on a CPU):
    python evaluate.py --report

1. The first and the last frame of a video are not scored, the others if they are annotated.
2. Recall is the share of scored frames above 0.5, decay the first quarter minus the last one.
3. Every video weighs the same in the mean; videos of different protocols (frame 0 labelled,
   another frame labelled, the labelled frame left out) get a mean each.
4. T (temporal stability) is left out: see utils/evaluation/measures.py.
"""

import csv
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool
from pathlib import Path

from tqdm import tqdm

from utils import paths
from utils.command_line import run_script, setting
from utils.environment import git_commit
from utils.errors import InputError, UsageError
from utils.evaluation.measures import NUMBERS
from utils.evaluation.report.page import VideoReport, gather, write_report
from utils.evaluation.scoring import (
    NothingToScoreError,
    SequenceScore,
    format_table,
    mean_by_protocol,
    score_folders,
)
from utils.files import write_atomically, write_json
from utils.inputs.sequences import default_dataset, list_sequences, sequence_dir
from utils.media.images import list_frames


@dataclass(frozen=True)
class Config:
    dataset: Path | None = setting(
        None, "folder with Annotations/ (datasets/finetune_test_dataset; if empty, datasets/sample)"
    )
    results: Path = setting(paths.RESULTS, "folder with segmentation/SEQ, gets scores.json")
    sequences: tuple[str, ...] = setting((), "only these (else all that are annotated)")
    json: Path | None = setting(None, "a copy of scores.json to write elsewhere")
    exclude_guidance: bool = setting(False, "do not score the frames that were labelled")
    report: bool = setting(False, "also write report/index.html, a page to open in a browser")


def choose_sequences(config: Config, dataset_dir: Path) -> list[str]:
    """The sequences to score; tells of segmented ones that cannot be.

    Raises: UsageError for a name that neither folder knows, InputError if there is nothing at all.
    """
    segmentation_dir = config.results / paths.SEGMENTATION
    segmented = list_sequences(config.results, paths.SEGMENTATION)
    annotated = list_sequences(dataset_dir, "Annotations")
    for name in config.sequences:
        if name not in segmented and name not in annotated:
            raise UsageError(
                f"--sequences {name}: expected one of {', '.join(annotated) or 'none'} "
                f"({dataset_dir}/Annotations)"
            )
    if config.sequences:
        return list(dict.fromkeys(config.sequences))
    chosen = [name for name in segmented if name in annotated]
    if not chosen and not (config.report and segmented):
        raise InputError(
            f"no sequence to score: {segmentation_dir} has {', '.join(segmented) or 'none'}, "
            f"{dataset_dir}/Annotations has {', '.join(annotated) or 'none'}; "
            "run finetune_test.py, or see --dataset and --results"
        )
    for name in segmented:
        if name not in annotated:
            print(f"{name}: not scored, {dataset_dir} has no annotations of it to compare with")
    return chosen


def score_one(sequence: str, dataset_dir: Path, config: Config) -> SequenceScore:
    """Scores one sequence of the results. Raises: InputError naming what is missing or wrong."""
    annotation_dir = sequence_dir(dataset_dir, "Annotations", sequence)
    if annotation_dir is None:
        raise NothingToScoreError(
            f"{sequence}: no annotations in {dataset_dir}/Annotations (--dataset)"
        )
    masks = config.results / paths.SEGMENTATION / sequence  # these name every frame, too
    frames_dir = sequence_dir(dataset_dir, "JPEGImages", sequence)
    names_dir = frames_dir or (masks if masks.is_dir() else annotation_dir)
    frame_names = [path.stem for path in list_frames(names_dir)]
    run = read_run(config.results / paths.RUNS / sequence / paths.RUN_FILE)
    if frames_dir and run.get("num_frames", len(frame_names)) != len(frame_names):
        raise NothingToScoreError(
            f"{sequence}: its {run['num_frames']} masks are of {run.get('input', 'other frames')}, "
            f"{frames_dir} has {len(frame_names)} frames: another video of this name, or frames "
            "have come or gone since"
        )
    return score_folders(
        sequence,
        masks,
        annotation_dir,
        frame_names,
        run.get("labelled_frames"),
        config.exclude_guidance,
    )


def read_run(run_file: Path) -> dict:
    """A run's record, empty without one.

    Raises: InputError if it is malformed, or `labelled_frames` in it.
    """
    if not run_file.is_file():
        return {}
    try:
        run = json.loads(run_file.read_text(encoding="utf-8"))
        labelled_frames = run.get("labelled_frames")
    except (ValueError, AttributeError) as error:
        raise InputError(f"{run_file}: not a run record ({error}); run the video again") from error
    if labelled_frames is not None and not (
        isinstance(labelled_frames, list) and all(type(index) is int for index in labelled_frames)
    ):
        raise InputError(
            f'{run_file}: "labelled_frames" must be a list of frame numbers, not {labelled_frames}'
        )
    return run


def make_record(
    config: Config, dataset_dir: Path, scores: Sequence[SequenceScore], failed: dict[str, str]
) -> dict:
    """What scores.json holds, ready for `write_json`."""
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
                "num_frames": score.num_frames,
                "num_annotated": score.num_annotated,
                "num_scored": len(score.frames),
                "frames": score.frames,
                **score.scores,
            }
            for score in scores
        },
        "failed": failed,
    }


def write_csv(path: Path, scores: Sequence[SequenceScore]) -> None:
    """One line per sequence, the same numbers as in scores.json."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("sequence", "protocol", "labelled_frames", "num_scored", *NUMBERS))
        for score in scores:
            labelled = " ".join(map(str, score.labelled_frames or ()))
            numbers = (score.scores[key] for key in NUMBERS)
            writer.writerow((score.sequence, score.protocol, labelled, len(score.frames), *numbers))


def main(config: Config) -> int:
    dataset_dir = config.dataset or default_dataset()
    empty = f" ({paths.FINETUNE_TEST_DATASET} is empty)"
    is_sample = config.dataset is None and dataset_dir == paths.SAMPLE_DATASET
    print(f"Annotations of {dataset_dir}{empty if is_sample else ''}")
    sequences = choose_sequences(config, dataset_dir)

    def attempt(sequence: str) -> SequenceScore | Exception:
        try:
            return score_one(sequence, dataset_dir, config)
        except (InputError, OSError) as error:
            return error  # the other sequences are scored all the same

    with ThreadPool(os.cpu_count()) as pool:
        outcomes = pool.imap(attempt, sequences)
        outcomes = list(tqdm(outcomes, total=len(sequences), unit="video", disable=None))

    scores = [outcome for outcome in outcomes if isinstance(outcome, SequenceScore)]
    failed, not_scored = {}, {}
    for sequence, outcome in zip(sequences, outcomes, strict=True):
        if isinstance(outcome, NothingToScoreError) and (config.report or not config.sequences):
            not_scored[sequence] = str(outcome)
            print(f"not scored: {outcome}")
        elif isinstance(outcome, Exception):
            failed[sequence] = str(outcome)
            print(f"error: {outcome}", file=sys.stderr)

    if scores:
        print(format_table(scores))
    for score in scores:
        if score.num_annotated < score.num_frames:
            print(
                f"{score.sequence}: {score.num_annotated} of {score.num_frames} frames are "
                f"annotated, {len(score.frames)} of them scored"
            )
    if len({score.protocol for score in scores}) > 1:
        print("The sequences were labelled in different ways: a mean each, not to be compared.")

    record = make_record(config, dataset_dir, scores, failed)
    write_json(config.results / "scores.json", record)
    write_atomically(config.results / "scores.csv", lambda path: write_csv(path, scores))
    if config.json is not None:
        write_json(config.json, record)
    print(f"Written: {config.results / 'scores.json'}, scores.csv beside it")
    if config.report:
        failed |= report(config, dataset_dir, scores, not_scored, failed)
    return 1 if failed else 0


def report(
    config: Config,
    dataset_dir: Path,
    scores: Sequence[SequenceScore],
    not_scored: dict[str, str],
    failed: dict[str, str],
) -> dict[str, str]:
    """Writes the report of all segmented videos, or of those named.

    Returns: the videos that it cannot show: name -> why.
    """
    segmented = list_sequences(config.results, paths.SEGMENTATION)
    names = list(dict.fromkeys(config.sequences)) or segmented
    by_name = {score.sequence: score for score in scores}
    reasons = not_scored | failed

    def attempt(name: str) -> VideoReport | Exception:
        reason = reasons.get(name, f"there are no annotations of it in {dataset_dir}")
        score = by_name.get(name)
        try:
            return gather(config.results, name, score, None if score else reason)
        except (InputError, OSError) as error:
            return error  # the others are shown all the same

    with ThreadPool(os.cpu_count()) as pool:
        outcomes = pool.imap(attempt, names)
        outcomes = list(tqdm(outcomes, "report", len(names), unit="video", disable=None))
    broken = {
        name: str(outcome)
        for name, outcome in zip(names, outcomes, strict=True)
        if isinstance(outcome, Exception)
    }
    for name, reason in broken.items():
        if name not in failed:  # else it has been told
            print(f"error: {reason}", file=sys.stderr)
    path = config.results / paths.REPORT_FILE
    commit, mark, _ = git_commit().partition("+")
    facts = {"annotations": str(dataset_dir), "code": commit[:12] + mark}
    write_report(path, [one for one in outcomes if isinstance(one, VideoReport)], broken, facts)
    print(f"Report: {path}")
    return broken


if __name__ == "__main__":
    run_script(main, Config, __doc__)
