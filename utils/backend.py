"""What is one Keras backend's own: quiet start, bit-for-bit repeatable operations.

Imported before Keras by every script: importing it starts the backend, silently.
"""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def _without_native_messages() -> Iterator[None]:
    """Sends what native code writes to stderr nowhere. Python's own errors still come through."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


# Its warnings on retracing (one per video size) are of no use to users.
logging.getLogger("tensorflow").setLevel(logging.ERROR)

# TensorFlow writes pages of notes on missing GPUs and CPU features before logging can be set up.
with _without_native_messages():
    import keras

    keras.ops.zeros(1)  # starts the devices


def make_deterministic(seed: int, bitwise: bool = True) -> None:
    """Seeds Python, NumPy and the backend.

    Args:
        seed: 0 to 2**32 - 1.
        bitwise: also ask for operations that repeat bit for bit; GPUs lack some in half precision.
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
    """Whether the backend sees a GPU."""
    name = keras.backend.backend()
    if name == "tensorflow":
        import tensorflow as tf

        return bool(tf.config.list_logical_devices("GPU"))
    if name == "torch":
        import torch

        return torch.cuda.is_available()
    return any("gpu" in device or "cuda" in device for device in _devices())


def cpu_computes_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the processor has instructions for bfloat16 (AMD since Zen 4, Intel's Xeons since
    Cooper Lake): where it has none, mixed precision is several times slower than float32.

    Args:
        cpuinfo: Linux's description of the processor; elsewhere there is none, so False.
    """
    flags = set(cpuinfo.read_text().split()) if cpuinfo.is_file() else set()
    return not flags.isdisjoint({"avx512_bf16", "amx_bf16"})


def jit_compile() -> bool | str:
    """What to give `compile(jit_compile=)`: XLA on GPUs; on CPUs it is five times slower.

    JAX knows nothing else. TensorFlow's repeatable operations and XLA exclude each other.
    """
    if keras.backend.backend() != "tensorflow":
        return "auto" if keras.backend.backend() == "jax" else False
    from tensorflow.python.framework.config import is_op_determinism_enabled

    return has_gpu() and not is_op_determinism_enabled()


def distribute() -> contextlib.AbstractContextManager:
    """Splits each batch over all GPUs of the machine; build and compile the model inside.

    The batch size is the sum over the GPUs. torch takes one GPU.
    """
    name = keras.backend.backend()
    if name == "tensorflow":
        import tensorflow as tf

        devices = [device.name for device in tf.config.list_logical_devices("GPU")]
        if len(devices) > 1:
            return tf.distribute.MirroredStrategy(devices).scope()
    elif name == "jax" and len(_devices()) > 1:
        keras.distribution.set_distribution(
            keras.distribution.DataParallel(auto_shard_dataset=False)
        )
    return contextlib.nullcontext()


def sync_variables(model: keras.Model) -> None:
    """Makes the variables of a model current in the middle of an epoch of `fit`.

    JAX keeps them elsewhere until the epoch ends; with the other backends nothing is to be done.
    """
    if keras.backend.backend() == "jax":
        model.jax_state_sync()


def num_loader_threads() -> int:
    """Threads that prepare batches: all cores but one, 2 to 16."""
    return min(16, max(2, (os.cpu_count() or 2) - 1))


def _devices() -> list[str]:
    return keras.distribution.list_devices()
