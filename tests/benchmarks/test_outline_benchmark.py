"""The outline benchmark on made results whose masks are the truth, grown by a pixel."""

import json

import cv2
import numpy as np
import pytest

from benchmarks import outline
from tests import made_results
from utils.errors import InputError
from utils.media.labels import write_label


@pytest.fixture
def made(tmp_path):
    made = made_results.MadeResults(tmp_path)
    frames = range(made_results.NUM_FRAMES)
    grown = [cv2.dilate(made_results.animal(i), np.ones((3, 3), np.uint8)) for i in frames]
    made.add("grown", grown, annotated=frames)
    made.add("exact", annotated=frames)
    return made


def test_table_tells_a_grown_mask_from_an_exact_one(made, tmp_path, capsys):
    config = outline.Config(
        dataset=made.dataset, results=(made.results,), json=tmp_path / "outline.json"
    )
    outline.main(config)
    rows = json.loads((tmp_path / "outline.json").read_text())[str(made.results)]
    assert rows["exact"]["J"] == rows["exact"]["J, labelled"] == 1
    assert rows["grown"]["J"] < 0.9
    assert rows["grown"]["J beyond 1 px"] > rows["grown"]["J"]
    assert rows["grown"]["J beyond 2 px"] == 1
    assert rows["grown"]["offset, px"] > 0.5
    assert rows["mean"]["J"] == pytest.approx((1 + rows["grown"]["J"]) / 2)
    assert "exact" in capsys.readouterr().out


def test_labelled_frame_is_not_among_the_scored_ones(made):
    config = outline.Config(dataset=made.dataset, results=(made.results,))
    video = outline.open_segmented(config.results[0], "grown")
    stems = [stem for stem, *_ in outline.read_frames(config.dataset, video)]
    assert len(stems) == made_results.NUM_FRAMES
    assert video.labelled_frames == [3]


def test_a_mask_of_another_size_is_named(made):
    path = made.results / "segmentation" / "grown" / f"{made_results.NUM_FRAMES - 1:05d}.png"
    write_label(path, np.ones((8, 9), np.uint8), (1,))
    config = outline.Config(dataset=made.dataset, results=(made.results,))
    with pytest.raises(InputError, match=f"{path.name}: the mask is 8x9"):
        outline.main(config)


def test_video_without_annotations_has_no_numbers(made, tmp_path):
    made.add("unknown")
    json_path = tmp_path / "outline.json"
    outline.main(outline.Config(dataset=made.dataset, results=(made.results,), json=json_path))
    rows = json.loads(json_path.read_text())[str(made.results)]
    assert rows["unknown"]["J"] is None
    assert rows["mean"]["J"] == pytest.approx((rows["grown"]["J"] + rows["exact"]["J"]) / 2)
