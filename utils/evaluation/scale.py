"""How long a pixel is in centimetres: two points of a frame whose distance a person knows.

datasets/labels/scales.json keeps it, beside the labels that were made in the same page:

    {"videos": {"hen": {"frame": 0, "points": [[12.0, 40.5], [212.0, 40.5]], "distance_cm": 50.0,
                        "size": [480, 854], "pixel_aspect": 1.0}},
     "folders": {"/home/me/study": [{the same}, {the same of another size}]}}

Points are x and y in stored pixels. A scale of a folder holds for all videos in it that have its
size and no scale of their own: those of one camera that does not move.
"""

import json
import math
import os
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


def find_scale(name: str, video_path: Path | None, size: tuple[int, int]) -> Scale | None:
    """Finds the scale of a video: its own, or else that of the folder that it is in.

    Args:
        name: the video's name.
        video_path: the video, a file or a folder of frames; None if it is not known.
        size: height and width of its frames; a scale drawn at another size is not used.

    Returns: the scale, None if there is none for it.

    Raises:
        InputError: if the file is not in the format above.
    """
    content = _read_file()
    for one in (*_own(content, name), *_of_folder(content, video_path)):
        if _size_of(one) in (None, tuple(size)):
            return _parse(one)
    return None


def is_of_folder(name: str, size: tuple[int, int]) -> bool:
    """Whether the scale that `find_scale` finds for a video is that of its folder."""
    return all(_size_of(one) != tuple(size) for one in _own(_read_file(), name))


def save_scale(name: str, folder_of: Path | None, scale: Scale) -> None:
    """Keeps a scale, in place of the one of this size.

    Args:
        name: the video that it was drawn in.
        folder_of: the path of this video, if the scale is to hold for all videos of its folder.
        scale: what was drawn.
    """
    content = _read_file()
    if folder_of is None:
        content["videos"][name] = asdict(scale)
    else:
        _drop(content, name, folder_of, scale.size)
        content["folders"].setdefault(_folder_key(folder_of), []).append(asdict(scale))
    write_json(_scales_file(), content)


def remove_scale(name: str, video_path: Path, size: tuple[int, int] | None = None) -> None:
    """Removes the scale that holds for a video: its own, or else that of its folder.

    Args:
        name, video_path, size: as for `find_scale`; without a size, whatever sizes they have.
    """
    content = _read_file()
    own = _own(content, name)
    _drop(content, name, None if _keep(own, size) != own else video_path, size)
    write_json(_scales_file(), content)


def _drop(
    content: dict[str, dict[str, Any]],
    name: str,
    video_path: Path | None,
    size: tuple[int, int] | None,
) -> None:
    """Takes the scales of a size away: a video's own one and, with its path, its folder's."""
    if not _keep(_own(content, name), size):
        content["videos"].pop(name, None)
    if video_path is not None:
        left = _keep(_of_folder(content, video_path), size)
        content["folders"].pop(_folder_key(video_path), None)
        if left:
            content["folders"][_folder_key(video_path)] = left


def _keep(found: list[Any], size: tuple[int, int] | None) -> list[Any]:
    """Those of other sizes. What cannot be read goes, so that it can be drawn again."""
    return [one for one in found if size is not None and _size_of(one) not in (None, size)]


def _scales_file() -> Path:
    return paths.LABELS / paths.SCALES_FILE


def _folder_key(video_path: Path) -> str:
    # Without "..", as run.json has the path of the video.
    return os.path.normcase(os.path.dirname(os.path.abspath(video_path)))


def _own(content: dict[str, dict[str, Any]], name: str) -> list[Any]:
    """What was drawn for a video of this name, not checked; none or one."""
    return [one for one in [content["videos"].get(name)] if one is not None]


def _of_folder(content: dict[str, dict[str, Any]], video_path: Path | None) -> list[Any]:
    """What was drawn for a video's folder, not checked, no two of one size."""
    found = [] if video_path is None else content["folders"].get(_folder_key(video_path), [])
    # Earlier versions kept one scale a folder, without the list.
    return found if isinstance(found, list) else [found]


def _size_of(content: Any) -> tuple[int, int] | None:
    """The size of the video that a scale was drawn in; None if it is none."""
    try:
        return parse_scale(content).size
    except ValueError:
        return None


def _read_file() -> dict[str, dict[str, Any]]:
    path = _scales_file()
    if not path.is_file():
        return {"videos": {}, "folders": {}}
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        if all(isinstance(content[kind], dict) for kind in ("videos", "folders")):
            # Of an earlier version, or typed in another case where that does not matter.
            folders = {os.path.normcase(key): one for key, one in content["folders"].items()}
            return content | {"folders": folders}
    except (ValueError, TypeError, KeyError):
        pass
    raise InputError(
        f'{path}: expected "videos" and "folders" with their scales, found something else; remove '
        "it and draw the scale again with annotate.py."
    )


def _parse(content: Any) -> Scale:
    try:
        return parse_scale(content)
    except ValueError as error:
        raise InputError(
            f"{_scales_file()}: {error}; draw the scale again with annotate.py."
        ) from error
