"""The benchmark that makes videos of labelled photographs."""

import cv2
import numpy as np
import pytest

from benchmarks import still_videos
from benchmarks.still_videos import Config, main, make_video, shows_one_whole_animal
from utils.errors import InputError, UsageError
from utils.media.images import read_image
from utils.media.labels import VOID, read_label

SIZE = (120, 160)


def photograph():
    """A red ellipse with a rim of void on structured grey."""
    label = np.zeros(SIZE, "uint8")
    cv2.ellipse(label, (60, 60), (32, 20), 0, 0, 360, VOID, -1)
    cv2.ellipse(label, (60, 60), (30, 18), 0, 0, 360, 1, -1)
    grey = np.random.default_rng(0).integers(90, 150, SIZE, "uint8")
    image = np.repeat(cv2.GaussianBlur(grey, (5, 5), 0)[..., None], 3, 2)
    image[label == 1] = (200, 20, 20)
    return image, label


def write_dataset(folder, labels):
    image, _ = photograph()
    for kind in ("JPEGImages", "Annotations"):
        (folder / kind).mkdir(parents=True)
    lines = []
    for index, label in enumerate(labels):
        names = f"JPEGImages/{index}.png", f"Annotations/{index}.png"
        cv2.imwrite(str(folder / names[0]), image[..., ::-1])
        grey = np.select([label == 1, label == VOID], [255, 128]).astype("uint8")
        cv2.imwrite(str(folder / names[1]), grey)
        lines.append(" ".join(names))
    (folder / "list.txt").write_text("\n".join(lines), "utf-8")


def red(frame):
    return frame[..., 0].astype(int) > frame[..., 1] + frame[..., 2].astype(int)


@pytest.mark.parametrize("seed", range(5))
def test_annotations_are_where_the_animal_is_seen(seed):
    frames = list(make_video(*photograph(), 12, np.random.default_rng(seed)))
    assert len(frames) == 12
    for frame, numbers in frames:
        assert frame.shape == (*SIZE, 3) and set(np.unique(numbers)) == {0, 1}
        outline = cv2.morphologyEx(numbers, cv2.MORPH_GRADIENT, np.ones((7, 7))) > 0
        np.testing.assert_array_equal(red(frame)[~outline], numbers[~outline] == 1)


def test_the_first_frame_shows_the_animal_where_it_was_and_the_last_ones_do_not():
    image, label = photograph()
    frames = list(make_video(image, label, 8, np.random.default_rng(1)))
    numbers = [numbers == 1 for _, numbers in frames]

    def overlap(a, b):
        return (a & b).sum() / (a | b).sum()

    assert overlap(numbers[0], label == 1) > 0.97
    assert overlap(numbers[-1], label == 1) < 0.6
    assert all(overlap(a, b) > 0.5 for a, b in zip(numbers, numbers[1:], strict=False))
    light = [frame[:10].mean() for frame, _ in frames]
    assert max(light[0] / light[-1], light[-1] / light[0]) > 1.2


def test_the_same_seed_makes_the_same_video():
    one, other = (list(make_video(*photograph(), 4, np.random.default_rng(2))) for _ in range(2))
    for (image, numbers), (other_image, other_numbers) in zip(one, other, strict=True):
        np.testing.assert_array_equal(image, other_image)
        np.testing.assert_array_equal(numbers, other_numbers)


def test_photographs_of_one_whole_animal_are_taken():
    _, label = photograph()
    assert shows_one_whole_animal(label)
    at_the_edge = np.roll(label, -28, axis=1)
    two = np.maximum(label, np.roll(label, 75, axis=1))
    small = np.zeros_like(label)
    small[50:60, 50:60] = 1
    large = np.zeros_like(label)
    large[10:-10, 10:-10] = 1
    numbered = np.where(label == 1, 2, label).astype("uint8")
    for other in (at_the_edge, two, small, large, numbered, np.zeros_like(label)):
        assert not shows_one_whole_animal(other)


def test_videos_are_written_in_the_layout_of_davis(tmp_path):
    _, label = photograph()
    write_dataset(tmp_path, [np.zeros_like(label), label, label])
    output = tmp_path / "videos"
    main(Config(tmp_path, tmp_path / "list.txt", videos=2, frames=3, output=output))
    names = sorted(path.name for path in (output / "JPEGImages" / "480p").iterdir())
    assert names == ["1", "2"]
    for name in names:
        images = sorted((output / "JPEGImages" / "480p" / name).iterdir())
        assert [path.name for path in images] == ["00000.jpg", "00001.jpg", "00002.jpg"]
        for path in images:
            numbers = read_label(output / "Annotations" / "480p" / name / f"{path.stem}.png").values
            outline = cv2.morphologyEx(numbers, cv2.MORPH_GRADIENT, np.ones((9, 9))) > 0
            agree = red(read_image(path)) == (numbers == 1)
            assert agree[~outline].mean() > 0.99


def test_too_few_photographs_are_an_error(tmp_path):
    _, label = photograph()
    write_dataset(tmp_path, [label])
    config = Config(tmp_path, tmp_path / "list.txt", videos=2, frames=2, output=tmp_path / "v")
    with pytest.raises(InputError, match="expected 2 images of one whole animal, found 1"):
        main(config)
    with pytest.raises(UsageError, match="--videos must be 1 or more"):
        still_videos.main(Config(tmp_path, tmp_path / "list.txt", videos=0))
