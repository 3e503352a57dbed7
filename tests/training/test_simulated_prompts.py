"""Samples of the prompted network: animals by number, composites, prompts, crops that repeat."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from models.click_training import MAX_ROUNDS
from utils.media.labels import VOID, davis_palette
from utils.training import prompted_batches
from utils.training.animals import (
    UNNUMBERED,
    AnimalSample,
    number_pieces,
    numbers_in,
    read_animal_list,
)
from utils.training.augmentation import AUGMENTATIONS, Augmentation
from utils.training.clicks import make_prompt, next_click
from utils.training.composites import compose, visible_numbers
from utils.training.prompted_batches import PromptedBatches
from utils.training.simulated_prompts import (
    PROMPTING,
    Prompting,
    body_length,
    draw_clicks,
    earlier_mask,
    simulate_prompt,
    target_of,
)

SIZE = 96


def square(top, left, side, size=SIZE) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    mask[top : top + side, left : left + side] = True
    return mask


@pytest.fixture
def herd(tmp_path) -> Path:
    """A data set: two images with numbered animals, one with a mask of one piece, one of two."""
    rng = np.random.default_rng(0)
    for folder in ("JPEGImages", "Annotations", "Instances"):
        (tmp_path / folder).mkdir()
    two = square(10, 10, 30) + 2 * square(10, 45, 30).astype("uint8")
    masks = {"cats_1": two, "cats_2": two.T, "dogs_1": square(20, 20, 40), "pigpen_1": two > 0}
    for name, numbers in masks.items():
        image = rng.integers(0, 90, (SIZE, SIZE, 3)) + 60 * numbers.astype(int)[..., None]
        Image.fromarray(image.astype("uint8")).save(tmp_path / f"JPEGImages/{name}.jpg")
        merged = Image.fromarray(np.where(numbers > 0, 255, 0).astype("uint8"))
        merged.save(tmp_path / f"Annotations/{name}.png")
        if name.startswith("cats"):
            numbered = Image.fromarray(numbers.astype("uint8"), "P")
            numbered.putpalette(davis_palette().tobytes())
            numbered.save(tmp_path / f"Instances/{name}.png")
    lines = [f"JPEGImages/{name}.jpg Annotations/{name}.png" for name in masks]
    (tmp_path / "list.txt").write_text("\n".join(lines))
    return tmp_path


def samples_of(herd, exclude=()) -> list[AnimalSample]:
    return read_animal_list(herd / "list.txt", herd, exclude)


# Animals


def test_numbered_animals_are_read_where_there_are_any(herd):
    cats, _, dog, pigs = (sample.read() for sample in samples_of(herd))
    assert cats.numbers == [1, 2] and cats.are_single
    assert dog.numbers == [1] and dog.are_single
    assert pigs.numbers == [1, 2] and not pigs.are_single
    assert dog.cut_out(1) is not None and pigs.cut_out(1) is None
    cut_out = cats.cut_out(2)
    assert (cut_out.target == 1).sum() == 900 and cut_out.image.shape[:2] == cut_out.target.shape


def test_a_herd_of_many_animals_is_read(herd):
    rows, columns = np.mgrid[:SIZE, :SIZE] // 12
    numbers = (1 + rows * 8 + columns).astype("uint8")  # 64 animals side by side
    Image.fromarray(numbers).save(herd / "Instances/cats_1.png")
    read = samples_of(herd)[0].read()
    assert read.numbers == list(range(1, 65))
    np.testing.assert_array_equal(read.animals, numbers)


def test_excluded_images_are_left_out(herd):
    names = [sample.image_path.stem for sample in samples_of(herd, ("pigpen_",))]
    assert names == ["cats_1", "cats_2", "dogs_1"]
    assert not samples_of(herd, ("JPEG",))


def test_a_list_may_name_files_by_absolute_paths(herd, monkeypatch):
    text = (herd / "list.txt").read_text()
    for folder in ("JPEGImages", "Annotations"):
        text = text.replace(folder, f"{herd}/{folder}")
    (herd / "list.txt").write_text(text)

    def count(dataset, *exclude):
        return len(read_animal_list(herd / "list.txt", dataset, exclude))

    assert count(herd, "pigpen_") == 3
    assert count(herd, herd.name) == 4  # names above the data set do not count
    outside = herd / "Annotations"
    assert count(outside, "pigpen_") == 3 and count(outside, herd.name) == 0
    monkeypatch.chdir(herd.parent)
    assert count(Path(herd.name), herd.name) == 4


def test_small_pieces_may_belong_to_any_animal():
    label = 7 * (square(0, 0, 30) | square(50, 0, 25) | square(50, 50, 6)).astype("uint8")
    label[90:] = VOID
    animals, is_single = number_pieces(label)
    assert not is_single
    assert animals[0, 0] == 1 and animals[50, 0] == 2 and animals[50, 50] == UNNUMBERED
    one = target_of(animals, 1)
    assert one[0, 0] == 1 and one[50, 0] == 0 and one[50, 50] == VOID and one[95, 0] == VOID
    everything = target_of(animals, None)
    assert everything[50, 50] == 1 and everything[95, 0] == VOID


# Composites


def test_a_rider_is_background_and_rims_are_void(tmp_path):
    gray = np.zeros((SIZE, SIZE), "uint8")
    gray[10:70, 5:45] = gray[:60, 50:96] = 128  # the horse's rim, a rider up to the image's edge
    gray[15:65, 10:40] = 255
    Image.fromarray(gray).save(tmp_path / "a.png")
    Image.fromarray(np.zeros((SIZE, SIZE, 3), "uint8")).save(tmp_path / "a.jpg")
    read = AnimalSample(tmp_path / "a.jpg", tmp_path / "a.png").read()
    assert read.numbers == [1] and read.are_single
    assert (read.animals[15:65, 10:40] == 1).all()
    assert (read.animals[10:15, 5:45] == VOID).all()
    assert (read.animals[:50, 60:] == 0).all()  # the edge is no outline
    assert (read.animals[58, 50:] == VOID).all()


def test_pasted_animals_touch_and_hide_each_other_in_every_degree(herd):
    numbered = samples_of(herd)[0].read()
    cut_outs = [numbered.cut_out(1)] * 3 + [numbered.cut_out(2)]
    still = Augmentation(flip=0.5)
    hidden, touching = [], 0
    for seed in range(40):
        photo, animals = np.full((SIZE, SIZE, 3), 30, "uint8"), np.zeros((SIZE, SIZE), "uint8")
        animals[:5, :5] = 3
        image, composed = compose(photo, animals, cut_outs, still, np.random.default_rng(seed))
        assert set(np.unique(composed)) <= {0, 1, 2, 3, 4, 5, VOID}
        areas = [np.count_nonzero(composed == number) for number in range(1, 5)]
        hidden.append(1 - min(areas) / max(areas))
        edges = cv2.dilate((composed == 1).astype("uint8"), np.ones((5, 5))) > 0
        touching += bool(np.isin(composed[edges], (2, 3, 4)).any())
        assert (image[composed == 0] == 30).mean() > 0.8
    assert min(hidden) < 0.35 < 0.5 < max(hidden)
    assert 15 <= touching


def test_the_numbers_of_large_animals_are_visible():
    animals = square(10, 10, 30) + 2 * square(60, 60, 2).astype("uint8")
    assert visible_numbers(animals) == [1]


# Prompts


def test_a_prompt_has_a_channel_for_each_mark():
    prompt = make_prompt(
        (SIZE, SIZE), [(20.5, 30.5, True), (22.5, 30.5, False)], square(0, 0, 9), square(50, 0, 9)
    )
    assert prompt[30, 16].tolist() == [1, 0, 0, 0] and prompt[30, 20].tolist() == [0, 1, 0, 0]
    assert prompt[..., 2].sum() == prompt[..., 3].sum() == 81


def test_the_next_click_is_in_the_middle_of_the_largest_error():
    click = next_click(square(10, 20, 31), square(60, 60, 21))
    assert (click.x, click.y, click.is_positive, click.radius) == (35.5, 25.5, True, 16)
    click = next_click(square(0, 0, 11), square(60, 60, 21))
    assert (click.x, click.y, click.is_positive) == (70.5, 70.5, False)
    assert next_click(square(0, 0, 0), square(0, 0, 0)) is None
    clicked = square(0, 0, SIZE)
    assert next_click(square(10, 20, 31), square(0, 0, 0), clicked) is None
    # The image ends there: the middle is not on its border.
    click = next_click(square(0, 0, 21), square(0, 0, 0))
    assert (click.x, click.y) == (10.5, 10.5)


ANIMALS = square(20, 10, 30) + 2 * square(20, 45, 30).astype("uint8")


def overlap(one, other) -> float:
    return np.count_nonzero(one & other) / np.count_nonzero(one | other)


def test_an_earlier_mask_is_moved_up_to_a_body_length_but_not_onto_another_animal():
    moves = []
    for seed in range(200):
        mask = earlier_mask(ANIMALS, 1, PROMPTING, np.random.default_rng(seed))
        assert mask.any()
        assert np.count_nonzero(mask & (ANIMALS == 1)) >= np.count_nonzero(mask & (ANIMALS == 2))
        moves.append(np.argwhere(mask).mean(0) - np.argwhere(ANIMALS == 1).mean(0))
    distances = np.hypot(*np.transpose(moves)) / body_length(ANIMALS == 1)
    assert distances.min() < 0.15 and 0.6 < distances.max() < 1.1


@pytest.mark.parametrize("damage", ["bleeding", "cut"])
def test_damage_reaches_into_the_neighbour_or_leaves_parts_out(damage):
    still = {"shift": (0.0, 0.0), "turn_degrees": 0, "growth": 0, "box": 0, "bleeding": 0, "cut": 0}
    prompting = Prompting(**still | {damage: 1})
    for seed in range(20):
        mask = earlier_mask(ANIMALS, 1, prompting, np.random.default_rng(seed))
        of_neighbour = (mask & (ANIMALS == 2)).sum() / 900
        missing = 1 - (mask & (ANIMALS == 1)).sum() / 900
        if damage == "bleeding":
            assert 0.05 < of_neighbour < 0.45 and missing == 0
            assert mask[30, 45] and not mask[30, 74]  # the near side of it
        else:
            assert of_neighbour == 0 and 0.05 < missing < 0.55


def test_clicks_are_on_what_they_say():
    own, numbers = ANIMALS == 1, set()
    for seed in range(50):
        clicks = draw_clicks(own, ANIMALS, PROMPTING, np.random.default_rng(seed))
        for x, y, is_positive in clicks:
            assert own[int(y), int(x)] == is_positive
        first_x, first_y, is_positive = clicks[0]
        assert is_positive and 17 < first_x < 33 and 27 < first_y < 43  # near the middle
        numbers.add(len(clicks))
    assert min(numbers) == 1 and max(numbers) > 2


def test_a_prompt_has_clicks_or_a_mask():
    kinds = set()
    for seed in range(60):
        rng = np.random.default_rng(seed)
        prompt, has_clicks = simulate_prompt(ANIMALS, 1, PROMPTING, rng)
        assert has_clicks == prompt[..., :2].any()
        kinds.add((has_clicks, bool(prompt[..., 2].any()), bool(prompt[..., 3].any())))
    assert {kind[:2] for kind in kinds} == {(True, False), (False, True), (True, True)}
    assert {kind[2] for kind in kinds} == {True, False}


# Crops


def batches(samples, first_batch=0, **options) -> PromptedBatches:
    return PromptedBatches(
        samples, (64, 72), 4, 3, AUGMENTATIONS["prompted"], 5, prompting=PROMPTING,
        first_batch=first_batch, **options,
    )  # fmt: skip


def test_a_crop_depends_on_the_seed_and_its_number_alone(herd):
    samples = samples_of(herd)
    whole, rest = batches(samples), batches(samples, first_batch=2)
    for index in (1, 0):  # in any order
        one, two = whole[2 + index], rest[index]
        for name, values in one[0].items():
            np.testing.assert_array_equal(values, two[0][name])
        np.testing.assert_array_equal(one[1]["mask"], two[1]["mask"])


def test_batches_are_as_the_model_wants_them(herd):
    inputs, targets = batches(samples_of(herd))[0]
    shapes = {name: (values.shape, str(values.dtype)) for name, values in inputs.items()}
    assert shapes == {
        "images": ((3, 64, 72, 3), "uint8"),
        "prompt": ((3, 64, 72, 4), "uint8"),
        "target": ((3, 64, 72, 1), "uint8"),
        "draws": ((3, MAX_ROUNDS), "float32"),
    }
    np.testing.assert_array_equal(targets["mask"], inputs["target"])


def test_three_in_ten_crops_have_no_prompt_and_rounds_vary(herd):
    loader = batches(samples_of(herd))
    empty, rounds = 0, set()
    for index in range(100):
        inputs, _ = loader[index]
        empty += sum(not prompt.any() for prompt in inputs["prompt"])
        rounds.add(int((inputs["draws"] >= 0).sum(axis=1).max()))
        is_clicked = inputs["prompt"][..., :2].any(axis=(1, 2, 3))
        assert not (inputs["draws"][~is_clicked] >= 0).any()
    assert 60 < empty < 125
    assert rounds == set(range(MAX_ROUNDS + 1))


def test_each_animal_of_an_image_has_its_turn(herd):
    only_photos = Prompting(empty=0.0, composite=0.0, mask=0.0)
    still = Augmentation(flip=0.0, object_centred=0.0)
    loader = PromptedBatches(
        samples_of(herd)[:1], (SIZE, SIZE), 4, 1, still, 0, prompting=only_photos
    )  # fmt: skip
    targets = [loader.prompted_crop(k)[1] == 1 for k in range(4)]
    assert overlap(targets[0], square(10, 10, 30)) > 0.95
    assert overlap(targets[1], square(10, 45, 30)) > 0.95
    np.testing.assert_array_equal(targets[0], targets[2])


def test_the_turns_of_images_do_not_all_begin_with_the_first_animal(herd):
    """The first one mostly is the largest, and a short training hardly asked for any other."""
    loader = batches(samples_of(herd)[:2] * 10, workers=1)
    loader.prompting = Prompting(empty=0.0, composite=0.0)
    rng = np.random.default_rng(0)
    asked = [loader._draw_animals(k, rng)[2] for k in range(20)]  # once through all images
    assert asked.count(1) == asked.count(2) == 10


def test_the_animals_of_the_photo_under_a_composite_are_told_apart(herd):
    """They had one number, and a prompt for one of them asked for all."""
    loader = batches(samples_of(herd)[:2])
    loader.prompting = Prompting(empty=0.0, composite=1.0)
    counts = []
    for k in range(40):
        pasted, compose = [], prompted_batches.compose
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                prompted_batches,
                "compose",
                lambda photo, animals, cut_outs, *others, real=compose, pasted=pasted: (
                    pasted.append(len(cut_outs)) or real(photo, animals, cut_outs, *others)
                ),
            )
            animals = loader._draw_animals(k, np.random.default_rng(k))[1]
        counts.append(len([n for n in numbers_in(animals) if n > pasted[0]]))
    assert max(counts) == 2


def test_the_occluder_is_not_the_photo_that_lies_behind(herd, monkeypatch):
    behind, in_front = [], []
    loader = PromptedBatches(
        samples_of(herd) * 20, (64, 72), 4, 1, Augmentation(occlude=1.0), 0,
        prompting=Prompting(empty=0.0, composite=1.0),
    )  # fmt: skip
    crop = loader._crop
    monkeypatch.setattr(
        loader, "_crop", lambda photo, *others: behind.append(photo.image) or crop(photo, *others)
    )

    def put_in_front(image, animals, other, *_):
        in_front.append(other)
        return image, animals

    monkeypatch.setattr(prompted_batches, "occlude", put_in_front)
    for k in range(20):
        loader.prompted_crop(k)
    same = [np.array_equal(a, b) for a, b in zip(behind, in_front, strict=True)]
    assert len(same) == 20 and not all(same)
