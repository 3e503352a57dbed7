"""What takes long before the first step is done once."""

import numpy as np

from models.losses import SegmentationLoss
from tests.stage3_world import TINY, animal, frame, tiny_network
from utils.stage3.fine_tuning import FineTuner
from utils.training.batches import FrameSample


class CountedLoss(SegmentationLoss):
    calls = 0

    def call(self, *arguments):
        type(self).calls += 1
        return super().call(*arguments)


def test_the_training_step_is_traced_once_for_all_videos(monkeypatch):
    monkeypatch.setattr(CountedLoss, "calls", 0)
    tuner = FineTuner(tiny_network(), CountedLoss(1.0), TINY.fine_tuning, seed=0)
    weights = []
    for _ in range(2):
        tuner.fit([FrameSample(frame(0), animal(0))])
        weights.append([np.array(v.value) for v in tuner.model.variables])
    assert CountedLoss.calls == 1
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)
