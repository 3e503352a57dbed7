"""What a result depends on besides its input: the code's commit, versions, device, memory used."""

import hashlib
import os
import platform
import subprocess
import sys
from functools import cache

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


def describe_environment() -> dict[str, str]:
    """Names and versions that a result depends on: backend, Keras, NumPy, Python, device."""
    import keras
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
    """A short digest of the code that masks depend on: networks, training, inputs and stage 3."""
    digest = hashlib.sha256()
    for folder in ("models", "utils/media", "utils/inputs", "utils/training", "utils/stage3"):
        for path in sorted((paths.ROOT / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
