"""Draws masks over frames for people to look at: in one frame, a video or a contact sheet."""

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from utils.ahead import ahead
from utils.errors import is_disk_full, one_line
from utils.files import move_into_place, write_atomically
from utils.media.images import resize_image, resize_labels, scaled_size
from utils.media.labels import davis_palette
from utils.media.video_writing import constant_rate, write_video
from utils.media.videos import Video, shown_size

TINT = 0.45  # share of the animal's colour in the pixels that it covers
MAX_VIDEO_HEIGHT_PX = 1080
MAX_VIDEO_SIDE_PX = 8192  # more is beyond what H.264 decoders take
TILE_BOX_PX = (320, 320)  # width and height into which a tile of the contact sheet fits
MAX_SHEET_BYTES = 2_000_000
LABELLED_TEXT = "labelled frame"
_FIRST_COLOUR = (255, 56, 120)  # a pink that animals, grass, sand and sky hardly ever have
_GAP_PX = 6


def animal_colour(animal: int) -> tuple[int, int, int]:
    """Returns the colour in which an animal is drawn: a vivid pink, then the DAVIS palette.

    Args:
        animal: its number, from 1.

    Returns: red, green and blue, each 0..255.
    """
    return _FIRST_COLOUR if animal == 1 else tuple(int(c) for c in davis_palette()[animal])


def draw_overlay(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Tints each animal and draws its contour: a bright line inside, a dark one of 1 px outside.

    The bright line is 2 px wide, and wider from 600 lines on.

    Args:
        image: uint8 (height, width, 3) RGB; not changed.
        mask: uint8 (height, width), 0 background, else the number of an animal. Numbers may have
            gaps; each animal keeps its colour (`animal_colour`).

    Returns: uint8 (height, width, 3) RGB, a new array.
    """
    drawn = image.copy()
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    line_px = max(2, round(image.shape[0] / 240))
    dark = image // 3
    background = (mask == 0).astype(np.uint8)
    for animal in np.unique(mask[mask > 0]).tolist():
        covered = (mask == animal).astype(np.uint8)
        colour = np.array(animal_colour(animal), np.float32)
        # The palette is dark: at full brightness the line can be seen in shadows as well.
        bright = (colour * (255 / max(colour.max(), 1))).round()
        # The border of the image is not a contour: the animal may continue beyond it.
        inside = cv2.erode(covered, cross, iterations=line_px, borderType=cv2.BORDER_REPLICATE)
        outside_line = cv2.dilate(covered, cross) & background
        tinted = cv2.addWeighted(image, 1 - TINT, _filled(image, colour), TINT, 0)
        cv2.copyTo(tinted, covered, drawn)
        cv2.copyTo(dark, outside_line, drawn)
        cv2.copyTo(_filled(image, bright), covered - inside, drawn)
    return drawn


def _filled(image: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """An image of the same size in one colour."""
    return np.full_like(image, colour.astype(np.uint8))


def write_overlay_video(
    path: Path,
    video: Video,
    mask_of: Callable[[int], np.ndarray],
    labelled: Collection[int],
    *,
    show: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> str | None:
    """Writes the video with its masks drawn in as an MP4 with the same times and sound.

    Two frames are in memory: one is drawn while the one before is encoded. Videos are scaled down
    to MAX_VIDEO_HEIGHT_PX; pixels that are not square are made square, since not every player does
    so itself.

    Args:
        path: of the file.
        video: the frames.
        mask_of: index of a frame -> uint8 (height, width), 0 background, else the number of an
            animal.
        labelled: indices of the frames that a person labelled; a tag marks them.
        show: hands the indices of all frames on, and shows how many are done.

    Returns: how the file differs from that, in words; None if it does not.
    """
    shown_height, shown_width = shown_size(video)
    scale = min(1.0, MAX_VIDEO_HEIGHT_PX / shown_height, MAX_VIDEO_SIDE_PX / shown_width)
    height, width = scaled_size(shown_height, shown_width, scale)

    def frames() -> Iterator[np.ndarray]:
        for index in show(range(len(video))):
            drawn = _draw_frame(video, mask_of, index, height, width)
            yield add_tag(drawn, LABELLED_TEXT) if index in labelled else drawn

    times = video.times_seconds()
    rate = constant_rate(times)
    if rate is None:
        write_video(path, ahead(frames()), times, video.frames_per_second, video.sound)
        return None
    write_video(path, ahead(frames()), None, rate)
    lost_sound = ", without sound" if video.sound else ""
    return (
        f"the times of its frames do not fit into an MP4; it shows {rate:.4g} frames per second"
        f"{lost_sound}"
    )


def write_contact_sheet(
    path: Path,
    video: Video,
    mask_of: Callable[[int], np.ndarray],
    labelled: Collection[int],
    columns: int = 4,
    max_tiles: int = 12,
) -> None:
    """Writes evenly spaced frames with their masks as one PNG; every labelled frame is among them.

    Args:
        path: of the file.
        video, mask_of, labelled: as in `write_overlay_video`.
        columns: tiles per row.
        max_tiles: tiles in all; there are more only if more frames are labelled.
    """
    indices = _contact_sheet_frames(len(video), labelled, max_tiles)
    names = video.frame_names
    tags = {i: names[i] + (f"  {LABELLED_TEXT}" if i in labelled else "") for i in indices}
    write_tiles(path, video, mask_of, tags, columns)


def write_tiles(
    path: Path,
    video: Video,
    mask_of: Callable[[int], np.ndarray],
    tags: dict[int, str],
    columns: int,
) -> None:
    """Writes frames with their masks as one PNG.

    Args:
        path: of the file.
        video: the frames.
        mask_of: as in `write_overlay_video`; masks may be of any size.
        tags: index of each frame to show -> what is written on it.
        columns: tiles per row.
    """
    shown_height, shown_width = shown_size(video)
    scale = min(TILE_BOX_PX[0] / shown_width, TILE_BOX_PX[1] / shown_height)
    height, width = scaled_size(shown_height, shown_width, scale)
    columns = min(columns, len(tags))
    rows = -(-len(tags) // columns)
    shape = (rows * (height + _GAP_PX) + _GAP_PX, columns * (width + _GAP_PX) + _GAP_PX, 3)
    sheet = np.full(shape, 255, np.uint8)
    for place, (index, tag) in enumerate(tags.items()):
        tile = add_tag(_draw_frame(video, mask_of, index, height, width), tag)
        top = _GAP_PX + place // columns * (height + _GAP_PX)
        left = _GAP_PX + place % columns * (width + _GAP_PX)
        sheet[top : top + height, left : left + width] = tile
    write_atomically(
        path, lambda temporary_path: _save_sheet(temporary_path, Image.fromarray(sheet))
    )


def write_overlays(
    folder: Path,
    aside_dir: Path,
    video: Video,
    mask_of: Callable[[int], np.ndarray],
    labelled: Collection[int],
    failures: list[str] | None = None,
    *,
    show: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> list[str]:
    """Writes `folder/NAME.mp4`, the overlay video, and `folder/NAME.png`, the contact sheet.

    They are for people to look at: one that cannot be written costs nothing else.

    Args:
        folder: created if it is missing.
        aside_dir: the files are written there and moved when they are complete.
        video, mask_of, labelled, show: as in `write_overlay_video`.
        failures: gets those of the returned lines that say what could not be written.

    Returns: what is not as intended, a line each.
    """
    folder.mkdir(parents=True, exist_ok=True)
    notes, failures = [], [] if failures is None else failures
    write_video_of = partial(write_overlay_video, show=show)
    for suffix, write in ((".mp4", write_video_of), (".png", write_contact_sheet)):
        target = folder / f"{video.name}{suffix}"
        aside = aside_dir / f"overlay{suffix}"
        with noting_failures(target, failures):
            note = write(aside, video, mask_of, labelled)
            move_into_place(aside, target)
            if note:
                notes.append(f"{target}: {note}.")
    return [*notes, *failures]


@contextlib.contextmanager
def noting_failures(target: Path, notes: list[str]) -> Iterator[None]:
    """While a file is written that people only look at: why it cannot be written becomes a note.

    Raises:
        OSError: if the disk is full; the run continues when there is space.
    """
    try:
        yield
    except Exception as error:
        if is_disk_full(error):
            raise
        reason = f"{type(error).__name__}: {one_line(error)}"
        notes.append(f"{target}: it could not be written ({reason}).")


def add_tag(image: np.ndarray, text: str) -> np.ndarray:
    """Returns the image, uint8 RGB, with white text on a dark plate in the upper left corner."""
    size = max(12, round(min(image.shape[:2]) / 30))
    font = ImageFont.load_default(size)
    canvas = Image.fromarray(image)
    draw = ImageDraw.Draw(canvas, "RGBA")
    text = text.encode("utf-8", "replace").decode()  # a name need not be UTF-8
    margin = size // 2
    left, top, right, bottom = draw.textbbox((margin, margin), text, font)
    padding = size // 3
    plate = (left - padding, top - padding, right + padding, bottom + padding)
    draw.rounded_rectangle(plate, radius=padding, fill=(0, 0, 0, 170))
    draw.text((margin, margin), text, fill="white", font=font)
    return np.array(canvas)


def _draw_frame(
    video: Video, mask_of: Callable[[int], np.ndarray], index: int, height: int, width: int
) -> np.ndarray:
    # Resized before drawing, so that lines keep their width.
    image = resize_image(video.read(index), height, width)
    mask = resize_labels(mask_of(index), height, width)
    return draw_overlay(image, mask)


def _contact_sheet_frames(num_frames: int, labelled: Collection[int], max_tiles: int) -> list[int]:
    """Evenly spaced frames, in which each labelled one takes the place of its nearest neighbour."""
    evenly = np.linspace(0, num_frames - 1, min(max_tiles, num_frames)).round().astype(int)
    chosen = set(evenly.tolist())
    for index in sorted(set(labelled) - chosen):
        others = chosen.difference(labelled)
        if len(chosen) >= max_tiles and others:
            chosen.remove(min(others, key=lambda other: (abs(other - index), other)))
        chosen.add(index)
    return sorted(chosen)


def _save_sheet(path: Path, sheet: Image.Image) -> None:
    sheet.save(path, optimize=True)
    if path.stat().st_size > MAX_SHEET_BYTES:
        sheet.quantize(256).save(path, optimize=True)
