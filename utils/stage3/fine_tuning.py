"""Stage 3's training: the network learns one animal from the labelled frames of one video."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from models.losses import BalancedSumLoss, SegmentationLoss
from models.xception import freeze_first_blocks
from utils import backend
from utils.stage3.settings import FineTuning, PaperFineTuning, Preset
from utils.training.backup import Backup
from utils.training.batches import Batches, FrameSample, Sample
from utils.training.optimizers import (
    make_optimizer,
    make_paper_optimizer,
    reset_optimizer,
    warmup_cosine,
)


class FineTuner:
    """Fine-tunes one network on one video after the other; the training step is traced once for
    all.

    Args:
        model: of `models.build_model`, with the weights to start from: each video starts from
            these.
        loss: on the "mask" logits.
        settings: see `FineTuning`.
        seed: of crops and their augmentation.
    """

    def __init__(
        self, model: keras.Model, loss: keras.losses.Loss, settings: FineTuning, seed: int
    ):
        self.model = model
        self.settings = settings
        self.seed = seed
        self.epochs_done = 0
        self.keep_as_start()
        freeze_first_blocks(model, settings.frozen_blocks)
        # Only the fused output learns here (the paper's "supervision 3").
        self.trained = keras.Model(model.input, {"mask": model.output["mask"]})
        self.trained.compile(
            optimizer=_make_optimizer(settings),
            loss={"mask": loss},
            jit_compile=backend.jit_compile(),
        )
        # TensorFlow traces a step that creates variables twice.
        self.trained.optimizer.build(self.trained.trainable_variables)

    def start_again(self) -> None:
        """The model holds the start weights."""
        for variable, value in zip(self.model.variables, self.start_weights, strict=True):
            variable.assign(value)

    def keep_as_start(self) -> None:
        """What the model has learnt is from now on what each video starts from."""
        self.start_weights = [keras.ops.convert_to_numpy(v.value) for v in self.model.variables]

    def fit(
        self,
        frames: Sequence[FrameSample],
        backup_path: Path | None = None,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        *,
        zoom: float = 1.0,
    ) -> list[float]:
        """Trains from the start weights on the labelled frames; the model then holds the result.

        Args:
            frames: images with their targets (0, 1, 255 void) of one animal.
            backup_path: where to keep the state for a resumed run, and to look for one.
            callbacks: progress display and the like.
            zoom: size at which the network sees the frames; the augmentation's scales are relative
                to it.

        Returns: mean loss of each epoch that was run now.

        Raises:
            FloatingPointError: if the loss is not finite.
        """
        self.start_again()
        reset_optimizer(self.trained.optimizer)
        self.epochs_done = Backup(backup_path).restore(self.trained) if backup_path else 0
        return self._train(frames, self.settings.epochs, backup_path, callbacks, zoom)

    def fit_further(
        self,
        frames: Sequence[Sample],
        epochs: int,
        backup_path: Path | None = None,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        *,
        zoom: float = 1.0,
    ) -> list[float]:
        """Continues after `fit` with other frames, at the learning rates that it ended with.

        Args:
            frames: images with their targets of one animal.
            epochs: in addition to those of `fit`; where `fit` found a run that was cut off during
                these epochs, only what is left is done.
            backup_path, callbacks, zoom: as of `fit`.

        Returns: mean loss of each epoch that was run now.

        Raises:
            FloatingPointError: if the loss is not finite.
        """
        return self._train(frames, self.settings.epochs + epochs, backup_path, callbacks, zoom)

    def average_with(self, weights: Mapping[str, np.ndarray], share: float) -> None:
        """The model becomes the mean of itself and of the same network at another time.

        Weights that were fine-tuned from the same start can be averaged: the mean has the accuracy
        of an ensemble in the time of one (Wortsman et al., "Robust fine-tuning of zero-shot
        models", CVPR 2022).

        Args:
            weights: by variable path.
            share: of these weights, 0..1.
        """
        for variable in self.model.variables:
            own = keras.ops.convert_to_numpy(variable.value)
            variable.assign((1 - share) * own + share * weights[variable.path])

    def average_with_start(self, share: float) -> None:
        """The model becomes the weighted mean of itself and of the start weights, `share` of these,
        0..1."""
        paths = [variable.path for variable in self.model.variables]
        self.average_with(dict(zip(paths, self.start_weights, strict=True)), share)

    def make_batches(self, frames: Sequence[Sample], zoom: float) -> Batches:
        """The crops to learn from; for frames and zoom see `fit`."""
        settings = self.settings
        low, high = settings.augmentation.scale
        return Batches(
            frames,
            turn_crop(settings.crop, [frame.read()[0].shape[:2] for frame in frames]),
            settings.epoch_steps,
            settings.batch_size,
            replace(settings.augmentation, scale=(low * zoom, high * zoom)),
            self.seed,
        )

    def _train(self, frames, last_epoch, backup_path, callbacks, zoom):
        batches = self.make_batches(frames, zoom)
        check = keras.callbacks.LambdaCallback(on_epoch_end=_stop_if_not_finite)
        callbacks = [batches.follow_epochs(), check, *callbacks]  # the check before the backup
        if backup_path is not None:
            callbacks.append(Backup(backup_path))
        batches.build_loss(self.trained)
        history = self.trained.fit(
            batches,
            epochs=last_epoch,
            initial_epoch=self.epochs_done,
            callbacks=callbacks,
            shuffle=False,  # else Keras hands out the batches of a PyDataset in another order
            verbose=0,
        )
        batches.forget_samples()
        self.epochs_done = max(self.epochs_done, last_epoch)
        return history.history.get("loss", [])


def turn_crop(crop: tuple[int, int], sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """A crop in portrait format if most of the frames are: in landscape it would reach beyond them,
    and a part of it would be void.

    Args:
        crop: height and width, landscape or square.
        sizes: height and width of the frames.

    Returns: height and width.
    """
    portrait = sum(height > width for height, width in sizes)
    return crop[::-1] if 2 * portrait > len(sizes) else crop


def make_loss(preset: Preset) -> keras.losses.Loss:
    """The loss that a preset fine-tunes with."""
    if isinstance(preset.fine_tuning, PaperFineTuning):
        return BalancedSumLoss()
    return SegmentationLoss(preset.region_weight)


def _make_optimizer(settings: FineTuning) -> keras.optimizers.Optimizer:
    if isinstance(settings, PaperFineTuning):
        return make_paper_optimizer(settings.head_learning_rate, settings.momentum)
    return make_optimizer(
        warmup_cosine(settings.head_learning_rate, settings.steps, settings.final_rate),
        warmup_cosine(settings.backbone_learning_rate, settings.steps, settings.final_rate),
    )


def _stop_if_not_finite(epoch, logs):
    if not np.isfinite(logs["loss"]):
        raise FloatingPointError(
            "The loss of fine-tuning is not finite. Try --precision float32 or another --seed."
        )
