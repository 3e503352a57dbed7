"""The one loader of all stages: augmented crops from labelled images, streamed in worker threads.

Sample k of a run depends on (seed, k) alone, so a run that is cut off and resumed sees exactly
what it would have seen. Memory holds the batches in flight and nothing that grows with the data
set.
"""

import multiprocessing
import os
import pickle
import signal
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from threading import BrokenBarrierError, Thread
from typing import Any, Protocol

import cv2
import keras
import numpy as np

from utils import backend
from utils.errors import InputError
from utils.media.images import read_image, read_size
from utils.media.labels import VOID, read_label
from utils.training.augmentation import Augmentation, augment, fill_object


@lru_cache(maxsize=4)
def _permutation(seed, passes, count):
    return np.random.default_rng([seed, passes]).permutation(count)


class Sample(Protocol):
    """A labelled image: `read` gives uint8 image (H, W, 3) RGB, uint8 target (H, W) 0/1/255, and
    its filled background or None."""

    def read(self) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]: ...


@dataclass(frozen=True)
class FileSample:
    """An image and its annotation on disk; all animals or objects together are the object."""

    image_path: Path
    annotation_path: Path

    def check(self) -> None:
        """Reads the annotation and the image's header.

        Raises:
            InputError: if one of them cannot be read, or if their sizes differ.
        """
        size = read_size(self.image_path)
        check_sizes(self, size, read_label(self.annotation_path).values.shape)

    def read(self):
        annotation = read_label(self.annotation_path).values
        target = np.where(annotation == VOID, VOID, annotation > 0).astype("uint8")
        image = read_image(self.image_path)
        check_sizes(self, image.shape[:2], target.shape)
        return image, target, None


def check_sizes(pair: Any, image: tuple[int, int], annotation: tuple[int, int]) -> None:
    """Makes sure that an annotation labels the pixels of its image.

    Args:
        pair: a sample with `image_path` and `annotation_path`.
        image, annotation: height and width.

    Raises:
        InputError: naming both files if the sizes differ.
    """
    if image != annotation:
        raise InputError(
            f"{pair.annotation_path}: expected {image[1]}x{image[0]}, the size of "
            f"{pair.image_path}, found {annotation[1]}x{annotation[0]}; annotate the image at its "
            "own size, or take it out of the list."
        )


@dataclass(frozen=True)
class FrameSample:
    """The labelled frame of a video, held in memory."""

    image: np.ndarray
    target: np.ndarray

    @cached_property
    def background(self) -> np.ndarray:
        return fill_object(self.image, self.target)

    def read(self):
        return self.image, self.target, self.background


class Batches(keras.utils.PyDataset):
    """Endless augmented crops, cut into epochs of `steps_per_epoch`.

    Pass `fit` the callback `follow_epochs()` and `shuffle=False`.

    Item i of epoch e is batch first_batch + e * steps_per_epoch + i of the run: images uint8
    (batch, h, w, 3) and one target uint8 (batch, h, w, 1), 255 = void, for each supervised output
    of the network.

    Args:
        samples: drawn in an order that is reshuffled for each pass through them.
        crop: height and width.
        steps_per_epoch: length of an epoch.
        batch_size: crops per batch.
        augmentation: see `utils.training.augmentation.AUGMENTATIONS`.
        seed: of the run.
        outputs: names of the supervised outputs.
        workers: threads that prepare batches beside the training step.
        processes: that prepare them instead, a batch each; threads, which share one interpreter,
            cannot keep a GPU busy. 0: none. `close` ends them.
        first_batch: batches that the run had before epoch 0.

    Attributes:
        failures: what was raised instead of a batch, which TensorFlow hides in an error of its own.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        crop: tuple[int, int],
        steps_per_epoch: int,
        batch_size: int,
        augmentation: Augmentation,
        seed: int,
        *,
        outputs: Sequence[str] = ("mask",),
        workers: int = 2,
        processes: int = 0,
        first_batch: int = 0,
    ):
        # With processes, threads do nothing but wait for them.
        super().__init__(workers=2 * processes or workers, max_queue_size=max(4, 2 * processes))
        self.samples = samples
        self.crop = crop
        self.steps_per_epoch = steps_per_epoch
        self.batch_size = batch_size
        self.augmentation = augmentation
        self.seed = seed
        self.outputs = outputs
        self.first_batch = first_batch
        self.epoch = 0
        self.failures: list[Exception] = []
        self._pool = _start_pool(self, processes) if processes else None

    def __len__(self):
        return self.steps_per_epoch

    def forget_samples(self) -> None:
        """Lets go of the samples, after training: TensorFlow keeps each loader that was trained
        from until the process ends, and with it the images of its samples."""
        self.samples = ()

    def __getstate__(self):
        return self.__dict__ | {"_pool": None}

    def __getitem__(self, index):
        number = self.first_batch + self.epoch * self.steps_per_epoch + index
        try:
            if self._pool is None:
                return self.batch_number(number)
            return self._pool.submit(_batch_number, number).result()
        except Exception as error:
            self.failures.append(error)
            raise

    def close(self) -> None:
        """Ends the processes, if there are any."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def batch_number(self, number: int) -> tuple[Any, dict[str, np.ndarray]]:
        """Batch `number` of the run, counted from 0: inputs and targets of the model."""
        first = number * self.batch_size
        crops = [self.crop_number(first + k) for k in range(self.batch_size)]
        images = np.stack([image for image, _ in crops])
        targets = np.stack([target for _, target in crops])[..., None]
        return images, {name: targets for name in self.outputs}

    def crop_number(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Crop k of the run: uint8 (h, w, 3) and uint8 (h, w)."""
        image, target, background = self.samples[self._sample_number(k)].read()
        pasted, occluders = self._read_others(k)
        rng = np.random.default_rng([self.seed, 1, k])
        return augment(
            image,
            target,
            self.crop,
            self.augmentation,
            rng,
            background=background,
            pasted=pasted,
            occluders=occluders,
        )

    def _sample_number(self, k):
        passes, position = divmod(k, len(self.samples))
        return _permutation(self.seed, passes, len(self.samples))[position]

    def _read_others(self, k):
        """What crop k gets in front of it: (image, target) of objects, and of occluders."""
        a = self.augmentation
        rng = np.random.default_rng([self.seed, 2, k])
        numbers = rng.integers(len(self.samples), size=a.max_pasted + 1)
        count = 1 + rng.integers(a.max_pasted) if rng.random() < a.paste else 0
        occluded = rng.random() < a.occlude
        pasted = [self.samples[number].read()[:2] for number in numbers[:count]]
        return pasted, [self.samples[numbers[-1]].read()[:2]] if occluded else []

    def build_loss(self, model: keras.Model) -> None:
        """Builds the loss of a compiled model, which needs the shapes of a batch.

        If the loss is not built, `fit` takes a batch out of the loader to build it: the first
        batches then come late, or twice, and the last ones never. With TensorFlow on one device it
        does not, and nothing is done here.
        """
        is_tensorflow = keras.backend.backend() == "tensorflow"
        if is_tensorflow and model.distribute_strategy.num_replicas_in_sync == 1:
            return
        inputs, targets = self[0]
        specs = keras.tree.map_structure(lambda x: keras.KerasTensor(x.shape, x.dtype.name), inputs)
        outputs = keras.tree.map_structure(
            lambda spec: np.zeros(spec.shape, "float32"), model.compute_output_spec(specs)
        )
        model.compute_loss(y=targets, y_pred=outputs)

    def follow_epochs(self) -> keras.callbacks.Callback:
        """Makes the callback for `fit` that keeps the loader at the current epoch.

        Keras calls a PyDataset's own `on_epoch_end` also before the first epoch, so it cannot
        count epochs itself.
        """
        return keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: setattr(self, "epoch", epoch)
        )


# In the processes of a pool

_START_SECONDS = 600  # for all processes to import Keras
_batches = None


def _start_pool(batches, processes):
    """Starts processes that prepare batches; none of them takes memory of a GPU."""
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads can hang
    all_started = context.Barrier(processes + 1)
    with tempfile.TemporaryDirectory() as folder:
        # As an argument, a long list of samples would hold up the start of the next process.
        path = Path(folder) / "batches.pickle"
        path.write_bytes(pickle.dumps(batches))
        pool = ProcessPoolExecutor(
            processes, context, initializer=_keep, initargs=(path, all_started)
        )
        with backend.hidden_gpus():
            for _ in range(processes):  # each starts one, since none is idle before all are there
                pool.submit(len, ())
        try:
            all_started.wait(_START_SECONDS)
        except BrokenBarrierError:
            pool.shutdown(wait=False, cancel_futures=True)
            raise InputError(
                "The processes of --loader-processes did not start. Try fewer, or 0."
            ) from None
    return pool


def _keep(path, all_started):
    global _batches
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that trains ends this one
    Thread(target=_end_with_parent, daemon=True).start()
    cv2.setNumThreads(1)  # there are as many processes as cores
    try:
        _batches = pickle.loads(Path(path).read_bytes())
    except BaseException:
        all_started.abort()  # nobody needs to wait for this process
        raise
    all_started.wait(_START_SECONDS)


def _end_with_parent():
    """Ends this process when the one that trains was killed."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _batch_number(number):
    return _batches.batch_number(number)
