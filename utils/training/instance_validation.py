"""How well the instance head tells animals apart in images that it was not trained on."""

from collections.abc import Sequence

import keras
import numpy as np

from utils.errors import InputError
from utils.training.animals import AnimalSample
from utils.training.augmentation import warp_image, warp_labels
from utils.training.instance_targets import instance_targets
from utils.training.validation import overlap


def instance_iou(
    model: keras.Model, samples: Sequence[AnimalSample], crop: int
) -> dict[str, float]:
    """Gives each pixel of a numbered animal to the animal whose centre it points to.

    The annotation's own centres are taken, so this measures offsets alone, not how many animals
    are found.

    Args:
        model: of `build_instance_training`.
        samples: images, read one at a time.
        crop: of the model; each image is shown whole, its longer side as long as the crop's.

    Returns: "validation_iou", the mean over all animals of the IoU with the pixels that point to
        it, and "right", the mean over all images of the share of pixels that point to their own
        animal; 0..1.

    Raises:
        InputError: if no animal of these images is large enough.
    """
    ious, right = [], []
    for sample in samples:
        numbered = sample.read()
        matrix = crop / max(numbered.animals.shape) * np.eye(2, 3)
        image = warp_image(numbered.image, matrix, (crop, crop))
        animals = warp_labels(numbered.animals, matrix, (crop, crop))
        centres, targets = instance_targets(animals)
        inputs = {"images": image[None], "centres": centres[None]}
        chosen = np.argmax(model.predict_on_batch(inputs)["assignment"][0], axis=-1)
        index, size = np.moveaxis(targets["assignment"], -1, 0)
        chosen, index = chosen[size > 0], index[size > 0]
        if len(index):
            right.append(np.mean(chosen == index))
            ious += [overlap(chosen == n, (index == n).astype("uint8")) for n in np.unique(index)]
    if not ious:
        raise InputError("No animal of the validation images is large enough. Name other images.")
    means = {"validation_iou": ious, "right": right}
    return {name: round(float(np.mean(values)), 5) for name, values in means.items()}
