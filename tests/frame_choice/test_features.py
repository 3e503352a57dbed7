"""What the choice is based on: a vector per frame, and cues."""

import cv2
import keras
import numpy as np
import pytest
from PIL import Image

from models import build_model
from tests.frame_choice_world import REDS, colour_extractor, write_frames
from utils.errors import InputError
from utils.frame_choice import features
from utils.frame_choice.features import read_features, resnet_extractor, xception_extractor
from utils.media.videos import FrameFolder


def test_each_frame_has_the_vector_of_its_own_image(video):
    features = read_features(video, colour_extractor())
    for index, vector in enumerate(features.vectors):
        expected = video.read(index)[::2, ::2].mean(axis=(0, 1)) / 255
        np.testing.assert_allclose(vector, expected, rtol=1e-5)
    assert features.vectors.shape == (6, 3) and features.vectors.dtype == np.float32


def test_features_are_computed_once_and_again_after_any_change(video, tmp_path):
    cache = tmp_path / "cache" / "features.npz"
    first = read_features(video, colour_extractor(), cache)
    known = colour_extractor()
    again = read_features(FrameFolder(video.path), known, cache)
    assert not known.prepare.seen
    np.testing.assert_array_equal(first.vectors, again.vectors)
    assert first.cues.keys() == again.cues.keys()

    other_weights = colour_extractor("1" * 64)
    read_features(video, other_weights, cache)
    assert len(other_weights.prepare.seen) == 6
    write_frames(video.path, [255])
    changed = colour_extractor("1" * 64)
    read_features(FrameFolder(video.path), changed, cache)
    assert len(changed.prepare.seen) == 6
    cache.write_bytes(cache.read_bytes()[:100])
    broken = colour_extractor("1" * 64)
    read_features(FrameFolder(video.path), broken, cache)
    assert len(broken.prepare.seen) == 6


def test_a_call_that_was_stopped_is_continued(video, tmp_path, monkeypatch):
    """All frames were looked at again, which takes hours of a long video."""
    monkeypatch.setattr(features, "KEPT_FRAMES", 4)
    cache, whole = tmp_path / "cache" / "features.npz", read_features(video, colour_extractor())
    read = video.read

    def stop(index):
        if index == 5:
            raise KeyboardInterrupt
        return read(index)

    monkeypatch.setattr(video, "read", stop)
    with pytest.raises(KeyboardInterrupt):
        read_features(video, colour_extractor(), cache)
    assert not cache.exists()
    monkeypatch.setattr(video, "read", read)
    continued = colour_extractor()
    found = read_features(video, continued, cache)
    assert len(continued.prepare.seen) == 2
    np.testing.assert_array_equal(found.vectors, whole.vectors)
    for name, values in whole.cues.items():
        np.testing.assert_array_equal(found.cues[name], values)
    assert [path.name for path in cache.parent.iterdir()] == ["features.npz"]


def test_cues_are_sharpness_brightness_and_motion(tmp_path):
    rng = np.random.default_rng(0)
    sharp = rng.integers(0, 200, (60, 80, 3), dtype="uint8")
    images = [sharp, cv2.GaussianBlur(sharp, (0, 0), 2), sharp, sharp, sharp // 4]
    for number, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    cues = read_features(FrameFolder(tmp_path), colour_extractor()).cues
    assert cues["sharpness"].argmin() in (1, 4) and cues["sharpness"][1] < cues["sharpness"][0] / 5
    assert cues["brightness"].argmin() == 4 and 0.2 < cues["brightness"][0] < 0.6
    assert cues["motion"][2] == pytest.approx(cues["motion"][0] / 2)  # one neighbour is the same
    assert all(values.shape == (5,) for values in cues.values())


def test_a_single_frame_does_not_move(tmp_path):
    features = read_features(FrameFolder(write_frames(tmp_path / "one", [9])), colour_extractor())
    assert features.cues["motion"].tolist() == [0] and features.vectors.shape == (1, 3)


def test_xception_features_are_the_mean_of_block_13(tmp_path):
    keras.utils.set_random_seed(0)
    model = build_model(width=0.03, output_stride=32)
    extractor = xception_extractor(model, "2" * 64)
    video = FrameFolder(write_frames(tmp_path / "hen", REDS[:3]))
    found = read_features(video, extractor).vectors
    block13 = keras.Model(model.input, model.get_layer("block13_add").output)
    for index in range(3):
        features = keras.ops.convert_to_numpy(block13(video.read(index)[None]))
        np.testing.assert_allclose(
            found[index], features.mean(axis=(1, 2))[0], rtol=1e-3, atol=1e-5
        )


def test_resnet_features_want_their_weights_by_name(tmp_path):
    with pytest.raises(InputError, match=r"resnet\.h5.*--features xception"):
        resnet_extractor(tmp_path / "resnet.h5")
