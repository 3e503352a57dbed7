"""run.json: what was run, from what, with what, how long, and whether it still holds."""

import datetime
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from utils import paths
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


def git_commit() -> str:
    """The commit of the code, with "+changes" if files differ from it; "unknown" outside of git."""
    try:

        def ask(*arguments):
            return subprocess.run(
                ["git", *arguments],
                cwd=paths.ROOT,
                capture_output=True,
                text=True,
                timeout=10,
                check=True,
            ).stdout.strip()

        return ask("rev-parse", "HEAD") + (
            "+changes" if ask("status", "--porcelain", "-uno") else ""
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def peak_memory_mib() -> float | None:
    """Largest resident memory of this process so far, MiB; None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / 2**20 if sys.platform == "darwin" else peak / 2**10, 1)


def read_record(path: Path) -> dict[str, Any] | None:
    """A run.json, or None where none can be read: a run that was cut off leaves none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def same_run(record: dict[str, Any] | None, key: dict[str, Any]) -> bool:
    """Whether a record was made from the same configuration and the same files."""
    return isinstance(record, dict) and record.get("key") == json.loads(json.dumps(key))
