"""The benchmark of runtimes where TensorFlow alone is installed, with a tiny network."""

import json

import numpy as np
import pytest

from benchmarks import runtimes
from benchmarks.runtimes import REFERENCE, Config, compare, main, read_windows
from tests.stage3_world import NUM_FRAMES, tiny_network
from utils.media.images import read_image, resize_image


def test_runtimes_that_are_not_installed_are_said(world, monkeypatch, capsys):
    world.add()
    network = tiny_network()
    monkeypatch.setattr(runtimes, "load_network", lambda *_: network)
    monkeypatch.setattr(runtimes, "find_spec", lambda name: None)
    path = world.root / "runtimes.json"
    main(
        Config(
            weights=world.weights, dataset=world.dataset, sequence="hen", size=(32, 64), frames=2,
            calibration=2, rounds=2, json=path,
        )
    )  # fmt: skip
    out = capsys.readouterr().out
    assert "OpenVINO, float32: not measured, not installed: openvino" in out
    assert "ONNX Runtime, int8: not measured, not installed: onnx, tf2onnx, onnxruntime" in out
    assert "--runtime openvino, from float32: not measured, not installed: openvino, nncf" in out
    numbers = json.loads(path.read_text())
    assert len(numbers) == 4 and all(name.startswith("TensorFlow") for name in numbers)
    for number in numbers.values():  # the same network, whatever the precision is called
        assert len(number["seconds"]) == 2 and number["iou"] == [1, 1]
    assert f"| {REFERENCE}" in out


def test_a_network_is_compared_on_frames_all_over_the_video_and_adapted_to_others(world):
    world.add()
    config = Config(
        dataset=world.dataset, sequence="hen", size=(32, 64), frames=3, calibration=NUM_FRAMES
    )
    compared, calibration = read_windows(config)
    images = [read_image(world.frames() / f"{i:05d}.png") for i in range(NUM_FRAMES)]
    frames = [resize_image(image, 32, 64).astype("float32") for image in images]
    where = [
        [np.flatnonzero([np.array_equal(w[0], f) for f in frames])[0] for w in windows]
        for windows in (compared, calibration)
    ]
    assert where[0][0] == 0 and where[0][-1] == NUM_FRAMES - 1
    assert sorted(where[0] + where[1]) == list(range(NUM_FRAMES))


def test_masks_are_compared_frame_by_frame():
    mask = np.zeros((4, 4), bool)
    mask[:2] = True
    number = compare([mask, mask[::-1], ~mask | mask], [mask, mask, mask], [1.0])
    assert number["iou"] == pytest.approx([1, 0, 0.5])
