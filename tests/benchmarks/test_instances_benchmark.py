"""PQ of components and of the instance head on generated data."""

import re

import numpy as np
import pytest
from PIL import Image

from benchmarks import instances
from tests.bright_hen import picture
from utils import paths
from utils.errors import InputError
from utils.media.labels import davis_palette
from utils.stage3.animal_grouping import InstanceMaps

SIZE = (96, 120)


def two_animals() -> np.ndarray:
    """Two of 40 x 40 pixels that touch, and a crumb."""
    animals = np.zeros(SIZE, np.uint8)
    animals[20:60, 20:60], animals[20:60, 60:100] = 1, 2
    return animals


@pytest.fixture
def dataset(tmp_path):
    for folder in ("JPEGImages", "Instances"):
        (tmp_path / folder).mkdir()
    for name in "ab":
        Image.fromarray(picture(0, *SIZE)).save(tmp_path / f"JPEGImages/{name}.png")
        image = Image.fromarray(two_animals(), "P")
        image.putpalette(davis_palette().tobytes())
        image.save(tmp_path / f"Instances/{name}.png")
    (tmp_path / "list.txt").write_text(
        "".join(f"JPEGImages/{name}.png Annotations/{name}.png\n" for name in "ab")
    )
    return tmp_path


def look(image: np.ndarray) -> InstanceMaps:
    """Both animals, each with its centre, and a crumb that is no animal."""
    rows, columns = np.indices((24, 30)) * 4
    mask = (two_animals() > 0).astype(np.float32)
    mask[90:93, 3:6] = 1
    centre = np.zeros(rows.shape, np.float32)
    centre[10, 10] = centre[10, 20] = 0.9
    offset = np.stack([np.where(columns < 60, 40, 80) - columns, 40 - rows], axis=-1)
    return InstanceMaps(mask, centre, offset.astype(np.float32), 4)


def test_the_head_finds_two_where_components_find_one(dataset, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(instances, "load_networks", lambda *_: look)
    config = instances.Config(
        dataset,
        dataset / "list.txt",
        sheet=tmp_path / "sheet.png",
        json=tmp_path / "numbers.json",
    )
    qualities = instances.main(config)
    assert qualities["components"].pq == 0  # IoU .5 with either
    assert qualities["components"].bias == -1
    assert qualities["head"].pq > 0.9 and qualities["head"].count_error == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert re.fullmatch(r"PQ 9\d\.\d components 0\.0 gain \+9\d\.\d|PQ 100\.0 .*", last)
    assert (tmp_path / "numbers.json").is_file()
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (3 * 260, 2 * 200)


def test_missing_weights_of_the_head_are_named(dataset, tmp_path, monkeypatch):
    weights = paths.PROMPTED_WEIGHTS / "deeplab.safetensors"
    monkeypatch.setattr(paths, "PROMPTED_WEIGHTS", tmp_path)
    config = instances.Config(dataset, dataset / "list.txt", weights=weights)
    with pytest.raises(InputError, match="--instances"):
        instances.main(config)
