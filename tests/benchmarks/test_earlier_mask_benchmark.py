"""The benchmark of earlier masks: which animals are asked for, and what its numbers mean."""

import numpy as np
import pytest
from PIL import Image

from benchmarks import earlier_mask
from benchmarks.earlier_mask import Config, Crop, is_on_another, measure, numbers_beside
from utils.errors import InputError, UsageError
from utils.media.labels import davis_palette
from utils.training.animals import UNNUMBERED
from utils.training.simulated_prompts import PROMPTING, move_mask

SIZE = (96, 160)


def animals_at(*lefts: int) -> np.ndarray:
    """Squares of 30 pixels side by side, by number."""
    animals = np.zeros(SIZE, np.uint8)
    for number, left in enumerate(lefts, start=1):
        animals[30:60, left : left + 30] = number
    return animals


class Parrot:
    """Answers with the mask of the prompt; without one, with all animals."""

    def __init__(self):
        self.prompts = []

    def look(self, image):
        return image

    def probability(self, maps, prompt):
        self.prompts.append(prompt)
        mask = prompt[..., 2]
        return (mask if mask.any() else maps[..., 0] > 100).astype("float32")


@pytest.fixture
def dataset(tmp_path):
    """Three images: two animals side by side, two far apart, one."""
    for folder in ("JPEGImages", "Instances"):
        (tmp_path / folder).mkdir()
    for name, lefts in (("hen_1", (20, 55)), ("hen_2", (5, 120)), ("hen_3", (60,))):
        animals = animals_at(*lefts)
        image = (
            np.random.default_rng(0).integers(0, 90, (*SIZE, 3)) + 100 * (animals > 0)[..., None]
        )
        Image.fromarray(image.astype("uint8")).save(tmp_path / f"JPEGImages/{name}.png")
        numbered = Image.fromarray(animals, "P")
        numbered.putpalette(davis_palette().tobytes())
        numbered.save(tmp_path / f"Instances/{name}.png")
        (tmp_path / "Annotations").mkdir(exist_ok=True)
        Image.fromarray((animals > 0).astype("uint8") * np.uint8(255)).save(
            tmp_path / f"Annotations/{name}.png"
        )
    return tmp_path


def test_animals_are_asked_for_where_another_one_is_near():
    assert numbers_beside(animals_at(20, 55)) == (1, 2)
    assert numbers_beside(animals_at(5, 120)) == ()
    assert numbers_beside(animals_at(60)) == ()


def test_a_network_that_repeats_the_prompt_gains_nothing(dataset, monkeypatch, capsys):
    parrot = Parrot()
    monkeypatch.setattr(earlier_mask, "load_network", lambda weights: parrot)
    config = Config(dataset, composites=20, json=dataset / "numbers.json", rounds=1)
    means = earlier_mask.main(config)
    assert means["images"]["crops"] == 2 and means["images"]["left out"] == 0
    assert means["composites"]["crops"] + means["composites"]["left out"] == 20
    for mean in means.values():
        assert mean["gain"] == 0 and mean["IoU"] == mean["IoU of the prompt"]
        assert 0 < mean["IoU"] < 0.6 and mean["on another"] == 0
        assert mean["IoU, no prompt"] <= 0.7
    out = capsys.readouterr().out
    assert "IoU, others known" in out and "backbone once" in out and "8 animals" in out
    others = [prompt[..., 3].any() for prompt in parrot.prompts]
    assert any(others) and not all(others)
    assert earlier_mask.main(config) == means


def test_the_window_is_that_of_stage_3_around_the_mask(dataset, monkeypatch):
    parrot = Parrot()
    monkeypatch.setattr(earlier_mask, "load_network", lambda weights: parrot)
    means = earlier_mask.main(Config(dataset, composites=0, rounds=0, view="window"))
    assert means["images"]["gain"] == pytest.approx(0, abs=0.05)
    assert {prompt.shape[:2] for prompt in parrot.prompts} == {SIZE, (320, 320)}


def test_a_mask_more_on_another_animal_is_said_to_be_on_it():
    animals = animals_at(20, 55)
    assert not is_on_another(animals > 0, animals, 1)
    animals[30:60, 55:57] = 0
    assert is_on_another(animals > 0, animals, 2) and not is_on_another(animals == 2, animals, 2)
    animals[animals == 1] = UNNUMBERED
    assert is_on_another(animals > 0, animals, 2)
    assert not is_on_another(np.zeros(SIZE, bool), animals, 2)


def test_an_animal_that_cannot_be_moved_without_ambiguity_is_left_out(monkeypatch):
    animals = animals_at(20, 50)
    monkeypatch.setattr(earlier_mask, "move_mask", lambda *_: None)
    crop = Crop("images", "hen", np.zeros((*SIZE, 3), "uint8"), animals, (1, 2))
    rows = list(measure(Parrot(), crop, Config()))
    assert [sorted(row) for row in rows] == [["kind", "name"]] * 2
    assert earlier_mask.summarise(rows)["left out"] == 2


def test_a_mask_is_not_moved_onto_another_animal():
    animals = np.full(SIZE, 2, np.uint8)
    animals[40:44, 40:44] = 1  # whatever its place, more of it is on the other one
    for seed in range(20):
        rng = np.random.default_rng(seed)
        moved = move_mask(animals == 1, animals, 1, PROMPTING, rng)
        assert moved is None or (animals[moved] == 1).sum() > (animals[moved] == 2).sum()


def test_wrong_arguments_and_data_without_animals_are_one_line(dataset, tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="--shift"):
        earlier_mask.main(Config(dataset, shift=(1.0, 0.3)))
    monkeypatch.setattr(earlier_mask, "load_network", lambda weights: Parrot())
    with pytest.raises(InputError, match="found neither"):
        list_path = tmp_path / "list.txt"
        list_path.write_text("JPEGImages/hen_2.png Annotations/hen_2.png\n")
        earlier_mask.main(Config(dataset, list=list_path, composites=0))
