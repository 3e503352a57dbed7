"""Crops for the instance head: composites, photos of groups, and single animals."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from utils.training.animals import (
    AnimalSample,
    CutOut,
    group_by_kind,
    has_numbers,
    numbers_in,
)
from utils.training.augmentation import (
    Augmentation,
    change_appearance,
    draw_affine,
    occlude,
    warp_image,
    warp_labels,
)
from utils.training.batches import Batches
from utils.training.composites import compose, with_numbers_of_photo
from utils.training.instance_targets import instance_targets

# Shares of the crops; the others show one animal, so that these stay whole.
_COMPOSITE, _PHOTO = 0.5, 0.33
# From which group an image is taken: of a photo, of a single animal, under and in composites, and
# of what grows in front.
_PHOTO_OF = {"several": 0.85, "one": 0.15}
_SINGLE_OF = {"single": 0.7, "one": 0.3}
_BACKGROUND_OF = {"several": 0.4, "one": 0.3, "single": 0.3}
_CUT_OUT_OF = {"several": 0.5, "one": 0.2, "single": 0.3}
_OCCLUDER_OF = {"several": 0.3, "one": 0.3, "single": 0.4}
_COPIES = (2, 6)  # animals of a composite
_SAME = 0.5  # share of composites that show copies of one individual
_MAX_OTHERS = 2  # of its kind beside these
_TRIES = 6  # to find an animal that is large enough
_PARTLY_LABELLED = ("wild",)  # kinds of images in which some animals are not labelled


@dataclass(frozen=True)
class GroupedSample(AnimalSample):
    """An image of a group: with several or one numbered animal; or "single", with one animal in an
    annotation without numbers."""

    group: Literal["several", "one", "single"]


def group_samples(samples: Iterable[AnimalSample]) -> list[GroupedSample]:
    """Reads all annotations; images without an animal, and masks of several pieces, which may be
    several animals or one, are left out."""
    grouped = []
    for sample in samples:
        animals, are_single = sample.read_animals()
        count = len(numbers_in(animals))
        if count and are_single:
            is_numbered = has_numbers(sample.annotation_path)
            group = ("several" if count > 1 else "one") if is_numbered else "single"
            grouped.append(GroupedSample(sample.image_path, sample.annotation_path, group))
    return grouped


class InstanceBatches(Batches):
    """As `Batches`, for the model of `models.instance_training.build_instance_training`.

    Item i is ({"images", "centres"}, targets by output), see `instance_targets`. Images are drawn
    from their groups at random, not in turn.

    Args:
        samples: of `group_samples`.
        others: as of `Batches`.
    """

    def __init__(
        self,
        samples: Sequence[GroupedSample],
        crop: tuple[int, int],
        steps_per_epoch: int,
        batch_size: int,
        augmentation: Augmentation,
        seed: int,
        **others,
    ):
        self._by_kind, self._by_group = group_by_kind(samples), defaultdict(list)
        for sample in samples:
            self._by_group[sample.group].append(sample)
        # At the end, because it gives a copy of this to the processes.
        super().__init__(samples, crop, steps_per_epoch, batch_size, augmentation, seed, **others)

    def batch_number(self, number):
        first = number * self.batch_size
        images, all_centres, all_targets = [], [], []
        for k in range(first, first + self.batch_size):
            image, animals, is_partly_labelled = self.instance_crop(k)
            centres, targets = instance_targets(animals, is_partly_labelled)
            images.append(image)
            all_centres.append(centres)
            all_targets.append(targets)
        inputs = {"images": np.stack(images), "centres": np.stack(all_centres)}
        return inputs, {name: np.stack([t[name] for t in all_targets]) for name in self.outputs}

    def instance_crop(self, k: int) -> tuple[np.ndarray, np.ndarray, bool]:
        """Crop k of the run.

        Returns: image uint8 (h, w, 3), map of animals uint8 (h, w), and whether there may be
            animals that are not labelled.
        """
        rng = np.random.default_rng([self.seed, 1, k])
        turn = rng.random()
        cut_outs = self._draw_cut_outs(rng) if turn < _COMPOSITE else []
        if len(cut_outs) > 1:
            sample = self._pick(rng, _BACKGROUND_OF)
            image, of_photo = self._crop(sample, rng, on_animal=False)
            image, animals = compose(image, of_photo, cut_outs, self.augmentation, rng)
            animals = with_numbers_of_photo(animals, of_photo, len(cut_outs))
        else:
            is_photo = turn < _COMPOSITE + _PHOTO
            sample = self._pick(rng, _PHOTO_OF if is_photo else _SINGLE_OF)
            image, animals = self._crop(sample, rng, on_animal=True)
        if rng.random() < self.augmentation.occlude:
            other = self._pick(rng, _OCCLUDER_OF).read()
            image, animals = occlude(image, animals, other.image, other.animals, rng)
        image = change_appearance(image, self.augmentation, rng)
        return image, animals, sample.kind in _PARTLY_LABELLED

    def _pick(self, rng, shares) -> GroupedSample:
        """An image of one of the groups; of any, if the data have none of them."""
        shares = {group: share for group, share in shares.items() if self._by_group.get(group)}
        shares = shares or dict.fromkeys(self._by_group, 1.0)
        weights = np.array(list(shares.values()))
        group = list(shares)[rng.choice(len(shares), p=weights / weights.sum())]
        return self._by_group[group][rng.integers(len(self._by_group[group]))]

    def _crop(self, sample, rng, on_animal):
        """A crop of a photo, on the whole around one of its animals if `on_animal`."""
        numbered = sample.read()
        is_focus = np.zeros_like(numbered.animals)
        if on_animal:
            is_focus[numbered.animals == rng.choice(numbered.numbers)] = 1
        matrix = draw_affine(is_focus, self.crop, self.augmentation, rng)
        image = warp_image(numbered.image, matrix, self.crop)
        return image, warp_labels(numbered.animals, matrix, self.crop)

    def _draw_cut_outs(self, rng) -> list[CutOut]:
        """Copies of one individual and others of its kind, or all of them different."""
        individual = None
        for _ in range(_TRIES):
            sample = self._pick(rng, _CUT_OUT_OF)
            individual = _cut_out(sample, rng)
            if individual is not None:
                break
        else:
            return []
        copies, others = int(rng.integers(_COPIES[0], _COPIES[1] + 1)), 0
        if rng.random() < _SAME:
            others = int(rng.integers(_MAX_OTHERS + 1))
        else:
            copies, others = 1, copies - 1
        kind = self._by_kind[sample.kind]
        cut_outs = [individual] * copies
        cut_outs += [_cut_out(kind[n], rng) for n in rng.integers(len(kind), size=others)]
        cut_outs = [cut_out for cut_out in cut_outs if cut_out is not None]
        return [cut_outs[place] for place in rng.permutation(len(cut_outs))]


def _cut_out(sample, rng):
    numbered = sample.read()
    return numbered.cut_out(rng.choice(numbered.numbers))
