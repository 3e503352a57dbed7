"""How well a prompted network does on images that it was not trained on."""

from collections.abc import Sequence

import numpy as np

from utils.media.labels import VOID
from utils.training.animals import AnimalSample
from utils.training.clicks import make_prompt, next_click
from utils.training.prompted_network import PromptedNetwork
from utils.training.simulated_prompts import body_length, target_of
from utils.training.validation import overlap

NUM_CLICKS = 3
_SHIFT = 0.3  # of a body length: the earlier mask


def prompted_iou(network: PromptedNetwork, samples: Sequence[AnimalSample]) -> dict[str, float]:
    """Measures IoU without a prompt, with clicks and with a mask, of the largest animal of each
    image.

    Args:
        network: the one to measure.
        samples: images, read one at a time.

    Returns:
        means over the images, 0..1: "iou_no_prompt" (all animals), "iou_clicks1" and "iou_clicks3"
        (each click in the middle of the largest error), "iou_mask_alone" (the animal's mask moved
        by 0.3 body lengths), "iou_mask" (the same with the masks of all others), and
        "validation_iou", the mean of the five.
    """
    rows = [_measure(network, sample, index) for index, sample in enumerate(samples)]
    means = {
        name: round(float(np.mean([row[name] for row in rows if name in row])), 5)
        for name in dict.fromkeys(name for row in rows for name in row)
    }
    return {"validation_iou": round(float(np.mean(list(means.values()))), 5), **means}


def _measure(network, sample, index):
    numbered = sample.read()
    size = numbered.animals.shape
    maps = network.look(numbered.image)
    found = network.probability(maps, make_prompt(size)) > 0.5
    row = {"iou_no_prompt": overlap(found, target_of(numbered.animals, None))}
    if not numbered.numbers:
        return row
    number = max(numbered.numbers, key=lambda n: np.count_nonzero(numbered.animals == n))
    target = target_of(numbered.animals, number)
    ious = click_at(network, maps, target, NUM_CLICKS)
    row |= {"iou_clicks1": ious[0], f"iou_clicks{NUM_CLICKS}": ious[-1]}
    moved = shift_mask(target == 1, _SHIFT, 2.4 * index)  # 2.4 rad: directions all around
    others = (numbered.animals > 0) & (numbered.animals != VOID) & (target == 0)
    prompts = {
        "iou_mask_alone": make_prompt(size, mask=moved),
        "iou_mask": make_prompt(size, mask=moved, others=others & ~moved),
    }
    found = {name: network.probability(maps, prompt) > 0.5 for name, prompt in prompts.items()}
    return row | {name: overlap(mask, target) for name, mask in found.items()}


def click_at(network: PromptedNetwork, maps, target: np.ndarray, num_clicks: int) -> list[float]:
    """Clicks at errors: returns the IoU after each click.

    Args:
        maps: of `network.look`.
        target: uint8 (H, W), 1 animal, 0 background, 255 void.
    """
    found, clicks, ious = np.zeros(target.shape, bool), [], []
    for _ in range(num_clicks):
        click = next_click((target == 1) & ~found, (target == 0) & found)
        if click:
            clicks.append((click.x, click.y, click.is_positive))
            prompt = make_prompt(target.shape, clicks, found)
            found = network.probability(maps, prompt) > 0.5
        ious.append(overlap(found, target))
    return ious


def shift_mask(mask: np.ndarray, body_lengths: float, direction: float) -> np.ndarray:
    """The mask, bool (H, W), moved by a share of its body length in a direction in radians."""
    distance = body_lengths * body_length(mask)
    dx, dy = round(distance * np.cos(direction)), round(distance * np.sin(direction))
    height, width = mask.shape
    moved = np.zeros_like(mask)
    ys, xs = np.nonzero(mask)
    ys, xs = ys + dy, xs + dx
    inside = (ys >= 0) & (ys < height) & (xs >= 0) & (xs < width)
    moved[ys[inside], xs[inside]] = True
    return moved
