"""The benchmarks that measure weights without fine-tuning: on images by kind, and on videos."""

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import save_file

from benchmarks import class_agnostic_iou, without_fine_tuning
from tests.stage3_world import NUM_FRAMES, tiny_network
from utils import paths
from utils.errors import InputError, UsageError

BENCHMARKS = (class_agnostic_iou, without_fine_tuning)


@pytest.fixture(autouse=True)
def small_network(monkeypatch):
    for benchmark in BENCHMARKS:
        monkeypatch.setattr(benchmark, "build_model", tiny_network)


def config_of(benchmark, world, weights, **flags):
    file = world.root / "numbers.json"
    return benchmark.Config(weights=weights, dataset=world.dataset, json=file, **flags)


def test_frames_of_several_videos_are_scored_each_under_its_own_path(world, capsys):
    lines = []
    for name in ("hen", "cock"):
        world.add(name, labelled=(0, 1))
        for index in (0, 1):
            file = f"480p/{name}/{index:05d}.png"
            lines.append(f"JPEGImages/{file} Annotations/{file}\n")
    for kind in ("JPEGImages", "Annotations"):
        source = world.dataset / kind / "480p" / "hen" / "00000.png"
        shutil.copyfile(source, world.dataset / kind / "duck_1.png")
    lines.append("JPEGImages/duck_1.png Annotations/duck_1.png\n")
    world.root.joinpath("list.txt").write_text("".join([*lines, lines[0]]))
    config = config_of(
        class_agnostic_iou, world, (world.weights,),
        list=world.root / "list.txt", worst=world.root / "worst",
    )  # fmt: skip
    class_agnostic_iou.main(config)
    scores = json.loads(config.json.read_text())[str(world.weights)]
    assert list(scores) == [line.split()[0] for line in lines]
    table = [line.split() for line in capsys.readouterr().out.splitlines()[3:]]
    assert [(row[0], row[-1]) for row in table] == [
        ("cock", "2"), ("duck", "1"), ("hen", "2"), ("all", "5"),
    ]  # fmt: skip
    assert len(list(config.worst.iterdir())) == 1


def test_annotated_frames_between_the_first_and_the_last_one_are_scored(world, capsys):
    world.add(labelled=(0, 1, 3, NUM_FRAMES - 1))
    frames = without_fine_tuning.annotated_frames(world.dataset, "hen")
    assert [path.stem for path, _ in frames] == ["00001", "00003"]
    config = config_of(without_fine_tuning, world, (world.weights,))
    without_fine_tuning.main(config)
    scores = json.loads(config.json.read_text())[str(world.weights)]
    assert 0 <= scores["hen"]["J"] <= 1
    assert "mean" in capsys.readouterr().out


@pytest.mark.parametrize("labelled", [(), (0,)])
def test_a_video_without_such_frames_is_refused(world, labelled):
    world.add(labelled=labelled)
    with pytest.raises(InputError, match=r"hen: expected annotations"):
        without_fine_tuning.main(config_of(without_fine_tuning, world, (world.weights,)))


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_weights_have_to_be_those_of_a_whole_network(benchmark, world, tmp_path):
    world.add(labelled=range(NUM_FRAMES))
    with pytest.raises(UsageError, match="--weights"):
        benchmark.main(config_of(benchmark, world, ()))
    unknown = tmp_path / "unknown.safetensors"
    save_file({"kernel": np.zeros(1, "float32")}, unknown)
    for path in (paths.IMAGENET_WEIGHTS_FILE, unknown):
        with pytest.raises(InputError, match="whole network"):
            benchmark.main(config_of(benchmark, world, (world.weights, path)))
