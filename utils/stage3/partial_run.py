"""The state of an unfinished video on disk, so that a run that was cut off continues where it was.

It is in `results/runs/SEQ/partial/`: `key.json` says what it belongs to (configuration, hashes,
version of the code). With the same key a run continues, with another one it starts over.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from utils import paths
from utils.environment import code_digest
from utils.errors import InputError
from utils.files import read_json, write_atomically, write_json

_KEY = "key.json"
_REDO = "redo"  # in the state of a run that started over
# Little compression: state is short-lived, and the network waits for it.
_ENCODING = {".png": [cv2.IMWRITE_PNG_COMPRESSION, 1], ".jpg": [cv2.IMWRITE_JPEG_QUALITY, 90]}


def open_state(folder: Path, key: dict[str, Any], starts_over: bool = False) -> None:
    """Makes a folder for the state of a run; empties it if it is that of another run or code.

    Args:
        folder: of the state.
        key: configuration and hashes that the state depends on.
        starts_over: empties it even with the same key.
    """
    key = json.loads(json.dumps(key | {"code": code_digest()}))
    if starts_over or read_json(folder / _KEY) != key:
        if folder.exists():
            shutil.rmtree(folder)  # raise if removal fails: stale state must not be reused
        folder.mkdir(parents=True)
        write_json(folder / _KEY, key)


class PartialRun:
    """Reads and writes one video's state.

    Frames are kept in grey (optical flow is computed between them); probabilities and regions per
    animal, and its company; what was found before fine-tuning; network weights by variable path.

    Args:
        results_dir: `results/` or what stands for it.
        name: of the video.
        key: configuration and hashes that the masks depend on.
        starts_over: discards what an earlier run left, even with the same key; see `is_redone`.
    """

    def __init__(
        self, results_dir: Path, name: str, key: dict[str, Any], starts_over: bool = False
    ):
        self.folder = partial_dir(results_dir, name)
        is_redo = starts_over or is_redone(results_dir, name, key)  # also after an update
        open_state(self.folder, key, starts_over)
        if is_redo:
            (self.folder / _REDO).touch()

    def end_redo(self) -> None:
        """What is on disk now is of this run."""
        (self.folder / _REDO).unlink(missing_ok=True)

    def remove(self) -> None:
        """Removes the state: the video is finished."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def preview_path(self) -> Path:
        """Where people find the preview, see `utils.stage3.preview`."""
        return self.folder / paths.PREVIEW_FILE

    def training_backup(self, animal: int) -> Path:
        """Where fine-tuning on one animal keeps its state, see `utils.training.backup`."""
        return self.folder / f"training_{animal}.npz"

    def load_fine_tuned(self, model: keras.Model, animal: int) -> bool:
        """Loads the fine-tuned weights of one animal; returns whether there are any."""
        path = self._fine_tuned(animal)
        if not path.is_file():
            return False
        values = _load_weights(path)
        for variable in model.variables:
            variable.assign(values[variable.path])
        return True

    def save_fine_tuned(self, model: keras.Model, animal: int) -> None:
        """Keeps the fine-tuned weights of one animal; what training left is then deleted.

        Raises:
            FloatingPointError: if a weight is not finite.
        """
        _save_weights(model, self._fine_tuned(animal))
        for path in (self.training_backup(animal), self._before_second_look(animal)):
            path.unlink(missing_ok=True)
        shutil.rmtree(self.folder / f"survey_{animal}", ignore_errors=True)

    def keep_before_second_look(self, model: keras.Model, animal: int) -> None:
        """Keeps the weights that the second look starts from; a run that was cut off during it
        has them already.

        Raises:
            FloatingPointError: if a weight is not finite.
        """
        if not self._before_second_look(animal).is_file():
            _save_weights(model, self._before_second_look(animal))

    def before_second_look(self, animal: int) -> dict[str, np.ndarray]:
        """The weights that were kept, by variable path."""
        return _load_weights(self._before_second_look(animal))

    def frames_seen(self, animal: int) -> int | None:
        """How many frames the network saw until the animal's regions were complete; None if they
        are not."""
        return read_json(self._segmented(animal))

    def write_frames_seen(self, animal: int, count: int) -> None:
        write_json(self._segmented(animal), count)

    def grey(self, frame: int) -> np.ndarray | None:
        """A frame in grey, uint8 (h, w); None if it is not there."""
        return _read(self._map("grey", frame, ".jpg"))

    def write_grey(self, frame: int, grey: np.ndarray) -> None:
        _write(self._map("grey", frame, ".jpg"), grey)

    def probability(self, animal: int, frame: int) -> np.ndarray | None:
        """An animal's probability, uint8 (h, w) for 0..1; None if it is not there."""
        return _read(self._map(f"probability_{animal}", frame))

    def settled_probability(self, animal: int, frame: int) -> np.ndarray:
        """The same of a frame that was segmented. Raises: InputError."""
        probability = self.probability(animal, frame)
        if probability is None:
            raise _damaged(self._map(f"probability_{animal}", frame))
        return probability

    def has_probability(self, animal: int, frame: int) -> bool:
        return _is_there(self._map(f"probability_{animal}", frame))

    def write_probability(self, animal: int, frame: int, probability: np.ndarray) -> None:
        _write(self._map(f"probability_{animal}", frame), probability)

    def surveyed(self, animal: int, frame: int) -> np.ndarray | None:
        """The same before the second look."""
        return _read(self._map(f"survey_{animal}", frame))

    def write_surveyed(self, animal: int, frame: int, probability: np.ndarray) -> None:
        _write(self._map(f"survey_{animal}", frame), probability)

    def region(self, animal: int, frame: int) -> np.ndarray:
        """The pixels of a frame that continue the animal, bool (h, w). Raises: InputError."""
        path = self._map(f"region_{animal}", frame)
        region = _read(path)
        if region is None:
            raise _damaged(path)
        return region > 0

    def write_region(self, animal: int, frame: int, region: np.ndarray) -> None:
        _write(self._map(f"region_{animal}", frame), region)

    def company(self, animal: int, frame: int) -> np.ndarray | None:
        """Others of an animal's kind in a labelled frame, bool (h, w); None if it is not there."""
        company = _read(self._map(f"company_{animal}", frame))
        return None if company is None else company > 0

    def write_company(self, animal: int, frame: int, company: np.ndarray) -> None:
        _write(self._map(f"company_{animal}", frame), company)

    def kind(self, frame: int) -> np.ndarray | None:
        """The probability of the network before fine-tuning, uint8 (h, w) for 0..1; None if it is
        not there."""
        return _read(self._map("kind", frame))

    def has_kind(self, frame: int) -> bool:
        return _is_there(self._map("kind", frame))

    def write_kind(self, frame: int, probability: np.ndarray) -> None:
        _write(self._map("kind", frame), probability)

    def _fine_tuned(self, animal: int) -> Path:
        return self.folder / f"fine_tuned_{animal}.safetensors"

    def _segmented(self, animal: int) -> Path:
        return self.folder / f"segmented_{animal}.json"

    def _before_second_look(self, animal: int) -> Path:
        return self.folder / f"before_second_look_{animal}.safetensors"

    def _map(self, folder: str, frame: int, suffix: str = ".png") -> Path:
        return self.folder / folder / f"{frame:06d}{suffix}"


def _save_weights(model: keras.Model, path: Path) -> None:
    values = {v.path: np.array(keras.ops.convert_to_numpy(v.value)) for v in model.variables}
    if not all(np.isfinite(value).all() for value in values.values()):
        raise FloatingPointError("Fine-tuning ended with weights that are not finite; try --seed.")
    write_atomically(path, lambda temporary_path: save_file(values, temporary_path))


def _load_weights(path: Path) -> dict[str, np.ndarray]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> InputError:
    return InputError(f"{path}: cannot be read. Begin this video anew with --overwrite.")


def partial_dir(results_dir: Path, name: str) -> Path:
    """The folder of an unfinished video's state."""
    return results_dir / paths.RUNS / name / paths.PARTIAL


def remove_left_state(results_dir: Path, name: str, key: dict[str, Any]) -> None:
    """Removes what a process left that was killed right after it had finished a video.

    The unfinished state of a run with another key stays, whatever the version of the code.

    Args:
        results_dir, name: of the video.
        key: of the finished run.
    """
    folder = partial_dir(results_dir, name)
    if not (folder / _KEY).is_file() or _is_of(folder, key):
        shutil.rmtree(folder, ignore_errors=True)


def is_redone(results_dir: Path, name: str, key: dict[str, Any]) -> bool:
    """Whether a run that started over, though the video was finished, is to be continued: until it
    has results of its own, those of the run before stay.

    Args:
        results_dir, name: of the video.
        key: of both runs.
    """
    folder = partial_dir(results_dir, name)
    return (folder / _REDO).exists() and _is_of(folder, key)


def _is_of(folder: Path, key: dict[str, Any]) -> bool:
    """Whether a folder's state is of a run with a key, whatever the version of the code."""
    found = read_json(folder / _KEY)
    expected = json.loads(json.dumps({**key, "code": None}))
    return isinstance(found, dict) and {**found, "code": None} == expected


def to_bytes(probability: np.ndarray) -> np.ndarray:
    """0..1 as uint8: differences below 1/255 never decided a mask, and a long video needs little
    disk."""
    return np.round(probability * 255).astype("uint8")


def _write(path: Path, values: np.ndarray) -> None:
    encoded = cv2.imencode(path.suffix, values.astype("uint8"), _ENCODING[path.suffix])[1]
    write_atomically(path, lambda temporary_path: temporary_path.write_bytes(encoded.tobytes()))


def _is_there(path: Path) -> bool:
    """Whether a file is there and has a content: after a power cut it may have none."""
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False


def _read(path: Path) -> np.ndarray | None:
    try:
        encoded = np.frombuffer(path.read_bytes(), "uint8")
    except FileNotFoundError:
        return None
    return cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE) if encoded.size else None
