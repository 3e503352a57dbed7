"""Some frames of a video side by side, small, with the way that each animal has come so far."""

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from utils.errors import InputError
from utils.evaluation.mask_tracks import MaskTrack
from utils.evaluation.results import SegmentedVideo
from utils.media.images import resize_image, resize_labels, scaled_size
from utils.media.labels import VOID, read_label
from utils.media.overlay import animal_colour, draw_overlay
from utils.media.videos import VideoFile

NUM_TILES = 5
TILE_HEIGHT_PX = 72
MAX_TILE_WIDTH_PX = 160
_GAP_PX = 2
_GROUND = (92, 98, 104)  # behind the masks where there is no overlay video


def make_strip(
    video: SegmentedVideo,
    tracks: Mapping[int, MaskTrack],
    size: tuple[int, int],
    overlay_path: Path,
) -> np.ndarray:
    """Draws frames that are evenly spaced, the first and the last included.

    Args:
        video: from `open_segmented`.
        tracks: of its animals.
        size: height and width of its masks.
        overlay_path: the overlay video, which may be missing; then the masks are drawn on grey.

    Returns: uint8 (height, width, 3) RGB; tiles are TILE_HEIGHT_PX high unless that is too wide.
    """
    last = len(video) - 1
    frames = sorted({round(last * part / (NUM_TILES - 1)) for part in range(NUM_TILES)})
    images = _read_overlay(overlay_path, len(video), frames) or _draw_masks(video, frames)
    shown = images[0].shape[:2]  # not always `size`: pixels of the overlay are square
    scale = min(TILE_HEIGHT_PX / shown[0], MAX_TILE_WIDTH_PX / shown[1])
    height, width = scaled_size(*shown, scale)
    tiles = []
    for frame, image in zip(frames, images, strict=True):
        tile = resize_image(image, height, width)
        _draw_way(tile, tracks, frame, (width / size[1], height / size[0]))
        tiles += [tile, np.full((height, _GAP_PX, 3), 255, np.uint8)]
    return np.concatenate(tiles[:-1], axis=1)


def _read_overlay(path: Path, num_frames: int, frames: list[int]) -> list[np.ndarray] | None:
    """The frames of the overlay video; None if it is missing, broken or of another run."""
    if not path.is_file():
        return None
    try:
        with VideoFile(path) as overlay:
            if len(overlay) != num_frames:
                return None
            return [overlay.read(frame) for frame in frames]
    except InputError:
        return None


def _draw_masks(video: SegmentedVideo, frames: list[int]) -> list[np.ndarray]:
    images = []
    for frame in frames:
        mask = read_label(video.mask_paths[frame]).values
        mask[mask == VOID] = 0
        height = min(mask.shape[0], 4 * TILE_HEIGHT_PX)  # enough, and quick for a 4K video
        mask = resize_labels(mask, height, max(1, round(mask.shape[1] * height / mask.shape[0])))
        images.append(draw_overlay(np.full((*mask.shape, 3), _GROUND, np.uint8), mask))
    return images


def _draw_way(
    tile: np.ndarray, tracks: Mapping[int, MaskTrack], last: int, scale: tuple[float, float]
) -> None:
    """Draws the way of each animal's centroid from the first frame to this one."""
    for animal, track in tracks.items():
        places = np.stack([track.column("centroid_x"), track.column("centroid_y")], axis=1)
        places = (places[: last + 1] + 0.5) * scale - 0.5
        is_seen = np.isfinite(places).all(axis=1)
        parts = np.split(places, np.flatnonzero(~is_seen))  # none is drawn across a gap
        lines = [part[np.isfinite(part).all(axis=1)] for part in parts]
        # Points in sixteenths of a pixel: at this size, whole pixels are steps.
        lines = [np.rint(16 * line).astype(np.int32) for line in lines if len(line)]
        for colour, width_px in (((0, 0, 0), 2), (animal_colour(animal), 1)):
            bright = np.array(colour) * 255 // max(max(colour), 1)
            cv2.polylines(tile, lines, False, bright.tolist(), width_px, cv2.LINE_AA, shift=4)
