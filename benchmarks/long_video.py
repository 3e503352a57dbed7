"""Hours, memory and disk of a video of many minutes, and whether its masks get worse on the way.

Makes a video of 1280x720 from the bundled sample, as a fixed camera sees an animal that mostly
rests: its first annotated frame again and again, with other noise each time, and every --bout-every
frames the whole sample, forth and back. The first frame is the label, and stage 3 runs in a process
of its own. J is that of the sample's annotated frames, each time that they are shown in motion.

Reads   the bundled sample; the weights that finetune_test.py finds.
Writes  RESULTS/FRAMES-EVERY-NOISE/data, the video and its label; beside it PRESET, results of
        finetune_test.py with long_video.json.

    python -m benchmarks.long_video

About an hour for 18 000 frames with `fast` on two cores. A finished run is only read.
"""

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.stage3_processes import WALL_FILE, run_stage3
from utils import paths
from utils.command_line import run_script, setting
from utils.errors import UsageError
from utils.evaluation.measures import region_similarity
from utils.files import read_json, write_json
from utils.inputs.sequences import VideoSequence, open_dataset_sequence
from utils.media.images import resize_image, resize_labels
from utils.media.labels import read_label, write_label
from utils.media.video_writing import write_video
from utils.stage3.presets import PresetName

NAME = "resting"
SIZE = (720, 1280)
FRAMES_PER_SECOND = 30
MAX_SHIFT = 64  # pixels, of one pattern of noise: to draw new noise takes longer than to encode it
DISK_FILE = "disk.json"  # in the run's folder
LOOK_EVERY_SECONDS = 5.0


@dataclass(frozen=True)
class Config:
    frames: int = setting(18_000, "length of the video")
    bout_every: int = setting(800, "frames from one time that the animal moves to the next")
    noise: float = setting(3.0, "standard deviation of a pixel's noise, in grey levels")
    preset: PresetName = setting("fast", "preset of finetune_test.py")
    results: Path = setting(paths.RESULTS / "long_video", "folder for the video and the run")


def main(config: Config) -> None:
    sample = open_dataset_sequence(paths.SAMPLE_DATASET, "cockatoo", guidance="first")
    first = min(sample.labels)
    bout = forth_and_back(first, len(sample.video))
    if config.frames < 1 or config.bout_every <= len(bout):
        raise UsageError(f"--frames must be 1 or more, and --bout-every above {len(bout)}.")
    order = order_of_frames(first, bout, config.frames, config.bout_every)
    video, label = make_video(config, sample, order)
    results = folder_of(config) / config.preset
    flags = ["--video", video.resolve(), "--label", label.resolve(), "--preset", config.preset]
    with note_disk_use(results):
        record = run_stage3(flags, (video, label), NAME, results)
    row = {
        "frames": config.frames,
        "seconds": record["wall_seconds"],
        "seen_by_network": sum(record["frames_seen_by_network"].values()),
        "peak_memory_mib": record["peak_memory_mib"],
        "peak_disk_bytes": read_json(results / DISK_FILE)["peak_bytes"],
        "bouts": score_bouts(results / paths.SEGMENTATION / NAME, sample, order, config.bout_every),
    }
    write_json(results / "long_video.json", row)
    print_numbers(row)


def forth_and_back(first: int, num_frames: int) -> list[int]:
    """The sample's frames from one on to the last, back to frame 0, and up to that one again."""
    return [*range(first, num_frames), *range(num_frames - 2, -1, -1), *range(1, first)]


def order_of_frames(first: int, bout: Sequence[int], num_frames: int, every: int) -> list[int]:
    """Which frame of the sample each frame of the video shows; a bout ends each period."""
    period = [first] * (every - len(bout)) + list(bout)
    return [period[index % every] for index in range(num_frames)]


def folder_of(config: Config) -> Path:
    """The folder for this video."""
    return config.results / f"{config.frames}-{config.bout_every}-{config.noise:g}"


def make_video(config: Config, sample: VideoSequence, order: Sequence[int]) -> tuple[Path, Path]:
    """Writes the video and the label of its first frame, unless both are there; returns both."""
    folder = folder_of(config) / "data"
    video, label = folder / f"{NAME}.mp4", folder / "00000.png"
    if not label.is_file():
        write_video(video, draw_frames(sample, order, config.noise), None, FRAMES_PER_SECOND)
        values = read_label(sample.labels[order[0]]).values
        write_label(label, resize_labels(values, *SIZE))
    return video, label


def draw_frames(sample: VideoSequence, order: Sequence[int], noise: float) -> Iterator[np.ndarray]:
    """Yields: uint8 (720, 1280, 3) RGB, each with other noise."""
    rng = np.random.default_rng(0)
    images = [
        resize_image(sample.video.read(index), *SIZE).astype("int16")
        for index in range(len(sample.video))
    ]
    height, width = SIZE
    shape = (height + MAX_SHIFT, width + MAX_SHIFT, 3)
    pattern = rng.normal(0, noise, shape).round().astype("int16")
    for index in order:
        top, left = rng.integers(0, MAX_SHIFT, 2)
        shifted = pattern[top : top + height, left : left + width]
        signed = shifted if rng.random() < 0.5 else -shifted
        yield np.clip(images[index] + signed, 0, 255).astype("uint8")


@contextlib.contextmanager
def note_disk_use(folder: Path) -> Iterator[None]:
    """Writes down the most that the folder of a run has held meanwhile, unless the run was finished
    before and an earlier call has done so."""
    before = read_json(folder / WALL_FILE)
    stop, peak = threading.Event(), 0

    def look() -> None:
        nonlocal peak
        while not stop.wait(LOOK_EVERY_SECONDS):
            peak = max(peak, num_bytes(folder))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    if read_json(folder / WALL_FILE) != before or not (folder / DISK_FILE).is_file():
        write_json(folder / DISK_FILE, {"peak_bytes": max(peak, num_bytes(folder))})


def num_bytes(folder: Path) -> int:
    """Bytes of the files in a folder, in which others may be written and removed meanwhile."""
    total = 0
    for parent, _, names in os.walk(folder):  # passes over folders that vanish meanwhile
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += os.stat(os.path.join(parent, name)).st_size
    return total


def score_bouts(
    masks: Path, sample: VideoSequence, order: Sequence[int], every: int
) -> list[float]:
    """J of the annotated frames in motion, the mean of each bout.

    Args:
        masks: folder of the masks.
        sample: whose annotations count.
        order, every: as of `order_of_frames`.
    """
    annotations = {
        index: resize_labels(read_label(path).values, *SIZE) == 1
        for index, path in sample.labels.items()
    }
    at_rest = order[0]
    bouts: dict[int, list[float]] = {}
    for frame, index in enumerate(order):
        if index != at_rest and index in annotations:
            mask = read_label(masks / f"{frame:05d}.png").values == 1
            score = region_similarity(mask, annotations[index])
            bouts.setdefault(frame // every, []).append(score)
    return [float(np.mean(scores)) for scores in bouts.values()]


def print_numbers(row: dict) -> None:
    """Prints what `main` writes."""
    hours, bouts = row["seconds"] / 3600, row["bouts"]
    print(
        f"{row['frames']} frames: {hours:.2f} hours, {row['frames'] / row['seconds']:.1f} a second"
    )
    print(f"seen by the network: {row['seen_by_network']}")
    print(
        f"peak: {row['peak_memory_mib']:.0f} MiB of memory, {row['peak_disk_bytes'] / 1e9:.2f} GB"
    )
    if bouts:
        print(
            f"J in motion: first bout {bouts[0]:.3f}, last {bouts[-1]:.3f}, least {min(bouts):.3f}"
        )


if __name__ == "__main__":
    run_script(main, Config, __doc__)
