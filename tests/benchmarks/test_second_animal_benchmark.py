"""The benchmark that sets a second animal beside the first."""

import numpy as np

from benchmarks import second_animal, stage3_runs
from benchmarks.second_animal import add_second_animal
from tests.stage3_world import NUM_FRAMES, tiny_network
from utils.media.images import read_image
from utils.media.labels import read_label

SIZE = (60, 120)


def make_scene(count=9):
    """A red block that walks to the right over grey."""
    images, masks = [], []
    for index in range(count):
        mask = np.zeros(SIZE, bool)
        mask[20:40, 10 + index : 30 + index] = True
        image = np.full((*SIZE, 3), 128, "uint8")
        image[mask] = (200, 0, 0)
        images.append(image)
        masks.append(mask)
    return images, masks


def red(image):
    return (image[..., 0].astype(int) - image[..., 1]) > 100


def test_the_second_animal_walks_from_start_to_end_behind_the_first():
    images, masks = make_scene()
    result = add_second_animal(images, masks, (0.5, 0.0), (0.0, 0.0), scale=0.5)
    for index, (image, mask) in enumerate(zip(result, masks, strict=True)):
        inside = np.zeros_like(mask)
        inside[22:38, 12 + index : 28 + index] = True
        np.testing.assert_array_equal(image[inside], images[index][inside])
        second = red(image) & ~mask
        if index == 0:  # 60 px from the first one's centre, half as large
            y, x = np.nonzero(second)
            assert abs(x.mean() - (19.5 + 60)) < 1 and abs(y.mean() - 29.5) < 1
            assert abs(second.sum() - 100) < 25
    assert not (red(result[-1]) & ~masks[-1]).any()  # hidden at the end


def test_the_second_animal_is_another_moment_of_the_first_mirrored():
    images, masks = make_scene()
    for index, image in enumerate(images):
        image[:, :] = np.where(masks[index][..., None], (200, 0, 10 * index), 128)
        image[20:40, 25 + index : 30 + index, 2] = 255  # its head, on the right
    result = add_second_animal(images, masks, (0.5, 0.0), (0.5, 0.0), scale=1.0)
    for index, image in enumerate(result):
        blue = image[30, 10 + index + 60 : 30 + index + 60, 2]
        later = min(index + 3, 16 - index - 3)
        assert (blue[1:4] > 240).all() and (blue[7:18] == 10 * later).all()


def test_the_benchmark_scores_against_the_first_animal(world, monkeypatch, capsys):
    world.add(labelled=range(NUM_FRAMES))
    monkeypatch.setattr(stage3_runs, "build_model", tiny_network)
    monkeypatch.setattr(stage3_runs, "find_weights", lambda *_, **__: (world.weights, "test"))
    results = world.root / "second"
    config = second_animal.Config(dataset=world.dataset, preset="fast", results=results)
    second_animal.main(config)
    assert "hen with a second animal: J" in capsys.readouterr().out
    for index in (0, NUM_FRAMES - 1):
        name = f"{index:05d}"
        before = read_label(world.dataset / f"Annotations/480p/hen/{name}.png").values
        after = read_label(results / f"data/Annotations/480p/hen/{name}.png").values
        np.testing.assert_array_equal(after, before)
        first = read_image(results / f"data/JPEGImages/480p/hen/{name}.jpg")
        assert first.shape[:2] == before.shape
