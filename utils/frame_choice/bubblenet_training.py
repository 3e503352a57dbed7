"""Training BubbleNets on pairs of frames whose scores were measured.

As published: mean absolute error of the difference of two scores, Adam, three random references.
Not as published: 10 million steps of 1024 pairs, on scores of every frame of 100 videos. With few
measured frames a network of a million weights knows all pairs by heart long before that.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np

from models.bubblenets import build_bubblenet
from utils.console import training_progress
from utils.frame_choice.measured_videos import MeasuredVideo
from utils.frame_choice.ranking import draw_references, frame_positions


@dataclass(frozen=True)
class BubbleNetTraining:
    """How a network is trained.

    Attributes:
        steps: optimizer steps.
        batch_size: pairs per step.
        learning_rate: learning rate of Adam, constant.
        seed: seed of weights, pairs and references.
    """

    steps: int
    batch_size: int
    learning_rate: float
    seed: int


def train_bubblenet(
    variant: str, videos: Sequence[MeasuredVideo], settings: BubbleNetTraining
) -> keras.Model:
    """Trains a network on measured videos, from random weights that the seed decides.

    Args:
        variant: "BN0" or "BNLF".
        videos: the table, or a part of it.
        settings: how to train.

    Raises:
        FloatingPointError: if the loss is not finite.
    """
    keras.utils.set_random_seed(settings.seed)
    model = build_bubblenet(variant, videos[0].features.vectors.shape[1])
    bar = training_progress(f"{variant} on {len(videos)} videos", settings.steps)
    fit_bubblenet(model, videos, settings, bar)
    return model


def fit_bubblenet(
    model: keras.Model,
    videos: Sequence[MeasuredVideo],
    settings: BubbleNetTraining,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> float:
    """Trains a model of `models.bubblenets.build_bubblenet` in place.

    Args:
        model: the network.
        videos: the table, or a part of it.
        settings: how to train.
        callbacks: for `keras.Model.fit`.

    Returns:
        the mean loss over all steps, penalty included.

    Raises:
        FloatingPointError: if the loss is not finite.
    """
    model.compile(keras.optimizers.Adam(settings.learning_rate), loss="mean_absolute_error")
    batches = PairBatches(videos, settings.steps, settings.batch_size, settings.seed)
    history = model.fit(batches, shuffle=False, verbose=0, callbacks=list(callbacks))
    loss = history.history["loss"][-1]
    if not np.isfinite(loss):
        raise FloatingPointError(f"{model.name}: the loss is not finite. Lower --learning-rate.")
    return loss


class PairBatches(keras.utils.PyDataset):
    """Random pairs of measured frames with random references, equally many of every video.

    Batch i depends on (seed, i) alone. Its inputs are {"features": float32 (batch, 5, d),
    "indices": float32 (batch, 5)}, its target float32 (batch, 1) is the first frame's score minus
    the second's.
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
        second += second >= first  # any other frame, in either order
        pairs = np.stack([video.measured[first], video.measured[second]], axis=1)
        input_frames = np.concatenate([pairs, draw_references(rng, pairs, num_frames)], axis=1)
        targets = video.scores[pairs[:, :1]] - video.scores[pairs[:, 1:]]
        return (
            video.features.vectors[input_frames],
            frame_positions(num_frames)[input_frames],
            targets,
        )
