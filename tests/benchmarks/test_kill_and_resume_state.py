"""What the benchmark of kills says about the state on disk follows the names that stage 3 uses."""

import keras
import numpy as np

from benchmarks.kill_and_resume import VIDEO, list_state
from utils.stage3.partial_run import PartialRun


def test_the_state_left_by_a_kill_is_listed_by_the_names_of_stage_3(tmp_path):
    assert list_state(tmp_path) == "nothing"
    partial = PartialRun(tmp_path, VIDEO, {})
    assert list_state(tmp_path) == "key only"
    model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])
    partial.save_fine_tuned(model, 1)
    partial.training_backup(1).touch()
    partial.write_probability(1, 0, np.zeros((2, 2), "uint8"))
    assert list_state(tmp_path) == "training backup, tuned weights, 1 probabilities"
