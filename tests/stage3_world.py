"""A small world for the tests of stage 3: generated videos, and a network of three convolutions, so
that a run takes a second; the script does not know. tests/conftest.py has its fixtures."""

import contextlib
import json
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

import finetune_test
from finetune_test import Config, main
from models import HEADS
from models.backbone import BACKBONE
from utils import console, paths
from utils.media.labels import davis_palette, read_label
from utils.stage3 import presets
from utils.stage3.pipeline import Pipeline
from utils.stage3.settings import FineTuning, Preset, Window
from utils.training.weights import save_weights

HEIGHT, WIDTH = 48, 64
NUM_FRAMES = 6
# Frames are larger than what the network sees, so that masks have to come back to full size.
TINY = Preset(
    FineTuning(
        steps=8,
        crop=(32, 40),
        head_learning_rate=0.1,
        backbone_learning_rate=0.1,
        steps_per_epoch=2,
    ),
    lines=36,
    company=None,  # an untrained network takes anything for an animal
    window=Window(pixels=2_500),
)


def tiny_network(head: str = "deeplab") -> keras.Model:
    image = keras.Input((None, None, 3), name="images")
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="normalise")(image)
    for name in ("block1_conv", "block4_conv"):
        x = layers.Conv2D(8, 3, padding="same", activation="relu", name=name)(x)
    x = layers.Activation("relu", name=BACKBONE.output_layers[BACKBONE.last_block])(x)
    outputs = {"mask": layers.Conv2D(1, 1, name="mask_logits")(x)}
    if head == "xfcn":
        outputs["side2"] = layers.Conv2D(1, 1, name="side2_logits")(x)
    return keras.Model(image, outputs, name=f"xception_{head}")


def save_tiny_weights(folder: Path) -> Path:
    """Weights of every head; returns the file of the default one."""
    keras.utils.set_random_seed(7)
    for head in HEADS:
        facts = {"stage": "objectness", "head": head}
        save_weights(tiny_network(head), folder / f"{head}.safetensors", facts)
    return folder / "deeplab.safetensors"


def animal(index: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[14:34, 6 + 4 * index : 26 + 4 * index] = 1
    return mask


def frame(index: int) -> np.ndarray:
    rng = np.random.default_rng(index)
    image = rng.integers(60, 90, (HEIGHT, WIDTH, 3)).astype("uint8")
    image[animal(index) == 1] = (230, 60, 40)
    return image


def two_animals(index: int) -> np.ndarray:
    mask = animal(index)
    mask[34:46, 34 - 4 * index : 58 - 4 * index] = 2  # touches the other one
    return mask


def frame_of_two(index: int) -> np.ndarray:
    image = frame(index)
    image[two_animals(index) == 2] = (40, 80, 220)
    return image


def as_palette(label: np.ndarray) -> Image.Image:
    image = Image.fromarray(label)
    image.putpalette(davis_palette().tobytes())
    return image


class RedoneError(Exception):
    """Raised where a video's segmentation would begin."""


class World:
    """A data set below `root`, filled video by video, and a results folder."""

    def __init__(self, root: Path, weights: Path):
        self.root, self.weights = root, weights
        self.dataset, self.results = root / "dataset", root / "results"

    def add(self, name="hen", frames=NUM_FRAMES, labelled=(2,)):
        for index in range(frames):
            self.write_frame(name, f"{index:05d}.png", frame(index))
        for index in labelled:
            self.write_label(name, index)
        return self

    def add_two(self, name="pair", frames=NUM_FRAMES, labelled=(2,)):
        """Two animals in each frame, in colours of their own, that move in opposite directions."""
        for index in range(frames):
            self.write_frame(name, f"{index:05d}.png", frame_of_two(index))
        for index in labelled:
            self.write_label(name, index, as_palette(two_animals(index)))
        return self

    def write_frame(self, name, file, image):
        path = self.frames(name) / file
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)

    def write_label(self, name, index, image=None):
        path = self.annotation(name, index)
        path.parent.mkdir(parents=True, exist_ok=True)
        if image is None:
            image = animal(index) * np.uint8(255)
        (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(path)
        return path

    def frames(self, name="hen"):
        return self.dataset / "JPEGImages" / "480p" / name

    def annotation(self, name="hen", index=2):
        return self.dataset / "Annotations" / "480p" / name / f"{index:05d}.png"

    def config(self, **flags):
        # Not measured anew in each run.
        flags = {"dataset": self.dataset, "preset": "fast", "precision": "float32", **flags}
        if "video" in flags:
            flags.pop("dataset")
        return Config(**{"results": self.results, "weights": self.weights, **flags})

    def run(self, **flags):
        return main(self.config(**flags))

    def run_cut_off(self, module, function: str, calls: int = 0, **flags):
        """A run that is interrupted where it calls a function of a module, after `calls` calls."""
        real, made = getattr(module, function), []

        def cut_off(*arguments, **options):
            if len(made) >= calls:
                raise KeyboardInterrupt
            made.append(1)
            return real(*arguments, **options)

        with pytest.MonkeyPatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(module, function, cut_off)
            self.run(**flags)

    def run_cut_off_in_training(self, of=""):
        """A run that is interrupted in its third epoch with a title that contains `of`."""

        def progress(title, steps, done):
            def on_epoch_begin(epoch, logs):
                if epoch == 2 and of in title:
                    raise KeyboardInterrupt

            return [keras.callbacks.LambdaCallback(on_epoch_begin=on_epoch_begin)]

        with pytest.MonkeyPatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(console, "training_progress", progress)
            self.run()

    def mask_paths(self, name="hen"):
        return sorted((self.results / "segmentation" / name).glob("*"))

    def masks(self, name="hen"):
        return np.stack([read_label(path).values for path in self.mask_paths(name)])

    def record(self, name="hen"):
        return json.loads((self.results / "runs" / name / "run.json").read_text("utf-8"))

    def listing(self):
        return {path: path.lstat().st_mtime_ns for path in self.root.rglob("*")}


def note_whole_frames(monkeypatch) -> dict[int, bool]:
    """Filled by the runs that follow: frame -> whether it is seen outside of the window as well."""
    whole, look = {}, Pipeline._look

    def look_and_note(self, animal, frame, is_whole):
        whole[frame.index] = is_whole
        return look(self, animal, frame, is_whole)

    monkeypatch.setattr(Pipeline, "_look", look_and_note)
    return whole


@contextlib.contextmanager
def small_stage3_in(folder: Path):
    """A tiny network and preset; no labels or weights of this checkout."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finetune_test, "build_model", tiny_network)
        for name in ("default", "fast"):
            steps = FineTuning(**{**vars(TINY.fine_tuning), "steps": 8 if name == "fast" else 6})
            patch.setitem(presets.PRESETS, name, Preset(**{**vars(TINY), "fine_tuning": steps}))
        patch.setattr(paths, "LABELS", folder / "labels")
        patch.setattr(paths, "DATASETS", folder / "datasets")  # of selections, for videos
        patch.setattr(paths, "FINE_TUNE_WEIGHTS", folder / "fine_tune_weights")
        yield
