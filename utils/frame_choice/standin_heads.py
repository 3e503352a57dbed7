"""Small heads on the network's maps, one per labelled frame, that stand in for fine-tuning."""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np

from utils import backend
from utils.frame_choice.pixel_maps import STRIDE, PixelMaps, Progress
from utils.training.optimizers import reset_optimizer


@dataclass(frozen=True)
class StandIn:
    """How the heads are trained.

    Attributes:
        lines: shorter side at which the network sees a frame, px.
        hidden_units: units of a head's one hidden layer.
        steps: steps of Adam.
        pixels: drawn for each step from the labelled frame, the same places for every candidate.
        learning_rate: learning rate of Adam, constant.
        seed: seed of the start weights and the drawn pixels.
    """

    lines: int = 480
    hidden_units: int = 48
    steps: int = 150
    pixels: int = 4096
    learning_rate: float = 3e-3
    seed: int = 0


def build_head(
    num_channels: int, hidden_units: int, num_heads: int = 1, seed: int = 0
) -> keras.Model:
    """Builds a network of one hidden layer that sees each pixel alone, or several side by side.

    Before any training its output is the network's own logit.

    Args:
        num_channels: channels of the maps, c.
        hidden_units: hidden units of each head.
        num_heads: heads side by side, k.
        seed: seed of the hidden layer.

    Returns:
        a model from {"features": (batch, h, w, c), "logit": (batch, h, w, 1)} to logits
        (batch, h, w, k).
    """
    features = keras.Input((None, None, num_channels), name="features")
    logit = keras.Input((None, None, 1), name="logit")
    x = keras.layers.Dense(
        hidden_units * num_heads,
        activation="relu",
        kernel_initializer=keras.initializers.HeNormal(seed),
        name="hidden",
    )(features)
    x = keras.layers.Concatenate(name="with_logit")([x, logit])
    logits = keras.layers.Dense(num_heads, kernel_initializer="zeros", name="logits")
    model = keras.Model({"features": features, "logit": logit}, logits(x), name="heads")
    logits.kernel.assign(_join_kernels([np.eye(hidden_units + 1, 1, -hidden_units)] * num_heads))
    return model


def train_heads(
    maps: PixelMaps,
    labels: Sequence[np.ndarray],
    candidates: Sequence[int],
    loss: keras.losses.Loss,
    settings: StandIn,
    progress: Progress,
) -> keras.Model:
    """Trains a head on each candidate, all from the same start weights.

    Args:
        maps: the maps of the video.
        labels: uint8 (height, width) per frame: 0, 1, 255 void; only the candidates' are used.
        candidates: frames, each labelled for one head.
        loss: loss on logits (1, pixels, 1, 1).
        settings: how the heads are trained.
        progress: wraps the candidates for display.

    Returns:
        all heads side by side, in the order of the candidates, as a model of `build_head`.

    Raises:
        FloatingPointError: if the loss of a head is not finite.
    """
    head = build_head(len(maps.mean), settings.hidden_units, seed=settings.seed)
    start = [keras.ops.convert_to_numpy(v.value) for v in head.weights]
    head.compile(
        keras.optimizers.Adam(settings.learning_rate), loss, jit_compile=backend.jit_compile()
    )
    trained = []
    for place in progress(range(len(candidates)), "learning labels"):
        for variable, value in zip(head.weights, start, strict=True):
            variable.assign(value)
        reset_optimizer(head.optimizer)
        _train_head(head, *maps.read(candidates[place]), labels[candidates[place]], settings)
        trained.append([keras.ops.convert_to_numpy(v.value) for v in head.weights])
    joined = build_head(len(maps.mean), settings.hidden_units, len(trained))
    hidden, hidden_bias, logits, logits_bias = zip(*trained, strict=True)
    joined.get_layer("hidden").kernel.assign(np.concatenate(hidden, axis=1))
    joined.get_layer("hidden").bias.assign(np.concatenate(hidden_bias))
    joined.get_layer("logits").kernel.assign(_join_kernels(logits))
    joined.get_layer("logits").bias.assign(np.concatenate(logits_bias))
    return joined


def predict_logits(maps: PixelMaps, heads: keras.Model, progress: Progress) -> np.ndarray:
    """Segments every frame with each head: logits, float16 (n, h, w, heads), stride `STRIDE`."""
    logits = []
    for frame in progress(range(maps.num_frames), "segmenting"):
        features, logit = maps.read(frame)
        inputs = {"features": features[None], "logit": logit[None]}
        logits.append(np.asarray(heads.predict_on_batch(inputs))[0].clip(-99, 99).astype("float16"))
    return np.stack(logits)


def _train_head(head, features, logit, label, settings):
    rows, columns = (
        np.minimum(
            STRIDE * np.arange(count), length - 1
        )  # the border is repeated, as for the network
        for count, length in zip(features.shape[:2], label.shape, strict=True)
    )
    targets = label[np.ix_(rows, columns)].reshape(-1, 1)
    features, logit = features.reshape(-1, features.shape[-1]), logit.reshape(-1, 1)
    for step in range(settings.steps):
        rng = np.random.default_rng([settings.seed, step])
        pixels = rng.integers(len(targets), size=settings.pixels)
        seen = {"features": features[pixels][None, :, None], "logit": logit[pixels][None, :, None]}
        value = head.train_on_batch(seen, targets[pixels][None, :, None])
    if not np.isfinite(value):
        raise FloatingPointError("The loss of a stand-in head is not finite. Try another --seed.")


def _join_kernels(kernels):
    """Joins output kernels (hidden + 1, 1) of several heads to one (heads * hidden + 1, heads).

    A head reads its own hidden units, and the logit, which is last.
    """
    hidden = len(kernels[0]) - 1
    joined = np.zeros((hidden * len(kernels) + 1, len(kernels)), "float32")
    for head, kernel in enumerate(kernels):
        joined[head * hidden : (head + 1) * hidden, head] = kernel[:-1, 0]
        joined[-1, head] = kernel[-1, 0]
    return joined
