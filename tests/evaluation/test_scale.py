"""A scale drawn on a frame: which videos it holds for, and what it makes of pixels."""

import json
import os
from pathlib import Path

import pytest

import export
from tests.made_results import FRAME_SECONDS, HEIGHT, NUM_FRAMES, WIDTH, MadeResults, animal
from utils import paths
from utils.errors import InputError
from utils.evaluation.scale import Scale, find_scale, parse_scale, remove_scale, save_scale

SIZE = (HEIGHT, WIDTH)
TEN_PX_ARE_5_CM = Scale(3, ((10.0, 20.0), (16.0, 28.0)), 5.0, SIZE)


@pytest.fixture(autouse=True)
def labels(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "LABELS", tmp_path / "labels")
    return tmp_path / "labels"


def test_the_scale_of_a_folder_holds_for_its_videos_of_the_same_size(tmp_path):
    hen, cock, away = tmp_path / "a" / "hen.mp4", tmp_path / "a" / "cock.mp4", tmp_path / "hen.mp4"
    save_scale("hen", hen, TEN_PX_ARE_5_CM)
    assert find_scale("hen", hen, SIZE) == find_scale("cock", cock, SIZE) == TEN_PX_ARE_5_CM
    assert find_scale("cock", cock, (HEIGHT, 2 * WIDTH)) is None
    assert find_scale("cock", away, SIZE) is None and find_scale("cock", None, SIZE) is None
    own = Scale(0, ((0.0, 0.0), (10.0, 0.0)), 8.0, SIZE)
    save_scale("cock", None, own)
    assert find_scale("cock", cock, SIZE) == own and find_scale("hen", hen, SIZE) != own
    remove_scale("cock", cock)
    assert find_scale("cock", cock, SIZE) == TEN_PX_ARE_5_CM
    remove_scale("cock", cock)
    assert find_scale("hen", hen, SIZE) is None


def test_a_folder_has_a_scale_for_each_size_of_video(tmp_path):
    large_size = (2 * HEIGHT, 2 * WIDTH)
    hen, large = tmp_path / "hen.mp4", tmp_path / "large.mp4"
    of_large = Scale(0, ((0.0, 0.0), (10.0, 0.0)), 8.0, large_size)
    save_scale("hen", hen, TEN_PX_ARE_5_CM)
    save_scale("large", large, of_large)
    assert find_scale("hen", hen, SIZE) == TEN_PX_ARE_5_CM
    assert find_scale("large", large, large_size) == of_large
    remove_scale("large", large, large_size)
    assert find_scale("hen", hen, SIZE) == TEN_PX_ARE_5_CM
    assert find_scale("large", large, large_size) is None


def test_what_is_removed_is_the_scale_that_holds(tmp_path):
    """Another video of this name has one of its own."""
    hen = tmp_path / "hen.mp4"
    other = Scale(0, ((0.0, 0.0), (10.0, 0.0)), 8.0, (2 * HEIGHT, 2 * WIDTH))
    save_scale("cock", hen, TEN_PX_ARE_5_CM)
    save_scale("hen", None, other)
    remove_scale("hen", hen, SIZE)
    assert find_scale("hen", hen, SIZE) is None and find_scale("hen", hen, other.size) == other


def test_a_scale_that_cannot_be_read_is_drawn_again_or_removed(tmp_path, labels):
    hen, wrong = tmp_path / "hen.mp4", {"frame": 0, "points": [[1, 2], [1, 2]]}
    good = Scale(0, ((0.0, 0.0), (10.0, 0.0)), 8.0, (2 * HEIGHT, 2 * WIDTH))

    def write(name, folder):
        save_scale(name, folder, good)
        content = json.loads((labels / "scales.json").read_text())
        content["folders"].setdefault(str(tmp_path), []).append(wrong)
        (labels / "scales.json").write_text(json.dumps(content))

    write("hen", None)
    assert find_scale("hen", hen, good.size) == good  # its own one is not that of the folder
    with pytest.raises(InputError, match="draw the scale again"):
        find_scale("cock", hen, SIZE)
    save_scale("cock", hen, TEN_PX_ARE_5_CM)
    assert find_scale("cock", hen, SIZE) == TEN_PX_ARE_5_CM
    write("hen", hen)
    remove_scale("cock", hen, SIZE)
    assert find_scale("cock", hen, SIZE) is None and find_scale("cock", hen, good.size) == good


def test_the_scale_of_a_folder_leaves_that_of_a_video_of_another_size(tmp_path):
    own = Scale(0, ((0.0, 0.0), (10.0, 0.0)), 8.0, (2 * HEIGHT, 2 * WIDTH))
    save_scale("hen", None, own)
    save_scale("hen", tmp_path / "hen.mp4", TEN_PX_ARE_5_CM)
    assert find_scale("hen", None, own.size) == own


def test_the_scale_of_a_folder_of_an_earlier_version_still_holds(tmp_path, labels):
    save_scale("hen", None, TEN_PX_ARE_5_CM)
    content = json.loads((labels / "scales.json").read_text())
    content = {"videos": {}, "folders": {str(tmp_path): content["videos"]["hen"]}}
    (labels / "scales.json").write_text(json.dumps(content))
    assert find_scale("cock", tmp_path / "cock.mp4", SIZE) == TEN_PX_ARE_5_CM


def test_a_folder_is_the_same_one_however_its_path_is_written(tmp_path, monkeypatch):
    """run.json, from which export.py looks, has it without the dots."""
    for folder in ("study", "code"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / "code")
    save_scale("day1", Path("../study/day1.mp4"), TEN_PX_ARE_5_CM)
    assert find_scale("day1", tmp_path / "study" / "day1.mp4", SIZE) == TEN_PX_ARE_5_CM
    remove_scale("day1", tmp_path / "code" / ".." / "study" / "day1.mp4")
    assert find_scale("day1", tmp_path / "study" / "day1.mp4", SIZE) is None


def test_a_folder_is_the_same_one_in_any_case_where_case_does_not_matter(tmp_path, monkeypatch):
    monkeypatch.setattr(os.path, "normcase", str.lower)  # as on Windows
    video = tmp_path / "Study" / "hen.mp4"
    save_scale("hen", video, TEN_PX_ARE_5_CM)
    assert find_scale("cock", video.with_name("cock.mp4"), SIZE) == TEN_PX_ARE_5_CM
    assert find_scale("cock", tmp_path / "STUDY" / "cock.mp4", SIZE) == TEN_PX_ARE_5_CM
    remove_scale("cock", tmp_path / "STUDY" / "cock.mp4")
    assert find_scale("hen", video, SIZE) is None


def test_one_drawn_for_the_folder_replaces_that_of_the_video(tmp_path):
    save_scale("hen", None, Scale(0, ((0.0, 0.0), (10.0, 0.0)), 8.0, SIZE))
    save_scale("hen", tmp_path / "hen.mp4", TEN_PX_ARE_5_CM)
    assert find_scale("hen", tmp_path / "hen.mp4", SIZE) == TEN_PX_ARE_5_CM


def test_wide_pixels_count_as_wide_as_they_are():
    scale = Scale(0, ((0, 0), (3, 8)), 5.0, SIZE, pixel_aspect=2.0)
    assert scale.cm_per_px == pytest.approx(0.5) and scale.cm2_per_px == pytest.approx(0.5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"points": [[1, 2], [1, 2]]},
        {"points": [[1, 2]]},
        {"points": [[1, 2], [3, float("nan")]]},
        {"distance_cm": 0},
        {"distance_cm": "long"},
        {"frame": None},
        {"size": [3]},
    ],
)
def test_what_is_no_scale_is_refused(wrong, labels):
    good = {"frame": 0, "points": [[1, 2], [3, 4]], "distance_cm": 2, "size": SIZE}
    assert parse_scale(good).cm_per_px > 0
    with pytest.raises(ValueError):
        parse_scale(good | wrong)
    labels.mkdir()
    (labels / "scales.json").write_text(
        json.dumps({"videos": {"hen": good | wrong}, "folders": {}})
    )
    with pytest.raises(InputError, match=r"scales\.json: .*annotate\.py"):
        find_scale("hen", None, SIZE)


def test_a_broken_file_says_what_to_do(labels):
    labels.mkdir()
    (labels / "scales.json").write_text("[]")
    with pytest.raises(InputError, match=r"scales\.json: expected .*remove it"):
        find_scale("hen", None, SIZE)


def test_tables_have_centimetres_beside_pixels(tmp_path):
    pandas = pytest.importorskip("pandas")
    made = MadeResults(tmp_path)
    made.add("hen", is_file=True)
    made.add("cock", is_file=True)
    save_scale("hen", None, TEN_PX_ARE_5_CM)
    export.main(export.Config("csv", results=made.results))
    table = pandas.read_csv(made.results / "export" / "csv" / "hen.csv")
    assert len(table) == NUM_FRAMES
    near = {"rel": 1e-3}
    assert table["centroid_x_cm"][2] == pytest.approx(table["centroid_x"][2] / 2, **near)
    assert table["centroid_y_cm"][2] == pytest.approx(table["centroid_y"][2] / 2, **near)
    assert table["area_cm2"][2] == pytest.approx(animal(2).sum() / 4, **near)
    assert table["speed_cm_per_second"][2] == pytest.approx(1 / FRAME_SECONDS, **near)
    assert table["cm_per_px"].eq(0.5).all()
    without = pandas.read_csv(made.results / "export" / "csv" / "cock.csv")
    assert without[["area_cm2", "speed_cm_per_second", "cm_per_px"]].isna().all(axis=None)
