"""Draws a ranking of frames as a strip of thumbnails."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from utils.files import write_atomically
from utils.media.images import resize_image, scaled_size
from utils.media.videos import Video, shown_size

THUMBNAIL_BOX_PX = (224, 168)  # width, height that a thumbnail fits into
_GAP_PX = 8
_TITLE_PX, _CAPTION_PX = 18, 14
_CHOSEN_COLOUR = (0, 150, 70)


def write_ranking_strip(
    path: Path, video: Video, rankings: dict[str, Sequence[int]], columns: int = 7
) -> None:
    """Writes a PNG with one row per ranking.

    A row goes from the best frame on the left, framed in green, in even steps of rank to the worst
    on the right.

    Args:
        path: the PNG to write.
        video: the video that was ranked.
        rankings: title of the row -> frames of the video, best first.
        columns: thumbnails per row; fewer if fewer frames are ranked.
    """
    rows = {title: _even_ranks(len(ranking), columns) for title, ranking in rankings.items()}
    columns = max(map(len, rows.values()))
    shown_height, shown_width = shown_size(video)
    scale = min(THUMBNAIL_BOX_PX[0] / shown_width, THUMBNAIL_BOX_PX[1] / shown_height)
    height, width = scaled_size(shown_height, shown_width, scale)
    cell_width = max(width, 110)  # captions of narrow videos must not run into each other
    row_height = _TITLE_PX + height + _CAPTION_PX + 5 * _GAP_PX
    title_font = ImageFont.load_default(_TITLE_PX)
    title_width = max(round(title_font.getlength(title)) for title in rows)
    sheet_width = max(columns * (cell_width + _GAP_PX), title_width + _GAP_PX) + _GAP_PX
    size = (sheet_width, len(rows) * row_height)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)

    needed = sorted({rankings[title][rank] for title, ranks in rows.items() for rank in ranks})
    images = {f: Image.fromarray(resize_image(video.read(f), height, width)) for f in needed}
    for number, (title, ranks) in enumerate(rows.items()):
        top = number * row_height + _GAP_PX
        draw.text((_GAP_PX, top), title, "black", title_font)
        top += _TITLE_PX + _GAP_PX
        for column, rank in enumerate(ranks):
            frame = rankings[title][rank]
            left = _GAP_PX + column * (cell_width + _GAP_PX)
            sheet.paste(images[frame], (left, top))
            if rank == 0:
                box = (left - 4, top - 4, left + width + 3, top + height + 3)
                draw.rectangle(box, outline=_CHOSEN_COLOUR, width=4)
            caption = f"{rank + 1}.  frame {frame}"
            colour = _CHOSEN_COLOUR if rank == 0 else "black"
            font = ImageFont.load_default(_CAPTION_PX)
            draw.text((left, top + height + _GAP_PX), caption, colour, font)
    write_atomically(path, lambda temporary_path: sheet.save(temporary_path, optimize=True))


def _even_ranks(count: int, columns: int) -> list[int]:
    return np.linspace(0, count - 1, min(columns, count)).round().astype(int).tolist()
