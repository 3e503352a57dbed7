"""Joint augmentation of a frame and its target, one kind per stage, from one random generator.

Everything geometric is one affine warp, so that image and target stay aligned and are resampled
once. On the labelled frame of stage 3 the animal is sometimes cut out and placed elsewhere on its
filled background ("lucid dreaming", Khoreva et al. 2017): the network then learns the animal,
not its place.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from utils.media.labels import VOID


@dataclass(frozen=True)
class Augmentation:
    """Strengths. Ranges are (low, high), probabilities 0..1; zeros switch a part off."""

    scale: tuple[float, float] = (1.0, 1.0)  # of the object on the crop, log-uniform
    cover: bool = False  # scales count from the one at which the image just covers the crop
    rotation_degrees: float = 0.0
    stretch: float = 0.0  # aspect ratio times exp(+-stretch)
    shear: float = 0.0
    flip: float = 0.5
    object_centred: float = 0.5  # share of crops whose centre lies on the object
    brightness: float = 0.0  # +- share of 255
    contrast: float = 0.0
    saturation: float = 0.0
    hue_degrees: float = 0.0
    gamma: float = 0.0
    color_probability: float = 0.8
    noise: float = 0.0  # standard deviation in grey levels, drawn up to this
    blur_probability: float = 0.0
    jpeg_probability: float = 0.0
    recompose: float = 0.0  # probability of moving the object over its background
    paste: float = 0.0  # probability of objects of other images pasted on this one
    max_pasted: int = 2
    occlude: float = 0.0  # probability of covering parts with another image's background


AUGMENTATIONS = {
    "base": Augmentation(
        scale=(0.8, 1.8), cover=True, rotation_degrees=15, stretch=0.15, shear=0.05,
        object_centred=0.5,
        brightness=0.2, contrast=0.3, saturation=0.3, hue_degrees=8, gamma=0.2,
        noise=6, blur_probability=0.15, jpeg_probability=0.2, paste=0.3, occlude=0.15,
    ),
    "objectness": Augmentation(
        scale=(0.8, 2.0), cover=True, rotation_degrees=15, stretch=0.15, shear=0.05,
        object_centred=0.6,
        brightness=0.2, contrast=0.3, saturation=0.3, hue_degrees=8, gamma=0.2,
        noise=6, blur_probability=0.15, jpeg_probability=0.1, paste=0.2, occlude=0.15,
    ),
    "prompted": Augmentation(
        scale=(0.8, 2.0), cover=True, rotation_degrees=15, stretch=0.15, shear=0.05,
        object_centred=0.85,
        brightness=0.2, contrast=0.3, saturation=0.3, hue_degrees=8, gamma=0.2,
        noise=6, blur_probability=0.15, jpeg_probability=0.2, occlude=0.15,
    ),
    "fine_tune": Augmentation(
        scale=(0.7, 1.5), rotation_degrees=12, stretch=0.12, shear=0.08, object_centred=0.5,
        brightness=0.12, contrast=0.2, saturation=0.2, hue_degrees=4, gamma=0.15,
        noise=4, blur_probability=0.1, recompose=0.3,
    ),
}  # fmt: skip


def augment(
    image: np.ndarray,
    target: np.ndarray,
    size: tuple[int, int],
    augmentation: Augmentation,
    rng: np.random.Generator,
    *,
    background: np.ndarray | None = None,
    pasted: Sequence[tuple[np.ndarray, np.ndarray]] = (),
    occluders: Sequence[tuple[np.ndarray, np.ndarray]] = (),
) -> tuple[np.ndarray, np.ndarray]:
    """Draws one augmented crop of an image and its target.

    Args:
        image: uint8 (H, W, 3) RGB.
        target: uint8 (H, W): 1 object, 0 background, 255 void.
        size: height and width of the crop.
        augmentation: one of `AUGMENTATIONS`.
        rng: decides everything; the same generator state gives the same crop.
        background: uint8 (H, W, 3), the image with its object filled in (`fill_object`); needed to
            recompose.
        pasted: other images with their targets, whose objects are placed in front of this one.
        occluders: other images with their targets, whose backgrounds grow in front as blades and
            patches, which are background.

    Returns:
        image uint8 (h, w, 3) and target uint8 (h, w). Outside of the frame the image is mirrored
        and the target void.
    """
    recompose = background is not None and rng.random() < augmentation.recompose
    matrix = draw_affine(target, size, augmentation, rng)
    if recompose:
        image, target = _recompose(image, target, background, matrix, size, augmentation, rng)
    else:
        image, target = warp_image(image, matrix, size), _warp_target(target, matrix, size)
    for other_image, other_target in pasted:
        image, target = _paste(image, target, other_image, other_target, augmentation, rng)
    for other_image, other_target in occluders:
        image, target = occlude(image, target, other_image, other_target, rng)
    return change_appearance(image, augmentation, rng), target


def fill_object(image: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The frame with its object painted over from the surroundings: uint8 (H, W, 3).

    In-painted at a quarter of the size, which is fast and smooth; what counts is that no animal
    remains.
    """
    mask = cv2.dilate((target > 0).astype("uint8"), np.ones((9, 9), "uint8"))
    height, width = mask.shape
    small = (max(1, width // 4), max(1, height // 4))
    small_mask = (
        cv2.resize(mask.astype("float32"), small, interpolation=cv2.INTER_AREA) > 0
    ).astype("uint8")
    small_image = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    filled = cv2.inpaint(small_image, small_mask, 5, cv2.INPAINT_TELEA)
    filled = cv2.resize(filled, (width, height), interpolation=cv2.INTER_LINEAR)
    alpha = cv2.GaussianBlur(mask.astype("float32"), (9, 9), 0)[..., None]
    alpha = np.maximum(alpha, mask[..., None])
    return (alpha * filled + (1 - alpha) * image).astype("uint8")


def draw_affine(
    target: np.ndarray, size: tuple[int, int], augmentation: Augmentation, rng: np.random.Generator
) -> np.ndarray:
    """Draws where a crop lies: a 2x3 matrix from frame to crop coordinates.

    Args:
        target: uint8 (H, W), 1 is the object.
        size: height and width of the crop.
    """
    height, width = target.shape
    low, high = np.log(augmentation.scale)
    scale = np.exp(rng.uniform(low, high))
    if augmentation.cover:
        scale *= max(size[0] / height, size[1] / width)
    stretch = np.exp(rng.uniform(-1, 1) * augmentation.stretch)
    angle = np.deg2rad(rng.uniform(-1, 1) * augmentation.rotation_degrees)
    shear = rng.uniform(-1, 1) * augmentation.shear
    mirror = -1.0 if rng.random() < augmentation.flip else 1.0
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shape = np.array([[scale * stretch * mirror, scale * shear], [0.0, scale / stretch]])
    linear = rotation @ shape

    on_object = rng.random() < augmentation.object_centred
    ys, xs = np.nonzero(target == 1) if on_object else ((), ())
    # Crops smaller than the frame stay inside it as far as they can; larger ones centre on it.
    half = 0.5 * np.array([size[1], size[0]]) / scale
    room = np.maximum(0.0, np.array([width, height]) / 2 - half)
    image_middle = np.array([width - 1, height - 1]) / 2
    if len(xs):
        pick = rng.integers(len(xs))
        centre = np.array([xs[pick], ys[pick]], "float64")
    else:
        centre = image_middle + rng.uniform(-1, 1, 2) * room
    middle = np.array([size[1] - 1, size[0] - 1]) / 2
    jitter = rng.uniform(-0.25, 0.25, 2) * np.array([size[1], size[0]]) if on_object else 0.0
    if augmentation.cover:  # no crop is spent on what lies outside of the image
        centre = centre - np.linalg.solve(linear, jitter * np.ones(2))
        centre, jitter = image_middle + np.clip(centre - image_middle, -room, room), 0.0
    offset = middle + jitter - linear @ centre
    return np.hstack([linear, offset[:, None]])


def warp_image(image: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The image through a matrix of `draw_affine`, mirrored outside of the frame."""
    return cv2.warpAffine(
        image, matrix, (size[1], size[0]), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )


def warp_labels(labels: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A uint8 label map through a matrix, by nearest neighbour; void outside of the frame."""
    return cv2.warpAffine(
        labels, matrix, (size[1], size[0]), flags=cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_CONSTANT, borderValue=VOID,
    )  # fmt: skip


def _warp_target(target, matrix, size):
    """Targets 0, 1 and VOID; unlike with `warp_labels`, an enlarged outline stays smooth."""
    share = cv2.warpAffine(
        (target == 1).astype("float32"), matrix, (size[1], size[0]), flags=cv2.INTER_LINEAR
    )
    is_void = warp_labels((target == VOID).astype("uint8"), matrix, size) > 0
    warped = (share > 0.5).astype("uint8")
    warped[is_void & (warped == 0)] = VOID
    return warped


def _recompose(image, target, background, matrix, size, augmentation, rng):
    """Places the object elsewhere: it and its background get affine maps of their own."""
    ys, xs = np.nonzero(target == 1)
    if not len(xs):
        return warp_image(image, matrix, size), _warp_target(target, matrix, size)
    centre = np.array([xs.mean(), ys.mean()])
    linear = draw_affine(target, size, augmentation, rng)[:, :2]
    place = rng.uniform(0.2, 0.8, 2) * np.array([size[1], size[0]])
    object_matrix = np.hstack([linear, (place - linear @ centre)[:, None]])

    canvas = warp_image(background, matrix, size)
    outside = _warp_target(np.zeros_like(target), matrix, size)
    return _set_in_front(canvas, outside, image, target, object_matrix)


def _set_in_front(canvas, canvas_target, image, target, matrix):
    """Composes the object of an image over a crop, with soft edges: image and target of the crop's
    size."""
    size = canvas_target.shape
    layer = warp_image(image, matrix, size)
    new_target, alpha = lay_over(canvas_target, target, matrix)
    return (alpha * layer + (1 - alpha) * canvas).astype("uint8"), new_target


def lay_over(
    canvas: np.ndarray, target: np.ndarray, matrix: np.ndarray, number: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Lays an object over the labels of a crop.

    Args:
        canvas: uint8 (h, w), the labels of the crop.
        target: uint8 (H, W): 1 the object, 0 not, 255 void.
        matrix: 2x3, from the target to the crop.
        number: the object's label in the crop.

    Returns: the labels uint8 (h, w), void where the object is void, and the object's opacity
        float32 (h, w, 1), 0..1, with soft edges.
    """
    size = canvas.shape[::-1]
    alpha = cv2.warpAffine((target == 1).astype("float32"), matrix, size, flags=cv2.INTER_LINEAR)
    void = cv2.warpAffine(
        (target == VOID).astype("uint8"), matrix, size, flags=cv2.INTER_NEAREST
    )  # fmt: skip
    labels = np.where(alpha > 0.5, np.uint8(number), canvas)
    labels[(void > 0) & (alpha <= 0.5)] = VOID
    return labels, cv2.GaussianBlur(alpha, (3, 3), 0)[..., None]


def draw_turn(
    scale: float, max_degrees: float, flip: float, rng: np.random.Generator
) -> np.ndarray:
    """Draws a rotation, with a probability of `flip` mirrored, at a scale: 2x2 matrix."""
    angle = np.deg2rad(rng.uniform(-1, 1) * max_degrees)
    mirror = -1.0 if rng.random() < flip else 1.0
    return scale * np.array(
        [[mirror * np.cos(angle), -np.sin(angle)], [mirror * np.sin(angle), np.cos(angle)]]
    )


def _paste(canvas, canvas_target, image, target, augmentation, rng):
    """Places another image's object anywhere on the crop, a quarter to three quarters of its
    size, in colours of its own."""
    height, width = canvas_target.shape
    xs, ys = (np.flatnonzero((target == 1).any(axis=axis)) for axis in (0, 1))
    if not len(xs):
        return canvas, canvas_target
    extent = max(xs[-1] - xs[0], ys[-1] - ys[0]) + 1
    scale = np.exp(rng.uniform(np.log(0.25), np.log(0.75))) * min(height, width) / extent
    linear = draw_turn(scale, augmentation.rotation_degrees, augmentation.flip, rng)
    place = rng.uniform(0.05, 0.95, 2) * np.array([width, height])
    centre = np.array([xs[0] + xs[-1], ys[0] + ys[-1]]) / 2
    matrix = np.hstack([linear, (place - linear @ centre)[:, None]])
    image = change_appearance(image, augmentation, rng)
    return _set_in_front(canvas, canvas_target, image, target, matrix)


def occlude(
    canvas: np.ndarray,
    canvas_target: np.ndarray,
    image: np.ndarray,
    target: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Covers parts of the crop with another image's background, as grass, twigs and bars do.

    Args:
        canvas, canvas_target: the crop and its target (or label map).
        image, target: the other image, and what in it is object.

    Returns: crop and target.
    """
    height, width = canvas_target.shape
    # Level sets of smooth noise; anisotropic noise gives blade-like shapes.
    cells = rng.integers(2, 5), rng.integers(3, 17)
    field = rng.random(cells if rng.random() < 0.3 else cells[::-1]).astype("float32")
    field = cv2.resize(field, (width, height), interpolation=cv2.INTER_CUBIC)
    in_front = field > np.quantile(field, rng.uniform(0.75, 0.95))
    scale = max(width / image.shape[1], height / image.shape[0])
    layer_size = (
        max(width, round(image.shape[1] * scale)),
        max(height, round(image.shape[0] * scale)),
    )
    layer = cv2.resize(image, layer_size, interpolation=cv2.INTER_LINEAR)[:height, :width]
    layer_target = cv2.resize(target, layer_size, interpolation=cv2.INTER_NEAREST)[:height, :width]
    in_front &= layer_target == 0
    canvas, canvas_target = canvas.copy(), canvas_target.copy()
    canvas[in_front] = layer[in_front]
    canvas_target[in_front] = 0
    return canvas, canvas_target


def change_appearance(
    image: np.ndarray, augmentation: Augmentation, rng: np.random.Generator
) -> np.ndarray:
    """The image, uint8 RGB, in other colours, blurred, noisy or compressed."""
    a = augmentation
    if rng.random() < a.color_probability and (
        a.brightness or a.contrast or a.saturation or a.gamma or a.hue_degrees
    ):
        levels = np.arange(256, dtype="float32") / 255
        gamma = np.exp(rng.uniform(-1, 1) * a.gamma)
        contrast = 1 + rng.uniform(-1, 1) * a.contrast
        brightness = rng.uniform(-1, 1) * a.brightness
        curve = ((levels**gamma - 0.5) * contrast + 0.5 + brightness) * 255
        image = cv2.LUT(image, np.clip(curve, 0, 255).astype("uint8"))
        if a.saturation or a.hue_degrees:
            hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV).astype("int16")
            # OpenCV's 8-bit hue counts half degrees, 0..179.
            hsv[..., 0] = (hsv[..., 0] + round(rng.uniform(-1, 1) * a.hue_degrees / 2)) % 180
            saturation = 1 + rng.uniform(-1, 1) * a.saturation
            hsv[..., 1] = np.clip(hsv[..., 1] * saturation, 0, 255)
            image = cv2.cvtColor(hsv.astype("uint8"), cv2.COLOR_HSV2RGB)
    if rng.random() < a.blur_probability:
        sigma = rng.uniform(0.4, 1.5)
        image = cv2.GaussianBlur(image, (0, 0), sigma)
    if a.noise and rng.random() < 0.5:
        noise = rng.normal(0, rng.uniform(0, a.noise), image.shape)
        image = np.clip(image + noise, 0, 255).astype("uint8")
    if rng.random() < a.jpeg_probability:
        quality = int(rng.integers(30, 90))
        encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        image = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    return image
