"""Masks drawn over frames, for people to look at: one frame, a video or a contact sheet."""

from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from utils.files import move_into_place, write_atomically
from utils.media.images import resize_image, resize_labels
from utils.media.labels import davis_palette
from utils.media.video_writing import write_video
from utils.media.videos import Video

TINT = 0.45
MAX_VIDEO_HEIGHT_PX = 1080
TILE_BOX_PX = (320, 320)  # width, height that a tile of the contact sheet fits into
MAX_SHEET_BYTES = 2_000_000
LABELLED_TEXT = "labelled frame"
_FIRST_COLOUR = (255, 56, 120)  # hardly ever found on an animal, in grass, in sand or in the sky
_GAP_PX = 6


def animal_colour(number: int) -> tuple[int, int, int]:
    """RGB of animal `number` (from 1): a vivid pink, then the DAVIS palette."""
    return _FIRST_COLOUR if number == 1 else tuple(int(c) for c in davis_palette()[number])


def draw_overlay(image: np.ndarray, mask: np.ndarray, num_animals: int) -> np.ndarray:
    """Tints each animal and draws its contour: a bright line within, a dark one of 1 px around it.

    The line is 2 px wide, more from 600 lines on.

    Args:
        image: uint8 (height, width, 3) RGB.
        mask: uint8 (height, width), 0 background, 1..num_animals.

    Returns: a new uint8 (height, width, 3).
    """
    drawn = image.copy()
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    line_px = max(2, round(image.shape[0] / 240))
    dark = image // 3
    background = (mask == 0).astype(np.uint8)
    for number in range(1, num_animals + 1):
        animal = (mask == number).astype(np.uint8)
        if not animal.any():
            continue
        colour = np.array(animal_colour(number), np.float32)
        # The palette's colours are dark; as bright as they go, lines show in shadows too.
        bright = (colour * (255 / max(colour.max(), 1))).round()
        # The picture's border is no contour of the animal: beyond it the mask goes on.
        core = cv2.erode(animal, cross, iterations=line_px, borderType=cv2.BORDER_REPLICATE)
        around = cv2.dilate(animal, cross) & background
        tinted = cv2.addWeighted(image, 1 - TINT, _plain(colour, image), TINT, 0)
        cv2.copyTo(tinted, animal, drawn)
        cv2.copyTo(dark, around, drawn)
        cv2.copyTo(_plain(bright, image), animal - core, drawn)
    return drawn


def _plain(colour: np.ndarray, like: np.ndarray) -> np.ndarray:
    return np.full_like(like, colour.astype(np.uint8))


def write_overlay_video(
    path: Path,
    video: Video,
    read_mask: Callable[[int], np.ndarray],
    labelled: Collection[int],
) -> None:
    """Writes the video with its masks drawn in as MP4, frame by frame, with the same times and
    sound.

    Args:
        read_mask: index of a frame -> uint8 (height, width), 0 background, 1..N.
        labelled: indices of the frames that a person labelled; they carry a tag.
    """
    height = min(video.height, MAX_VIDEO_HEIGHT_PX)
    width = max(1, round(video.width * height / video.height))

    def frames() -> Iterator[np.ndarray]:
        for index in range(len(video)):
            drawn = _draw_frame(video, read_mask, index, height, width)
            yield _add_tag(drawn, LABELLED_TEXT) if index in labelled else drawn

    write_video(path, frames(), video.times_seconds(), video.frames_per_second, video.sound)


def write_contact_sheet(
    path: Path,
    video: Video,
    read_mask: Callable[[int], np.ndarray],
    labelled: Collection[int],
    columns: int = 4,
    max_tiles: int = 12,
) -> None:
    """Writes evenly spaced frames with their masks, labelled ones always among them, as one PNG.

    Args:
        read_mask, labelled: as in `write_overlay_video`.
        columns: tiles per row.
        max_tiles: tiles in all; there are more only if more frames are labelled.
    """
    indices = _choose_frames(len(video), labelled, max_tiles)
    scale = min(TILE_BOX_PX[0] / video.width, TILE_BOX_PX[1] / video.height)
    height, width = max(1, round(video.height * scale)), max(1, round(video.width * scale))
    columns = min(columns, len(indices))
    rows = -(-len(indices) // columns)
    shape = (rows * (height + _GAP_PX) + _GAP_PX, columns * (width + _GAP_PX) + _GAP_PX, 3)
    sheet = np.full(shape, 255, np.uint8)
    for place, index in enumerate(indices):
        tag = video.frame_names[index] + (f"  {LABELLED_TEXT}" if index in labelled else "")
        tile = _add_tag(_draw_frame(video, read_mask, index, height, width), tag)
        top = _GAP_PX + place // columns * (height + _GAP_PX)
        left = _GAP_PX + place % columns * (width + _GAP_PX)
        sheet[top : top + height, left : left + width] = tile
    write_atomically(path, lambda aside: _save_sheet(aside, Image.fromarray(sheet)))


def write_overlays(
    folder: Path,
    aside_dir: Path,
    video: Video,
    read_mask: Callable[[int], np.ndarray],
    labelled: Collection[int],
) -> None:
    """Writes `folder/NAME.mp4`, the overlay video, and `folder/NAME.png`, the contact sheet.

    Args:
        folder: made if it is missing.
        aside_dir: the files are made in there and moved when they are whole.
        video, read_mask, labelled: as in `write_overlay_video`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for suffix, write in ((".mp4", write_overlay_video), (".png", write_contact_sheet)):
        write(aside_dir / f"overlay{suffix}", video, read_mask, labelled)
        move_into_place(aside_dir / f"overlay{suffix}", folder / f"{video.name}{suffix}")


def _draw_frame(
    video: Video, read_mask: Callable[[int], np.ndarray], index: int, height: int, width: int
) -> np.ndarray:
    # Drawn at the final size, so that lines keep their width.
    image = resize_image(video.read(index), height, width)
    mask = resize_labels(read_mask(index), height, width)
    return draw_overlay(image, mask, int(mask.max(initial=0)))


def _choose_frames(num_frames: int, labelled: Collection[int], max_tiles: int) -> list[int]:
    even = np.linspace(0, num_frames - 1, min(max_tiles, num_frames)).round().astype(int).tolist()
    chosen = set(even)
    for index in sorted(set(labelled) - chosen):
        others = chosen.difference(labelled)
        if len(chosen) >= max_tiles and others:
            chosen.remove(min(others, key=lambda other: (abs(other - index), other)))
        chosen.add(index)
    return sorted(chosen)


def _add_tag(image: np.ndarray, text: str) -> np.ndarray:
    """White text on a dark plate in the upper left corner."""
    size = max(12, round(min(image.shape[:2]) / 30))
    font = ImageFont.load_default(size)
    canvas = Image.fromarray(image)
    draw = ImageDraw.Draw(canvas, "RGBA")
    margin = size // 2
    left, top, right, bottom = draw.textbbox((margin, margin), text, font)
    pad = size // 3
    plate = (left - pad, top - pad, right + pad, bottom + pad)
    draw.rounded_rectangle(plate, radius=pad, fill=(0, 0, 0, 170))
    draw.text((margin, margin), text, fill="white", font=font)
    return np.array(canvas)


def _save_sheet(path: Path, sheet: Image.Image) -> None:
    sheet.save(path, optimize=True)
    if path.stat().st_size > MAX_SHEET_BYTES:
        sheet.quantize(256).save(path, optimize=True)
