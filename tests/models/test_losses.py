"""The losses by hand-worked cases: void, area, region."""

import keras
import numpy as np
import pytest
from keras import ops

from models.losses import (
    BalancedSumLoss,
    SegmentationLoss,
    binary_cross_entropy,
    soft_jaccard_loss,
)

VOID = 255
LOSSES = [SegmentationLoss(region_weight) for region_weight in (0.0, 1.0)]


def loss_ids(loss):
    return f"region{loss.region_weight}"


def random_pair(height=12, width=16, seed=0):
    """A target with an object, a background and a void border, and logits."""
    rng = np.random.default_rng(seed)
    target = np.zeros((1, height, width, 1), "uint8")
    target[:, 3:9, 4:11] = 1
    target[:, 8:10, 3:6] = VOID
    return target, rng.normal(0, 2, target.shape).astype("float32")


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits.astype("float64")))


@pytest.mark.parametrize("loss", LOSSES, ids=loss_ids)
def test_void_pixels_do_not_count(loss):
    target, logits = random_pair()
    other = logits.copy()
    other[target == VOID] = 50
    assert float(loss(target, logits)) == pytest.approx(float(loss(target, other)), rel=1e-6)
    other[0, 0, 0, 0] += 5
    assert float(loss(target, logits)) != pytest.approx(float(loss(target, other)), rel=1e-6)


@pytest.mark.parametrize("loss", LOSSES, ids=loss_ids)
def test_an_image_tiled_twice_as_large_costs_the_same(loss):
    target, logits = random_pair(48, 64)
    tiled = [np.tile(array, (1, 2, 2, 1)) for array in (target, logits)]
    # The soft Jaccard loss holds a constant of one pixel, which larger images feel less.
    tolerance = 5e-3 if loss.region_weight else 1e-5
    assert float(loss(*tiled)) == pytest.approx(float(loss(target, logits)), rel=tolerance)


def test_the_loss_of_a_batch_is_the_mean_over_its_images():
    target, logits = random_pair()
    loss = SegmentationLoss(1.0)
    second_target, second_logits = np.roll(target, 3, 1), logits[:, ::-1]
    both = loss(np.concatenate([target, second_target]), np.concatenate([logits, second_logits]))
    alone = [float(loss(target, logits)), float(loss(second_target, second_logits))]
    assert float(both) == pytest.approx(np.mean(alone), rel=1e-5)


def test_the_cross_entropy_is_the_mean_over_the_pixels_that_count():
    target, logits = random_pair()
    p, counts = sigmoid(logits), target != VOID
    entropy = -np.log(np.where(target == 1, p, 1 - p))
    expected = entropy[counts].mean()
    assert float(SegmentationLoss(0.0)(target, logits)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("loss", LOSSES, ids=loss_ids)
def test_perfect_logits_cost_nothing(loss):
    target, _ = random_pair()
    logits = np.where(target == 1, 30, -30).astype("float32")
    assert float(loss(target, logits)) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("loss", LOSSES, ids=loss_ids)
@pytest.mark.parametrize("value", [0, 1, VOID])
def test_targets_of_one_class_are_finite_and_teach(loss, value):
    target = np.full((1, 8, 8, 1), value, "uint8")
    costs = [float(loss(target, np.full(target.shape, z, "float32"))) for z in (-3, 0, 3)]
    assert np.isfinite(costs).all()
    if value == VOID:
        assert costs == pytest.approx([0, 0, 0], abs=1e-6)
    else:
        assert costs == sorted(costs, reverse=value == 1) and len(set(costs)) == 3


def test_soft_jaccard_by_hand():
    # Probabilities 1/2 everywhere, two object pixels of four: intersection 1, union 2 + 2 - 1 = 3.
    target = np.array([1, 1, 0, 0], "uint8").reshape(1, 2, 2, 1)
    loss = soft_jaccard_loss(target, np.zeros((1, 2, 2, 1), "float32"))
    assert np.asarray(loss).tolist() == pytest.approx([1 - (1 + 1) / (3 + 1)])


def test_soft_jaccard_of_void_and_of_an_empty_target():
    target = np.array([1, VOID, 0, VOID], "uint8").reshape(1, 2, 2, 1)
    loss = soft_jaccard_loss(target, np.zeros((1, 2, 2, 1), "float32"))
    # Two pixels count: intersection 1/2, union 1 + 1 - 1/2.
    assert np.asarray(loss).tolist() == pytest.approx([1 - 1.5 / 2.5])
    empty = np.zeros((1, 2, 2, 1), "uint8")
    logits = np.array([-50.0, -50, -50, -50], "float32").reshape(1, 2, 2, 1)
    assert np.asarray(soft_jaccard_loss(empty, logits)).tolist() == pytest.approx([0])
    assert np.asarray(soft_jaccard_loss(empty, -logits)).tolist() == pytest.approx([1 - 1 / 5])


def test_the_region_loss_is_added_with_its_weight():
    target, logits = random_pair()
    plain = float(SegmentationLoss(0.0)(target, logits))
    region = float(soft_jaccard_loss(target, logits)[0])
    found = float(SegmentationLoss(0.25)(target, logits))
    assert found == pytest.approx(plain + 0.25 * region, rel=1e-5)


def test_cross_entropy_from_logits_by_hand():
    logits = np.array([0.0, 2.0, -2.0, 100.0, -100.0], "float32")
    targets = np.array([1.0, 1.0, 1.0, 0.0, 1.0], "float32")
    expected = [np.log(2), np.log1p(np.exp(-2)), np.log1p(np.exp(2)), 100, 100]
    assert np.asarray(binary_cross_entropy(targets, logits)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("loss", LOSSES, ids=loss_ids)
@pytest.mark.parametrize("size", [100.0, -100.0, 1e4, 0.0])
def test_gradients_are_finite_at_large_logits(loss, size):
    import tensorflow as tf

    target, _ = random_pair()
    logits = tf.Variable(np.full(target.shape, size, "float32"))
    with tf.GradientTape() as tape:
        cost = loss(target, logits)
    gradient = np.asarray(tape.gradient(cost, logits))
    assert np.isfinite(float(cost)) and np.isfinite(gradient).all()
    assert (gradient[target == VOID] == 0).all()


def test_the_loss_takes_uint8_targets_and_half_precision_logits():
    target, logits = random_pair()
    expected = float(SegmentationLoss(1.0)(target, logits))
    found = SegmentationLoss(1.0)(target, ops.cast(logits, "bfloat16"))
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    assert float(found) == pytest.approx(expected, rel=2e-2)


def test_the_loss_comes_back_from_its_configuration():
    loss = SegmentationLoss(2.0)
    again = SegmentationLoss.from_config(loss.get_config())
    assert again.region_weight == 2.0


def test_the_balanced_sum_by_hand():
    # One object pixel of four that count: it weighs 3/4, each of the others 1/4.
    target = np.array([1, 0, 0, 0, VOID], "uint8").reshape(1, 1, 5, 1)
    logits = np.array([0.0, 0, 2, -1, 9], "float32").reshape(target.shape)
    entropy = np.log1p(np.exp([0.0, 0, 2, -1]))  # of label 1 at logit 0, and of label 0
    expected = 0.75 * entropy[0] + 0.25 * entropy[1:].sum()
    assert float(BalancedSumLoss()(target, logits)) == pytest.approx(expected, rel=1e-5)


def test_the_balanced_sum_grows_with_the_image_and_is_zero_without_an_object():
    target, logits = random_pair()
    tiled = [np.tile(array, (1, 2, 2, 1)) for array in (target, logits)]
    loss = BalancedSumLoss()
    assert float(loss(*tiled)) == pytest.approx(4 * float(loss(target, logits)), rel=1e-5)
    assert float(loss(np.zeros_like(target), logits)) == 0
