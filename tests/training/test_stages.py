"""train_pascal_base.py and train_davis_objectness.py: generated data in, weights out; refusals."""

import itertools
import json

import keras
import numpy as np
import pytest
from PIL import Image

import train_davis_objectness
import train_pascal_base
from models import HEADS
from tests.training.stage_world import STAGES, write_start
from utils import paths
from utils.errors import InputError
from utils.training import stage
from utils.training.animals import read_animal_list
from utils.training.batches import FileSample
from utils.training.weights import read_weights


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("head", HEADS)
def test_a_stage_writes_weights_history_curves_and_logs(stage_config, tmp_path, stage, head):
    start = write_start(tmp_path / f"{head}.safetensors", "pascal_base", head)
    history = STAGES[stage].main(stage_config(stage, weights=start, head=head))

    assert [row["step"] for row in history] == [2, 4, 6, 8]
    assert all(np.isfinite(row["loss"]) for row in history)
    assert ["validation_iou" in row for row in history] == [False, True, False, True]
    assert ("side2_loss" in history[0]) == (head == "xfcn")  # deep supervision where there is one
    output = tmp_path / "weights"
    manifest = json.loads((output / paths.MANIFEST_NAME).read_text())
    assert set(manifest) == {f"{head}.safetensors", f"{head}.last.safetensors"}
    best = max(row.get("validation_iou", 0) for row in history)
    assert manifest[f"{head}.safetensors"]["validation_iou"] == best
    assert manifest[f"{head}.safetensors"]["stage"] == stage
    tensors, metadata = read_weights(output / f"{head}.safetensors")
    assert metadata["head"] == head
    assert tensors["block4_conv/kernel"].dtype == "float16"
    with Image.open(output / f"{head}.training/curves.png") as curves:
        assert curves.size == (1200, 450)
    assert list((output / f"{head}.training/tensorboard").iterdir())


def test_training_helps(stage_config):
    history = train_pascal_base.main(stage_config(steps=40))
    assert history[-1]["loss"] < 0.7 * history[0]["loss"]
    assert history[-1]["validation_iou"] > 0.8


@pytest.mark.parametrize(
    "options, what_moves",
    [
        ({"frozen_blocks": 13}, {"mask_logits"}),
        ({"frozen_blocks": 3}, {"mask_logits", "block4_conv", "block4_conv_bn"}),
        (
            {"frozen_blocks": 3, "batch_statistics": "trained"},
            {"mask_logits", "block4_conv", "block4_conv_bn", "block4_conv_bn moving"},
        ),
    ],
)
def test_only_what_is_said_to_learn_learns(stage_config, tmp_path, options, what_moves):
    train_pascal_base.main(stage_config(**options))
    before, after = (
        read_weights(tmp_path / name)[0]
        for name in ("start.safetensors", "weights/deeplab.last.safetensors")
    )
    moved = {
        name.split("/")[0] + (" moving" if "moving" in name else "")
        for name in before
        if not np.allclose(before[name], after[name], rtol=2e-3, atol=1e-4)
    }
    assert moved == what_moves


def test_a_loss_that_is_not_finite_stops_the_run_and_saves_nothing(
    stage_config, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        train_pascal_base,
        "SegmentationLoss",
        lambda region_weight: lambda targets, logits: keras.ops.sum(logits) * float("nan"),
    )
    with pytest.raises(FloatingPointError, match="not finite"):
        train_pascal_base.main(stage_config())
    assert not list((tmp_path / "weights").rglob("*.safetensors"))
    assert not list((tmp_path / "weights").rglob("*.npz"))


@pytest.mark.parametrize("stage", ["imagenet", "fine_tune"])
def test_stage_2_refuses_weights_of_other_stages_and_says_what_fits(stage_config, tmp_path, stage):
    start = write_start(tmp_path / "other.safetensors", stage)
    with pytest.raises(InputError, match="pascal_base or objectness"):
        train_davis_objectness.main(stage_config("objectness", weights=start))


def test_stage_2_refuses_weights_of_another_head(stage_config, tmp_path):
    start = write_start(tmp_path / "xfcn.safetensors", "pascal_base", "xfcn")
    with pytest.raises(InputError, match="xfcn"):
        train_davis_objectness.main(stage_config("objectness", weights=start))


def test_stage_2_starts_from_stage_1_by_default(stage_config, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(paths, "PASCAL_BASE_WEIGHTS", tmp_path / "stage1")
    write_start(tmp_path / "stage1/deeplab.safetensors", "pascal_base")
    train_davis_objectness.main(stage_config("objectness", weights=None, dry_run=True))
    assert str(tmp_path / "stage1/deeplab.safetensors") in capsys.readouterr().out


@pytest.mark.parametrize("stage", STAGES)
def test_a_dry_run_writes_nothing(stage_config, tmp_path, capsys, stage):
    before = sorted(tmp_path.rglob("*"))
    settings = stage_config(stage, dry_run=True)
    STAGES[stage].main(settings)
    added = set(tmp_path.rglob("*")) - set(before)
    assert {path.name for path in added} <= {"start.safetensors", paths.MANIFEST_NAME}
    printed = capsys.readouterr().out
    assert "4 to train on, 2 to validate on" in printed
    assert "crop: 32" in printed


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("dry_run", [False, True])
def test_a_folder_that_cannot_be_written_is_said_also_by_a_dry_run(
    stage_config, tmp_path, stage, dry_run
):
    """A dry run ended with status 0, and the run with another error."""
    (tmp_path / "file").write_bytes(b"a file")
    settings = stage_config(stage, output=tmp_path / "file" / "weights", dry_run=dry_run)
    with pytest.raises(InputError, match="another folder with --output"):
        STAGES[stage].main(settings)


def test_the_next_stage_starts_from_the_weights_that_were_trained(tmp_path, monkeypatch):
    """It was called without flags, and would have started from those that are included."""
    monkeypatch.chdir(paths.ROOT)
    included, script = paths.PASCAL_BASE_WEIGHTS, "train_davis_objectness.py"
    own = included / "xfcn.safetensors"
    assert stage.next_command(script, "xfcn", own, included) == f"python {script} --head xfcn"
    other = tmp_path / "deeplab.safetensors"
    command = stage.next_command(script, "deeplab", other, included)
    assert command == f"python {script} --weights {other}"


def test_a_file_that_cannot_be_read_in_the_middle_of_a_run_is_named(stage_config, monkeypatch):
    read, count = FileSample.read, itertools.count()

    def read_or_fail(self):
        if next(count) >= 12:  # the first batch, which Keras looks at, is read
            raise InputError("one.png: no label")
        return read(self)

    monkeypatch.setattr(FileSample, "read", read_or_fail)
    with pytest.raises(InputError, match="^one.png: no label$"):
        train_pascal_base.main(stage_config())


def test_a_dry_run_reads_all_annotations_and_headers_and_names_the_first_that_does_not_fit(
    stage_config, pairs, capsys
):
    dry = stage_config(dry_run=True)
    train_pascal_base.main(dry)
    assert "files: 6 images fit their annotations" in capsys.readouterr().out
    whole = (pairs / "Annotations/5.png").read_bytes()
    (pairs / "Annotations/5.png").write_bytes(whole[:-30])
    with pytest.raises(InputError, match=r"^1 of 6 images .*5\.png: expected a whole image"):
        train_pascal_base.main(dry)
    Image.new("RGB", (64, 40)).save(pairs / "JPEGImages/2.jpg")
    (pairs / "JPEGImages/3.jpg").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"^3 of 6 images .*2\.png: expected 64x40"):
        train_pascal_base.main(dry)
    sample = read_animal_list(pairs / "train.txt", pairs)[2]
    with pytest.raises(InputError, match=r"2\.png: expected 64x40"):
        sample.check()
