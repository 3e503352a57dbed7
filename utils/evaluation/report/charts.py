"""Where the lines, ticks and marks of a chart over the frames of a video lie.

`templates/macros.html` draws them as inline SVG that is stretched to the width there is. Texts and
marks are placed in percent, outside of the SVG, so that they keep their size on a phone.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

WIDTH, HEIGHT = 1000, 100  # of the SVG, in its own units
MAX_POINTS = 2000  # of a drawn line; a longer one is drawn as the range within each step
_LOWER_ENDS = (0.9, 0.8, 0.5, 0.0)  # of the vertical axis, whose upper end is 1


@dataclass(frozen=True)
class Series:
    """The values of one line.

    Attributes:
        name: shown in the key, and used in the page's data.
        style: CSS class that gives the colour: "j", "f", "trust" or "second".
        frames: frame indices, increasing; the line is interrupted where one is left out.
        values: 0..1, one per frame.
    """

    name: str
    style: str
    frames: Sequence[int]
    values: Sequence[float]


@dataclass(frozen=True)
class Line:
    """A series as drawn.

    Attributes:
        name: of the series.
        style: of the series.
        is_sparse: whether many frames have no value, so that dots are drawn.
        line: SVG path of the line, empty where there is no value.
        dots: SVG path of the dots, empty where none are drawn.
    """

    name: str
    style: str
    is_sparse: bool
    line: str
    dots: str


@dataclass(frozen=True)
class Tick:
    """A number on an axis; `place` is in percent of the axis, from the left or the top."""

    place: float
    text: str


@dataclass(frozen=True)
class Mark:
    """A character or two on the first line; `x` and `y` are in percent, from the upper left."""

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Chart:
    """All that the template draws.

    Attributes:
        title: plain text.
        series: the lines, the most important one first.
        x_ticks: frame numbers.
        y_ticks: values; there is a horizontal line at each.
        labelled_x: places of the labelled frames, 0..WIDTH.
        marks: marks on the first line.
        width: of the SVG.
        height: of the SVG.
    """

    title: str
    series: tuple[Line, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    labelled_x: tuple[float, ...]
    marks: tuple[Mark, ...]
    width: int = WIDTH
    height: int = HEIGHT


def lay_out_chart(
    title: str,
    series: Sequence[Series],
    num_frames: int,
    *,
    labelled: Collection[int] = (),
    marked: Mapping[int, str] | None = None,
) -> Chart:
    """Lays out a chart of values in 0..1 over all frames of a video.

    Args:
        title: plain text.
        series: the lines, the most important one first.
        num_frames: of the video.
        labelled: frames that get a vertical line.
        marked: frame -> a character or two, placed on the first series at that frame.

    Returns: the chart.
    """
    lower = _find_lower_end(min((min(one.values) for one in series if len(one.values)), default=0))
    values = dict(zip(series[0].frames, series[0].values, strict=True)) if marked else {}
    marks = tuple(
        Mark(_x_percent(frame, num_frames), _y(values[frame], lower), text)
        for frame, text in (marked or {}).items()
    )
    return Chart(
        title=title,
        series=tuple(_draw_line(one, num_frames, lower) for one in series),
        x_ticks=_place_x_ticks(num_frames),
        y_ticks=_place_y_ticks(lower),
        labelled_x=tuple(_x(frame, num_frames) for frame in labelled),
        marks=marks,
    )


def _find_lower_end(smallest: float) -> float:
    return next(end for end in _LOWER_ENDS if smallest >= end or end == 0)


def _x(frame: int, num_frames: int) -> float:
    return WIDTH * (frame / (num_frames - 1) if num_frames > 1 else 0.5)


def _x_percent(frame: int, num_frames: int) -> float:
    return 100 * _x(frame, num_frames) / WIDTH


def _y(value: float, lower: float) -> float:
    return HEIGHT * (1 - value) / (1 - lower)


def _draw_line(series: Series, num_frames: int, lower: float) -> Line:
    frames, values = np.asarray(series.frames, int), np.asarray(series.values, float)
    is_sparse = len(frames) < 0.75 * num_frames
    if not len(frames):
        return Line(series.name, series.style, is_sparse, "", "")
    is_thinned = len(frames) > MAX_POINTS
    if is_thinned:
        frames, values = _thin_out(frames, values)
    points = [
        f"{_x(frame, num_frames):.2f} {_y(value, lower):.2f}"
        for frame, value in zip(frames.tolist(), values.tolist(), strict=True)
    ]
    step = max(1, int(np.diff(frames).max(initial=1))) if is_thinned else 1
    starts = np.concatenate([[True], np.diff(frames) > step])
    line = "".join(
        ("M" if start else "L") + point for start, point in zip(starts, points, strict=True)
    )
    # A line of length zero with round ends: a dot that stays round when the SVG is stretched.
    has_dots = is_sparse or len(frames) <= 30
    dots = "".join(f"M{point}h0" for point in points) if has_dots else ""
    return Line(series.name, series.style, is_sparse, line, dots)


def _thin_out(frames: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keeps the smallest and largest value of each step, so that no single low value is lost."""
    kept = set()
    for part in np.array_split(np.arange(len(frames)), MAX_POINTS // 2):
        kept |= {part[values[part].argmin()], part[values[part].argmax()]}
    order = np.array(sorted(kept))
    return frames[order], values[order]


def _place_y_ticks(lower: float) -> tuple[Tick, ...]:
    digits = 2 if lower == 0.9 else 1
    ticks = np.linspace(lower, 1, 3 if lower == 0.8 else 6).tolist()
    return tuple(Tick(_y(tick, lower), f"{tick:.{digits}f}") for tick in ticks)


def _place_x_ticks(num_frames: int) -> tuple[Tick, ...]:
    last = num_frames - 1
    steps = (base * 10**power for power in range(7) for base in (1, 2, 5))
    step = next(step for step in steps if last / step <= 6)
    # The last frame always has its number; a round one too close to it is left out.
    frames = [frame for frame in range(0, last, step) if last - frame > 0.6 * step] + [last]
    return tuple(Tick(_x_percent(frame, num_frames), str(frame)) for frame in frames)
