"""The benchmark of halves: what each method learns, which track is scored, and that it resumes."""

import json
from dataclasses import replace

import pytest

import finetune_test
from benchmarks import halves, halves_runs, stage3_runs
from benchmarks.halves import Config, main
from benchmarks.halves_runs import METHODS, score_kept_track, write_parts
from tests.stage3_world import animal, tiny_network
from utils import paths
from utils.errors import InputError, UsageError
from utils.files import sha256_of
from utils.media.labels import write_label
from utils.stage3.find_animals import NoAnimalError
from utils.stage3.fine_tuning import FineTuner

NUM_FRAMES = 9


@pytest.fixture
def config(world, monkeypatch):
    world.add(frames=NUM_FRAMES, labelled=range(NUM_FRAMES))
    monkeypatch.setattr(stage3_runs, "build_model", tiny_network)
    return Config(
        dataset=world.dataset, weights=world.weights, seeds=(0,), precision="float32",
        results=world.root / "halves",
    )  # fmt: skip


def rows_of(config):
    return json.loads((config.results / "halves.json").read_text())


def record_of(config, method, part):
    path = config.results / "0" / method / "hen" / "runs" / part / "run.json"
    return json.loads(path.read_text())


def test_halves_are_run_with_each_network_and_only_read_again(config, monkeypatch, capsys):
    main(config)
    rows = rows_of(config)
    parts = [(row["method"], row["number"]) for row in rows]
    assert parts == [
        ("own_label", 1), ("own_label", 2), ("fine_tuned", 2), ("one_label", 1), ("one_label", 2),
        ("all_labels", 1), ("all_labels", 2),
    ]  # fmt: skip
    assert all(0.3 < row["j"] <= 1 and row["tracks"] >= 1 for row in rows)
    assert all((row["seconds_before"] > 0) == (row["method"] != "own_label") for row in rows)
    labelled = {method: record_of(config, method, "hen-2")["labelled_frames"] for method in METHODS}
    assert labelled == {"own_label": [0], "fine_tuned": [], "one_label": [], "all_labels": [0]}
    learnt = [
        entry["video"] for entry in record_of(config, "all_labels", "hen-2")["network"]["tuned_on"]
    ]
    assert learnt == ["hen-1", "hen-2"]
    tuned_on = record_of(config, "fine_tuned", "hen-2")["network"]["tuned_on"]
    assert [entry["video"] for entry in tuned_on] == ["hen-1"]
    assert not list(paths.FINE_TUNE_WEIGHTS.glob("hen*"))
    out = capsys.readouterr().out
    assert "J / F of all parts but the first" in out and "minutes for all parts" in out

    monkeypatch.setattr(FineTuner, "fit", lambda *_, **__: pytest.fail("trained again"))
    main(config)
    assert rows_of(config) == rows


def test_with_another_preset_the_network_of_the_first_part_is_kept_anew(config, monkeypatch):
    for preset in ("fast", "default"):
        config = replace(config, preset=preset, methods=("own_label", "fine_tuned"))
        main(config)
        (learnt,) = record_of(config, "own_label", "hen-1")["saved_weights_sha256"].values()
        assert record_of(config, "fine_tuned", "hen-2")["network"]["sha256"] == learnt
    monkeypatch.setattr(FineTuner, "fit", lambda *_, **__: pytest.fail("trained again"))
    main(config)


def learnt_together(config):
    """The seconds that were noted, and whether they are noted for the network that is there."""
    folder = config.results / "0" / "one_label" / "hen"
    noted = json.loads((folder / "learnt.json").read_text())
    assert noted["sha256"] == sha256_of(folder / "together" / "deeplab.safetensors")
    return noted["seconds"]


def test_seconds_are_those_of_the_network_that_was_learnt_last(config):
    seconds = []
    for preset in ("fast", "default", "default"):
        config = replace(config, preset=preset, methods=("one_label",))
        main(config)
        seconds.append(learnt_together(config))
        assert {row["seconds_before"] for row in rows_of(config)} == {seconds[-1]}
    assert seconds[0] != seconds[1] == seconds[2]


def test_seconds_of_a_network_that_was_cut_off_are_not_known(config, monkeypatch):
    config = replace(config, methods=("one_label",))
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(FineTuner, "fit", interrupt)
        main(config)
    main(config)
    assert learnt_together(config) is None
    assert {row["seconds_before"] for row in rows_of(config)} == {None}


def interrupt(*_, **__):
    raise KeyboardInterrupt


def test_a_label_of_its_own_gives_what_the_script_gives(config, world):
    main(Config(**{**vars(config), "methods": ("one_label", "own_label")}))
    world.dataset = config.results / "data"
    assert world.run(sequences=("hen-2",), guidance="first", shot_changes="ignore") == 0
    expected = [path.read_bytes() for path in world.mask_paths("hen-2")]
    masks = sorted((config.results / "0/own_label/hen/segmentation/hen-2").glob("*.png"))
    assert [path.read_bytes() for path in masks] == expected


def test_parts_have_all_frames_in_their_order(world, tmp_path):
    world.add(frames=NUM_FRAMES, labelled=range(NUM_FRAMES))
    write_parts(world.dataset, tmp_path / "data", "hen", 3)
    for number in (1, 2, 3):
        for kind in ("JPEGImages", "Annotations"):
            names = sorted(p.stem for p in (tmp_path / f"data/{kind}/480p/hen-{number}").iterdir())
            assert names == [f"{3 * number - 3 + k:05d}" for k in range(3)]
    with pytest.raises(InputError, match="expected 12 frames, found 9"):
        write_parts(world.dataset, tmp_path / "data", "hen", 4)
    world.annotation("hen", 5).unlink()
    with pytest.raises(InputError, match=r"00005\.png: no such file"):
        write_parts(world.dataset, tmp_path / "data", "hen", 3)


def test_parts_of_an_earlier_call_are_replaced(world, tmp_path):
    world.add(frames=NUM_FRAMES, labelled=range(NUM_FRAMES))
    for count in (3, 2):
        write_parts(world.dataset, tmp_path, "hen", count)
        for kind in ("JPEGImages", "Annotations"):
            folders = [tmp_path / kind / "480p" / f"hen-{n}" for n in range(1, count + 1)]
            names = [path.stem for folder in folders for path in sorted(folder.iterdir())]
            assert names == [f"{k:05d}" for k in range(NUM_FRAMES)]


def test_of_several_tracks_the_best_is_scored(tmp_path):
    for index in range(5):
        name = f"{index:05d}.png"
        write_label(tmp_path / "annotations" / name, animal(index))
        masks = 2 * animal(index)
        masks[:8] = 1
        write_label(tmp_path / "masks" / name, masks, (1, 2))
    score = score_kept_track(tmp_path / "masks", tmp_path / "annotations")
    assert score == {"j": 1.0, "f": 1.0, "tracks": 2}


def test_a_part_in_which_nothing_is_found_counts_as_zero(config, monkeypatch):
    real = finetune_test.run_job

    def run_job(job, flags, *others):
        if flags.fine_tuned:
            raise NoAnimalError("hen-2: finds no animal")
        return real(job, flags, *others)

    monkeypatch.setattr(finetune_test, "run_job", run_job)
    main(Config(**{**vars(config), "methods": ("own_label", "fine_tuned")}))
    assert rows_of(config)[-1]["j"] == 0 and rows_of(config)[-1]["tracks"] == 0


def test_minutes_are_those_of_all_parts_and_of_what_they_share(capsys):
    row = {"video": "hen", "seed": 0, "f": 0.5}
    rows = [
        row | {"method": "own_label", "number": 1, "j": 0.1, "seconds": 60, "seconds_before": 0},
        row | {"method": "own_label", "number": 2, "j": 0.9, "seconds": 90, "seconds_before": 0},
        row | {"method": "one_label", "number": 1, "j": 0.1, "seconds": 30, "seconds_before": 60},
        row | {"method": "one_label", "number": 2, "j": 0.8, "seconds": 30, "seconds_before": 60},
    ]
    second = [r | {"seed": 1, "j": r["j"] - 0.1, "seconds": r["seconds"] + 6} for r in rows]
    halves.print_tables([*rows, *second])
    lines = capsys.readouterr().out.splitlines()
    cells = ["0.850 / 0.500  (0.100 / 0.000)", "0.750 / 0.500  (0.100 / 0.000)"]
    assert lines[4].split(maxsplit=1) == ["hen", "  ".join(cells)]
    assert lines[-1].split() == ["mean", "2.6", "(0.2)", "2.1", "(0.2)"]


def test_flags_that_do_not_go_together_are_refused(config):
    for flags, text in (
        ({"parts": 1}, "--parts"),
        ({"methods": ("fine_tuned",)}, "needs own_label"),
        ({"preset": "herd"}, "--preset herd"),
    ):
        with pytest.raises(UsageError, match=text):
            main(Config(**{**vars(config), **flags}))


def test_an_error_of_another_kind_is_not_taken_for_an_empty_part(config, monkeypatch):
    def run_job(job, flags, *others):
        raise InputError("disk full")

    monkeypatch.setattr(halves_runs.finetune_test, "run_job", run_job)
    with pytest.raises(InputError, match="disk full"):
        main(config)
