"""Which frame to label: features, sorting, rules, the files that tell, and bubblenet_select.py."""

import json
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import bubblenet_select
from bubblenet_select import Config
from models import build_model
from models.bubblenets import VARIANTS, build_bubblenet
from utils import paths
from utils.errors import InputError, UsageError
from utils.files import sha256_of
from utils.frame_choice import selection_files
from utils.frame_choice.features import (
    CUES,
    Extractor,
    FrameFeatures,
    read_features,
    resnet_extractor,
    xception_extractor,
)
from utils.frame_choice.ranking_strip import write_ranking_strip
from utils.frame_choice.rules import (
    LINEAR_CUES,
    MAX_CANDIDATES,
    RULES,
    bubble_sort,
    compare_frames,
    cue_matrix,
    draw_references,
    fit_linear,
    rank_by_bubblenet,
    rank_by_rule,
    rank_next_frames,
)
from utils.frame_choice.selection_files import (
    Chooser,
    choose_frames,
    find_selection,
    is_outdated,
    load_chooser,
    read_ranking,
    read_selection,
    write_linear_rule,
)
from utils.media.labels import write_label
from utils.media.video_writing import write_video
from utils.media.videos import FrameFolder, VideoFile
from utils.training.weights import save_weights

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


@pytest.fixture(scope="module")
def reddest():
    return comparing_network(1.0)


@pytest.fixture(scope="module")
def palest():
    return comparing_network(-1.0, "BN0")


@pytest.fixture(scope="module")
def untrained():
    keras.utils.set_random_seed(3)
    return build_bubblenet("BNLF", SIZE)


def vectors(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, SIZE)).astype("float32")


# Sorting


@settings(deadline=None)
@given(st.permutations(range(9)))
def test_consistent_comparisons_are_sorted_best_first(quality):
    margins = np.subtract.outer(quality, quality).astype("float32")
    assert [quality[i] for i in bubble_sort(margins)] == sorted(quality, reverse=True)


def test_a_negative_margin_means_that_the_second_is_better_and_is_carried_on():
    # 0 loses to 1, 1 beats 2, 0 beats 2: not below 0 carries the first one on.
    margins = np.array([[0, -1, 1], [1, 0, 1], [-1, -1, 0]], "float32")
    assert bubble_sort(margins) == [1, 0, 2]


def test_contradicting_comparisons_still_rank_every_frame_once():
    margins = np.array([[0, 1, -1], [-1, 0, 1], [1, -1, 0]], "float32")
    assert sorted(bubble_sort(margins)) == [0, 1, 2]


def test_the_network_is_asked_about_frames_in_the_published_order(reddest):
    x = vectors(12)
    margins = compare_frames(reddest, x, range(12))
    np.testing.assert_allclose(margins, np.subtract.outer(x[:, 0], x[:, 0]), atol=1e-5)
    assert rank_by_bubblenet(reddest, x) == np.argsort(-x[:, 0]).tolist()


def test_a_comparison_is_the_mean_of_the_whole_network_over_draws_and_orders(untrained):
    # Of two frames references are any of the two, so enough draws see all eight cases.
    x = vectors(2)
    draws = 400
    expected = 0.0
    for case in np.ndindex(2, 2, 2):
        for sign, pair in ((1, (0, 1)), (-1, (1, 0))):
            five = np.array([*pair, *case])
            inputs = {"features": x[five][None], "indices": (five / 2)[None].astype("float32")}
            expected += sign * float(untrained.predict_on_batch(inputs)[0, 0]) / 16
    margins = compare_frames(untrained, x, [0, 1], draws=draws)
    assert margins[0, 1] == pytest.approx(expected, abs=0.01)
    assert margins[1, 0] == -margins[0, 1] and abs(expected) > 0.02


@pytest.mark.parametrize("num_frames", [1, 2, 3, 4])
def test_short_videos_are_ranked(untrained, num_frames):
    ranking = rank_by_bubblenet(untrained, vectors(num_frames))
    assert sorted(ranking) == list(range(num_frames))


def test_the_same_seed_gives_the_same_ranking_and_no_other_randomness_counts(untrained):
    x = vectors(20)
    first = rank_by_bubblenet(untrained, x, seed=4)
    np.random.seed(99)
    keras.utils.set_random_seed(99)
    assert rank_by_bubblenet(untrained, x, seed=4) == first


def test_only_candidates_are_ranked(reddest):
    x = vectors(10)
    assert rank_by_bubblenet(reddest, x, [7, 2, 5]) == sorted([7, 2, 5], key=lambda i: -x[i, 0])


def test_of_a_long_video_evenly_spaced_frames_are_ranked(reddest, monkeypatch):
    monkeypatch.setattr("utils.frame_choice.rules.MAX_CANDIDATES", 11)
    ranking = rank_by_bubblenet(reddest, vectors(101))
    assert sorted(ranking) == list(range(0, 101, 10))
    assert MAX_CANDIDATES == 1000


@settings(max_examples=30, deadline=None)
@given(st.integers(3, 40), st.integers(0, 2**32 - 1))
def test_references_are_others_than_the_pair_and_each_other(num_frames, seed):
    rng = np.random.default_rng(seed)
    first = rng.integers(num_frames, size=200)
    pairs = np.stack([first, (first + rng.integers(1, num_frames, size=200)) % num_frames], axis=1)
    references = draw_references(rng, pairs, num_frames)
    assert references.shape == (200, 3)
    assert references.min() >= 0 and references.max() < num_frames
    for pair, three in zip(pairs.tolist(), references.tolist(), strict=True):
        assert not set(pair) & set(three)
        assert num_frames < 5 or len(set(three)) == 3


def test_references_are_drawn_evenly():
    rng = np.random.default_rng(0)
    references = draw_references(rng, np.tile([5, 2], (60_000, 1)), 8)
    counts = np.bincount(references.ravel(), minlength=8) / references.size
    np.testing.assert_allclose(counts, [1 / 6, 1 / 6, 0, 1 / 6, 1 / 6, 0, 1 / 6, 1 / 6], atol=0.01)


# Rules


def make_features(num_frames: int, **cues) -> FrameFeatures:
    x = np.zeros((num_frames, SIZE), "float32")
    x[:, 0] = np.arange(num_frames) ** 2
    known = {name: np.ones(num_frames, "float32") for name in CUES} | cues
    return FrameFeatures(x, known, "xception", "", "")


@pytest.mark.parametrize(
    "rule, ranking",
    [
        ("middle", [2, 1, 3, 0, 4]),
        ("first", [0, 1, 2, 3, 4]),
        ("last", [4, 3, 2, 1, 0]),
        ("medoid", [2, 1, 0, 3, 4]),  # of 0, 1, 4, 9, 16 the sums are 30, 27, 24, 29, 50
    ],
)
def test_rules_of_position_and_of_features(rule, ranking):
    found = rank_by_rule(rule, 5, make_features(5))
    assert found[0] == ranking[0]
    assert found == ranking or rule == "medoid"


def test_the_middle_is_that_of_stage_3():
    for num_frames in range(1, 9):
        assert rank_by_rule("middle", num_frames)[0] == num_frames // 2


def test_typical_frames_are_neither_blurred_nor_odd():
    sharpness = np.array([50, 51, 49, 5, 90], "float32")
    motion = np.array([0.9, 0.1, 0.12, 0.1, 0.1], "float32")
    ranking = rank_by_rule("typical", 5, make_features(5, sharpness=sharpness, motion=motion))
    assert set(ranking[:2]) == {1, 2}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("num_frames", [1, 2, 3, 50])
def test_every_rule_ranks_every_frame_once_and_the_same_again(rule, num_frames):
    features = make_features(num_frames)
    coefficients = [0.5] * len(LINEAR_CUES)
    ranking = rank_by_rule(rule, num_frames, features, coefficients)
    assert sorted(ranking) == list(range(num_frames))
    assert rank_by_rule(rule, num_frames, features, coefficients) == ranking


def test_an_unknown_rule_is_refused():
    with pytest.raises(ValueError, match="middle, first"):
        rank_by_rule("best", 3)


def test_the_linear_rule_finds_the_cue_that_scores_follow():
    rng = np.random.default_rng(0)
    cues, scores = [], []
    for offset in (0.2, 1.1, 0.7):  # videos are of different difficulty
        matrix = cue_matrix(make_features(20, sharpness=rng.random(20)))
        cues.append(matrix)
        video_scores = offset + 0.1 * matrix[:, LINEAR_CUES.index("sharpness")]
        scores.append(np.where(rng.random(20) < 0.5, video_scores, np.nan))
    coefficients = fit_linear(cues, scores)
    assert np.argmax(np.abs(coefficients)) == LINEAR_CUES.index("sharpness")
    new = make_features(10, sharpness=np.arange(10.0)[::-1].copy())
    assert rank_by_rule("linear", 10, new, coefficients)[0] <= 2


# The next label


def test_the_next_label_goes_where_the_masks_are_doubtful():
    difficulty = np.full(40, 0.02)
    difficulty[28:33] = 0.5
    assert 28 <= rank_next_frames(difficulty, [8])[0] <= 32


def test_equally_doubtful_frames_leave_the_choice_to_the_distance_from_labels():
    for value in (0.0, 0.01, 1.0):
        assert rank_next_frames(np.full(41, value), [0])[0] > 20
        assert 15 <= rank_next_frames(np.full(41, value), [0, 40])[0] <= 25


def test_a_doubtful_frame_beside_a_label_gains_less_than_one_far_away():
    difficulty = np.full(40, 0.02)
    difficulty[[11, 30]] = 0.4
    assert abs(rank_next_frames(difficulty, [10])[0] - 30) <= 3


def test_labelled_frames_are_not_proposed_again():
    assert sorted(rank_next_frames(np.ones(5), [1, 3])) == [0, 2, 4]
    assert rank_next_frames(np.ones(2), [0, 1]) == []
    assert sorted(rank_next_frames(np.ones(3), [])) == [0, 1, 2]


# Features


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


@pytest.fixture
def video(tmp_path):
    return FrameFolder(write_frames(tmp_path / "data" / "JPEGImages" / "hen", REDS))


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


# Files


def make_chooser(networks=None, sha256: str = "a", extractor=None) -> Chooser:
    networks = networks or {}
    extractor = (extractor or colour_extractor()) if networks else None
    key = {"networks": {name: sha256 for name in networks}}
    return Chooser(networks, extractor, "middle", (), key)


@pytest.fixture
def both(reddest, palest):
    return {"BNLF": reddest, "BN0": palest}


def test_selection_files_are_those_of_the_original(video, both, tmp_path):
    folder = tmp_path / "selection"
    selection = choose_frames(video, folder, make_chooser(both))
    assert selection.is_new
    assert (folder / "BNLF.txt").read_text() == "BNLF\n4\n00004.png\n"
    assert (folder / "BN0.txt").read_text() == "BN0\n5\n00005.png\n"
    assert (folder / "rule.txt").read_text() == "rule\n3\n00003.png\n"
    assert (folder / "all.txt").read_text() == (
        "2 suggested annotations for hen\n4\n00004.png\n5\n00005.png\n"
    )
    names = video.frame_names
    for name, frames in (("BNLF", [4]), ("BN0", [5]), ("rule", [3]), ("all", [4, 5])):
        assert read_selection(folder, name, names) == frames
        assert selection.frames(name)[: len(frames)] == frames
    assert selection.frames("BNLF") == np.argsort([-red for red in REDS]).tolist()


def test_two_networks_that_agree_suggest_one_frame(video, reddest, tmp_path):
    choose_frames(video, tmp_path, make_chooser({"BNLF": reddest, "BN0": reddest}))
    assert (tmp_path / "all.txt").read_text() == "1 suggested annotations for hen\n4\n00004.png\n"


def test_frames_of_any_names_are_found_again(tmp_path, both):
    folder = tmp_path / "hen"
    for red, name in zip(REDS, ("a10", "a9", "b 1", "b 2", "c-3", "ö"), strict=True):
        write_frames(tmp_path / "one", [red])
        folder.mkdir(exist_ok=True)
        (tmp_path / "one" / "00000.png").rename(folder / f"{name}.png")
    video = FrameFolder(folder)
    selection = choose_frames(video, tmp_path / "selection", make_chooser(both))
    for name in ("BN0", "BNLF", "rule"):
        [frame] = read_selection(tmp_path / "selection", name, video.frame_names)
        assert frame == selection.rankings[name][0]


def test_of_a_video_file_the_names_are_those_of_its_extracted_frames(tmp_path, both):
    frames = [np.full((48, 64, 3), (red, 60, 90), "uint8") for red in REDS]
    write_video(tmp_path / "clip.mp4", iter(frames), None, 25.0)
    with VideoFile(tmp_path / "clip.mp4") as video:
        choose_frames(video, tmp_path / "selection", make_chooser(both))
        assert (tmp_path / "selection" / "BNLF.txt").read_text() == "BNLF\n4\n00004.jpg\n"
        assert read_selection(tmp_path / "selection", "BN0", video.frame_names) == [5]


def test_without_trained_networks_only_the_rule_is_written(video, tmp_path):
    selection = choose_frames(video, tmp_path, make_chooser())
    assert sorted(path.name for path in tmp_path.glob("*.txt")) == ["rule.txt"]
    assert selection.frames("BNLF")[0] == 3 and selection.frames("all")[0] == 3


def test_files_of_the_original_stay_where_no_network_is_trained(video, tmp_path):
    (tmp_path / "BN0.txt").write_text("BN0\n1\n00001.png\n")
    (tmp_path / "all.txt").write_text("1 suggested annotations for hen\n1\n00001.png\n")
    choose_frames(video, tmp_path, make_chooser())
    assert read_selection(tmp_path, "BN0", video.frame_names) == [1]
    assert read_selection(tmp_path, "all", video.frame_names) == [1]


def test_a_choice_made_from_the_same_is_only_read(video, both, tmp_path, monkeypatch):
    first = choose_frames(video, tmp_path, make_chooser(both))
    monkeypatch.setattr(selection_files, "_rank", lambda *_: pytest.fail("ranked again"))
    again = choose_frames(FrameFolder(video.path), tmp_path, make_chooser(both))
    assert not again.is_new and again.rankings == first.rankings


@pytest.mark.parametrize("change", ["weights", "frames", "hand", "lost", "record"])
def test_a_choice_made_from_something_else_is_made_again(video, both, tmp_path, change):
    choose_frames(video, tmp_path, make_chooser(both))
    if change == "frames":
        write_frames(video.path, [255])
    elif change == "hand":
        (tmp_path / "BNLF.txt").write_bytes(b"\xff\n1\n00001.png\n")
    elif change == "lost":
        (tmp_path / "all.txt").unlink()
    elif change == "record":
        (tmp_path / paths.SELECTION_RECORD).write_text("[1, 2")
    chooser = make_chooser(both, "b" if change == "weights" else "a")
    selection = choose_frames(FrameFolder(video.path), tmp_path, chooser)
    assert selection.is_new
    expected = 0 if change == "frames" else 4
    assert read_selection(tmp_path, "BNLF", video.frame_names) == [expected]
    assert (tmp_path / "all.txt").is_file()


def test_choices_of_networks_that_are_gone_are_gone(video, both, tmp_path):
    choose_frames(video, tmp_path, make_chooser(both))
    choose_frames(video, tmp_path, make_chooser({"BN0": both["BN0"]}))
    assert sorted(path.stem for path in tmp_path.glob("*.txt")) == ["BN0", "all", "rule"]
    choose_frames(video, tmp_path, make_chooser())
    assert sorted(path.stem for path in tmp_path.glob("*.txt")) == ["rule"]


def test_a_selection_of_other_frames_is_outdated(video, tmp_path):
    assert not is_outdated(tmp_path, video.sha256())  # there is none, or one of the original
    choose_frames(video, tmp_path, make_chooser())
    assert not is_outdated(tmp_path, video.sha256())
    write_frames(video.path, [255])
    assert is_outdated(tmp_path, FrameFolder(video.path).sha256())


def test_stage_3_goes_by_the_selection_on_disk_else_by_one_made_now(video, both, tmp_path):
    def no_loading():
        pytest.fail("loaded")

    def find(load, *selections, **options):
        selections = selections or ("BNLF",)
        return find_selection(FrameFolder(video.path), tmp_path, selections, load, **options)

    def load():
        return make_chooser(both)

    assert find(None) == ([], "")
    frames, reason = find(load, write=False)
    assert frames[0] == 4 and reason == "BubbleNet BNLF"
    assert not list(tmp_path.glob("*.txt")) and not list(tmp_path.glob("*.npz"))
    assert find(load)[0] == frames and (tmp_path / "BNLF.txt").is_file()
    assert find(no_loading) == (frames, "bubblenet_select.py (BNLF)")
    write_frames(video.path, [255])  # the selection is of other frames now
    assert find(None) == ([], "")
    assert find(load)[0][0] == 0


def test_of_several_selections_the_first_that_is_there_counts(video, both, tmp_path):
    (tmp_path / "rule.txt").write_text("rule\n1\n00001.png\n")
    (tmp_path / "BN0.txt").write_text("BN0\n2\n00002.png\n")
    assert find_selection(video, tmp_path, ("BNLF", "BN0", "rule")) == (
        [2],
        "bubblenet_select.py (BN0)",
    )
    assert find_selection(video, tmp_path, ("rule", "BN0")) == ([1], "bubblenet_select.py (rule)")
    assert find_selection(video, tmp_path, ("BNLF",)) == ([], "")


@pytest.mark.parametrize(
    "trusted, name", [(("BNLF", "BN0", "rule"), "BNLF"), (("rule", "BN0", "BNLF"), "rule")]
)
def test_the_most_trusted_that_can_choose_has_the_last_word(
    video, both, tmp_path, monkeypatch, trusted, name
):
    monkeypatch.setattr(selection_files, "TRUSTED", trusted)
    assert choose_frames(video, tmp_path / "both", make_chooser(both)).chosen_by == name
    assert choose_frames(video, tmp_path / "none", make_chooser()).chosen_by == "rule"


@pytest.mark.parametrize(
    "has_networks, selection, reason",
    [
        (True, "BN0", "BubbleNet BN0"),
        (True, "all", "the BubbleNets"),
        (True, "rule", "the rule middle"),
        (False, "rule", "the rule middle"),
        (False, "BNLF", "the rule middle, since no BubbleNet BNLF is trained"),
        (False, "all", "the rule middle, since no BubbleNet is trained"),
    ],
)
def test_the_reason_says_who_chose(video, both, tmp_path, has_networks, selection, reason):
    chooser = make_chooser(both if has_networks else None)
    assert choose_frames(video, tmp_path, chooser).reason(selection) == reason


def test_the_whole_ranking_follows_the_choice_in_the_file(video, both, tmp_path):
    selection = choose_frames(video, tmp_path, make_chooser(both))
    assert read_ranking(tmp_path, "BNLF", [4]) == selection.rankings["BNLF"]
    assert read_ranking(tmp_path, "BNLF", [2]) == [2]  # a file changed by hand wins
    assert read_ranking(tmp_path, "all", [4, 5]) == [4, 5]
    assert read_ranking(tmp_path / "nowhere", "BNLF", [1]) == [1]
    assert read_ranking(tmp_path / "nowhere", "BNLF", []) == []


# Loading what chooses


@pytest.fixture
def weights_dir(tmp_path, monkeypatch):
    """No network is trained; the backbone is a narrow one with weights of its own."""
    folder = tmp_path / "weights"
    monkeypatch.setattr(paths, "BUBBLENET_WEIGHTS", folder / "bubblenet_weights")
    monkeypatch.setattr(paths, "LINEAR_RULE_FILE", folder / "linear_rule.json")
    monkeypatch.setattr(paths, "OBJECTNESS_WEIGHTS", folder / "objectness")
    monkeypatch.setattr(paths, "PASCAL_BASE_WEIGHTS", folder / "pascal")
    monkeypatch.setattr(paths, "IMAGENET_WEIGHTS_FILE", folder / "imagenet" / "x.safetensors")
    monkeypatch.setattr(paths, "RESNET_WEIGHTS_FILE", folder / "imagenet" / "resnet.h5")
    return folder


def narrow_model(head: str = "deeplab", output_stride: int = 16) -> keras.Model:
    return build_model(head, output_stride, width=0.03)


def save_bubblenet(variant: str, features: str = "xception", sha256: str = "", size: int = 31):
    keras.utils.set_random_seed(1)
    facts = {"head": variant, "features": features, "features_sha256": sha256}
    path = paths.BUBBLENET_WEIGHTS / f"{variant}.safetensors"
    save_weights(build_bubblenet(variant, size), path, facts, half=True)


def test_without_networks_nothing_is_loaded_for_a_rule_of_position(weights_dir):
    chooser = load_chooser(lambda *_, **__: pytest.fail("built"), build_bubblenet)
    assert chooser.networks == {} and chooser.extractor is None and chooser.rule == "middle"


def test_the_backbone_is_the_one_that_the_networks_were_trained_on(weights_dir, tmp_path):
    for folder in ("imagenet", "objectness"):
        keras.utils.set_random_seed(len(folder))
        name = "x" if folder == "imagenet" else "deeplab"
        path = weights_dir / folder / f"{name}.safetensors"
        save_weights(narrow_model(), path, {"head": "deeplab", "stage": "objectness"})
    expected = sha256_of(weights_dir / "objectness" / "deeplab.safetensors")
    for variant in VARIANTS:
        save_bubblenet(variant, sha256=expected)
    chooser = load_chooser(narrow_model, build_bubblenet)
    assert chooser.extractor.weights_sha256 == expected
    assert chooser.networks.keys() == {"BN0", "BNLF"}
    video = FrameFolder(write_frames(tmp_path / "hen", REDS))
    selection = choose_frames(video, tmp_path / "selection", chooser)
    assert selection.rankings.keys() == {"BN0", "BNLF", "rule"}
    again = load_chooser(narrow_model, build_bubblenet)
    assert not choose_frames(video, tmp_path / "selection", again).is_new


def test_features_that_the_networks_do_not_know_are_refused(weights_dir):
    save_bubblenet("BN0", sha256="c" * 64)
    with pytest.raises(UsageError, match="trained on xception"):
        load_chooser(narrow_model, build_bubblenet, "resnet50v2")
    with pytest.raises(InputError, match="sha256 cccccccccccc"):
        load_chooser(narrow_model, build_bubblenet)
    save_bubblenet("BNLF", "resnet50v2", size=2048)
    with pytest.raises(InputError, match="different features"):
        load_chooser(narrow_model, build_bubblenet)


def test_imported_networks_want_the_resnet(weights_dir):
    save_bubblenet("BN0", "resnet50v2", size=2048)
    with pytest.raises(InputError, match=r"resnet\.h5"):
        load_chooser(narrow_model, build_bubblenet)


def test_the_linear_rule_is_read_as_it_was_written(weights_dir, monkeypatch):
    with pytest.raises(InputError, match="linear_rule.json"):
        load_chooser(narrow_model, build_bubblenet, rule="linear")
    write_linear_rule(paths.LINEAR_RULE_FILE, np.arange(6) / 4)
    save_weights(narrow_model(), paths.IMAGENET_WEIGHTS_FILE, {"head": "deeplab"})
    chooser = load_chooser(narrow_model, build_bubblenet, rule="linear")
    assert chooser.coefficients == (0, 0.25, 0.5, 0.75, 1, 1.25)
    assert chooser.extractor is not None


# Thumbnails


def test_the_strip_shows_each_ranking_from_best_to_worst(video, tmp_path):
    write_ranking_strip(tmp_path / "strip.png", video, {"one": [4, 0, 1, 2, 3, 5]}, columns=3)
    pixels = np.asarray(Image.open(tmp_path / "strip.png").convert("RGB")).astype(int)
    reds = []
    for column in range(3):
        left = pixels.shape[1] * column // 3
        cell = pixels[:, left : left + pixels.shape[1] // 3].reshape(-1, 3)
        plain = cell[(abs(cell[:, 1] - 60) < 3) & (abs(cell[:, 2] - 90) < 3)]
        reds.append(int(np.median(plain[:, 0])))
    assert reds == [250, 40, 10] or reds == [250, 150, 10]  # ranks 1, 3 or 4, and 6


@pytest.mark.parametrize("num_frames", [1, 2, 4])
def test_a_strip_of_few_frames_has_few_thumbnails(tmp_path, num_frames):
    video = FrameFolder(write_frames(tmp_path / "hen", REDS[:num_frames]))
    ranking = list(range(num_frames))
    write_ranking_strip(tmp_path / "s.png", video, {"a": ranking, "b": ranking[::-1]})
    width, height = Image.open(tmp_path / "s.png").size
    assert width < 240 * num_frames + 20 and height > 2 * 100


# bubblenet_select.py


@pytest.fixture
def script(tmp_path, monkeypatch, weights_dir, both):
    """Runs the script with trained networks that look at colours; see `video` for the data."""
    monkeypatch.setattr(paths, "DATASETS", tmp_path / "datasets")
    monkeypatch.setattr(paths, "LABELS", tmp_path / "datasets" / "labels")
    chooser = make_chooser(both)
    monkeypatch.setattr(bubblenet_select, "load_chooser", lambda *_: chooser)

    def run(**flags):
        return bubblenet_select.main(Config(results=tmp_path / "results", **flags))

    return run


def test_the_script_names_the_frame_and_writes_files_and_thumbnails(
    script, video, tmp_path, capsys
):
    dataset = tmp_path / "data"
    assert script(dataset=dataset) == 0
    assert (
        "hen: label frame 3 (00003.png), by rule (middle); BNLF says 4, BN0 says 5"
        in capsys.readouterr().out
    )
    folder = paths.frame_selection_dir(dataset, "hen")
    assert read_selection(folder, "BNLF", video.frame_names) == [4]
    strip = Image.open(tmp_path / "results" / paths.FRAME_SELECTION / "hen.png")
    assert strip.height > 3 * 150  # a row each


def test_the_script_goes_by_whom_the_project_trusts(script, video, tmp_path, monkeypatch, capsys):
    for module in (bubblenet_select, selection_files):
        monkeypatch.setattr(module, "TRUSTED", ("BNLF", "BN0", "rule"))
    script(dataset=tmp_path / "data")
    said = "hen: label frame 4 (00004.png); BN0 says 5, the rule (middle) 3"
    assert said in capsys.readouterr().out


def test_a_video_file_is_told_by_its_times(script, tmp_path, capsys):
    frames = [np.full((48, 64, 3), (red, 60, 90), "uint8") for red in REDS]
    write_video(tmp_path / "clip.mp4", iter(frames), None, 25.0)
    assert script(video=(tmp_path / "clip.mp4",)) == 0
    assert (
        "clip: label frame 3 (at 0.12 s), by rule (middle); BNLF says 4, BN0 says 5"
        in capsys.readouterr().out
    )
    folder = paths.frame_selection_dir(paths.DATASETS, "clip")  # where stage 3 looks for --video
    assert read_selection(folder, "BNLF", [f"{i:05d}" for i in range(6)]) == [4]


def test_without_networks_the_script_says_so_and_goes_by_the_rule(
    tmp_path, video, weights_dir, monkeypatch, capsys
):
    results = tmp_path / "results"
    status = bubblenet_select.main(Config(dataset=tmp_path / "data", results=results))
    lines = capsys.readouterr().out.splitlines()
    assert status == 0 and lines[0].startswith("No trained BNLF and BN0 in")
    assert "hen: label frame 3 (00003.png), by rule (middle)" in lines
    folder = paths.frame_selection_dir(tmp_path / "data", "hen")
    assert [path.name for path in folder.glob("*.txt")] == ["rule.txt"]


def test_a_broken_video_does_not_stop_the_others(script, video, tmp_path, capsys):
    broken = write_frames(video.path.parent / "broken", REDS)
    (broken / "00002.png").write_bytes(b"no image")
    assert script(dataset=tmp_path / "data") == 1
    out = capsys.readouterr().out
    assert "error: broken: " in out and "00002.png" in out and "hen: label frame 3" in out
    with pytest.raises(InputError, match="00002.png"):
        script(dataset=tmp_path / "data", sequences=("broken",))


def test_arguments_that_exclude_each_other_are_a_usage_error(script, video, tmp_path):
    with pytest.raises(UsageError, match="--video stands in place"):
        script(video=(video.path,), dataset=tmp_path / "data")
    with pytest.raises(UsageError, match="No sequence cat"):
        script(dataset=tmp_path / "data", sequences=("cat",))


def segment(results: Path, num_frames: int = 40, labelled=(5,), lost=(30,)) -> None:
    """What stage 3 leaves: an animal that stands still, and is lost in some frames."""
    for index in range(num_frames):
        mask = np.zeros((24, 32), "uint8")
        mask[6:18, 8:20] = 0 if index in lost else 1
        path = results / paths.SEGMENTATION / "hen" / f"{index:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_label(path, mask)
    write_record(results, {"labelled_frames": list(labelled), "num_frames": num_frames})


def write_record(results: Path, record: dict) -> None:
    path = results / paths.RUNS / "hen" / paths.RUN_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record))


@pytest.fixture
def long_video(tmp_path):
    write_frames(tmp_path / "data" / "JPEGImages" / "hen", [90] * 40)
    return tmp_path / "data"


def proposed(text: str) -> int:
    return int(text.split("label frame ")[1].split()[0])


def test_next_proposes_a_frame_where_the_masks_jump(script, long_video, tmp_path, capsys):
    segment(tmp_path / "results")
    assert script(dataset=long_video, next=True) == 0
    text = capsys.readouterr().out
    frame = proposed(text)
    assert 28 <= frame <= 32 and "labelled so far: 5;" in text
    flags = f"--dataset {long_video} --sequences hen --results {tmp_path / 'results'}"
    assert f"finetune_test.py {flags} --guidance 5,{frame}" in text


def test_next_goes_by_the_confidence_that_stage_3_saved(script, long_video, tmp_path, capsys):
    segment(tmp_path / "results")
    confidence = [0.99] * 40
    confidence[17:20] = [0.6] * 3
    path = tmp_path / "results" / paths.RUNS / "hen" / paths.CONFIDENCE_FILE
    path.write_text(json.dumps({"confidence": confidence}))
    script(dataset=long_video, next=True)
    assert 16 <= proposed(capsys.readouterr().out) <= 20


def test_next_does_not_ask_again_for_a_label_made_since(script, long_video, tmp_path, capsys):
    segment(tmp_path / "results")
    write_mask_at = paths.LABELS / "hen" / "00030.png"
    write_mask_at.parent.mkdir(parents=True)
    write_label(write_mask_at, np.eye(24, 32, dtype="uint8"))
    script(dataset=long_video, next=True)
    text = capsys.readouterr().out
    assert proposed(text) != 30 and "labelled so far: 5, 30;" in text


def test_next_without_results_says_what_to_run(script, long_video, tmp_path):
    with pytest.raises(InputError, match=r"hen: --next looks.*finetune_test\.py"):
        script(dataset=long_video, next=True)
    segment(tmp_path / "results", num_frames=30)
    with pytest.raises(InputError, match=r"40 masks.*found 30 masks.*finetune_test\.py"):
        script(dataset=long_video, next=True)
