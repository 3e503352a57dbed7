"""Weights files: safetensors, one tensor per variable under its layer path, a manifest with hashes.

Weights are restored by the name of their layer, never by position. Keras's own `.weights.h5` goes
by position, so two layers of the same shape in swapped order load without any message; here
anything missing, extra, wrongly shaped or not finite is an error that names the tensor.
"""

import json
from pathlib import Path

import keras
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from models import HEADS
from models.backbone import BACKBONE
from models.prompted import LAYER_PREFIX
from utils import paths
from utils.errors import InputError
from utils.files import sha256_of, write_atomically, write_json
from utils.training.imagenet_weights import FACTS, read_keras_xception


def save_weights(
    model: keras.Model, path: Path, metadata: dict[str, str | int | float], half: bool = False
) -> str:
    """Writes all variables of a model, and the file's line in the folder's manifest.

    Args:
        model: built; its variables' paths become the names of the tensors.
        path: `HEAD.safetensors` in a stage's folder.
        metadata: facts to keep with the weights: head, output_stride, stage, data, steps, scores,
            commit.
        half: kernels as float16. Vectors (biases, batch statistics) stay float32, since variances
            overflow half precision.

    Returns: the file's sha256, hexadecimal.

    Raises:
        ValueError: if a value is not finite, with the variable's name; nothing is then written.
    """
    tensors = {}
    for variable in model.weights:  # not variables: dropout's random state is one
        value = np.asarray(variable.numpy(), dtype="float32")
        if not np.isfinite(value).all():
            raise ValueError(f"{variable.path} is not finite; nothing was saved to {path}.")
        tensors[variable.path] = value.astype("float16") if half and value.ndim > 1 else value
    facts = {key: str(value) for key, value in metadata.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda temporary_path: temporary_path.write_bytes(save(tensors, facts)))
    sha256 = sha256_of(path)
    manifest = _read_manifest(path.parent)
    manifest[path.name] = {"sha256": sha256, **metadata}
    write_json(path.parent / paths.MANIFEST_NAME, manifest)
    return sha256


def load_weights(model: keras.Model, path: Path, sha256: str | None = None) -> dict[str, str]:
    """Fills a model from a weights file; backbone weights (ImageNet) fill the backbone of any head.

    A file whose stage is "imagenet" has the backbone only and leaves the head as it is. The layers
    for prompts are filled by a file whose stage is "prompted" alone: others leave them as they are.
    Apart from that, a file must have each variable of the model and nothing else.

    Args:
        model: of `models.build_model` or `build_prompted_model`.
        path: a safetensors file, or the ImageNet weights that Keras downloads (.h5).
        sha256: expected hash; None takes the one in the folder's manifest, if the manifest lists
            the file.

    Returns: the file's metadata and its sha256 (key "sha256").

    Raises:
        InputError: if the weights do not fit the model; the message names the file and, where there
            is one, the tensor. The model is then unchanged.
    """
    tensors, metadata = read_weights(path, sha256)
    variables = {variable.path: variable for variable in model.weights}
    head, stage = metadata.get("head"), metadata.get("stage")
    if stage != "prompted":
        variables = {n: v for n, v in variables.items() if not n.startswith(LAYER_PREFIX)}
    if stage == "imagenet":
        variables = {
            name: variable
            for name, variable in variables.items()
            if BACKBONE.block_number(name) is not None
        }
    elif head and not model.name.endswith(f"_{head}"):
        has_flag = head in HEADS and "prompted" not in model.name
        other_head = f"--head {head} or " if has_flag else ""
        raise InputError(
            f"{path}: weights of head {head}, the network is {model.name}. "
            f"Choose {other_head}another file."
        )
    problem = _first_misfit(tensors, variables, model.name)
    if problem:
        raise InputError(
            f"{path}: tensor {problem}. Choose weights of this architecture with --weights "
            "(see weights/README.md)."
        )
    for name, variable in variables.items():
        variable.assign(tensors[name].astype("float32"))
    return metadata


def _first_misfit(tensors, variables, model_name):
    """The first tensor that does not fit and why, "" if all fit."""
    for name in sorted(variables.keys() - tensors.keys()):
        return f"{name} of {model_name} is missing"
    for name in sorted(tensors.keys() - variables.keys()):
        return f"{name} is not part of {model_name}"
    for name, variable in variables.items():
        found, expected = tuple(tensors[name].shape), tuple(variable.shape)
        if found != expected:
            return f"{name} has shape {found}, the network expects {expected}"
        if not np.isfinite(tensors[name]).all():
            return f"{name} has values that are not finite"
    return ""


def read_weights(
    path: Path, sha256: str | None = None
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Reads and checks a weights file without a model.

    A name that ends in .h5 stands for the ImageNet weights that Keras downloads.

    Returns: tensors by name, and the metadata with "sha256" added.

    Raises:
        InputError: if the file is missing, cut short, altered against its manifest, or of another
            kind.
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
    if path.suffix == ".h5":
        return read_keras_xception(path), {**FACTS, "sha256": found}
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, ValueError, TypeError, AttributeError, OSError) as error:
        raise InputError(
            f"{path}: not a complete safetensors file ({error}). Fetch it again."
        ) from error
    return tensors, {**metadata, "sha256": found}


def find_weights(
    head: str, weights: Path | None = None, *, takes_prompts: bool = False
) -> tuple[Path, str]:
    """Finds the best weights to fine-tune from: those of stage 2, else stage 1, else ImageNet.

    Args:
        head: one of `models.HEADS`.
        weights: the user's choice, which wins.
        takes_prompts: whether the network does; only its own weights will do then.

    Returns: the file, and in words why this one.

    Raises:
        InputError: if there is none.
    """
    if weights is not None:
        return Path(weights), "named by --weights"
    name = f"{head}.safetensors"
    if takes_prompts:
        path = paths.PROMPTED_WEIGHTS / name
        if path.is_file():
            return path, "prompted weights"
        raise InputError(
            f"{path}: no such file. It is part of the repository: restore it with git checkout; "
            "or train one: python train_prompted.py."
        )
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
        raise InputError(f"{path}: not a manifest of this project. Restore it with git checkout.")
    return manifest
