"""Clicks as numbers: where a tireless person would click next, and prompts as images."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from models.prompted import CLICK_RADIUS_PX, NUM_PROMPT_CHANNELS

Place = tuple[float, float, bool]  # x and y in pixels from the upper left corner; is it positive


@dataclass(frozen=True)
class ErrorClick:
    """The next click.

    Attributes:
        x, y: the middle of a pixel.
        is_positive: whether something is missing there.
        radius: from there to the nearest pixel that is no such error, in pixels.
    """

    x: float
    y: float
    is_positive: bool
    radius: float


def next_click(
    missing: np.ndarray, excess: np.ndarray, clicked: np.ndarray | None = None
) -> ErrorClick | None:
    """Chooses the middle of the largest error: the pixel farthest from its border, as RITM does.

    Args:
        missing: bool (H, W), animal that was not found.
        excess: bool (H, W), what was found and is no animal.
        clicked: bool (H, W), pixels that were clicked before and are not clicked again.

    Returns: the click; None if there is no error that can be clicked. Pixels outside of the image
        are no error.
    """
    best = None
    for error, is_positive in ((missing, True), (excess, False)):
        padded = np.pad(error.astype(np.uint8), 1)
        depth = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
        if clicked is not None:
            depth = np.where(clicked, 0, depth)
        y, x = np.unravel_index(np.argmax(depth), depth.shape)
        radius = float(depth[y, x])
        if radius > (best.radius if best else 0):
            best = ErrorClick(float(x) + 0.5, float(y) + 0.5, is_positive, radius)
    return best


def make_prompt(
    size: tuple[int, int],
    clicks: Sequence[Place] = (),
    mask: np.ndarray | None = None,
    others: np.ndarray | None = None,
) -> np.ndarray:
    """Draws a prompt for the prompted network.

    Args:
        size: height and width of the image.
        clicks: in the order in which they were made; where two meet, the later one counts.
        mask: bool (H, W), the animal's mask so far or in an earlier frame; None for none.
        others: bool (H, W), what belongs to other animals; None for nothing.

    Returns: uint8 (H, W, 4), 0 or 1, the channels of `models.prompted.PROMPT_CHANNELS`.
    """
    prompt = np.zeros((*size, NUM_PROMPT_CHANNELS), np.uint8)
    y, x = np.ogrid[: size[0], : size[1]]
    for click_x, click_y, is_positive in clicks:
        away = (y + 0.5 - click_y) ** 2 + (x + 0.5 - click_x) ** 2
        prompt[away <= CLICK_RADIUS_PX**2, :2] = (is_positive, not is_positive)
    if mask is not None:
        prompt[..., 2] = mask
    if others is not None:
        prompt[..., 3] = others
    return prompt
