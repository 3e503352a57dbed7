"""Cuts an animal out of a window of the frame with cv2.grabCut, from marks and a probability."""

import cv2
import numpy as np

from utils.annotator.click_marks import WindowMarks, disk

_MIN_COLOUR_SPREAD = 12.0  # Lab units: colours no further from those under a click are like them
# Multiples of the distance from a click to the nearest pixel where the mask agrees with it, limited
# to shares of the diagonal:
# - how far it overrules the network and the mask,
_OVERRULE_REACH, _OVERRULE_REACH_LIMITS = 1.7, (0.025, 0.13)
# - how far the last one can change anything.
_CHANGE_REACH, _CHANGE_REACH_LIMITS = 5.0, (0.06, 0.35)
_MASK_WEIGHT, _GIVEN_MASK_WEIGHT = 0.4, 0.8  # of the current mask, against the network
_CERTAIN = 0.95  # belief above which colours do not count
_ROUNDS = 3


def cut_out(
    image: np.ndarray, probability: np.ndarray | None, marks: WindowMarks, *, is_local: bool
) -> np.ndarray:
    """The animal in a window.

    Args:
        image: uint8 (h, w, 3) RGB, the window at the size at which it is worked on.
        probability: float32 (h, w), 0..1, of an animal, by a network; None where none is to be
            asked.
        marks: in this window.
        is_local: whether the last click changes its neighbourhood only.

    Returns: float32 (h, w), 1 = animal, 0 = background.
    """
    colours = cv2.cvtColor(cv2.GaussianBlur(image, (0, 0), 0.7), cv2.COLOR_RGB2LAB)
    # grabCut takes minutes in plain areas, where all cuts cost the same; a level of noise helps.
    noise = np.random.default_rng(0).integers(-1, 2, colours.shape)
    colours = np.clip(colours + noise, 0, 255).astype(np.uint8)
    current = marks.current
    known = current if current.any() or probability is None else probability > 0.5
    distances = _distances(marks.clicks, known)
    belief = _overrule(_first_belief(probability, marks), colours, marks, distances)

    labels = np.where(belief > 0.5, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[belief > _CERTAIN], labels[belief < 1 - _CERTAIN] = cv2.GC_FGD, cv2.GC_BGD
    if probability is None and not marks.outside.any():  # animals are seldom at the border
        border = np.ones(labels.shape, bool)
        border[1:-1, 1:-1] = False
        labels[border & (belief <= 0.5)] = cv2.GC_BGD
    if is_local and marks.clicks:
        radius = round(_limit(_CHANGE_REACH * distances[-1], *_CHANGE_REACH_LIMITS, labels))
        far = ~disk(*labels.shape, *marks.clicks[-1][:2], radius=radius)
        labels[far] = np.where(current[far], cv2.GC_FGD, cv2.GC_BGD)
    labels[marks.inside], labels[marks.outside] = cv2.GC_FGD, cv2.GC_BGD
    is_animal = labels & 1  # GC_FGD and GC_PR_FGD are odd
    if is_animal.any() and not is_animal.all():
        cv2.setRNGSeed(0)  # the same clicks give the same mask
        models = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.grabCut(colours, labels, None, *models, _ROUNDS, cv2.GC_INIT_WITH_MASK)
    return (labels & 1).astype(np.float32)


def _first_belief(probability: np.ndarray | None, marks: WindowMarks) -> np.ndarray:
    """How far each pixel is believed to be the animal before clicks and colours are looked at:
    float32 (h, w), 0..1."""
    current = marks.current
    if probability is None:
        belief = 0.1 + 0.8 * (current if current.any() else marks.guess)
    else:
        mask_weight = _GIVEN_MASK_WEIGHT if marks.is_given else _MASK_WEIGHT
        mask_weight = mask_weight if current.any() else 0.0
        belief = (1 - mask_weight) * probability + mask_weight * current
    return belief.astype(np.float32)


def _distances(clicks: list[tuple[float, float, bool]], known: np.ndarray) -> list[float]:
    """Returns the distance from each click to the nearest pixel where a mask, bool (h, w), agrees
    with the click, in pixels; 0 if it agrees under the click."""
    height, width = known.shape
    to_animal, to_background = (
        cv2.distanceTransform(wrong.astype(np.uint8), cv2.DIST_L2, 5) for wrong in (~known, known)
    )
    return [
        float(
            (to_animal if is_positive else to_background)[
                min(int(y), height - 1), min(int(x), width - 1)
            ]
        )
        for x, y, is_positive in clicks
    ]


def _overrule(
    belief: np.ndarray, colours: np.ndarray, marks: WindowMarks, distances: list[float]
) -> np.ndarray:
    """Draws belief to 1 or 0 around each click, where colours are like those under it."""
    height, width = belief.shape
    y, x = np.mgrid[:height, :width].astype(np.float32) + 0.5
    for (click_x, click_y, is_positive), distance in zip(marks.clicks, distances, strict=True):
        spot = disk(height, width, click_x, click_y, radius=marks.seed_radius)
        seen = colours[spot].astype(np.float32)
        spread = max(_MIN_COLOUR_SPREAD, float(seen.std(axis=0).max()))
        unlike = ((colours - seen.mean(axis=0)) ** 2).sum(axis=2) / spread**2
        reach = _limit(_OVERRULE_REACH * distance, *_OVERRULE_REACH_LIMITS, belief)
        away = ((x - click_x) ** 2 + (y - click_y) ** 2) / reach**2
        # Near enough and alike enough, a click is as sure as right under it.
        weight = np.minimum(1, 1.25 * np.exp(-(unlike + away) / 2))
        weight[spot] = 1
        belief = belief + weight * (is_positive - belief)
    return belief


def _limit(length: float, low: float, high: float, image: np.ndarray) -> float:
    """A length within two shares of the diagonal."""
    diagonal = float(np.hypot(*image.shape[:2]))
    return min(max(length, low * diagonal), high * diagonal)
