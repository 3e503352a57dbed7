"""Kills stage 3 at random moments, starts it again, and compares the masks bit for bit.

A video of 8 frames, a moving textured blob, is segmented once undisturbed. Then `--kills` times, a
run in a fresh results folder is killed (SIGKILL, which no process can catch) and the same command
is run to its end. The network is the real one, with few training steps.

Reads   the weights that finetune_test.py finds.
Writes  only temporary files; the table goes to the screen.

    python -m benchmarks.kill_and_resume --kills 10

Ends with status 1 if any mask differs or any half-written file is left. On two cores, one kill
takes about two minutes and ten take fifteen.
"""

import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from utils import paths
from utils.command_line import run_script, setting

NUM_FRAMES, HEIGHT, WIDTH = 8, 96, 128
VIDEO = "blob"

# finetune_test.py has no flag for steps, so its preset is replaced before it starts.
LAUNCHER = """
import runpy, sys
import utils.backend
from utils.stage3 import presets
from utils.stage3.settings import FineTuning, Preset
presets.PRESETS["fast"] = Preset(
    FineTuning(steps={steps}, crop=(96, 128), steps_per_epoch=4)
)
sys.argv = ["finetune_test.py", *sys.argv[1:]]
runpy.run_path("finetune_test.py", run_name="__main__")
"""


@dataclass(frozen=True)
class Config:
    kills: int = setting(10, "number of runs that are killed and started again")
    steps: int = setting(12, "fine-tuning steps; a backup is kept after every four")
    seed: int = setting(0, "seed of the moments of the kills")
    weights: Path | None = setting(None, "weights to start from (default: the best in weights/)")


def main(config: Config) -> int:
    moments = random.Random(config.seed)
    with tempfile.TemporaryDirectory(prefix="kill_and_resume_") as name:
        folder = Path(name)
        dataset = make_dataset(folder / "dataset")
        start = time.perf_counter()
        process = start_run(config, dataset, folder / "undisturbed")
        begun = wait_for_first_file(process, folder / "undisturbed", start)
        finish(process)
        total = time.perf_counter() - start
        expected = read_masks(folder / "undisturbed")
        print(
            f"undisturbed: {total:.1f} s, of which {begun:.1f} s until training began", flush=True
        )
        print(f"{'kill':>4}  {'at':>7}  {'state that was left':<44}  masks", flush=True)

        failures = 0
        for number in range(1, config.kills + 1):
            results = folder / f"killed_{number}"
            process = start_run(config, dataset, results)
            at = kill_after(process, moments.uniform(begun, total))
            state = list_state(results)
            finish(start_run(config, dataset, results))
            verdict = compare(expected, read_masks(results), find_leftovers(results))
            failures += verdict != "equal"
            print(f"{number:>4}  {at:>5.1f} s  {state:<44}  {verdict}", flush=True)
    print(f"{config.kills - failures} of {config.kills} runs gave the undisturbed masks")
    return 1 if failures else 0


def make_dataset(folder: Path) -> Path:
    """Writes frames of a textured blob on a textured background, and the label of the third."""
    rng = np.random.default_rng(0)
    ground = rng.integers(60, 120, (HEIGHT, WIDTH, 3)).astype("uint8")
    coat = rng.integers(140, 255, (HEIGHT, WIDTH, 3)).astype("uint8") // np.array(
        [1, 2, 4], "uint8"
    )
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    for index in range(NUM_FRAMES):
        centre = 30 + 9 * index
        blob = ((x - centre) / 22) ** 2 + ((y - 48) / 26) ** 2 < 1
        frame = np.where(blob[..., None], np.roll(coat, 9 * index, axis=1), ground)
        write_png(folder / "JPEGImages" / "480p" / VIDEO / f"{index:05d}.png", frame)
        if index == 2:
            label = blob.astype("uint8") * np.uint8(255)
            write_png(folder / "Annotations" / "480p" / VIDEO / f"{index:05d}.png", label)
    return folder


def write_png(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def start_run(config: Config, dataset: Path, results: Path) -> subprocess.Popen:
    """Starts finetune_test.py on the video; its output goes to a file next to the results."""
    arguments = ["--dataset", dataset, "--results", results, "--preset", "fast"]
    arguments += ["--precision", "float32"]  # not measured, so the same in all runs
    if config.weights:
        arguments += ["--weights", config.weights.resolve()]
    log = open(results.with_suffix(".log"), "a")  # noqa: SIM115
    with log:
        return subprocess.Popen(
            [sys.executable, "-c", LAUNCHER.format(steps=config.steps), *map(str, arguments)],
            cwd=paths.ROOT,
            env={**os.environ, "PYTHONPATH": str(paths.ROOT)},
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def wait_for_first_file(process: subprocess.Popen, results: Path, start: float) -> float:
    """Waits for a run's first file, since an earlier kill would interrupt nothing.

    Returns: seconds since `start`.
    """
    while process.poll() is None and not partial_dir(results).exists():
        time.sleep(0.05)
    return time.perf_counter() - start


def finish(process: subprocess.Popen) -> None:
    """Waits for a run's end.

    Raises: RuntimeError if it failed.
    """
    if process.wait():
        raise RuntimeError(f"finetune_test.py ended with status {process.returncode}")


def kill_after(process: subprocess.Popen, seconds: float) -> float:
    """Kills a run after so many seconds, unless it ends before.

    Returns: seconds until then.
    """
    start = time.perf_counter()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    return time.perf_counter() - start


def partial_dir(results: Path) -> Path:
    return results / paths.RUNS / VIDEO / paths.PARTIAL


def list_state(results: Path) -> str:
    """Lists in words the state that a kill left on disk."""
    partial = partial_dir(results)
    if (results / "runs" / VIDEO / "run.json").exists():
        return "finished"
    if not partial.exists():
        return "nothing"
    words = ["training backup"] if (partial / "training_1.npz").exists() else []
    words += ["tuned weights"] if (partial / "fine_tuned_1.safetensors").exists() else []
    for kind, files in (
        ("probabilities", (partial / "probability_1").glob("[0-9]*.png")),
        ("masks", (results / "segmentation" / VIDEO).glob("[0-9]*.png")),
    ):
        count = sum(1 for _ in files)
        words += [f"{count} {kind}"] if count else []
    return ", ".join(words) or "key only"


def read_masks(results: Path) -> dict[str, bytes]:
    """Returns the bytes of every mask file by its name."""
    folder = results / "segmentation" / VIDEO
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*"))}


def find_leftovers(results: Path) -> list[str]:
    """Lists half-written files and state that a finished run should have removed."""
    found = [path for path in results.rglob("*") if path.name.startswith(".")]
    partial = partial_dir(results)
    found += [partial] if partial.exists() else []
    return [str(path.relative_to(results)) for path in found]


def compare(expected: dict[str, bytes], found: dict[str, bytes], leftovers: list[str]) -> str:
    """Returns "equal", or what is wrong with the masks of a run."""
    if len(expected) != NUM_FRAMES or expected.keys() != found.keys():
        return f"{len(found)} masks, expected {NUM_FRAMES}"
    different = [name for name in expected if expected[name] != found[name]]
    if different:
        return f"{len(different)} differ: {', '.join(different)}"
    return f"equal, but left: {', '.join(leftovers)}" if leftovers else "equal"


if __name__ == "__main__":
    run_script(main, Config, __doc__)
