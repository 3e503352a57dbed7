"""Augmentation: image and target move together, from one generator, and labels stay labels."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from utils.media.labels import VOID
from utils.training.augmentation import AUGMENTATIONS, Augmentation, augment, fill_object

GEOMETRY = {
    "nothing": Augmentation(flip=0.0),
    "flip": Augmentation(flip=1.0),
    "scale": Augmentation(scale=(0.5, 2.0), flip=0.0),
    "rotation": Augmentation(rotation_degrees=40, flip=0.0),
    "stretch and shear": Augmentation(stretch=0.3, shear=0.2, flip=0.0),
    "all": replace(AUGMENTATIONS["fine_tune"], color_probability=0, noise=0, blur_probability=0),
}


def labelled_image(height=90, width=120):
    """An L-shaped object, asymmetric under every flip, white on black, with two void strips."""
    target = np.zeros((height, width), "uint8")
    target[20:70, 30:50] = 1
    target[55:70, 30:85] = 1
    image = np.repeat((target == 1)[..., None] * np.uint8(255), 3, axis=2)
    target[10:14, 60:100] = VOID
    target[80:84, 5:40] = VOID
    return image, target


def agreement(image, target) -> float:
    """The share of pixels that count where the thresholded image is the target."""
    counts = target != VOID
    return float(((image[..., 0] > 127) == (target == 1))[counts].mean())


@pytest.mark.parametrize("augmentation", GEOMETRY.values(), ids=GEOMETRY)
@pytest.mark.parametrize("recompose", [0.0, 1.0])
def test_image_and_target_move_together(augmentation, recompose):
    image, target = labelled_image()
    background = fill_object(image, target)
    for seed in range(20):
        crop, crop_target = augment(
            image,
            target,
            (64, 80),
            replace(augmentation, recompose=recompose, object_centred=1.0),
            np.random.default_rng(seed),
            background=background,
        )
        assert crop.shape == (64, 80, 3) and crop.dtype == np.uint8
        assert crop_target.shape == (64, 80) and crop_target.dtype == np.uint8
        assert set(np.unique(crop_target)) <= {0, 1, VOID}
        assert agreement(crop, crop_target) > 0.97, seed


def test_flip_mirrors_the_frame():
    image, target = labelled_image()
    flip = Augmentation(flip=1.0, object_centred=0.0)
    crop, crop_target = augment(image, target, (90, 120), flip, np.random.default_rng(0))
    np.testing.assert_array_equal(crop, image[:, ::-1])
    np.testing.assert_array_equal(crop_target, target[:, ::-1])


def test_nothing_leaves_a_frame_of_the_crops_size_as_it_is():
    image, target = labelled_image()
    crop, crop_target = augment(
        image, target, (90, 120), Augmentation(flip=0, object_centred=0), np.random.default_rng(0)
    )
    np.testing.assert_array_equal(crop, image)
    np.testing.assert_array_equal(crop_target, target)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_the_same_generator_gives_the_same_crop(name):
    image, target = labelled_image()
    image[..., 1] //= 2
    background = fill_object(image, target)

    def crop(seed):
        rng = np.random.default_rng(seed)
        return augment(image, target, (48, 64), AUGMENTATIONS[name], rng, background=background)

    for seed in range(5):
        for first, second in zip(crop(seed), crop(seed), strict=True):
            np.testing.assert_array_equal(first, second)
    assert len({crop(seed)[0].tobytes() for seed in range(5)}) == 5


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_inputs_are_not_changed(name):
    image, target = labelled_image()
    background = fill_object(image, target)
    kept = [array.copy() for array in (image, target, background)]
    for seed in range(10):
        rng = np.random.default_rng(seed)
        augment(image, target, (48, 64), AUGMENTATIONS[name], rng, background=background)
    for array, before in zip((image, target, background), kept, strict=True):
        np.testing.assert_array_equal(array, before)


def test_outside_of_the_frame_is_void_and_mirrored():
    image, target = labelled_image(30, 40)
    target[:], image[:] = 0, 77
    rng = np.random.default_rng(0)
    crop, crop_target = augment(image, target, (50, 80), Augmentation(flip=0), rng)
    # The small frame lies in the middle of the crop.
    expected = np.full((50, 80), VOID, "uint8")
    expected[10:40, 20:60] = 0
    np.testing.assert_array_equal(crop_target, expected)
    assert (crop == 77).all()


def test_crops_smaller_than_the_frame_stay_inside_it():
    image, target = labelled_image()
    target[target == VOID] = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        crop_target = augment(image, target, (40, 50), Augmentation(object_centred=0), rng)[1]
        assert (crop_target != VOID).all()


def test_crops_centred_on_the_object_hold_some_of_it():
    image, target = labelled_image(200, 300)
    for seed in range(30):
        rng = np.random.default_rng(seed)
        assert (augment(image, target, (40, 50), Augmentation(object_centred=1), rng)[1] == 1).any()


def test_a_label_without_object_is_accepted():
    image, target = labelled_image()
    target[target == 1] = 0
    augmentation = replace(AUGMENTATIONS["fine_tune"], recompose=1.0, object_centred=1.0)
    crop_target = augment(
        image, target, (40, 50), augmentation, np.random.default_rng(0), background=image
    )[1]
    assert not (crop_target == 1).any()


def test_recomposing_moves_the_object_over_its_background():
    image, target = labelled_image()
    image = np.where(target[..., None] == 1, (250, 20, 20), (20, 120, 20)).astype("uint8")
    background = fill_object(image, target)
    moved = Augmentation(flip=0.0, object_centred=0.0, recompose=1.0)
    places = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        crop, crop_target = augment(image, target, (90, 120), moved, rng, background=background)
        red = crop[..., 0] > 135
        assert (red == (crop_target == 1))[crop_target != VOID].mean() > 0.97
        if red.any():
            places.append(tuple(np.argwhere(red).mean(0)))
    # Where the object was there is background; it stands elsewhere each time.
    assert len(places) >= 10 and np.std(places, axis=0).min() > 5


def test_filling_removes_the_object_and_leaves_what_is_far_from_it():
    rng = np.random.default_rng(0)
    _, target = labelled_image()
    image = rng.integers(100, 130, (*target.shape, 3)).astype("uint8")
    image[target == 1] = (255, 0, 0)
    kept = image.copy()
    filled = fill_object(image, target)
    assert filled.shape == image.shape and filled.dtype == np.uint8
    assert filled[target == 1].min() > 80 and filled[target == 1].max() < 150
    np.testing.assert_array_equal(filled[:, 110:], image[:, 110:])
    np.testing.assert_array_equal(image, kept)


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (10, 400)])
def test_filling_works_at_odd_sizes(size):
    image = np.full((*size, 3), 60, "uint8")
    target = np.zeros(size, "uint8")
    target[0, 0] = 1
    assert fill_object(image, target).shape == image.shape


def test_colours_change_the_image_and_not_the_target():
    image, target = labelled_image()
    image = (image // 2 + 40).astype("uint8")
    plain = Augmentation(flip=0, object_centred=0)
    strong = replace(plain, brightness=0.3, contrast=0.3, saturation=0.3, hue_degrees=20, gamma=0.3)
    strong = replace(strong, noise=8, blur_probability=1, jpeg_probability=1, color_probability=1)
    crop, crop_target = augment(image, target, (90, 120), strong, np.random.default_rng(3))
    assert (crop != image).mean() > 0.5
    np.testing.assert_array_equal(crop_target, target)


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_jpeg_noise_and_blur_keep_the_channels_in_place(channel):
    image = np.full((64, 64, 3), 40, "uint8")
    image[..., channel] = 200
    worn = Augmentation(flip=0, blur_probability=1, jpeg_probability=1, noise=3)
    crop = augment(image, image[..., 0], (64, 64), worn, np.random.default_rng(0))[0]
    means = crop.mean((0, 1))
    assert means[channel] > 180 and np.delete(means, channel).max() < 60


def test_every_single_colour_change_works_alone():
    image, target = labelled_image()
    image = np.where(target[..., None] == 1, (200, 60, 20), (30, 90, 160)).astype("uint8")
    for part in ("brightness", "contrast", "saturation", "gamma", "hue_degrees"):
        strength = 40 if part == "hue_degrees" else 0.4
        only = replace(
            Augmentation(flip=0, object_centred=0, color_probability=1), **{part: strength}
        )
        crops = [
            augment(image, target, (90, 120), only, np.random.default_rng(seed))[0]
            for seed in range(3)
        ]
        assert any((crop != image).any() for crop in crops), part


def plain(value, height=90, width=120):
    """An image of one grey level without object."""
    return np.full((height, width, 3), value, "uint8"), np.zeros((height, width), "uint8")


def test_pasted_objects_bring_their_pixels_and_their_target():
    image, target = plain(40)
    donor, donor_target = labelled_image()
    for seed in range(20):
        rng = np.random.default_rng(seed)
        augmentation = Augmentation(flip=0.5, rotation_degrees=30)
        crop, crop_target = augment(
            image, target, (90, 120), augmentation, rng, pasted=[(donor, donor_target)]
        )
        inside = crop_target == 1
        assert 20 < inside.sum() < 0.5 * inside.size
        # Edges are soft: what lies next to them may hold something of both.
        inside[[0, -1]] = inside[:, [0, -1]] = False  # an edge may lie right outside
        core = cv2.erode(inside.astype("uint8"), np.ones((5, 5), "uint8")) > 0
        assert (crop[core] == 255).all()
        away = cv2.dilate((crop_target != 0).astype("uint8"), np.ones((5, 5), "uint8")) == 0
        away[[0, -1]] = away[:, [0, -1]] = False
        assert away.any() and np.isin(crop[away], (39, 40)).all()


def test_a_pasted_image_without_object_changes_nothing():
    image, target = labelled_image()
    still = Augmentation(flip=0, object_centred=0)
    crop, crop_target = augment(
        image, target, (90, 120), still, np.random.default_rng(0), pasted=[plain(200)]
    )
    np.testing.assert_array_equal(crop, image)
    np.testing.assert_array_equal(crop_target, target)


def test_occluders_are_background_in_front_of_the_object():
    image, target = plain(250)
    target[:] = 1
    for seed in range(20):
        rng = np.random.default_rng(seed)
        crop, crop_target = augment(
            image, target, (90, 120), Augmentation(), rng, occluders=[plain(10, 30, 50)]
        )
        hidden = crop_target == 0
        assert 0.03 < hidden.mean() < 0.3
        assert (crop[hidden] == 10).all() and (crop[~hidden] == 250).all()


def test_occluders_show_no_object():
    image, target = plain(250)
    donor, donor_target = plain(10)
    donor_target[:] = 1
    crop, crop_target = augment(
        image, target, (90, 120), Augmentation(), np.random.default_rng(0),
        occluders=[(donor, donor_target)],
    )  # fmt: skip
    assert (crop == 250).all() and not crop_target.any()


@pytest.mark.parametrize("shape", [(40, 200), (300, 60), (50, 50)])
def test_covering_spends_no_pixel_outside_of_the_image(shape):
    cover = Augmentation(cover=True, scale=(1.0, 3.0), object_centred=0.5)
    image, target = labelled_image(*shape) if min(shape) > 90 else plain(9, *shape)
    target[5:15, 5:15] = 1
    for seed in range(20):
        rng = np.random.default_rng(seed)
        crop_target = augment(image, target, (64, 64), cover, rng)[1]
        outside = crop_target[1:-1, 1:-1] == VOID  # rounding may leave a line at the border
        assert not outside.any()
