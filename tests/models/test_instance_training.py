"""The instance head as it is trained: losses by hand, the frozen network, what learns."""

import keras
import numpy as np
import pytest

from models.instance_losses import (
    INSTANCE_LOSSES,
    LOSS_WEIGHTS,
    AssignmentLoss,
    BorderLoss,
    CentreLoss,
    OffsetLoss,
)
from models.instance_training import MAX_ANIMALS, Votes, build_instance_training
from tests.tiny_prompted import network_with_tiny_backbone
from utils.training.instance_targets import instance_targets

CROP = 32


def column(*rows):
    """A map of one column: (1, h, 1, channels)."""
    return np.array(rows, "float32")[None, :, None, :]


def test_a_centre_costs_what_is_missed_and_what_is_excess():
    # Even odds: (1 - p)^2 log 2 at the centre, (1 - heat)^4 p^2 log 2 elsewhere.
    target = column((1, 2), (0.5, 2), (0, 2))
    loss = float(CentreLoss()(target, column((0, 0.9), (0, 0.9), (0, 0.9))))
    assert loss == pytest.approx((1 + 0.5**4 + 1) * 0.25 * np.log(2), rel=1e-5)


def test_a_centre_is_not_asked_for_where_the_network_finds_something_unlabelled():
    target = column((1, -1), (0, 0.3), (0, 0.3), (0, -1))  # the last is void
    found = column((0, 0.9), (0, 0.9), (0, 0.1), (0, 0.1))
    assert float(CentreLoss()(target, found)) == pytest.approx(0.5 * np.log(2), rel=1e-5)


def test_offsets_cost_lengths_of_the_animal_and_small_animals_weigh_more():
    target = column((0, 0, 64), (0, 0, 128), (5, 5, 0))
    found = column((32, -32), (0, 64), (900, 900))
    expected = (1.0 / 64 + 0.5 / 128) / (1 / 64 + 1 / 128)
    assert float(OffsetLoss()(target, found)) == pytest.approx(expected, rel=1e-5)
    assert float(OffsetLoss()(target * 0, found)) == 0


def test_a_pixel_is_to_point_to_its_own_animal():
    centres = np.zeros((1, MAX_ANIMALS, 3), "float32")
    centres[0, :2] = (0, 0, 1), (8, 0, 1)
    # Pixels at y = 0 and 4; the first points to the second animal, the other to the first.
    votes = np.asarray(Votes()(column((8, 0), (0, -4)), centres))
    near, far = np.exp(-1 / 8), np.exp(-(65**0.5) / 8)
    assert votes[0, :, 0].argmax(-1).tolist() == [1, 0]
    loss = float(AssignmentLoss()(column((1, 30), (1, 0)), votes))
    assert loss == pytest.approx(-np.log(near / (near + far)), rel=1e-4)


def test_borders_count_three_times_and_void_not_at_all():
    loss = float(BorderLoss()(column([1], [0], [255]), column([0], [0], [9])))
    assert loss == pytest.approx((3 + 1) * np.log(2) / 2, rel=1e-5)


def test_a_few_steps_teach_the_head_and_leave_the_network():
    keras.utils.set_random_seed(0)
    network = network_with_tiny_backbone()
    before = [np.array(v) for v in network.weights]
    model = build_instance_training(network, CROP)
    assert all(v.path.startswith("instance_") for v in model.weights)
    assert len(model.weights) == len(model.trainable_variables)
    animals = np.zeros((CROP, CROP), "uint8")
    animals[4:24, 2:14], animals[8:28, 16:30] = 1, 2
    centres, targets = instance_targets(animals)
    images = np.repeat(animals[..., None] * np.uint8(100), 3, axis=-1)
    x = {"images": images[None], "centres": centres[None]}
    y = {name: values[None] for name, values in targets.items()}
    model.compile(keras.optimizers.Adam(5e-3), INSTANCE_LOSSES, LOSS_WEIGHTS, jit_compile=False)
    losses = [float(model.train_on_batch(x, y, return_dict=True)["loss"]) for _ in range(12)]
    assert losses[-1] < 0.7 * losses[0], losses
    assert all(
        (one == np.array(two)).all() for one, two in zip(before, network.weights, strict=True)
    )
    answers = model.predict_on_batch(x)
    assert {name: values.shape for name, values in answers.items()} == {
        "centre": (1, 8, 8, 2),
        "offset": (1, 8, 8, 2),
        "assignment": (1, 8, 8, MAX_ANIMALS),
        "border": (1, 8, 8, 1),
    }
