"""The ablation table: its rows, runs that continue where they were, and protocols kept apart."""

import json
from dataclasses import replace

import pytest

from benchmarks import ablation, stage3_runs
from benchmarks.ablation import Config, format_row, main, make_rows
from tests.stage3_world import NUM_FRAMES, tiny_network
from utils.errors import InputError, UsageError
from utils.evaluation import scoring
from utils.frame_choice.chooser import Chooser
from utils.inputs.sequences import choose_sequences
from utils.stage3.fine_tuning import FineTuner


@pytest.fixture
def config(world, monkeypatch):
    """Two short videos, rows that the tiny network can do, the middle frame as chosen one."""
    monkeypatch.setattr(stage3_runs, "build_model", tiny_network)
    chooser = Chooser({}, None, "middle", (), {"rule": "middle"})
    monkeypatch.setattr(ablation, "load_chooser", lambda: chooser)
    for name in ("hen", "cow"):
        world.add(name, labelled=range(NUM_FRAMES))
    return Config(
        dataset=world.dataset,
        results=world.root / "ablation",
        weights=world.weights,
        precision="float32",
        preset="fast",
        seeds=(0, 1),
        rows=("no-window", "fast-chosen"),
        stable=("hen",),
    )


def test_rows_of_the_default_preset_are_those_of_the_documentation():
    rows = make_rows("default")
    assert list(rows) == [
        "default", "imagenet", "stage-1", "no-window", "no-identity", "no-second-look", "no-mean",
        "no-start", "no-smoothing", "mirror", "guided-filter", "crf", "fast", "accurate", "herd",
        "paper", "default-chosen", "paper-chosen",
    ]  # fmt: skip
    without = rows["no-identity"].preset
    assert (without.separation, without.crossing, without.company) == (None, None, None)
    assert without.refinement.entrance == 0 < rows["default"].preset.refinement.entrance
    assert rows["no-second-look"].preset.second_look is None
    assert rows["no-start"].preset.start_share == 0 < rows["default"].preset.start_share
    assert rows["mirror"].preset.flip and not rows["default"].preset.flip
    assert rows["paper"].head == "xfcn" and rows["paper"].crf
    assert {name for name, row in rows.items() if row.chosen} == {"default-chosen", "paper-chosen"}


def test_rows_that_equal_the_preset_are_left_out():
    rows = make_rows("fast")
    assert not {"no-second-look", "no-mean"} & rows.keys()
    assert "second-look" in rows
    assert "second-look" not in make_rows("accurate") and "mirror" not in make_rows("accurate")


def test_every_run_is_made_once_and_its_protocol_has_its_own_table(config, monkeypatch, capsys):
    assert main(config) == 0
    runs = json.loads((config.results / "ablation.json").read_text())
    assert len(runs) == 2 * 2 * 2
    for run in runs:
        assert 0 < run["j"] <= 1 and run["seconds"] > 0
        assert ("t" in run) == (run["video"] == "hen")
        assert run["frame"] == (3 if run["row"] == "fast-chosen" else 0)
    by_seed = [[run["j"] for run in runs if run["seed"] == seed] for seed in (0, 1)]
    assert by_seed[0] != by_seed[1]
    first, chosen = (config.results / "ablation.md").read_text().split("**The frame that BNLF")
    assert "without window" in first and "preset fast" not in first
    assert "label left out" in chosen and "label left out" not in first
    assert "preset fast" in chosen and "window" not in chosen
    assert first.splitlines()[0].endswith("T: hen.")

    monkeypatch.setattr(FineTuner, "fit", lambda *_, **__: pytest.fail("trained again"))
    monkeypatch.setattr(scoring, "_score_masks", lambda *_: pytest.fail("scored again"))
    monkeypatch.setattr(stage3_runs, "build_model", lambda *_: pytest.fail("built again"))
    assert main(config) == 0
    assert json.loads((config.results / "ablation.json").read_text()) == runs
    assert first in capsys.readouterr().out


def test_what_is_known_is_not_run_again(config, monkeypatch):
    config = replace(config, rows=("no-window",), sequences=("hen", "cow"))
    assert main(replace(config, seeds=(0,))) == 0
    known = config.results / "ablation.json"
    runs = json.loads(known.read_text())
    runs[0]["j"] = 0.123
    known.write_text(json.dumps(runs))
    elsewhere = replace(config, known=known, results=config.results / "other")

    assert main(elsewhere) == 0
    assert {p.name for p in (elsewhere.results / "no-window").iterdir()} == {"seed-1"}
    both = json.loads((elsewhere.results / "ablation.json").read_text())
    assert both[:2] == runs and {run["seed"] for run in both[2:]} == {1}


def test_what_is_known_of_other_rows_is_kept(config):
    config = replace(config, rows=("no-window",), seeds=(0,), sequences=("hen",))
    assert main(config) == 0
    known = config.results / "ablation.json"
    runs = json.loads(known.read_text())
    runs.append(runs[0] | {"row": "mirror"})
    known.write_text(json.dumps(runs))
    assert main(replace(config, known=known)) == 0
    assert json.loads(known.read_text()) == runs
    assert "mirror" not in (config.results / "ablation.md").read_text()


def test_a_file_that_is_no_record_of_runs_is_refused(config):
    path = config.results / "known.json"
    path.parent.mkdir()
    path.write_text("{}")
    with pytest.raises(InputError, match="expected a file ablation.json"):
        main(replace(config, known=path))


def test_the_run_of_the_preset_itself_equals_that_of_the_script(config, world):
    main(replace(config, rows=("fast",), seeds=(1,), sequences=("hen",)))
    world.run(guidance="first", seed=1, sequences=("hen",))
    masks = (config.results / "fast" / "seed-1" / "00000" / "segmentation" / "hen").glob("*.png")
    assert [m.read_bytes() for m in sorted(masks)] == [
        m.read_bytes() for m in world.mask_paths("hen")
    ]


def test_a_row_without_its_weights_is_left_out_and_said(config, monkeypatch, capsys):
    monkeypatch.setattr(ablation.paths, "PROMPTED_WEIGHTS", config.results / "none")
    assert main(replace(config, rows=("fast", "herd"), seeds=(0,))) == 1
    out = capsys.readouterr().out
    assert "row herd is not complete" in out and "preset fast" in out
    assert "preset herd" not in (config.results / "ablation.md").read_text()


def test_a_video_on_which_a_row_fails_keeps_no_other_from_being_run(config, monkeypatch, capsys):
    fit = FineTuner.fit

    def diverge_once(*arguments, **options):
        monkeypatch.setattr(FineTuner, "fit", fit)
        raise FloatingPointError("The loss is not finite.")

    monkeypatch.setattr(FineTuner, "fit", diverge_once)
    assert main(replace(config, rows=("no-window",), seeds=(0,))) == 1
    runs = json.loads((config.results / "ablation.json").read_text())
    first, second = choose_sequences(config.dataset, ())
    assert [run["video"] for run in runs] == [second]
    message = f"row no-window is not complete: {first}, seed 0: The loss is not finite."
    assert message in capsys.readouterr().out


def test_an_unknown_row_is_refused_with_the_names_that_there_are(config):
    with pytest.raises(UsageError, match="--rows window: expected some of fast, imagenet"):
        main(replace(config, rows=("window",)))


def test_cells_are_means_of_seeds_with_their_spread():
    row = make_rows("default")["default"]
    runs = [
        {"row": "default", "video": v, "seed": s, "weights": "w", "j": j, "f": j, "seconds": 90 + s}
        for v, s, j in (("a", 0, 0.9), ("b", 0, 0.8), ("a", 1, 0.7), ("b", 1, 0.8), ("a", 2, 0.1))
    ]
    runs[0]["t"], runs[2]["t"] = 0.02, 0.04
    cells = format_row(row, runs, ablation.FIRST, ["a", "b"])
    assert cells == [
        "preset default", "w", "0.800 (0.100)", "0.800 (0.100)", "0.030 (0.020)", "90 (1)",
        "0.800 / 0.800", "0.800 / 0.800",
    ]  # fmt: skip
    assert format_row(row, runs[:1], ablation.FIRST, ["a", "b"]) is None
