"""Asks a prompted network: an image once, then any number of prompts."""

from typing import Any

import keras
import numpy as np

from models.prompted import split_prompted_model
from utils.training.probability import sigmoid

Maps = list[Any]  # of the backbone, of one image


class PromptedNetwork:
    """A prompted network for images one at a time.

    Args:
        model: of `models.build_prompted_model`, with its weights.
    """

    def __init__(self, model: keras.Model):
        self._features, self._head = split_prompted_model(model)

    def look(self, image: np.ndarray) -> Maps:
        """What the backbone sees in an image, uint8 (H, W, 3) RGB: most of the time goes here."""
        maps = self._features.predict_on_batch(image[None])
        # With several GPUs, TensorFlow gives each of them the whole batch and joins the answers.
        return [values[:1] for values in maps]

    def probability(self, maps: Maps, prompt: np.ndarray) -> np.ndarray:
        """Segments the animal that is meant.

        Args:
            maps: of `look`.
            prompt: (H, W, 4) of the image's size, 0..1, see `models.prompted.PROMPT_CHANNELS`.

        Returns: float32 (H, W), probability 0..1.
        """
        prompts = prompt[None].astype("float32")
        logits = self._head.predict_on_batch([*maps, prompts])["mask"][0, ..., 0]
        return sigmoid(logits)
