"""BN0 and BNLF: from five frames of a video to which of the first two is better to label.

Griffin and Corso, "BubbleNets: Learning to Select the Guidance Frame in Video Object Segmentation
by Deep Sorting Frames", CVPR 2019; widths, dropout and penalty as in its published graphs.
"""

import keras
from keras import layers

VARIANTS = ("BN0", "BNLF")
NUM_FRAMES = 5  # two to compare, then three that stand for the video
HIDDEN_WIDTHS = (256, 128, 64, 32)
DROPOUT_RATE = 0.2
L1_PENALTY = 2e-6


def build_bubblenet(variant: str = "BNLF", feature_size: int = 2048) -> keras.Model:
    """Builds a comparing network with random weights.

    Args:
        variant: "BN0" drops the frame numbers together with the hidden units that they are joined
            to, "BNLF" joins them after dropping, so that it always sees them.
        feature_size: length d of a frame's vector; 2048 in the original (ResNet-50).

    Returns:
        a model from {"features": float (batch, 5, d), the two frames to compare and three
        references; "indices": float (batch, 5), their numbers divided by the number of frames, in
        the same order} to float (batch, 1): the score of the whole video (J + F, 0..2) if the first
        frame is labelled, minus that if the second is. Above 0 the first is better.

    Raises:
        ValueError: for an unknown variant.
    """
    if variant not in VARIANTS:
        raise ValueError(f"variant must be one of {', '.join(VARIANTS)}, got {variant!r}.")

    def dense(width, name):
        return layers.Dense(width, kernel_regularizer=keras.regularizers.L1(L1_PENALTY), name=name)

    features = keras.Input((NUM_FRAMES, feature_size), name="features")
    indices = keras.Input((NUM_FRAMES,), name="indices")
    x = layers.Reshape((NUM_FRAMES * feature_size,), name="flatten")(features)
    x = layers.Concatenate(name="inputs")([x, indices])
    for number, width in enumerate(HIDDEN_WIDTHS, start=1):
        x = dense(width, f"fc{number}")(x)
        x = layers.LeakyReLU(0.2, name=f"fc{number}_act")(x)
        if number == len(HIDDEN_WIDTHS):
            break  # the last hidden layer is neither joined nor dropped
        drop = layers.Dropout(DROPOUT_RATE, name=f"fc{number}_drop")
        join = layers.Concatenate(name=f"fc{number}_indices")
        x = drop(join([x, indices])) if variant == "BN0" else join([drop(x), indices])
    prediction = dense(1, "prediction")(x)
    inputs = {"features": features, "indices": indices}
    return keras.Model(inputs, prediction, name=f"bubblenet_{variant}")
