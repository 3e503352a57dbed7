"""Seconds per fine-tuning step and per segmented frame at 480x854, for our networks and OSVOS.

The table also gives the share of the machine's matrix-product rate that each reaches:
floating-point operations (2 per multiply-add, counted from the network's layers) per second,
divided by the best rate of NumPy and the backend at 2048x2048x2048, in the same precision.
Rounds are interleaved, so that a drift of the machine's speed affects all tasks alike; medians are
printed.

OSVOS (Caelles et al., CVPR 2017) is VGG-16 at full resolution with fused side outputs. It is built
here, with random weights, only to measure its cost. OSVOS fine-tunes on full frames, we on crops;
both are shown for both networks. A backward pass is counted as twice a forward pass, less the part
that frozen layers save.

Reads   nothing: the weights are random.
Writes  the table to the screen; with --json all numbers.

    python -m benchmarks.speed
"""

import json
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from utils import backend

# isort: split
import keras
from tabulate import tabulate

from models import build_model
from models.losses import SegmentationLoss
from models.xception import freeze_first_blocks
from utils.command_line import run_script, setting
from utils.environment import describe_environment, git_commit, peak_memory_mib
from utils.files import write_json
from utils.stage3.presets import PRESETS
from utils.training.optimizers import make_optimizer

FRAME = (480, 854)
NETWORKS = {  # name: head, precision
    "deeplab": ("deeplab", "float32"),
    "deeplab, bfloat16": ("deeplab", "mixed_bfloat16"),
    "xfcn": ("xfcn", "float32"),
}
CONVOLUTIONS = (
    keras.layers.Conv2D,
    keras.layers.Conv2DTranspose,
    keras.layers.SeparableConv2D,
)


@dataclass(frozen=True)
class Config:
    rounds: int = setting(5, "interleaved rounds; medians of these are printed")
    osvos: bool = setting(True, "measure OSVOS as well")
    json: Path | None = setting(None, "write the numbers here as well")


def build_osvos() -> keras.Model:
    """Builds VGG-16 up to conv5_3 with 16-channel side outputs of stages 2 to 5, fused."""
    vgg = keras.applications.VGG16(include_top=False, weights=None, input_shape=(None, None, 3))
    sides = []
    for stage, convs in ((2, 2), (3, 3), (4, 3), (5, 3)):
        features = vgg.get_layer(f"block{stage}_conv{convs}").output
        side = keras.layers.Conv2D(16, 3, padding="same", name=f"side{stage}")(features)
        factor = 2 ** (stage - 1)
        # As in the original, frozen kernels of the full 16 x 16 channels.
        up = keras.layers.Conv2DTranspose(
            16, 2 * factor, strides=factor, padding="same", use_bias=False, trainable=False
        )
        sides.append(up(side))
    fused = keras.layers.Concatenate()(sides)
    mask = keras.layers.Conv2D(1, 1, name="mask_logits")(fused)
    return keras.Model(vgg.input, {"mask": mask})


def count_operations(model: keras.Model, size: tuple[int, int]) -> tuple[float, float]:
    """Counts the floating-point operations of the convolutions on one image.

    Runs the network once on a blank image to learn the size of each convolution's output.

    Returns: those of all layers, and those of the layers that learn.
    """
    convolutions = [(layer, getattr(layer, "convolution", layer)) for layer in model.layers]
    convolutions = [pair for pair in convolutions if isinstance(pair[1], CONVOLUTIONS)]
    probe = keras.Model(model.input, [layer.output for layer, _ in convolutions])
    shapes = [out.shape for out in probe.predict_on_batch(np.zeros((1, *size, 3), "float32"))]
    total = learning = 0.0
    for (_, layer), shape in zip(convolutions, shapes, strict=True):
        pixels = shape[1] * shape[2]
        kernels = [v for v in layer.variables if "kernel" in v.name]
        if isinstance(layer, keras.layers.SeparableConv2D):
            operations = sum(2.0 * pixels * np.prod(kernel.shape) for kernel in kernels)
        else:
            operations = 2.0 * pixels * np.prod(kernels[0].shape)
        if isinstance(layer, keras.layers.Conv2DTranspose):
            operations /= np.prod(layer.strides)
        total += operations
        learning += operations if layer.trainable else 0.0
    return total, learning


def matrix_rate(seconds: float = 2.0) -> dict[str, float]:
    """Measures the product of two 2048x2048 matrices: in float32 by NumPy and by the backend, in
    bfloat16 by the backend.

    Args:
        seconds: how long each is repeated; the best time counts.

    Returns: name -> GFLOP/s; "bfloat16" for the last one.
    """
    size = 2048
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((size, size), dtype="float32") for _ in range(2))

    def product_in(dtype):
        ta, tb = (keras.ops.convert_to_tensor(x, dtype=dtype) for x in (a, b))
        # Fetching one number waits for devices that compute in the background.
        return lambda: float(keras.ops.matmul(ta, tb)[0, 0])

    products = {
        "numpy": lambda: a @ b,
        keras.backend.backend(): product_in("float32"),
        "bfloat16": product_in("bfloat16"),
    }
    rates = {}
    for name, product in products.items():
        product()
        best, end = float("inf"), time.perf_counter() + seconds
        while time.perf_counter() < end:
            start = time.perf_counter()
            product()
            best = min(best, time.perf_counter() - start)
        rates[name] = 2 * size**3 / best / 1e9
    return rates


def make_tasks(config: Config) -> dict[str, tuple[Callable[[], object], float]]:
    """Returns name -> (function to time, its floating-point operations)."""
    tasks = {}
    for name, (head, precision) in NETWORKS.items():
        keras.config.set_dtype_policy(precision)
        model = build_model(head)
        freeze_first_blocks(model, PRESETS["default"].fine_tuning.frozen_blocks)
        tasks |= network_tasks(name, model)
    keras.config.set_dtype_policy("float32")
    if config.osvos:
        tasks |= network_tasks("OSVOS", build_osvos())
    return tasks


def network_tasks(name: str, model: keras.Model) -> dict[str, tuple[Callable[[], object], float]]:
    """Returns the tasks of one network, as `make_tasks`."""
    preset = PRESETS["default"]
    rng = np.random.default_rng(0)
    tasks = {}

    def fit_size(size: tuple[int, int]) -> tuple[int, int]:
        # VGG's pooling drops odd rows: its side outputs only fit together at multiples of 16.
        return tuple(-(-side // 16) * 16 for side in size) if name == "OSVOS" else size

    trained = keras.Model(model.input, {"mask": model.output["mask"]})
    loss = SegmentationLoss(preset.region_weight)
    trained.compile(make_optimizer(1e-3, 1e-4), loss={"mask": loss})
    sizes = (("crop", fit_size(preset.fine_tuning.crop)), ("frame", fit_size(FRAME)))
    for title, size in sizes:
        images = rng.integers(0, 256, (1, *size, 3)).astype("uint8")
        targets = {"mask": rng.integers(0, 2, (1, *size, 1)).astype("uint8")}
        forward, learning = count_operations(model, size)

        def step(images=images, targets=targets):
            trained.train_on_batch(images, targets)

        tasks[f"{name}: step, {title} {size[0]}x{size[1]}"] = (step, forward + 2 * learning)
    frame = rng.integers(0, 256, (1, *fit_size(FRAME), 3)).astype("uint8")
    pair = np.concatenate([frame, frame[:, :, ::-1]])
    forward = count_operations(model, fit_size(FRAME))[0]
    tasks[f"{name}: segment a frame"] = (lambda: model.predict_on_batch(frame), forward)
    if name != "OSVOS":
        both = (lambda: model.predict_on_batch(pair), 2 * forward)
        tasks[f"{name}: segment a frame and its mirror image"] = both
    return tasks


def main(config: Config) -> None:
    backend.make_deterministic(0)
    rates = matrix_rate()
    tasks = make_tasks(config)
    times = time_tasks({name: run for name, (run, _) in tasks.items()}, config.rounds)
    after = matrix_rate()
    rates = {name: max(rate, after[name]) for name, rate in rates.items()}
    best = {"bfloat16": rates["bfloat16"]}
    best["float32"] = max(rate for name, rate in rates.items() if name != "bfloat16")

    print(f"{platform.machine()}, {json.dumps(describe_environment())}, commit {git_commit()}")
    print("matrix product, GFLOP/s: " + ", ".join(f"{k} {v:.0f}" for k, v in rates.items()))
    numbers, rows = {}, []
    for name, (_, operations) in tasks.items():
        median = float(np.median(times[name]))
        rate = operations / median / 1e9
        share = rate / best["bfloat16" if "bfloat16" in name else "float32"]
        numbers[name] = {"seconds": times[name], "gflop": operations / 1e9, "share": share}
        spread = f"{min(times[name]):.2f} - {max(times[name]):.2f}"
        rows.append((name, median, spread, operations / 1e9, rate, f"{share:.0%}"))
    headers = ("task", "median s", "min - max", "GFLOP", "GFLOP/s", "share")
    floats = ("", ".3f", "", ".1f", ".1f", "")
    print(tabulate(rows, headers, floatfmt=floats, colalign=("left", *["right"] * 5)))
    print(f"peak memory {peak_memory_mib()} MiB (all networks together)")
    if config.json:
        write_json(config.json, {"rates": rates, "tasks": numbers})


def time_tasks(tasks: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Returns name -> seconds in each round, after two runs that are not timed."""
    for run in tasks.values():
        run()  # traces the graph
        run()
    times = {name: [] for name in tasks}
    for _ in range(rounds):
        for name, run in tasks.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    return times


if __name__ == "__main__":
    run_script(main, Config, __doc__)
