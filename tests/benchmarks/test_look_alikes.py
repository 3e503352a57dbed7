"""The benchmark of look-alikes: making, running, scoring, and the oracle."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from benchmarks import look_alikes, stage3_runs
from benchmarks.look_alike_list import LookAlike, read_list, write_list
from benchmarks.look_alike_results import open_video
from benchmarks.look_alike_runs import BEFORE, FINE_TUNED, read_probability
from benchmarks.look_alike_together import all_animals
from benchmarks.look_alikes import Config, main
from tests.look_alike_world import write_sources
from tests.stage3_world import NUM_FRAMES, two_animals
from utils.errors import InputError, UsageError
from utils.files import write_json
from utils.media.labels import read_label, write_label
from utils.stage3.presets import PRESETS


@pytest.fixture
def pair(world):
    """A data set with one video of two animals of which animal 2 is to be followed."""
    world.add_two(labelled=range(NUM_FRAMES))
    items = [LookAlike("pair", 2, NUM_FRAMES, "test", "behind", "choose", "pair")]
    write_list(world.dataset, items)
    return world


def write_masks(world, masks, animals=(1,), name="pair", folder="."):
    for index, mask in enumerate(masks):
        path = world.results / folder / "segmentation" / name / f"{index:05d}.png"
        write_label(path, mask, animals)


def score(world, **flags):
    path = world.root / "scores.json"
    config = Config(verb="score", dataset=world.dataset, results=world.results, json=path, **flags)
    main(config)
    return json.loads(path.read_text())["rows"]


def test_make_writes_videos_annotations_and_the_animal_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(look_alikes, "SOURCES", write_sources(tmp_path / "sources"))
    output = tmp_path / "made"
    main(Config(verb="make", dataset=tmp_path / "sources", output=output))
    items = {item.name: item for item in read_list(output)}
    assert set(items) == {
        "hen-comes-out", "hen-in-front", "hen-behind", "cock-beside-third", "cock-leaves",
    }  # fmt: skip
    assert items["hen-behind"].half == "choose" and items["cock-leaves"].half == "evaluate"
    assert items["cock-beside-third"].crossing == "beside"
    for name, item in items.items():
        for folder in (output, output / "alone"):
            frames = sorted((folder / "JPEGImages" / "480p" / name).iterdir())
            annotations = sorted((folder / "Annotations" / "480p" / name).iterdir())
            assert len(frames) == len(annotations) == item.num_frames
            assert [f.stem for f in frames] == [f.stem for f in annotations]
        alone = read_label(output / "alone" / "Annotations" / "480p" / name / "00000.png")
        assert alone.animals == (1,)
        shown = read_label(
            annotations[-1].parents[3].parent / "Annotations/480p" / name / "00010.png"
        )
        assert set(shown.animals) >= {1, 2}


def test_perfect_masks_lose_nothing(pair, capsys):
    write_masks(pair, [two_animals(i) == 2 for i in range(NUM_FRAMES)])
    (row,) = score(pair)
    assert row["j"] == row["idf1"] == 1
    assert row["lost"] == row["switches"] == 0
    assert row["frames"] == NUM_FRAMES - 1
    assert "J alone" in capsys.readouterr().out


def test_a_mask_that_moves_to_the_other_animal_is_lost_and_switched(pair):
    numbers = [2, 2, 1, 1, 1, 1][:NUM_FRAMES]
    write_masks(pair, [two_animals(i) == n for i, n in enumerate(numbers)])
    (row,) = score(pair)
    assert row["lost"] == 4 and row["switches"] == 1
    assert row["j"] == pytest.approx(0.2)


def test_of_several_labelled_animals_the_one_of_the_list_is_scored(pair):
    write_masks(pair, [two_animals(i) for i in range(NUM_FRAMES)], animals=(1, 2))
    assert score(pair)[0]["j"] == 1


def test_the_animal_alone_is_compared_in_the_same_frames(pair):
    truth = [two_animals(i) for i in range(NUM_FRAMES)]
    hidden = truth[2].copy()
    hidden[hidden == 2] = 1
    write_label(
        pair.dataset / "Annotations" / "480p" / "pair" / "00002.png",
        hidden,
        (1, 2),
        as_palette=True,
    )
    write_masks(pair, [mask == 1 for mask in truth])  # on the wrong animal
    for index, mask in enumerate(truth):
        folder = pair.dataset / "alone"
        for kind, suffix in (("Annotations", "png"), ("JPEGImages", "png")):
            path = folder / kind / "480p" / "pair" / f"{index:05d}.{suffix}"
            write_label(path, mask == 2)
    alone = [np.zeros_like(m) if i == 2 else (m == 2) for i, m in enumerate(truth)]
    write_masks(pair, alone, folder="alone")
    (row,) = score(pair)
    assert row["frames"] == NUM_FRAMES - 2
    assert (row["j"], row["j_alone"], row["loss"]) == (0, 1, 1)


def test_flags_choose_videos(pair):
    write_masks(pair, [two_animals(i) == 2 for i in range(NUM_FRAMES)])
    assert len(score(pair, half="choose", sequences=("pair",))) == 1
    with pytest.raises(UsageError, match="half evaluate"):
        score(pair, half="evaluate")
    with pytest.raises(UsageError, match="nobody"):
        score(pair, sequences=("nobody",))


def test_missing_masks_are_named(pair):
    with pytest.raises(InputError, match="pair: no masks"):
        score(pair)


def test_a_folder_without_a_list_is_named(world):
    with pytest.raises(InputError, match=r"clips\.txt"):
        score(world)


def test_run_follows_the_animal_of_the_list_and_keeps_probabilities(pair, monkeypatch, capsys):
    from tests.stage3_world import tiny_network

    monkeypatch.setattr(stage3_runs, "build_model", tiny_network)
    flags = {"dataset": pair.dataset, "results": pair.results, "preset": "fast"}
    main(Config(verb="run", weights=pair.weights, **flags))
    label = read_label(pair.results / "labels" / "pair" / "00000.png")
    np.testing.assert_array_equal(label.values == 1, two_animals(0) == 2)
    video = open_video(pair.dataset, pair.results, read_list(pair.dataset)[0])
    assert len(video.masks) == NUM_FRAMES
    networks = [
        read_probability(pair.results, "pair", network, "00003") for network in (FINE_TUNED, BEFORE)
    ]
    assert networks[0].shape == networks[1].shape and networks[0].dtype == np.uint8
    assert not np.array_equal(*networks)
    assert not (pair.results / "runs" / "pair" / "partial").exists()

    capsys.readouterr()
    main(Config(verb="run", weights=pair.weights, **flags))
    assert "finished before" in capsys.readouterr().out
    main(Config(verb="oracle", json=pair.root / "oracle.json", **flags))
    assert "before fine-tuning" in capsys.readouterr().out
    (row,) = json.loads((pair.root / "oracle.json").read_text())["rows"]
    assert row[FINE_TUNED] >= 0.5 and 0 <= row[BEFORE] <= 1


def test_the_oracle_splits_what_the_network_finds_of_both_animals(pair):
    from benchmarks.look_alike_runs import _folder, _write

    write_masks(pair, [two_animals(i) > 0 for i in range(NUM_FRAMES)])  # both absorbed
    for index in range(NUM_FRAMES):
        both = np.where(two_animals(index) > 0, 255, 0).astype("uint8")
        for network, probability in ((FINE_TUNED, both), (BEFORE, np.zeros_like(both))):
            _write(_folder(pair.results, "pair", network) / f"{index:05d}.png", probability)
    config = Config(verb="oracle", dataset=pair.dataset, results=pair.results)
    row = look_alikes.apply_oracle(config, read_list(pair.dataset)[0])
    assert row["j"] < 0.6
    assert row[FINE_TUNED] == 1 and row[BEFORE] == 0


def test_the_oracle_says_where_probabilities_come_from(pair):
    write_masks(pair, [two_animals(i) == 2 for i in range(NUM_FRAMES)])
    with pytest.raises(InputError, match="look_alikes run"):
        main(Config(verb="oracle", dataset=pair.dataset, results=pair.results))


def test_the_oracle_says_that_a_network_that_takes_prompts_finds_nothing_without(pair):
    write_masks(pair, [two_animals(i) == 2 for i in range(NUM_FRAMES)])
    flags = {"verb": "oracle", "dataset": pair.dataset, "results": pair.results}
    with pytest.raises(UsageError, match="--preset herd finds nothing without"):
        main(Config(preset="herd", **flags))
    record = {"key": {"preset": asdict(PRESETS["herd"])}}
    write_json(pair.results / "runs" / "pair" / "run.json", record)
    with pytest.raises(UsageError, match="another --results"):
        main(Config(**flags))


# All animals labelled


def test_all_animals_of_the_first_frame_are_listed_the_chosen_one_first(pair):
    items = read_list(pair.dataset)
    assert [item.animal for item in all_animals(pair.dataset, items, 5)] == [1, 2]
    (only,) = all_animals(pair.dataset, items, 1)
    assert only.animal == 2 and only.name == "pair-all"


def test_run_labels_all_animals_and_scores_each_and_all(pair, monkeypatch, capsys):
    from tests.stage3_world import tiny_network

    monkeypatch.setattr(stage3_runs, "build_model", tiny_network)
    flags = {"dataset": pair.dataset, "results": pair.results, "label_all": True}
    main(Config(verb="run", weights=pair.weights, preset="fast", **flags))
    label = read_label(pair.results / "labels" / "pair-all" / "00000.png")
    np.testing.assert_array_equal(label.values, two_animals(0))
    assert not (pair.results / "probabilities").exists()
    rows = score(pair, label_all=True)
    assert [row["animal"] for row in rows] == [1, 2, "all"]
    assert all(0.3 < row["j"] <= 1 for row in rows)
    assert rows[2]["frames"] == 2 * (NUM_FRAMES - 1)
    assert "1 videos" in capsys.readouterr().out
    with pytest.raises(UsageError, match="--label-all"):
        main(Config(verb="oracle", **flags))
    with pytest.raises(UsageError, match="--networks"):
        main(Config(verb="score", networks="one", **flags))


def test_one_network_finds_all_labelled_animals(pair, monkeypatch):
    from tests.stage3_world import tiny_network

    monkeypatch.setattr(stage3_runs, "build_model", tiny_network)
    flags = {"dataset": pair.dataset, "results": pair.results, "label_all": True}
    main(Config(verb="run", weights=pair.weights, preset="fast", networks="one", **flags))
    assert "sharing" in pair.record("pair-all")["key"]
    assert [row["animal"] for row in score(pair, label_all=True)] == [1, 2, "all"]


def test_two_tracks_that_swap_are_two_switches(pair):
    swapped = [3 - two_animals(i) if i > 3 else two_animals(i) for i in range(NUM_FRAMES)]
    swapped = [np.where(mask == 3, 0, mask) for mask in swapped]
    write_masks(pair, swapped, animals=(1, 2), name="pair-all")
    one, other, together = score(pair, label_all=True)
    assert one["switches"] == other["switches"] == 1
    assert one["lost"] == other["lost"] == 2 and together["lost"] == 4
    assert together["switches"] == 2 and together["idf1"] == pytest.approx(0.6)


def test_with_one_animal_to_label_there_is_one_line_for_it(pair):
    write_masks(pair, [two_animals(i) == 2 for i in range(NUM_FRAMES)], name="pair-all")
    one, together = score(pair, label_all=True, most=1)
    assert one["animal"] == 2 and one["j"] == together["j"] == 1
