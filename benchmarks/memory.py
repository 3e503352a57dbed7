"""Peak memory of stage 3 on a short and on a long 480p video: it must not grow with the number of
frames.

Each length runs in a process of its own on generated frames, with a narrow network in place of the
real one (its memory is constant; `--full` takes the real one) and few training steps. Everything
else is the real script: reading, probabilities, masks, overlay, record.
"""

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from utils import paths
from utils.command_line import run_script, setting
from utils.files import write_json
from utils.run_record import read_record

CHILD = """
import dataclasses, sys
import finetune_test as stage3
from pathlib import Path
from utils import presets
dataset, results, full = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "full"
preset = presets.PRESETS["default"]
tuning = dataclasses.replace(preset.fine_tuning, steps=4)
stage3.PRESETS["default"] = dataclasses.replace(preset, fine_tuning=tuning)
if not full:
    build = stage3.build_model
    stage3.build_model = lambda head: build(head, width=0.02)
    stage3.load_weights = lambda model, path: {}
config = stage3.Config(dataset=dataset, results=results, guidance="middle", overwrite=True)
raise SystemExit(stage3.main(config))
"""


@dataclass(frozen=True)
class Config:
    frames: tuple[int, ...] = setting((100, 1000), "lengths of the videos")
    full: bool = setting(False, "the real network instead of a narrow one (hours for 1000 frames)")
    json: Path | None = setting(None, "write the numbers here as well")


def make_video(folder: Path, num_frames: int) -> None:
    """A bright blob that wanders over noise, 480x854, with the middle frame labelled."""
    import cv2
    import numpy as np

    images = folder / "JPEGImages" / "480p" / "blob"
    labels = folder / "Annotations" / "480p" / "blob"
    images.mkdir(parents=True)
    labels.mkdir(parents=True)
    rng = np.random.default_rng(0)
    ground = cv2.resize(rng.integers(0, 120, (60, 107, 3), "uint8"), (854, 480))
    for i in range(num_frames):
        centre = (round(427 + 300 * np.sin(i / 20)), round(240 + 120 * np.cos(i / 17)))
        cv2.imwrite(
            str(images / f"{i:05d}.jpg"), cv2.circle(ground.copy(), centre, 60, (90, 200, 250), -1)
        )
        if i == num_frames // 2:
            mask = cv2.circle(np.zeros((480, 854), "uint8"), centre, 60, 255, -1)
            cv2.imwrite(str(labels / f"{i:05d}.png"), mask)


def main(config: Config) -> None:
    peaks = {}
    for num_frames in config.frames:
        with tempfile.TemporaryDirectory() as folder:
            dataset, results = Path(folder, "data"), Path(folder, "results")
            make_video(dataset, num_frames)
            arguments = [str(dataset), str(results), "full" if config.full else "narrow"]
            subprocess.run(
                [sys.executable, "-c", CHILD, *arguments],
                cwd=paths.ROOT,
                check=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            record = read_record(results / "runs" / "blob" / "run.json")
        peaks[num_frames] = record["peak_memory_mib"]
        print(f"{num_frames} frames: peak {peaks[num_frames]:.0f} MiB", flush=True)
    first, last = peaks[config.frames[0]], peaks[config.frames[-1]]
    print(f"{config.frames[-1]} against {config.frames[0]} frames: {last / first - 1:+.1%}")
    if config.json:
        write_json(config.json, peaks)


if __name__ == "__main__":
    run_script(main, Config, __doc__)
