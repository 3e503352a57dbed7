"""Bad input that finetune_test.py refuses, by name and before anything is trained."""

import os
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

import finetune_test
from tests.stage3_world import (
    HEIGHT,
    NUM_FRAMES,
    WIDTH,
    animal,
    frame,
)
from utils import paths
from utils.errors import InputError, UsageError
from utils.media.labels import read_label
from utils.media.video_writing import write_video
from utils.media.videos import FrameFolder
from utils.training.weights import save_weights

pytestmark = pytest.mark.usefixtures("small_stage3")


# (what to spoil, flags, what the message must name)


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


def spoil_folder_of_saved_weights(world):
    world.add()
    paths.FINE_TUNE_WEIGHTS.write_text("no folder")
    return {"save_weights": True}, r"fine_tune_weights: cannot write .*leave out --save-weights"


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


def test_a_refused_video_is_closed(world, monkeypatch):
    """It stayed open, with the frames that it had decoded."""
    closed = []
    monkeypatch.setattr(FrameFolder, "close", lambda video: closed.append(video.name))
    world.add("ant").add("bee")
    world.write_label("ant", 2, np.zeros((HEIGHT, WIDTH), np.uint8))
    assert world.run(dry_run=True) == 1
    assert {"ant", "bee"} <= set(closed)


def test_a_refused_video_keeps_its_earlier_results(world, stop_at_work):
    world.add()
    world.run()
    (world.frames() / "00003.png").write_bytes(b"")
    before = world.listing()
    with pytest.raises(InputError, match=r"00003\.png"):
        world.run()
    assert world.listing() == before


def test_a_label_that_changed_after_it_was_checked_is_refused(
    world, no_training, monkeypatch, capsys
):
    world.add()
    make_tuner, message = finetune_test.make_tuner, "00002.png: the label changed since the program"

    def change_label(*arguments):
        label = read_label(world.annotation()).values
        world.write_label("hen", 2, np.roll(label, 1) * np.uint8(255))
        return make_tuner(*arguments)

    monkeypatch.setattr(finetune_test, "make_tuner", change_label)
    assert world.run() == 1
    assert message in capsys.readouterr().out
    with pytest.raises(InputError, match=message):
        world.run(together=True)
    assert not list(world.results.rglob("*.*"))


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() == 0, reason="root may write everywhere"
)
def test_a_results_folder_without_write_permission_is_refused(world, no_training):
    world.add()
    world.results.mkdir()
    world.results.chmod(0o500)
    with pytest.raises(InputError, match="cannot write results"):
        world.run()
