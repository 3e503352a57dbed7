"""The table of presets: what every row has to keep, and where it is described."""

import re

import pytest

from utils import paths
from utils.media.images import working_size
from utils.stage3.presets import PRESETS


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
