"""Peak memory of stage 3 on a short and on a long video: it must not grow with the number of
frames. 480p frames in a folder, or with `--film` a 4K H.264 file.

Each length runs in a process of its own on generated frames, with a narrow network in place of the
real one (its memory is constant; `--full` takes the real one) and few training steps. Everything
else is the real script: reading, probabilities, masks, overlay, record.
"""

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from utils import paths
from utils.command_line import run_script, setting
from utils.errors import InputError
from utils.files import read_json, write_json
from utils.media.labels import write_label
from utils.media.video_writing import write_video

FOUR_K = (2160, 3840)
CHILD = """
import dataclasses, sys
import finetune_test as stage3
from pathlib import Path
from utils.stage3 import presets
folder, results, full, film = Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:])
preset = presets.PRESETS["default"]
tuning = dataclasses.replace(preset.fine_tuning, steps=4)
stage3.PRESETS["default"] = dataclasses.replace(preset, fine_tuning=tuning)
if not full:
    build = stage3.build_model
    stage3.build_model = lambda head: build(head, width=0.02)
    stage3.load_weights = lambda model, path: {"sha256": "none"}
what = {"dataset": folder, "guidance": "middle"}
if film:
    what = {"video": (folder / "blob.mp4",), "label": tuple(folder.glob("*.png"))}
config = stage3.Config(**what, results=results, overwrite=True)
raise SystemExit(stage3.main(config))
"""


@dataclass(frozen=True)
class Config:
    frames: tuple[int, ...] = setting((100, 1000), "lengths of the videos")
    full: bool = setting(False, "the real network instead of a narrow one (hours for 1000 frames)")
    film: bool = setting(False, "4K video files instead of folders of 480p frames")
    json: Path | None = setting(None, "write the numbers here as well")


def make_frame(number: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A bright blob that wanders over a ground: uint8 (H, W, 3) RGB, bool (H, W)."""
    ground = np.random.default_rng(0).integers(0, 120, (60, 107, 3), "uint8")
    image = cv2.resize(ground, (width, height))
    x = round(width * (0.5 + 0.35 * np.sin(number / 20)))
    y = round(height * (0.5 + 0.25 * np.cos(number / 17)))
    mask = cv2.circle(np.zeros((height, width), "uint8"), (x, y), height // 8, 1, -1) > 0
    image[mask] = (250, 200, 90)
    return image, mask


def make_dataset(folder: Path, num_frames: int) -> None:
    """480p frames, the middle one labelled, in the folders of DAVIS."""
    images, labels = (folder / kind / "480p/blob" for kind in ("JPEGImages", "Annotations"))
    images.mkdir(parents=True)
    labels.mkdir(parents=True)
    for number in range(num_frames):
        image, mask = make_frame(number, 480, 854)
        cv2.imwrite(str(images / f"{number:05d}.jpg"), image[..., ::-1])
        if number == num_frames // 2:
            write_label(labels / f"{number:05d}.png", mask)


def make_video_file(folder: Path, num_frames: int) -> None:
    """blob.mp4 in 4K, and the label of its middle frame."""
    frames = (make_frame(number, *FOUR_K)[0] for number in range(num_frames))
    write_video(folder / "blob.mp4", frames, None, 30)
    middle = num_frames // 2
    write_label(folder / f"{middle:05d}.png", make_frame(middle, *FOUR_K)[1])


def main(config: Config) -> None:
    peaks = {}
    for num_frames in config.frames:
        with tempfile.TemporaryDirectory() as folder:
            results = Path(folder, "results")
            (make_video_file if config.film else make_dataset)(Path(folder), num_frames)
            arguments = [folder, str(results), str(int(config.full)), str(int(config.film))]
            command = [sys.executable, "-c", CHILD, *arguments]
            run = subprocess.run(command, cwd=paths.ROOT, capture_output=True, text=True)
            if run.returncode:
                raise InputError(f"Stage 3 failed: {run.stderr[-500:]}")
            record = read_json(results / "runs" / "blob" / "run.json")
        peaks[num_frames] = record["peak_memory_mib"]
        print(f"{num_frames} frames: peak {peaks[num_frames]:.0f} MiB", flush=True)
    first, last = peaks[config.frames[0]], peaks[config.frames[-1]]
    print(f"{config.frames[-1]} against {config.frames[0]} frames: {last / first - 1:+.1%}")
    if config.json:
        write_json(config.json, peaks)


if __name__ == "__main__":
    run_script(main, Config, __doc__)
