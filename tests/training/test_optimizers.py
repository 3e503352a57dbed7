"""The optimizer computes its learning rate once per update, with the updates of Keras's own."""

import keras
import numpy as np

from utils.training.optimizers import AdamW


class Counted(keras.optimizers.schedules.CosineDecay):
    """How many times it was evaluated, which for a traced step is how many times it was traced."""

    calls = 0

    def __call__(self, step):
        self.calls += 1
        return super().__call__(step)


def train(optimizer):
    keras.utils.set_random_seed(0)
    image = keras.Input((4,), name="image")
    x = image
    for number in range(4):
        x = keras.layers.Dense(4, name=f"dense_{number}")(x)
    model = keras.Model(image, x)
    model.compile(optimizer=optimizer, loss="mse", jit_compile=False)
    rng = np.random.default_rng(0)
    data = rng.normal(size=(2, 12, 4)).astype("float32")
    model.fit(*data, batch_size=4, epochs=2, shuffle=False, verbose=0)
    return [keras.ops.convert_to_numpy(variable.value) for variable in model.variables]


def schedule():
    return Counted(1e-3, 20, alpha=0.5, warmup_target=1e-2, warmup_steps=3)


def test_updates_are_those_of_keras():
    ours = train(AdamW(schedule(), weight_decay=1e-2, clipnorm=1.0))
    theirs = train(keras.optimizers.AdamW(schedule(), weight_decay=1e-2, clipnorm=1.0))
    # The same sums, rounded in another order where an update is one operation.
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


def test_the_learning_rate_is_traced_once_per_trace_and_not_once_per_variable():
    rate = schedule()
    train(AdamW(rate, weight_decay=1e-2))
    assert 1 <= rate.calls <= 2 * 2  # TensorFlow traces twice where the step creates variables


def test_a_learning_rate_can_be_set():
    optimizer = AdamW(1e-3)
    optimizer.learning_rate = 0.5
    assert float(optimizer.learning_rate) == 0.5
