"""A cheap stand-in for stage 3: how good would all masks be if this one frame were labelled?

BubbleNets learn from that number for many frames of many videos, and fine-tuning the network for
each is too dear. Here the network, as it was before any fine-tuning, looks at every frame once.
On maps from inside it, at a quarter of the image's resolution, a small head per candidate frame
learns the label of that frame and no other, and segments all frames; threshold, temporal filter
and scores are those of stage 3.

What it leaves out: nothing below the head learns, and the labelled frame is not augmented. How well
it ranks frames as the real fine-tuning does is measured by benchmarks/standin_agreement.py.
"""

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from utils import backend
from utils.errors import InputError
from utils.evaluation.measures import contour_accuracy, region_similarity
from utils.files import sha256_of
from utils.inputs.sequences import VideoSequence
from utils.media.images import resize_image, resize_labels, working_size
from utils.media.labels import VOID, read_label
from utils.media.videos import Video
from utils.stage3.temporal_filter import Refinement, TemporalFilter, make_passes
from utils.training.optimizers import reset_optimizer

METHOD = 1  # counts up when the same settings would give other scores
STRIDE = 4  # pixels between the samples of the maps that the heads see
Progress = Callable[[range, str], range]

# What the heads see, at strides 4, 2 (every other sample) and 16 (interpolated): edges and colours,
# what the decoder makes of them, and what the spatial pyramid says of the surroundings.
_STRIDE4_LAYERS = ("decoder_stride4_low_level_act", "decoder_stride4_sepconv2_act")
_STRIDE2_LAYERS = ("decoder_stride2_sepconv2_act", "mask_logits")  # the network's own logit is last
_STRIDE16_LAYER = "aspp_project_act"
_COARSE_FACTOR = 16 // STRIDE


@dataclass(frozen=True)
class StandIn:
    """How the heads are trained.

    Attributes:
        lines: shorter side at which the network sees a frame, px.
        hidden_units: of a head's one hidden layer.
        steps: of Adam.
        pixels: drawn for each step from the labelled frame, the same places for every candidate.
        learning_rate: of Adam, constant.
        seed: of start weights and drawn pixels.
    """

    lines: int = 480
    hidden_units: int = 48
    steps: int = 150
    pixels: int = 4096
    learning_rate: float = 3e-3
    seed: int = 0


@dataclass(frozen=True)
class PixelMaps:
    """What the network saw in the n frames of a video, in a folder.

    Attributes:
        folder: of a file per frame.
        num_frames: n.
        mean, scale: float32 (c,), of each channel over all frames.
    """

    folder: Path
    num_frames: int
    mean: np.ndarray
    scale: np.ndarray

    def read(self, frame: int) -> tuple[np.ndarray, np.ndarray]:
        """What the heads see of a frame.

        Returns: float32 (h, w, c), of mean 0 and deviation 1 over the video, sample (y, x) being
            that of pixel (STRIDE * y, STRIDE * x); and (h, w, 1), the network's own logit.
        """
        with np.load(_frame_file(self.folder, frame)) as file:
            fine, coarse = file["fine"].astype("float32"), file["coarse"].astype("float32")
        height, width = fine.shape[:2]
        coarse = interpolate(coarse, _COARSE_FACTOR)[:height, :width]
        features = np.concatenate([fine[..., :-1], coarse], axis=-1)
        features -= self.mean
        features /= self.scale
        return features, fine[..., -1:]


def measure_frames(
    sequence: VideoSequence,
    network: keras.Model,
    loss: keras.losses.Loss,
    refinement: Refinement,
    candidates: Sequence[int],
    settings: StandIn,
    progress: Progress = lambda frames, title: frames,
) -> np.ndarray:
    """Scores the candidates for the one labelled frame of a video.

    Args:
        sequence: every frame of it annotated; several animals count as one.
        network: of `map_network`.
        loss: on logits (1, pixels, 1, 1), that of stage 3.
        refinement: threshold and temporal filter of stage 3.
        candidates: frames.
        settings: see `StandIn`.
        progress: wraps frames for display: (frames, title).

    Returns: float32 (n,), 0..2: mean J plus mean F over the official frames (the first and last
        left out) without the candidate itself, at working size; 0 for a candidate whose label
        shows no animal or no background; NaN for all other frames.

    Raises: InputError for a missing or wrong annotation, or too short a video; FloatingPointError
        if a head's loss is not finite.
    """
    video = sequence.video
    size = working_size(video.height, video.width, settings.lines)
    labels = [resize_labels(label, *size) for label in _read_annotations(sequence)]
    scores = np.full(len(video), np.nan, "float32")
    scores[list(candidates)] = 0
    usable = [c for c in candidates if (labels[c] == 1).any() and (labels[c] == 0).any()]
    if not usable:
        return scores
    with tempfile.TemporaryDirectory(prefix="standin_scoring_") as folder:
        maps = compute_maps(network, video, size, Path(folder), progress)
        heads = train_heads(maps, labels, usable, loss, settings, progress)
        logits = predict_logits(maps, heads, progress)
    for place in progress(range(len(usable)), f"{video.name}: scoring"):
        candidate = usable[place]
        scores[candidate] = score_masks(logits[..., place], labels, candidate, refinement)
    return scores


def spread_frames(num_frames: int, count: int) -> list[int]:
    """At most `count` frames, evenly spaced, the first and the last among them."""
    return np.linspace(0, num_frames - 1, min(num_frames, count)).round().astype(int).tolist()


def annotations_sha256(sequence: VideoSequence) -> str:
    """Over all annotations of a video, in order. Raises: InputError where one is missing."""
    files = _annotation_files(sequence)
    return hashlib.sha256("\n".join(map(sha256_of, files)).encode()).hexdigest()


# The network's one look at each frame


def map_network(model: keras.Model) -> keras.Model:
    """The part of the segmentation network that makes the maps.

    Args:
        model: of `models.build_model("deeplab")`, output stride 16, with weights.

    Returns: a model from images, as `model` takes them, to "fine" (batch, h, w, c) at stride
        `STRIDE`, the network's own logit last, and "coarse" at stride 16.
    """
    maps = [model.get_layer(name).output for name in _STRIDE4_LAYERS]
    maps += [model.get_layer(name).output[:, ::2, ::2] for name in _STRIDE2_LAYERS]
    fine = keras.layers.Concatenate(name="fine")(maps)
    coarse = model.get_layer(_STRIDE16_LAYER).output
    return keras.Model(model.input, {"fine": fine, "coarse": coarse}, name="pixel_maps")


def compute_maps(
    network: keras.Model, video: Video, size: tuple[int, int], folder: Path, progress: Progress
) -> PixelMaps:
    """Runs the network once over a video, which is read in order, and writes its maps, in half
    precision, to a folder.

    Args: as `measure_frames`; size: height and width at which the network sees the frames.
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
    scale = np.where(deviation > 1e-3, deviation, 1)  # a channel that never fires stays 0
    return PixelMaps(folder, len(video), mean.astype("float32"), scale.astype("float32"))


def interpolate(maps: np.ndarray, factor: int) -> np.ndarray:
    """Bilinear up-sampling that keeps the first and last samples, as the network's own.

    Args and returns: float32 (h, w, ...) -> (factor * (h - 1) + 1, factor * (w - 1) + 1, ...).
    """
    for axis in (0, 1):
        coarse = np.arange(maps.shape[axis], dtype="float32")
        fine = np.arange(factor * (len(coarse) - 1) + 1, dtype="float32") / factor
        weights = np.maximum(1 - np.abs(fine[:, None] - coarse), 0)
        maps = np.moveaxis(np.tensordot(weights, maps, (1, axis)), 0, axis)
    return maps


# The heads


def build_head(
    num_channels: int, hidden_units: int, num_heads: int = 1, seed: int = 0
) -> keras.Model:
    """A network of one hidden layer for each pixel by itself, or several side by side.

    Args:
        num_channels: c.
        hidden_units: of each head.
        num_heads: k.
        seed: of the hidden layer. The output is the network's own logit before any training.

    Returns: a model from {"features": (batch, h, w, c), "logit": (batch, h, w, 1)} to logits
        (batch, h, w, k).
    """
    features = keras.Input((None, None, num_channels), name="features")
    logit = keras.Input((None, None, 1), name="logit")
    x = keras.layers.Dense(
        hidden_units * num_heads,
        activation="relu",
        kernel_initializer=keras.initializers.HeNormal(seed),
        name="hidden",
    )(features)
    x = keras.layers.Concatenate(name="with_logit")([x, logit])
    logits = keras.layers.Dense(num_heads, kernel_initializer="zeros", name="logits")
    model = keras.Model({"features": features, "logit": logit}, logits(x), name="heads")
    logits.kernel.assign(_join_kernels([np.eye(hidden_units + 1, 1, -hidden_units)] * num_heads))
    return model


def train_heads(
    maps: PixelMaps,
    labels: Sequence[np.ndarray],
    candidates: Sequence[int],
    loss: keras.losses.Loss,
    settings: StandIn,
    progress: Progress,
) -> keras.Model:
    """Trains a head on each candidate, all from the same start.

    Args: as `measure_frames`; labels: uint8 (height, width) per frame, 0, 1, 255 void, of which
        only the candidates' are looked at.

    Returns: all of them side by side, in the order of the candidates (`build_head`).
    """
    head = build_head(len(maps.mean), settings.hidden_units, seed=settings.seed)
    start = [keras.ops.convert_to_numpy(v.value) for v in head.weights]
    head.compile(
        keras.optimizers.Adam(settings.learning_rate), loss, jit_compile=backend.jit_compile()
    )
    trained = []
    for place in progress(range(len(candidates)), "learning labels"):
        for variable, value in zip(head.weights, start, strict=True):
            variable.assign(value)
        reset_optimizer(head.optimizer)
        _train_head(head, *maps.read(candidates[place]), labels[candidates[place]], settings)
        trained.append([keras.ops.convert_to_numpy(v.value) for v in head.weights])
    joined = build_head(len(maps.mean), settings.hidden_units, len(trained))
    hidden, hidden_bias, logits, logits_bias = zip(*trained, strict=True)
    joined.get_layer("hidden").kernel.assign(np.concatenate(hidden, axis=1))
    joined.get_layer("hidden").bias.assign(np.concatenate(hidden_bias))
    joined.get_layer("logits").kernel.assign(_join_kernels(logits))
    joined.get_layer("logits").bias.assign(np.concatenate(logits_bias))
    return joined


def predict_logits(maps: PixelMaps, heads: keras.Model, progress: Progress) -> np.ndarray:
    """What each head makes of every frame: float16 (n, h, w, heads), at stride `STRIDE`."""
    logits = []
    for frame in progress(range(maps.num_frames), "segmenting"):
        features, logit = maps.read(frame)
        inputs = {"features": features[None], "logit": logit[None]}
        logits.append(np.asarray(heads.predict_on_batch(inputs))[0].clip(-99, 99).astype("float16"))
    return np.stack(logits)


def score_masks(
    logits: np.ndarray, labels: Sequence[np.ndarray], candidate: int, refinement: Refinement
) -> float:
    """Mean J plus mean F of one head over the frames that count.

    Args:
        logits: float (n, h, w) at stride `STRIDE`.
        labels: uint8 (height, width) per frame, 0, 1, 255 void, to score with; that of the
            candidate is also where the temporal filter starts.
        candidate: the labelled frame.
        refinement: threshold and temporal filter.
    """
    scored = set(_scored_frames(len(labels), candidate))
    scores = []
    for frame, mask in _follow(logits, labels[candidate], candidate, refinement):
        if frame in scored:
            truth = labels[frame] == 1, labels[frame] == VOID
            scores.append((region_similarity(mask, *truth), contour_accuracy(mask, *truth)))
    return float(np.sum(np.mean(scores, axis=0)))


def _moments(maps):
    """Mean and mean square of each channel of (h, w, c): float64 (2, c)."""
    values = maps.reshape(-1, maps.shape[-1]).astype("float64")
    return np.stack([values.mean(axis=0), np.square(values).mean(axis=0)])


def _train_head(head, features, logit, label, settings):
    rows, columns = (
        np.minimum(STRIDE * np.arange(count), length - 1)  # the border goes on, as for the network
        for count, length in zip(features.shape[:2], label.shape, strict=True)
    )
    targets = label[np.ix_(rows, columns)].reshape(-1, 1)
    features, logit = features.reshape(-1, features.shape[-1]), logit.reshape(-1, 1)
    for step in range(settings.steps):
        rng = np.random.default_rng([settings.seed, step])
        pixels = rng.integers(len(targets), size=settings.pixels)
        seen = {"features": features[pixels][None, :, None], "logit": logit[pixels][None, :, None]}
        value = head.train_on_batch(seen, targets[pixels][None, :, None])
    if not np.isfinite(value):
        raise FloatingPointError("The loss of a stand-in head is not finite. Try another --seed.")


def _join_kernels(kernels):
    """Output kernels (hidden + 1, 1) of several heads as one (heads * hidden + 1, heads): a head
    reads its own hidden units, and the logit, which is last."""
    hidden = len(kernels[0]) - 1
    joined = np.zeros((hidden * len(kernels) + 1, len(kernels)), "float32")
    for head, kernel in enumerate(kernels):
        joined[head * hidden : (head + 1) * hidden, head] = kernel[:-1, 0]
        joined[-1, head] = kernel[-1, 0]
    return joined


def _follow(logits, label, candidate, refinement) -> Iterator[tuple[int, np.ndarray]]:
    """Every frame with its mask, bool (height, width), going away from the candidate."""
    height, width = label.shape
    for _, frames in make_passes(len(logits), [candidate]):
        keep = TemporalFilter(refinement, label)
        for frame in frames:
            fine = interpolate(logits[frame].astype("float32"), STRIDE)[:height, :width]
            yield frame, keep(0.5 * (1 + np.tanh(0.5 * fine)))  # the sigmoid, without overflow


def _scored_frames(num_frames, candidate):
    return [frame for frame in range(1, num_frames - 1) if frame != candidate]


def _num_samples(length, stride):
    """Samples of a grid that reaches the last of `length` pixels."""
    return -(-(length - 1) // stride) + 1


def _frame_file(folder, frame):
    return folder / f"{frame:06d}.npz"


def _annotation_files(sequence):
    video, folder = sequence.video, sequence.annotation_dir
    if len(video) < 4:
        raise InputError(
            f"{sequence.name}: expected at least 4 frames, of which two or more can be scored, "
            f"found {len(video)}. Leave it out with --sequences."
        )
    if folder is None:
        raise InputError(
            f"{sequence.name}: expected annotations in {Path(sequence.label_path).parent}, found "
            "no such folder. Leave it out with --sequences."
        )
    files = [folder / f"{name}.png" for name in video.frame_names]
    missing = [path for path in files if not path.is_file()]
    if missing:
        raise InputError(
            f"{sequence.name}: expected an annotation for each of {len(files)} frames, found "
            f"{len(files) - len(missing)}, the first that is missing is {missing[0]}. Annotate all "
            "frames, or leave it out with --sequences."
        )
    return files


def _read_annotations(sequence) -> Iterator[np.ndarray]:
    expected = (sequence.video.height, sequence.video.width)
    for path in _annotation_files(sequence):
        label = read_label(path).values
        if label.shape != expected:
            raise InputError(
                f"{path}: expected an annotation of {expected[0]}x{expected[1]}, as the frames "
                f"(height x width), found {label.shape[0]}x{label.shape[1]}. Annotate the frames "
                "of this video."
            )
        yield np.where((label > 0) & (label < VOID), 1, label).astype("uint8")
