"""Makes our ImageNet weights from those of Keras."""

import re
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from models.backbone import BACKBONE
from utils import paths
from utils.files import sha256_of, write_atomically, write_json

# Layers of keras.applications.Xception that have no names of their own there, in the order of
# their numbers.
KERAS_SHORTCUTS = ("block2_shortcut", "block3_shortcut", "block4_shortcut", "block13_shortcut")


def convert_keras_xception(source: Path, target: Path) -> str:
    """Turns a Keras Xception file into our ImageNet weights (half precision).

    Args:
        source: Keras's legacy .h5 layout: blocks 1-13, or the whole "notop" file that
            `keras.applications.Xception(include_top=False)` downloads (block 14 is dropped).
        target: `weights/imagenet_pretrain_weights/xception.safetensors`.

    Returns: the new file's sha256.
    """
    import h5py  # only for this conversion, and slow to import

    tensors = {}
    with h5py.File(source) as file:
        layers = [_text(name) for name in file.attrs["layer_names"]]
        names = _name_shortcuts([n for n in layers if len(file[n].attrs["weight_names"])])
        for layer in layers:
            for weight in map(_text, file[layer].attrs["weight_names"]):
                name = names.get(layer, layer)
                if (BACKBONE.block_number(name) or 0) > BACKBONE.num_blocks:
                    continue
                value = file[layer][weight][()].astype("float32")
                variable = weight.split("/")[-1].split(":")[0]
                tensors[f"{name}/{variable}"] = value.astype("float16") if value.ndim > 1 else value
    return _write(tensors, target)


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


def _write(tensors: dict[str, np.ndarray], target: Path) -> str:
    facts = {
        "stage": "imagenet",
        "head": "none",
        "data": "ImageNet-1k",
        "source": "keras.applications.Xception, blocks 1-13",
        "licence": "MIT",
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(
        target, lambda temporary_path: temporary_path.write_bytes(save(tensors, facts))
    )
    sha256 = sha256_of(target)
    write_json(target.parent / paths.MANIFEST_NAME, {target.name: {"sha256": sha256, **facts}})
    return sha256
