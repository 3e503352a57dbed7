"""finetune_test.py: a generated video and one label in, a mask per frame out; odd and bad input."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import finetune_test
from finetune_test import Config
from tests.stage3_world import HEIGHT, NUM_FRAMES, WIDTH, World, animal, frame
from utils import console, files, paths
from utils.command_line import parse_config
from utils.errors import InputError, UsageError
from utils.inputs.guidance import read_labels
from utils.media.images import open_image
from utils.media.labels import davis_palette
from utils.media.video_writing import write_video
from utils.media.videos import FrameFolder, VideoFile
from utils.stage3.correction_files import Correction, Corrections, MaskFolder
from utils.stage3.corrections import Redraw
from utils.stage3.fine_tuning import FineTuner

pytestmark = pytest.mark.usefixtures("small_stage3")


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
