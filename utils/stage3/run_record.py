"""run.json: what was run, from what, with what, how long, and whether it still holds."""

import datetime
import json
import os
from typing import Any

from utils.environment import git_commit, peak_memory_mib
from utils.inputs.guidance import Guidance
from utils.inputs.sequences import VideoSequence


def make_record(
    sequence: VideoSequence, guidance: Guidance, started: datetime.datetime, **facts: Any
) -> dict[str, Any]:
    """What run.json holds: what was segmented, from which labels, and `facts` of the run.

    Args:
        started: with time zone; it ends now.
    """
    video = sequence.video
    return {
        "sequence": video.name,
        "input": os.path.abspath(video.path),  # found from another working folder, too
        "num_frames": len(video),
        "size": [video.height, video.width],
        "labelled_frames": list(guidance.frames),
        "guidance": guidance.reason,
        **facts,
        "peak_memory_mib": peak_memory_mib(),
        "started": started.isoformat(timespec="seconds"),
        "ended": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "git_commit": git_commit(),
    }


def format_summary(records: dict[str, dict], failed: dict[str, str]) -> str:
    """A table for the screen: a line per video, those that failed with what is wrong."""
    header = ("video", "frames", "animals", "labelled", "J", "F", "confidence", "seconds")
    rows = [header]
    for name, record in records.items():
        scores = record["scores"] or {}
        rows.append(
            (
                name,
                record["num_frames"],
                record.get("num_animals", 1),
                ",".join(map(str, record["labelled_frames"])),
                *(_number(scores.get(key)) for key in ("J-Mean", "F-Mean")),
                _number(record.get("confidence_mean")),
                f"{record['seconds']['total']:.0f}",
            )
        )
    widths = [max(len(str(row[column])) for row in rows) for column in range(len(header))]
    widths[0] = max([widths[0], *map(len, failed)])
    lines = [
        f"{row[0]:<{widths[0]}}  " + "  ".join(map(str.rjust, map(str, row[1:]), widths[1:]))
        for row in (rows if records else [])
    ]
    lines += [f"{name:<{widths[0]}}  failed: {reason}" for name, reason in failed.items()]
    lines.append(f"{len(records)} of {len(records) + len(failed)} videos done")
    return "\n" + "\n".join(lines)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def same_run(record: dict[str, Any] | None, key: dict[str, Any]) -> bool:
    """Whether a record was made from the same configuration and the same files."""
    return isinstance(record, dict) and record.get("key") == json.loads(json.dumps(key))
