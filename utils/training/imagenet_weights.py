"""ImageNet weights in Keras's own files: read, or turned into ours."""

import re
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from models.backbone import BACKBONE
from utils import paths
from utils.errors import InputError
from utils.files import sha256_of, write_atomically, write_json

# Layers of keras.applications.Xception that have no names of their own there, in the order of
# their numbers.
KERAS_SHORTCUTS = ("block2_shortcut", "block3_shortcut", "block4_shortcut", "block13_shortcut")

FACTS = {
    "stage": "imagenet",
    "head": "none",
    "data": "ImageNet-1k",
    "source": "keras.applications.Xception, blocks 1-13",
    "licence": "MIT",
}


def read_keras_xception(source: Path) -> dict[str, np.ndarray]:
    """Reads a Keras Xception file.

    Args:
        source: Keras's legacy .h5 layout: blocks 1-13, or the whole "notop" file that
            `keras.applications.Xception(include_top=False)` downloads (block 14 is dropped).

    Returns: our variable paths -> float32.

    Raises:
        InputError: if it is another file.
    """
    import h5py  # only for these files, and slow to import

    tensors = {}
    try:
        with h5py.File(source) as file:
            layers = [_text(name) for name in file.attrs["layer_names"]]
            names = _name_shortcuts([n for n in layers if len(file[n].attrs["weight_names"])])
            for layer in layers:
                for weight in map(_text, file[layer].attrs["weight_names"]):
                    name = names.get(layer, layer)
                    if (BACKBONE.block_number(name) or 0) > BACKBONE.num_blocks:
                        continue
                    variable = weight.split("/")[-1].split(":")[0]
                    tensors[f"{name}/{variable}"] = file[layer][weight][()].astype("float32")
    except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(
            f"{source}: expected the file without top that keras.applications.Xception downloads, "
            f"found another one or a part of it ({error})."
        ) from error
    return tensors


def convert_keras_xception(source: Path, target: Path) -> str:
    """Turns a Keras Xception file into our ImageNet weights, kernels in half precision.

    Args:
        source: see `read_keras_xception`.
        target: `weights/imagenet_pretrain_weights/xception.safetensors`.

    Returns: the new file's sha256.
    """
    tensors = {
        name: value.astype("float16") if value.ndim > 1 else value
        for name, value in read_keras_xception(source).items()
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(
        target, lambda temporary_path: temporary_path.write_bytes(save(tensors, FACTS))
    )
    sha256 = sha256_of(target)
    write_json(target.parent / paths.MANIFEST_NAME, {target.name: {"sha256": sha256, **FACTS}})
    return sha256


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name


def _name_shortcuts(layers: list[str]) -> dict[str, str]:
    """Keras's names of its unnamed layers -> ours, by the order of their numbers."""
    ours = {}
    for kind, suffix in (("conv2d", ""), ("batch_normalization", "_bn")):
        unnamed = [name for name in layers if re.sub(r"_\d+$", "", name) == kind]
        unnamed.sort(key=lambda name: int((re.findall(r"_(\d+)$", name) or ["0"])[0]))
        ours |= {
            name: f"{shortcut}{suffix}"
            for name, shortcut in zip(unnamed, KERAS_SHORTCUTS, strict=True)
        }
    return ours
