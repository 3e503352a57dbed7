"""Frames, labels and masks on disk: DESIGN.md's label table row by row, and odd files."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from utils import files
from utils.errors import InputError
from utils.media import images

ANIMAL = np.zeros((6, 8), np.uint8)
ANIMAL[1:4, 2:5] = 1
VALUES = np.array([[0, 1, 2, 3]] * 3, np.uint8)  # one column each


def save(path: Path, array: np.ndarray, mode: str | None = None) -> Path:
    Image.fromarray(array).convert(mode).save(path)
    return path


def save_palette(path: Path, indices: np.ndarray, palette: bytes | None = None) -> Path:
    image = Image.fromarray(indices.astype(np.uint8))
    image.putpalette(palette or images.davis_palette().tobytes())
    image.save(path)
    return path


def noise(height: int = 40, width: int = 60) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


# Labels


@pytest.mark.parametrize("value", [1, 7, 128, 255])
def test_single_grey_value_is_the_animal(tmp_path, value):
    path = save(tmp_path / "label.png", ANIMAL * np.uint8(value))
    np.testing.assert_array_equal(images.read_annotation(path), ANIMAL)


@pytest.mark.parametrize("value", [1, 255, 256, 32768, 65535])
def test_single_16_bit_value_is_the_animal(tmp_path, value):
    path = tmp_path / "label.png"
    Image.fromarray(ANIMAL.astype(np.uint16) * np.uint16(value)).save(path)
    assert Image.open(path).mode.startswith("I")
    np.testing.assert_array_equal(images.read_annotation(path), ANIMAL)


@pytest.mark.parametrize("mode", ["1", "LA", "RGB", "RGBA"])
def test_black_and_white_in_any_mode(tmp_path, mode):
    path = save(tmp_path / "label.png", ANIMAL * np.uint8(255), mode)
    assert Image.open(path).mode == mode
    labels = images.read_annotation(path)
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, ANIMAL)


@pytest.mark.parametrize("scale", [1, 257])
def test_grey_128_is_void_beside_255(tmp_path, scale):
    values = np.array([[0, 128, 255]], np.uint8 if scale == 1 else np.uint16) * scale
    path = tmp_path / "label.png"
    Image.fromarray(values).save(path)
    assert images.read_annotation(path).tolist() == [[0, 255, 1]]


def test_grey_128_without_255_is_the_animal(tmp_path):
    path = save(tmp_path / "label.png", np.array([[0, 128]], np.uint8))
    assert images.read_annotation(path).tolist() == [[0, 1]]


@pytest.mark.parametrize(
    "values, expected",
    [
        ([0, 1, 2, 3], [0, 1, 2, 3]),
        ([0, 1, 3, 255], [0, 1, 2, 255]),
        ([0, 2, 255], [0, 1, 255]),
        ([0, 1, 255], [0, 1, 255]),
        ([0, 7], [0, 1]),
        ([0, 255], [0, 1]),
        ([0, 0], [0, 0]),
    ],
)
def test_small_values_are_animals_in_grey_and_palette(tmp_path, values, expected):
    array = np.array([values], np.uint8)
    for path in (save(tmp_path / "g.png", array), save_palette(tmp_path / "p.png", array)):
        assert images.read_annotation(path).tolist() == [expected], path


def test_palette_counts_by_index_not_colour(tmp_path):
    red = bytes([255, 0, 0])
    path = save_palette(tmp_path / "label.png", VALUES, bytes(3) + red * 255)
    np.testing.assert_array_equal(images.read_annotation(path), VALUES)


def test_palette_with_large_index(tmp_path):
    path = save_palette(tmp_path / "label.png", np.array([[0, 38, 75, 255]]))
    assert images.read_annotation(path).tolist() == [[0, 1, 2, 255]]


def test_grey_palette_is_read_as_grey(tmp_path):
    grey = np.repeat(np.arange(256, dtype=np.uint8), 3).tobytes()
    path = save_palette(tmp_path / "label.png", np.array([[0, 128, 255]]), grey)
    assert images.read_annotation(path).tolist() == [[0, 255, 1]]


def test_palette_with_white_background_first_is_refused(tmp_path):
    path = save_palette(tmp_path / "label.png", ANIMAL, bytes([255] * 3 + [0] * 3))
    with pytest.raises(InputError, match=r"label\.png.*index 0, the background, is not black"):
        images.read_annotation(path)


def test_colours_are_animals_in_the_order_of_the_davis_palette(tmp_path):
    colours = [(0, 0, 0), (10, 200, 30), (0, 128, 0), (128, 0, 0), (224, 224, 192), (9, 250, 0)]
    path = save(tmp_path / "label.png", np.array([colours], np.uint8))
    assert images.read_annotation(path).tolist() == [[0, 4, 2, 1, 255, 3]]


def test_white_animal_on_transparency(tmp_path):
    rgba = np.full((6, 8, 4), 255, np.uint8)
    rgba[..., 3] = ANIMAL * 255
    np.testing.assert_array_equal(
        images.read_annotation(save(tmp_path / "label.png", rgba)), ANIMAL
    )


def test_alpha_is_ignored_where_colours_differ(tmp_path):
    rgba = np.repeat(ANIMAL[..., None] * np.uint8(255), 4, axis=2)
    rgba[0, 0, 3] = 77
    np.testing.assert_array_equal(
        images.read_annotation(save(tmp_path / "label.png", rgba)), ANIMAL
    )


@pytest.mark.parametrize(
    "array",
    [
        noise(),
        noise()[..., 0],
        np.arange(256, dtype=np.uint8).reshape(16, 16),  # every grey: a photo, not 254 animals
        np.array([[0, 64, 128, 255]], np.uint8),  # anti-aliased
        np.array([[[255, 255, 255], [255, 0, 0]]], np.uint8),  # white background
    ],
)
def test_what_is_no_label_is_refused_by_name(tmp_path, array):
    path = save(tmp_path / "dog 1.png", array)
    with pytest.raises(InputError, match=r"dog 1\.png.*expected a label.*found.*as PNG"):
        images.read_annotation(path)


def test_soft_alpha_is_refused(tmp_path):
    rgba = np.full((1, 3, 4), 255, np.uint8)
    rgba[..., 3] = [0, 100, 255]
    with pytest.raises(InputError, match="alpha 0, 100, 255"):
        images.read_annotation(save(tmp_path / "label.png", rgba))


@pytest.mark.parametrize("animals", [ANIMAL * 255, VALUES * 8])
def test_lossy_jpeg_label_is_refused(tmp_path, animals):
    big = np.kron(animals, np.ones((5, 5), np.uint8))
    path = tmp_path / "label.jpg"
    Image.fromarray(big).save(path, quality=60)
    with pytest.raises(InputError, match="JPEG blurs labels"):
        images.read_annotation(path)


# Labels of one video

ROW = np.array([[0, 1, 2, 3]], np.uint8)


def colours(*rgb: tuple[int, int, int]) -> np.ndarray:
    return np.array([[(0, 0, 0), *rgb]], np.uint8)


def read_all(folder: Path, *arrays: np.ndarray | Image.Image) -> list[list[int]]:
    """Saves each (uint8 (1, n) as a palette image) and returns the labels as lists."""
    paths = [folder / f"{number}.png" for number in range(len(arrays))]
    for path, array in zip(paths, arrays, strict=True):
        if isinstance(array, Image.Image):
            array.save(path)
        else:
            (save_palette if array.ndim == 2 else save)(path, array)
    return [labels[0].tolist() for labels in images.read_annotations(paths)]


def test_an_animal_keeps_its_index_in_labels_that_show_others(tmp_path):
    found = read_all(tmp_path, ROW[:, :3], ROW[:, [0, 3]], ROW[:, [0, 2, 3]])
    assert found == [[0, 1, 2], [0, 3], [0, 2, 3]]


def test_grey_values_palette_indices_and_davis_colours_are_the_same_numbers(tmp_path):
    davis = images.davis_palette()
    grey = Image.fromarray(ROW[:, [0, 2]])
    found = read_all(tmp_path, ROW, grey, davis[[[0, 3, 1]]])
    assert found == [[0, 1, 2, 3], [0, 2], [0, 3, 1]]


def test_colours_of_ones_own_are_numbered_over_all_labels(tmp_path):
    red, blue = (255, 0, 0), (0, 0, 255)
    assert read_all(tmp_path, colours(red), colours(blue, red)) == [[0, 2], [0, 1, 2]]
    found = read_all(tmp_path, colours(red), ROW[:, [0, 1]])
    assert found == [[0, 2], [0, 1]]  # 1 is taken


@pytest.mark.parametrize("value", [128, 200, 255])
def test_white_is_animal_1(tmp_path, value):
    white = Image.fromarray(np.array([[0, value]], np.uint8))
    assert read_all(tmp_path, white, ROW[:, :3]) == [[0, 1], [0, 1, 2]]


def test_a_white_palette_index_is_animal_1(tmp_path):
    white = Image.fromarray(np.array([[0, 5]], np.uint8))
    white.putpalette(bytes(15) + b"\xff\xff\xff" + bytes(750))
    assert read_all(tmp_path, white, ROW[:, :3]) == [[0, 1], [0, 1, 2]]


@pytest.mark.parametrize("number", [1, 2, 9])
def test_the_only_animal_is_animal_1_whatever_its_number(tmp_path, number):
    label = ROW[:, [0, 1]] * np.uint8(number)
    assert read_all(tmp_path, label) == [[0, 1]]
    assert read_all(tmp_path, label, label) == [[0, 1], [0, 1]]


def test_void_stays_void_in_labels_of_one_video(tmp_path):
    with_void = np.array([[0, 2, 255]], np.uint8)
    assert read_all(tmp_path, ROW, with_void) == [[0, 1, 2, 3], [0, 2, 255]]
    grey = Image.fromarray(np.array([[0, 128, 255]], np.uint8))
    assert read_all(tmp_path, grey, ROW) == [[0, 255, 1], [0, 1, 2, 3]]


def test_one_label_alone_keeps_its_gaps(tmp_path):
    # So that masks carry the indices of the annotations they are compared with.
    assert read_all(tmp_path, ROW[:, [0, 1, 3]]) == [[0, 1, 3]]


def test_more_animals_than_there_may_be_over_all_labels_are_refused(tmp_path):
    many = [colours(*((n, m, 9) for m in range(20))) for n in (100, 200)]
    with pytest.raises(InputError, match="0.png and the other labels .* at most 32 .* found 40"):
        read_all(tmp_path, *many)


# Frames


def test_frames_in_natural_order(tmp_path):
    names = ["Frame2.JPG", "frame10.jpeg", "frame1.png", "frame03.jpg"]
    for name in [*names, ".frame0.jpg", "notes.txt"]:
        (tmp_path / name).touch()
    (tmp_path / "frame5.jpg").mkdir()
    found = [path.name for path in images.list_frames(tmp_path)]
    assert found == ["frame1.png", "Frame2.JPG", "frame03.jpg", "frame10.jpeg"]


def test_natural_order_has_no_ties_and_mixes_digits_with_letters():
    names = ["a1", "a01", "A1", "1", "a", "²", "10", "b2c3", "b2c10", "٣"]
    assert sorted(names, key=images.natural_key) == sorted(names[::-1], key=images.natural_key)
    assert len({str(images.natural_key(name)) for name in names}) == len(names)


def test_frames_of_a_linked_folder_with_spaces_and_accents(tmp_path):
    folder = tmp_path / "mein Hündchen 犬"
    folder.mkdir()
    save(folder / "bild é 1.png", noise())
    link = tmp_path / "link"
    link.symlink_to(folder, target_is_directory=True)
    (path,) = images.list_frames(link)
    np.testing.assert_array_equal(images.read_image(path), noise())


def test_folder_without_frames_or_missing_or_ambiguous(tmp_path):
    with pytest.raises(InputError, match="found none"):
        images.list_frames(tmp_path)
    with pytest.raises(InputError, match="found nothing"):
        images.list_frames(tmp_path / "no")
    for name in ("a.jpg", "a.png"):
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=r"a\.jpg and a\.png would both write the mask a\.png"):
        images.list_frames(tmp_path)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_truncated_frame_is_refused(tmp_path, suffix):
    whole = io.BytesIO()
    Image.fromarray(noise(200, 300)).save(whole, {"jpg": "JPEG", "png": "PNG"}[suffix])
    path = tmp_path / f"00007.{suffix}"
    path.write_bytes(whole.getvalue()[: len(whole.getvalue()) * 6 // 10])
    with pytest.raises(InputError, match=r"00007.*cannot be decoded.*again"):
        images.read_image(path)


@pytest.mark.parametrize("content, found", [(b"", "0 bytes"), (b"hello" * 99, "cannot be decoded")])
def test_frame_that_is_no_image_is_refused(tmp_path, content, found):
    path = tmp_path / "00007.jpg"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"00007\.jpg.*{found}"):
        images.read_image(path)
    with pytest.raises(InputError, match="no such file"):
        images.read_image(tmp_path / "absent.jpg")


def test_decompression_bomb_is_an_input_error(tmp_path, monkeypatch):
    path = save(tmp_path / "bomb.png", noise())
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(InputError, match="bomb"):
        images.read_image(path)


def test_exif_orientation_turns_the_frame(tmp_path):
    path = tmp_path / "phone.jpg"
    image = Image.new("RGB", (80, 40))
    image.paste("white", (0, 0, 40, 40))
    exif = Image.Exif()
    exif[0x0112] = 6  # the top of the picture is on the right of the stored one
    image.save(path, exif=exif)
    turned = images.read_image(path)
    assert turned.shape == (80, 40, 3)
    assert turned[:30].min() > 200 and turned[50:].max() < 50


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
def test_frames_of_any_mode_become_rgb(tmp_path, mode):
    path = tmp_path / ("frame.jpg" if mode == "CMYK" else "frame.png")
    Image.new("RGB", (8, 6), "white").convert(mode).save(path)
    image = images.read_image(path)
    assert image.dtype == np.uint8 and image.shape == (6, 8, 3)
    assert image.min() > 250


def test_16_bit_frame_is_scaled(tmp_path):
    path = tmp_path / "frame.png"
    Image.fromarray(np.array([[0, 257, 32896, 65535]], np.uint16)).save(path)
    assert images.read_image(path)[0, :, 1].tolist() == [0, 1, 128, 255]


# Masks and files


def test_mask_of_one_animal_is_grey_0_255(tmp_path):
    path = tmp_path / "new folder" / "00000.png"
    images.write_mask(path, ANIMAL)
    assert Image.open(path).mode == "L"
    np.testing.assert_array_equal(np.asarray(Image.open(path)), ANIMAL * 255)
    np.testing.assert_array_equal(images.read_mask(path), ANIMAL)
    np.testing.assert_array_equal(images.read_annotation(path), ANIMAL)


def test_mask_of_several_animals_keeps_their_numbers(tmp_path):
    path = tmp_path / "00000.png"
    images.write_mask(path, ANIMAL * np.uint8(2), num_animals=3)  # only animal 2 is in sight
    image = Image.open(path)
    assert image.mode == "P"
    assert image.getpalette()[:9] == [0, 0, 0, 128, 0, 0, 0, 128, 0]
    np.testing.assert_array_equal(images.read_mask(path), ANIMAL * 2)


def test_davis_palette_known_colours():
    palette = images.davis_palette()
    assert palette[[0, 1, 2, 3, 7, 8, 20, 255]].tolist() == [
        [0, 0, 0],
        [128, 0, 0],
        [0, 128, 0],
        [128, 128, 0],
        [128, 128, 128],
        [64, 0, 0],
        [0, 64, 128],
        [224, 224, 192],
    ]


def test_wrong_masks_are_refused(tmp_path):
    for mask in (ANIMAL * np.uint8(2), ANIMAL.astype(float), ANIMAL[..., None]):
        with pytest.raises(ValueError, match="mask"):
            images.write_mask(tmp_path / "00000.png", mask)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match=r"other\.png"):
        images.read_mask(save(tmp_path / "other.png", VALUES))


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_failed_write_leaves_the_old_file_alone(tmp_path, error):
    path = tmp_path / "näme of a mask.png"
    path.write_text("old")

    def write(aside: Path) -> None:
        assert aside.suffix == ".png" and aside.name.startswith(".") and aside.parent == tmp_path
        aside.write_text("half")
        raise error

    with pytest.raises(type(error)):
        files.write_atomically(path, write)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert path.read_text() == "old"


def test_write_json_keeps_order_and_accents(tmp_path):
    path = tmp_path / "run.json"
    files.write_json(path, {"b": "Hündchen", "a": [1, 2.5]})
    assert list(json.loads(path.read_text(encoding="utf-8"))) == ["b", "a"]
    assert "Hündchen" in path.read_text(encoding="utf-8")
    assert files.sha256_of(path) == files.sha256_of(path) and len(files.sha256_of(path)) == 64


def test_resize_labels_aligns_pixel_centres():
    labels = np.array([[0, 1, 2, 3, 4, 5]], np.uint8)
    assert images.resize_labels(labels, 1, 2).tolist() == [[1, 4]]
    assert images.resize_labels(labels, 2, 12)[1].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    expected = Image.fromarray(np.kron(labels, np.ones((5, 3), np.uint8))).resize((7, 3), 0)
    found = images.resize_labels(np.kron(labels, np.ones((5, 3), np.uint8)), 3, 7)
    np.testing.assert_array_equal(found, np.asarray(expected))


def test_resize_image_averages_when_shrinking():
    image = np.array([[0, 100, 200, 100]], np.uint8).repeat(2, axis=0)
    assert images.resize_image(image, 1, 2).tolist() == [[50, 150]]
    assert images.resize_image(noise(), 80, 120).shape == (80, 120, 3)
