"""Training BubbleNets on pairs of frames whose scores were measured.

As published: mean absolute error of the difference of two scores, Adam, three random references.
Not as published: 10 million steps of 1024 pairs, on scores of every frame of 100 videos. With few
measured frames a network of a million weights knows all pairs by heart long before that.
"""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from utils.errors import InputError
from utils.frame_choice.features import FrameFeatures, load_features
from utils.frame_choice.rules import draw_references, frame_positions
from utils.media.images import list_files


@dataclass(frozen=True)
class MeasuredVideo:
    """A row of the training table.

    Attributes:
        name: of the video.
        features: of all its n frames.
        scores: float32 (n,), of the whole video (J + F) with this frame labelled; NaN where it was
            not measured.
    """

    name: str
    features: FrameFeatures
    scores: np.ndarray

    @property
    def measured(self) -> np.ndarray:
        """The frames with a score, in order."""
        return np.flatnonzero(np.isfinite(self.scores))


def read_table(folder: Path) -> list[MeasuredVideo]:
    """Reads all SEQ.npz of a folder: "features" (n, d) and "scores" (n,), NaN where not measured;
    cues and hashes as `utils.frame_choice.features.save_features` writes them, if they are there.

    Raises: InputError if there is none, one is malformed or has fewer than two scores, or they
        are not of one backbone.
    """
    files = list_files(folder, (".npz",))
    if not files:
        raise InputError(f"{folder}: expected a table (SEQ.npz), found none. Name another --table.")
    videos = [_read_video(path) for path in files]
    kinds = {
        (v.features.vectors.shape[1], v.features.source, v.features.weights_sha256) for v in videos
    }
    if len(kinds) > 1:
        raise InputError(
            f"{folder}: expected features of one backbone, found {len(kinds)} kinds (size, source, "
            f"sha256: {sorted(kinds)[:3]}). Compute them again with the same weights."
        )
    return videos


def read_scores(path: Path, measured_by: str) -> np.ndarray | None:
    """The scores of one SEQ.npz, float32 (n,), if there is one that was measured in this way.

    Args:
        measured_by: as given to `utils.frame_choice.features.save_features`.
    """
    try:
        with np.load(path) as file:
            if str(file["measured_by"]) == measured_by:
                return file["scores"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        pass
    return None


class PairBatches(keras.utils.PyDataset):
    """Random pairs of measured frames with random references, every video as often.

    Batch i depends on (seed, i) alone: {"features": float32 (batch, 5, d), "indices": float32
    (batch, 5)} and float32 (batch, 1), the first frame's score minus the second's.
    """

    def __init__(self, videos: Sequence[MeasuredVideo], steps: int, batch_size: int, seed: int):
        super().__init__(workers=1)
        self.videos = videos
        self.steps = steps
        self.batch_size = batch_size
        self.seed = seed

    def __len__(self):
        return self.steps

    def __getitem__(self, index):
        rng = np.random.default_rng([self.seed, index])
        counts = np.bincount(rng.integers(len(self.videos), size=self.batch_size))
        parts = [self._pairs(v, n, rng) for v, n in zip(self.videos, counts, strict=False) if n]
        features, indices, targets = map(np.concatenate, zip(*parts, strict=True))
        return {"features": features, "indices": indices}, targets

    def _pairs(self, video, count, rng):
        num_frames = len(video.scores)
        first = rng.integers(len(video.measured), size=count)
        second = rng.integers(len(video.measured) - 1, size=count)
        second += second >= first  # any other one, in either order
        pairs = np.stack([video.measured[first], video.measured[second]], axis=1)
        five = np.concatenate([pairs, draw_references(rng, pairs, num_frames)], axis=1)
        targets = video.scores[pairs[:, :1]] - video.scores[pairs[:, 1:]]
        return video.features.vectors[five], frame_positions(num_frames)[five], targets


def fit_bubblenet(
    model: keras.Model,
    videos: Sequence[MeasuredVideo],
    steps: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> float:
    """Trains a model of `models.bubblenets.build_bubblenet` in place.

    Returns: the mean loss over all steps, penalty included.

    Raises: FloatingPointError if it is not finite.
    """
    model.compile(keras.optimizers.Adam(learning_rate), loss="mean_absolute_error")
    batches = PairBatches(videos, steps, batch_size, seed)
    history = model.fit(batches, shuffle=False, verbose=0, callbacks=list(callbacks))
    loss = history.history["loss"][-1]
    if not np.isfinite(loss):
        raise FloatingPointError(f"{model.name}: the loss is not finite. Lower --learning-rate.")
    return loss


def _read_video(path: Path) -> MeasuredVideo:
    features = load_features(path)
    remedy = "Write it with utils.frame_choice.features.save_features."
    try:
        with np.load(path) as file:
            scores = file["scores"].astype("float32")
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f'{path}: expected "scores", found none ({error}). {remedy}') from error
    if features is None or features.vectors.ndim != 2:
        raise InputError(f'{path}: expected "features" (frames, size), found none. {remedy}')
    vectors = features.vectors.astype("float32")
    if scores.shape != vectors.shape[:1] or not np.isfinite(vectors).all():
        raise InputError(
            f"{path}: expected a finite vector and a score per frame, found {vectors.shape} and "
            f"{scores.shape}, or values that are not finite. {remedy}"
        )
    video = MeasuredVideo(path.stem, features, scores)
    if len(video.measured) < 2:
        raise InputError(
            f"{path}: expected at least two measured frames, found {len(video.measured)}. Measure "
            "more, or take the file away."
        )
    return video
