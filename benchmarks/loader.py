"""The loader at full size: memory over a long list, and its speed against the training step.

A list of 11 987 pairs, as long as that of PASCAL VOC + SBD, is made by repeating the given one. As
in training, threads draw the batches; then the training step is timed on one batch.

Reads   the pairs of --list, whose paths are relative to --dataset.
Writes  the numbers to the screen and with --json to a file.

    python -m benchmarks.loader
"""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from utils import backend, paths  # backend before Keras: it starts it without noise

# isort: split
import numpy as np
import psutil

import train_pascal_base
from models import build_model
from models.losses import SegmentationLoss
from utils.command_line import run_script, setting
from utils.files import write_json
from utils.training.batches import Batches
from utils.training.sample_lists import read_sample_list
from utils.training.stage import compile_model

RECIPE = train_pascal_base.make_recipe(train_pascal_base.Config())


@dataclass(frozen=True)
class Config:
    dataset: Path = setting(paths.PASCAL_DATASET, "folder with JPEGImages/ and Annotations/")
    list: Path = setting(paths.PASCAL_LIST, "text file of image and annotation pairs")
    pairs: int = setting(11_987, "length to which the list is repeated")
    batches: int = setting(3_000, "number of batches to draw; 2 997 batches of four are one pass")
    steps: int = setting(10, "training steps to time (0: none)")
    json: Path | None = setting(None, "write the numbers here as well")


def main(config: Config) -> None:
    found = read_sample_list(config.list, config.dataset)
    samples = (found * -(-config.pairs // len(found)))[: config.pairs]
    size = (RECIPE.crop, RECIPE.crop)
    workers = backend.num_loader_threads()
    loader = Batches(samples, size, config.batches, RECIPE.batch_size, RECIPE.augmentation, 0)
    print(
        f"{len(samples)} pairs, batches of {RECIPE.batch_size} crops of {size}, {workers} threads"
    )
    numbers = {"threads": workers, **draw(loader, config.batches, workers)}
    print(f"loader alone: {numbers['images_per_second']:.1f} images/s")
    print("memory, MiB, at each tenth:", " ".join(f"{m:.0f}" for m in numbers["memory_mib"]))
    if config.steps:
        numbers["step_images_per_second"] = time_steps(loader, config.steps)
        ratio = numbers["images_per_second"] / numbers["step_images_per_second"]
        print(
            f"training step: {numbers['step_images_per_second']:.1f} images/s; "
            f"the loader is {ratio:.1f} times as fast"
        )
    if config.json:
        write_json(config.json, numbers)


def draw(loader: Batches, count: int, workers: int) -> dict:
    """Draws batches in threads, in order and a few ahead, as Keras does.

    Returns: images per second, and resident memory in MiB at each tenth.
    """
    process = psutil.Process()
    memory = []
    ahead = threading.BoundedSemaphore(2 * workers)

    def draw_one(index):
        try:
            return len(loader[index][0])
        finally:
            ahead.release()

    start = time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        futures = []
        for index in range(count):
            ahead.acquire()
            futures.append(pool.submit(draw_one, index))
            if (index + 1) % max(1, count // 10) == 0:
                memory.append(process.memory_info().rss / 2**20)
        num_images = sum(future.result() for future in futures)
    return {"images_per_second": num_images / (time.perf_counter() - start), "memory_mib": memory}


def time_steps(loader: Batches, steps: int) -> float:
    """Returns images per second of the median training step, after two steps to warm up."""
    model = build_model("deeplab")
    compile_model(model, SegmentationLoss(RECIPE.region_weight), RECIPE)
    images, targets = loader[0]
    seconds = []
    for _ in range(steps + 2):
        start = time.perf_counter()
        model.train_on_batch(images, targets)
        seconds.append(time.perf_counter() - start)
    return len(images) / float(np.median(seconds[2:]))


if __name__ == "__main__":
    run_script(main, Config, __doc__)
