"""Runs finetune_test.py in a process of its own, as a user would: time and peak memory are then
those of the whole run, start and tracing included.

Not a benchmark itself.
"""

import hashlib
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from utils import paths
from utils.errors import InputError
from utils.files import read_json, sha256_of, write_json
from utils.media.images import FRAME_SUFFIXES, list_files

SCRIPT = "finetune_test.py"
WALL_FILE = "wall.json"  # in the results folder; written last
LOG_FILE = "log.txt"


def run_stage3(
    flags: Sequence[str | Path],
    inputs: Sequence[Path],
    name: str,
    results: Path,
    checkout: Path = paths.ROOT,
) -> dict[str, Any]:
    """Segments one video, or reads what an earlier call has done with the same flags and inputs.

    Runs of other code, or from other weights in weights/, count as the same.

    Args:
        flags: of finetune_test.py, without --results.
        inputs: what `flags` has paths to: video files and labels, or folders of them.
        name: of the video.
        results: folder for this run alone.
        checkout: of the repository, whose script is run.

    Returns: run.json, with "wall_seconds", from the start of the process to its end.

    Raises:
        InputError: with the end of its output, if the script fails.
    """
    results = Path(results).resolve()
    wall_file, log = results / WALL_FILE, results / LOG_FILE
    key = {
        # Wherever the inputs are: folders may be moved.
        "flags": [flag for flag in flags if not isinstance(flag, Path)],
        "inputs": digest_of(inputs),
    }
    wall = read_json(wall_file)
    if wall is None or wall.get("key") != key:
        results.mkdir(parents=True, exist_ok=True)
        wall_file.unlink(missing_ok=True)  # from here on, the results are no longer those
        command = [sys.executable, checkout / SCRIPT, *flags, "--results", results, "--overwrite"]
        start = time.perf_counter()
        with log.open("w", encoding="utf-8") as output:
            run = subprocess.run(
                list(map(str, command)), cwd=checkout, stdout=output, stderr=subprocess.STDOUT
            )
        wall = {"seconds": time.perf_counter() - start, "key": key}
        if run.returncode:
            end = log.read_text(encoding="utf-8", errors="replace").strip()[-500:]
            raise InputError(f"{checkout / SCRIPT} failed, see {log}: {end}")
        write_json(wall_file, wall)
    record = read_json(results / paths.RUNS / name / paths.RUN_FILE)
    if record is None:
        raise InputError(f"{results}: expected the run of {name}, found none. Remove the folder.")
    return record | {"wall_seconds": wall["seconds"]}


def digest_of(inputs: Sequence[Path]) -> str:
    """The sha256 of names and contents of files; a folder stands for the images in it."""
    files = []
    for path in inputs:
        files += list_files(path, FRAME_SUFFIXES) if path.is_dir() else [path]
    lines = "".join(f"{path.name}\0{sha256_of(path)}\n" for path in files)
    # A name need not be UTF-8.
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()
