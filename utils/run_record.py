"""run.json: what was run, from what, with what, how long, and whether it still holds."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from utils import paths


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
