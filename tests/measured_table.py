"""A table of measured videos for the tests of the BubbleNets' training."""

import numpy as np

from utils.frame_choice.features import CUES, FrameFeatures, save_features
from utils.frame_choice.measured_videos import MeasuredVideo

SIZE = 6  # of the frame vectors


def make_video(name: str, seed: int, num_frames: int = 12, measured=(0, 3, 5, 8, 11)):
    """A video whose frames are the better the larger the first value of their vector."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(num_frames, SIZE)).astype("float32")
    cues = {cue: rng.random(num_frames).astype("float32") for cue in CUES}
    scores = np.full(num_frames, np.nan, "float32")
    scores[list(measured)] = 1 + 0.4 * np.tanh(vectors[list(measured), 0])
    features = FrameFeatures(vectors, cues, "xception", "ab" * 32, "cd" * 32)
    return MeasuredVideo(name, features, scores)


def write_table(folder, videos):
    for video in videos:
        save_features(folder / f"{video.name}.npz", video.features, video.scores)
    return folder
