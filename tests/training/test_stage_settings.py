"""Flags, recipes and checks of stages 1 and 2, and the lists they read."""

import subprocess
import sys
import typing
from dataclasses import MISSING, fields

import keras
import pytest

import finetune_test
import train_davis_objectness
import train_pascal_base
from models import HEADS
from tests.training.stage_world import STAGES
from utils import backend, paths
from utils.command_line import parse_config
from utils.errors import InputError, UsageError
from utils.training.recipe import Recipe
from utils.training.sample_lists import read_sample_list
from utils.training.stage import check_settings


@pytest.mark.parametrize("option", ["steps", "batch_size", "accumulate", "crop", "validate_every"])
def test_settings_that_cannot_be_are_usage_errors(stage_config, option):
    with pytest.raises(UsageError, match=option.replace("_", "-")):
        train_pascal_base.main(stage_config(**{option: 0}))
    with pytest.raises(UsageError, match="frozen-blocks must be 0 to 13, not 14"):
        train_pascal_base.main(stage_config(frozen_blocks=14))
    for option, bad in (
        ("head_learning_rate", -1e-3),
        ("backbone_learning_rate", 10.0),
        ("final_rate", 2.0),
        ("average_from", 1.0),
    ):
        with pytest.raises(UsageError, match=option.replace("_", "-")):
            train_pascal_base.main(stage_config(**{option: bad}))


@pytest.mark.parametrize("size, fitting", [(2, "3"), (4, "3 or 6"), (6, None)])
def test_a_batch_that_jax_cannot_split_evenly_over_the_devices_is_refused(
    monkeypatch, size, fitting
):
    recipe = train_pascal_base.make_recipe(train_pascal_base.Config(batch_size=size))
    check_settings(recipe)
    monkeypatch.setattr(backend, "_devices", lambda: ["gpu:0", "gpu:1", "gpu:2"])
    monkeypatch.setattr(keras.backend, "backend", lambda: "tensorflow")
    check_settings(recipe)
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    if fitting:
        with pytest.raises(UsageError, match=f"multiple of 3, .*not {size}. Take {fitting}\\."):
            check_settings(recipe)
    else:
        check_settings(recipe)


def test_validation_images_that_are_trained_on_are_pointed_out(stage_config, pairs, capsys):
    train_pascal_base.main(stage_config(validation_list=pairs / "train.txt", dry_run=True))
    assert "4 validation images are trained on too" in capsys.readouterr().out


@pytest.mark.parametrize(
    "stage, seed, noted",
    [("pascal_base", 0, True), ("pascal_base", 1, False), ("objectness", 0, False)],
)
def test_a_later_leg_with_the_same_crops_is_pointed_out(stage_config, capsys, stage, seed, noted):
    STAGES[stage].main(stage_config(stage, seed=seed, dry_run=True))  # weights of pascal_base
    assert ("give each run a --seed of its own" in capsys.readouterr().out) == noted


@pytest.mark.parametrize("script", STAGES.values())
def test_the_flags_are_those_of_the_design(script):
    words = "--dataset D --list L --validation-list V --weights W --output O --head xfcn --steps 7"
    words += " --batch-size 3 --crop 64 --precision mixed_bfloat16 --seed 5 --resume --dry-run"
    parsed = parse_config(script.Config, None, words.split())
    assert (parsed.steps, parsed.batch_size, parsed.head, parsed.resume) == (7, 3, "xfcn", True)


@pytest.mark.parametrize("script", [*STAGES.values(), finetune_test])
def test_the_flags_offer_every_head_of_the_table(script):
    offered = typing.get_args(typing.get_type_hints(script.Config)["head"])
    assert offered == tuple(HEADS)
    assert script.Config().head in HEADS


@pytest.mark.parametrize("script", STAGES.values())
def test_the_flags_of_a_later_leg_reach_the_recipe(script):
    words = "--head-learning-rate 2e-4 --backbone-learning-rate 3e-5 --final-rate 0.1"
    words += " --validate-every 7 --average-from 0.6"
    recipe = script.make_recipe(parse_config(script.Config, None, words.split()))
    assert (recipe.head_learning_rate, recipe.backbone_learning_rate) == (2e-4, 3e-5)
    assert (recipe.final_rate, recipe.validate_every, recipe.average_from) == (0.1, 7, 0.6)


def test_every_setting_of_a_recipe_that_a_flag_sets_is_a_flag_of_both_scripts():
    flags = {field.name for field in fields(train_pascal_base.Config)}
    assert flags == {field.name for field in fields(train_davis_objectness.Config)}
    named = {field.name for field in fields(Recipe) if field.default is MISSING}
    assert named - flags == {"stage", "augmentation", "train_batch_statistics"}


def modules_after(statement: str) -> set[str]:
    """The modules that a new process has loaded after a statement."""
    done = subprocess.run(
        [sys.executable, "-c", f"{statement}; import sys; print(*sys.modules)"],
        cwd=paths.ROOT, capture_output=True, text=True, timeout=300, check=True,
    )  # fmt: skip
    return set(done.stdout.split())


def test_training_imports_neither_video_nor_server_nor_tensorboard():
    loaded = modules_after("import train_pascal_base, train_davis_objectness")
    # Not matplotlib, which Keras itself imports where it is installed.
    assert loaded & {"av", "flask", "tensorboard"} == set()
    assert "keras" in loaded


def test_settings_import_no_keras():
    loaded = modules_after("import utils.training.recipe, utils.training.augmentation")
    assert loaded & {"keras", "tensorflow", "torch", "jax"} == set()


def test_lists_repeat_skip_and_name_what_is_missing(pairs):
    text = (pairs / "val.txt").read_text()
    (pairs / "list.txt").write_text("# twice the first\n\n" + text + text.splitlines()[0])
    assert len(read_sample_list(pairs / "list.txt", pairs)) == 3
    (pairs / "list.txt").write_text("JPEGImages/0.jpg Annotations/0.png extra\n")
    with pytest.raises(InputError, match="line 1"):
        read_sample_list(pairs / "list.txt", pairs)
    (pairs / "list.txt").write_text("JPEGImages/0.jpg Annotations/none.png\n")
    with pytest.raises(InputError, match=r"none\.png"):
        read_sample_list(pairs / "list.txt", pairs)
    (pairs / "list.txt").write_text("\n")
    with pytest.raises(InputError, match="no images"):
        read_sample_list(pairs / "list.txt", pairs)
    with pytest.raises(InputError, match="expected a list"):
        read_sample_list(pairs / "none.txt", pairs)
