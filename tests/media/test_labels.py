"""Labels, annotations and masks on disk: the table of datasets/README.md row by row, odd files, and
that what is written is read back."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from utils import paths
from utils.errors import InputError
from utils.media.images import resize_labels
from utils.media.label_content import decode_label
from utils.media.labels import (
    VOID,
    LabelMap,
    davis_palette,
    iterate_labels,
    labelled_animals,
    read_label,
    read_labels,
    write_label,
)

ANIMAL = np.zeros((6, 8), np.uint8)
ANIMAL[1:4, 2:5] = 1
VALUES = np.array([[0, 1, 2, 3]] * 3, np.uint8)  # one column each
ROW = VALUES[:1]


def save(path: Path, array: np.ndarray, mode: str | None = None) -> Path:
    Image.fromarray(array).convert(mode).save(path)
    return path


def palette_image(indices, palette: bytes | None = None) -> Image.Image:
    image = Image.fromarray(np.array(indices, np.uint8))
    image.putpalette(palette or davis_palette().tobytes())
    return image


def grey_image(*values: int) -> Image.Image:
    return Image.fromarray(np.array([values], np.uint8))


def save_palette(path: Path, indices, palette: bytes | None = None) -> Path:
    palette_image(indices, palette).save(path)
    return path


def noise(height: int = 40, width: int = 60) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


# One file: files with one animal


@pytest.mark.parametrize("value", [1, 7, 127, 129, 254, 255])
def test_the_other_value_of_a_grey_file_is_the_animal(tmp_path, value):
    path = save(tmp_path / "label.png", ANIMAL * np.uint8(value))
    (label,) = read_labels([path])
    np.testing.assert_array_equal(label.values, ANIMAL)
    assert label.animals == (1,)


@pytest.mark.parametrize("value", [1, 255, 256, 32768, 65535])
def test_the_other_value_of_a_16_bit_file_is_the_animal(tmp_path, value):
    path = tmp_path / "label.png"
    Image.fromarray(ANIMAL.astype(np.uint16) * np.uint16(value)).save(path)
    with Image.open(path) as image:
        assert image.mode.startswith("I")
    np.testing.assert_array_equal(read_labels([path])[0].values, ANIMAL)


@pytest.mark.parametrize("mode", ["1", "LA", "RGB", "RGBA"])
def test_black_and_white_in_any_mode(tmp_path, mode):
    path = save(tmp_path / "label.png", ANIMAL * np.uint8(255), mode)
    with Image.open(path) as image:
        assert image.mode == mode
    label = read_label(path)
    assert label.values.dtype == np.uint8
    np.testing.assert_array_equal(label.values, ANIMAL)


@pytest.mark.parametrize("scale", [1, 257])
def test_grey_128_is_void_beside_255(tmp_path, scale):
    values = np.array([[0, 128, 255]], np.uint8 if scale == 1 else np.uint16) * scale
    path = tmp_path / "label.png"
    Image.fromarray(values).save(path)
    label = read_label(path)
    assert label.values.tolist() == [[0, VOID, 1]] and label.animals == (1,)


@pytest.mark.parametrize(
    "image",
    [
        grey_image(0, 128),
        Image.fromarray(np.array([[0, 128 * 257]], np.uint16)),
        grey_image(0, 128).convert("RGB"),
        palette_image([[0, 255]]),
        palette_image([[0, 255]]).convert("RGB"),
    ],
)
def test_void_alone_is_no_animal(tmp_path, image):
    image.save(tmp_path / "label.png")
    label = read_label(tmp_path / "label.png")
    assert label.values.tolist() == [[0, VOID]]
    assert label.animals == label.shown_animals == ()
    assert read_labels([tmp_path / "label.png"])[0].animals == ()


def test_white_animal_on_transparency(tmp_path):
    rgba = np.full((6, 8, 4), 255, np.uint8)
    rgba[..., 3] = ANIMAL * 255
    np.testing.assert_array_equal(read_label(save(tmp_path / "label.png", rgba)).values, ANIMAL)


def test_alpha_is_ignored_where_colours_differ(tmp_path):
    rgba = np.repeat(ANIMAL[..., None] * np.uint8(255), 4, axis=2)
    rgba[0, 0, 3] = 77
    np.testing.assert_array_equal(read_label(save(tmp_path / "label.png", rgba)).values, ANIMAL)


def test_a_palette_of_black_and_white_is_read_as_such(tmp_path):
    palette = bytes(3) + bytes([9, 9, 9]) * 254 + bytes([255] * 3)
    path = save_palette(tmp_path / "label.png", ANIMAL * 255, palette)
    np.testing.assert_array_equal(read_label(path).values, ANIMAL)


# One file: files with several animals


@pytest.mark.parametrize("values", [[0, 1, 2, 3], [0, 1, 3], [0, 3, 7], [0, 31, 32], [0, 7], [0]])
def test_small_values_are_the_animals_own_numbers_in_grey_and_palette(tmp_path, values):
    grey, palette = tmp_path / "grey.png", tmp_path / "palette.png"
    grey_image(*values).save(grey)
    palette_image([values]).save(palette)
    for path in (grey, palette):
        label = read_label(path)
        assert label.values.tolist() == [values], path
        assert label.animals == tuple(values[1:]), path


@pytest.mark.parametrize("values", [[0, 1, 2, 255], [0, 3, 7, 255], [0, 38, 75, 255], [0, 20, 255]])
def test_index_255_of_a_palette_is_void_beside_animals(tmp_path, values):
    label = read_label(save_palette(tmp_path / "label.png", [values]))
    assert label.values.tolist() == [values] and label.animals == tuple(values[1:-1])


@pytest.mark.parametrize("values", [(1, 255), (20, 255), (32, 255), (1, 2, 255), (5, 128)])
@pytest.mark.parametrize("mode", ["L", "RGB", "16 bit"])
def test_small_grey_values_beside_128_or_255_can_mean_two_things_and_are_refused(
    tmp_path, values, mode
):
    array = np.array([[0] * 9 + list(values) + [values[0]]], np.uint8)
    path = tmp_path / "dog 1.png"
    if mode == "16 bit":
        Image.fromarray(array.astype(np.uint16) * np.uint16(257)).save(path)
    else:
        save(path, array, mode)
    with pytest.raises(InputError, match="two ways") as error:
        read_label(path)
    message = str(error.value)
    assert "dog 1.png" in message and "\n" not in message
    assert f"{values[0]} (2 px), {values[1]} (1 px)" in message
    assert "paint either one animal in 255" in message


def test_a_palette_counts_by_index_not_colour(tmp_path):
    red = bytes([255, 0, 0])
    path = save_palette(tmp_path / "label.png", VALUES, bytes(3) + red * 255)
    np.testing.assert_array_equal(read_label(path).values, VALUES)


@pytest.mark.parametrize("values, expected", [([0, 128, 255], [0, VOID, 1]), ([0, 3, 7],) * 2])
def test_a_grey_palette_is_read_as_grey(tmp_path, values, expected):
    grey = np.repeat(np.arange(256, dtype=np.uint8), 3).tobytes()
    path = save_palette(tmp_path / "label.png", [values], grey)
    assert read_label(path).values.tolist() == [expected]


def test_a_palette_with_white_background_first_is_refused(tmp_path):
    path = save_palette(tmp_path / "label.png", ANIMAL, bytes([255] * 3 + [0] * 3))
    with pytest.raises(InputError, match=r"label\.png.*index 0, the background, is not black"):
        read_label(path)


def test_colours_have_their_places_in_the_davis_palette_and_others_the_numbers_left(tmp_path):
    colours = [(0, 0, 0), (10, 200, 30), (0, 128, 0), (64, 0, 0), (224, 224, 192), (9, 250, 0)]
    label = read_label(save(tmp_path / "label.png", np.array([colours], np.uint8)))
    assert label.values.tolist() == [[0, 3, 2, 8, VOID, 1]]
    assert label.animals == (1, 2, 3, 8)


def test_white_and_the_colour_of_animal_1_in_one_file_are_refused(tmp_path):
    colours = [(0, 0, 0), (255, 255, 255), (128, 0, 0)]
    with pytest.raises(InputError, match="white and in the dark red.*give one of them another"):
        read_label(save(tmp_path / "label.png", np.array([colours], np.uint8)))


# One file: what is no label


@pytest.mark.parametrize(
    "array",
    [
        noise(),
        noise()[..., 0],
        np.arange(256, dtype=np.uint8).reshape(16, 16),  # every grey: a photo, not 254 animals
        np.array([[0, 64, 128, 255]], np.uint8),  # anti-aliased
        np.array([[0, 40, 255]], np.uint8),
        np.array([[[255, 255, 255], [255, 0, 0]]], np.uint8),  # white background
    ],
)
def test_what_is_no_label_is_refused_by_name(tmp_path, array):
    path = save(tmp_path / "dog 1.png", array)
    with pytest.raises(InputError, match=r"dog 1\.png.*expected a label.*found.*as PNG"):
        read_label(path)


def test_soft_alpha_is_refused(tmp_path):
    rgba = np.full((1, 3, 4), 255, np.uint8)
    rgba[..., 3] = [0, 100, 255]
    with pytest.raises(InputError, match="alpha 0, 100, 255"):
        read_label(save(tmp_path / "label.png", rgba))


@pytest.mark.parametrize("animals", [ANIMAL * 255, VALUES * 8])
def test_a_lossy_jpeg_label_is_refused(tmp_path, animals):
    big = np.kron(animals, np.ones((5, 5), np.uint8))
    path = tmp_path / "label.jpg"
    Image.fromarray(big).save(path, quality=60)
    with pytest.raises(InputError, match="JPEG blurs labels"):
        read_label(path)


# Labels of one video


def colours(*rgb: tuple[int, int, int]) -> Image.Image:
    return Image.fromarray(np.array([[(0, 0, 0), *rgb]], np.uint8))


@pytest.fixture
def read_all(tmp_path):
    """Saves images (lists: indices of a palette) and reads them as the labels of one video."""

    def read(*images: Image.Image | list[int]) -> list[list[int]]:
        files = [tmp_path / f"{number}.png" for number in range(len(images))]
        for path, image in zip(files, images, strict=True):
            (palette_image([image]) if isinstance(image, list) else image).save(path)
        labels = read_labels(files)
        for one, other in zip(labels, iterate_labels(files), strict=True):
            np.testing.assert_array_equal(one.values, other.values)
            assert one.animals == other.animals == labels[0].animals
        shown = {number for label in labels for number in label.shown_animals}
        assert labels[0].animals == tuple(sorted(shown))
        return [label.values[0].tolist() for label in labels]

    return read


def test_an_animal_keeps_its_index_in_labels_that_show_others(read_all):
    assert read_all([0, 1, 2], [0, 3], [0, 2, 3]) == [[0, 1, 2], [0, 3], [0, 2, 3]]
    assert read_all([0, 3, 7], [0, 7]) == [[0, 3, 7], [0, 7]]


def test_grey_values_palette_indices_and_davis_colours_are_the_same_numbers(read_all):
    davis = Image.fromarray(davis_palette()[[[0, 3, 1]]])
    assert read_all([0, 1, 2, 3], grey_image(0, 2), davis) == [[0, 1, 2, 3], [0, 2], [0, 3, 1]]


def test_colours_of_ones_own_are_numbered_over_all_labels(read_all):
    red, blue = (255, 0, 0), (0, 0, 255)
    assert read_all(colours(red), colours(blue, red)) == [[0, 2], [0, 1, 2]]
    assert read_all(colours(red), [0, 1]) == [[0, 2], [0, 1]]  # 1 is taken


@pytest.mark.parametrize("value", [1, 255, 40_000, 65_535])
def test_white_is_animal_1(read_all, value):
    white = Image.fromarray(np.array([[0, value]], np.uint16 if value > 255 else np.uint8))
    assert read_all(white, [0, 1, 2]) == [[0, 1], [0, 1, 2]]
    assert read_all(white, [0, 2]) == [[0, 1], [0, 2]]


def test_white_is_animal_1_among_colours_too(read_all):
    red, white = (255, 0, 0), (255, 255, 255)
    assert read_all(colours(red, white), colours(white)) == [[0, 2, 1], [0, 1]]


@pytest.mark.parametrize("value", [2, 20, 32, 33, 40, 200])
def test_a_grey_value_is_the_animals_number_whatever_its_size(read_all, value):
    """255 and 20 in two labels were two animals, 255 and 40 one."""
    assert read_all(grey_image(0, 255), grey_image(0, value)) == [[0, 1], [0, value]]
    assert read_all(grey_image(0, value), [0, 1, 2]) == [[0, value], [0, 1, 2]] or value == 2


def test_a_white_palette_index_is_its_number_as_in_labels_that_show_others(read_all):
    palette = bytes(3) + b"\x80\x00\x00" + b"\xff\xff\xff" + bytes(759)
    both, second = palette_image([[0, 1, 2]], palette), palette_image([[0, 2]], palette)
    assert read_all(both, second) == [[0, 1, 2], [0, 2]]


@pytest.mark.parametrize("number", [1, 2, 9, 254])
def test_the_only_animal_is_animal_1_whatever_its_number(read_all, number):
    assert read_all([0, number]) == [[0, 1]]
    assert read_all([0, number], [0, number]) == [[0, 1], [0, 1]]
    assert read_all([0, number], [0, 255]) == [[0, 1], [0, VOID]]


def test_void_stays_void_in_labels_of_one_video(read_all):
    assert read_all([0, 1, 2, 3], [0, 2, 255]) == [[0, 1, 2, 3], [0, 2, VOID]]
    assert read_all(grey_image(0, 128, 255), [0, 1, 2]) == [[0, VOID, 1], [0, 1, 2]]


def test_one_label_alone_keeps_its_gaps(read_all):
    # So that masks have the indices of the annotations they are compared with.
    assert read_all([0, 1, 3]) == [[0, 1, 3]]


def test_what_is_kept_of_all_labels_holds_no_pixels(tmp_path):
    """Labels that are read one at a time were all held nevertheless."""
    content = decode_label(save(tmp_path / "label.png", VALUES)).without_pixels()
    assert content.names == (1, 2, 3) and content.places.size == 0
    assert content.places.base is None


def test_more_animals_than_there_may_be_over_all_labels_are_refused(read_all):
    many = [colours(*((n, m, 9) for m in range(20))) for n in (100, 200)]
    with pytest.raises(InputError, match="0.png and the other labels .* at most 32 .* found 40"):
        read_all(*many)


# Writing and reading back


@pytest.mark.parametrize(
    "values, animals",
    [
        ([0, 1], (1,)),
        ([0, 0], (1,)),  # the animal is out of sight
        ([0, 0], ()),
        ([0, 1, VOID], (1,)),
        ([0, VOID], (1,)),
        ([0, 3, 7], (3, 7)),
        ([0, 7], (3, 7)),
        ([0, 1], (1, 2)),
        ([0, 0], (3, 7)),
        ([0, 3, VOID], (3, 7)),
        ([0, VOID], (3, 7)),
        ([0, 2], (2,)),
        ([0, 128, 254], (128, 254)),
    ],
)
def test_what_is_written_is_read_back(tmp_path, values, animals):
    path = tmp_path / "new folder" / "00000.png"
    for as_palette in (False, True):
        write_label(path, np.array([values], np.uint8), animals, as_palette=as_palette)
        for read in (read_label(path), read_label(path, animals)):
            assert read.values.tolist() == [values]
            assert read.values.dtype == np.uint8
            assert read.shown_animals == tuple(v for v in values if v not in (0, VOID))
        assert read.animals == animals
        assert read_label(path).animals == read.shown_animals
        (of_video,) = read_labels([path])
        if len(read.shown_animals) == 1:
            assert of_video.animals == (1,)
        else:
            assert of_video.values.tolist() == [values]


def test_a_mask_of_one_animal_is_grey_0_255(tmp_path):
    path = tmp_path / "00000.png"
    write_label(path, ANIMAL.astype(bool))
    with Image.open(path) as image:
        assert image.mode == "L"
        np.testing.assert_array_equal(np.asarray(image), ANIMAL * 255)


def test_a_mask_of_several_animals_has_the_davis_palette(tmp_path):
    path = tmp_path / "00000.png"
    write_label(path, ANIMAL * np.uint8(2), (1, 2, 3))  # only animal 2 is in sight
    with Image.open(path) as image:
        assert image.mode == "P"
        assert image.getpalette()[:9] == [0, 0, 0, 128, 0, 0, 0, 128, 0]
        np.testing.assert_array_equal(np.asarray(image), ANIMAL * 2)


def test_values_that_are_no_animals_of_the_video_are_not_written(tmp_path):
    for mask in (ANIMAL * np.uint8(2), ANIMAL.astype(float), ANIMAL[..., None]):
        with pytest.raises(ValueError, match="values"):
            write_label(tmp_path / "00000.png", mask)
    with pytest.raises(ValueError, match=r"\[5\].*\(3, 7\)"):
        write_label(tmp_path / "00000.png", ANIMAL * np.uint8(5), (3, 7))
    assert list(tmp_path.iterdir()) == []


def test_a_mask_with_an_animal_that_its_video_does_not_have_is_refused(tmp_path):
    write_label(tmp_path / "00000.png", ANIMAL * np.uint8(5), (5, 7))
    with pytest.raises(InputError, match=r"00000\.png.*no animals but 3, 7, found 5"):
        read_label(tmp_path / "00000.png", (3, 7))


def test_a_black_and_white_mask_of_a_video_with_several_animals_is_refused(tmp_path):
    write_label(tmp_path / "00000.png", ANIMAL)
    with pytest.raises(InputError, match=r"00000\.png.*index per animal, found black and white"):
        read_label(tmp_path / "00000.png", (1, 2))


# The arrays that stage 3 sees


def test_labels_of_one_and_two_animals_are_these_arrays(tmp_path):
    white = np.array([[0, 255, 255, 0], [0, 0, 255, 0]], np.uint8)
    with_void = np.array([[0, 255, 128, 0], [0, 128, 255, 0]], np.uint8)
    two = np.array([[0, 1, 1, 0], [2, 2, 0, 0]], np.uint8)
    images = {
        "white": Image.fromarray(white),
        "1 bit": Image.fromarray(white).convert("1"),
        "RGB": Image.fromarray(white).convert("RGB"),
        "RGBA": Image.fromarray(white).convert("RGBA"),
        "16 bit": Image.fromarray(white.astype(np.uint16) * 257),
        "void": Image.fromarray(with_void),
        "palette": palette_image(two),
        "grey": Image.fromarray(two),
        "colours": Image.fromarray(davis_palette()[two]),
    }
    one = [[0, 1, 1, 0], [0, 0, 1, 0]]
    expected = dict.fromkeys(("white", "1 bit", "RGB", "RGBA", "16 bit"), (one, (1,)))
    expected["void"] = [[0, 1, 255, 0], [0, 255, 1, 0]], (1,)
    pair = [[0, 1, 1, 0], [2, 2, 0, 0]], (1, 2)
    expected |= dict.fromkeys(("palette", "grey", "colours"), pair)
    for kind, image in images.items():
        image.save(tmp_path / f"{kind}.png")
        (label,) = read_labels([tmp_path / f"{kind}.png"])
        assert (label.values.tolist(), label.animals) == expected[kind], kind
        assert label.values.dtype == np.uint8 and label.values.flags.writeable


def test_the_label_of_the_sample_is_its_grey_values():
    (path, *_) = sorted((paths.SAMPLE_DATASET / "Annotations/480p/cockatoo").glob("*.png"))
    with Image.open(path) as image:
        grey = np.array(image.convert("L"))
    assert set(np.unique(grey)) == {0, 255}
    np.testing.assert_array_equal(read_labels([path])[0].values, grey // 255)


# The palette, resizing


def test_davis_palette_known_colours():
    palette = davis_palette()
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


def test_a_resized_label_map_keeps_its_animals():
    label = LabelMap(np.array([[1, 1, 2, 7], [1, 1, 2, 2]], np.uint8), (1, 2, 7, 9)).resize(1, 2)
    assert label.values.tolist() == [[1, 2]]
    assert label.animals == (1, 2, 7, 9) and label.shown_animals == (1, 2)


def test_resize_labels_aligns_pixel_centres():
    labels = np.array([[0, 1, 2, 3, 4, 5]], np.uint8)
    assert resize_labels(labels, 1, 2).tolist() == [[1, 4]]
    assert resize_labels(labels, 2, 12)[1].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    expected = Image.fromarray(np.kron(labels, np.ones((5, 3), np.uint8))).resize((7, 3), 0)
    found = resize_labels(np.kron(labels, np.ones((5, 3), np.uint8)), 3, 7)
    np.testing.assert_array_equal(found, np.asarray(expected))


def test_the_animals_of_all_labels_are_collected():
    labels = [LabelMap(ANIMAL, animals) for animals in ((3, 7), (1, 7), ())]
    assert labelled_animals(labels) == [1, 3, 7]
