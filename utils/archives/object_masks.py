"""Makes class-agnostic masks from the labels of PASCAL VOC and SBD.

Masks are 0 background, 255 object, 128 void.

Sources: the development kit of VOC 2012 (palette PNG: 0 background, 1.. object or class, 255 void)
and benchmark_RELEASE of Hariharan et al., ICCV 2011 (.mat: GTinst and GTcls, field Segmentation,
0 background).
"""

import io
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin
from scipy.io import loadmat

from utils.errors import InputError
from utils.media.labels import GREY_VOID, WHITE

_LABEL_VOID = 255
_SOURCE_KEY = "Made from"


def mask_from_voc(data: bytes) -> np.ndarray:
    """Makes a mask from a PNG of SegmentationObject or SegmentationClass, given as bytes.

    Returns:
        uint8 (height, width): 0 background, 255 object, 128 void.

    Raises:
        InputError: if it is not such a PNG.
    """
    image = decode_image(data)
    if image.mode not in ("P", "L"):
        raise InputError(f"expected a palette PNG of PASCAL VOC, found mode {image.mode}")
    return _mask_from_labels(np.asarray(image))


def mask_from_sbd(data: bytes) -> np.ndarray:
    """Makes a mask from a .mat file of SBD's inst/ or cls/, given as bytes.

    Returns:
        uint8 (height, width): 0 background, 255 object.

    Raises:
        InputError: if it is not such a file.
    """
    try:
        content = loadmat(io.BytesIO(data), variable_names=("GTinst", "GTcls"))
        truth = content["GTinst" if "GTinst" in content else "GTcls"]
        labels = truth["Segmentation"][0, 0]
    except Exception as error:  # loadmat raises whatever a damaged file leads it to
        raise InputError(f"expected a .mat file of SBD, found {error or 'none'!r}") from error
    if labels.ndim != 2 or labels.dtype.kind not in "iuf" or not labels.size:
        raise InputError(f"expected labels (height, width), found {labels.dtype} {labels.shape}")
    return _mask_from_labels(labels)


def _mask_from_labels(labels: np.ndarray) -> np.ndarray:
    mask = np.where(labels > 0, WHITE, 0).astype(np.uint8)
    if (labels[mask > 0] != _LABEL_VOID).any():
        mask[labels == _LABEL_VOID] = GREY_VOID
    else:
        mask[:] = 0  # nothing but void: the image shows no object
    return mask


def encode_mask(mask: np.ndarray, source: str) -> bytes:
    """Encodes a mask as a grey PNG with a note that names the data set it was made from."""
    note = PngImagePlugin.PngInfo()
    note.add_text(_SOURCE_KEY, source)
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, format="PNG", pnginfo=note)
    return buffer.getvalue()


def source_of_mask(path: Path) -> str | None:
    """Returns the data set that `encode_mask` noted; None for any other or missing file."""
    try:
        with Image.open(path) as image:
            return image.info.get(_SOURCE_KEY)
    except (OSError, SyntaxError, ValueError):
        return None


def decode_image(data: bytes) -> Image.Image:
    """Decodes an image to its last byte.

    Raises:
        InputError: if it is not an image, or not a complete one.
    """
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
        return image
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, struct.error, ...
        raise InputError(
            f"expected a complete image, found one that cannot be decoded ({error})"
        ) from error
