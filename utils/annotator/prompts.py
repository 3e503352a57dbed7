"""Checks what the page of annotate.py sends: clicks, boxes and drawn labels."""

import io
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from werkzeug.exceptions import BadRequest, HTTPException, UnprocessableEntity

from utils.annotator.click_marks import (
    OTHER_ANIMAL,
    SURE_ANIMAL,
    SURE_BACKGROUND,
    Box,
    Click,
    Marks,
)
from utils.media.labels import MAX_ANIMALS

MAX_CLICKS = 500
BY_HAND = 128  # bit of a draft's pixels that were drawn by hand: a click elsewhere keeps them


@dataclass(frozen=True)
class Prompt:
    """What a person marked so far.

    Attributes:
        animal: its number.
        clicks: in the order in which they were made, within the frame.
        box: around the animal, or None.
        is_fresh: whether to start over, without what was found before.
        is_given: whether the animal had a mask before the first click; see `Marks`.
    """

    animal: int
    clicks: list[Click]
    box: Box | None
    is_fresh: bool
    is_given: bool


def parse_prompt(text: str, height: int, width: int) -> Prompt:
    """Reads the clicks and the box of one animal; those outside of the frame are moved into it.

    Args:
        text: {"animal": 1, "clicks": [{"x": 7.5, "y": 3, "positive": true}], "box": [left, top,
            right, bottom] or null, "fresh": false, "given": false}, in pixels of the frame.
        height, width: of the frame.

    Raises:
        BadRequest: if it is not of that form.
    """
    try:
        content = json.loads(text)
        animal = content["animal"]
        if type(animal) is not int or not 1 <= animal <= MAX_ANIMALS:
            raise ValueError(f"animal {animal!r}")
        if len(content["clicks"]) > MAX_CLICKS:
            raise ValueError(f"more than {MAX_CLICKS} clicks")
        clicks = [
            Click(_within(c["x"], width), _within(c["y"], height), bool(c["positive"]))
            for c in content["clicks"]
        ]
        box = content.get("box")
        if box is not None:
            left, top, right, bottom = box
            left, right = sorted((_within(left, width), _within(right, width)))
            top, bottom = sorted((_within(top, height), _within(bottom, height)))
            if right - left < 2 or bottom - top < 2:
                raise ValueError("a box smaller than 2 pixels")
            box = (left, top, right, bottom)
        if not clicks and box is None:
            raise ValueError("neither")
        return Prompt(animal, clicks, box, bool(content.get("fresh")), bool(content.get("given")))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadRequest(f"Expected clicks or a box of an animal, found {error}.") from error


def _within(value: Any, size: int) -> float:
    if type(value) not in (int, float) or not np.isfinite(value):
        raise ValueError(f"{value!r} for a position")
    return float(np.clip(value, 0, size))


def decode_label(data: bytes, height: int, width: int) -> np.ndarray:
    """Reads a PNG that the page sent.

    Args:
        data: the file's bytes.
        height, width: of the frame.

    Returns: uint8 (height, width).

    Raises:
        BadRequest: if it is no PNG.
        UnprocessableEntity: if it is of another kind, or of another size (which its header says:
            nothing is decoded that is larger than the frame).
    """
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            if image.size != (width, height):
                raise UnprocessableEntity(
                    f"Expected a label of {width}x{height} as the frame, found {image.size[0]}x"
                    f"{image.size[1]}. Reload the page."
                )
            if image.mode not in ("L", "P"):
                raise UnprocessableEntity(
                    f"Expected a PNG of one byte per pixel, found one of mode {image.mode}."
                )
            return np.array(image)
    except HTTPException:
        raise
    except Image.DecompressionBombError as error:
        raise UnprocessableEntity(f"Expected a label, found an image too large: {error}") from error
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, struct.error, ...
        raise BadRequest(
            f"Expected a PNG, found another file or a damaged one ({error})."
        ) from error


def read_marks(prompt: Prompt, draft: np.ndarray) -> Marks:
    """The clicks on one animal, and what the draft says about it.

    Args:
        prompt: of `parse_prompt`.
        draft: uint8 (H, W), the numbers of the animals, plus BY_HAND where they were drawn.

    Raises:
        UnprocessableEntity: if a number is too high.
    """
    labels, is_by_hand = draft & np.uint8(BY_HAND - 1), draft >= BY_HAND
    check_values(labels)
    is_animal = labels == prompt.animal
    sure = np.zeros(draft.shape, np.uint8)
    sure[labels > 0] = OTHER_ANIMAL
    sure[is_animal] = 0
    sure[is_by_hand & is_animal] = SURE_ANIMAL
    current = np.zeros_like(is_animal) if prompt.is_fresh else is_animal
    if current.any():  # else the eraser was used on other masks than this one
        sure[is_by_hand & (labels == 0)] = SURE_BACKGROUND
    return Marks(prompt.clicks, prompt.box, current, sure, prompt.is_given)


def check_values(labels: np.ndarray) -> None:
    """Raises UnprocessableEntity if the number of an animal is over MAX_ANIMALS."""
    if labels.max(initial=0) > MAX_ANIMALS:
        raise UnprocessableEntity(
            f"Expected 0 for background and 1 to {MAX_ANIMALS} for animals, found {labels.max()}."
        )
