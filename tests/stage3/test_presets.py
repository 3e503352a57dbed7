"""The table of presets: what every row has to keep, and where it is described."""

import re

import keras
import numpy as np
import pytest

from models.losses import BalancedSumLoss, SegmentationLoss
from tests.stage3_world import tiny_network
from utils import paths
from utils.media.images import working_size
from utils.stage3 import window
from utils.stage3.fine_tuning import FineTuner, make_loss
from utils.stage3.presets import PRESETS
from utils.stage3.temporal_filter import TemporalFilter
from utils.stage3.window import WindowedView, choose_zoom
from utils.training.batches import FrameSample
from utils.training.optimizers import make_paper_optimizer


@pytest.mark.parametrize("name", PRESETS)
def test_the_crop_of_a_preset_fits_into_a_frame_at_its_size(name):
    preset = PRESETS[name]
    height, width = working_size(1080, 1920, preset.lines)
    crop_height, crop_width = preset.fine_tuning.crop
    assert crop_height <= height and crop_width <= width


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_described_in_the_documentation_and_on_the_page(name):
    documentation = (paths.ROOT / "docs/your_video.md").read_text(encoding="utf-8")
    assert re.search(rf"^\| `{name}` \|", documentation, re.MULTILINE)
    page = (paths.ROOT / "utils/annotator/page/run.js").read_text(encoding="utf-8")
    texts = page[page.index("PRESET_TEXTS") :]
    assert re.search(rf"\b{name}\b", texts[: texts.index("}")])


# The paper's recipe


def test_the_paper_sees_every_frame_once_whole_and_with_its_mirror_image(monkeypatch):
    seen = []

    def predict(model, image, flip):
        seen.append((image.shape[0], flip))
        return image[..., 0].astype("float32") / 255

    monkeypatch.setattr(window, "predict_probability", predict)
    preset = PRESETS["paper"]
    assert preset.fine_lines == preset.lines == 480
    size = working_size(1080, 1920, preset.lines)
    animal = np.zeros(size, bool)
    animal[100:150, 200:300] = True
    view = WindowedView(
        None, lambda index: np.repeat(255 * animal[..., None].astype("uint8"), 3, axis=2), size,
        lines=480, zoom=choose_zoom([animal], preset.window), settings=preset.window,
        threshold=preset.refinement.threshold, flip=preset.flip,
    )  # fmt: skip
    found = view.around(7, animal, also_whole=7 % preset.window.whole_every == 0)
    assert seen == [(480, True)]
    np.testing.assert_array_equal(found > 0.5, animal)


def test_the_paper_keeps_everything_above_its_threshold_in_every_frame():
    label = np.zeros((60, 80), "uint8")
    label[10:20, 10:20] = 1
    probability = np.zeros((60, 80), "uint8")
    probability[10:20, 12:22], probability[40:50, 60:70], probability[0:5] = 163, 163, 162
    found = TemporalFilter(PRESETS["paper"].refinement, label)(probability)
    np.testing.assert_array_equal(found, probability == 163)


def test_the_paper_has_its_loss_and_all_others_have_ours():
    for name, preset in PRESETS.items():
        expected = BalancedSumLoss if name == "paper" else SegmentationLoss
        assert type(make_loss(preset)) is expected


def test_the_paper_moves_the_fusing_layer_a_hundredth_as_far():
    def layer(name):
        return keras.layers.Dense(1, name=name)

    image = keras.Input((3,))
    model = keras.Model(image, layer("mask_logits")(layer("side2_conv")(image)))
    before = [np.array(v) for v in model.trainable_variables]
    optimizer = make_paper_optimizer(0.5, momentum=0.9)
    for _ in range(2):  # the second step moves by 1 + momentum
        optimizer.apply([keras.ops.ones_like(v) for v in before], model.trainable_variables)
    moved = [
        np.unique(np.round(old - np.array(v), 6)).tolist()
        for old, v in zip(before, model.trainable_variables, strict=True)
    ]
    full = 0.5 * (1 + 1.9)
    assert moved == [[pytest.approx(full * share)] for share in (1, 1, 0.01, 0.02)]


def test_the_paper_trains_at_a_constant_rate_and_starts_each_video_afresh():
    paper = PRESETS["paper"].fine_tuning
    settings = type(paper)(
        **{**vars(paper), "steps": 4, "crop": (32, 40), "head_learning_rate": 1e-4}
    )
    keras.utils.set_random_seed(1)
    tuner = FineTuner(tiny_network(), make_loss(PRESETS["paper"]), settings, seed=0)
    target = np.zeros((32, 40), "uint8")
    target[8:24, 10:30] = 1
    image = np.where(target[..., None], (230, 60, 40), (70, 80, 75)).astype("uint8")
    first = tuner.fit([FrameSample(image, target)])
    weights = [np.array(v) for v in tuner.model.variables]
    assert tuner.fit([FrameSample(image, target)]) == first
    for value, variable in zip(weights, tuner.model.variables, strict=True):
        np.testing.assert_array_equal(value, np.array(variable))
