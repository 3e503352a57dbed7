"""What the segmentation network, before any fine-tuning, sees in each frame of a video.

`map_network` cuts the maps out of the network, `compute_maps` writes those of a whole video to a
folder, `PixelMaps.read` reads those of one frame for the heads of `standin_heads.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from utils.media.images import resize_image
from utils.media.videos import Video

STRIDE = 4  # pixels between the samples of the maps that the heads see
Progress = Callable[[range, str], range]  # wraps frames for display: (frames, title)

# What the heads see, at strides 4, 2 (every other sample) and 16 (interpolated): edges and colours,
# the decoder's features, and what the spatial pyramid says about the surroundings.
_STRIDE4_LAYERS = ("decoder_stride4_low_level_act", "decoder_stride4_sepconv2_act")
_STRIDE2_LAYERS = ("decoder_stride2_sepconv2_act", "mask_logits")  # the network's own logit is last
_STRIDE16_LAYER = "aspp_project_act"
_COARSE_FACTOR = 16 // STRIDE


@dataclass(frozen=True)
class PixelMaps:
    """The maps of the n frames of a video, in a folder.

    Attributes:
        folder: has one file per frame.
        num_frames: n.
        mean: float32 (c,), the mean of each channel over all frames.
        scale: float32 (c,), the standard deviation of each channel, 1 for a constant channel.
    """

    folder: Path
    num_frames: int
    mean: np.ndarray
    scale: np.ndarray

    def read(self, frame: int) -> tuple[np.ndarray, np.ndarray]:
        """Reads what the heads see of a frame.

        Returns:
            features, float32 (h, w, c), of mean 0 and deviation 1 over the video; sample (y, x)
            belongs to pixel (STRIDE * y, STRIDE * x). And the network's own logit, (h, w, 1).
        """
        with np.load(_frame_file(self.folder, frame)) as file:
            fine, coarse = file["fine"].astype("float32"), file["coarse"].astype("float32")
        height, width = fine.shape[:2]
        coarse = interpolate(coarse, _COARSE_FACTOR)[:height, :width]
        features = np.concatenate([fine[..., :-1], coarse], axis=-1)
        features -= self.mean
        features /= self.scale
        return features, fine[..., -1:]


def map_network(model: keras.Model) -> keras.Model:
    """Cuts the maps out of the segmentation network.

    Args:
        model: `models.build_model("deeplab")` of output stride 16, with weights.

    Returns:
        a model from images, as `model` takes them, to "fine" (batch, h, w, c) at stride `STRIDE`,
        the network's own logit last, and "coarse" at stride 16.
    """
    maps = [model.get_layer(name).output for name in _STRIDE4_LAYERS]
    maps += [model.get_layer(name).output[:, ::2, ::2] for name in _STRIDE2_LAYERS]
    fine = keras.layers.Concatenate(name="fine")(maps)
    coarse = model.get_layer(_STRIDE16_LAYER).output
    return keras.Model(model.input, {"fine": fine, "coarse": coarse}, name="pixel_maps")


def compute_maps(
    network: keras.Model, video: Video, size: tuple[int, int], folder: Path, progress: Progress
) -> PixelMaps:
    """Runs the network once over a video and writes its maps to a folder, in half precision.

    Args:
        network: a model of `map_network`.
        video: read once, in order.
        size: height and width at which the network sees the frames, px.
        folder: an existing folder.
        progress: wraps the frames for display.
    """
    rows, columns = (_num_samples(length, STRIDE) for length in size)
    coarse_rows, coarse_columns = (_num_samples(n, _COARSE_FACTOR) for n in (rows, columns))
    moments = []
    for frame in progress(range(len(video)), f"{video.name}: looking at"):
        image = resize_image(video.read(frame), *size)
        maps = network.predict_on_batch(image[None])
        fine = np.asarray(maps["fine"])[0, :rows, :columns]
        coarse = np.asarray(maps["coarse"])[0, :coarse_rows, :coarse_columns]
        moments.append(np.concatenate([_moments(fine[..., :-1]), _moments(coarse)], axis=1))
        half = {"fine": fine.astype("float16"), "coarse": coarse.astype("float16")}
        np.savez(_frame_file(folder, frame), **half)
    mean, square = np.mean(moments, axis=0)
    deviation = np.sqrt(np.maximum(square - mean**2, 0))
    scale = np.where(deviation > 1e-3, deviation, 1)  # a channel that is never active stays 0
    return PixelMaps(folder, len(video), mean.astype("float32"), scale.astype("float32"))


def interpolate(maps: np.ndarray, factor: int) -> np.ndarray:
    """Upsamples bilinearly and keeps the first and last samples, as the network itself does.

    Args:
        maps: float32 (h, w, ...).
        factor: how many times finer the result is.

    Returns:
        float32 (factor * (h - 1) + 1, factor * (w - 1) + 1, ...).
    """
    for axis in (0, 1):
        coarse = np.arange(maps.shape[axis], dtype="float32")
        fine = np.arange(factor * (len(coarse) - 1) + 1, dtype="float32") / factor
        weights = np.maximum(1 - np.abs(fine[:, None] - coarse), 0)
        maps = np.moveaxis(np.tensordot(weights, maps, (1, axis)), 0, axis)
    return maps


def _moments(maps):
    """Returns mean and mean square of each channel of (h, w, c), float64 (2, c)."""
    values = maps.reshape(-1, maps.shape[-1]).astype("float64")
    return np.stack([values.mean(axis=0), np.square(values).mean(axis=0)])


def _num_samples(length, stride):
    """Returns the number of samples of a grid that reaches the last of `length` pixels."""
    return -(-(length - 1) // stride) + 1


def _frame_file(folder, frame):
    return folder / f"{frame:06d}.npz"
