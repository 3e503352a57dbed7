"""From clicks, a box or a first mask to the animal's outline: interactive segmentation without a
network, in the line of GrabCut, a fraction of a second per click on one core.

As in GrabCut (Rother et al., SIGGRAPH 2004) the cost of a pixel comes from colour models of inside
and outside, estimated anew from the result of each click, and the outline is drawn to edges. Here

- colours are 96 clusters of colour, colour of the neighbourhood, and texture: a model is a
  histogram over them, estimated and looked up at once;
- geodesic distances to the clicks (short within an even region, long across edges) are a second
  cost, since an animal and what is far from it often share colours (Criminisi et al., ECCV 2008);
- a network's probability, where one is handed in, is a third;
- the minimal cut is relaxed to total variation and solved by the primal-dual method (Chambolle and
  Pock, 2011) from coarse to fine, which takes the same short time on every picture.

It works on a window around the animal, at WORK_PX, and the guided filter (He and Sun, "Fast guided
filter", 2015) carries the result to the frame's own pixels.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from utils.images import resize_image

WORK_PX = 400  # longer side of the window as it is worked on
NUM_CLUSTERS = 96
ANALYSES_KEPT = 4

SURE_ANIMAL, SURE_BACKGROUND, OTHER_ANIMAL = 1, 2, 3
Box = tuple[float, float, float, float]  # left, top, right, bottom, in pixels of the frame

_SEED_RADIUS = 0.012  # of the window's diagonal: what a click says for sure
_FIRST_RADIUS = 0.2  # of its shorter side: what is taken to be like the first click
_LAST_RADIUS = 0.08  # of the shorter side: how far the last click outweighs the mask so far
_SEED_WEIGHT = 50.0  # of a pixel under a click in the colour models
_COLOUR_CAP = 3.0  # log ratio: no colour alone is a proof
_GEODESIC_WEIGHT = 1.5
_STEP_COST = 0.02  # of a pixel without edge, in units of Lab / 20
_CURRENT_WEIGHT = 0.8
_GIVEN_WEIGHT = 2.5  # the same for a mask that no click made
_CURRENT_REACH = 0.04  # of the diagonal: so far from its outline the present mask counts in full
_EDGE_WEIGHT = 6.0
_EDGE_SHARPNESS = 2.0  # mean squared differences that make an edge
_EDGE_FLOOR = 0.05  # cost of a cut along the strongest edge
_HARD = np.float32(20.0)
_STEPS = (80, 60, 40)  # of the solver, from coarse to fine


@dataclass(frozen=True)
class Click:
    """A place in the frame, in pixels from its upper left corner, and whether the animal is
    there."""

    x: float
    y: float
    is_positive: bool


@dataclass(frozen=True)
class Window:
    """A rectangle of the frame in pixels, right and bottom excluded."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def place(self) -> tuple[slice, slice]:
        return slice(self.top, self.bottom), slice(self.left, self.right)


@dataclass(frozen=True)
class Analysis:
    """What does not depend on clicks: a window of a frame at the size at which it is worked on.

    Attributes:
        lab: float32 (h, w, 3), CIE Lab / 20.
        clusters: int (h, w), cluster of each pixel.
        likeness: float32 (clusters, clusters), rows sum to 1: spreads a count to like clusters.
        gradient: float32 (h, w), colour difference to the neighbours.
        cut_x, cut_y: float32 (h, w), cost of a cut between a pixel and the next one, 0..1.
    """

    lab: np.ndarray
    clusters: np.ndarray
    likeness: np.ndarray
    gradient: np.ndarray
    cut_x: np.ndarray
    cut_y: np.ndarray


class ClickSegmenter:
    """`segment_clicks` that keeps the analysis of the last windows: from the second click on, an
    answer is quicker."""

    def __init__(self) -> None:
        self._analyses: OrderedDict[tuple, Analysis] = OrderedDict()

    def segment(
        self,
        key: int,
        image: np.ndarray,
        clicks: list[Click],
        box: Box | None,
        current: np.ndarray,
        sure: np.ndarray,
        prior: np.ndarray | None = None,
        is_given: bool = False,
    ) -> np.ndarray:
        """As `segment_clicks`; `key` tells the frames apart."""

        def analyse_once(window: Window) -> Analysis:
            if (key, window) not in self._analyses:
                self._analyses[key, window] = analyse(image[window.place])
            self._analyses.move_to_end((key, window))
            while len(self._analyses) > ANALYSES_KEPT:
                self._analyses.popitem(last=False)
            return self._analyses[key, window]

        return segment_clicks(image, clicks, box, current, sure, prior, is_given, analyse_once)


def segment_clicks(
    image: np.ndarray,
    clicks: list[Click],
    box: Box | None,
    current: np.ndarray,
    sure: np.ndarray,
    prior: np.ndarray | None = None,
    is_given: bool = False,
    analyse_window: Callable[["Window"], "Analysis"] | None = None,
) -> np.ndarray:
    """The animal that clicks and a box mark.

    A positive click adds to the mask so far and takes nothing away.

    Args:
        image: uint8 (H, W, 3) RGB.
        clicks: in the order in which they were made; may be empty if there is a box.
        box: (left, top, right, bottom) in pixels around the animal, or None.
        current: bool (H, W), the mask so far; all False to begin afresh.
        sure: uint8 (H, W): SURE_ANIMAL and SURE_BACKGROUND where a person said so; OTHER_ANIMAL,
            which may look just like this one, where one was labelled; else 0. Only a click right
            on it outweighs it.
        prior: float32 (H, W), a network's probability of this animal, 0..1, or None.
        is_given: whether `current` was there before the first click (read from a file, drawn): it
            is trusted, and the last click changes it around itself only.
        analyse_window: window -> Analysis, if it is kept elsewhere.

    Returns: uint8 (H, W), 1 = animal.
    """
    window = choose_window(image.shape[:2], clicks, box, current)
    if analyse_window is None:
        analysis = analyse(image[window.place])
    else:
        analysis = analyse_window(window)
    trust = _GIVEN_WEIGHT if is_given else _CURRENT_WEIGHT
    problem = _reduce(analysis, window, clicks, box, current, sure, prior, trust)
    soft = _solve(analysis, problem)
    found = _enlarge(soft, analysis.lab, image[window.place]) > 0.5
    return _merge(found, window, clicks, current, sure, is_given).astype(np.uint8)


def choose_window(
    size: tuple[int, int],
    clicks: list[Click],
    box: Box | None,
    current: np.ndarray,
) -> Window:
    """The part of the frame to look at: the animal as far as it is known, with much around it; all
    of the frame at the first click. Its borders are eighths of the frame, so that most clicks
    share one window."""
    height, width = size
    if box is not None:
        left, top, right, bottom = box
        margin = 0.4
    elif current.any():
        left, top, across, down = cv2.boundingRect(current.astype(np.uint8))
        right, bottom = left + across, top + down
        margin = 0.6
    else:
        return Window(0, 0, width, height)
    for click in clicks:
        left, right = min(left, click.x), max(right, click.x)
        top, bottom = min(top, click.y), max(bottom, click.y)
    reach = margin * max(right - left, bottom - top, 16)
    step_x, step_y = width / 8, height / 8
    window = Window(
        left=int(max(0, (left - reach) // step_x) * step_x),
        top=int(max(0, (top - reach) // step_y) * step_y),
        right=min(width, int(np.ceil(-(-(right + reach) // step_x) * step_x))),
        bottom=min(height, int(np.ceil(-(-(bottom + reach) // step_y) * step_y))),
    )
    area = (window.right - window.left) * (window.bottom - window.top)
    return Window(0, 0, width, height) if area > 0.5 * height * width else window


def analyse(image: np.ndarray) -> Analysis:
    """The `Analysis` of uint8 (H, W, 3) RGB."""
    height, width = image.shape[:2]
    scale = min(1.0, WORK_PX / max(height, width))
    small = resize_image(image, max(1, round(height * scale)), max(1, round(width * scale)))
    lab = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) / np.float32(20)
    around = cv2.GaussianBlur(lab, (0, 0), 3)
    texture = np.sqrt(cv2.GaussianBlur((lab[..., 0] - around[..., 0]) ** 2, (0, 0), 3))
    clusters, likeness = _cluster(np.dstack([lab, 0.3 * around, texture]))
    smooth = cv2.GaussianBlur(lab, (0, 0), 0.7)  # noise and JPEG blocks are no edges
    across, down = np.zeros(lab.shape[:2], np.float32), np.zeros(lab.shape[:2], np.float32)
    across[:, :-1] = ((smooth[:, 1:] - smooth[:, :-1]) ** 2).sum(axis=2)
    down[:-1] = ((smooth[1:] - smooth[:-1]) ** 2).sum(axis=2)
    usual = _EDGE_SHARPNESS * ((across.mean() + down.mean()) / 2 + 1e-6)
    cut_x = _EDGE_FLOOR + (1 - _EDGE_FLOOR) * np.exp(-across / usual)
    cut_y = _EDGE_FLOOR + (1 - _EDGE_FLOOR) * np.exp(-down / usual)
    cut_x[:, -1] = cut_y[-1] = 0
    return Analysis(lab, clusters, likeness, np.sqrt(across + down), cut_x, cut_y)


def _cluster(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    height, width, size = features.shape
    points = np.ascontiguousarray(features.reshape(-1, size), np.float32)
    sample = points[np.random.default_rng(0).integers(0, len(points), min(6000, len(points)))]
    cv2.setRNGSeed(0)  # the same clicks give the same mask
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 8, 0.01)
    num = min(NUM_CLUSTERS, len(sample))
    centres = cv2.kmeans(sample, num, None, criteria, 1, cv2.KMEANS_PP_CENTERS)[2]
    squared = (centres**2).sum(axis=1)
    clusters = (squared - 2 * points @ centres.T).argmin(axis=1)
    apart = squared[:, None] + squared - 2 * centres @ centres.T
    likeness = np.exp(-apart / (2 * 0.35**2))
    return clusters.reshape(height, width), likeness / likeness.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class _Problem:
    """Clicks and masks at the size at which the window is worked on.

    Attributes:
        inside, outside: bool (h, w), what is sure.
        cost: float32 (h, w), of all but colour; below 0 is animal.
        like_inside, like_outside: float32 (h, w), weights in the colour models.
    """

    inside: np.ndarray
    outside: np.ndarray
    cost: np.ndarray
    like_inside: np.ndarray
    like_outside: np.ndarray


def _reduce(analysis, window, clicks, box, current, sure, prior, trust) -> _Problem:
    height, width = analysis.clusters.shape
    scale_x = width / (window.right - window.left)
    scale_y = height / (window.bottom - window.top)
    diagonal, side = float(np.hypot(height, width)), min(height, width)

    def shrink(array: np.ndarray) -> np.ndarray:
        return resize_image(array[window.place].astype(np.float32), height, width)

    def spot_at(click: Click, radius: int) -> np.ndarray:
        x, y = (click.x - window.left) * scale_x, (click.y - window.top) * scale_y
        return _disk(height, width, x, y, radius)

    radius = max(2, round(_SEED_RADIUS * diagonal))
    clicked = np.zeros((height, width), np.int8)
    for click in clicks:  # the last one has the last word
        clicked[spot_at(click, radius)] = 1 if click.is_positive else -1
    inside = ((shrink(sure == SURE_ANIMAL) > 0.5) | (clicked > 0)) & (clicked >= 0)
    outside = ((shrink(sure == SURE_BACKGROUND) > 0.5) | (clicked < 0)) & (clicked <= 0)
    others = (shrink(sure == OTHER_ANIMAL) > 0.5) & ~inside
    beyond = _beyond(box, window, height, width) & ~inside

    present = shrink(current) > 0.5
    if present.any() and clicks:
        # Else the mask so far, and the colours estimated from it, would outvote the last click.
        around = spot_at(clicks[-1], max(radius, round(_LAST_RADIUS * side)))
        if clicks[-1].is_positive:
            present = present | (around & ~outside & ~others)
        else:
            present = present & (~around | inside)

    cost = np.zeros((height, width), np.float32)
    near, far = inside, outside | beyond
    if box is not None and not inside.any():
        near = _ellipse_in(~beyond, 0.35)
    if not far.any() or not (present.any() or beyond.any()):
        far[0] = far[-1] = far[:, 0] = far[:, -1] = True  # at first: animals lie amid the picture
        far &= ~near
    if near.any() and far.any():
        cost += _GEODESIC_WEIGHT * _nearness(analysis.gradient, near, far)
    if present.any():
        present8 = present.astype(np.uint8)
        depth = cv2.distanceTransform(present8, cv2.DIST_L2, 3)
        depth -= cv2.distanceTransform(1 - present8, cv2.DIST_L2, 3)
        cost -= trust * np.clip(depth / (_CURRENT_REACH * diagonal), -1, 1)
    if prior is not None:
        probability = np.clip(shrink(prior), 0.02, 0.98)
        cost -= np.log(probability / (1 - probability))

    like_inside, like_outside = _alike(present, prior, box, inside, beyond, shrink)
    return _Problem(
        inside,
        outside | beyond | others,
        cost,
        like_inside * ~outside + np.float32(_SEED_WEIGHT) * (clicked > 0),
        like_outside * ~inside * ~others + np.float32(_SEED_WEIGHT) * (clicked < 0),
    )


def _alike(present, prior, box, inside, beyond, shrink) -> tuple[np.ndarray, np.ndarray]:
    """What the colours of inside and outside are learnt from, besides the clicks."""
    if present.any():
        return present, ~present
    if prior is not None:
        return shrink(prior), 1 - shrink(prior)
    if box is not None:
        return _ellipse_in(~beyond, 0.9), beyond
    side = min(inside.shape)
    away = cv2.distanceTransform((~inside).astype(np.uint8), cv2.DIST_L2, 3)
    return away < _FIRST_RADIUS * side, away > 0.35 * side


def _beyond(box: Box | None, window: Window, height: int, width: int) -> np.ndarray:
    """All that is outside of a box; nothing without one."""
    if box is None:
        return np.zeros((height, width), bool)
    left, right = ((x - window.left) * width / (window.right - window.left) for x in box[0::2])
    top, bottom = ((y - window.top) * height / (window.bottom - window.top) for y in box[1::2])
    y, x = np.mgrid[:height, :width] + 0.5
    return (x < left - 1.5) | (x > right + 1.5) | (y < top - 1.5) | (y > bottom + 1.5)


def _ellipse_in(rectangle: np.ndarray, size: float) -> np.ndarray:
    """The ellipse amid a rectangle (bool (h, w)), of a share of its size: boxes have background in
    their corners, seldom in their middle."""
    left, top, across, down = cv2.boundingRect(rectangle.astype(np.uint8))
    y, x = np.mgrid[: rectangle.shape[0], : rectangle.shape[1]] + 0.5
    x = (x - left - across / 2) / max(1.0, across / 2)
    y = (y - top - down / 2) / max(1.0, down / 2)
    return rectangle & (x**2 + y**2 < size**2)


def _nearness(gradient, near, far) -> np.ndarray:
    """-1 where something is near, 1 where it is far, by geodesic distance to both."""
    step = gradient + np.float32(_STEP_COST)
    to_near, to_far = geodesic_distance(step, near), geodesic_distance(step, far)
    return (to_near - to_far) / (to_near + to_far + np.float32(1e-3))


def geodesic_distance(step: np.ndarray, start: np.ndarray, rounds: int = 6) -> np.ndarray:
    """Cost of the cheapest way to any pixel of `start`, by steps to the four neighbours.

    Args:
        step: float32 (h, w), cost of a step onto a pixel, above 0.
        start: bool (h, w), where it is 0; at least one pixel.
        rounds: a way with more than that many turns back and forth may be missed.

    Returns: float32 (h, w).
    """
    distance = np.where(start, np.float32(0), np.float32(1e6))
    along_x = np.cumsum(step, axis=1, dtype=np.float32)
    along_y = np.cumsum(step, axis=0, dtype=np.float32)
    back_x, back_y = along_x - step, along_y - step
    for _ in range(rounds):
        # A way along a row costs a difference of sums, so the best start is a running minimum.
        distance = along_x + np.minimum.accumulate(distance - along_x, axis=1)
        reverse = (distance + back_x)[:, ::-1]
        distance = np.minimum.accumulate(reverse, axis=1)[:, ::-1] - back_x
        distance = along_y + np.minimum.accumulate(distance - along_y, axis=0)
        reverse = (distance + back_y)[::-1]
        distance = np.minimum.accumulate(reverse, axis=0)[::-1] - back_y
    return np.maximum(distance, 0)


def _solve(analysis: Analysis, problem: _Problem) -> np.ndarray:
    """float32 (h, w), 0..1, nearly binary."""
    ratio = _colour_ratio(analysis, problem.like_inside, problem.like_outside)
    cost = problem.cost - ratio
    cost[problem.outside] = _HARD
    cost[problem.inside] = -_HARD
    return _minimal_cut(cost, analysis.cut_x, analysis.cut_y)


def _colour_ratio(analysis: Analysis, inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """Log of how much more usual each pixel's cluster is inside than outside."""
    logs = []
    for weights in (inside, outside):
        count = np.bincount(analysis.clusters.ravel(), weights.ravel(), len(analysis.likeness))
        share = analysis.likeness.T @ count
        logs.append(np.log(share / max(share.sum(), 1e-9) + 1e-4))
    ratio = np.clip(logs[0] - logs[1], -_COLOUR_CAP, _COLOUR_CAP).astype(np.float32)
    return ratio[analysis.clusters]


def _minimal_cut(cost: np.ndarray, cut_x: np.ndarray, cut_y: np.ndarray) -> np.ndarray:
    """Minimises sum(cost * u) + sum(cut * |difference of u to the next pixel|), u in 0..1."""
    levels = [(cost, _EDGE_WEIGHT * cut_x, _EDGE_WEIGHT * cut_y)]
    for _ in _STEPS[1:]:
        cost, x, y = levels[-1]
        height, width = (cost.shape[0] + 1) // 2, (cost.shape[1] + 1) // 2
        if min(height, width) < 8:
            break
        # A pixel of the next level stands for four, its border for two.
        half = [resize_image(a, height, width) for a in (cost, x, y)]
        levels.append((4 * half[0], 2 * half[1], 2 * half[2]))
    result = (levels[-1][0] < 0).astype(np.float32)
    for (cost, x, y), count in zip(levels[::-1], _STEPS[-len(levels) :], strict=True):
        result = resize_image(result, *cost.shape)
        result = _descend(result, cost, x, y, count)
    return result


def _descend(u, cost, cut_x, cut_y, steps) -> np.ndarray:
    """Steps of Chambolle and Pock, in place: a step is a few passes over the picture."""
    sigma, tau = np.float32(0.5), np.float32(0.25)
    flow_x, flow_y, change = np.zeros_like(u), np.zeros_like(u), np.zeros_like(u)
    low_x, low_y, push = -cut_x, -cut_y, tau * cost
    u, ahead = u.copy(), u.copy()
    for _ in range(steps):
        ahead *= sigma
        np.subtract(ahead[:, 1:], ahead[:, :-1], out=change[:, :-1])
        flow_x[:, :-1] += change[:, :-1]
        np.maximum(np.minimum(flow_x, cut_x, out=flow_x), low_x, out=flow_x)
        np.subtract(ahead[1:], ahead[:-1], out=change[:-1])
        flow_y[:-1] += change[:-1]
        np.maximum(np.minimum(flow_y, cut_y, out=flow_y), low_y, out=flow_y)
        np.add(flow_x, flow_y, out=change)
        change[:, 1:] -= flow_x[:, :-1]
        change[1:] -= flow_y[:-1]
        change *= tau
        change -= push
        change += u
        np.clip(change, 0, 1, out=change)
        np.multiply(change, 2, out=ahead)
        ahead -= u
        u, change = change, u
    return u


def _enlarge(soft: np.ndarray, lab: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Carries float32 (h, w) to the size of `image` along its edges: float32 (H, W)."""
    height, width = image.shape[:2]
    if soft.shape == (height, width):
        return soft
    guide = resize_image(lab[..., 0], *soft.shape)
    slope, offset = _guided_filter(guide, soft)
    large = np.empty((height, width), np.float32)
    for top in range(0, height, 256):  # in strips: a 4K frame in floats is large
        rows = slice(top, min(height, top + 256))
        strip = cv2.cvtColor(image[rows].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
        lightness = strip[..., 0] / np.float32(20)
        a, b = (_rows_of(array, rows, height, width) for array in (slope, offset))
        large[rows] = a * lightness + b
    return large


def _guided_filter(guide: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slope and offset of the line from guide to values around each pixel."""

    def mean(array):
        return cv2.boxFilter(array, -1, (5, 5), borderType=cv2.BORDER_REFLECT)

    guide_mean, value_mean = mean(guide), mean(values)
    variance = mean(guide * guide) - guide_mean**2
    slope = (mean(guide * values) - guide_mean * value_mean) / (variance + np.float32(0.01))
    return mean(slope), mean(value_mean - slope * guide_mean)


def _rows_of(small: np.ndarray, rows: slice, height: int, width: int) -> np.ndarray:
    """Rows of `small` as if it were resized to (height, width) by bilinear interpolation."""
    scale_y, scale_x = small.shape[0] / height, small.shape[1] / width
    # Centres correspond; remap repeats the border.
    y = (np.arange(rows.start, rows.stop, dtype=np.float32) + 0.5) * scale_y - 0.5
    x = (np.arange(width, dtype=np.float32) + 0.5) * scale_x - 0.5
    map_x, map_y = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
    return cv2.remap(small, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _merge(found, window, clicks, current, sure, is_given) -> np.ndarray:
    """Keeps of what was found in the window the parts that are meant; bool (H, W)."""
    before = current[window.place]
    limits = sure[window.place]
    radius = max(1, round(_SEED_RADIUS / 3 * float(np.hypot(*found.shape))))
    spots = [_disk(*found.shape, c.x - window.left, c.y - window.top, radius) for c in clicks]
    found = (found & (limits == 0)) | (limits == SURE_ANIMAL)
    for click, spot in zip(clicks, spots, strict=True):
        found = found | spot if click.is_positive else found & ~spot

    meant = limits == SURE_ANIMAL
    for click, spot in zip(clicks, spots, strict=True):
        meant = meant | spot if click.is_positive else meant
    # A part of the mask that no click touched was there before the first one: it stays.
    untouched = before & ~_components_at(before, np.any([meant, *spots], axis=0))
    anchors = meant | (before if is_given else untouched)
    found = _components_at(found, anchors) if anchors.any() else _large_components(found)
    if before.any() and clicks:
        # Whatever the colours say: who adds a leg does not want to lose the tail.
        if clicks[-1].is_positive:
            found = found | before
        if is_given:
            found = before ^ _components_at(found != before, spots[-1])
    result = current.copy()
    result[window.place] = found
    return result


def _disk(height: int, width: int, x: float, y: float, radius: int) -> np.ndarray:
    """bool (height, width); the pixel at (x, y) is in it, on the last border, too."""
    centre = min(int(x), width - 1), min(int(y), height - 1)
    return cv2.circle(np.zeros((height, width), np.uint8), centre, radius, 1, -1) > 0


def _components_at(mask: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """The connected components of a bool mask that touch `anchors`."""
    components = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)[1]
    touched = np.zeros(components.max() + 1, bool)
    touched[components[anchors & mask]] = True
    return touched[components]


def _large_components(mask: np.ndarray, share: float = 0.05) -> np.ndarray:
    """The connected components that have at least a share of the mask."""
    components, areas = cv2.connectedComponentsWithStats(mask.astype(np.uint8))[1:3]
    keep = areas[:, cv2.CC_STAT_AREA] >= share * max(1, mask.sum())
    keep[0] = False
    return keep[components]
