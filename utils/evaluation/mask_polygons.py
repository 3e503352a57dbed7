"""Polygons along the outlines of a mask, as the official code of DAVIS 2016 draws them for T.

That code (Pont-Tuset's polygonal contours) walks along the edges between pixels, from corner to
corner. Where two pixels touch at a corner only, four edges meet; outlines are separated there so
that none passes through a corner twice. Where the walks start matters for how they are simplified,
so the order in which the official code visits edges is kept.
"""

from dataclasses import dataclass

import numpy as np

STRAIGHT = 0.05  # pixels: tolerance of the first simplification, which joins straight edges
TOLERANCE = 1.5  # pixels: of the second one; the official 3 is counted in half pixels
MIN_POINTS = 4  # of a polygon, with the first one repeated at the end; smaller ones are dropped

Corner = tuple[int, int]  # row and column, 0..H and 0..W
DOWN, UP, RIGHT, LEFT = (1, 0), (-1, 0), (0, 1), (0, -1)


def mask_polygons(mask: np.ndarray) -> list[np.ndarray]:
    """The outlines of a mask's pieces and holes.

    Args:
        mask: bool (H, W).

    Returns: per outline float64 (N, 2): x and y of its corners, the first one again at the end.
        Outlines run clockwise as one sees the image, those of holes counter-clockwise.
    """
    polygons = []
    for outline in _separate(_trace(mask)):
        corners = np.array(outline)
        clockwise = _is_clockwise(corners)
        is_hole = not _encloses_foreground(mask, corners, clockwise)
        polygon = simplify(simplify(corners.astype("float64"), STRAIGHT), TOLERANCE)
        if _is_clockwise(polygon) == is_hole:
            polygon = polygon[::-1]
        if len(polygon) >= MIN_POINTS:
            polygons.append(polygon[:, ::-1])
    return polygons


def simplify(points: np.ndarray, tolerance: float) -> np.ndarray:
    """Points closer than the tolerance to the last kept one are dropped, then Douglas and Peucker's
    algorithm drops those within the tolerance of the line between others.

    Args:
        points: float (N, 2); the first and the last one stay.
        tolerance: pixels.
    """
    if len(points) < 3:
        return points
    kept = [points[0]]
    for point in points[1:-1]:
        if ((point - kept[-1]) ** 2).sum() >= tolerance**2:
            kept.append(point)
    points = np.array([*kept, points[-1]])
    is_key = np.zeros(len(points), bool)
    is_key[[0, -1]] = True
    stack = [(0, len(points) - 1)]
    while stack:
        first, last = stack.pop()
        if last - first < 2:
            continue
        distances = _distances_from_segment(points[first + 1 : last], points[first], points[last])
        farthest = int(np.argmax(distances))
        if distances[farthest] > tolerance**2:
            key = first + 1 + farthest
            is_key[key] = True
            stack += [(first, key), (key, last)]
    return points[is_key]


def _distances_from_segment(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Squared."""
    along = end - start
    length = along @ along
    share = np.clip((points - start) @ along / length, 0, 1) if length else np.zeros(len(points))
    return ((points - start - share[:, None] * along) ** 2).sum(axis=1)


@dataclass(frozen=True)
class _Piece:
    """A part of an outline between two junctions, or a whole one from a junction back to it."""

    corners: list[Corner]

    @property
    def ends(self) -> tuple[Corner, Corner]:
        return self.corners[0], self.corners[-1]

    def from_(self, junction: Corner) -> list[Corner]:
        return self.corners if self.corners[0] == junction else self.corners[::-1]

    def direction(self, junction: Corner) -> Corner:
        row, column = self.from_(junction)[1]
        return row - junction[0], column - junction[1]

    def other_end(self, junction: Corner) -> Corner:
        first, last = self.ends
        return last if junction == first else first


def _trace(mask: np.ndarray) -> tuple[list[_Piece], list[Corner]]:
    """The pieces of all outlines, and the junctions at which they meet: corners with four edges,
    and one corner of every outline that has none of these."""
    padded = np.pad(mask.astype(bool), 1)
    vertical = padded[1:-1, 1:] ^ padded[1:-1, :-1]  # (H, W + 1): from a corner to the one below
    horizontal = padded[1:, 1:-1] ^ padded[:-1, 1:-1]  # (H + 1, W): to the one on the right
    ahead = {}
    for row, column in zip(*map(np.ndarray.tolist, np.nonzero(vertical)), strict=True):
        ahead.setdefault((row, column), set()).add(DOWN)
        ahead.setdefault((row + 1, column), set()).add(UP)
    for row, column in zip(*map(np.ndarray.tolist, np.nonzero(horizontal)), strict=True):
        ahead.setdefault((row, column), set()).add(RIGHT)
        ahead.setdefault((row, column + 1), set()).add(LEFT)
    junctions = sorted(corner for corner, ways in ahead.items() if len(ways) == 4)
    ends, pieces = set(junctions), []

    def walk(corner: Corner, way: Corner) -> None:
        corners = [corner]
        while True:
            ahead[corner].discard(way)
            corner = (corner[0] + way[0], corner[1] + way[1])
            ahead[corner].discard((-way[0], -way[1]))
            corners.append(corner)
            if corner in ends:
                pieces.append(_Piece(corners))
                return
            (way,) = ahead[corner]

    for junction in reversed(junctions):
        for way in (UP, LEFT, DOWN, RIGHT):
            if way in ahead[junction]:
                walk(junction, way)
    for start in zip(*map(np.ndarray.tolist, np.nonzero(vertical)), strict=True):
        if DOWN in ahead[start]:
            ends.add(start)
            junctions.append(start)
            walk(start, DOWN)
    return pieces, junctions


def _separate(traced: tuple[list[_Piece], list[Corner]]) -> list[list[Corner]]:
    """Joins pieces to outlines that pass no corner twice; each begins and ends at a junction."""
    pieces, junctions = traced
    left = {junction: set() for junction in junctions}  # pieces not used yet
    for number, piece in enumerate(pieces):
        for end in piece.ends:
            left[end].add(number)
    outlines = []

    def take(junction: Corner, number: int) -> Corner:
        for end in pieces[number].ends:
            left[end].discard(number)
        path.append((junction, number))
        return pieces[number].other_end(junction)

    def cut_off_at(junction: Corner) -> None:
        """Where the path comes back to a junction, what lies between is an outline."""
        place = [start for start, _ in path].index(junction)
        corners = [junction]
        for start, number in path[place:]:
            corners += pieces[number].from_(start)[1:]
        outlines.append(corners)
        del path[place:]

    for first in reversed(junctions):
        while left[first]:
            path: list[tuple[Corner, int]] = []
            junction = take(first, min(left[first]))
            arrived = path[-1][1]
            if junction == first:
                cut_off_at(junction)
            while path:
                choices = sorted(left[junction])
                way = pieces[arrived].direction(junction)
                ahead = pieces[choices[0]].direction(junction)
                straight = ahead == (-way[0], -way[1]) and len(choices) > 1
                arrived, junction = choices[straight], take(junction, choices[straight])
                if junction in [start for start, _ in path]:
                    cut_off_at(junction)
                    arrived = path[-1][1] if path else arrived
    return outlines


def _is_clockwise(corners: np.ndarray) -> bool:
    """Whether (row, column) corners run clockwise as one sees the image."""
    rows, columns = corners.T.astype("float64")
    return float(((np.roll(rows, -1) - rows) * (np.roll(columns, -1) + columns)).sum()) > 0


def _encloses_foreground(mask: np.ndarray, corners: np.ndarray, clockwise: bool) -> bool:
    """Whether the pixel beside the first edge, on the inner side, belongs to the mask."""
    (row, column), (next_row, next_column) = corners[:2].tolist()
    top, left = min(row, next_row), min(column, next_column)
    if row == next_row:  # inside is below if it runs clockwise to the right
        pixel = (top if (next_column > column) == clockwise else top - 1, left)
    else:  # inside is on the left if it runs clockwise downward
        pixel = (top, left - 1 if (next_row > row) == clockwise else left)
    height, width = mask.shape
    return 0 <= pixel[0] < height and 0 <= pixel[1] < width and bool(mask[pixel])
