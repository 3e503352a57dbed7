"""Every animal of a segmented video as numbers per frame.

Where the animal is, how large it is, which way it lies, and how well its outline agrees with that
in the next frame.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

# Outlines of animals that are higher than this are compared at this height: quick for a 4K video.
# Smaller ones are not reduced, since what is lost would be taken for a change.
OVERLAP_LINES = 240

# Pixels are counted from 0 at the centre of the upper left one, x to the right, y down.
COLUMNS = (
    "area_px",
    "centroid_x",
    "centroid_y",
    "box_x",  # its left and upper edge, so that box_x + box_width is the first column outside
    "box_y",
    "box_width",
    "box_height",
    "orientation_degrees",
    "major_axis_px",
    "minor_axis_px",
    "num_components",
    "largest_component_px",
)
_BOX = ("box_x", "box_y", "box_width", "box_height")


@dataclass(frozen=True)
class MaskTrack:
    """One animal through a video.

    Attributes:
        shapes: float64 (frames, len(COLUMNS)), see `measure_shape`; where the animal is not in the
            frame, area_px, num_components and largest_component_px are 0, the other columns NaN.
        overlaps: float64 (frames - 1,), entry k: intersection over union of the masks in frames k
            and k + 1 after aligning their centroids; 1 where both are empty, 0 where one is.
    """

    shapes: np.ndarray
    overlaps: np.ndarray

    def column(self, name: str) -> np.ndarray:
        """One of `COLUMNS` for all frames."""
        return self.shapes[:, COLUMNS.index(name)]


def measure_shape(animal: np.ndarray) -> tuple[float, ...]:
    """Measures the `COLUMNS` of one mask.

    Orientation and axes are those of the ellipse with the mask's second moments, where a pixel
    counts as a square (as in MATLAB's regionprops; scikit-image treats it as a point). The
    orientation is the angle from the x axis to the major axis, positive counter-clockwise as seen
    on the screen, in -90 < angle <= 90 degrees. It does not distinguish head from tail, and is NaN
    where no direction is longer than another. Pixels that touch by an edge or a corner belong to
    one component.

    Args:
        animal: uint8 (height, width), non-zero is the animal.

    Returns: one number per column, in the unit that its name says.
    """
    left, top, width, height = cv2.boundingRect(animal)
    if width == 0:
        return (0, *(np.nan,) * 9, 0, 0)
    crop = np.ascontiguousarray(animal[top : top + height, left : left + width])
    moments = cv2.moments(crop, binaryImage=True)
    area = moments["m00"]
    x, y = moments["m10"] / area, moments["m01"] / area
    # 1/12 is the variance of a pixel, which is a square.
    xx, yy = moments["mu20"] / area + 1 / 12, moments["mu02"] / area + 1 / 12
    xy = moments["mu11"] / area
    spread = np.hypot(xx - yy, 2 * xy)
    angle = np.nan
    if spread > 1e-9 * (xx + yy):
        angle = np.degrees(np.arctan2(-2 * xy, xx - yy)) / 2  # the minus: y points down
        angle = 90.0 if angle <= -90 + 1e-9 else angle
    axes = [4 * np.sqrt(max(0.0, (xx + yy + sign * spread) / 2)) for sign in (1, -1)]
    num_labels, _, stats, _ = cv2.connectedComponentsWithStats(crop, connectivity=8)
    largest = stats[1:, cv2.CC_STAT_AREA].max()
    box = (left, top, width, height)
    return (area, left + x, top + y, *box, angle, *axes, num_labels - 1, largest)


def compute_speed(
    track: MaskTrack, times_seconds: Sequence[float] | None, pixel_aspect: float = 1.0
) -> np.ndarray:
    """How fast the centroid of an animal moved since the frame before.

    Args:
        track: of the animal.
        times_seconds: of each frame; None where they are not known.
        pixel_aspect: how many times as wide as high a pixel is; lengths count in its height.

    Returns:
        float64 (frames,), px/s; NaN where the animal is not seen in this frame and the one before,
        in the first frame, and everywhere if the times are not known.
    """
    speed = np.full(len(track.shapes), np.nan)
    if times_seconds is not None and len(speed) > 1:
        way_x, way_y = (np.diff(track.column(name)) for name in ("centroid_x", "centroid_y"))
        way = np.hypot(pixel_aspect * way_x, way_y)
        seconds = np.diff(np.asarray(times_seconds, "float64"))
        speed[1:] = np.divide(way, seconds, out=np.full(len(way), np.nan), where=seconds > 0)
    return speed


def follow_animals(
    masks: Iterable[np.ndarray], animals: Sequence[int] = ()
) -> dict[int, MaskTrack]:
    """Measures every animal in every frame, one mask at a time.

    Args:
        masks: per frame uint8 (height, width), 0 background, else the animal's number.
        animals: numbers of animals that get a track whether or not a mask shows them
            (`SegmentedVideo.animals`). Others that a mask shows get one as well.

    Returns:
        the animal's number, increasing -> its track. Where no animal is known or shown, there is an
        animal 1 that is in no frame.
    """
    shapes: dict[int, dict[int, tuple[float, ...]]] = {}  # animal -> frame -> shape
    overlaps: dict[int, dict[int, float]] = {}
    before: dict[int, np.ndarray] = {}  # animal -> its mask, within its box
    num_frames = 0
    for frame, mask in enumerate(masks):
        num_frames = frame + 1
        now = {}
        for animal in animals_in(mask):
            shape = measure_shape((mask == animal).view(np.uint8))
            shapes.setdefault(animal, {})[frame] = shape
            left, top, width, height = (int(shape[COLUMNS.index(name)]) for name in _BOX)
            now[animal] = mask[top : top + height, left : left + width] == animal
        for animal in before.keys() | now.keys():
            overlap = _overlap(before.get(animal), now.get(animal))
            overlaps.setdefault(animal, {})[frame - 1] = overlap
        before = now
    return {
        animal: _make_track(shapes.get(animal, {}), overlaps.get(animal, {}), num_frames)
        for animal in sorted({*animals, *shapes}) or [1]
    }


def animals_in(mask: np.ndarray) -> list[int]:
    """The numbers of the animals that a mask shows, increasing.

    Args:
        mask: uint8 (height, width), 0 background, else the animal's number.
    """
    # Not np.bincount, which would need 8 bytes per pixel.
    counts = cv2.calcHist([mask], [0], None, [256], [0, 256]).ravel()
    return (np.flatnonzero(counts[1:]) + 1).tolist()


def _make_track(shapes: dict, overlaps: dict, num_frames: int) -> MaskTrack:
    rows = np.tile(measure_shape(np.zeros((1, 1), np.uint8)), (num_frames, 1))
    for frame, shape in shapes.items():
        rows[frame] = shape
    agreement = np.ones(max(0, num_frames - 1))
    for frame, overlap in overlaps.items():
        if frame >= 0:  # the first frame has none before it to be compared with
            agreement[frame] = overlap
    return MaskTrack(rows, agreement)


def _overlap(a: np.ndarray | None, b: np.ndarray | None) -> float:
    """Intersection over union of two masks, bool, after aligning their centroids."""
    if a is None or b is None:
        return float(a is b)
    lines = max(len(a), len(b))
    if lines > OVERLAP_LINES:
        a, b = (_reduce(mask, OVERLAP_LINES / lines) for mask in (a, b))
    # The place of a's upper left corner in b once the centroids coincide.
    offset = np.rint(_centroid(b) - _centroid(a)).astype(int)
    start = np.maximum(offset, 0)
    stop = np.minimum(offset + a.shape, b.shape)
    part_b = b[start[0] : stop[0], start[1] : stop[1]]
    part_a = a[start[0] - offset[0] : stop[0] - offset[0]]
    part_a = part_a[:, start[1] - offset[1] : stop[1] - offset[1]]
    both = np.count_nonzero(part_a & part_b)
    return both / (np.count_nonzero(a) + np.count_nonzero(b) - both)


def _reduce(mask: np.ndarray, factor: float) -> np.ndarray:
    """The mask reduced by a factor, each pixel by majority; never empty."""
    size = [max(1, round(side * factor)) for side in mask.shape[::-1]]
    areas = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return areas >= min(0.5, areas.max())


def _centroid(mask: np.ndarray) -> np.ndarray:
    moments = cv2.moments(mask.view(np.uint8), binaryImage=True)
    return np.array([moments["m01"], moments["m10"]]) / moments["m00"]
