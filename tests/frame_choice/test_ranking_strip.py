"""Rankings as strips of thumbnails."""

import numpy as np
import pytest
from PIL import Image

from tests.frame_choice_world import REDS, write_frames
from utils.frame_choice.ranking_strip import write_ranking_strip
from utils.media.videos import FrameFolder


def test_the_strip_shows_each_ranking_from_best_to_worst(video, tmp_path):
    write_ranking_strip(tmp_path / "strip.png", video, {"one": [4, 0, 1, 2, 3, 5]}, columns=3)
    pixels = np.asarray(Image.open(tmp_path / "strip.png").convert("RGB")).astype(int)
    reds = []
    for column in range(3):
        left = pixels.shape[1] * column // 3
        cell = pixels[:, left : left + pixels.shape[1] // 3].reshape(-1, 3)
        plain = cell[(abs(cell[:, 1] - 60) < 3) & (abs(cell[:, 2] - 90) < 3)]
        reds.append(int(np.median(plain[:, 0])))
    assert reds == [250, 40, 10] or reds == [250, 150, 10]  # ranks 1, 3 or 4, and 6


@pytest.mark.parametrize("num_frames", [1, 2, 4])
def test_a_strip_of_few_frames_has_few_thumbnails(tmp_path, num_frames):
    video = FrameFolder(write_frames(tmp_path / "hen", REDS[:num_frames]))
    ranking = list(range(num_frames))
    write_ranking_strip(tmp_path / "s.png", video, {"a": ranking, "b": ranking[::-1]})
    width, height = Image.open(tmp_path / "s.png").size
    assert width < 240 * num_frames + 20 and height > 2 * 100
