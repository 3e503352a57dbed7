"""run.json: what was run, from what, with what, how long, and whether it still holds."""

import datetime
import json
import os
from pathlib import Path
from typing import Any

from tabulate import tabulate

from utils import paths
from utils.environment import git_commit, peak_memory_mib
from utils.files import read_json, sha256_of
from utils.inputs.guidance import Guidance
from utils.inputs.sequences import VideoSequence
from utils.media.name_order import find_order
from utils.media.video_part import VideoPart
from utils.media.videos import Video


def make_record(
    sequence: VideoSequence, guidance: Guidance, started: datetime.datetime, **facts: Any
) -> dict[str, Any]:
    """What run.json holds: what was segmented, from which labels, and `facts` of the run.

    Args:
        sequence: the video and its labels.
        guidance: the labelled frames.
        started: with time zone; the run ends now.
        facts: further entries.
    """
    video = sequence.video
    of_part = {}
    if isinstance(video, VideoPart):
        of_part = {
            "part": [video.first_frame, video.first_frame + len(video)],
            # The names of the part alone do not tell: -6 to -2 may as well be hyphens.
            "frame_order": find_order(video.whole.frame_names),
        }
    return {
        "sequence": video.name,
        "input": os.path.abspath(
            video.path
        ),  # absolute, so that it resolves from any working directory
        "num_frames": len(video),
        **of_part,
        "size": [video.height, video.width],
        "labelled_frames": [frame + video.first_frame for frame in guidance.frames],
        "guidance": guidance.reason,
        **facts,
        "peak_memory_mib": peak_memory_mib(),
        "started": started.isoformat(timespec="seconds"),
        "ended": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "git_commit": git_commit(),
    }


def same_run(record: dict[str, Any] | None, key: dict[str, Any]) -> bool:
    """Whether a record was made from the same configuration and the same files."""
    return isinstance(record, dict) and record.get("key") == json.loads(json.dumps(key))


def finished_record(
    results_dir: Path, video: Video, key: dict[str, Any], needs_network: bool
) -> dict[str, Any] | None:
    """The record of an earlier run that did the same, if all of its files are there.

    Args:
        results_dir: `results/` or what stands for it.
        video: whose run.
        key: what the masks depend on.
        needs_network: whether the fine-tuned networks have to be there as well.
    """
    record = read_json(results_dir / paths.RUNS / video.name / paths.RUN_FILE)
    if not same_run(record, key) or not all(map(Path.is_file, mask_paths(results_dir, video))):
        return None
    if needs_network:
        saved, folder = record.get("saved_weights_sha256"), paths.FINE_TUNE_WEIGHTS / video.name
        if not isinstance(saved, dict) or not all(
            (folder / file).is_file() and sha256_of(folder / file) == saved[file] for file in saved
        ):
            return None
    return record


def mask_paths(results_dir: Path, video: Video) -> list[Path]:
    """Where the masks of a video are written, in the order of its frames."""
    return [results_dir / paths.SEGMENTATION / video.name / f"{n}.png" for n in video.frame_names]


def namesake_warning(results_dir: Path, video: Video, key: dict[str, Any]) -> str | None:
    """The warning if other frames were segmented under this name, else None: their results will be
    replaced, and a label in datasets/labels may be theirs."""
    before = read_json(results_dir / paths.RUNS / video.name / paths.RUN_FILE)
    frames = before
    for name in ("key", "sha256", "frames"):  # whatever a broken file contains is no obstacle
        frames = frames.get(name) if isinstance(frames, dict) else None
    if not frames or frames == key["sha256"]["frames"]:
        return None
    of_part = "part" in before or isinstance(video, VideoPart)
    if of_part and before.get("input") == os.path.abspath(video.path):
        try:
            first, end = map(int, before.get("part") or (0, before["num_frames"]))
            which = f"frames {first} to {end - 1}"
        except (KeyError, TypeError, ValueError):
            which = "other frames"
        return (
            f"{video.name}: replaces the masks of {which} of this video. Keep them with --results."
        )
    return (
        f"{video.name}: replaces the results of another video of this name, "
        f"{before.get('input')}. Keep them apart with --results, and check that the label is of "
        "this one."
    )


def format_summary(records: dict[str, dict], failed: dict[str, str]) -> str:
    """A table for the screen: a line per video, then those that failed with what is wrong."""
    rows = [_summary_row(name, record) for name, record in records.items()]
    headers = ("video", "frames", "animals", "labelled", "J", "F", "confidence", "seconds")
    align = ("left", *["right"] * (len(headers) - 1))
    lines = (
        [tabulate(rows, headers, "plain", colalign=align, disable_numparse=True)] if rows else []
    )
    lines += [f"{name}  failed: {reason}" for name, reason in failed.items()]
    lines.append(f"{len(records)} of {len(records) + len(failed)} videos done")
    return "\n" + "\n".join(lines)


def _summary_row(name: str, record: dict[str, Any]) -> tuple:
    scores = record["scores"] or {}
    numbers = (scores.get("J-Mean"), scores.get("F-Mean"), record.get("confidence_mean"))
    return (
        name,
        record["num_frames"],
        len(record["animals"]) if "animals" in record else record.get("num_animals", 1),
        ",".join(map(str, record["labelled_frames"])) or "none",
        *("-" if value is None else f"{value:.3f}" for value in numbers),
        f"{record['seconds']['total']:.0f}",
    )
