"""Labels that can be read in two ways: stray values, smooth and lossy edges, exchanged colours."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFilter

from utils.errors import InputError
from utils.media.labels import davis_palette, read_label, read_labels


def animal(values=(255,)) -> np.ndarray:
    """uint8 (90, 160): an animal or several, in these values, with smooth outlines."""
    label = np.zeros((90, 160), np.uint8)
    for number, value in enumerate(values):
        cv2.ellipse(label, (40 + 34 * number, 45), (22, 16), 20, 0, 360, int(value), -1)
    return label


def palette(values: np.ndarray) -> Image.Image:
    image = Image.fromarray(values)
    image.putpalette(davis_palette().tobytes())
    return image


def enlarged(values: np.ndarray) -> np.ndarray:
    """As a program does that takes numbers of animals for grey levels."""
    return cv2.resize(values, (320, 180), interpolation=cv2.INTER_LINEAR)


def blurred(radius: float) -> Image.Image:
    return Image.fromarray(animal()).filter(ImageFilter.GaussianBlur(radius)).convert("RGB")


def lossy(image: Image.Image, kind: str, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.convert("RGB").save(file, kind, quality=quality)
    return Image.open(file).convert("RGB")


def tinted(image: Image.Image) -> Image.Image:
    grey = np.asarray(image.convert("L"))[..., None] / 255
    return Image.fromarray((grey * np.array([200, 40, 90])).round().astype(np.uint8))


def with_stray(value: int, stray: int) -> Image.Image:
    label = animal([value])
    label[5, 100] = stray
    return Image.fromarray(label)


TWO_WAYS = {
    "next to 255": with_stray(255, 254),
    "far from 255": with_stray(255, 1),
    "next to 128": with_stray(128, 127),
    "above 128": with_stray(128, 129),
    "a number beside void": with_stray(1, 128),
    **{
        f"blur {radius}, {colours} colours": blurred(radius).quantize(colours, dither=0)
        for radius in (0.5, 1, 2)
        for colours in (4, 8, 16)
    },
    **{
        f"tinted, blur {radius}, {colours} colours": tinted(blurred(radius)).quantize(
            colours, dither=0
        )
        for radius in (0.5, 2)
        for colours in (4, 8, 16)
    },
    "tinted, blurred, RGB": tinted(blurred(1)).quantize(8, dither=0).convert("RGB"),
    **{
        f"{kind} {quality}, then a palette": lossy(blurred(0), kind, quality).quantize(8, dither=0)
        for kind in ("JPEG", "WEBP")
        for quality in (30, 80, 95)
    },
    **{f"WEBP {q}, RGB": lossy(tinted(blurred(0)), "WEBP", q) for q in (30, 90, 100)},
    **{f"JPEG {q}, RGB": lossy(tinted(blurred(0)), "JPEG", q) for q in (30, 90, 100)},
    "enlarged numbers, one animal": palette(enlarged(animal([5]))),
    "enlarged numbers, three animals": palette(enlarged(animal([1, 2, 3]))),
    "enlarged numbers in grey": Image.fromarray(enlarged(animal([4]))),
    "hardly different colours": Image.fromarray(
        np.where(animal()[..., None] > 0, np.uint8(200), np.uint8(0))
        + np.eye(90, 160, dtype=np.uint8)[..., None] * np.array([3, 0, 2], np.uint8)
    ),
    "black on transparency": Image.fromarray(
        np.dstack([255 - animal()] * 3 + [animal()]).astype(np.uint8)
    ),
    "numbers with fractions": Image.fromarray(animal().astype("float32") / 300),
}


@pytest.mark.parametrize("name", TWO_WAYS)
def test_a_label_that_can_be_read_in_two_ways_is_refused_by_name(tmp_path, name):
    path = tmp_path / "my label.tif" if TWO_WAYS[name].mode == "F" else tmp_path / "my label.png"
    TWO_WAYS[name].save(path)
    with pytest.raises(InputError) as error:
        read_labels([path])
    message = str(error.value)
    assert path.name in message and "\n" not in message and "expected a label" in message


def voids(label: np.ndarray) -> np.ndarray:
    return np.where(cv2.dilate(label, np.ones((3, 3))) > label, 255, label).astype(np.uint8)


def on_a_leash() -> np.ndarray:
    label = animal([1, 3])
    cv2.line(label, (40, 45), (150, 80), 2, 1)
    return label


ONE_WAY = {
    "black and white": (Image.fromarray(animal()), 1),
    "three animals": (palette(animal([1, 2, 3])), 3),
    "three grey values": (Image.fromarray(animal([1, 2, 3])), 3),
    "three colours": (palette(animal([1, 2, 3])).convert("RGB"), 3),
    "void around three": (palette(voids(animal([1, 2, 3]))), 3),
    "a thin leash": (palette(on_a_leash()), 3),
    "lossless WebP": (Image.fromarray(animal()).convert("RGB"), 1),
    "red on transparency": (
        Image.fromarray(np.dstack([animal(), animal() * 0, animal() * 0, animal()])),
        1,
    ),
    "whole numbers as float": (Image.fromarray(animal().astype("float32")), 1),
}


@pytest.mark.parametrize("name", ONE_WAY)
def test_a_label_with_one_reading_is_accepted(tmp_path, name):
    image, num_animals = ONE_WAY[name]
    suffix = "tif" if image.mode == "F" else "webp" if "WebP" in name else "png"
    path = tmp_path / f"a.{suffix}"
    image.save(path, **({"lossless": True} if suffix == "webp" else {}))
    assert len(read_labels([path])[0].animals) == num_animals


def test_masks_and_annotations_are_not_taken_for_smooth_labels(tmp_path):
    # Masks are not drawn by a person: a sliver of one animal may lie between two others.
    path = tmp_path / "a.png"
    palette(enlarged(animal([5]))).save(path)
    assert read_label(path).animals == (1, 2, 3, 4, 5)


def test_a_transparent_colour_beside_an_opaque_background_is_refused(tmp_path):
    image, path = palette(animal([2])), tmp_path / "a.png"
    image.save(path, transparency=2)
    with pytest.raises(InputError, match=r"a\.png.*index 2 is transparent"):
        read_label(path)


def test_a_label_in_another_colour_space_is_read_or_refused(tmp_path):
    for mode, readable in (("CMYK", True), ("LAB", False)):
        path = tmp_path / f"{mode}.tif"
        Image.fromarray(animal()).convert("RGB").convert(mode).save(path)
        if readable:
            assert read_label(path).animals == (1,)
        else:
            with pytest.raises(InputError, match=r"LAB\.tif: expected a label"):
                read_label(path)
