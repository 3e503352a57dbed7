"""Weights files: safetensors, one tensor per variable under its layer path, a manifest with hashes.

Keras' own `.weights.h5` matches by position, so two same-shaped layers in swapped order load
without a word; here every tensor is matched by name, and anything missing, extra, misshapen or
non-finite is an error that names it.
"""

import json
import re
from pathlib import Path

import keras
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from utils import paths
from utils.errors import InputError
from utils.files import sha256_of, write_atomically, write_json

# Layers of keras.applications.Xception that have no names of their own there, in the order of
# their numbers.
KERAS_SHORTCUTS = ("block2_shortcut", "block3_shortcut", "block4_shortcut", "block13_shortcut")


def save_weights(
    model: keras.Model, path: Path, metadata: dict[str, str | int | float], half: bool = False
) -> str:
    """Writes all variables of a model, and the file's line in the folder's manifest.

    Args:
        model: built; its variables' paths become the names of the tensors.
        path: `HEAD.safetensors` in a stage's folder.
        metadata: facts to keep with the weights (head, output_stride, stage, data, steps, scores,
            commit).
        half: kernels as float16. Vectors (biases, batch statistics) stay float32, since variances
            overflow half precision.

    Returns: the file's sha256, hexadecimal.
    """
    tensors = {}
    for variable in model.weights:  # not variables: dropout's random state is one
        value = np.asarray(variable.numpy(), dtype="float32")
        if not np.isfinite(value).all():
            raise ValueError(f"{variable.path} is not finite; nothing was saved to {path}.")
        tensors[variable.path] = value.astype("float16") if half and value.ndim > 1 else value
    facts = {key: str(value) for key, value in metadata.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda aside: aside.write_bytes(save(tensors, facts)))
    sha256 = sha256_of(path)
    manifest = _read_manifest(path.parent)
    manifest[path.name] = {"sha256": sha256, **metadata}
    write_json(path.parent / paths.MANIFEST_NAME, manifest)
    return sha256


def load_weights(model: keras.Model, path: Path, sha256: str | None = None) -> dict[str, str]:
    """Fills a model from a weights file; backbone weights (ImageNet) fill the backbone of any head.

    A file whose stage is "imagenet" holds blocks 1-13 only and leaves the head as it is; every
    other file must have each variable of the model and nothing else.

    Args:
        model: of `models.build_model`.
        path: a safetensors file.
        sha256: expected hash; None takes the one in the folder's manifest, if the manifest lists
        the file.

    Returns: the file's metadata and its sha256 (key "sha256").

    Raises: InputError naming the file, and the tensor where there is one; the model is then
    unchanged.
    """
    tensors, metadata = read_weights(path, sha256)
    variables = {variable.path: variable for variable in model.weights}
    if metadata.get("stage") == "imagenet":
        variables = {k: v for k, v in variables.items() if re.match(r"block\d+_", k)}
    if (
        metadata.get("head")
        and not model.name.endswith(metadata["head"])
        and metadata.get("stage") != "imagenet"
    ):
        raise InputError(
            f"{path}: weights of head {metadata['head']}, the network is {model.name}. "
            f"Choose --head {metadata['head']} or another --weights."
        )
    remedy = "Choose weights of this architecture with --weights (see weights/README.md)."
    for name in sorted(variables.keys() - tensors.keys()):
        raise InputError(f"{path}: tensor {name} of {model.name} is missing. {remedy}")
    for name in sorted(tensors.keys() - variables.keys()):
        raise InputError(f"{path}: tensor {name} is not part of {model.name}. {remedy}")
    for name, variable in variables.items():
        if tuple(tensors[name].shape) != tuple(variable.shape):
            raise InputError(
                f"{path}: tensor {name} has shape {tuple(tensors[name].shape)}, "
                f"the network expects {tuple(variable.shape)}. {remedy}"
            )
        if not np.isfinite(tensors[name]).all():
            raise InputError(f"{path}: tensor {name} has values that are not finite. {remedy}")
    for name, variable in variables.items():
        variable.assign(tensors[name].astype("float32"))
    return metadata


def read_weights(
    path: Path, sha256: str | None = None
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Reads and checks a weights file without a model.

    Returns: tensors by name, and the metadata with "sha256" added.

    Raises: InputError if the file is missing, cut short, altered against its manifest, or no
    safetensors file.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"No weights file at {path}. See weights/README.md for what there is.")
    found = sha256_of(path)
    listed = sha256 or _read_manifest(path.parent).get(path.name, {}).get("sha256")
    if listed and listed != found:
        raise InputError(
            f"{path}: sha256 is {found[:12]}..., {paths.MANIFEST_NAME} says {listed[:12]}...: "
            "the file is damaged or was replaced. Fetch it again, or name a file elsewhere with "
            "--weights."
        )
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, ValueError, TypeError, AttributeError, OSError) as error:
        raise InputError(
            f"{path}: not a complete safetensors file ({error}). Fetch it again."
        ) from error
    return tensors, {**metadata, "sha256": found}


def find_weights(head: str, weights: Path | None = None) -> tuple[Path, str]:
    """The best weights there are to fine-tune from.

    Args:
        head: "deeplab" or "xfcn".
        weights: the user's choice, which wins.

    Returns: the file, and in words why this one.

    Raises: InputError if there is none.
    """
    if weights is not None:
        return Path(weights), "named by --weights"
    name = f"{head}.safetensors"
    for path, words in (
        (paths.OBJECTNESS_WEIGHTS / name, "objectness weights (stage 2)"),
        (
            paths.PASCAL_BASE_WEIGHTS / name,
            "Pascal base weights (stage 1); no objectness weights here",
        ),
        (
            paths.IMAGENET_WEIGHTS_FILE,
            f"ImageNet backbone, {head} head untrained; no stage 1 or 2 weights here",
        ),
    ):
        if path.is_file():
            return path, words
    raise InputError(
        f"No weights for head {head} in {paths.WEIGHTS}. Expected at least "
        f"{paths.IMAGENET_WEIGHTS_FILE}, "
        "which is part of the repository: restore it with git checkout, or name a file with "
        "--weights."
    )


def convert_keras_xception(source: Path, target: Path) -> str:
    """Turns a Keras Xception file into our ImageNet weights (half precision).

    Args:
        source: Keras' legacy .h5 layout: blocks 1-13, or the whole "notop" file that
            `keras.applications.Xception(include_top=False)` downloads (block 14 is dropped).
        target: `weights/imagenet_pretrain_weights/xception.safetensors`.

    Returns: the new file's sha256.
    """
    import h5py  # only for this conversion, and heavy

    tensors = {}
    with h5py.File(source) as file:
        layer_names = [n.decode() if isinstance(n, bytes) else n for n in file.attrs["layer_names"]]
        unnamed = {"conv2d": [], "batch_normalization": []}
        for name in layer_names:
            kind = re.sub(r"_\d+$", "", name)
            if kind in unnamed and len(file[name].attrs["weight_names"]):
                unnamed[kind].append(name)
        for names in unnamed.values():
            names.sort(
                key=lambda name: int(re.findall(r"_(\d+)$", name)[0]) if name[-1].isdigit() else 0
            )
        ours = dict(zip(unnamed["conv2d"], KERAS_SHORTCUTS, strict=True))
        ours |= {
            name: f"{shortcut}_bn"
            for name, shortcut in zip(unnamed["batch_normalization"], KERAS_SHORTCUTS, strict=True)
        }
        for layer in layer_names:
            for weight in file[layer].attrs["weight_names"]:
                weight = weight.decode() if isinstance(weight, bytes) else weight
                name = ours.get(layer, layer)
                if name.startswith("block14"):
                    continue
                value = file[layer][weight][()].astype("float32")
                variable = weight.split("/")[-1].split(":")[0]
                tensors[f"{name}/{variable}"] = value.astype("float16") if value.ndim > 1 else value
    facts = {
        "stage": "imagenet",
        "head": "none",
        "data": "ImageNet-1k",
        "source": "keras.applications.Xception, blocks 1-13",
        "licence": "MIT",
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, lambda aside: aside.write_bytes(save(tensors, facts)))
    sha256 = sha256_of(target)
    write_json(target.parent / paths.MANIFEST_NAME, {target.name: {"sha256": sha256, **facts}})
    return sha256


def _read_manifest(folder: Path) -> dict:
    path = folder / paths.MANIFEST_NAME
    if not path.is_file():
        return {}
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(
            f"{path}: not valid JSON ({error}). Restore it with git checkout."
        ) from error
    if not isinstance(manifest, dict) or not all(isinstance(v, dict) for v in manifest.values()):
        raise InputError(f"{path}: not a manifest of ours. Restore it with git checkout.")
    return manifest
