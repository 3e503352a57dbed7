"""Seconds per window of the network in several runtimes, and whether the masks stay the same.

A window is what stage 3 looks at in a frame, 480x832 by default. The runtimes are TensorFlow as
stage 3 uses it (`predict_on_batch`) and as a graph, OpenVINO and ONNX Runtime, in float32, in
bfloat16 where they have it, and as int8, calibrated on other frames of the same video. Rounds are
interleaved, so that a drift of the machine's speed affects all alike; medians are printed, and the
IoU of the masks with those of TensorFlow in float32, over the frames: the mean and the lowest.
The last line is what `finetune_test.py --runtime openvino` does: one network for windows of any
size, which NNCF converts.

Other runtimes than TensorFlow are optional, and a line says which are not installed:
pip install openvino onnxruntime tf2onnx onnx

Reads   a video with an animal; weights, best those of a network fine-tuned on it
        (finetune_test.py --save-weights).
Writes  the table to the screen; with --json all numbers.

    python -m benchmarks.runtimes --weights weights/fine_tune_weights/cockatoo/deeplab.safetensors
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from utils import backend, paths  # backend before Keras: it starts it without noise

# isort: split
import keras
from tabulate import tabulate

from benchmarks.clicks import evenly
from models import build_model
from utils.command_line import run_script, setting
from utils.errors import UsageError, one_line
from utils.evaluation.measures import region_similarity
from utils.files import write_json
from utils.inputs.sequences import open_dataset_sequence
from utils.media.images import resize_image
from utils.stage3.openvino_network import PACKAGES, OpenVinoNetwork
from utils.training.weights import find_weights, load_weights

REFERENCE = "TensorFlow, predict_on_batch, float32"
FILES = {"saved": "saved_model", "onnx": "network.onnx", "int8": "network_int8.onnx"}
NEEDS_ONNX = ("onnx", "tf2onnx")

Predict = Callable[[np.ndarray], np.ndarray]  # float32 (1, H, W, 3), RGB 0..255 -> logits (H, W)


@dataclass(frozen=True)
class Config:
    weights: Path | None = setting(None, "weights of the network (default: the best in weights/)")
    dataset: Path = setting(paths.SAMPLE_DATASET, "folder with JPEGImages/")
    sequence: str = setting("cockatoo", "name of the video whose frames are segmented")
    size: tuple[int, int] = setting((480, 832), "height and width of the window")
    frames: int = setting(6, "frames whose masks are compared, evenly spaced")
    calibration: int = setting(6, "further frames that int8 is calibrated on; 0: no int8")
    rounds: int = setting(5, "interleaved rounds; medians of these are printed")
    json: Path | None = setting(None, "write the numbers here as well")


@dataclass(frozen=True)
class Runtime:
    """One line of the table.

    Attributes:
        name: of the line.
        packages: that have to be installed.
        file: of FILES, what it reads; None: the network as it is in memory.
        load: from that file, or the network, to a function that segments.
    """

    name: str
    packages: tuple[str, ...]
    file: str | None
    load: Callable[[Path | keras.Model], Predict]


def main(config: Config) -> None:
    if keras.backend.backend() != "tensorflow":
        raise UsageError("runtimes are compared with TensorFlow: unset KERAS_BACKEND.")
    backend.make_deterministic(0)  # as stage 3
    images, calibration = read_windows(config)
    weights, reason = find_weights("deeplab", config.weights)
    print(f"weights: {weights} ({reason})", flush=True)
    networks = {p: load_network(weights, p) for p in ("float32", "mixed_bfloat16")}
    with tempfile.TemporaryDirectory() as folder:
        files = export(networks["float32"], Path(folder), images[0].shape, calibration)
        loaded = dict(load_all(networks, files, calibration))
        masks = {name: [run(image) > 0 for image in images] for name, run in loaded.items()}
        times = time_rounds(loaded, images[0], config.rounds)  # all have run before
    numbers = {name: compare(masks[name], masks[REFERENCE], times[name]) for name in loaded}
    print_table(numbers)
    if config.json:
        write_json(config.json, numbers)


def read_windows(config: Config) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Frames of the video, evenly spaced, as the network sees them, and others to calibrate on:
    float32 (1, H, W, 3)."""
    video = open_dataset_sequence(config.dataset, config.sequence).video
    compared = evenly(list(range(len(video))), config.frames)
    others = sorted(set(range(len(video))) - set(compared))
    return tuple(
        [resize_image(video.read(i), *config.size)[None].astype("float32") for i in indices]
        for indices in (compared, evenly(others, config.calibration))
    )


def load_network(weights: Path, precision: str) -> keras.Model:
    """Builds the network in a precision and loads its weights."""
    keras.config.set_dtype_policy(precision)
    try:
        model = build_model("deeplab")
        load_weights(model, weights)
        return model
    finally:
        keras.config.set_dtype_policy("float32")


def export(
    model: keras.Model, folder: Path, shape: tuple[int, ...], calibration: list[np.ndarray]
) -> dict[str, Path]:
    """Writes the network in the formats that the installed runtimes read, for images of one shape.

    Returns: FILES that could be written. A line is printed for any other.
    """
    files = {key: folder / name for key, name in FILES.items()}
    signature = [keras.InputSpec(shape=shape, dtype="float32", name="images")]
    plain = keras.Model(model.input, model.output["mask"])
    plain.predict_on_batch(np.zeros(shape, "float32"))  # export needs a network that was called

    def write_int8() -> None:
        from onnxruntime import quantization

        quantization.quantize_static(
            files["onnx"], files["int8"], make_reader(files["onnx"], calibration),
            quant_format=quantization.QuantFormat.QDQ, per_channel=True,
        )  # fmt: skip

    steps = {
        "saved": (("openvino",), lambda: plain.export(
            files["saved"], input_signature=signature, verbose=False)),
        "onnx": (NEEDS_ONNX, lambda: plain.export(
            files["onnx"], format="onnx", input_signature=signature, verbose=False)),
        "int8": ((*NEEDS_ONNX, "onnxruntime"), write_int8),
    }  # fmt: skip
    for key, (packages, write) in steps.items():
        if all(map(find_spec, packages)) and (calibration or key != "int8"):
            start = time.perf_counter()
            try:
                write()
                print(f"{FILES[key]}: {time.perf_counter() - start:.0f} s", flush=True)
            except Exception as error:  # whatever the other programs raise
                print(f"{FILES[key]}: not written: {type(error).__name__}: {one_line(error)}")
    return {key: path for key, path in files.items() if path.exists()}


def make_reader(path: Path, images: list[np.ndarray]) -> object:
    """What ONNX Runtime's calibration reads images from."""
    from onnxruntime import InferenceSession
    from onnxruntime.quantization import CalibrationDataReader

    name = InferenceSession(path, providers=["CPUExecutionProvider"]).get_inputs()[0].name

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.images = iter(images)

        def get_next(self) -> dict[str, np.ndarray] | None:
            image = next(self.images, None)
            return None if image is None else {name: image}

    return Reader()


def list_runtimes(calibration: list[np.ndarray]) -> list[Runtime]:
    """The lines of the table; those of networks in memory name their precision last."""
    onnx = (*NEEDS_ONNX, "onnxruntime")
    runtimes = [
        Runtime(REFERENCE, (), None, load_keras),
        Runtime("TensorFlow, predict_on_batch, mixed_bfloat16", (), None, load_keras),
        Runtime("TensorFlow, graph, float32", (), None, load_graph),
        Runtime("TensorFlow, graph, mixed_bfloat16", (), None, load_graph),
        Runtime("OpenVINO, float32", ("openvino",), "saved", lambda f: load_openvino(f, "f32")),
        Runtime("OpenVINO, bfloat16", ("openvino",), "saved", lambda f: load_openvino(f, "bf16")),
        Runtime("OpenVINO, int8", ("openvino", *onnx), "int8", lambda f: load_openvino(f, "f32")),
        Runtime("ONNX Runtime, float32", onnx, "onnx", load_onnx),
        Runtime("ONNX Runtime, int8", onnx, "int8", load_onnx),
        Runtime(
            "--runtime openvino, from float32",
            PACKAGES,
            None,
            lambda model: load_converted(model, calibration),
        ),
    ]
    return runtimes if calibration else runtimes[:-1]


def load_all(
    networks: dict[str, keras.Model], files: dict[str, Path], calibration: list[np.ndarray]
) -> Iterator[tuple[str, Predict]]:
    """Yields name and function of each runtime; prints a line for each that is not there."""
    for runtime in list_runtimes(calibration):
        missing = [package for package in runtime.packages if not find_spec(package)]
        if missing:
            print(f"{runtime.name}: not measured, not installed: {', '.join(missing)}", flush=True)
        elif runtime.file and runtime.file not in files:
            print(f"{runtime.name}: not measured, there is no {FILES[runtime.file]}", flush=True)
        else:
            source = files[runtime.file] if runtime.file else networks[runtime.name.split()[-1]]
            start = time.perf_counter()
            try:
                yield runtime.name, runtime.load(source)
                print(f"{runtime.name}: {time.perf_counter() - start:.0f} s", flush=True)
            except Exception as error:  # whatever the other programs raise
                print(f"{runtime.name}: {type(error).__name__}: {one_line(error)}", flush=True)


def load_keras(model: keras.Model) -> Predict:
    """As stage 3 does it."""
    return lambda image: model.predict_on_batch(image)["mask"][0, ..., 0]


def load_graph(model: keras.Model) -> Predict:
    """One traced function, without the work of `predict_on_batch` around it."""
    import tensorflow as tf

    graph = tf.function(lambda image: model(image, training=False)["mask"])
    return lambda image: graph(tf.constant(image)).numpy()[0, ..., 0]


def load_openvino(path: Path, precision: str) -> Predict:
    """Reads a saved model or an ONNX file.

    Args:
        path: of the network.
        precision: as OpenVINO names it: f32 or bf16.

    Raises:
        RuntimeError: if OpenVINO computes in another precision on this processor.
    """
    import openvino

    model = openvino.Core().read_model(path)
    hint = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.compile_model(model, "CPU", hint)
    used = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    if used != precision:
        raise RuntimeError(f"not measured, this processor gets {used} for {precision}")
    return lambda image: compiled([image])[0][0, ..., 0]


def load_converted(model: keras.Model, calibration: list[np.ndarray]) -> Predict:
    """As `finetune_test.py --runtime openvino` does it."""
    network = OpenVinoNetwork(model, [image[0].astype("uint8") for image in calibration])
    return lambda image: network.predict_on_batch(image)["mask"][0, ..., 0]


def load_onnx(path: Path) -> Predict:
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    # Threads that wait for each other without sleeping are many times slower on busy cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda image: session.run(None, {name: image})[0][0, ..., 0]


def time_rounds(
    loaded: dict[str, Predict], image: np.ndarray, rounds: int
) -> dict[str, list[float]]:
    """Seconds of each runtime in each of the interleaved rounds."""
    times = {name: [] for name in loaded}
    for _ in range(rounds):
        for name, run in loaded.items():
            start = time.perf_counter()
            run(image)
            times[name].append(time.perf_counter() - start)
    return times


def compare(masks: list[np.ndarray], reference: list[np.ndarray], seconds: list[float]) -> dict:
    """IoU with the reference's masks, and the seconds of all rounds."""
    void = np.zeros(reference[0].shape, bool)
    ious = [region_similarity(m, r, void) for m, r in zip(masks, reference, strict=True)]
    return {"seconds": seconds, "iou": ious}


def print_table(numbers: dict[str, dict]) -> None:
    base = np.median(numbers[REFERENCE]["seconds"])
    rows = [
        (name, np.median(s), f"{min(s):.2f} - {max(s):.2f}", base / np.median(s),
         np.mean(n["iou"]), min(n["iou"]))
        for name, n in numbers.items()
        for s in (n["seconds"],)
    ]  # fmt: skip
    headers = ("runtime", "median s", "min - max", "times as fast", "mean IoU", "lowest IoU")
    floats = ("", ".3f", "", ".2f", ".4f", ".4f")
    print(tabulate(rows, headers, tablefmt="pipe", floatfmt=floats))


if __name__ == "__main__":
    run_script(main, Config, __doc__)
