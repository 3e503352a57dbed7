"""Runs finetune_test.py in a process of its own, as a user would: time and peak memory are then
those of the whole run, start and tracing included.

Not a benchmark itself.
"""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from utils import paths
from utils.errors import InputError
from utils.files import read_json, write_json

SCRIPT = "finetune_test.py"
WALL_FILE = "wall.json"  # in the results folder; written last
LOG_FILE = "log.txt"


def run_stage3(
    flags: Sequence[str | Path], name: str, results: Path, checkout: Path = paths.ROOT
) -> dict[str, Any]:
    """Segments one video, or reads what an earlier call with these results has done.

    Args:
        flags: of finetune_test.py, without --results.
        name: of the video.
        results: folder for this run alone.
        checkout: of the repository, whose script is run.

    Returns: run.json, with "wall_seconds", from the start of the process to its end.

    Raises:
        InputError: with the end of its output, if the script fails.
    """
    results = Path(results).resolve()
    wall_file, log = results / WALL_FILE, results / LOG_FILE
    wall = read_json(wall_file)
    if wall is None:
        results.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, checkout / SCRIPT, *flags, "--results", results, "--overwrite"]
        start = time.perf_counter()
        with log.open("w", encoding="utf-8") as output:
            run = subprocess.run(
                list(map(str, command)), cwd=checkout, stdout=output, stderr=subprocess.STDOUT
            )
        wall = {"seconds": time.perf_counter() - start}
        if run.returncode:
            end = log.read_text(encoding="utf-8", errors="replace").strip()[-500:]
            raise InputError(f"{checkout / SCRIPT} failed, see {log}: {end}")
        write_json(wall_file, wall)
    record = read_json(results / paths.RUNS / name / paths.RUN_FILE)
    if record is None:
        raise InputError(f"{results}: expected the run of {name}, found none. Remove the folder.")
    return record | {"wall_seconds": wall["seconds"]}
