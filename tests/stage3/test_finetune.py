"""finetune_test.py: a generated video and one label in, a mask per frame out; odd and bad input."""

import errno
import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

import finetune_test
from finetune_test import Config
from tests.stage3_world import HEIGHT, NUM_FRAMES, WIDTH, World, animal, frame, tiny_network
from utils import console, files, paths
from utils.command_line import parse_config
from utils.errors import InputError, UsageError
from utils.frame_choice.chooser import Chooser
from utils.inputs.guidance import read_labels
from utils.media.images import open_image
from utils.media.labels import davis_palette
from utils.media.video_writing import write_video
from utils.media.videos import FrameFolder, VideoFile
from utils.stage3 import partial_run, pipeline, window
from utils.stage3.correction_files import Correction, Corrections, MaskFolder
from utils.stage3.corrections import Redraw
from utils.stage3.fine_tuning import FineTuner
from utils.training.weights import save_weights

pytestmark = pytest.mark.usefixtures("small_stage3")


@pytest.fixture
def no_training(monkeypatch):
    monkeypatch.setattr(FineTuner, "fit", lambda *_, **__: pytest.fail("training began"))


class RedoneError(Exception):
    """Raised where a video's segmentation would begin."""


@pytest.fixture
def stop_at_work(monkeypatch):
    """Call it, and a video that is not skipped raises RedoneError."""

    def raise_error(*_, **__):
        raise RedoneError

    return lambda: monkeypatch.setattr(finetune_test, "segment", raise_error)


# What a run writes


def test_every_frame_before_and_after_the_label_gets_its_mask(world):
    world.add()
    assert world.run() == 0
    assert [path.name for path in world.mask_paths()] == [f"{i:05d}.png" for i in range(NUM_FRAMES)]
    masks = world.masks()
    assert masks.shape == (NUM_FRAMES, HEIGHT, WIDTH)
    for index, mask in enumerate(masks):
        truth = animal(index).astype(bool)
        overlap = (mask.astype(bool) & truth).sum() / (mask.astype(bool) | truth).sum()
        assert overlap > 0.6, (index, overlap)

    overlay = world.results / "overlay"
    assert sorted(path.name for path in overlay.iterdir()) == ["hen.mp4", "hen.png"]
    assert len(VideoFile(overlay / "hen.mp4")) == NUM_FRAMES
    assert {path.name for path in world.results.iterdir()} == {"segmentation", "overlay", "runs"}
    runs = (world.results / "runs" / "hen").iterdir()
    assert sorted(path.name for path in runs) == ["confidence.json", "run.json"]
    assert not [path for path in world.results.rglob(".*")]


def test_run_json_says_what_was_run(world):
    world.add()
    world.run(seed=5)
    record = world.record()
    assert record["sequence"] == "hen" and record["num_frames"] == NUM_FRAMES
    assert record["size"] == [HEIGHT, WIDTH] and record["labelled_frames"] == [2]
    assert record["guidance"] == "the only labelled frame"
    assert record["scores"] is None
    key = record["key"]
    assert (key["seed"], key["head"], key["precision"]) == (5, "deeplab", "float32")
    assert key["preset"]["fine_tuning"]["steps"] == 8
    assert len(key["sha256"]["weights"]) == len(key["sha256"]["frames"]) == 64
    assert list(key["sha256"]["labels"]) == ["2"]
    for name in ("backend", "backend_version", "keras", "numpy", "python"):
        assert record["environment"][name]
    assert record["git_commit"] and record["started"] <= record["ended"]
    seconds = record["seconds"]
    assert seconds["steps"] == 8 and seconds["frames"] == NUM_FRAMES
    assert seconds["per_step"] > 0 and seconds["per_frame"] > 0 and seconds["total"] > 0
    assert record["peak_memory_mib"] > 0 or sys.platform == "win32"
    assert len(record["losses"]["1"]) == 4 and record["animals"] == [1]


def test_other_annotations_are_scored(world, capsys):
    world.add(labelled=range(NUM_FRAMES))
    assert world.run(guidance="first") == 0
    scores = world.record()["scores"]
    assert scores["protocol"] == "first" and scores["num_scored"] == NUM_FRAMES - 2
    assert 0.6 < scores["J-Mean"] <= 1
    assert "J " in capsys.readouterr().out


def test_scores_of_masks_that_a_person_corrected_say_so(world, capsys):
    world.add(labelled=range(NUM_FRAMES))
    world.run(guidance="first")
    video = FrameFolder(world.frames(), "hen")
    masks = MaskFolder(world.results, "hen", video.frame_names, (1,), video.sha256())
    corrections = Corrections(masks)
    corrections.keep_pixels(1, 3, animal(3))
    corrections.entries.append(Correction(1, Redraw((1,), 3, 3, drawn=3), frozenset([3])))
    corrections.save()
    assert "corrections" not in world.record()["scores"]
    capsys.readouterr()
    world.run(guidance="first", overwrite=True)
    np.testing.assert_array_equal(world.masks()[3], animal(3))
    assert world.record()["scores"]["corrections"] == "1 correction by hand in frame 3"
    note = "hen: these are scores of corrected masks: 1 correction by hand in frame 3."
    assert note in capsys.readouterr().out


def test_annotations_are_opened_only_after_all_masks_are_written(world, monkeypatch):
    world.add(labelled=range(NUM_FRAMES))
    opened = []

    def spy(path, real=open_image):
        if "Annotations" in path.parts:
            opened.append((path.stem, len(world.mask_paths())))
        return real(path)

    monkeypatch.setattr("utils.media.label_content.open_image", spy)
    world.run(guidance="2")
    others = [number for stem, number in opened if stem != "00002"]
    assert ("00002", 0) in opened and len(others) >= NUM_FRAMES - 3
    assert set(others) == {NUM_FRAMES}


def test_masks_are_written_even_if_annotations_are_unreadable(world, capsys):
    world.add(labelled=range(NUM_FRAMES))
    for index in (0, 1, 3, 4, 5):
        world.annotation(index=index).write_bytes(b"no image")
    assert world.run(guidance="2") == 0
    assert "hen: not scored: " in capsys.readouterr().out
    assert len(world.mask_paths()) == NUM_FRAMES and world.masks().any()


def test_without_arguments_and_data_set_the_sample_is_segmented(world, monkeypatch, capsys):
    world.add()
    monkeypatch.setattr(paths, "FINETUNE_TEST_DATASET", world.root / "nothing")
    monkeypatch.setattr(paths, "SAMPLE_DATASET", world.dataset)
    assert world.run(dataset=None) == 0
    assert "holds no videos: running on the sample" in capsys.readouterr().out
    assert world.mask_paths()


# Same input, same masks


def test_the_same_seed_gives_the_same_masks_bit_for_bit(world):
    world.add()
    world.run(seed=1)
    first = [path.read_bytes() for path in world.mask_paths()]
    world.run(seed=1, overwrite=True)
    assert [path.read_bytes() for path in world.mask_paths()] == first


def test_the_order_of_videos_does_not_change_their_masks(world):
    world.add("ant").add("bee", labelled=(4,))
    world.run()
    together = world.masks("bee")
    world.results = world.root / "alone"
    world.run(sequences=("bee",))
    np.testing.assert_array_equal(world.masks("bee"), together)


@pytest.mark.parametrize(
    "module, function, calls",
    [
        (window, "predict_probability", 0),
        (window, "predict_probability", 3),
        (pipeline, "write_label", 2),
        (finetune_test, "write_json", 0),
    ],
)
def test_a_run_that_was_cut_off_continues_to_the_same_masks(
    world, monkeypatch, module, function, calls
):
    world.add()
    world.run()
    expected = world.masks()
    world.results = world.root / "again"
    world.run_cut_off(module, function, calls)
    assert not (world.results / "runs" / "hen" / "run.json").exists()
    assert (world.results / "runs" / "hen" / "partial" / "fine_tuned_1.safetensors").exists()
    with monkeypatch.context() as patched:  # what was learnt is not learnt again
        patched.setattr(FineTuner, "fit", lambda *_, **__: pytest.fail("trained again"))
        assert world.run() == 0
    np.testing.assert_array_equal(world.masks(), expected)
    assert not (world.results / "runs" / "hen" / "partial").exists()


def test_training_that_was_cut_off_continues_to_the_same_masks(world, monkeypatch):
    world.add()
    world.run()
    expected = world.masks()
    world.results = world.root / "again"

    def stop_in_the_third_epoch(title, steps, done):
        def on_epoch_begin(epoch, logs):
            if epoch == 2:
                raise KeyboardInterrupt

        return [keras.callbacks.LambdaCallback(on_epoch_begin=on_epoch_begin)]

    with monkeypatch.context() as patched:
        patched.setattr(console, "training_progress", stop_in_the_third_epoch)
        with pytest.raises(KeyboardInterrupt):
            world.run()
    assert (world.results / "runs" / "hen" / "partial" / "training_1.npz").exists()
    assert world.run() == 0
    assert world.record()["seconds"]["steps"] == 4
    np.testing.assert_array_equal(world.masks(), expected)


def test_an_unfinished_run_is_not_continued_after_a_change(world):
    world.add()
    world.run(seed=1)
    expected = world.masks()
    world.results = world.root / "again"
    world.run_cut_off(window, "predict_probability", seed=2)
    world.run(seed=1)
    assert world.record()["seconds"]["steps"] == 8
    np.testing.assert_array_equal(world.masks(), expected)


def test_overwrite_starts_an_unfinished_run_afresh(world):
    world.add()
    world.run_cut_off(window, "predict_probability")
    assert (world.results / "runs/hen/partial/fine_tuned_1.safetensors").exists()
    assert world.run(overwrite=True) == 0
    assert world.record()["seconds"]["steps"] == 8  # none of them by the run that was cut off


def test_other_code_does_not_continue_an_unfinished_run(world, monkeypatch):
    world.add()
    world.run_cut_off(window, "predict_probability")
    monkeypatch.setattr(partial_run, "code_digest", lambda: "of a later version")
    world.run()
    assert world.record()["seconds"]["steps"] == 8


def test_weights_are_checked_before_any_video_is_decoded(world, monkeypatch):
    world.add()
    monkeypatch.setattr(FrameFolder, "check", lambda _: pytest.fail("a video was decoded"))
    monkeypatch.setattr(FrameFolder, "sha256", lambda _: pytest.fail("a video was hashed"))
    with pytest.raises(InputError, match=r"No weights file at .*mistyped"):
        world.run(weights=world.root / "mistyped.safetensors")


def test_an_overlay_folder_on_another_disk_gets_its_overlays(world, monkeypatch):
    world.add(frames=2, labelled=(1,))
    real = files.os.replace

    def replace(source, target):
        if Path(target).parent.name == "overlay" and Path(source).parent != Path(target).parent:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        real(source, target)

    monkeypatch.setattr(files.os, "replace", replace)
    assert world.run() == 0
    assert sorted(path.name for path in (world.results / "overlay").iterdir()) == [
        "hen.mp4",
        "hen.png",
    ]


def test_json_progress_is_one_object_per_line(world, capsys, monkeypatch):
    monkeypatch.setattr(console, "JSON_SECONDS", 0)
    world.add()
    assert world.run(progress="json") == 0
    captured = capsys.readouterr()
    lines = [json.loads(line) for line in captured.out.splitlines() if line.startswith("{")]
    assert {line["title"] for line in lines} == {
        "hen: looking for shot changes",
        "hen: fine-tuning",
        "hen: segmenting",
        "hen: writing masks",
        "hen: overlay",
    }
    steps = [line for line in lines if line["unit"] == "step"]
    assert [line["done"] for line in steps] == list(range(9)) and steps[-1]["loss"] > 0
    frames = [line for line in lines if line["title"] == "hen: segmenting"]
    assert [line["done"] for line in frames] == list(range(NUM_FRAMES + 1))
    assert {line["total"] for line in frames} == {NUM_FRAMES}
    assert "frame/s" not in captured.err


# Skipping


def test_a_finished_video_is_skipped(world, stop_at_work, capsys):
    world.add()
    world.run()
    before = world.listing()
    stop_at_work()
    assert world.run() == 0
    assert "hen: finished before, skipped" in capsys.readouterr().out
    assert world.listing() == before


@pytest.mark.parametrize(
    "content", ["[1]", '"text"', '{"key": null}', '{"key": {"sha256": 3}}', "{"]
)
def test_a_broken_record_of_an_earlier_run_is_no_obstacle(world, content):
    world.add(frames=2, labelled=(1,))
    path = world.results / "runs" / "hen" / "run.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    assert world.run() == 0 and world.record()["num_frames"] == 2


def test_a_video_that_another_process_has_just_finished_is_not_done_again(
    world, monkeypatch, stop_at_work
):
    world.add(frames=2, labelled=(1,))
    world.run()
    real, calls = finetune_test.finished_record, []

    def not_at_first(*arguments):  # as if the other process finished after the first look
        calls.append(1)
        return real(*arguments) if len(calls) > 1 else None

    monkeypatch.setattr(finetune_test, "finished_record", not_at_first)
    stop_at_work()
    assert world.run() == 0 and len(calls) == 2


def test_replacing_the_results_of_a_video_with_the_same_name_is_reported(world, tmp_path, capsys):
    world.add(labelled=[2])
    world.run()
    world.run(seed=1)  # the same video: nothing to say
    assert "warning" not in capsys.readouterr().out
    other = World(tmp_path / "elsewhere", world.weights).add(frames=4)
    world.run(dataset=other.dataset, dry_run=True)
    out = capsys.readouterr().out
    assert "warning: hen: replaces the results of another" in out and str(world.frames()) in out


def test_state_left_by_a_kill_after_the_last_file_is_removed(world, stop_at_work):
    world.add()
    world.run()
    partial = world.results / "runs" / "hen" / "partial"
    partial.mkdir()
    stop_at_work()
    assert world.run() == 0
    assert not partial.exists()


@pytest.mark.parametrize("change", ["label", "frame", "preset", "weights", "seed", "head", "mask"])
def test_a_video_is_redone_after_a_change(world, stop_at_work, change, tmp_path):
    world.add()
    world.run()
    flags = {}
    if change == "label":
        world.write_label("hen", 2, np.roll(animal(2), 1) * np.uint8(255))
    elif change == "frame":
        world.write_frame("hen", "00004.png", 255 - frame(4))
    elif change == "weights":
        flags["weights"] = tmp_path / "other.safetensors"
        save_weights(tiny_network(), flags["weights"], {"head": "deeplab"})
    elif change == "head":
        flags = {"head": "xfcn", "weights": world.weights.with_name("xfcn.safetensors")}
    elif change == "mask":
        world.mask_paths()[3].unlink()
    else:
        flags = {"preset": {"preset": "default"}, "seed": {"seed": 1}}[change]
    stop_at_work()
    with pytest.raises(RedoneError):
        world.run(**flags)


def test_overwrite_redoes_a_finished_video(world, stop_at_work):
    world.add()
    world.run()
    stop_at_work()
    with pytest.raises(RedoneError):
        world.run(overwrite=True)


def test_a_video_that_became_shorter_leaves_no_old_masks(world):
    world.add()
    world.run()
    (world.frames() / "00005.png").unlink()
    world.run()
    assert len(world.mask_paths()) == NUM_FRAMES - 1


# Labels


def label_as(kind: str) -> np.ndarray | Image.Image:
    mask = animal(2)
    white = Image.fromarray(mask * np.uint8(255))
    if kind == "palette":
        image = Image.fromarray(mask)
        image.putpalette(davis_palette().tobytes())
        return image
    if kind == "16 bit":
        return Image.fromarray(mask.astype(np.uint16) * np.uint16(65535))
    if kind == "colour":
        return Image.fromarray(mask[..., None] * np.array([200, 30, 60], np.uint8))
    if kind == "value 1":
        return Image.fromarray(mask)
    return white.convert({"1 bit": "1", "RGBA": "RGBA", "RGB": "RGB"}[kind])


def test_the_same_label_in_every_format_gives_the_same_masks(world):
    # Training would see the same arrays; what it makes of them is tested above.
    world.add(frames=4)
    for kind in ("1 bit", "RGBA", "RGB", "palette", "16 bit", "colour", "value 1"):
        world.write_label("hen", 2, label_as(kind))
        jobs, failed = finetune_test.prepare_jobs(world.config(), "sha256 of the weights")
        assert not failed
        labels = read_labels(jobs[0].sequence, jobs[0].guidance.frames)
        np.testing.assert_array_equal(labels[2].values, animal(2), err_msg=kind)


def test_a_palette_label_gives_the_masks_of_a_grey_one(world):
    world.add(frames=3)
    world.run()
    expected = world.masks()
    world.write_label("hen", 2, label_as("palette"))
    assert world.run() == 0
    np.testing.assert_array_equal(world.masks(), expected)


def test_both_of_two_labels_are_learnt(world, tmp_path):
    world.add(labelled=(0, 5))
    assert world.run(guidance="0,5") == 0
    assert world.record()["labelled_frames"] == [0, 5]
    assert sorted(world.record()["key"]["sha256"]["labels"]) == ["0", "5"]
    assert len(world.mask_paths()) == NUM_FRAMES


def test_a_label_given_by_flag_needs_no_annotations(world, tmp_path):
    world.add(labelled=())
    label = tmp_path / "00003.png"
    Image.fromarray(animal(3) * np.uint8(255)).save(label)
    assert world.run(label=(label,)) == 0
    assert world.record()["labelled_frames"] == [3]
    assert world.record()["guidance"] == "given by --label"


def test_a_label_with_void_is_accepted(world):
    world.add(labelled=())
    label = animal(2) * np.uint8(255)
    label[:, 50:] = 128
    world.write_label("hen", 2, label)
    assert world.run() == 0


# Videos


def test_a_video_of_one_frame_is_segmented(world):
    world.add(frames=1, labelled=(0,))
    assert world.run() == 0
    assert len(world.mask_paths()) == 1
    assert (world.results / "overlay" / "hen.mp4").exists()


def test_names_with_spaces_and_other_alphabets_are_accepted(tmp_path, weights_file):
    world = World(tmp_path / "mes vidéos 视频", weights_file).add("žirafa à l'eau", frames=3)
    label = world.annotation("žirafa à l'eau")
    label.rename(label.with_name("ночь 2.png"))
    for path in list(world.frames("žirafa à l'eau").iterdir()):
        path.rename(path.with_name(f"ночь {int(path.stem)}.png"))
    own = tmp_path / "gewichte ö.safetensors"
    own.write_bytes(weights_file.read_bytes())
    assert world.run(weights=own) == 0
    assert [p.name for p in world.mask_paths("žirafa à l'eau")] == [
        f"ночь {i}.png" for i in range(3)
    ]
    assert world.record("žirafa à l'eau")["sequence"] == "žirafa à l'eau"


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_linked_folders_are_followed(world, tmp_path):
    world.add(frames=3)
    for kind in ("JPEGImages", "Annotations"):
        real = world.dataset / kind / "480p" / "hen"
        real.rename(tmp_path / kind)
        real.symlink_to(tmp_path / kind, target_is_directory=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    world.results.symlink_to(elsewhere, target_is_directory=True)
    assert world.run() == 0
    assert len(list((elsewhere / "segmentation" / "hen").iterdir())) == 3


def test_frames_are_processed_in_natural_order(world):
    for index, number in enumerate((1, 2, 9, 10)):
        world.write_frame("hen", f"frame{number}.png", frame(index))
    path = world.write_label("hen", 1)
    path.rename(path.with_name("frame2.png"))
    world.run()
    assert world.record()["labelled_frames"] == [1]
    assert sorted(path.stem for path in world.mask_paths()) == sorted(
        ["frame1", "frame2", "frame9", "frame10"]
    )


def test_a_video_file_gives_one_numbered_mask_per_frame(world, tmp_path):
    video = tmp_path / "hen.mp4"
    write_video(video, (frame(i) for i in range(NUM_FRAMES)), None, 25)
    label = tmp_path / "my label.png"
    Image.fromarray(animal(3) * np.uint8(255)).save(label)
    assert world.run(video=(video,), label=(label,), guidance="3") == 0
    assert [path.name for path in world.mask_paths()] == [f"{i:05d}.png" for i in range(NUM_FRAMES)]
    assert world.masks().shape[1:] == (HEIGHT, WIDTH)
    assert world.record()["labelled_frames"] == [3]


def test_labels_of_the_page_are_used_for_a_folder_of_videos(world, tmp_path):
    folder = tmp_path / "videos"
    for name, index in (("hen", 1), ("cow", 4)):
        path = folder / f"{name}.mp4"
        write_video(path, (frame(i) for i in range(NUM_FRAMES)), None, 25)
        label = paths.LABELS / name / f"{index:05d}.png"
        label.parent.mkdir(parents=True)
        Image.fromarray(animal(index) * np.uint8(255)).save(label)
    assert world.run(video=(folder,)) == 0
    assert world.record("hen")["labelled_frames"] == [1]
    assert world.record("cow")["labelled_frames"] == [4]


def test_one_bad_video_does_not_stop_the_others(world, capsys):
    world.add("ant", frames=2, labelled=(1,)).add("bee").add("cat", frames=2, labelled=(1,))
    (world.frames("bee") / "00003.png").write_bytes(b"")
    assert world.run() == 1
    assert len(world.mask_paths("ant")) == len(world.mask_paths("cat")) == 2
    assert not world.mask_paths("bee")
    output = capsys.readouterr().out
    assert "error: bee: " in output and "00003.png" in output and "2 of 3 videos done" in output


def test_a_video_that_fails_in_training_does_not_stop_the_others(world, monkeypatch):
    world.add("ant", frames=2, labelled=(1,)).add("bee", frames=2, labelled=(1,))
    real = FineTuner.fit

    def fit(self, frames, backup_path, callbacks, zoom):
        if "ant" in backup_path.parts:
            raise FloatingPointError("The loss of fine-tuning became nan")
        return real(self, frames, backup_path, callbacks, zoom=zoom)

    monkeypatch.setattr(FineTuner, "fit", fit)
    assert world.run() == 1
    assert not world.mask_paths("ant") and len(world.mask_paths("bee")) == 2


def test_shards_divide_the_videos_among_them(world):
    names = ["ant", "bee", "cat", "dog", "elk"]
    for name in names:
        world.add(name, frames=1, labelled=(0,))
    done = []
    for number in (1, 2):
        world.results = world.root / f"results{number}"
        assert world.run(shard=f"{number}/2") == 0
        done.append(sorted(path.name for path in (world.results / "segmentation").iterdir()))
    assert done == [["ant", "cat", "elk"], ["bee", "dog"]]


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "a/b", "1/0", "", "²/3"])
def test_malformed_shards_are_usage_errors(world, no_training, shard):
    world.add()
    with pytest.raises(UsageError, match="--shard must be I/N"):
        world.run(shard=shard)


def test_save_weights_keeps_the_network_of_the_video(world):
    world.add(frames=2, labelled=(1,))
    world.run(save_weights=True)
    kept = paths.FINE_TUNE_WEIGHTS / "hen" / "deeplab.safetensors"
    assert kept.is_file() and (kept.parent / paths.MANIFEST_NAME).is_file()
    first = world.masks()
    world.results = world.root / "from kept"
    assert world.run(weights=kept) == 0
    assert world.masks().shape == first.shape


def test_the_xfcn_head_is_chosen_by_its_flag(world):
    world.add(frames=2, labelled=(1,))
    assert world.run(head="xfcn", weights=world.weights.with_name("xfcn.safetensors")) == 0
    assert world.record()["key"]["head"] == "xfcn"


# Dry run


def test_a_dry_run_writes_nothing_and_prints_what_it_would_do(world, no_training, capsys):
    world.add("ant").add("bee", labelled=())
    before = world.listing()
    assert world.run(dry_run=True) == 1  # as the run would: bee has no label
    assert world.listing() == before
    output = capsys.readouterr().out
    assert "preset: fast" in output and str(world.annotation("ant")) in output
    assert "dry run: 1 to process, 1 cannot be" in output
    assert world.run(dry_run=True, sequences=("ant",)) == 0
    assert world.listing() == before


@pytest.mark.parametrize("speed_up, precision", [(1.6, "mixed_bfloat16"), (0.2, "float32")])
def test_automatic_precision_follows_the_measurement_and_is_recorded(
    world, monkeypatch, capsys, speed_up, precision
):
    monkeypatch.setattr(finetune_test.backend, "has_gpu", lambda: False)
    monkeypatch.setattr(finetune_test.backend, "cpu_computes_bfloat16", lambda *_: True)
    monkeypatch.setattr(finetune_test.backend, "bfloat16_speed_up", lambda: speed_up)
    world.add(frames=2, labelled=(1,))
    assert world.run(precision="auto") == 0
    assert f"precision: {precision} (measured)" in capsys.readouterr().out
    assert world.record()["key"]["precision"] == precision
    # The same precision, asked for by name, is the same run.
    assert world.run(precision=precision) == 0
    assert "finished before, skipped" in capsys.readouterr().out


def test_the_same_seed_gives_the_same_masks_in_bfloat16_too(world):
    world.add()
    world.run(precision="mixed_bfloat16")
    first = world.masks()
    world.run(precision="mixed_bfloat16", overwrite=True)
    np.testing.assert_array_equal(world.masks(), first)


def test_a_dry_run_refuses_what_the_run_would_refuse(world, tmp_path):
    world.add()
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(world.weights.read_bytes()[:-4])
    with pytest.raises(InputError, match=r"cut\.safetensors"):
        world.run(dry_run=True, weights=cut)


# Refusals: (what to spoil, flags, what the message must name)


def spoil_no_label(world):
    world.add(labelled=())
    return {}, r"no frame is labelled.*hen.00003\.png"


def spoil_guidance_without_label(world):
    world.add()
    return {"guidance": "last"}, r"frame 5 .*has no label.*00005\.png"


def spoil_label_size(world):
    world.add(labelled=())
    world.write_label("hen", 2, animal(2)[:, 1:] * np.uint8(255))
    return {}, r"00002\.png: the label is 48x63, the video 48x64"


def spoil_empty_label(world):
    world.add(labelled=())
    world.write_label("hen", 2, np.zeros((HEIGHT, WIDTH), np.uint8))
    return {}, r"00002\.png: the label marks no animal"


def spoil_full_label(world):
    world.add(labelled=())
    world.write_label("hen", 2, np.full((HEIGHT, WIDTH), 255, np.uint8))
    return {}, r"00002\.png: the label has no background"


def spoil_photo_label(world):
    world.add(labelled=())
    world.write_label("hen", 2, frame(2))
    return {}, r"00002\.png: .*label"


def spoil_truncated_frame(world):
    world.add()
    path = world.frames() / "00004.jpg"
    (world.frames() / "00004.png").unlink()
    Image.fromarray(frame(4)).save(path, quality=95)
    path.write_bytes(path.read_bytes()[:-200])
    return {}, r"00004\.jpg: .*cannot be decoded"


def spoil_empty_frame(world):
    world.add()
    (world.frames() / "00000.png").write_bytes(b"")
    return {}, r"00000\.png: .*0 bytes"


def spoil_frame_size(world):
    world.add()
    world.write_frame("hen", "00005.png", frame(5)[1:])
    return {}, r"00005\.png: expected 64x48.*found 64x47"


def spoil_no_frames(world):
    world.frames().mkdir(parents=True)
    world.write_label("hen", 2)
    return {}, r"hen: expected frames"


def spoil_two_frames_of_one_name(world):
    world.add()
    Image.fromarray(frame(0)).save(world.frames() / "00000.jpg")
    return {}, r"hen: 00000\.(jpg|png) and 00000\.(jpg|png) would both write"


def spoil_video(world):
    path = world.root / "cow.mp4"
    path.parent.mkdir()
    path.write_bytes(b"not a video " * 1000)
    return {"video": (path,), "guidance": "first"}, r"cow\.mp4"


def spoil_cut_off_video(world):
    path = world.root / "cow.mp4"
    write_video(path, (frame(i) for i in range(NUM_FRAMES)), None, 25)
    path.write_bytes(path.read_bytes()[:-300])
    label = world.root / "00000.png"
    Image.fromarray(animal(0) * np.uint8(255)).save(label)
    return {"video": (path,), "label": (label,)}, r"cow\.mp4.*(cut off|decode)"


def spoil_missing_video(world):
    world.root.mkdir()
    return {"video": (world.root / "cow.mp4",)}, r"cow\.mp4: no such file or folder"


def spoil_results(world):
    world.add()
    (world.root / "file").write_text("no folder")
    return {"results": world.root / "file" / "results"}, r"file.results: cannot write results"


def spoil_results_file(world):
    world.add()
    (world.root / "file").write_text("no folder")
    return {"results": world.root / "file"}, r"file: cannot write results"


def spoil_weights_architecture(world):
    world.add()
    path = world.root / "wide.safetensors"
    image = keras.Input((None, None, 3))
    outputs = {"mask": layers.Conv2D(1, 5, name="mask_logits")(image)}
    save_weights(keras.Model(image, outputs), path, {"head": "deeplab"})
    return {"weights": path}, r"wide\.safetensors: tensor \S+ of xception_deeplab is missing"


def spoil_weights_head(world):
    world.add()
    other = world.weights.with_name("xfcn.safetensors")
    return {"weights": other}, r"xfcn\.safetensors: weights of head xfcn"


def spoil_weights_cut(world):
    world.add()
    path = world.root / "cut.safetensors"
    path.write_bytes(world.weights.read_bytes()[:-100])
    return {"weights": path}, r"cut\.safetensors: not a complete safetensors file"


def spoil_weights_altered(world):
    world.add()
    path = world.root / "deeplab.safetensors"
    content = bytearray(world.weights.read_bytes())
    content[-8] ^= 1
    path.write_bytes(content)
    manifest = world.weights.with_name(paths.MANIFEST_NAME)
    path.with_name(paths.MANIFEST_NAME).write_bytes(manifest.read_bytes())
    return {"weights": path}, r"deeplab\.safetensors: sha256 is .*damaged or was replaced"


def spoil_weights_missing(world):
    world.add()
    return {"weights": world.root / "no.safetensors"}, r"No weights file at .*no\.safetensors"


REFUSALS = {
    name.removeprefix("spoil_"): value
    for name, value in list(globals().items())
    if name.startswith("spoil_")
}


@pytest.mark.parametrize("spoil", REFUSALS.values(), ids=REFUSALS)
@pytest.mark.parametrize("dry_run", [False, True])
def test_bad_input_is_refused_by_name_before_any_training(world, no_training, spoil, dry_run):
    flags, message = spoil(world)
    before = world.listing()
    with pytest.raises(InputError, match=message) as error:
        world.run(dry_run=dry_run, **flags)
    assert not isinstance(error.value, UsageError) and "\n" not in str(error.value)
    assert world.listing() == before


@pytest.mark.parametrize(
    "flags, message",
    [
        ({"sequences": ("hne",)}, "No sequence hne in .*there are: cow, hen"),
        ({"guidance": "centre"}, "--guidance must be"),
        ({"seed": -1}, "--seed must be"),
        ({"video": (Path("a.mp4"),), "sequences": ("hen",)}, "--video stands in place"),
        ({"label": (Path("x.png"),), "sequences": ("cow", "hen")}, "--label goes with one"),
    ],
)
def test_wrong_arguments_are_usage_errors(world, no_training, flags, message):
    world.add().add("cow")
    before = world.listing()
    if "label" not in flags:
        flags = {"sequences": ("hen",), **flags}
    with pytest.raises(UsageError, match=message):
        world.run(**flags)
    assert world.listing() == before


def test_a_refused_video_keeps_its_earlier_results(world, stop_at_work):
    world.add()
    world.run()
    (world.frames() / "00003.png").write_bytes(b"")
    before = world.listing()
    with pytest.raises(InputError, match=r"00003\.png"):
        world.run()
    assert world.listing() == before


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() == 0, reason="root may write everywhere"
)
def test_a_results_folder_without_write_permission_is_refused(world, no_training):
    world.add()
    world.results.mkdir()
    world.results.chmod(0o500)
    with pytest.raises(InputError, match="cannot write results"):
        world.run()


# Which frame, by BubbleNets


@pytest.fixture
def choosing(monkeypatch):
    """Lets the rule "last" choose where a selection has to be made; returns how often it was
    loaded."""
    loaded = []

    def load():
        loaded.append("chooser")
        keras.random.normal((3,))  # as building networks does, it draws random numbers
        random.random()
        return Chooser({}, None, "last", (), {"rule": "last"})

    monkeypatch.setattr(finetune_test, "load_chooser", load)
    return loaded


def select_by_hand(world, name, frame, video="hen"):
    path = paths.frame_selection_dir(world.dataset, video) / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{name}\n{frame}\n{frame:05d}.png\n")


def test_bubblenet_without_a_selection_creates_one_and_names_the_network(world, choosing, capsys):
    world.add(labelled=(2, NUM_FRAMES - 1))
    assert world.run(guidance="bubblenet") == 0
    record = world.record()
    assert record["labelled_frames"] == [NUM_FRAMES - 1]
    who = "chosen by the rule last, since no BubbleNet BNLF is trained"
    assert record["guidance"] == who and who in capsys.readouterr().out
    folder = paths.frame_selection_dir(world.dataset, "hen")
    assert (folder / "rule.txt").read_text().splitlines()[1] == str(NUM_FRAMES - 1)


def test_choosing_a_frame_changes_no_mask(world, choosing):
    world.add(labelled=(2, NUM_FRAMES - 1))
    world.run(guidance=str(NUM_FRAMES - 1))
    named = [path.read_bytes() for path in world.mask_paths()]
    world.run(guidance="bubblenet", overwrite=True)
    assert choosing and [path.read_bytes() for path in world.mask_paths()] == named


def test_the_chooser_is_loaded_once_and_only_if_it_is_needed(world, choosing):
    for name in ("ant", "bee"):
        world.add(name, labelled=(0, NUM_FRAMES - 1))
    for guidance in ("auto", "first", "0"):
        world.run(guidance=guidance, dry_run=True)
    assert not choosing
    world.run(guidance="bubblenet", dry_run=True)
    assert choosing == ["chooser"]


def test_a_dry_run_of_bubblenet_writes_no_selection(world, choosing, capsys):
    world.add(labelled=(2, NUM_FRAMES - 1))
    before = world.listing()
    assert world.run(guidance="bubblenet", dry_run=True) == 0
    assert "chosen by the rule last" in capsys.readouterr().out
    assert world.listing() == before


def test_a_chosen_frame_without_label_names_the_file_to_create(world, choosing, no_training):
    world.add(labelled=(2,))
    missing = str(world.annotation(index=NUM_FRAMES - 1))
    with pytest.raises(InputError, match=f"Make {re.escape(missing)}"):
        world.run(guidance="bubblenet")


@pytest.mark.parametrize(
    "selection, frame, reason",
    [
        (None, 1, "of 3 annotated frames the best by bubblenet_select.py (rule)"),
        ("BN0", 4, "of 3 annotated frames the best by bubblenet_select.py (BN0)"),
        ("BNLF", 2, "of 3 annotated frames the one nearest the middle"),
    ],
)
def test_auto_follows_the_most_trusted_selection_or_the_one_asked_for(
    world, choosing, selection, frame, reason
):
    world.add(labelled=(1, 2, 4))
    select_by_hand(world, "BN0", 4)
    select_by_hand(world, "rule", 1)
    [job], _ = finetune_test.prepare_jobs(world.config(selection=selection), world.weights)
    assert job.guidance.frames == (frame,) and job.guidance.reason == reason
    assert not choosing


# The command line


def test_the_flags_are_those_of_the_documentation_and_have_defaults():
    assert parse_config(Config, None, []) == Config()
    names = {name.replace("_", "-") for name in Config.__dataclass_fields__}
    assert names == {
        *("dataset", "sequences", "video", "label", "guidance", "selection", "preset", "head"),
        *("weights", "results", "seed", "precision", "shard", "save-weights", "overwrite"),
        *("progress", "dry-run", "crf", "guided-filter"),
        *("fine-tuned", "together", "frames", "name", "shot-changes", "animals", "every-frame"),
        *("networks", "runtime"),
    }


@pytest.mark.parametrize(
    "arguments",
    [["--bogus"], ["--seq", "hen"], ["--dry"], ["--preset", "slow"], ["--seed", "x"], ["hen"]],
)
def test_unknown_and_abbreviated_flags_end_with_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as error:
        parse_config(Config, None, arguments)
    assert error.value.code == 2


def run_script(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, str(paths.ROOT / "finetune_test.py"), *arguments],
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.slow
def test_a_refusal_is_one_line_on_stderr_and_status_1(world):
    world.add(labelled=())
    done = run_script("--dataset", str(world.dataset), "--results", str(world.results))
    assert done.returncode == 1
    assert done.stderr.startswith("error: hen: no frame is labelled")
    assert len(done.stderr.splitlines()) == 1 and "Traceback" not in done.stderr + done.stdout
    assert not world.results.exists()


@pytest.mark.slow
def test_an_unknown_sequence_and_an_abbreviated_flag_end_with_status_2(world):
    world.add()
    for arguments in (["--sequences", "hne"], ["--dry"]):
        done = run_script("--dataset", str(world.dataset), *arguments)
        assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
