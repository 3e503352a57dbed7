"""What the choice of a frame is based on: one vector per frame from a backbone, and cheap cues.

The video is read once, frame by frame; the result is cached with the hashes of frames and weights,
and that of a long video also while it is made, so that a call that was stopped is continued.
"""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import keras
import numpy as np

from models.backbone import BACKBONE
from utils.errors import InputError
from utils.files import sha256_of, write_atomically
from utils.media.images import resize_image, working_size
from utils.media.videos import Video

SOURCES = ("xception", "resnet50v2")
FEATURE_LINES = 160  # shorter side at which the backbone sees a frame, px
CUE_LINES = 240  # shorter side at which sharpness, brightness and motion are measured, px
BATCH_SIZE = 4
KEPT_FRAMES = 1000  # a multiple of the batch size: what a stopped call loses, at most
CUES = ("sharpness", "brightness", "motion")


@dataclass(frozen=True)
class Extractor:
    """A backbone as a feature extractor.

    Attributes:
        source: one of `SOURCES`.
        weights_sha256: hash of its weights file.
        prepare: turns a frame, uint8 (H, W, 3) RGB, into what the network sees, (h, w, 3), of one
            size per video.
        network: turns a batch of these, (batch, h, w, 3), into float (batch, d).
    """

    source: str
    weights_sha256: str
    prepare: Callable[[np.ndarray], np.ndarray]
    network: Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class FrameFeatures:
    """What is known of the n frames of a video.

    Attributes:
        vectors: float32 (n, d), one per frame.
        cues: name -> float32 (n,): "sharpness" (variance of the Laplacian of the grey image, grey
            levels squared), "brightness" (mean, 0..1), "motion" (mean absolute difference to the
            neighbouring frames, 0..1).
        source: the extractor's.
        weights_sha256: the extractor's.
        frames_sha256: the video's.
    """

    vectors: np.ndarray
    cues: dict[str, np.ndarray]
    source: str
    weights_sha256: str
    frames_sha256: str


def xception_extractor(model: keras.Model, weights_sha256: str) -> Extractor:
    """Makes an extractor of the global average of the last block of the project's backbone.

    Args:
        model: a model of `models.build_model` with weights; its head is not run. Output stride 32
            is that of the ImageNet weights, and the cheapest.
        weights_sha256: hash of these weights.
    """
    last_block = model.get_layer(BACKBONE.output_layers[BACKBONE.last_block]).output
    pooled = keras.layers.GlobalAveragePooling2D(name="pooled")(last_block)
    network = keras.Model(model.input, pooled, name="xception_pooled")

    def prepare(image):
        return resize_image(image, *working_size(*image.shape[:2], FEATURE_LINES))

    return Extractor("xception", weights_sha256, prepare, network.predict_on_batch)


def resnet_extractor(weights: Path) -> Extractor:
    """Makes an extractor of ResNet-50 V2 (2048 values), prepared as in the original BubbleNets.

    Args:
        weights: ImageNet weights of `keras.applications.ResNet50V2(include_top=False)`. They are
            close to the original's, but from another training: networks imported from its
            checkpoints see features that they were not trained on.

    Raises:
        InputError: if the file is missing.
    """
    if not weights.is_file():
        raise InputError(
            f"{weights}: expected the weights of ResNet-50 V2, found no such file. Save there "
            "what keras.applications.ResNet50V2(include_top=False) downloads, or choose "
            "--features xception."
        )
    network = keras.applications.ResNet50V2(
        include_top=False, weights=str(weights), pooling="avg", input_shape=(224, 224, 3)
    )

    def prepare(image):
        top, left = (int(size * 0.125 / 2) for size in image.shape[:2])
        image = image[top : image.shape[0] - top, left : image.shape[1] - left]
        # Bilinear without averaging, aspect not kept: matches the original's preprocessing.
        image = cv2.resize(image, (224, 224), interpolation=cv2.INTER_LINEAR)
        return image.astype("float32") / 127.5 - 1

    return Extractor("resnet50v2", sha256_of(weights), prepare, network.predict_on_batch)


def read_features(
    video: Video,
    extractor: Extractor,
    cache: Path | None = None,
    progress: Callable[[range, str], range] = lambda frames, title: frames,
) -> FrameFeatures:
    """Computes the features of all frames, or reads them from the cache.

    Args:
        video: read once, in order.
        extractor: the backbone.
        cache: an .npz file; one of other frames or weights is replaced. Beside it is what a call
            that was stopped has computed. None keeps nothing.
        progress: wraps the frames for display, called with (frames, title).
    """
    frames_sha256 = video.sha256()
    known = cache and find_features(cache, extractor, frames_sha256)
    if known:
        return known
    partial = cache and cache.with_name(f"{cache.stem}.partial.npz")
    features = _compute(video, extractor, frames_sha256, partial, progress)
    if cache is not None:
        save_features(cache, features)
        partial.unlink(missing_ok=True)
    return features


def find_features(path: Path, extractor: Extractor, frames_sha256: str) -> FrameFeatures | None:
    """Reads what `save_features` wrote, if this extractor made it from these frames; else None."""
    known = load_features(path)
    found = known and (known.source, known.weights_sha256, known.frames_sha256)
    wanted = (extractor.source, extractor.weights_sha256, frames_sha256)
    return known if found == wanted else None


def save_features(
    path: Path,
    features: FrameFeatures,
    scores: np.ndarray | None = None,
    measured_by: str = "",
) -> None:
    """Writes features as .npz, atomically; with scores the file is a row of the training table.

    Args:
        path: the file to write.
        features: written as "features" and the cues by name, with where they come from.
        scores: (n,), the score of the whole video (J + F, 0..2) with this frame labelled; NaN
            where it was not measured.
        measured_by: how and from what the scores were measured, so that they can be measured again
            when that changes.
    """
    arrays = {"features": features.vectors, **features.cues}
    facts = {name: getattr(features, name) for name in ("source", *_HASHES)}
    if scores is not None:
        arrays["scores"] = np.asarray(scores, "float32")
        arrays["measured_by"] = np.array(measured_by)

    def write(temporary_path):
        with open(temporary_path, "wb") as file:
            np.savez(file, **arrays, **facts)

    write_atomically(path, write)


def load_features(path: Path) -> FrameFeatures | None:
    """Reads what `save_features` wrote; None if it cannot be read."""
    try:
        with np.load(path) as file:
            cues = {name: file[name] for name in CUES if name in file}
            facts = [str(file[name]) if name in file else "" for name in ("source", *_HASHES)]
            return FrameFeatures(file["features"], cues, *facts)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


_HASHES = ("weights_sha256", "frames_sha256")


def _compute(video, extractor, frames_sha256, partial, progress):
    known = partial and find_features(partial, extractor, frames_sha256)
    vectors = [known.vectors] if known else []
    # Here the motion is that from the frame before.
    cues = {name: known.cues[name].tolist() if known else [] for name in CUES}
    facts = extractor.source, extractor.weights_sha256, frames_sha256
    first, batch = len(cues["motion"]), []
    grey = _small_grey(video.read(first - 1)) if first else None
    for index in progress(range(first, len(video)), f"{video.name}: looking at"):
        image = video.read(index)
        batch.append(extractor.prepare(image))
        if len(batch) == BATCH_SIZE or index == len(video) - 1:
            vectors.append(_run(extractor.network, batch))
            batch = []
        before, grey = grey, _small_grey(image)
        cues["sharpness"].append(cv2.Laplacian(grey, cv2.CV_32F).var())
        cues["brightness"].append(grey.mean() / 255)
        cues["motion"].append(cv2.absdiff(before, grey).mean() / 255 if index else 0.0)
        if partial and (index + 1) % KEPT_FRAMES == 0:
            arrays = {name: np.array(values) for name, values in cues.items()}
            save_features(partial, FrameFeatures(np.concatenate(vectors), arrays, *facts))
    # To both neighbours; the ends have one.
    steps = np.array(cues["motion"])
    steps[0] = steps[min(1, len(steps) - 1)]
    cues["motion"] = (steps + np.append(steps[1:], steps[-1])) / 2
    cues = {name: np.array(values, "float32") for name, values in cues.items()}
    return FrameFeatures(np.concatenate(vectors), cues, *facts)


def _small_grey(image):
    size = working_size(*image.shape[:2], CUE_LINES)
    return cv2.cvtColor(resize_image(image, *size), cv2.COLOR_RGB2GRAY)


def _run(network, batch):
    missing = BATCH_SIZE - len(batch)
    # A batch of another size would trace the network again, which costs more than filling it up.
    filled = np.stack(batch + [batch[-1]] * missing)
    return np.asarray(network(filled), "float32")[: len(batch)]
