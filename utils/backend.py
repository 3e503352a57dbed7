"""What a script does differently with each backend of Keras: quiet start, memory, repeatable
operations, GPUs.

Every script imports this module before Keras: importing it starts the backend without noise.
"""

import contextlib
import ctypes
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path


@contextlib.contextmanager
def _without_native_messages() -> Iterator[None]:
    """Discards what native code writes to stderr. Python exceptions are still reported."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    original_stderr = os.dup(2)
    try:
        with open(os.devnull, "w") as devnull:
            os.dup2(devnull.fileno(), 2)
        yield
    finally:
        os.dup2(original_stderr, 2)
        os.close(original_stderr)


@contextlib.contextmanager
def _without_users_settings() -> Iterator[None]:
    """Hides ~/.keras/keras.json while Keras is imported.

    It may be of another project: another order of the axes, another precision, or a backend that is
    not installed here. What this project needs are Keras's own defaults.
    """
    before = os.environ.get("KERAS_HOME")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["KERAS_HOME"] = folder
        try:
            yield
        finally:
            del os.environ["KERAS_HOME"]
            if before is not None:
                os.environ["KERAS_HOME"] = before


def keep_freed_memory() -> bool:
    """Lets this process keep the memory that it frees, for what it needs next.

    The maps of the network are so large that glibc gets each of them from the system and hands it
    back right away, and the system zeroes it page by page: a sixth of a fine-tuning step's time.
    Other C libraries do not have this setting.

    Returns: whether the setting was made.
    """
    trim_threshold, mmap_max, largest = -1, -4, 2**31 - 1  # mallopt(3)
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, TypeError):  # not glibc; Windows
        return False
    # All memory comes from the heap, of which up to 2 GiB that are free at its end stay.
    return bool(mallopt(mmap_max, 0) and mallopt(trim_threshold, largest))


keep_freed_memory()

# TensorFlow warns whenever it retraces, once per size of video, which is of no use to users.
logging.getLogger("tensorflow").setLevel(logging.ERROR)

# TensorFlow writes pages about missing GPUs and CPU features before logging can be configured.
with _without_native_messages(), _without_users_settings():
    try:
        import keras

        keras.ops.zeros(1)  # starts the devices
    except (ImportError, ValueError) as error:
        # Not an InputError: nobody catches what an import raises.
        raise SystemExit(
            f"error: the backend of Keras cannot be imported ({' '.join(str(error).split())}). "
            "Install it, or unset KERAS_BACKEND to use TensorFlow: pip install -r requirements.txt"
        ) from None


# How many times faster bfloat16 has to be in the measurement of `--precision auto`. Where the
# processor has the instructions, only a measurement that is clearly against them counts: a busy
# machine must not make one run of a command differ from the next.
MIN_SPEED_UP = 1.15
MIN_SPEED_UP_WITH_INSTRUCTIONS = 0.7


def make_deterministic(seed: int, bitwise: bool = True) -> None:
    """Seeds Python, NumPy and the backend.

    Args:
        seed: 0 to 2**32 - 1.
        bitwise: also use only operations whose results repeat bit for bit; GPUs lack some of them
            in half precision.
    """
    keras.utils.set_random_seed(seed)
    if not bitwise:
        return
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    elif keras.backend.backend() == "torch":
        import torch

        torch.use_deterministic_algorithms(True, warn_only=True)


def has_gpu() -> bool:
    """Returns whether the backend can use a GPU."""
    name = keras.backend.backend()
    if name == "tensorflow":
        import tensorflow as tf

        return bool(tf.config.list_logical_devices("GPU"))
    if name == "torch":
        import torch

        return torch.cuda.is_available()
    return any("gpu" in device or "cuda" in device for device in _devices())


def cpu_computes_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Returns whether the processor has instructions for bfloat16.

    AMD has them since Zen 4, Intel since the Xeons of Cooper Lake. Without them, mixed precision
    is several times slower than float32.

    Args:
        cpuinfo: Linux's description of the processor. Other systems do not have it, so the answer
            there is always False.
    """
    flags = set(cpuinfo.read_text().split()) if cpuinfo.is_file() else set()
    return not flags.isdisjoint({"avx512_bf16", "amx_bf16"})


def choose_precision(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Chooses what `--precision auto` stands for on this device.

    Processors whose instructions are known not to include bfloat16 are not measured: there, mixed
    precision is many times slower.

    Args:
        cpuinfo: see `cpu_computes_bfloat16`.

    Returns: "mixed_bfloat16" where a step of the network is measurably faster in it, else
        "float32".
    """
    has_instructions = cpu_computes_bfloat16(cpuinfo)
    if not has_gpu() and cpuinfo.is_file() and not has_instructions:
        return "float32"
    needed = MIN_SPEED_UP_WITH_INSTRUCTIONS if has_instructions else MIN_SPEED_UP
    return "mixed_bfloat16" if bfloat16_speed_up() >= needed else "float32"


def bfloat16_speed_up(rounds: int = 8) -> float:
    """Measures how many times faster the network's typical layer is in bfloat16 than in float32.

    The layer is a separable convolution of the middle flow at a frame of 480 lines. The fastest of
    several interleaved rounds counts, so that other work on the machine hardly matters. It takes
    less than a second where bfloat16 is fast, and stops after one round where it is hopeless.
    """
    fastest = {"float32": float("inf"), "bfloat16": float("inf")}
    layers = {dtype: _typical_layer(dtype) for dtype in fastest}
    for layer in layers.values():
        layer()  # the first call prepares the operation
    for _ in range(rounds):
        for dtype, layer in layers.items():
            start = time.perf_counter()
            layer()
            fastest[dtype] = min(fastest[dtype], time.perf_counter() - start)
        if fastest["bfloat16"] > 3 * fastest["float32"]:
            break
    return fastest["float32"] / fastest["bfloat16"]


def _typical_layer(dtype: str) -> Callable[[], object]:
    height, width, channels = 30, 54, 728
    images = keras.ops.ones((1, height, width, channels), dtype)
    depthwise = keras.ops.ones((3, 3, channels, 1), dtype)
    pointwise = keras.ops.ones((1, 1, channels, channels), dtype)

    def run() -> object:
        x = keras.ops.depthwise_conv(images, depthwise, padding="same")
        # Fetching the sum waits for devices that compute in the background.
        return float(keras.ops.cast(keras.ops.sum(keras.ops.conv(x, pointwise)), "float32"))

    return run


def jit_compile() -> bool | str:
    """Returns the argument for `model.compile(jit_compile=...)`: XLA on GPUs only.

    On CPUs, XLA makes TensorFlow five times slower. It also excludes TensorFlow's repeatable
    operations. JAX always compiles.
    """
    if keras.backend.backend() != "tensorflow":
        return "auto" if keras.backend.backend() == "jax" else False
    from tensorflow.python.framework.config import is_op_determinism_enabled

    return has_gpu() and not is_op_determinism_enabled()


def distribute() -> contextlib.AbstractContextManager:
    """Splits each batch over all GPUs of the machine, with TensorFlow and JAX; torch uses one GPU.

    Returns:
        a context in which the model must be built and compiled. The batch size is the sum over the
        GPUs, and has to be a multiple of `num_equal_parts()`.
    """
    name = keras.backend.backend()
    if name == "tensorflow":
        import tensorflow as tf

        devices = [device.name for device in tf.config.list_logical_devices("GPU")]
        if len(devices) > 1:
            return tf.distribute.MirroredStrategy(devices).scope()
    elif num_equal_parts() > 1:
        keras.distribution.set_distribution(
            keras.distribution.DataParallel(auto_shard_dataset=False)
        )
    return contextlib.nullcontext()


def num_equal_parts() -> int:
    """Returns in how many parts of one size `distribute` splits a batch; 1 where any batch will do,
    as with TensorFlow."""
    return len(_devices()) if keras.backend.backend() == "jax" else 1


def sync_variables(model: keras.Model) -> None:
    """Makes the variables of a model current in the middle of an epoch of `fit`.

    JAX keeps them elsewhere until the epoch ends; the other backends need nothing.
    """
    if keras.backend.backend() == "jax":
        model.jax_state_sync()


@contextlib.contextmanager
def hidden_gpus() -> Iterator[None]:
    """Hides the GPUs from processes that are started while the block runs; this one has started
    its own already."""
    hide = {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
    before = {name: os.environ.get(name) for name in hide}
    os.environ.update(hide)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def num_loader_threads() -> int:
    """Returns how many threads prepare batches: one for each core but one, 2 to 16."""
    return min(16, max(2, (os.cpu_count() or 2) - 1))


def _devices() -> list[str]:
    return keras.distribution.list_devices()
