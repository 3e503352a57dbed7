"""Where the time of a fine-tuning step and of a segmented frame goes, by part of the network.

The network is cut off after each part in turn and timed, forward (on a frame of 480x854) and in a
training step (on a crop). The time of a part is the difference to the part before, and since
differences of noisy times are noisy, the shares mean more than the digits.

Reads   nothing: the weights are random.
Writes  the table to the screen.

    python -m benchmarks.layer_times

A few minutes on two cores.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from utils import backend

# isort: split
import keras
from tabulate import tabulate

from models import HEADS, build_model
from models.backbone import BACKBONE
from models.xception import freeze_first_blocks
from utils.command_line import run_script, setting
from utils.stage3.presets import PRESETS
from utils.training.optimizers import make_optimizer

OUTPUT_STRIDE = HEADS["deeplab"].output_stride
PARTS = (
    ("pad and normalise", "pad"),
    *(
        (f"up to {block} (stride {BACKBONE.stride(block, OUTPUT_STRIDE)})", layer)
        for block, layer in BACKBONE.output_layers.items()
    ),
    ("pyramid (ASPP)", "aspp_project_act"),
    ("decoder, stride 8", "decoder_stride8_sepconv2_act"),
    ("decoder, stride 4", "decoder_stride4_sepconv2_act"),
    ("decoder, stride 2", "decoder_stride2_sepconv2_act"),
    ("logits, up to full size", "mask"),
)


@dataclass(frozen=True)
class Config:
    rounds: int = setting(
        5, "timed runs per part (after one that is not timed); medians are printed"
    )


def median_seconds(run: Callable[[], object], rounds: int) -> float:
    run()  # traces the graph
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def main(config: Config) -> None:
    backend.make_deterministic(0)
    settings = PRESETS["default"].fine_tuning
    model = build_model("deeplab")
    freeze_first_blocks(model, settings.frozen_blocks)
    frame = np.random.default_rng(0).integers(0, 256, (1, 480, 854, 3)).astype("uint8")
    crop = frame[:, : settings.crop[0], : settings.crop[1]]
    rows, previous = [], (0.0, 0.0)
    for title, layer in PARTS:
        # With the mean, copying the output and computing the loss of the cut network cost little.
        output = keras.ops.mean(model.get_layer(layer).output, axis=(1, 2, 3))
        part = keras.Model(model.input, output)
        forward = median_seconds(lambda part=part: part.predict_on_batch(frame), config.rounds)
        step = forward * crop.size / frame.size
        if part.trainable_variables:
            part.compile(make_optimizer(1e-5, 1e-5), loss="mean_squared_error")
            target = np.zeros((1,), "float32")
            step = median_seconds(
                lambda part=part, target=target: part.train_on_batch(crop, target), config.rounds
            )
        rows.append((title, forward - previous[0], step - previous[1]))
        previous = (forward, step)
    print_table([*rows, ("all", *previous)])


def print_table(rows: list[tuple[str, float, float]]) -> None:
    """Prints milliseconds and shares of each part.

    Args:
        rows: title, seconds of a frame, seconds of a step; the last row is the whole network.
    """
    _, frame_total, step_total = rows[-1]
    cells = [
        (title, f * 1e3, f"{f / frame_total:.0%}", s * 1e3, f"{s / step_total:.0%}")
        for title, f, s in rows
    ]
    headers = ("part", "frame ms", "share", "step ms", "share")
    align = ("left", *["right"] * 4)
    print(tabulate(cells, headers, floatfmt=".0f", colalign=align))


if __name__ == "__main__":
    run_script(main, Config, __doc__)
