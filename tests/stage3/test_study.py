"""Label once, use on many: a saved network on another video, and one network for several."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

import export
import finetune_test
from finetune_test import Config
from tests.stage3_world import NUM_FRAMES, animal, as_palette, frame, tiny_network
from utils import paths
from utils.errors import InputError, UsageError
from utils.evaluation.results import State, list_results, open_input, open_segmented
from utils.media.labels import write_label
from utils.stage3 import find_animals, pipeline, together, window
from utils.stage3.fine_tuning import FineTuner
from utils.stage3.saved_network import SavedNetwork, network_facts, tuned_on_video
from utils.training.weights import read_weights, save_weights

pytestmark = pytest.mark.usefixtures("small_stage3")


@pytest.fixture
def no_training(monkeypatch):
    return lambda: monkeypatch.setattr(
        FineTuner, "fit", lambda *_, **__: pytest.fail("training began")
    )


@pytest.fixture
def saved(world):
    """The network of a video, `hen`, whose masks are then removed."""
    world.add("hen")
    assert world.run(sequences=("hen",), save_weights=True) == 0
    return paths.FINE_TUNE_WEIGHTS / "hen" / "deeplab.safetensors"


def overlap(mask, truth):
    return (mask & truth).sum() / (mask | truth).sum()


def use(world, saved, name="cock", **flags):
    flags = {"weights": None, "sequences": (name,), "fine_tuned": saved, **flags}
    return world.run(**flags)


# A saved network on another video


def test_a_saved_network_segments_a_video_without_a_label_and_without_training(
    world, saved, no_training
):
    world.add("cock", frames=5, labelled=())
    no_training()
    assert use(world, saved) == 0
    for index, mask in enumerate(world.masks("cock")):
        assert overlap(mask == 1, animal(index) == 1) > 0.6, index
    record = world.record("cock")
    assert record["labelled_frames"] == [] and record["guidance"] == "no label"
    assert record["animals"] == [1] and record["found_in"][0] in range(5)
    assert record["seconds"]["steps"] == 0 and record["losses"] == {}


def test_run_json_names_the_network_and_what_it_was_tuned_on(world, saved):
    world.add("cock", frames=3, labelled=())
    use(world, saved)
    record = world.record("cock")
    hen = world.record("hen")
    assert record["weights"] == record["network"]["file"] == str(saved)
    assert record["network"]["sha256"] == record["key"]["sha256"]["weights"]
    assert record["network"]["tuned_on"] == [
        {"video": "hen", "frames": [2], "animals": [1], "sha256": hen["key"]["sha256"]["frames"]}
    ]
    assert hen["network"] is None and hen["found_in"] is None


def test_a_saved_network_records_preset_and_versions(saved):
    _, facts = read_weights(saved)
    assert facts["stage"] == "fine_tune" and facts["preset"] == "fast"
    assert json.loads(facts["versions"]).keys() == {"backend", "backend_version", "keras"}
    assert float(facts["zoom"]) >= 1


def test_a_network_of_a_video_whose_name_is_not_utf8_is_saved(tmp_path):
    tuned_on = [tuned_on_video("caf\udce9", [2], [1], "hash")]
    facts = network_facts("deeplab", "fast", tuned_on, 1.0)
    path = tmp_path / "deeplab.safetensors"
    save_weights(tiny_network(), path, facts)
    network = SavedNetwork(path, read_weights(path)[1])
    assert network.tuned_on == tuned_on and network.facts["data"] == r"caf\udce9"


def test_with_a_label_fine_tuning_continues_from_the_saved_network(world, saved):
    world.add("cock", frames=3, labelled=(1,))
    assert use(world, saved, save_weights=True) == 0
    record = world.record("cock")
    assert record["labelled_frames"] == [1] and record["seconds"]["steps"] == 8
    assert record["losses"]["1"][0] < world.record("hen")["losses"]["1"][0]
    _, facts = read_weights(paths.FINE_TUNE_WEIGHTS / "cock" / "deeplab.safetensors")
    assert [entry["video"] for entry in json.loads(facts["tuned_on"])] == ["hen", "cock"]


def test_no_frame_is_marked_as_labelled_where_the_network_found_the_animals(world, monkeypatch):
    world.add("ant", frames=2, labelled=(1,)).add("bee", frames=2, labelled=())
    real, marked = pipeline.write_overlays, {}

    def write_overlays(folder, aside, video, mask_of, labelled, **options):
        marked[video.name] = labelled
        return real(folder, aside, video, mask_of, labelled, **options)

    monkeypatch.setattr(pipeline, "write_overlays", write_overlays)
    assert world.run(together=True) == 0
    assert marked == {"ant": [1], "bee": []}


@pytest.mark.parametrize("guidance, frame", [("1", 1), ("first", 0), ("middle", 3), ("last", 5)])
@pytest.mark.parametrize("flag", ["fine_tuned", "together"])
def test_a_frame_that_is_named_needs_its_label(world, flag, guidance, frame):
    flags = {"together": True}
    if flag == "fine_tuned":
        path = world.root / "deeplab.safetensors"
        save_weights(tiny_network(), path, {"stage": "fine_tune", "head": "deeplab"})
        flags = {"fine_tuned": path, "weights": None}
    world.add("cock", labelled=())
    with pytest.raises(InputError, match=rf"frame {frame} \(--guidance {guidance}\) has no label"):
        world.run(guidance=guidance, dry_run=True, **flags)


def test_guidance_none_uses_no_label_where_there_is_one(world, saved, no_training):
    world.add("cock", labelled=range(NUM_FRAMES))
    no_training()
    assert use(world, saved, guidance="none") == 0
    scores = world.record("cock")["scores"]
    assert scores["protocol"] == "no label" and scores["J-Mean"] > 0.6


def test_every_animal_that_is_found_gets_a_number_and_a_track(world, no_training):
    network = add_pair_and_learn_hen(world)
    no_training()
    assert use(world, network, "pair") == 0
    record, masks = world.record("pair"), world.masks("pair")
    assert record["animals"] == [1, 2]
    for index, mask in enumerate(masks):
        truth = two_apart(index)
        assert overlap(mask == 1, truth == 1) > 0.5, index
        assert overlap(mask == 2, truth == 2) > 0.5, index


def test_of_the_animals_that_are_found_no_more_are_followed_than_there_are(world, no_training):
    network = add_pair_and_learn_hen(world)
    no_training()
    assert use(world, network, "pair", animals=1) == 0
    assert world.record("pair")["animals"] == [1]
    for index, mask in enumerate(world.masks("pair")):
        assert overlap(mask > 0, two_apart(index) == 1) > 0.5, index


def add_pair_and_learn_hen(world):
    """Adds `pair`, two red animals without a label, and returns the network of `hen`."""
    for index in range(NUM_FRAMES):
        world.write_frame("pair", f"{index:05d}.png", frame_of_red_pair(index))
    world.add("hen")
    world.run(sequences=("hen",), save_weights=True)
    return paths.FINE_TUNE_WEIGHTS / "hen" / "deeplab.safetensors"


def two_apart(index):
    """Two animals of one colour, one above the other; the first is larger."""
    mask = np.zeros_like(animal(index))
    mask[4:22, 6 + 4 * index : 28 + 4 * index] = 1
    mask[32:46, 34 - 4 * index : 58 - 4 * index] = 2
    return mask


def frame_of_red_pair(index):
    rng = np.random.default_rng(index)
    image = rng.integers(60, 90, (*animal(index).shape, 3)).astype("uint8")
    image[two_apart(index) > 0] = (230, 60, 40)
    return image


def test_a_video_in_which_nothing_is_found_is_reported_and_the_others_are_done(
    world, saved, capsys
):
    for index in range(3):
        grey = np.full((48, 64, 3), 75, "uint8")
        world.write_frame("ant", f"{index:05d}.png", grey)
    world.add("cock", frames=2, labelled=())
    assert use(world, saved, sequences=("ant", "cock")) == 1
    assert "error: ant: ant: the network" in capsys.readouterr().out
    assert len(world.mask_paths("cock")) == 2 and not world.mask_paths("ant")


def test_a_finished_video_without_a_label_is_skipped_also_with_save_weights(
    world, saved, monkeypatch
):
    world.add("cock", frames=2, labelled=())
    use(world, saved)
    monkeypatch.setattr(finetune_test, "segment", lambda *_: pytest.fail("done again"))
    assert use(world, saved) == 0 and use(world, saved, save_weights=True) == 0


def test_a_run_without_a_label_that_was_cut_off_continues_to_the_same_masks(world, saved):
    world.add("cock", frames=4, labelled=())
    flags = {"weights": None, "sequences": ("cock",), "fine_tuned": saved}
    use(world, saved)
    expected = world.masks("cock")
    for calls in (2, 6):  # while the animals are looked for, and while they are followed
        world.results = world.root / f"again{calls}"
        world.run_cut_off(window, "predict_probability", calls, **flags)
        assert world.run(**flags) == 0
        np.testing.assert_array_equal(world.masks("cock"), expected)


def test_frames_that_were_looked_at_before_a_kill_are_not_looked_at_again(
    world, saved, monkeypatch, capsys
):
    world.add("cock", frames=4, labelled=())
    flags = {"weights": None, "sequences": ("cock",), "fine_tuned": saved}
    world.run_cut_off(find_animals, "clearest_frame", 0, **flags)
    monkeypatch.setattr(
        find_animals.WindowedView, "whole", lambda *_: pytest.fail("looked at again")
    )
    monkeypatch.setattr(find_animals, "clearest_frame", lambda *_: None)
    assert world.run(**flags) == 1
    assert "finds no animal in the 4 frames" in capsys.readouterr().out


def test_weights_of_another_stage_are_no_saved_network(world):
    world.add("cock", labelled=())
    with pytest.raises(InputError, match="expected a network that --save-weights kept"):
        use(world, world.weights)


@pytest.mark.parametrize(
    "flags, message",
    [
        ({"guidance": "none"}, "--fine-tuned"),
        (
            {"guidance": "none", "fine_tuned": "a", "label": ("00002.png",)},
            "--label does not go with --guidance none",
        ),
        (
            {"guidance": "none", "fine_tuned": "a", "save_weights": True},
            "--save-weights does not go with --guidance none",
        ),
        ({"fine_tuned": "a", "weights": "b"}, "Give one of them"),
        ({"together": True, "shard": "1/2"}, "--together --save-weights"),
    ],
)
def test_flags_that_exclude_each_other_are_usage_errors(flags, message):
    with pytest.raises(UsageError, match=message):
        finetune_test.main(Config(**flags))


def test_a_dry_run_says_that_no_label_is_used(world, saved, capsys):
    world.add("cock", frames=2, labelled=())
    before = world.listing()
    assert use(world, saved, dry_run=True) == 0
    assert "cock: 2 frames of 48x64, no label" in capsys.readouterr().out
    assert world.listing() == before


def leaving(index):
    """Two animals of one colour, of which the first and larger one leaves the picture."""
    mask = np.zeros_like(animal(index))
    mask[4:22, max(0, 8 - 4 * index) : max(0, 30 - 4 * index)] = 1
    mask[30:46, 40:62] = 2
    return mask


def add_leaving(world, labelled=()):
    """Adds `pair`, and `hen`, whose label any network learns."""
    for index in range(16):
        image = np.random.default_rng(index).integers(60, 90, (48, 64, 3)).astype("uint8")
        image[leaving(index) > 0] = (230, 60, 40)
        world.write_frame("pair", f"{index:05d}.png", image)
    for index in labelled:
        world.write_label("pair", index, as_palette(leaving(index)))
    return world.add("hen")


@pytest.mark.parametrize("labelled", [(), (0,)])
def test_an_animal_that_has_left_does_not_take_over_another_ones_mask(world, labelled):
    """To the one network both are animals, so whatever is near enough continued the lost one."""
    add_leaving(world, labelled)
    assert world.run(together=True) == 0
    assert world.record("pair")["seconds"]["frames"] == 16
    assert world.record("pair")["key"]["sharing"]["pixels"] == 0.25
    assert "sharing" not in world.record("hen")["key"]
    for index, mask in enumerate(world.masks("pair")):
        truth = leaving(index)
        assert overlap(mask == 2, truth == 2) > 0.6, index
        assert np.mean(mask[truth == 2] == 1) < 0.1, index


@pytest.mark.parametrize("calls", [4, 20])  # while they are looked for, and while followed
def test_several_animals_without_a_label_that_were_cut_off_have_the_same_masks(world, saved, calls):
    add_leaving(world)
    use(world, saved, "pair")
    expected = world.masks("pair")
    world.results = world.root / "again"
    flags = {"weights": None, "sequences": ("pair",), "fine_tuned": saved}
    world.run_cut_off(window, "predict_probability", calls, **flags)
    assert world.run(**flags) == 0
    np.testing.assert_array_equal(world.masks("pair"), expected)
    assert set(world.record("pair")["animals"]) == {1, 2}


def test_the_network_of_several_videos_does_not_depend_on_how_animals_are_followed(
    world, no_training
):
    add_leaving(world, (0,))
    world.run(together=True)
    no_training()
    world.run(together=True, networks="each")
    assert "sharing" not in world.record("pair")["key"]
    assert world.record("pair")["seconds"]["frames"] == 2 * 16


def test_how_animals_that_were_found_are_followed_is_in_the_key_of_several(
    world, saved, no_training, monkeypatch
):
    add_leaving(world)
    world.add("cock", frames=2, labelled=())
    no_training()
    names = ("pair", "cock")
    for networks in ("each", "auto"):
        assert use(world, saved, sequences=names, networks=networks) == 0
        is_shared = ["sharing" in world.record(name)["key"] for name in names]
        assert is_shared == [networks == "auto", False]
    assert len(world.record("pair")["animals"]) == 2
    monkeypatch.setattr(finetune_test, "segment", lambda *_: pytest.fail("done again"))
    assert use(world, saved, sequences=names) == 0
    assert use(world, saved, "cock", networks="each") == 0
    with pytest.raises(pytest.fail.Exception, match="done again"):
        use(world, saved, "pair", networks="each")


# One network for several videos


def test_one_network_is_trained_once_and_segments_videos_with_and_without_a_label(
    world, monkeypatch
):
    world.add("ant").add("bee", labelled=(4,)).add("cat", frames=4, labelled=())
    real, fits = FineTuner.fit, []

    def fit(self, frames, *arguments, **options):
        fits.append(len(frames))
        return real(self, frames, *arguments, **options)

    monkeypatch.setattr(FineTuner, "fit", fit)
    assert world.run(together=True) == 0
    assert fits == [2]
    for name, frames in (("ant", NUM_FRAMES), ("bee", NUM_FRAMES), ("cat", 4)):
        masks = world.masks(name)
        assert len(masks) == frames
        for index, mask in enumerate(masks):
            assert overlap(mask == 1, animal(index) == 1) > 0.6, (name, index)
        tuned_on = world.record(name)["network"]["tuned_on"]
        assert [entry["video"] for entry in tuned_on] == ["ant", "bee"]
    assert world.record("cat")["labelled_frames"] == []
    assert world.record("bee")["labelled_frames"] == [4]


def test_all_labels_of_a_video_are_learnt_together(world):
    """One of them was taken, so that a further label took the place of the first."""
    world.add("ant", labelled=()).add("bee", frames=2, labelled=())
    for index in (1, 4):
        write_label(paths.LABELS / "ant" / f"{index:05d}.png", animal(index))
    assert world.run(together=True) == 0
    assert world.record("ant")["labelled_frames"] == [1, 4]
    (tuned_on,) = world.record("bee")["network"]["tuned_on"]
    assert tuned_on["frames"] == [1, 4]


def test_a_further_video_without_a_label_costs_no_training(world, no_training):
    world.add("ant").add("bee", frames=2, labelled=())
    world.run(together=True)
    expected = world.masks("bee")
    world.add("cat", frames=3, labelled=())
    no_training()
    assert world.run(together=True) == 0
    assert len(world.masks("cat")) == 3
    np.testing.assert_array_equal(world.masks("bee"), expected)


def test_a_further_label_redoes_all_videos(world):
    world.add("ant").add("bee", frames=3, labelled=())
    world.run(together=True)
    world.write_label("bee", 1)
    assert world.run(together=True) == 0
    for name in ("ant", "bee"):
        tuned_on = world.record(name)["network"]["tuned_on"]
        assert [entry["video"] for entry in tuned_on] == ["ant", "bee"]


def test_a_video_that_may_have_a_label_is_not_left_out(world, no_training, capsys):
    """The network was learnt anew without it, and all videos were segmented again."""
    world.add("ant", frames=2, labelled=(1,)).add("bee", frames=2, labelled=())
    made = paths.LABELS / "bee" / "00001.png"
    write_label(made, animal(1))
    world.run(together=True)
    before = world.listing()
    no_training()
    made.write_bytes(made.read_bytes()[:40])
    with pytest.raises(InputError, match="--together: bee cannot be used, .* may have a label"):
        world.run(together=True)
    assert "error: bee: " in capsys.readouterr().out
    assert world.listing() == before
    shutil.rmtree(made.parent)
    world.annotation("ant", 1).write_bytes(b"")
    with pytest.raises(InputError, match="--together: ant cannot be used, .* may have a label"):
        world.run(together=True, dry_run=True)


def test_a_broken_video_without_a_label_keeps_no_other_from_being_segmented(world):
    world.add("ant", frames=2, labelled=(1,)).add("bee", frames=2, labelled=())
    (world.frames("bee") / "00001.png").write_bytes(b"broken")
    assert world.run(together=True) == 1
    assert len(world.mask_paths("ant")) == 2


def test_where_no_video_can_be_used_together_the_reasons_are_above(world, capsys):
    world.add("ant", frames=2, labelled=()).add("bee", frames=2, labelled=())
    with pytest.raises(InputError, match="--together: none of the videos can be used, see above"):
        world.run(together=True, guidance="first")
    out = capsys.readouterr().out
    assert "error: ant: " in out and "error: bee: " in out


def test_finished_videos_are_skipped_without_training(world, no_training, monkeypatch):
    world.add("ant", frames=2, labelled=(1,)).add("bee", frames=2, labelled=())
    world.run(together=True)
    no_training()
    monkeypatch.setattr(finetune_test, "segment", lambda *_: pytest.fail("done again"))
    assert world.run(together=True) == 0


def test_a_run_together_that_was_cut_off_continues_without_training_again(world, no_training):
    world.add("ant", frames=3, labelled=(1,)).add("bee", frames=3, labelled=())
    world.run(together=True)
    expected = world.masks("bee")
    world.results = world.root / "again"
    world.run_cut_off(window, "predict_probability", 2, together=True)
    no_training()
    assert world.run(together=True) == 0
    np.testing.assert_array_equal(world.masks("bee"), expected)


def test_overwrite_together_that_was_cut_off_in_training_redoes_all_videos(world):
    world.add("ant", frames=2, labelled=(1,)).add("bee", frames=2, labelled=())
    world.run(together=True)
    world.run_cut_off(together, "choose_zoom", together=True, overwrite=True)
    records = [world.results / "runs" / name / "run.json" for name in ("ant", "bee")]
    before = [path.stat().st_mtime_ns for path in records]
    assert world.run(together=True) == 0
    after = [path.stat().st_mtime_ns for path in records]
    assert all(new > old for new, old in zip(after, before, strict=True))


def test_save_weights_keeps_the_network_of_all_videos_for_others(world, no_training):
    world.add("ant", labelled=(1, 3)).add("bee", labelled=(4,))
    assert world.run(together=True, save_weights=True, guidance="auto") == 0
    kept = paths.FINE_TUNE_WEIGHTS / "together" / "deeplab.safetensors"
    world.add("cat", frames=3, labelled=())
    no_training()
    assert use(world, kept, "cat") == 0
    assert len(world.masks("cat")) == 3


@pytest.mark.parametrize("copied", [0, 1])
def test_keeping_a_network_that_is_cut_off_never_leaves_a_damaged_one(
    tmp_path, monkeypatch, copied
):
    """`copied` files are whole; after the weights, the manifest of the network before is there."""
    old, new = (network_of(tmp_path / name, value) for name, value in (("a", 1), ("b", 2)))
    kept = together.keep_network(old)
    real, done = together.shutil.copyfile, []

    def copy_half(source, target):
        if len(done) < copied:
            done.append(real(source, target))
            return
        target.write_bytes(source.read_bytes()[:100])
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(together.shutil, "copyfile", copy_half)
        together.keep_network(new)
    if copied:
        with pytest.raises(InputError, match="damaged or was replaced"):
            read_weights(kept)
    else:
        assert read_weights(kept)[1]["sha256"] == old.sha256
    assert read_weights(together.keep_network(new))[1]["sha256"] == new.sha256


def network_of(folder, value):
    """A saved network of which every number is `value`."""
    model, path = tiny_network(), folder / "deeplab.safetensors"
    for variable in model.weights:
        variable.assign(np.full(variable.shape, value))
    return SavedNetwork(path, {"sha256": save_weights(model, path, {"head": "deeplab"})})


def test_without_any_label_together_says_so(world):
    world.add("ant", labelled=()).add("bee", labelled=())
    with pytest.raises(InputError, match="a label of at least one of these videos"):
        world.run(together=True)


def test_the_network_of_all_videos_is_no_video(world):
    world.add("ant", frames=2, labelled=(1,)).add("bee", frames=2, labelled=())
    world.run(together=True)
    assert list_results(world.results) == ["ant", "bee"]


# Videos as they come from cameras


def test_a_part_of_a_video_keeps_the_numbers_of_the_whole(world):
    world.add("hen", labelled=(1, 4))
    assert world.run(frames="3:6") == 0
    assert [path.name for path in world.mask_paths()] == ["00003.png", "00004.png", "00005.png"]
    for index, mask in enumerate(world.masks(), start=3):
        assert overlap(mask == 1, animal(index) == 1) > 0.6, index
    record = world.record()
    assert record["labelled_frames"] == [4] and record["part"] == [3, 6]
    video = open_segmented(world.results, "hen")
    assert video.labelled_frames == [1] and video.state is State.FINISHED
    with open_input(video) as frames:
        np.testing.assert_array_equal(frames.read(1), frame(4))
    assert export.main(export.Config("csv", results=world.results)) == 0
    rows = (world.results / "export" / "csv" / "hen.csv").read_text().splitlines()[1:]
    assert [row.split(",")[0] for row in rows] == ["3", "4", "5"]


def test_a_part_before_the_trigger_of_the_camera_is_in_the_order_of_its_frames(world):
    """Without the frame of number 0, the minus of its names was taken for a hyphen."""
    for index in range(NUM_FRAMES):
        world.write_frame("hen", f"frame_{index - 4}.png", frame(index))
    Image.fromarray(animal(1) * np.uint8(255)).save(world.root / "frame_-3.png")
    label = (world.root / "frame_-3.png",)
    assert world.run(frames="0:3", video=(world.frames(),), label=label) == 0
    video = open_segmented(world.results, "hen")
    assert video.frame_names == ("frame_-4", "frame_-3", "frame_-2")
    with open_input(video) as frames:
        np.testing.assert_array_equal(frames.read(2), frame(2))


def test_guidance_names_a_frame_of_the_whole(world):
    world.add("hen", labelled=(1, 3, 4))
    assert world.run(frames="2:5", guidance="3") == 0
    assert world.record()["labelled_frames"] == [3]
    with pytest.raises(InputError, match="there is no frame 1, the video has frames 2 to 4"):
        world.run(frames="2:5", guidance="1")


def test_a_label_outside_of_the_part_is_refused_by_name(world):
    world.add("hen")
    label = world.annotation("hen", 2)
    with pytest.raises(InputError, match="labels frame 2, which is not in the part"):
        world.run(frames="3:", video=(world.frames("hen"),), label=(label,))


def test_a_label_that_guidance_assigns_belongs_to_a_frame_of_the_part(world):
    world.add("hen", labelled=())
    label = world.root / "mask.png"
    write_label(label, animal(2))
    flags = {"video": (world.frames("hen"),), "label": (label,), "guidance": "first"}
    assert world.run(frames="2:4", **flags) == 0
    assert world.record()["labelled_frames"] == [2]


def test_the_same_part_is_skipped_and_another_one_is_segmented(world, monkeypatch):
    world.add("hen")
    world.run(frames="1:4")
    with monkeypatch.context() as patched:
        patched.setattr(finetune_test, "segment", lambda *_: pytest.fail("done again"))
        assert world.run(frames="1:4") == 0
    assert world.run(frames="1:5") == 0
    assert len(world.mask_paths()) == 4


def test_a_part_that_is_the_whole_video_is_no_part(world, stop_at_work):
    """It was segmented again, and had no scores."""
    world.add("hen")
    world.run()
    stop_at_work()
    for part in ("0:", ":", f"0:{NUM_FRAMES}"):
        assert world.run(frames=part) == 0


def test_the_masks_of_another_part_are_not_called_those_of_another_video(world, capsys):
    world.add("hen")
    world.run()
    world.run(frames="1:4", dry_run=True)
    out = capsys.readouterr().out
    assert f"hen: replaces the masks of frames 0 to {NUM_FRAMES - 1} of this video" in out
    world.run(frames="0:3")
    world.run(dry_run=True)
    out = capsys.readouterr().out
    assert "hen: replaces the masks of frames 0 to 2 of this video" in out
    assert "another video" not in out


def night(index):
    return np.full_like(frame(index), 15) + np.uint8(index)


def add_cut(world, name="cut"):
    for index in range(NUM_FRAMES):
        image = frame(index) if index < 4 else night(index)
        world.write_frame(name, f"{index:05d}.png", image)
    world.write_label(name, 2)


def test_a_video_of_several_shots_is_refused_with_their_times(world):
    add_cut(world)
    with pytest.raises(InputError, match=r"00004.png \(frame 4\).*--frames 0:4"):
        world.run()
    assert world.run(frames="0:4") == 0
    assert world.run(shot_changes="ignore") == 0
    assert len(world.mask_paths("cut")) == NUM_FRAMES


def test_all_videos_are_listed_before_anything_is_trained(world, monkeypatch, capsys):
    world.add("ant").add("bee", labelled=(4,)).add("cow", labelled=())
    add_cut(world)
    for index in range(3):
        world.write_frame("owl", f"{index:05d}.png", frame(index) // 30)
    world.write_label("owl", 1)
    (world.frames("ant") / "00003.png").write_bytes(b"broken")
    texts = []

    def fit(*_, **__):
        texts.append(capsys.readouterr().out)
        raise InputError("stopped here")

    monkeypatch.setattr(FineTuner, "fit", fit)
    assert world.run() == 1
    table = [line.split() for line in texts[0].splitlines()]
    states = {line[0]: line[1] for line in table if line and line[0] in "ant bee cow cut owl"}
    assert states == {
        "bee": "usable", "owl": "dark", "ant": "cannot", "cow": "cannot", "cut": "cannot"
    }  # fmt: skip
    assert "minute in all" in texts[0]


def test_videos_of_one_file_name_have_their_own_results(world):
    for day, labelled in (("day1", 1), ("day2", 2)):
        folder = world.root / day / "GX1"
        for index in range(3):
            path = folder / f"{index:05d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(frame(index)).save(path)
        label = paths.LABELS / f"{day}_GX1" / f"{labelled:05d}.png"
        label.parent.mkdir(parents=True)
        Image.fromarray(animal(labelled) * np.uint8(255)).save(label)
    videos = tuple(world.root / day / "GX1" for day in ("day1", "day2"))
    assert world.run(video=videos) == 0
    assert world.record("day1_GX1")["labelled_frames"] == [1]
    assert world.record("day2_GX1")["labelled_frames"] == [2]
    assert world.run(video=videos[:1], name="day1_GX1") == 0  # the same run, finished before
