"""The prompted network as it is trained: it is clicked at, and corrected where it is wrong.

After RITM (Sofiiuk et al., "Reviving Iterative Training with Mask Guidance for Interactive
Segmentation", 2021): before the step that counts, up to three times, the network predicts, and a
click is put into the middle of its largest error. All of it are layers, so that `fit` and every
backend of Keras train it as any other network.
"""

import keras
from keras import ops

from models.prompted import (
    CLICK_RADIUS_PX,
    PROMPT_CHANNELS,
    feature_maps,
    split_prompted_model,
)

MAX_ROUNDS = 3
_POOL = 4  # errors are looked at in cells of so many pixels
_CLICKS = 2  # the first channels: positive, then negative clicks
_MASK = PROMPT_CHANNELS.index("mask")


def build_click_training(network: keras.Model, rounds: int = MAX_ROUNDS) -> keras.Model:
    """Wraps a prompted network for training; both share all layers.

    Args:
        network: of `models.build_prompted_model`.
        rounds: of clicks, at most MAX_ROUNDS; fewer make a smaller graph.

    Returns:
        a model from "images", "prompt" (see there), "target" (uint8 (batch, h, w, 1): 1 animal, 0
        background, 255 void) and "draws" (float32 (batch, MAX_ROUNDS)) to {"mask": logits} for the
        prompt with all simulated clicks. A draw below 0 means no click in that round. Otherwise it
        is a number 0..1, which chooses a pixel of the error's middle.
    """
    maps = feature_maps(network)
    head = split_prompted_model(network)[1]
    prompt = network.input["prompt"]
    target = keras.Input((None, None, 1), dtype="uint8", name="target")
    draws = keras.Input((MAX_ROUNDS,), name="draws")
    clicked = SimulatedClicks(head, rounds, name="simulated_clicks")([*maps, prompt, target, draws])
    inputs = {**network.input, "target": target, "draws": draws}
    outputs = head([*maps, clicked])
    return keras.Model(inputs, outputs, name=f"clicked_{network.name}")


class SimulatedClicks(keras.layers.Layer):
    """Adds clicks on the errors of a network to a prompt, round by round; nothing is learned.

    Call: [maps of the backbone, prompt, target, draws] -> prompt. Where a round adds a
    click, the prompt's mask becomes what the network predicted, as on the page.

    Args:
        head: of `split_prompted_model`.
        rounds: how many columns of the draws count.
    """

    def __init__(self, head: keras.Model, rounds: int = MAX_ROUNDS, **kwargs):
        super().__init__(dtype="float32", **kwargs)  # places need more digits than half precision
        self.head = head
        self.rounds = rounds

    def call(self, inputs):
        *maps, prompt, target, draws = inputs
        maps = [ops.stop_gradient(values) for values in maps]
        for index in range(self.rounds):
            draw = draws[:, index]
            prompt = ops.cond(
                ops.any(draw >= 0),
                lambda prompt=prompt, draw=draw: self._click(maps, prompt, target, draw),
                lambda prompt=prompt: ops.stop_gradient(prompt),
            )
        return prompt

    def compute_output_spec(self, inputs):
        prompt = inputs[-3]
        return keras.KerasTensor(prompt.shape, dtype="float32")

    def _click(self, maps, prompt, target, draw):
        logits = self.head([*maps, prompt])["mask"]
        found = ops.stop_gradient(ops.cast(logits > 0, "float32"))
        missing = ops.cast(target == 1, "float32") * (1 - found)
        excess = ops.cast(target == 0, "float32") * found
        y, x, is_positive, is_clicked = choose_error(missing, excess, draw)
        disks = draw_disks(ops.shape(prompt)[1:3], y, x) * _per_pixel(is_clicked)
        is_positive = _per_pixel(is_positive)
        clicks = ops.concatenate([disks * is_positive, disks * (1 - is_positive)], axis=-1)
        # Where clicks of both kinds overlap, the later one counts, as in `make_prompt`.
        clicks = ops.maximum(prompt[..., :_CLICKS] * (1 - disks), clicks)
        # A sample without a click in this round keeps its mask.
        mask = ops.where(_per_pixel(draw) >= 0, found, prompt[..., _MASK : _MASK + 1])
        updated = ops.concatenate([clicks, mask, prompt[..., _MASK + 1 :]], axis=-1)
        return ops.stop_gradient(ops.reshape(updated, (-1, *ops.shape(prompt)[1:])))


def choose_error(missing, excess, draw):
    """Chooses the next click: a place near the middle of the error with the most room in it.

    The error in which the largest octagon fits, with everything that is at least half as far from
    its border as the middle, as RITM does it with the Euclidean distance.

    Args:
        missing, excess: float32 (batch, h, w, 1), 1 where the animal was not found, and where
            something else was.
        draw: float32 (batch,), 0..1, chooses among these places; below 0 for no click.

    Returns:
        y and x in pixels of the image, is_positive and is_clicked (0 or 1): float32 (batch,).
    """
    errors = ops.concatenate([missing, excess], axis=-1)
    # Cells at the right and lower border that are not complete are left out.
    cells = ops.average_pool(errors, _POOL, _POOL, padding="valid")
    depth = _depth(ops.cast(cells > 0.5, "float32"))
    _, height, width, _ = ops.shape(depth)
    by_kind = ops.max(depth, axis=(1, 2))  # (batch, 2)
    top = ops.max(by_kind, axis=1)
    is_positive = ops.cast(by_kind[:, 0] > by_kind[:, 1], "float32")
    depth = ops.where(_per_pixel(is_positive) > 0, depth[..., :1], depth[..., 1:])
    inner = ops.cast(ops.reshape(depth > _per_pixel(top) / 2, (-1, height * width)), "float32")
    ranks = ops.cumsum(inner, axis=1)
    chosen = ops.argmax(ops.cast(ranks > (draw * ranks[:, -1])[:, None], "float32"), axis=1)
    chosen = ops.cast(chosen, "int32")
    y = (ops.cast(chosen // width, "float32") + 0.5) * _POOL
    x = (ops.cast(chosen % width, "float32") + 0.5) * _POOL
    is_clicked = ops.cast(ops.logical_and(draw >= 0, top > 0), "float32")
    return y, x, is_positive, is_clicked


def draw_disks(size, y, x, radius: float = CLICK_RADIUS_PX):
    """Disks around places in pixels: float32 (batch, h, w, 1), 1 inside."""
    down = ops.arange(size[0], dtype="float32")[None, :, None, None] + 0.5 - _per_pixel(y)
    across = ops.arange(size[1], dtype="float32")[None, None, :, None] + 0.5 - _per_pixel(x)
    return ops.cast(down**2 + across**2 <= radius**2, "float32")


def _depth(cells):
    """How often each cell is still there while everything is eroded, 0 outside: (batch, h, w, c).

    Crosses and squares take turns, so that what is left of a disk is an octagon.
    """

    def erode(cells, *kernels):
        padded = ops.pad(1 - cells, [(0, 0), (1, 1), (1, 1), (0, 0)], constant_values=1.0)
        eroded = cells
        for height, width in kernels:
            y, x = (3 - height) // 2, (3 - width) // 2
            _, rows, columns, _ = ops.shape(padded)
            window = padded[:, y : rows - y, x : columns - x, :]
            hit = ops.max_pool(window, (height, width), 1, padding="valid")
            eroded = ops.minimum(eroded, 1 - hit)
        return eroded

    def step(cells, depth):
        depth, cells = depth + cells, erode(cells, (1, 3), (3, 1))
        return erode(cells, (3, 3)), depth + cells

    _, depth = ops.while_loop(
        lambda cells, depth: ops.any(cells > 0), step, (cells, ops.zeros_like(cells))
    )
    return depth


def _per_pixel(values):
    return ops.reshape(values, (-1, 1, 1, 1))
