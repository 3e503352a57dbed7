"""A small world for the tests of the frame choice: colours instead of a backbone's features."""

from pathlib import Path

import keras
import numpy as np
from PIL import Image

from models.bubblenets import build_bubblenet
from utils.frame_choice.chooser import Chooser
from utils.frame_choice.features import Extractor

SIZE = 3  # of the frame vectors: mean red, green and blue


def comparing_network(sign: float, variant: str = "BNLF") -> keras.Model:
    """Says: first frame's red minus second's, times `sign`, exactly, whatever the references."""
    model = build_bubblenet(variant, SIZE)
    for variable in model.weights:
        variable.assign(np.zeros(variable.shape))

    def set_kernel(layer, entries):
        kernel = np.zeros(model.get_layer(layer).kernel.shape, "float32")
        for place, value in entries.items():
            kernel[place] = value
        model.get_layer(layer).kernel.assign(kernel)

    # Units 0 and 1 carry x and -x: of both, leaky units make 1.2 x.
    set_kernel("fc1", {(0, 0): sign, (SIZE, 0): -sign, (0, 1): -sign, (SIZE, 1): sign})
    both = {(0, 0): 1 / 1.2, (1, 0): -1 / 1.2, (0, 1): -1 / 1.2, (1, 1): 1 / 1.2}
    for layer in ("fc2", "fc3", "fc4"):
        set_kernel(layer, both)
    set_kernel("prediction", {(0, 0): 1 / 1.2, (1, 0): -1 / 1.2})
    return model


def vectors(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, SIZE)).astype("float32")


def colour_extractor(sha256: str = "0" * 64) -> Extractor:
    """Mean red, green and blue, counting how many frames it looked at."""
    seen = []

    def prepare(image):
        seen.append(image)
        return image[::2, ::2]

    def network(batch):
        return batch.mean(axis=(1, 2)) / np.float32(255)

    prepare.seen = seen
    return Extractor("xception", sha256, prepare, network)


def write_frames(folder: Path, reds, suffix: str = ".png") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, red in enumerate(reds):
        image = np.full((24, 32, 3), (red, 60, 90), "uint8")
        image[4:12, 4 + number : 12 + number] = 200
        Image.fromarray(image).save(folder / f"{number:05d}{suffix}")
    return folder


REDS = (90, 40, 150, 20, 250, 10)  # reddest 4, palest 5, middle 3


def make_chooser(networks=None, sha256: str = "a", extractor=None) -> Chooser:
    networks = networks or {}
    extractor = (extractor or colour_extractor()) if networks else None
    key = {"networks": {name: sha256 for name in networks}}
    return Chooser(networks, extractor, "middle", (), key)
