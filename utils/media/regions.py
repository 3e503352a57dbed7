"""Rectangles of a frame and connected regions of a mask."""

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Rectangle:
    """Rows `top` to `bottom` - 1 and columns `left` to `right` - 1 of a frame."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.bottom - self.top, self.right - self.left

    @property
    def area(self) -> int:
        height, width = self.shape
        return height * width

    @property
    def slices(self) -> tuple[slice, slice]:
        """Indexes the rectangle in an array of the frame's size."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


def rectangle_around(mask: np.ndarray, margin: int = 0) -> Rectangle:
    """The smallest rectangle that holds a mask and a margin, cut off at the frame's edges.

    Args:
        mask: bool (H, W), not empty.
        margin: pixels.
    """
    height, width = mask.shape
    left, top, across, down = cv2.boundingRect(mask.astype("uint8"))
    return Rectangle(
        max(0, top - margin),
        max(0, left - margin),
        min(height, top + down + margin),
        min(width, left + across + margin),
    )


def touching(mask: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """The connected regions of one mask that overlap with another one; all bool (H, W)."""
    count, regions = cv2.connectedComponents(mask.astype("uint8"), connectivity=8)
    kept = np.zeros(count, bool)
    kept[regions[mask & anchors]] = True
    return kept[regions]


def distance_to(mask: np.ndarray) -> np.ndarray:
    """Distance from each pixel to the mask, float32 (H, W), pixels; infinite if it is empty."""
    if not mask.any():
        return np.full(mask.shape, np.inf, "float32")
    return cv2.distanceTransform((~mask).astype("uint8"), cv2.DIST_L2, 5)


def number_pieces_across_gaps(mask: np.ndarray, gap_px: int) -> tuple[np.ndarray, int]:
    """Numbers the connected regions of a mask, where those across a narrow gap count as one.

    Args:
        mask: bool (H, W).
        gap_px: odd; diameter of the disk with which regions are grown to meet.

    Returns: int32 (H, W), 0 outside of the grown regions, 1.. inside, and how many numbers there
        are with 0.
    """
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (gap_px, gap_px))
    count, pieces = cv2.connectedComponents(cv2.dilate(mask.astype("uint8"), disk), connectivity=8)
    return pieces, count
