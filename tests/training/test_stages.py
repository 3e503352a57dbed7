"""train_pascal_base.py and train_davis_objectness.py: generated data in, weights out; resume,
refusals, curves.

The network is three convolutions, so that a run takes seconds; the scripts do not know.
"""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

import train_davis_objectness
import train_pascal_base
from models.losses import SegmentationLoss
from models.xception import FixedBatchNorm
from utils import paths
from utils.command_line import parse_config
from utils.errors import InputError, UsageError
from utils.files import hold_lock
from utils.training import stage, stage_script
from utils.training.augmentation import PRESETS
from utils.training.batches import Batches
from utils.training.sample_lists import read_sample_list
from utils.training.stage import Recipe, compile_model
from utils.training.weights import read_weights, save_weights

STAGES = {"pascal_base": train_pascal_base, "objectness": train_davis_objectness}
NUM_IMAGES = 6


def tiny_network(head="deeplab", train_batch_statistics=False) -> keras.Model:
    image = keras.Input((None, None, 3), name="images")
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="normalise")(image)
    norm = layers.BatchNormalization if train_batch_statistics else FixedBatchNorm
    for name in ("block1_conv", "block4_conv"):
        x = layers.Conv2D(8, 3, padding="same", activation="relu", name=name)(x)
        x = norm(name=f"{name}_bn")(x)
    outputs = {"mask": layers.Conv2D(1, 1, name="mask_logits")(x)}
    if head == "xfcn":
        outputs["side2"] = layers.Conv2D(1, 1, name="side2_logits")(x)
    return keras.Model(image, outputs, name=f"xception_{head}")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """A tiny network, epochs of two batches, a validation after every second."""
    for script in STAGES.values():
        monkeypatch.setattr(script, "build_model", tiny_network)
        recipe = replace(
            script.RECIPE,
            batches_per_epoch=2,
            validate_every=2,
            head_learning_rate=0.03,
            backbone_learning_rate=0.03,
        )
        monkeypatch.setattr(script, "RECIPE", recipe)


@pytest.fixture
def dataset(tmp_path) -> Path:
    """Bright discs on dark noise, a void ring around each, in the layout of stage 1."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "data"
    for kind in ("JPEGImages", "Annotations"):
        (folder / kind).mkdir(parents=True)
    lines = []
    y, x = np.mgrid[:48, :64]
    for number in range(NUM_IMAGES):
        distance = np.hypot(y - rng.integers(16, 32), x - rng.integers(16, 48))
        image = rng.integers(0, 60, (48, 64, 3)) + 150 * (distance < 12)[..., None]
        annotation = np.where(distance < 11, 255, np.where(distance < 13, 128, 0))
        Image.fromarray(image.astype("uint8")).save(folder / f"JPEGImages/{number}.jpg")
        Image.fromarray(annotation.astype("uint8")).save(folder / f"Annotations/{number}.png")
        lines.append(f"JPEGImages/{number}.jpg Annotations/{number}.png")
    (folder / "train.txt").write_text("\n".join(lines[:4]) + "\n")
    (folder / "val.txt").write_text("\n".join(lines[4:]) + "\n")
    return folder


def write_start(path: Path, stage: str, head: str = "deeplab") -> Path:
    keras.utils.set_random_seed(3)
    save_weights(tiny_network(head), path, {"stage": stage, "head": head})
    return path


@pytest.fixture
def config(dataset, tmp_path):
    """Makes the configuration of a short run: `config(stage, steps=4, ...)`."""

    def make(stage="pascal_base", **options):
        script = STAGES[stage]
        start = tmp_path / "start.safetensors"
        if not start.is_file():
            write_start(start, "pascal_base")
        defaults = {
            "dataset": dataset,
            "list": dataset / "train.txt",
            "validation_list": dataset / "val.txt",
            "weights": start,
            "output": tmp_path / "weights",
            "steps": 8,
            "batch_size": 2,
            "crop": 32,
            "frozen_blocks": 1,
        }
        return script.Config(**defaults | options)

    return make


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("head", ["deeplab", "xfcn"])
def test_a_stage_writes_weights_history_curves_and_logs(config, tmp_path, stage, head):
    start = write_start(tmp_path / f"{head}.safetensors", "pascal_base", head)
    history = STAGES[stage].main(config(stage, weights=start, head=head))

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


def test_training_helps(config):
    history = train_pascal_base.main(config(steps=40))
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
def test_only_what_is_said_to_learn_learns(config, tmp_path, options, what_moves):
    train_pascal_base.main(config(**options))
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


def test_an_interrupted_run_ends_with_the_same_weights_as_an_unbroken_one(
    config, tmp_path, monkeypatch
):
    train_pascal_base.main(config(output=tmp_path / "unbroken"))

    class Interrupt(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.optimizer.iterations > 4:  # in the third epoch
                raise KeyboardInterrupt

    broken = config(output=tmp_path / "broken")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(stage_script, "training_progress", lambda *a: [Interrupt()])
        train_pascal_base.main(broken)
    assert not (tmp_path / "broken/deeplab.safetensors").exists()
    history = train_pascal_base.main(replace(broken, resume=True))

    assert [row["step"] for row in history] == [2, 4, 6, 8]
    for name in ("deeplab", "deeplab.last"):
        one, two = (
            read_weights(tmp_path / folder / f"{name}.safetensors")[0]
            for folder in ("unbroken", "broken")
        )
        assert all((one[key] == two[key]).all() for key in one)
    assert json.loads((tmp_path / "unbroken/deeplab.training/history.json").read_text()) == history


def test_a_finished_run_goes_on_with_more_steps(config, capsys):
    train_pascal_base.main(config(steps=4))
    capsys.readouterr()
    history = train_pascal_base.main(config(steps=8, resume=True))
    assert [row["step"] for row in history] == [2, 4, 6, 8]
    bar = capsys.readouterr().err
    assert " 4/8 " in bar and " 8/8 " in bar and " 1/8 " not in bar


@pytest.mark.parametrize("accumulate", [1, 2])
def test_more_steps_than_before_are_made_exactly(config, monkeypatch, accumulate):
    crops = []
    read = Batches.__getitem__
    monkeypatch.setattr(
        Batches, "__getitem__", lambda self, i: crops.append(number(self, i)) or read(self, i)
    )

    def number(self, index):
        return self.first_batch + self.epoch * self.steps_per_epoch + index

    history = train_pascal_base.main(config(steps=5, accumulate=accumulate))
    assert history[-1]["step"] == 5
    history = train_pascal_base.main(config(steps=12, accumulate=accumulate, resume=True))
    steps = [row["step"] for row in history]
    assert steps == sorted(set(steps)) and steps[-1] == 12
    assert "validation_iou" in history[-1]
    assert set(range(12 * accumulate)) <= set(crops)  # no crop is left out


def test_the_optimizer_has_made_as_many_updates_as_the_history_says(config, tmp_path):
    train_pascal_base.main(config(steps=5))
    history = train_pascal_base.main(config(steps=10, resume=True))
    with np.load(tmp_path / "weights/deeplab.training/state.npz") as state:
        counts = [int(state[name]) for name in state.files if state[name].dtype.kind == "i"]
    assert history[-1]["step"] == 10 and max(counts) == 10


def test_fewer_steps_than_were_made_are_refused(config):
    train_pascal_base.main(config(steps=6))
    with pytest.raises(UsageError, match="has made 6 updates"):
        train_pascal_base.main(config(steps=4, resume=True))


def test_a_second_start_in_the_same_folder_is_refused_and_touches_nothing(config, tmp_path):
    pytest.importorskip("fcntl")
    folder = tmp_path / "weights/deeplab.training"
    folder.mkdir(parents=True)
    (folder / "best.safetensors").write_bytes(b"of the run at work, before its first backup")
    with hold_lock(tmp_path / "weights/deeplab.lock", "the first"):
        with pytest.raises(InputError, match="at work"):
            train_pascal_base.main(config(steps=2))
        assert list(folder.iterdir())
    train_pascal_base.main(config(steps=2))
    assert not (tmp_path / "weights/deeplab.lock").exists()


def test_a_run_is_not_overwritten_without_resume(config):
    train_pascal_base.main(config(steps=2))
    with pytest.raises(InputError, match="--resume"):
        train_pascal_base.main(config(steps=2))


@pytest.mark.parametrize("change", [{"batch_size": 4}, {"seed": 1}, {"crop": 40}])
def test_a_run_does_not_go_on_with_other_settings(config, change):
    train_pascal_base.main(config(steps=2))
    with pytest.raises(InputError, match=next(iter(change))):
        train_pascal_base.main(config(steps=4, resume=True, **change))


def test_a_run_does_not_go_on_with_another_list(config, dataset):
    train_pascal_base.main(config(steps=2))
    with pytest.raises(InputError, match="samples"):
        train_pascal_base.main(config(steps=4, resume=True, list=dataset / "val.txt"))


def test_a_loss_that_is_not_finite_stops_the_run_and_saves_nothing(config, tmp_path, monkeypatch):
    monkeypatch.setattr(
        train_pascal_base,
        "SegmentationLoss",
        lambda *a: lambda targets, logits: keras.ops.sum(logits) * float("nan"),
    )
    with pytest.raises(FloatingPointError, match="not finite"):
        train_pascal_base.main(config())
    assert not list((tmp_path / "weights").rglob("*.safetensors"))
    assert not list((tmp_path / "weights").rglob("*.npz"))


def test_weights_that_are_not_finite_are_never_backed_up(tmp_path):
    model = tiny_network()
    model.compile("sgd", loss={"mask": "mse"})
    backup = stage.Backup(tmp_path / "state.npz")
    backup.set_model(model)
    model.variables[0].assign(model.variables[0] * float("nan"))
    with pytest.raises(FloatingPointError):
        backup.on_epoch_end(0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("stage", ["imagenet", "fine_tune"])
def test_stage_2_refuses_weights_of_other_stages_and_says_what_fits(config, tmp_path, stage):
    start = write_start(tmp_path / "other.safetensors", stage)
    with pytest.raises(InputError, match="pascal_base or objectness"):
        train_davis_objectness.main(config("objectness", weights=start))


def test_stage_2_refuses_weights_of_another_head(config, tmp_path):
    start = write_start(tmp_path / "xfcn.safetensors", "pascal_base", "xfcn")
    with pytest.raises(InputError, match="xfcn"):
        train_davis_objectness.main(config("objectness", weights=start))


def test_stage_2_starts_from_stage_1_by_default(config, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(paths, "PASCAL_BASE_WEIGHTS", tmp_path / "stage1")
    write_start(tmp_path / "stage1/deeplab.safetensors", "pascal_base")
    train_davis_objectness.main(config("objectness", weights=None, dry_run=True))
    assert str(tmp_path / "stage1/deeplab.safetensors") in capsys.readouterr().out


@pytest.mark.parametrize("stage", STAGES)
def test_a_dry_run_writes_nothing(config, tmp_path, capsys, stage):
    before = sorted(tmp_path.rglob("*"))
    settings = config(stage, dry_run=True)
    STAGES[stage].main(settings)
    added = set(tmp_path.rglob("*")) - set(before)
    assert {path.name for path in added} <= {"start.safetensors", paths.MANIFEST_NAME}
    printed = capsys.readouterr().out
    assert "4 to train on, 2 to validate on" in printed
    assert "crop: 32" in printed


@pytest.mark.parametrize("option", ["steps", "batch_size", "accumulate", "crop"])
def test_settings_that_cannot_be_are_usage_errors(config, option):
    with pytest.raises(UsageError, match=option.replace("_", "-")):
        train_pascal_base.main(config(**{option: 0}))
    with pytest.raises(UsageError, match="frozen-blocks must be 0 to 13, not 14"):
        train_pascal_base.main(config(frozen_blocks=14))


def test_validation_images_that_are_trained_on_are_pointed_out(config, dataset, capsys):
    train_pascal_base.main(config(validation_list=dataset / "train.txt", dry_run=True))
    assert "4 validation images are trained on too" in capsys.readouterr().out


@pytest.mark.parametrize("script", STAGES.values())
def test_the_flags_are_those_of_the_design(script):
    words = "--dataset D --list L --validation-list V --weights W --output O --head xfcn --steps 7"
    words += " --batch-size 3 --crop 64 --precision mixed_bfloat16 --seed 5 --resume --dry-run"
    parsed = parse_config(script.Config, None, words.split())
    assert (parsed.steps, parsed.batch_size, parsed.head, parsed.resume) == (7, 3, "xfcn", True)


def test_lists_repeat_skip_and_name_what_is_missing(dataset):
    text = (dataset / "val.txt").read_text()
    (dataset / "list.txt").write_text("# twice the first\n\n" + text + text.splitlines()[0])
    assert len(read_sample_list(dataset / "list.txt", dataset)) == 3
    (dataset / "list.txt").write_text("JPEGImages/0.jpg Annotations/0.png extra\n")
    with pytest.raises(InputError, match="line 1"):
        read_sample_list(dataset / "list.txt", dataset)
    (dataset / "list.txt").write_text("JPEGImages/0.jpg Annotations/none.png\n")
    with pytest.raises(InputError, match=r"none\.png"):
        read_sample_list(dataset / "list.txt", dataset)
    (dataset / "list.txt").write_text("\n")
    with pytest.raises(InputError, match="no images"):
        read_sample_list(dataset / "list.txt", dataset)
    with pytest.raises(InputError, match="expected a list"):
        read_sample_list(dataset / "none.txt", dataset)


def weights_after(dataset, batch_size, accumulate, **options):
    """Trains four updates on the same crops and returns the weights."""
    recipe = Recipe(
        "pascal_base",
        PRESETS["none"],
        steps=4,
        accumulate=accumulate,
        head_learning_rate=0.01,
        backbone_learning_rate=0.01,
        frozen_blocks=0,
        **options,
    )
    keras.utils.set_random_seed(0)
    model = tiny_network(train_batch_statistics=recipe.train_batch_statistics)
    compile_model(model, SegmentationLoss(0.0, 1.0), recipe)
    samples = read_sample_list(dataset / "train.txt", dataset)
    loader = Batches(samples, (32, 32), 4 * accumulate, batch_size, recipe.augmentation, 0)
    before = [np.array(v) for v in model.non_trainable_variables if "moving" in v.path]
    model.fit(loader, callbacks=[loader.follow_epochs()], shuffle=False, verbose=0)
    after = [np.array(v) for v in model.non_trainable_variables if "moving" in v.path]
    moved = any((one != two).any() for one, two in zip(before, after, strict=True))
    return np.concatenate([np.ravel(v) for v in model.trainable_variables]), moved


def test_accumulated_batches_are_one_large_batch(dataset, monkeypatch):
    monkeypatch.setattr(stage, "warmup_cosine", lambda rate, steps, final: rate)
    large, _ = weights_after(dataset, batch_size=4, accumulate=1)
    small, _ = weights_after(dataset, batch_size=2, accumulate=2)
    start, _ = weights_after(dataset, batch_size=2, accumulate=1)
    np.testing.assert_allclose(small, large, atol=2e-4)
    assert np.abs(start - large).max() > 1e-2  # other crops lead elsewhere


@pytest.mark.parametrize("trained", [False, True])
def test_batch_statistics_move_only_where_they_are_trained(dataset, trained):
    assert weights_after(dataset, 2, 1, train_batch_statistics=trained)[1] is trained


TWO_DEVICES = """
import sys
from pathlib import Path
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu[0], [tf.config.LogicalDeviceConfiguration()] * 2)
from utils import backend
import keras
from models.losses import SegmentationLoss
from tests.training.test_stages import tiny_network
from utils.training.augmentation import PRESETS
from utils.training.sample_lists import read_sample_list
from utils.training.stage import Recipe, Run, train

folder, devices = Path(sys.argv[1]), int(sys.argv[2])
if devices == 2:
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    backend.distribute = strategy.scope
recipe = Recipe("pascal_base", PRESETS["base"], steps=6, batch_size=4, crop=32,
                batches_per_epoch=2, validate_every=3, frozen_blocks=0)
keras.utils.set_random_seed(0)
samples = read_sample_list(folder / "train.txt", folder)
run = Run(folder / f"devices{devices}", "deeplab", {}, recipe.steps)
run.begin()
with backend.distribute():
    model = tiny_network()
    rows = train(model, SegmentationLoss(0.0, 1.0), samples, samples, recipe, 0, run)
print("losses", *(row["loss"] for row in rows), rows[-1]["validation_iou"])
"""


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow's own")
def test_two_devices_train_as_one(dataset):
    losses = []
    for devices in (1, 2):
        done = subprocess.run(
            [sys.executable, "-c", TWO_DEVICES, str(dataset), str(devices)],
            cwd=paths.ROOT, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        losses.append([float(word) for word in done.stdout.split("losses")[1].split()])
    assert len(losses[0]) == 4
    np.testing.assert_allclose(losses[1], losses[0], atol=2e-3)
