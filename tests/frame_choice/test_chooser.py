"""Who chooses the frame, the files that say so, and what stage 3 takes from them."""

import keras
import numpy as np
import pytest

import utils.frame_choice.chooser as chooser_module
from models import build_model
from models.bubblenets import VARIANTS, build_bubblenet
from tests.frame_choice_world import REDS, make_chooser, write_frames
from utils import paths
from utils.errors import InputError, UsageError
from utils.files import sha256_of
from utils.frame_choice.chooser import find_selection, load_chooser, rank_video
from utils.frame_choice.rules import write_linear_rule
from utils.frame_choice.selection_files import is_outdated, read_ranking, read_selection
from utils.media.video_writing import write_video
from utils.media.videos import FrameFolder, VideoFile
from utils.training.weights import save_weights


def test_selection_files_are_those_of_the_original(video, both, tmp_path):
    folder = tmp_path / "selection"
    selection = rank_video(video, folder, make_chooser(both))
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
    rank_video(video, tmp_path, make_chooser({"BNLF": reddest, "BN0": reddest}))
    assert (tmp_path / "all.txt").read_text() == "1 suggested annotations for hen\n4\n00004.png\n"


def test_frames_of_any_names_are_found_again(tmp_path, both):
    folder = tmp_path / "hen"
    for red, name in zip(REDS, ("a10", "a9", "b 1", "b 2", "c-3", "ö"), strict=True):
        write_frames(tmp_path / "one", [red])
        folder.mkdir(exist_ok=True)
        (tmp_path / "one" / "00000.png").rename(folder / f"{name}.png")
    video = FrameFolder(folder)
    selection = rank_video(video, tmp_path / "selection", make_chooser(both))
    for name in ("BN0", "BNLF", "rule"):
        [frame] = read_selection(tmp_path / "selection", name, video.frame_names)
        assert frame == selection.rankings[name][0]


def test_of_a_video_file_the_names_are_those_of_its_extracted_frames(tmp_path, both):
    frames = [np.full((48, 64, 3), (red, 60, 90), "uint8") for red in REDS]
    write_video(tmp_path / "clip.mp4", iter(frames), None, 25.0)
    with VideoFile(tmp_path / "clip.mp4") as video:
        rank_video(video, tmp_path / "selection", make_chooser(both))
        assert (tmp_path / "selection" / "BNLF.txt").read_text() == "BNLF\n4\n00004.jpg\n"
        assert read_selection(tmp_path / "selection", "BN0", video.frame_names) == [5]


def test_without_trained_networks_only_the_rule_is_written(video, tmp_path):
    selection = rank_video(video, tmp_path, make_chooser())
    assert sorted(path.name for path in tmp_path.glob("*.txt")) == ["rule.txt"]
    assert selection.frames("BNLF")[0] == 3 and selection.frames("all")[0] == 3


def test_files_of_the_original_stay_where_no_network_is_trained(video, tmp_path):
    (tmp_path / "BN0.txt").write_text("BN0\n1\n00001.png\n")
    (tmp_path / "all.txt").write_text("1 suggested annotations for hen\n1\n00001.png\n")
    rank_video(video, tmp_path, make_chooser())
    assert read_selection(tmp_path, "BN0", video.frame_names) == [1]
    assert read_selection(tmp_path, "all", video.frame_names) == [1]


def test_a_choice_made_from_the_same_is_only_read(video, both, tmp_path, monkeypatch):
    first = rank_video(video, tmp_path, make_chooser(both))
    monkeypatch.setattr(chooser_module, "_rank", lambda *_: pytest.fail("ranked again"))
    again = rank_video(FrameFolder(video.path), tmp_path, make_chooser(both))
    assert not again.is_new and again.rankings == first.rankings


@pytest.mark.parametrize("change", ["weights", "frames", "hand", "lost", "record"])
def test_a_choice_made_from_something_else_is_made_again(video, both, tmp_path, change):
    rank_video(video, tmp_path, make_chooser(both))
    if change == "frames":
        write_frames(video.path, [255])
    elif change == "hand":
        (tmp_path / "BNLF.txt").write_bytes(b"\xff\n1\n00001.png\n")
    elif change == "lost":
        (tmp_path / "all.txt").unlink()
    elif change == "record":
        (tmp_path / paths.SELECTION_RECORD).write_text("[1, 2")
    chooser = make_chooser(both, "b" if change == "weights" else "a")
    selection = rank_video(FrameFolder(video.path), tmp_path, chooser)
    assert selection.is_new
    expected = 0 if change == "frames" else 4
    assert read_selection(tmp_path, "BNLF", video.frame_names) == [expected]
    assert (tmp_path / "all.txt").is_file()


def test_choices_of_networks_that_are_gone_are_gone(video, both, tmp_path):
    rank_video(video, tmp_path, make_chooser(both))
    rank_video(video, tmp_path, make_chooser({"BN0": both["BN0"]}))
    assert sorted(path.stem for path in tmp_path.glob("*.txt")) == ["BN0", "all", "rule"]
    rank_video(video, tmp_path, make_chooser())
    assert sorted(path.stem for path in tmp_path.glob("*.txt")) == ["rule"]


def test_a_selection_of_other_frames_is_outdated(video, tmp_path):
    assert not is_outdated(tmp_path, video.sha256())  # there is none, or one of the original
    rank_video(video, tmp_path, make_chooser())
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


def test_an_outdated_selection_of_a_longer_video_is_no_obstacle(video, tmp_path):
    rank_video(video, tmp_path, make_chooser())
    (tmp_path / "rule.txt").write_text("rule\n99\n00099.png\n")
    with pytest.raises(InputError, match=r"rule\.txt: expected"):
        find_selection(video, tmp_path, ("rule",))
    write_frames(video.path, [255])
    assert find_selection(FrameFolder(video.path), tmp_path, ("rule",)) == ([], "")


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
    monkeypatch.setattr(chooser_module, "SELECTION_PREFERENCE", trusted)
    assert rank_video(video, tmp_path / "both", make_chooser(both)).chosen_by == name
    assert rank_video(video, tmp_path / "none", make_chooser()).chosen_by == "rule"


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
    assert rank_video(video, tmp_path, chooser).reason(selection) == reason


def test_the_whole_ranking_follows_the_choice_in_the_file(video, both, tmp_path):
    selection = rank_video(video, tmp_path, make_chooser(both))
    assert read_ranking(tmp_path, "BNLF", [4]) == selection.rankings["BNLF"]
    assert read_ranking(tmp_path, "BNLF", [2]) == [2]  # a file changed by hand wins
    assert read_ranking(tmp_path, "all", [4, 5]) == [4, 5]
    assert read_ranking(tmp_path / "nowhere", "BNLF", [1]) == [1]
    assert read_ranking(tmp_path / "nowhere", "BNLF", []) == []


# Loading what chooses


def narrow_model(head: str = "deeplab", output_stride: int = 16) -> keras.Model:
    return build_model(head, output_stride, width=0.03)


@pytest.fixture(autouse=True)
def narrow_backbone(monkeypatch):
    monkeypatch.setattr(chooser_module, "build_model", narrow_model)


def save_bubblenet(variant: str, features: str = "xception", sha256: str = "", size: int = 31):
    keras.utils.set_random_seed(1)
    facts = {"head": variant, "features": features, "features_sha256": sha256}
    path = paths.BUBBLENET_WEIGHTS / f"{variant}.safetensors"
    save_weights(build_bubblenet(variant, size), path, facts, half=True)


def test_without_networks_nothing_is_loaded_for_a_rule_of_position(weights_dir, monkeypatch):
    monkeypatch.setattr(chooser_module, "build_model", lambda *_, **__: pytest.fail("built"))
    chooser = load_chooser()
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
    chooser = load_chooser()
    assert chooser.extractor.weights_sha256 == expected
    assert chooser.networks.keys() == {"BN0", "BNLF"}
    video = FrameFolder(write_frames(tmp_path / "hen", REDS))
    selection = rank_video(video, tmp_path / "selection", chooser)
    assert selection.rankings.keys() == {"BN0", "BNLF", "rule"}
    again = load_chooser()
    assert not rank_video(video, tmp_path / "selection", again).is_new


def test_the_chooser_computes_in_float32_whatever_the_run_does(weights_dir):
    keras.utils.set_random_seed(5)
    save_weights(narrow_model(), paths.IMAGENET_WEIGHTS_FILE, {"head": "deeplab"})
    save_bubblenet("BN0", sha256=sha256_of(paths.IMAGENET_WEIGHTS_FILE))
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        chooser = load_chooser()
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")
    assert {layer.compute_dtype for layer in chooser.networks["BN0"].layers} == {"float32"}


def test_features_that_the_networks_do_not_know_are_refused(weights_dir):
    save_bubblenet("BN0", sha256="c" * 64)
    with pytest.raises(UsageError, match="trained on xception"):
        load_chooser("resnet50v2")
    with pytest.raises(InputError, match="sha256 cccccccccccc"):
        load_chooser()
    save_bubblenet("BNLF", "resnet50v2", size=2048)
    with pytest.raises(InputError, match="different features"):
        load_chooser()


def test_imported_networks_want_the_resnet(weights_dir):
    save_bubblenet("BN0", "resnet50v2", size=2048)
    with pytest.raises(InputError, match=r"resnet\.h5"):
        load_chooser()


def test_advice_on_missing_resnet_weights_is_none_that_is_refused(weights_dir):
    """It was --features xception, and that was refused with: Leave --features out."""
    save_bubblenet("BN0", "resnet50v2", size=2048)
    with pytest.raises(InputError, match=r"resnet\.h5: .*, or put back the included networks\.$"):
        load_chooser()
    with pytest.raises(UsageError, match="Leave --features out"):
        load_chooser("xception")


def test_the_linear_rule_is_read_as_it_was_written(weights_dir, monkeypatch):
    with pytest.raises(InputError, match="linear_rule.json"):
        load_chooser(rule="linear")
    write_linear_rule(paths.LINEAR_RULE_FILE, np.arange(6) / 4)
    save_weights(narrow_model(), paths.IMAGENET_WEIGHTS_FILE, {"head": "deeplab"})
    chooser = load_chooser(rule="linear")
    assert chooser.coefficients == (0, 0.25, 0.5, 0.75, 1, 1.25)
    assert chooser.extractor is not None
