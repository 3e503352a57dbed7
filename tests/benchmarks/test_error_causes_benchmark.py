"""The table of error causes and its picture, on made results."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image

from benchmarks import error_causes
from benchmarks.error_causes import COLOURS, TILE_PX, Config, main
from tests import made_results
from utils.errors import InputError
from utils.evaluation.error_causes import CAUSES


@pytest.fixture
def made(tmp_path):
    """Masks that are a pixel too large, and those that in frame 5 have a false piece as well."""
    made = made_results.MadeResults(tmp_path)
    frames = range(made_results.NUM_FRAMES)
    grown = [cv2.dilate(made_results.animal(i), np.ones((3, 3), np.uint8)) for i in frames]
    made.add("grown", grown, annotated=frames)
    pieces = [made_results.animal(i) for i in frames]
    pieces[5][2:12, 80:90] = 1
    made.add("piece", pieces, annotated=frames)
    made.add("alone")
    return made


def test_table_and_picture_show_what_was_made(made, tmp_path, capsys):
    config = Config(
        dataset=made.dataset,
        results=(made.results,),
        sequences=("grown", "piece"),
        json=tmp_path / "causes.json",
        sheet=tmp_path / "worst.png",
    )
    main(config)
    rows = json.loads((tmp_path / "causes.json").read_text())[str(made.results)]
    assert rows["grown"]["lost J"] == pytest.approx(
        rows["grown"]["within 1 px"] + rows["grown"]["2 to 3 px"]
    )
    area = made_results.animal(5).sum()
    frames = made_results.NUM_FRAMES - 3  # without the first, the last and the labelled one
    assert rows["piece"]["false piece"] == pytest.approx(100 / (area + 100) / frames)
    assert rows["piece"]["lost J"] == rows["piece"]["false piece"]
    out = capsys.readouterr().out
    assert "| share" in out and all(cause in out for cause in CAUSES)
    sheet = np.asarray(Image.open(tmp_path / "worst.png"))
    assert sheet.shape[1] >= 2 * TILE_PX[1]
    for colour in COLOURS:
        assert (sheet == colour).all(axis=-1).any()  # the key
    tile = sheet[: TILE_PX[0], TILE_PX[1] : 2 * TILE_PX[1]].astype(int)
    pink = (tile[..., 0] > 170) & (tile[..., 2] > 170) & (tile[..., 1] < 150)
    assert pink.sum() > 5_000  # 100 pixels, enlarged


def test_worst_frame_is_the_one_with_the_false_piece(made):
    _, worst = error_causes.measure(made.dataset, made.results, "piece")
    assert worst.stem == "00005" and worst.lost > 0.1


def test_video_without_annotations_is_refused(made):
    config = Config(dataset=made.dataset, results=(made.results,), sequences=("alone",))
    with pytest.raises(InputError, match="alone: expected annotations besides"):
        main(config)
