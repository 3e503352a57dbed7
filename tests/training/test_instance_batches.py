"""Crops for the instance head: groups of images, composites, partly labelled photos."""

import numpy as np
import pytest

from utils.training.animals import read_animal_list
from utils.training.augmentation import AUGMENTATIONS
from utils.training.instance_batches import InstanceBatches, group_samples


@pytest.fixture
def grouped(herds):
    return group_samples(read_animal_list(herds / "train.txt", herds))


def make_batches(samples, count=24):
    outputs = ("centre", "offset", "assignment", "border")
    augmentation = AUGMENTATIONS["prompted"]
    return InstanceBatches(samples, (64, 64), 1, count, augmentation, 0, outputs=outputs)


def test_images_are_grouped_by_what_is_known_of_their_animals(grouped):
    groups = {sample.image_path.stem: sample.group for sample in grouped}
    # Of the images without numbers, that of two pieces is left out.
    assert groups == {"wild_0": "several", "cow_1": "several", "cow_2": "one", "dog_3": "single"}


def test_a_data_set_below_a_folder_named_instances_is_read_as_elsewhere(herds, grouped):
    (herds.parent / "Instances").mkdir()
    moved = herds.rename(herds.parent / "Instances/data")
    samples = read_animal_list(moved / "train.txt", moved)
    assert [sample.read_animals()[1] for sample in samples] == [True, True, True, True, False]
    assert [s.group for s in group_samples(samples)] == [s.group for s in grouped]


def test_crops_depend_on_their_number_alone_and_show_groups(grouped):
    inputs, targets = make_batches(grouped).batch_number(1)
    again, _ = make_batches(grouped, count=1).batch_number(25)
    assert (inputs["images"][1] == again["images"][0]).all()
    assert inputs["images"].shape == (24, 64, 64, 3) and inputs["images"].dtype == np.uint8
    assert {name: v.shape[1:] for name, v in targets.items()} == {
        "centre": (16, 16, 2),
        "offset": (16, 16, 3),
        "assignment": (16, 16, 2),
        "border": (16, 16, 1),
    }
    counts = inputs["centres"][..., 2].sum(axis=1)
    assert counts.max() > 2  # composites: no photo here has more than two
    assert (counts == 1).any()
    partly = (targets["centre"][..., 1] == np.float32(0.3)).any(axis=(1, 2))
    assert partly.any() and not partly.all()


def test_a_composite_keeps_the_numbers_of_the_photo_apart(grouped):
    several = [sample for sample in grouped if sample.image_path.stem == "cow_1"]
    batches = make_batches(several)
    maps = [batches.instance_crop(k)[1] for k in range(24)]
    assert max(len(np.unique(m[(m > 0) & (m < 254)])) for m in maps) > 3


def test_data_without_groups_will_do(grouped):
    singles = [sample for sample in grouped if sample.group == "single"]
    inputs, _ = make_batches(singles, count=4).batch_number(0)
    assert inputs["centres"][..., 2].any()
