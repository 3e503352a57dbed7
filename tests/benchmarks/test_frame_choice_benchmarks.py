"""The benchmarks of the choice of frames: runs of stage 3 that resume, and what they are held
against."""

import json

import numpy as np
import pytest

from benchmarks import frame_choice, next_labels, stage3_runs, standin_agreement, start_weights
from benchmarks.next_labels import spread_labels
from benchmarks.stage3_runs import Run
from benchmarks.standin_agreement import rank_correlation
from tests.stage3_world import NUM_FRAMES, tiny_network
from utils.errors import InputError, UsageError
from utils.frame_choice.chooser import Chooser
from utils.frame_choice.features import CUES, FrameFeatures, save_features
from utils.stage3.fine_tuning import FineTuner


def make_run(frames, j=0.5) -> Run:
    return Run(tuple(sorted(frames)), None, j, j + 0.1, j - 0.1, j)


# Runs of stage 3


def test_next_labels_runs_stage_3_and_continues_where_it_was(world, monkeypatch, capsys):
    world.add(labelled=range(NUM_FRAMES))
    monkeypatch.setattr(stage3_runs, "build_model", tiny_network)
    results = world.root / "next"
    config = next_labels.Config(
        dataset=world.dataset, results=results, weights=world.weights, labels=2
    )
    next_labels.main(config)
    rows = json.loads((results / "next_labels.json").read_text())
    assert [(row["method"], len(row["frames"])) for row in rows] == [
        ("next", 1),
        ("next", 2),
        ("even", 2),
    ]
    assert rows[0]["frames"] == [0] and rows[1]["frames"][0] == 0 and rows[2]["frames"] == [1, 4]
    for row in rows:
        assert 0 < row["j"] <= 1 and 0 < row["f_left_out"] <= 1
    assert rows[0]["j"] == rows[0]["j_left_out"]  # frame 0 is no official frame
    folders = {"+".join(f"{frame:05d}" for frame in row["frames"]) for row in rows}
    assert {path.name for path in results.iterdir() if path.is_dir()} == folders
    out = capsys.readouterr().out
    assert "mean" in out and "of 1 videos" in out

    monkeypatch.setattr(FineTuner, "fit", lambda *_, **__: pytest.fail("trained again"))
    next_labels.main(config)
    assert json.loads((results / "next_labels.json").read_text()) == rows


def test_a_run_of_a_benchmark_equals_that_of_the_script(world, monkeypatch):
    world.add(labelled=range(NUM_FRAMES))
    world.run(guidance="3", seed=2)
    monkeypatch.setattr(stage3_runs, "build_model", tiny_network)
    run = stage3_runs.start_stage3(world.dataset, world.root / "runs", world.weights, "fast", 2)
    run("hen", [1])  # leaves no trace in the next
    result = run("hen", [3])
    scores = world.record()["scores"]
    assert (result.j, result.f) == (scores["J-Mean"], scores["F-Mean"])
    masks = sorted((result.results / "segmentation" / "hen").glob("*.png"))
    assert [m.read_bytes() for m in masks] == [m.read_bytes() for m in world.mask_paths()]


def test_start_weights_are_compared_over_videos_and_seeds(world, monkeypatch, capsys):
    values = {("good", 0): 0.9, ("good", 1): 0.8, ("poor", 0): 0.5, ("poor", 1): 0.5}

    def start(dataset, results, weights, preset, seed):
        assert results.name == f"{weights.parent.name}-{seed}"
        return lambda name, frames: make_run(frames, values[weights.parent.name, seed])

    world.add("hen")
    world.add("cow")
    monkeypatch.setattr(start_weights, "start_stage3", start)
    files = tuple(world.root / name / "deeplab.safetensors" for name in ("good", "poor"))
    config = start_weights.Config(
        dataset=world.dataset, weights=files, results=world.root / "compared"
    )
    start_weights.main(config)
    rows = json.loads((world.root / "compared" / "start_weights.json").read_text())
    assert len(rows) == 8 and {tuple(row["frames"]) for row in rows} == {(0,)}
    lines = capsys.readouterr().out.splitlines()
    table = lines[lines.index("good") :]
    assert [line.split()[0] for line in table] == "good cow hen mean poor cow hen mean".split()
    assert "0.850 / 0.950  (0.100 / 0.100)" in table[3] and "(0.000 / 0.000)" in table[7]
    with pytest.raises(UsageError, match="different names"):
        start_weights.main(start_weights.Config(weights=(files[0], files[0])))


# Who chose


def test_choices_of_a_frame_are_compared_by_their_runs(world, monkeypatch, capsys):
    world.add(labelled=range(NUM_FRAMES))
    monkeypatch.setattr(frame_choice, "SPACING", 2)
    monkeypatch.setattr(
        frame_choice, "load_chooser", lambda *_, rule: Chooser({}, None, rule, (), {"rule": rule})
    )
    done = []

    def run(name, frames):
        done.append(frames)
        return make_run(frames, 0.1 * (1 + frames[0]))

    monkeypatch.setattr(frame_choice, "start_stage3", lambda *_: run)
    config = frame_choice.Config(
        dataset=world.dataset, rules=("last", "middle"), tenths=("hen",), results=world.root / "r"
    )
    frame_choice.main(config)
    assert done == [[5], [3], [0], [2], [4]]
    rows = json.loads((world.root / "r" / "frame_choice.json").read_text())
    assert [(row["method"], row["frames"]) for row in rows[:2]] == [("last", [5]), ("middle", [3])]
    lines = capsys.readouterr().out.splitlines()
    assert lines[-4].split() == ["mean", "last", "0.600", "0.700", "0.500", "0.600"]
    assert lines[-2].split()[-4:] == ["0.300", "0.400", "0.200", "0.300"]  # mean of frames 0, 2, 4
    assert "best of every tenth" in lines[-1] and lines[-1].split()[5:7] == ["4", "0.500"]
    with pytest.raises(UsageError, match="best: give some of middle"):
        frame_choice.main(frame_choice.Config(dataset=world.dataset, rules=("best",)))
    with pytest.raises(UsageError, match="--tenths cow"):
        frame_choice.main(frame_choice.Config(dataset=world.dataset, tenths=("cow",)))


# The next label


@pytest.mark.parametrize(
    "num_frames, count, frames",
    [(90, 1, [45]), (90, 2, [22, 67]), (90, 3, [15, 45, 75]), (3, 3, [0, 1, 2])],
)
def test_evenly_spaced_labels_are_the_middles_of_equal_parts(num_frames, count, frames):
    assert spread_labels(num_frames, count) == frames


def test_each_further_label_goes_where_the_last_run_was_least_certain(monkeypatch):
    doubts = iter([30, 12, 25])

    def difficulty(segmented):
        return np.eye(40)[next(doubts)] * 40

    monkeypatch.setattr(next_labels, "open_segmented", lambda results, name: None)
    monkeypatch.setattr(next_labels, "frame_difficulty", difficulty)
    runs = list(next_labels.label_next(lambda name, frames: make_run(frames), "hen", 0, 3))
    assert [run.frames for run in runs] == [(0,), (0, 30), (0, 12, 30)]


# The stand-in


@pytest.mark.parametrize(
    "a, b, expected",
    [
        ([1, 2, 3, 4], [10, 20, 30, 40], 1),
        ([1, 2, 3, 4], [4, 3, 2, 1], -1),
        ([1, 2, 3, 4, 5], [2, 1, 4, 3, 5], 0.8),
        ([1, 1, 2], [3, 3, 9], 1),
        ([1, 1, 2, 2], [1, 2, 1, 2], 0),
    ],
)
def test_rank_correlation_equals_known_values(a, b, expected):
    assert rank_correlation(a, b) == pytest.approx(expected)
    assert rank_correlation(b, a) == pytest.approx(expected)


def test_rank_correlation_of_equal_values_is_nan():
    assert np.isnan(rank_correlation([1, 1, 1], [1, 2, 3]))


@pytest.fixture
def table(tmp_path):
    """Two videos of 9 measured frames each; frame 0 of the first shows no animal."""
    folder = tmp_path / "table"
    for name in ("ant", "bee"):
        scores = np.linspace(0.5, 1.3, 9)
        scores[0] = 0 if name == "ant" else 0.4
        cues = {cue: np.ones(9, "float32") for cue in CUES}
        features = FrameFeatures(np.ones((9, 3), "float32"), cues, "xception", "a" * 64, "b" * 64)
        save_features(folder / f"{name}.npz", features, scores)
    return folder


@pytest.fixture
def real_runs(monkeypatch):
    """Stage 3 finds later frames better in "ant" and worse in "bee"; returns what was run."""
    done = []

    def run(name, frames):
        done.append((name, *frames))
        return make_run(frames, 0.1 + 0.08 * (frames[0] if name == "ant" else 8 - frames[0]))

    monkeypatch.setattr(standin_agreement, "start_stage3", lambda *_: run)
    return done


def test_the_agreement_is_reported_by_video_and_its_scores_are_kept(
    table, real_runs, tmp_path, capsys
):
    config = standin_agreement.Config(table=table, frames_per_video=4, results=tmp_path)
    standin_agreement.main(config)
    assert real_runs == [("ant", f) for f in (1, 3, 6, 8)] + [("bee", f) for f in (0, 3, 5, 8)]
    lines = capsys.readouterr().out.splitlines()
    cells = {line.split()[0]: line.split()[1:] for line in lines if line and "/" not in line}
    assert cells["ant"] == ["4", "1.00", "1.380", "0.820", "1.380"]
    assert cells["bee"][:3] == ["4", "-1.00", "0.100"]
    assert cells["mean"][0] == "0.00"
    assert any(line.startswith("ant, real / stand-in: 1: 0.260 / 0.600") for line in lines)

    del real_runs[:]
    scores = tmp_path / "scores.json"
    standin_agreement.main(standin_agreement.Config(table=table, scores=scores))
    again = capsys.readouterr().out.splitlines()
    assert not real_runs and again == lines


def test_scores_that_do_not_go_with_the_table_are_refused(table, tmp_path):
    path = tmp_path / "scores.json"

    def run(content, **flags):
        path.write_text(content)
        standin_agreement.main(standin_agreement.Config(table=table, scores=path, **flags))

    with pytest.raises(InputError, match="found something else"):
        run("[1, 2]")
    with pytest.raises(InputError, match="two or more frames"):
        run('{"cow": {"1": 1.0, "2": 0.5}}')
    with pytest.raises(InputError, match="ant: frame 20 is not measured"):
        run('{"ant": {"1": 1.0, "20": 0.5}}')
    with pytest.raises(UsageError, match="No cow.npz"):
        run("{}", sequences=("cow",))
