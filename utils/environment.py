"""What a result depends on besides its input (commit, versions, device), and the memory used."""

import hashlib
import os
import platform
import subprocess
import sys
from functools import cache

from utils import paths


def git_commit() -> str:
    """Names the commit of the code.

    Returns: its hash, with "+changes" if tracked files differ from it; "unknown" outside of git.
    """
    try:
        commit = _run_git("rev-parse", "HEAD")
        is_changed = _run_git("status", "--porcelain", "-uno")
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return commit + ("+changes" if is_changed else "")


def _run_git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments],
        cwd=paths.ROOT,
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
    )
    return done.stdout.strip()


def peak_memory_mib() -> float | None:
    """Returns the peak of this process's resident memory so far, in MiB; None on Windows."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts in bytes, Linux in KiB.
    return round(peak / 2**20 if sys.platform == "darwin" else peak / 2**10, 1)


def describe_environment() -> dict[str, str]:
    """Returns what the numbers depend on: versions of the libraries, and the device."""
    import keras  # here, so that scripts without a network start at once
    import numpy as np

    name = keras.backend.backend()
    module = sys.modules.get(name)
    return {
        "backend": name,
        "backend_version": getattr(module, "__version__", "unknown"),
        "keras": keras.version(),
        "numpy": np.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cpu_cores": str(os.cpu_count()),
        "device": str(getattr(keras.ops.zeros(1), "device", "unknown")),
    }


@cache
def code_digest() -> str:
    """Returns a digest of the code that masks depend on (networks, training, inputs, stage 3).

    Returns: 16 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for folder in ("models", "utils/media", "utils/inputs", "utils/training", "utils/stage3"):
        for path in sorted((paths.ROOT / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
