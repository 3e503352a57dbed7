"""The animal cut out of its video: RGBA PNGs, or a WebM video with transparency."""

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

from utils.errors import InputError
from utils.evaluation.results import SegmentedVideo
from utils.export.output_folder import replaced_folder
from utils.files import write_atomically
from utils.media.images import resize_image, resize_labels
from utils.media.video_writing import constant_rate
from utils.media.videos import Video, shown_size

# Compression works on blocks: black right next to the animal would darken its edge.
_MARGIN_PX = 16
CLOCK_HZ = 1000  # units of presentation times per second in a WebM


def export_cutout(
    folder: Path,
    video: SegmentedVideo,
    masks: Iterable[np.ndarray],
    frames: Video,
    *,
    png: bool = True,
    webm: bool = True,
) -> None:
    """Writes `folder/NAME/STEM.png` per frame, and `folder/NAME.webm`.

    What is not animal is transparent. Size and times are those of the input; there is no sound. In
    the WebM, pixels that are not square are made square.
    The PNGs are exact, with transparent black around the animal. WebM (VP9) is lossy, but its
    transparency nearly exact; Chromium, Firefox and most editors show it, Safari does not.

    Args:
        folder: where to write.
        video: gives the names of video and masks.
        masks: per frame uint8 (height, width), 0 background.
        frames: what the masks were made from.
        png: whether to write the PNGs.
        webm: whether to write the WebM video.

    Raises:
        InputError: if a mask and its frame differ in size.
    """
    with contextlib.ExitStack() as stack:
        png_folder = stack.enter_context(replaced_folder(folder / video.name)) if png else None

        def images() -> Iterator[np.ndarray]:
            for index, mask in enumerate(masks):
                image = frames.read(index)
                if image.shape[:2] != mask.shape:
                    raise InputError(
                        f"{video.mask_paths[index]}: expected the size of the frame in "
                        f"{frames.path}, {image.shape[1]}x{image.shape[0]}, found "
                        f"{mask.shape[1]}x{mask.shape[0]}; segment {video.name} again."
                    )
                if png_folder is not None:
                    _write_png(png_folder / video.mask_paths[index].name, image, mask)
                yield _to_size(_add_alpha(image, mask, _MARGIN_PX), *shown_size(frames))

        if webm:
            times, path = frames.times_seconds(), folder / f"{video.name}.webm"
            rate = constant_rate(times, CLOCK_HZ)
            if rate is not None:
                times = [index / rate for index in range(len(times))]
                print(f"{path}: the times of its frames do not fit; it shows {rate:.4g} per second")
            write_transparent_video(path, images(), times)
        else:
            for _ in images():
                pass


def _add_alpha(image: np.ndarray, mask: np.ndarray, margin_px: int) -> np.ndarray:
    """The image as RGBA: opaque where the mask is, and black further than `margin_px` from it."""
    animal = (mask != 0).astype(np.uint8)
    side = 2 * margin_px + 1
    kept = cv2.dilate(animal, np.ones((side, side), np.uint8)) if margin_px else animal
    return np.dstack([image * kept[..., None], animal * np.uint8(255)])


def _to_size(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """RGBA at another size, with an alpha that is still 0 or 255."""
    if image.shape[:2] == (height, width):
        return image
    colours, alpha = image[..., :3], np.ascontiguousarray(image[..., 3])
    return np.dstack([resize_image(colours, height, width), resize_labels(alpha, height, width)])


def _write_png(path: Path, image: np.ndarray, mask: np.ndarray) -> None:
    pixels = cv2.cvtColor(_add_alpha(image, mask, 0), cv2.COLOR_RGBA2BGRA)
    # Level 3: half the time of the default for a few percent more bytes.
    encoded = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 3])[1]
    write_atomically(path, lambda temporary_path: temporary_path.write_bytes(encoded.tobytes()))


def write_transparent_video(
    path: Path, frames: Iterable[np.ndarray], times_seconds: Sequence[float]
) -> None:
    """Writes a VP9 WebM with an alpha channel, atomically and frame by frame.

    Args:
        path: the file to write.
        frames: uint8 (height, width, 4) RGBA, not premultiplied, all of one size.
        times_seconds: increasing presentation times, exact to a millisecond.
    """
    write_atomically(path, lambda temporary_path: _encode(temporary_path, frames, times_seconds))


def _encode(path: Path, frames: Iterable[np.ndarray], times_seconds: Sequence[float]) -> None:
    last = times_seconds[-1]
    rate = (len(times_seconds) - 1) / last if last > 0 else 24.0
    stream = None
    with av.open(os.path.abspath(path), "w") as container:
        for image, time in zip(frames, times_seconds, strict=True):
            if stream is None:
                stream = _add_stream(container, rate, *image.shape[:2])
            frame = av.VideoFrame.from_ndarray(image, "rgba").reformat(
                format="yuva420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
            )
            frame.pts, frame.time_base = round(time * CLOCK_HZ), Fraction(1, CLOCK_HZ)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _add_stream(
    container: av.container.OutputContainer, rate: float, height: int, width: int
) -> av.VideoStream:
    options = {"crf": "24", "b": "0", "deadline": "good", "cpu-used": "5", "row-mt": "1"}
    # Hidden frames would have no alpha of their own; looking ahead costs a gigabyte at 4K.
    options |= {"auto-alt-ref": "0", "lag-in-frames": "0"}
    fraction = Fraction(min(max(rate, 1), 1000)).limit_denominator(1001)
    stream = container.add_stream("libvpx-vp9", rate=fraction, options=options)
    stream.height, stream.width, stream.pix_fmt = height, width, "yuva420p"
    context = stream.codec_context
    context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
    context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
    context.time_base = Fraction(1, CLOCK_HZ)
    context.thread_count = 2
    return stream
