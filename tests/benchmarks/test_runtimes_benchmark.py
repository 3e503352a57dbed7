"""The benchmark of runtimes where TensorFlow alone is installed, with a tiny network."""

import json

import numpy as np
import pytest

from benchmarks import runtimes
from benchmarks.runtimes import REFERENCE, Config, compare, main
from tests.stage3_world import tiny_network


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


def test_masks_are_compared_frame_by_frame():
    mask = np.zeros((4, 4), bool)
    mask[:2] = True
    number = compare([mask, mask[::-1], ~mask | mask], [mask, mask, mask], [1.0])
    assert number["iou"] == pytest.approx([1, 0, 0.5])
