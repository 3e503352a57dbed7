"""One network that learns several animals at once, a channel each."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from models.channels import FUSING_LAYER
from models.losses import BalancedSumLoss, SegmentationLoss
from tests.stage3_world import TINY, animal, frame, frame_of_two, tiny_network, two_animals
from utils.stage3.fine_tuning import FineTuner
from utils.stage3.inference import predict_probability
from utils.stage3.settings import PaperFineTuning
from utils.stage3.sharing import Sharing, labelled_together
from utils.training.batches import FrameSample
from utils.training.several_animals import TurnSample


class CountedLoss(SegmentationLoss):
    calls = 0

    def call(self, *arguments):
        type(self).calls += 1
        return super().call(*arguments)


def tuner_of(loss=None, **settings):
    keras.utils.set_random_seed(7)
    settings = replace(TINY.fine_tuning, **settings)
    return FineTuner(tiny_network(), loss or SegmentationLoss(1.0), settings, seed=0)


def turns(index=2):
    targets = np.stack([two_animals(index) == number for number in (1, 2)]).astype("uint8")
    return [TurnSample(frame_of_two(index), targets, turn) for turn in (0, 1)]


def values(model):
    return [np.array(v.value) for v in model.variables]


def assert_same(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def test_each_channel_learns_its_animal_in_one_training():
    tuner = tuner_of(steps=24).for_animals(2)
    tuner.fit(turns())
    found = predict_probability(tuner.model, frame_of_two(3), flip=False)
    for channel, number in enumerate((1, 2)):
        truth = two_animals(3) == number
        mask = found[..., channel] > 0.5
        assert (mask & truth).sum() / (mask | truth).sum() > 0.6


def test_the_training_step_is_traced_once_for_each_number_of_animals(monkeypatch):
    monkeypatch.setattr(CountedLoss, "calls", 0)
    one = tuner_of(CountedLoss(1.0))
    weights = []
    for _ in range(2):
        one.fit([FrameSample(frame(0), animal(0))])
        two = one.for_animals(2)
        two.fit(turns())
        weights.append(values(two.model))
    assert CountedLoss.calls == 2
    assert_same(*weights)


def test_what_one_animal_is_learnt_from_does_not_depend_on_several_before():
    alone, after = tuner_of(), tuner_of()
    after.for_animals(2).fit(turns())
    for tuner in (alone, after):
        tuner.start_again()
    after.model.set_weights(alone.model.get_weights())
    after.keep_as_start()
    results = []
    for tuner in (alone, after):
        assert tuner.for_animals(1) is tuner
        tuner.fit([FrameSample(frame(0), animal(0))])
        results.append(values(tuner.model))
    assert_same(*results)


def test_the_last_convolution_of_several_learns_faster():
    """All of its filters begin as the same one."""
    moved = []
    for tuner, samples in (
        (tuner_of(head_learning_rate=1e-3), [FrameSample(frame_of_two(2), animal(2))]),
        (tuner_of(head_learning_rate=1e-3).for_animals(2), turns()),
    ):
        before = tuner.model.get_layer(FUSING_LAYER).get_weights()[0]
        tuner.fit(samples)
        moved.append(np.abs(tuner.model.get_layer(FUSING_LAYER).get_weights()[0] - before).max())
    assert moved[1] > 4 * moved[0]


def test_the_papers_filters_do_not_stay_the_same():
    paper = PaperFineTuning(
        **vars(replace(TINY.fine_tuning, frozen_blocks=0, head_learning_rate=1e-4)) | {"steps": 8}
    )
    keras.utils.set_random_seed(7)
    two = FineTuner(tiny_network(), BalancedSumLoss(), paper, seed=0).for_animals(2)
    two.fit(turns())
    kernel = two.model.get_layer(FUSING_LAYER).get_weights()[0]
    assert np.abs(kernel[..., 0] - kernel[..., 1]).max() > 0.01


def test_all_start_from_what_was_kept_as_the_start():
    one = tuner_of()
    two = one.for_animals(2)
    one.fit([FrameSample(frame(0), animal(0))])
    one.keep_as_start()
    learnt = {v.path: np.array(v.value) for v in one.model.variables}
    two.fit(turns())
    two.start_again()
    for variable in two.model.variables:
        channels = np.split(np.array(variable.value), 2, axis=-1)
        for value in channels if FUSING_LAYER in variable.path else [np.array(variable.value)]:
            np.testing.assert_array_equal(value, learnt[variable.path])


def test_the_network_for_one_animal_becomes_that_of_each_in_turn():
    one = tuner_of()
    two = one.for_animals(2)
    two.fit(turns())
    found = predict_probability(two.model, frame_of_two(3), flip=False)
    odds = []
    for place in (0, 1):
        two.hold(place)
        alone = predict_probability(one.model, frame_of_two(3), flip=False).astype("float64")
        assert alone.ndim == 2
        odds.append(alone / np.maximum(1 - alone, 1e-7))
    together = np.stack(odds, axis=-1)
    together /= 1 + together.sum(-1, keepdims=True)
    np.testing.assert_allclose(found, together, atol=1e-3)


@pytest.mark.parametrize(
    "loss, is_sum", [(SegmentationLoss(1.0), False), (BalancedSumLoss(), True)]
)
def test_losses_that_are_sums_are_summed_over_animals(loss, is_sum):
    assert tuner_of(loss).for_animals(2).loss.is_sum == is_sum


def test_steps_and_pixels_hardly_grow_with_the_number_of_animals():
    sharing = Sharing()
    assert sharing.steps_for(1) == sharing.pixels_for(1) == 1
    assert 1 < sharing.steps_for(2) < 1.1 and 1 < sharing.pixels_for(2) < 1.2
    assert sharing.steps_for(8) <= sharing.steps_for(200) <= 1.5
    assert sharing.pixels_for(8) < 1.8
    assert tuner_of().for_animals(8).settings.steps == 12  # of 8


def test_animals_that_are_labelled_in_the_same_frames_are_followed_together():
    three = np.array([[0, 1, 1, 2, 7, 255]], "uint8")
    assert labelled_together({4: three}) == [(1, 2, 7)]
    only_two = np.where(three == 2, three, 0)
    assert labelled_together({4: three, 9: only_two}) == [(1, 7), (2,)]
