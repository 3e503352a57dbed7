"""How long a pixel is in centimetres: two points of a frame whose distance a person knows.

RESULTS/scale.json keeps it with the study:

    {"study": {"frame": 0, "points": [[12.0, 40.5], [212.0, 40.5]], "distance_cm": 50.0,
               "size": [480, 854], "pixel_aspect": 1.0},
     "videos": {"hen": {the same for this video alone}}}

Points are x and y in stored pixels. The scale of the study holds for all videos of its size that
have none of their own: one camera that does not move.
"""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from utils import paths
from utils.errors import InputError
from utils.files import write_json


@dataclass(frozen=True)
class Scale:
    """A distance drawn on a frame.

    Attributes:
        frame: index of the frame.
        points: x and y of both ends, in stored pixels.
        distance_cm: what the distance is in the world.
        size: height and width of the video, in stored pixels.
        pixel_aspect: width of a pixel as shown over its height.
    """

    frame: int
    points: tuple[tuple[float, float], tuple[float, float]]
    distance_cm: float
    size: tuple[int, int]
    pixel_aspect: float = 1.0

    @property
    def cm_per_px(self) -> float:
        """The height of a pixel; its width is `pixel_aspect` times as much."""
        (x0, y0), (x1, y1) = self.points
        return self.distance_cm / math.hypot((x1 - x0) * self.pixel_aspect, y1 - y0)

    @property
    def cm2_per_px(self) -> float:
        """The area of a pixel."""
        return self.cm_per_px**2 * self.pixel_aspect


def parse_scale(content: Any) -> Scale:
    """Checks what a file or a page says.

    Args:
        content: the object above, as JSON gives it.

    Raises:
        ValueError: in words, if it is no scale.
    """
    try:
        points = tuple(tuple(float(number) for number in point) for point in content["points"])
        scale = Scale(
            frame=int(content["frame"]),
            points=points,
            distance_cm=float(content["distance_cm"]),
            size=tuple(int(number) for number in content["size"]),
            pixel_aspect=float(content.get("pixel_aspect", 1)),
        )
    except (TypeError, KeyError, AttributeError, ValueError, OverflowError) as error:
        raise ValueError(f"expected two points and their distance, found {content}") from error
    numbers = [*(number for point in points for number in point), scale.pixel_aspect]
    if [len(point) for point in points] != [2, 2] or len(scale.size) != 2:
        raise ValueError(f"expected two points and the size of a video, found {content}")
    if not all(map(math.isfinite, numbers)) or scale.pixel_aspect <= 0 or points[0] == points[1]:
        raise ValueError("the two points must be different places")
    if not 0 < scale.distance_cm < math.inf:
        raise ValueError("the distance must be more than 0 cm")
    return scale


def read_scale(results: Path, name: str, size: tuple[int, int]) -> Scale | None:
    """Reads the scale of a video: its own, or else that of the study.

    Args:
        results: the results folder.
        name: the video's name.
        size: height and width of its frames; a scale drawn at another size is not used.

    Returns: the scale, None if there is none for it.

    Raises:
        InputError: if the file is not in the format above.
    """
    content = _read_file(results)
    for one in (content.get("videos", {}).get(name), content.get("study")):
        if one is not None:
            scale = _parse(results, one)
            if scale.size == tuple(size):
                return scale
    return None


def save_scale(results: Path, name: str | None, scale: Scale | None) -> None:
    """Writes or removes a scale.

    Args:
        results: the results folder.
        name: the video's name; None stands for the study. The study's scale takes the place of
            those of single videos only where they have none.
        scale: None removes it.
    """
    content = _read_file(results)
    videos = content.setdefault("videos", {})
    where, key = (content, "study") if name is None else (videos, name)
    if scale is None:
        where.pop(key, None)
    else:
        where[key] = asdict(scale)
    write_json(Path(results) / paths.SCALE_FILE, content)


def _read_file(results: Path) -> dict[str, Any]:
    path = Path(results) / paths.SCALE_FILE
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content, dict) and isinstance(content.get("videos", {}), dict):
            return content
    except ValueError:
        pass
    raise InputError(
        f"{path}: expected the scales of the study, found something else; remove it and draw the "
        "scale again with annotate.py."
    )


def _parse(results: Path, content: Any) -> Scale:
    try:
        return parse_scale(content)
    except ValueError as error:
        path = Path(results) / paths.SCALE_FILE
        raise InputError(f"{path}: {error}; draw the scale again with annotate.py.") from error
