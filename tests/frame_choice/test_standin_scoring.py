"""The stand-in for fine-tuning: a head per labelled frame, honest scores, a table that resumes."""

from functools import partial

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

import train_bubblenet
from models import build_model
from models.losses import SegmentationLoss
from models.resampling import Interpolate
from train_bubblenet import Config
from utils import paths
from utils.errors import InputError, UsageError
from utils.frame_choice import measuring
from utils.frame_choice.features import Extractor
from utils.frame_choice.measured_videos import read_table
from utils.frame_choice.pixel_maps import PixelMaps, compute_maps, interpolate, map_network
from utils.frame_choice.standin_heads import StandIn, build_head, predict_logits, train_heads
from utils.frame_choice.standin_scoring import (
    annotations_sha256,
    measure_frames,
    score_masks,
    spread_frames,
)
from utils.inputs.sequences import open_dataset_sequence
from utils.stage3.settings import Refinement

HEIGHT, WIDTH = 49, 65  # 16 k + 1, so that the maps below need no padding
NUM_FRAMES = 8
SETTINGS = StandIn(hidden_units=8, steps=40, pixels=200, learning_rate=0.03)
LOSS = SegmentationLoss(1.0)


def animal(index: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), "uint8")
    mask[12:36, 4 + 4 * index : 28 + 4 * index] = 1
    return mask


def picture(index: int, colour=(230, 60, 40)) -> np.ndarray:
    image = np.random.default_rng(index).integers(60, 90, (HEIGHT, WIDTH, 3)).astype("uint8")
    image[animal(index) == 1] = colour
    return image


def colour_network() -> keras.Model:
    """Stands for the segmentation network: maps of colours, and a logit that knows nothing."""
    images = keras.Input((None, None, 3))
    x = layers.Rescaling(1 / 127.5, -1.0)(images)
    fine = layers.Concatenate()([x[:, ::4, ::4], 0 * x[:, ::4, ::4, :1]])
    return keras.Model(images, {"fine": fine, "coarse": x[:, ::16, ::16]})


@pytest.fixture(scope="module")
def network():
    return colour_network()


class Dataset:
    def __init__(self, root):
        self.root = root

    def add(self, name="hen", frames=NUM_FRAMES, hidden=()):
        """A red animal; in `hidden` frames it looks like what is around it."""
        for index in range(frames):
            colour = (75, 75, 75) if index in hidden else (230, 60, 40)
            self.write("JPEGImages", name, index, picture(index, colour))
            self.write("Annotations", name, index, animal(index) * np.uint8(255))
        return self

    def write(self, kind, name, index, image):
        path = self.root / kind / name / f"{index:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
        return path

    def open(self, name="hen"):
        return open_dataset_sequence(self.root, name)


@pytest.fixture
def dataset(tmp_path):
    return Dataset(tmp_path / "dataset")


def measure(sequence, network, candidates, settings=SETTINGS):
    return measure_frames(
        sequence, network, candidates, loss=LOSS, refinement=Refinement(), settings=settings
    )


def make_maps(folder, num_frames=4) -> PixelMaps:
    """Maps of one informative channel and noise."""
    rng = np.random.default_rng(0)
    for frame in range(num_frames):
        fine = rng.normal(size=(13, 17, 3))
        fine[..., 0] += 4 * animal(frame)[::4, ::4]
        arrays = {"fine": fine.astype("float16"), "coarse": np.ones((4, 5, 1), "float16")}
        np.savez(folder / f"{frame:06d}.npz", **arrays)
    return PixelMaps(folder, num_frames, np.zeros(3, "float32"), np.ones(3, "float32"))


def no_progress(frames, title):
    return frames


# The maps


@pytest.mark.parametrize("factor", [2, 4])
def test_maps_are_interpolated_as_the_network_does(factor):
    maps = np.random.default_rng(0).normal(size=(5, 3, 7)).astype("float32")
    expected = keras.ops.convert_to_numpy(Interpolate(factor)(maps[None]))[0]
    np.testing.assert_allclose(interpolate(maps, factor), expected, atol=1e-5)


def test_maps_of_the_real_network_lie_on_the_pixels_they_belong_to():
    keras.utils.set_random_seed(0)
    model = build_model("deeplab", width=0.05)
    image = np.random.default_rng(1).integers(0, 256, (1, 70, 90, 3)).astype("uint8")
    logits = model.predict_on_batch(image)["mask"][0, ::4, ::4, 0]
    maps = map_network(model).predict_on_batch(image)
    fine, coarse = maps["fine"][0], maps["coarse"][0]
    np.testing.assert_allclose(fine[:18, :23, -1], logits, atol=1e-4)
    assert interpolate(coarse, 4).shape[:2] == fine.shape[:2]


def test_channels_are_standardised_over_the_video(dataset, network, tmp_path):
    video = dataset.add().open().video
    maps = compute_maps(network, video, (HEIGHT, WIDTH), tmp_path, no_progress)
    features, logit = zip(*map(maps.read, range(NUM_FRAMES)), strict=True)
    features = np.stack(features)
    assert features.shape == (NUM_FRAMES, 13, 17, 6) and np.shape(logit) == (8, 13, 17, 1)
    np.testing.assert_allclose(features[..., :3].mean(axis=(0, 1, 2)), 0, atol=0.02)
    np.testing.assert_allclose(features[..., :3].std(axis=(0, 1, 2)), 1, atol=0.02)


# The heads


def test_a_head_begins_as_the_network_itself():
    rng = np.random.default_rng(0)
    inputs = {"features": rng.normal(size=(1, 4, 5, 6)), "logit": rng.normal(size=(1, 4, 5, 1))}
    logits = build_head(6, 7, num_heads=3).predict_on_batch(inputs)
    np.testing.assert_allclose(logits, np.repeat(inputs["logit"], 3, axis=-1), rtol=1e-5)


def test_heads_learn_from_their_own_label_and_nothing_else(tmp_path):
    maps = make_maps(tmp_path)
    # Any look at another label than the candidates' would be an error.
    labels = [None, animal(1), None, animal(3)]
    both = train_heads(maps, labels, [1, 3], LOSS, SETTINGS, no_progress)
    logits = predict_logits(maps, both, no_progress).astype("float32")
    assert logits.shape == (4, 13, 17, 2)
    for place, candidate in enumerate((1, 3)):
        alone = train_heads(maps, labels, [candidate], LOSS, SETTINGS, no_progress)
        expected = predict_logits(maps, alone, no_progress)[..., 0]
        np.testing.assert_allclose(logits[..., place], expected, atol=0.02)
        for frame in range(4):  # and segment all frames
            inside = animal(frame)[::4, ::4] == 1
            assert np.mean((logits[frame, ..., place] > 0) == inside) > 0.85


# The scores


def test_a_frame_that_shows_what_the_animal_looks_like_scores_higher(dataset, network):
    sequence = dataset.add(hidden=(1,)).open()
    scores = measure(sequence, network, [1, 3, 6])
    assert np.isfinite(scores).nonzero()[0].tolist() == [1, 3, 6]
    assert scores[3] > 0.8 and scores[6] > 0.8 and scores[1] < scores[3] - 0.3
    np.testing.assert_array_equal(measure(sequence, network, [1, 3, 6]), scores)


def test_a_candidate_without_animal_or_background_scores_nothing(dataset, network):
    dataset.add()
    dataset.write("Annotations", "hen", 2, np.zeros((HEIGHT, WIDTH), "uint8"))
    scores = measure(dataset.open(), network, [2])
    assert scores[2] == 0 and np.isnan(np.delete(scores, 2)).all()


def perfect_logits(num_frames=6) -> np.ndarray:
    return np.stack([8.0 * animal(i)[::4, ::4] - 4 for i in range(num_frames)])


def test_the_first_the_last_and_the_labelled_frame_do_not_count():
    labels = [animal(i) for i in range(6)]
    best = score_masks(perfect_logits(), labels, 2, Refinement())
    assert 1 < best <= 2
    for frame in range(6):
        logits = perfect_logits()
        logits[frame] = -4  # no animal is found there
        score = score_masks(logits, labels, 2, Refinement())
        if frame in (0, 2, 5):
            assert score == best
        else:
            assert score < best - 0.2


def test_void_is_not_scored():
    labels = [animal(i) for i in range(6)]
    spoilt = perfect_logits()
    spoilt[3, 3:9, 10:] = 4  # too much, at the right of the animal
    before = score_masks(spoilt, labels, 1, Refinement())
    labels[3] = np.where((labels[3] == 0) & (np.arange(WIDTH) > 39), 255, labels[3]).astype("uint8")
    assert score_masks(spoilt, labels, 1, Refinement()) > before + 0.05


def test_far_regions_are_dropped_as_in_stage_3():
    labels = [animal(i) for i in range(6)]
    logits = perfect_logits()
    clean = score_masks(logits, labels, 1, Refinement(radius=0.1))
    logits[:2, 0:2, 14:] = 4
    assert score_masks(logits, labels, 1, Refinement(radius=0.1)) == pytest.approx(clean, abs=1e-6)
    logits[2:4, 0:2, :2] = 4
    assert score_masks(logits, labels, 1, Refinement(radius=0)) < clean


@pytest.mark.parametrize(
    "num_frames, count, frames",
    [(10, 4, [0, 3, 6, 9]), (3, 12, [0, 1, 2]), (80, 2, [0, 79]), (12, 12, list(range(12)))],
)
def test_candidates_are_spread_evenly(num_frames, count, frames):
    assert spread_frames(num_frames, count) == frames


# What is refused


def test_a_missing_annotation_is_named(dataset):
    dataset.add()
    missing = dataset.root / "Annotations" / "hen" / "00005.png"
    missing.unlink()
    with pytest.raises(InputError, match=r"expected an annotation for each of 8.*found 7.*00005"):
        annotations_sha256(dataset.open())


def test_an_annotation_of_another_size_is_named(dataset, network):
    dataset.add()
    dataset.write("Annotations", "hen", 4, np.eye(9, dtype="uint8"))
    with pytest.raises(InputError, match=r"00004\.png: expected an annotation of 49x65.*9x9"):
        measure(dataset.open(), network, [1])


def test_videos_without_frames_to_score_or_annotations_are_refused(dataset):
    with pytest.raises(InputError, match="at least 4 frames.*found 3"):
        annotations_sha256(dataset.add("chick", frames=3).open("chick"))
    for index in range(5):
        dataset.write("JPEGImages", "egg", index, picture(index))
    with pytest.raises(InputError, match="egg: expected annotations in .*no such folder"):
        annotations_sha256(dataset.open("egg"))


# The table


@pytest.fixture
def script(dataset, tmp_path, monkeypatch):
    """`train_bubblenet.py --measure` with a network of colours and vectors of mean colours."""
    shas = {"weights": "a" * 64, "features": "b" * 64}
    monkeypatch.setattr(measuring, "build_model", lambda *_, **__: None)
    monkeypatch.setattr(measuring, "map_network", lambda _: colour_network())
    quick = partial(StandIn, hidden_units=8, steps=5, pixels=100)
    monkeypatch.setattr(measuring, "StandIn", quick)

    def load(model, path):
        return {"sha256": shas["features" if path == paths.IMAGENET_WEIGHTS_FILE else "weights"]}

    def extractor(model, sha256):
        return Extractor("xception", sha256, lambda x: x, lambda batch: batch.mean(axis=(1, 2)))

    monkeypatch.setattr(measuring, "load_weights", load)
    monkeypatch.setattr(measuring, "xception_extractor", extractor)

    def run(**flags):
        flags = {
            "dataset": dataset.root,
            "table": tmp_path / "table",
            "frames_per_video": 3,
            **flags,
        }
        return train_bubblenet.main(Config(measure=True, **flags))

    run.table, run.shas = tmp_path / "table", shas
    return run


@pytest.fixture
def measured(monkeypatch):
    """The names of the videos that are measured from now on."""
    names, real = [], measuring.measure_frames

    def spy(sequence, *arguments, **options):
        names.append(sequence.name)
        return real(sequence, *arguments, **options)

    monkeypatch.setattr(measuring, "measure_frames", spy)
    return names


def test_measuring_writes_a_table_that_can_be_trained_on(dataset, script, capsys):
    dataset.add("ant").add("bee", frames=5)
    assert script() == 0
    ant, bee = read_table(script.table)
    assert (ant.name, bee.name) == ("ant", "bee")
    assert ant.measured.tolist() == [0, 4, 7] and bee.measured.tolist() == [0, 2, 4]
    assert ant.features.vectors.shape == (8, 3) and set(ant.features.cues)
    assert ant.features.weights_sha256 == "b" * 64
    out = capsys.readouterr().out
    assert "ant: 8 frames, 3 labels tried, J + F" in out and "2 of 2 videos measured" in out


def test_only_what_changed_is_measured_again(dataset, script, measured, capsys):
    dataset.add("ant").add("bee")
    script()
    before = {v.name: v.scores for v in read_table(script.table)}
    assert measured == ["ant", "bee"]
    script()
    assert measured == ["ant", "bee"] and "ant: measured before, skipped" in capsys.readouterr().out
    dataset.write("Annotations", "bee", 3, np.roll(animal(3), 5, axis=0) * np.uint8(255))
    script()
    assert measured == ["ant", "bee", "bee"]
    script.shas["features"] = "c" * 64  # other features, the same scores
    script()
    table = read_table(script.table)
    assert len(measured) == 3 and {v.features.weights_sha256 for v in table} == {"c" * 64}
    np.testing.assert_array_equal(table[0].scores, before["ant"])
    script.shas["weights"] = "d" * 64
    script(sequences=("ant",))
    script(sequences=("ant",), seed=1)
    script(sequences=("ant",), frames_per_video=4)
    assert measured[3:] == ["ant", "ant", "ant"]


def test_a_video_that_cannot_be_measured_leaves_the_others_done(dataset, script, capsys):
    dataset.add("ant", frames=3).add("bee")
    assert script() == 1
    out = capsys.readouterr().out
    assert "error: ant: ant: expected at least 4 frames" in out and "1 of 2 videos measured" in out
    assert [path.name for path in script.table.iterdir()] == ["bee.npz"]
    with pytest.raises(InputError, match="at least 4"):
        script(sequences=("ant",))


def test_arguments_that_make_no_table_are_usage_errors(script):
    with pytest.raises(UsageError, match="--frames-per-video"):
        script(frames_per_video=1)
    with pytest.raises(UsageError, match="Give one of"):
        script(cross_validate=True)
