"""Line charts over the frames of a video, as HTML with inline SVG.

The SVG is stretched to whatever width there is; text and dots stand beside it, so that they keep
their size on a phone.
"""

import html
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

WIDTH, HEIGHT = 1000, 100  # user units of the SVG
MAX_POINTS = 2000  # of a drawn line; longer ones are drawn as the range within each step
_LOWER_ENDS = (0.9, 0.8, 0.5, 0.0)  # of the vertical axis, whose upper end is 1


@dataclass(frozen=True)
class Series:
    """One line.

    Attributes:
        name: in the key and in the page's data.
        style: CSS class that gives the colour: "j", "f", "trust" or "second".
        frames: indices, increasing; the line is broken where one is left out.
        values: 0..1, one per frame.
    """

    name: str
    style: str
    frames: Sequence[int]
    values: Sequence[float]


def draw_chart(
    title: str,
    series: Sequence[Series],
    num_frames: int,
    labelled: Collection[int] = (),
    marked: Mapping[int, str] | None = None,
) -> str:
    """A chart of values in 0..1 over all frames of a video.

    Args:
        title: plain text.
        labelled: frames that get a vertical line.
        marked: frame -> a character or two, put on the first series at that frame.

    Returns: a <figure>; all text in it is escaped.
    """
    lower = _lower_end(min((min(one.values) for one in series if len(one.values)), default=0))
    key = "".join(
        f'<span class="key {one.style} {"dot" * _is_sparse(one, num_frames)}">'
        f"{html.escape(one.name)}</span>"
        for one in series
    )
    names = html.escape(" ".join(one.name for one in series))
    ticks = np.linspace(lower, 1, 6 if lower in (0, 0.5) else 3 if lower == 0.8 else 6)
    grid = "".join(f'<path class="grid" d="M0 {_y(t, lower):.2f}H{WIDTH}"/>' for t in ticks)
    lines = "".join(
        f'<path class="label" d="M{_x(frame, num_frames):.2f} 0V{HEIGHT}"/>' for frame in labelled
    )
    paths = "".join(_draw_series(one, num_frames, lower) for one in reversed(series))
    return (
        f'<figure class="chart" data-series="{names}"><figcaption>{html.escape(title)}'
        f'<span class="keys">{key}{_labelled_key(labelled)}</span></figcaption>'
        f'<div class="plot" tabindex="0" role="group" aria-label="{html.escape(title)}. '
        'Left and right arrow: one frame back and on.">'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" aria-hidden="true">'
        f"{grid}{lines}{paths}</svg>"
        f"{_y_labels(ticks, lower)}{_x_labels(num_frames)}"
        f"{_marks(marked or {}, series, num_frames, lower)}"
        '<i class="playhead"></i><i class="cursor"></i></div>'
        '<output class="readout"></output></figure>'
    )


def _lower_end(smallest: float) -> float:
    return next(end for end in _LOWER_ENDS if smallest >= end or end == 0)


def _x(frame: int, num_frames: int) -> float:
    return WIDTH * (frame / (num_frames - 1) if num_frames > 1 else 0.5)


def _y(value: float, lower: float) -> float:
    return HEIGHT * (1 - value) / (1 - lower)


def _draw_series(one: Series, num_frames: int, lower: float) -> str:
    frames, values = np.asarray(one.frames, int), np.asarray(one.values, float)
    if not len(frames):
        return ""
    if len(frames) > MAX_POINTS:
        frames, values = _thin_out(frames, values)
    points = [
        f"{_x(frame, num_frames):.2f} {_y(value, lower):.2f}"
        for frame, value in zip(frames.tolist(), values.tolist(), strict=True)
    ]
    step = max(1, int(np.diff(frames).max(initial=1))) if len(one.frames) > MAX_POINTS else 1
    starts = np.concatenate([[True], np.diff(frames) > step])
    line = "".join(
        ("M" if start else "L") + point for start, point in zip(starts, points, strict=True)
    )
    drawn = f'<path class="line {one.style}" d="{line}"/>'
    if _is_sparse(one, num_frames) or len(frames) <= 30:
        # A line of no length with round ends: a dot that stays round however the SVG is stretched.
        dots = "".join(f"M{point}h0" for point in points)
        drawn += f'<path class="dots {one.style}" d="{dots}"/>'
    return drawn


def _is_sparse(one: Series, num_frames: int) -> bool:
    return len(one.frames) < 0.75 * num_frames


def _thin_out(frames: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest value of each step, so that no dip of a single frame is lost."""
    kept = set()
    for part in np.array_split(np.arange(len(frames)), MAX_POINTS // 2):
        kept |= {part[values[part].argmin()], part[values[part].argmax()]}
    order = np.array(sorted(kept))
    return frames[order], values[order]


def _labelled_key(labelled: Collection[int]) -> str:
    return '<span class="key label">labelled frame</span>' if labelled else ""


def _y_labels(ticks: np.ndarray, lower: float) -> str:
    digits = 2 if lower == 0.9 else 1
    return "".join(
        f'<span class="y" style="top:{_y(tick, lower):.1f}%">{tick:.{digits}f}</span>'
        for tick in ticks
    )


def _x_labels(num_frames: int) -> str:
    last = num_frames - 1
    steps = (base * 10**power for power in range(7) for base in (1, 2, 5))
    step = next(step for step in steps if last / step <= 6)
    # The last frame always has its number; a round one too near to it has not.
    frames = [frame for frame in range(0, last, step) if last - frame > 0.6 * step] + [last]
    return "".join(
        f'<span class="x" style="left:{_x(frame, num_frames) / WIDTH:.2%}">{frame}</span>'
        for frame in frames
    )


def _marks(
    marked: Mapping[int, str], series: Sequence[Series], num_frames: int, lower: float
) -> str:
    values = dict(zip(series[0].frames, series[0].values, strict=True)) if marked else {}
    return "".join(
        f'<b class="mark" style="left:{_x(frame, num_frames) / WIDTH:.2%};'
        f'top:{_y(values[frame], lower):.1f}%">{html.escape(text)}</b>'
        for frame, text in marked.items()
    )
