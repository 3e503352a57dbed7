"""Crops with prompts for the prompted network: photos and composites, each animal in its turn."""

from collections.abc import Sequence

import numpy as np

from models.click_training import MAX_ROUNDS
from models.prompted import NUM_PROMPT_CHANNELS
from utils.training.animals import AnimalSample, NumberedImage, group_by_kind
from utils.training.augmentation import (
    Augmentation,
    change_appearance,
    draw_affine,
    occlude,
    warp_image,
    warp_labels,
)
from utils.training.batches import Batches
from utils.training.composites import (
    MIN_VISIBLE,
    compose,
    visible_numbers,
    with_numbers_of_photo,
)
from utils.training.simulated_prompts import Prompting, simulate_prompt, target_of

_COPIES = (2, 6)  # of one individual in a composite
_MAX_OTHERS = 2  # of its kind beside them
_OWN, _OTHERS, _PHOTO, _ROUNDS, _OCCLUDER = 1, 2, 3, 4, 5  # streams of random numbers of a crop


class PromptedBatches(Batches):
    """As `Batches`, for the model of `models.click_training.build_click_training`.

    Item i is ({"images", "prompt", "target", "draws"}, {"mask": target}). How often the network
    clicks at its own errors is the same in a whole batch, so that rounds are skipped.

    Args:
        samples: of `read_animal_list`.
        prompting: what the prompts are like.
        others: as of `Batches`.
    """

    min_visible = MIN_VISIBLE

    def __init__(
        self,
        samples: Sequence[AnimalSample],
        crop: tuple[int, int],
        steps_per_epoch: int,
        batch_size: int,
        augmentation: Augmentation,
        seed: int,
        *,
        prompting: Prompting,
        **others,
    ):
        self.prompting = prompting
        self._by_kind = group_by_kind(samples)
        # At the end, because it gives a copy of this to the processes.
        super().__init__(samples, crop, steps_per_epoch, batch_size, augmentation, seed, **others)

    def forget_samples(self):
        super().forget_samples()
        self._by_kind = {}

    def batch_number(self, number):
        first = number * self.batch_size
        rounds = np.random.default_rng([self.seed, _ROUNDS, number]).integers(MAX_ROUNDS + 1)
        crops = [self.prompted_crop(first + k, int(rounds)) for k in range(self.batch_size)]
        images, targets, prompts, draws = (np.stack(values) for values in zip(*crops, strict=True))
        targets = targets[..., None]
        inputs = {"images": images, "prompt": prompts, "target": targets, "draws": draws}
        return inputs, {name: targets for name in self.outputs}

    def prompted_crop(
        self, k: int, rounds: int = 0
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Crop k of the run.

        Args:
            k: counts from the beginning of the run.
            rounds: of clicks on the network's errors.

        Returns: image uint8 (h, w, 3), target uint8 (h, w), prompt uint8 (h, w, 4) and draws
            float32 (MAX_ROUNDS,), see `build_click_training`.
        """
        rng = np.random.default_rng([self.seed, _OWN, k])
        image, animals, preferred = self._draw_animals(k, rng)
        visible = visible_numbers(animals, self.min_visible)
        prompt = np.zeros((*animals.shape, NUM_PROMPT_CHANNELS), np.uint8)
        draws = np.full(MAX_ROUNDS, -1, np.float32)
        if rng.random() < self.prompting.empty or not visible:
            return image, target_of(animals, None), prompt, draws
        number = preferred if preferred in visible else visible[k % len(visible)]
        prompt, has_clicks = simulate_prompt(animals, number, self.prompting, rng)
        if has_clicks:
            draws[:rounds] = rng.random(rounds)
        return image, target_of(animals, number), prompt, draws

    def _draw_animals(self, k, rng):
        """Image, map of animals, and the number of the one whose turn it is, or 0."""
        place = self._sample_number(k)
        numbered = self.samples[place].read()
        # Each animal of a photo in its turn, pass by pass; not all begin with the first, which
        # mostly is the largest.
        turn, numbers = place + k // len(self.samples), numbered.numbers
        preferred = numbers[turn % len(numbers)] if numbers else 0
        cut_outs = []
        if preferred and rng.random() < self.prompting.composite:
            cut_outs = self._draw_cut_outs(k, numbered, preferred, rng)
        if cut_outs:
            photo = self.samples[self._draw_number(k, _PHOTO)].read()
            image, of_photo, _ = self._crop(photo, 0, rng)
            image, animals = compose(image, of_photo, cut_outs, self.augmentation, rng)
            animals = with_numbers_of_photo(animals, of_photo, len(cut_outs))
            preferred = 1 + k % len(cut_outs)
        else:
            image, animals, preferred = self._crop(numbered, preferred, rng)
        if rng.random() < self.augmentation.occlude:
            other = self.samples[self._draw_number(k, _OCCLUDER)].read()
            image, animals = occlude(image, animals, other.image, other.animals, rng)
        return change_appearance(image, self.augmentation, rng), animals, preferred

    def _crop(self, numbered: NumberedImage, focus: int, rng):
        """A crop of a photo, on the whole around one of its animals."""
        is_focus = (numbered.animals == focus).astype(np.uint8) if focus else numbered.animals * 0
        matrix = draw_affine(is_focus, self.crop, self.augmentation, rng)
        image = warp_image(numbered.image, matrix, self.crop)
        return image, warp_labels(numbered.animals, matrix, self.crop), focus

    def _draw_cut_outs(self, k, numbered, number, rng):
        """Copies of one animal and others of its kind, in a random order."""
        individual = numbered.cut_out(number)
        if individual is None:
            return []
        cut_outs = [individual] * int(rng.integers(_COPIES[0], _COPIES[1] + 1))
        kind = self._by_kind[self.samples[self._sample_number(k)].kind]
        picks = np.random.default_rng([self.seed, _OTHERS, k])
        for pick in picks.integers(len(kind), size=picks.integers(_MAX_OTHERS + 1)):
            other = kind[pick].read()
            if other.numbers:
                cut_outs.append(other.cut_out(other.numbers[picks.integers(len(other.numbers))]))
        cut_outs = [cut_out for cut_out in cut_outs if cut_out is not None]
        return [cut_outs[place] for place in rng.permutation(len(cut_outs))]

    def _draw_number(self, k, stream):
        return int(np.random.default_rng([self.seed, stream, k]).integers(len(self.samples)))
