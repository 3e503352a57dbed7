"""Fixtures of the tests of stages 1 and 2. Keras is imported only where they are used."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

NUM_IMAGES = 6


@pytest.fixture
def small_stages(monkeypatch):
    """A tiny network and epochs of two batches."""
    from tests.training.stage_world import STAGES, tiny_network

    for script in STAGES.values():
        monkeypatch.setattr(script, "build_model", tiny_network)
        make = script.make_recipe

        def make_short(config, make=make):
            return replace(make(config), batches_per_epoch=2)

        monkeypatch.setattr(script, "make_recipe", make_short)


@pytest.fixture
def pairs(tmp_path) -> Path:
    """Bright discs on dark noise, a void ring around each, in the layout of stage 1."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "data"
    for kind in ("JPEGImages", "Annotations"):
        (folder / kind).mkdir(parents=True)
    lines = []
    y, x = np.mgrid[:48, :64]
    for number in range(NUM_IMAGES):
        distance = np.hypot(y - rng.integers(16, 32), x - rng.integers(16, 48))
        image = rng.integers(0, 60, (48, 64, 3)) + 150 * (distance < 12)[..., None]
        annotation = np.where(distance < 11, 255, np.where(distance < 13, 128, 0))
        Image.fromarray(image.astype("uint8")).save(folder / f"JPEGImages/{number}.jpg")
        Image.fromarray(annotation.astype("uint8")).save(folder / f"Annotations/{number}.png")
        lines.append(f"JPEGImages/{number}.jpg Annotations/{number}.png")
    (folder / "train.txt").write_text("\n".join(lines[:4]) + "\n")
    (folder / "val.txt").write_text("\n".join(lines[4:]) + "\n")
    return folder


@pytest.fixture
def stage_config(pairs, small_stages, tmp_path):
    """Makes the configuration of a short run: `stage_config(stage, steps=4, ...)`."""
    from tests.training.stage_world import STAGES, write_start

    def make(stage="pascal_base", **options):
        script = STAGES[stage]
        start = tmp_path / "start.safetensors"
        if not start.is_file():
            write_start(start, "pascal_base")
        defaults = {
            "dataset": pairs,
            "list": pairs / "train.txt",
            "validation_list": pairs / "val.txt",
            "weights": start,
            "output": tmp_path / "weights",
            "steps": 8,
            "batch_size": 2,
            "crop": 32,
            "frozen_blocks": 1,
            "validate_every": 2,
            "head_learning_rate": 0.03,
            "backbone_learning_rate": 0.03,
        }
        return script.Config(**defaults | options)

    return make


@pytest.fixture
def herds(tmp_path) -> Path:
    """Bright discs on dark noise: three images with a number per animal, two without."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "herds"
    for kind in ("JPEGImages", "Annotations", "Instances"):
        (folder / kind).mkdir(parents=True)
    both = ((30, 28), (66, 40))
    animals = {"wild_0": both, "cow_1": both, "cow_2": both[:1], "dog_3": both[:1], "two_4": both}
    y, x = np.mgrid[:72, :96]
    for name, places in animals.items():
        numbers = np.zeros((72, 96), "uint8")
        for number, (x0, y0) in enumerate(places, 1):
            numbers[np.hypot(y - y0, x - x0) < 15] = number
        image = rng.integers(0, 60, (72, 96, 3)) + 70 * numbers[..., None]
        Image.fromarray(image.astype("uint8")).save(folder / f"JPEGImages/{name}.jpg")
        mask = Image.fromarray((numbers > 0).astype("uint8") * 255)
        mask.save(folder / f"Annotations/{name}.png")
        if name.startswith(("wild", "cow")):
            Image.fromarray(numbers).save(folder / f"Instances/{name}.png")
    lines = {name: f"JPEGImages/{name}.jpg Annotations/{name}.png\n" for name in animals}
    (folder / "train.txt").write_text("".join(lines.values()))
    (folder / "singles.txt").write_text(lines["cow_2"] + lines["dog_3"])
    return folder
