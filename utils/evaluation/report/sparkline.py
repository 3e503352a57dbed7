"""Small curves over the frames of a video, one per cell of the table of videos."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from utils.media.overlay import animal_colour

WIDTH, HEIGHT = 100, 20  # of the SVG, in its own units
_MAX_POINTS = 120  # of a line: more cannot be told apart at this size
_MAX_LINES = 6  # of a curve: beyond, animals are left out


@dataclass(frozen=True)
class Sparkline:
    """A curve as drawn.

    Attributes:
        lines: SVG path and colour of each line, the most important one last, on top; an empty
            colour stands for the page's own.
        width: of the SVG.
        height: of the SVG.
    """

    lines: tuple[tuple[str, str], ...]
    width: int = WIDTH
    height: int = HEIGHT


def draw_trust(values: np.ndarray) -> Sparkline:
    """Draws values in 0..1, one per frame, on a scale from 0 to 1."""
    return Sparkline(((_draw_path(values, 1.0), ""),))


def draw_per_animal(values: Mapping[int, np.ndarray]) -> Sparkline:
    """Draws a line per animal, from 0 to the largest value of all.

    Args:
        values: the animal's number -> (frames,), NaN where the line is interrupted.
    """
    shown = dict(list(values.items())[:_MAX_LINES])
    known = [one[np.isfinite(one)] for one in shown.values()]
    top = max((float(one.max()) for one in known if len(one)), default=0.0)
    lines = []
    for animal, one in reversed(shown.items()):
        colour = "" if len(values) == 1 else "#{:02x}{:02x}{:02x}".format(*animal_colour(animal))
        lines.append((_draw_path(one, top or 1.0), colour))
    return Sparkline(tuple(lines))


def _draw_path(values: np.ndarray, top: float) -> str:
    values = np.asarray(values, float)
    frames = _pick_frames(values)
    pieces, is_drawn = [], False
    for frame in frames:
        if not np.isfinite(values[frame]):
            is_drawn = False
            continue
        x = WIDTH * (frame / (len(values) - 1) if len(values) > 1 else 0.5)
        y = HEIGHT * (1 - min(1.0, values[frame] / top))
        pieces.append(f"{'L' if is_drawn else 'M'}{x:.4g} {y:.3g}")
        is_drawn = True
    return "".join(pieces)


def _pick_frames(values: np.ndarray) -> list[int]:
    """All frames, or of a long video those with the lowest and the highest value of each part, so
    that no short dip is lost; where a part has no value, one frame of it, to interrupt the line."""
    if len(values) <= _MAX_POINTS:
        return list(range(len(values)))
    picked: set[int] = set()
    for part in np.array_split(np.arange(len(values)), _MAX_POINTS // 2):
        known = part[np.isfinite(values[part])]
        if len(known):
            picked |= {int(known[values[known].argmin()]), int(known[values[known].argmax()])}
        else:
            picked.add(int(part[0]))
    return sorted(picked)
