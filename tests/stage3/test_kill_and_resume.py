"""The real script with the real network, killed once and started again."""

import subprocess
import sys

import pytest

from utils import paths


@pytest.mark.slow
def test_a_killed_run_gives_the_undisturbed_masks():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.kill_and_resume", "--kills", "1", "--steps", "8"],
        cwd=paths.ROOT,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert "1 of 1 runs gave the undisturbed masks" in done.stdout
