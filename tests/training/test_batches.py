"""The loader: crop k depends on (seed, k) alone, through real training and after a resume."""

import contextlib
import gc
import os
import tracemalloc

import keras
import numpy as np
import pytest
from PIL import Image

from utils import backend
from utils.errors import InputError
from utils.stage3.fine_tuning import FineTuner
from utils.stage3.settings import FineTuning
from utils.training.animals import AnimalSample
from utils.training.augmentation import AUGMENTATIONS, Augmentation
from utils.training.batches import Batches, FileSample, FrameSample

CROP = (16, 20)
STEPS = 4


def samples(count=3):
    rng = np.random.default_rng(0)
    targets = (rng.random((count, 24, 30)) > 0.6).astype("uint8")
    images = rng.integers(0, 256, (count, 24, 30, 3)).astype("uint8")
    return [FrameSample(image, target) for image, target in zip(images, targets, strict=True)]


def batches(seed=0, batch_size=2, workers=2, **options):
    return Batches(
        samples(),
        CROP,
        STEPS,
        batch_size,
        AUGMENTATIONS["fine_tune"],
        seed,
        workers=workers,
        **options,
    )


class Recorder(keras.layers.Layer):
    """Passes on the mean of each image and hands the images of every call to `remember`."""

    def __init__(self, remember):
        super().__init__(name="recorder")
        self.remember = remember
        self.scale = self.add_weight(shape=(), initializer="ones", name="scale")

    def compute_output_shape(self, input_shape):
        return (*input_shape[:3], 1)

    def call(self, images):
        if hasattr(images, "numpy"):  # not while Keras only traces shapes
            self.remember(np.asarray(images))
        return keras.ops.mean(keras.ops.cast(images, "float32"), -1, keepdims=True) * self.scale


def record_fit(loader, epochs, initial_epoch=0):
    """What arrives at the network in a fit: images uint8 (steps, batch, h, w, 3)."""
    seen = []
    images = keras.Input((None, None, 3), dtype="uint8")
    model = keras.Model(images, {"mask": Recorder(seen.append)(images)})
    model.compile("sgd", loss={"mask": "mse"}, run_eagerly=True)
    seen.clear()
    model.fit(
        loader,
        epochs=epochs,
        initial_epoch=initial_epoch,
        callbacks=[loader.follow_epochs()],
        shuffle=False,  # Keras shuffles the items of a PyDataset by default
        verbose=0,
    )
    return np.stack(seen)


def expected_crops(loader, first_step, last_step):
    size = loader.batch_size
    return np.stack(
        [
            np.stack([loader.crop_number(step * size + k)[0] for k in range(size)])
            for step in range(first_step, last_step)
        ]
    )


# Single items


def test_an_item_is_images_and_a_target_for_each_output():
    images, targets = batches(outputs=("mask", "side2"))[1]
    assert images.shape == (2, *CROP, 3) and images.dtype == np.uint8
    assert list(targets) == ["mask", "side2"]
    for target in targets.values():
        assert target.shape == (2, *CROP, 1) and target.dtype == np.uint8
        assert set(np.unique(target)) <= {0, 1, 255}


def test_crop_k_depends_on_the_seed_and_k_alone():
    loader, other = batches(batch_size=2), batches(batch_size=3)
    for k in (17, 0, 5):
        for first, second in zip(loader.crop_number(k), other.crop_number(k), strict=True):
            np.testing.assert_array_equal(first, second)
    crops = {loader.crop_number(k)[0].tobytes() for k in range(20)}
    assert len(crops) == 20
    assert not np.array_equal(loader.crop_number(0)[0], batches(seed=1).crop_number(0)[0])


def test_each_pass_shows_every_sample_once_in_an_order_of_its_own():
    class Numbered:
        def __init__(self, number):
            self.number = number

        def read(self):
            return np.full((8, 8, 3), self.number, "uint8"), np.zeros((8, 8), "uint8"), None

    loader = Batches([Numbered(n) for n in range(10)], (8, 8), 5, 1, Augmentation(flip=0), 0)
    numbers = [int(loader.crop_number(k)[0][0, 0, 0]) for k in range(40)]
    passes = [tuple(numbers[start : start + 10]) for start in range(0, 40, 10)]
    assert all(sorted(one) == list(range(10)) for one in passes)
    assert len(set(passes)) == 4


# Through Keras


@pytest.mark.parametrize("workers", [1, 3])
def test_fit_sees_every_crop_once_and_in_order(workers):
    loader = batches(workers=workers)
    np.testing.assert_array_equal(record_fit(loader, epochs=3), expected_crops(loader, 0, 12))


@pytest.mark.parametrize("workers", [1, 3])
def test_a_resumed_fit_sees_what_it_would_have_seen(workers):
    loader = batches(workers=workers)
    found = record_fit(loader, epochs=3, initial_epoch=1)
    np.testing.assert_array_equal(found, expected_crops(loader, STEPS, 3 * STEPS))


def test_a_second_fit_with_one_loader_begins_again():
    loader = batches()
    record_fit(loader, epochs=2)
    np.testing.assert_array_equal(record_fit(loader, epochs=1), expected_crops(loader, 0, STEPS))


def test_an_epoch_of_a_single_step():
    loader = Batches(samples(), CROP, 1, 1, AUGMENTATIONS["fine_tune"], 0)
    np.testing.assert_array_equal(record_fit(loader, epochs=5), expected_crops(loader, 0, 5))


def test_compiled_training_sees_the_same_crops():
    # In a traced step the loader runs in tf.data, ahead of the step.
    loader, seen = batches(), []
    images = keras.Input((None, None, 3), dtype="uint8")
    x = keras.layers.Rescaling(1 / 255)(images)
    x = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
    model = keras.Model(images, {"mask": keras.layers.Dense(1, use_bias=False)(x)})

    class MeanTarget(keras.losses.Loss):
        def call(self, y_true, y_pred):
            target = keras.ops.cast(y_true, "float32")
            return keras.ops.mean(target * (target < 2), axis=(1, 2, 3)) + 0 * y_pred[:, 0, 0, 0]

    model.compile("sgd", loss={"mask": MeanTarget()})
    callback = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(logs["loss"])
    )
    model.fit(
        loader, epochs=3, callbacks=[loader.follow_epochs(), callback], shuffle=False, verbose=0
    )
    targets = [loader.crop_number(k)[1] for k in range(3 * STEPS * 2)]
    means = [np.mean(target == 1) for target in targets]
    expected = np.reshape(means, (3, STEPS * 2)).mean(1)
    np.testing.assert_allclose(seen, expected, rtol=1e-5)


def test_a_fit_resumed_from_its_backup_ends_with_the_same_weights(tmp_path):
    settings = FineTuning(steps=12, crop=CROP, batch_size=1, steps_per_epoch=STEPS)
    frames = samples(1)

    class StopError(Exception):
        pass

    def stop_after(epoch):
        def on_epoch_begin(now, logs):
            if now == epoch:
                raise StopError

        return keras.callbacks.LambdaCallback(on_epoch_begin=on_epoch_begin)

    def new_tuner():
        backend.make_deterministic(0)
        return FineTuner(tiny_network(), "mse", settings, seed=3)

    def weights(tuner):
        return [keras.ops.convert_to_numpy(v.value) for v in tuner.model.variables]

    undisturbed = new_tuner()
    undisturbed.fit(frames, tmp_path / "a.npz")
    cut_off = new_tuner()
    with pytest.raises(StopError):
        cut_off.fit(frames, tmp_path / "b.npz", [stop_after(2)])
    resumed = new_tuner()
    assert len(resumed.fit(frames, tmp_path / "b.npz")) == 1
    for first, second in zip(weights(undisturbed), weights(resumed), strict=True):
        np.testing.assert_array_equal(first, second)


def test_a_second_video_trains_as_if_it_were_the_first():
    settings = FineTuning(steps=3, crop=CROP, steps_per_epoch=2)
    backend.make_deterministic(0)
    tuner = FineTuner(tiny_network(), "mse", settings, seed=3)
    first, second = samples(2)

    def weights():
        return [keras.ops.convert_to_numpy(v.value) for v in tuner.model.variables]

    tuner.fit([first])
    expected = weights()
    tuner.fit([second])
    assert any((a != b).any() for a, b in zip(expected, weights(), strict=True))
    tuner.fit([first])
    for found, value in zip(weights(), expected, strict=True):
        np.testing.assert_array_equal(found, value)


def test_fine_tuning_sees_the_crops_in_order():
    # The first crops of a run are not those that Keras' shuffling would pick.
    losses = []
    settings = FineTuning(steps=6, crop=CROP, steps_per_epoch=6)
    callback = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: losses.append(logs["loss"])
    )

    class MeanTarget(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return keras.ops.mean(y_true, axis=(1, 2, 3)) + 0 * keras.ops.sum(y_pred, (1, 2, 3))

    frames = samples(1)
    FineTuner(tiny_network(), MeanTarget(), settings, seed=5).fit(frames, callbacks=[callback])
    loader = Batches(frames, CROP, 6, 1, settings.augmentation, 5)
    means = [loader.crop_number(k)[1].mean() for k in range(6)]
    # What Keras shows is the mean over the epoch so far.
    expected = np.cumsum(means) / np.arange(1, 7)
    np.testing.assert_allclose(losses, expected, rtol=1e-4)


@pytest.mark.parametrize("size, crop", [((40, 24), CROP[::-1]), ((24, 40), CROP), ((24, 24), CROP)])
def test_crops_of_portrait_frames_are_portrait(size, crop):
    """Landscape ones reached beyond the frame, and a fifth of them was void."""
    frame = FrameSample(np.zeros((*size, 3), "uint8"), np.ones(size, "uint8"))
    tuner = FineTuner(tiny_network(), "mse", FineTuning(steps=2, crop=CROP), seed=0)
    images, targets = tuner.make_batches([frame], zoom=1.0)[0]
    assert images.shape[1:3] == targets["mask"].shape[1:3] == crop


def test_fine_tuning_takes_the_number_of_steps_it_was_given():
    steps = []
    settings = FineTuning(steps=7, crop=CROP, steps_per_epoch=5)
    callback = keras.callbacks.LambdaCallback(on_train_batch_end=lambda b, logs: steps.append(b))
    FineTuner(tiny_network(), "mse", settings, seed=0).fit(samples(1), callbacks=[callback])
    # Epochs are equally long, so a few steps more than asked for; progress bars count the same.
    assert len(steps) == settings.epochs * settings.epoch_steps
    assert 7 <= len(steps) < 7 + settings.epochs


def test_images_are_let_go_of_after_fine_tuning(monkeypatch):
    """TensorFlow keeps each loader until the process ends: memory grew with every video."""
    tuner = FineTuner(tiny_network(), "mse", FineTuning(steps=2, crop=CROP), seed=0)
    made, make_batches = [], tuner.make_batches

    def note(frames, zoom):
        made.append(make_batches(frames, zoom))
        return made[-1]

    monkeypatch.setattr(tuner, "make_batches", note)
    tuner.fit(samples(1))
    tuner.fit_further(samples(2), 1)
    assert [len(batches.samples) for batches in made] == [0, 0]


def test_a_loss_that_is_not_finite_stops_the_run_each_time_and_leaves_no_backup(tmp_path):
    class Broken(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return keras.ops.sum(y_pred, axis=(1, 2, 3)) * float("nan")

    tuner = FineTuner(tiny_network(), Broken(), FineTuning(steps=2, crop=CROP), seed=0)
    for _ in range(2):
        with pytest.raises(FloatingPointError, match="loss of fine-tuning is not finite"):
            tuner.fit(samples(1), tmp_path / "backup.npz")
        assert not list(tmp_path.iterdir())


def tiny_network() -> keras.Model:
    images = keras.Input((None, None, 3), name="images")
    x = keras.layers.Rescaling(1 / 255, name="normalise")(images)
    for name in ("block1_conv", "block4_conv"):
        x = keras.layers.Conv2D(4, 3, padding="same", activation="relu", name=name)(x)
    return keras.Model(images, {"mask": keras.layers.Conv2D(1, 1, name="mask_logits")(x)})


# Files


def write_pair(folder, name, value):
    rng = np.random.default_rng(value)
    Image.fromarray(rng.integers(0, 256, (24, 30, 3)).astype("uint8")).save(folder / f"{name}.jpg")
    annotation = np.zeros((24, 30), "uint8")
    annotation[4:12, 5:20], annotation[12:14] = 255, 128
    Image.fromarray(annotation).save(folder / f"{name}.png")
    return FileSample(folder / f"{name}.jpg", folder / f"{name}.png")


def test_a_sample_on_disk_gives_image_target_and_no_background(tmp_path):
    image, target, background = write_pair(tmp_path, "one", 0).read()
    assert image.shape == (24, 30, 3) and image.dtype == np.uint8 and background is None
    assert target.dtype == np.uint8
    assert [int(target[y, 6]) for y in (0, 5, 12)] == [0, 1, 255]


def test_several_objects_of_an_annotation_are_one_class(tmp_path):
    sample = write_pair(tmp_path, "one", 0)
    Image.fromarray(np.repeat(np.arange(4, dtype="uint8")[:, None], 5, 1)).save(
        sample.annotation_path
    )
    Image.new("RGB", (5, 4)).save(sample.image_path)
    assert sample.read()[1][:, 0].tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize("kind", [FileSample, AnimalSample])
def test_an_annotation_of_another_size_than_its_image_is_refused(tmp_path, kind):
    pair = write_pair(tmp_path, "one", 0)
    Image.new("RGB", (30, 20)).save(pair.image_path)
    with pytest.raises(InputError, match=r"one\.png: expected 30x20, .*one\.jpg, found 30x24"):
        kind(pair.image_path, pair.annotation_path).read()


def test_files_are_opened_only_when_their_crop_is_drawn(tmp_path):
    good, missing = write_pair(tmp_path, "one", 0), FileSample(tmp_path / "a", tmp_path / "b")
    loader = Batches([good, missing], CROP, 2, 1, AUGMENTATIONS["base"], 0)
    errors = 0
    for k in range(2):
        try:
            loader.crop_number(k)
        except InputError:
            errors += 1
    assert errors == 1


def test_memory_does_not_grow_with_the_list(tmp_path):
    sample = write_pair(tmp_path, "one", 0)

    def peak(count):
        loader = Batches([sample] * count, CROP, 10, 1, AUGMENTATIONS["base"], 0)
        gc.collect()
        tracemalloc.start()
        for index in range(10):
            loader[index]
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(1)
    # A permutation of the list's places, 8 bytes each, is all that may grow; a frame has 2 kB.
    assert peak(2000) - peak(1) < 2000 * 40


def test_processes_prepare_the_same_batches_as_threads_and_see_no_gpu():
    by_threads = batches()
    by_processes = batches(processes=2)
    with contextlib.closing(by_processes):
        gpus = by_processes._pool.submit(os.getenv, "CUDA_VISIBLE_DEVICES").result()
        pids = {by_processes._pool.submit(os.getpid).result() for _ in range(STEPS)}
        for index in range(STEPS):
            images, targets = by_processes[index]
            expected_images, expected_targets = by_threads[index]
            np.testing.assert_array_equal(images, expected_images)
            np.testing.assert_array_equal(targets["mask"], expected_targets["mask"])
    assert gpus == ""
    assert os.getpid() not in pids
    assert "CUDA_VISIBLE_DEVICES" not in os.environ
