"""The instance head as it is trained: the prompted network in front of it is frozen."""

import keras
from keras import ops

from models.instances import OFFSET_PX, STRIDE, build_instance_head, build_trunk
from models.prompted import NUM_PROMPT_CHANNELS

MAX_ANIMALS = 24  # of a crop
_VOTE_PX = 8.0  # so much closer to one of two centres makes it e times as likely
_NO_ANIMAL = -1e4  # logit


class InstanceTraining(keras.Model):
    """A model whose `weights` are those of the instance head alone: they are what is averaged,
    saved and loaded. `variables` has those of the frozen network as well."""

    @property
    def weights(self):
        return self.get_layer("instance_head").weights


def build_instance_training(network: keras.Model, crop: int) -> keras.Model:
    """Puts an untrained instance head behind a prompted network, which no longer learns.

    Args:
        network: of `models.build_prompted_model`, with its weights.
        crop: side of the crops, pixels.

    Returns:
        a model from {"images": (batch, crop, crop, 3), "centres": (batch, MAX_ANIMALS, 3), x and y
        in pixels and 1 where there is an animal} to float32 maps at the head's stride: "centre"
        (logits, and the probability of the network's mask), "offset" (x and y in pixels),
        "assignment" (a logit per animal, see `Votes`) and "border" (logits).
    """
    trunk = build_trunk(network)
    trunk.trainable = False
    head = build_instance_head(trunk)
    images = keras.Input((crop, crop, 3), name="images")
    centres = keras.Input((MAX_ANIMALS, 3), name="centres")
    no_prompt = ops.tile(ops.zeros_like(images[..., :1]), (1, 1, 1, NUM_PROMPT_CHANNELS))
    seen = trunk({"images": images, "prompt": no_prompt}, training=False)
    answers = head([ops.stop_gradient(x) for x in seen["maps"]])
    side = -(-crop // STRIDE)  # the maps cover the padded image
    answers = {name: x[:, :side, :side] for name, x in answers.items()}
    found = ops.sigmoid(seen["mask"][:, ::STRIDE, ::STRIDE])
    # Not `* OFFSET_PX`: Keras takes the product with a number for a sparse tensor.
    offset = keras.layers.Rescaling(OFFSET_PX, dtype="float32", name="pixels")(answers["offset"])
    outputs = {
        "centre": ops.concatenate([answers["centre"], found], axis=-1),
        "offset": offset,
        "assignment": Votes(name="votes")(offset, centres),
        "border": answers["border"],
    }
    inputs = {"images": images, "centres": centres}
    return InstanceTraining(inputs, outputs, name="prompted_instances")


class Votes(keras.layers.Layer):
    """To which animal's centre each pixel points.

    Call: offsets (batch, h, w, 2), x and y in pixels, and centres (batch, animals, 3) as of
    `build_instance_training` -> logits (batch, h, w, animals), which fall with the distance.
    """

    def __init__(self, **kwargs):
        super().__init__(dtype="float32", **kwargs)  # places need more digits than half precision

    def call(self, offset, centres):
        _, height, width, _ = ops.shape(offset)
        x, y = (STRIDE * ops.arange(count, dtype="float32") for count in (width, height))
        votes = offset + ops.stack(ops.meshgrid(x, y), axis=-1)
        away = votes[..., None, :] - centres[:, None, None, :, :2]
        distance = ops.sqrt(ops.sum(away**2, axis=-1) + 1.0)
        is_there = centres[:, None, None, :, 2] > 0
        return ops.where(is_there, -distance / _VOTE_PX, _NO_ANIMAL)
