"""Prompts as people and earlier frames give them, made from the answer."""

from dataclasses import dataclass

import cv2
import numpy as np

from utils.media.labels import VOID
from utils.training.animals import UNNUMBERED
from utils.training.clicks import Place, make_prompt

_OTHERS_SHIFT = 0.3  # up to so many lengths of the animal's body, for the other animals' masks
_TRIES = 6  # to move a mask so that it is not more on another animal than on its own


@dataclass(frozen=True)
class Prompting:
    """What the prompts of training are like. Probabilities 0..1, ranges (low, high).

    Attributes:
        empty: of no prompt at all; the target is then all animals.
        composite: of a composite in place of a photo.
        mask: of the animal's mask of an earlier frame, in prompts that are not empty.
        clicks_with_mask: of clicks beside such a mask; without a mask there are always some.
        box: share of these masks that are but an ellipse in the animal's box, as page and tracker
            know it at first.
        others_with_mask, others_with_clicks: of the other animals' masks, if there are any.
        more_clicks: probability of each further click, before any round of training.
        shift: of a mask, in lengths of the animal's body.
        shift_power: 1: all of these shifts are equally frequent; with more, small ones are more
            frequent, as from one frame to the next.
        turn_degrees, growth: up to so much; growth is a logarithm.
        bleed: share of the nearest neighbour that the mask also covers.
        bleeding, cut: of these two damages.
        cut_share: of the mask that is missing.
    """

    empty: float = 0.2
    composite: float = 0.5
    mask: float = 0.6
    clicks_with_mask: float = 0.3
    box: float = 0.2
    others_with_mask: float = 0.3
    others_with_clicks: float = 0.3
    more_clicks: float = 0.35
    shift: tuple[float, float] = (0.0, 1.0)
    shift_power: float = 2.0
    turn_degrees: float = 20.0
    growth: float = 0.15
    bleed: tuple[float, float] = (0.1, 0.4)
    bleeding: float = 0.4
    cut: float = 0.4
    cut_share: tuple[float, float] = (0.1, 0.5)


PROMPTING = Prompting()


def target_of(animals: np.ndarray, number: int | None) -> np.ndarray:
    """What the network should answer: uint8 (H, W), 1 animal, 0 background, 255 void.

    Args:
        animals: uint8 (H, W), see `NumberedImage`.
        number: of the animal that is meant; None for all. Pieces of unknown animals belong to all,
            and are void where one is meant.
    """
    if number is None:
        target = ((animals > 0) & (animals != VOID)).astype(np.uint8)
    else:
        target = (animals == number).astype(np.uint8)
        target[animals == UNNUMBERED] = VOID
    target[animals == VOID] = VOID
    return target


def simulate_prompt(
    animals: np.ndarray, number: int, prompting: Prompting, rng: np.random.Generator
) -> tuple[np.ndarray, bool]:
    """Draws a prompt for one animal.

    Args:
        animals: uint8 (H, W), see `NumberedImage`.
        number: of the animal, which the map shows.
        prompting: how often there is what.
        rng: decides everything.

    Returns: uint8 (H, W, 4) as of `make_prompt`, and whether it has clicks.
    """
    own = animals == number
    others = (animals > 0) & (animals < UNNUMBERED) & ~own
    has_mask = rng.random() < prompting.mask
    has_clicks = not has_mask or rng.random() < prompting.clicks_with_mask
    mask, shown_others = None, None
    if has_mask:
        mask = earlier_mask(animals, number, prompting, rng)
        if rng.random() < prompting.others_with_mask and others.any():
            furthest = _OTHERS_SHIFT * body_length(own)
            shown_others = _move(others, prompting, rng, (0.0, furthest)) & ~mask
    elif rng.random() < prompting.others_with_clicks:
        shown_others = others
    clicks = draw_clicks(own, animals, prompting, rng) if has_clicks else []
    return make_prompt(animals.shape, clicks, mask, shown_others), has_clicks


def draw_clicks(
    own: np.ndarray, animals: np.ndarray, prompting: Prompting, rng: np.random.Generator
) -> list[Place]:
    """Clicks that a person makes before anything was found: one in the animal's middle, perhaps
    more on it, and some beside it."""
    clicks = [_place_in(own, rng, inner=0.5, is_positive=True)]
    while rng.random() < prompting.more_clicks:
        clicks.append(_place_in(own, rng, inner=0.0, is_positive=True))
    is_other = (animals > 0) & (animals < UNNUMBERED) & ~own
    near = cv2.dilate(own.astype(np.uint8), np.ones((41, 41), np.uint8)) > 0
    near &= animals == 0
    while rng.random() < prompting.more_clicks:
        wrong = is_other if is_other.any() and rng.random() < 0.6 else near
        if wrong.any():
            clicks.append(_place_in(wrong, rng, inner=0.3, is_positive=False))
    return clicks


def earlier_mask(
    animals: np.ndarray, number: int, prompting: Prompting, rng: np.random.Generator
) -> np.ndarray:
    """The animal's mask as an earlier frame, or a rough box, would have it: bool (H, W)."""
    own = animals == number
    if rng.random() < prompting.box:
        return _ellipse_in_box(own, rng)
    damaged = own
    if rng.random() < prompting.bleeding:
        damaged = damaged | _nearest_part(animals, own, rng.uniform(*prompting.bleed))
    if rng.random() < prompting.cut:
        damaged = damaged & ~_one_side(own, rng.uniform(*prompting.cut_share), rng)
    moved = move_mask(damaged, animals, number, prompting, rng)
    return damaged if moved is None else moved


def move_mask(
    mask: np.ndarray,
    animals: np.ndarray,
    number: int,
    prompting: Prompting,
    rng: np.random.Generator,
) -> np.ndarray | None:
    """The mask of an animal, moved and a little turned and grown, but not onto another animal:
    right on that, nobody could tell which one is meant.

    Args:
        mask: bool (H, W), of the animal, perhaps damaged.
        animals, number, prompting, rng: as of `simulate_prompt`.

    Returns: bool (H, W); None if each of a few tries is more on another animal than on its own.
    """
    own = animals == number
    neighbours = [n for n in np.unique(animals) if 0 < n < UNNUMBERED and n != number]
    shift = tuple(share * body_length(own) for share in prompting.shift)
    for _ in range(_TRIES):
        moved = _move(mask, prompting, rng, shift)
        on_own = np.count_nonzero(moved & own)
        if all(np.count_nonzero(moved & (animals == n)) < on_own for n in neighbours) and on_own:
            return moved
    return None


def body_length(mask: np.ndarray) -> float:
    """The longer side of the smallest rectangle, turned or not, around a mask, in pixels."""
    # Outlines alone, not all pixels: a tenth of a crop's time.
    outlines, _ = cv2.findContours(
        mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    return float(max(cv2.minAreaRect(np.vstack(outlines))[1]) + 1) if outlines else 0.0


def _move(mask, prompting, rng, shift):
    """The mask moved by `shift` pixels, (low, high), turned and grown: bool (H, W)."""
    direction = rng.uniform(0, 2 * np.pi)
    low, high = shift
    distance = low + (high - low) * rng.random() ** prompting.shift_power
    angle = rng.uniform(-1, 1) * prompting.turn_degrees
    scale = np.exp(rng.uniform(-1, 1) * prompting.growth)
    ys, xs = np.nonzero(mask)
    if not len(xs):
        return mask
    matrix = cv2.getRotationMatrix2D((float(xs.mean()), float(ys.mean())), angle, scale)
    matrix[:, 2] += distance * np.array([np.cos(direction), np.sin(direction)])
    size = mask.shape[::-1]
    return cv2.warpAffine(mask.astype(np.uint8), matrix, size, flags=cv2.INTER_NEAREST) > 0


def _place_in(mask, rng, inner, is_positive):
    """A pixel of a mask, at least `inner` times as far from its border as its middle."""
    depth = cv2.distanceTransform(np.pad(mask.astype(np.uint8), 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    ys, xs = np.nonzero((depth > inner * depth.max()) & mask)
    pick = rng.integers(len(xs))
    return float(xs[pick]) + 0.5, float(ys[pick]) + 0.5, is_positive


def _nearest_part(animals, own, share):
    """Of the animal nearest to this one, the share that is nearest: bool (H, W)."""
    away = cv2.distanceTransform((~own).astype(np.uint8), cv2.DIST_L2, 3)
    is_other = (animals > 0) & (animals < UNNUMBERED) & ~own
    if not is_other.any():
        return is_other
    nearest = animals.ravel()[np.argmin(np.where(is_other, away, np.inf))]
    neighbour = animals == nearest
    return neighbour & (away <= np.quantile(away[neighbour], share))


def _one_side(mask, share, rng):
    """What lies on one side of a line that cuts off a share of the mask: bool (H, W)."""
    direction = rng.uniform(0, 2 * np.pi)
    y, x = np.ogrid[: mask.shape[0], : mask.shape[1]]
    along = np.cos(direction) * x + np.sin(direction) * y
    return along > np.quantile(along[mask], 1 - share)


def _ellipse_in_box(mask, rng):
    """The ellipse in a roughly drawn box around a mask: bool (H, W)."""
    left, top, width, height = cv2.boundingRect(mask.astype(np.uint8))
    sides = np.array([width, height]) * np.exp(rng.uniform(-0.1, 0.1, 2))
    middle = np.array([left, top]) + np.array([width, height]) * rng.uniform(0.45, 0.55, 2)
    y, x = np.ogrid[: mask.shape[0], : mask.shape[1]]
    across = (x + 0.5 - middle[0]) / (sides[0] / 2)
    down = (y + 0.5 - middle[1]) / (sides[1] / 2)
    return across**2 + down**2 < 1
