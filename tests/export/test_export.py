"""export.py: what other programs read is what the masks hold."""

import csv
import errno
import io
import json
import os
import shutil
import subprocess
import sys
import time
from typing import get_args

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools.coco import COCO
from skimage.measure import regionprops

import export
from tests.browser import open_page, wait_until
from tests.made_results import FRAME_SECONDS, HEIGHT, NUM_FRAMES, WIDTH, MadeResults, animal, frame
from utils import paths
from utils.command_line import parse_config
from utils.errors import InputError, UsageError
from utils.evaluation.confidence import consistency, frames_to_check
from utils.evaluation.mask_tracks import COLUMNS, follow_animals, measure_shape
from utils.export import PROGRAM
from utils.export.cutout import write_transparent_video
from utils.export.output_folder import replaced_folder
from utils.export.tables import TABLE_HEADER
from utils.media.labels import davis_palette, read_label, write_label


def pair(index: int) -> np.ndarray:
    """Two animals; the second is away in frames 3 and 4, and lies over the first."""
    mask = animal(index)
    if index not in (3, 4):
        mask[40:60, 50:70] = 2
    return mask


@pytest.fixture
def made(tmp_path) -> MadeResults:
    return MadeResults(tmp_path)


def run(made, what, **flags) -> int:
    return export.main(export.Config(what, results=made.results, **flags))


def read_rows(path) -> list[dict]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def decode_coco(path) -> tuple[COCO, list[np.ndarray]]:
    coco = COCO(str(path))
    masks = []
    for image_id in coco.getImgIds():
        image = coco.imgs[image_id]
        mask = np.zeros((image["height"], image["width"]), np.uint8)
        for annotation in coco.loadAnns(coco.getAnnIds(imgIds=[image_id])):
            mask[coco.annToMask(annotation) > 0] = annotation["track_id"]
        masks.append(mask)
    return coco, masks


@pytest.mark.parametrize("shape_of", [animal, pair], ids=["one animal", "two animals"])
def test_coco_decodes_to_the_same_masks(made, shape_of):
    masks = [shape_of(index) for index in range(NUM_FRAMES)]
    masks[5] = np.zeros_like(masks[5])
    made.add("hen", masks)
    assert run(made, "coco") == 0
    coco, decoded = decode_coco(made.results / "export" / "coco" / "hen.json")
    np.testing.assert_array_equal(decoded, masks)
    assert [category["name"] for category in coco.dataset["categories"]] == ["animal"]


def test_coco_has_an_annotation_per_animal_and_frame_it_is_in(made):
    made.add("two", [pair(index) for index in range(NUM_FRAMES)])
    run(made, "coco")
    coco, _ = decode_coco(made.results / "export" / "coco" / "two.json")
    found = [(a["frame_index"], a["track_id"]) for a in coco.dataset["annotations"]]
    expected = {(i, 1) for i in range(NUM_FRAMES)} | {(i, 2) for i in range(NUM_FRAMES)} - {
        (3, 2),
        (4, 2),
    }
    assert sorted(found) == sorted(expected)
    for one in coco.dataset["annotations"]:
        region = pair(one["frame_index"]) == one["track_id"]
        rows, columns = np.flatnonzero(region.any(1)), np.flatnonzero(region.any(0))
        size = [np.ptp(columns) + 1, np.ptp(rows) + 1]
        assert one["area"] == region.sum()
        assert one["bbox"] == [columns[0], rows[0], *size]
        assert isinstance(one["segmentation"]["counts"], str)
        assert (one["category_id"], one["iscrowd"], one["video_id"]) == (1, 0, 1)
        assert coco.imgs[one["image_id"]]["frame_index"] == one["frame_index"]
    assert sorted(coco.anns) == list(range(1, len(found) + 1))  # id 0 is no match to COCO's scorer
    assert coco.dataset["videos"][0]["name"] == "two"


def test_coco_images_are_named_as_the_frames(made):
    made.add("folder")
    made.add("film", is_file=True)
    made.add("moved")
    shutil.rmtree(made.dataset / "JPEGImages" / "moved")
    assert run(made, "coco") == 0
    for name, expected in (("folder", "00000.jpg"), ("film", "00000.png"), ("moved", "00000.png")):
        content = json.loads((made.results / "export" / "coco" / f"{name}.json").read_text())
        assert content["images"][0]["file_name"] == expected
        assert len(content["images"]) == NUM_FRAMES


def test_via_lines_are_named_as_the_frames(made):
    """They had the names of the masks, which are no images of the video."""
    made.add("folder")
    made.add("moved")
    shutil.rmtree(made.dataset / "JPEGImages" / "moved")
    made.add("part", [animal(index) for index in range(3)], part=[0, 3])
    assert run(made, "csv") == 0
    for name, expected in (("folder", "00000.jpg"), ("moved", "00000.png"), ("part", "00000.jpg")):
        rows = read_rows(made.results / "export" / "via_tracks" / f"{name}.csv")
        assert rows[0]["filename"] == expected


def test_coco_says_where_images_are_named_as_the_masks(made, capsys):
    made.add("folder")
    made.add("film", is_file=True)
    made.add("moved")
    frames = made.dataset / "JPEGImages" / "moved"
    shutil.rmtree(frames)
    assert run(made, "coco") == 0
    out = capsys.readouterr().out
    assert f"film: images are named as the masks: {made.root / 'film.mp4'} is a video file" in out
    assert f"moved: images are named as the masks: {frames}: expected the frames" in out
    assert "folder: images" not in out


@pytest.mark.parametrize("shape_of", [animal, pair], ids=["one animal", "two animals"])
def test_davis_folders_hold_indices_in_the_davis_palette(made, shape_of):
    made.add("hen", [shape_of(index) for index in range(NUM_FRAMES)])
    assert run(made, "davis") == 0
    folder = made.results / "export" / "davis"
    for index in range(NUM_FRAMES):
        with Image.open(folder / "Annotations" / "hen" / f"{index:05d}.png") as image:
            assert image.mode == "P"
            np.testing.assert_array_equal(np.array(image), shape_of(index))
            palette = np.array(image.getpalette(), np.uint8).reshape(-1, 3)
            np.testing.assert_array_equal(palette, davis_palette()[: len(palette)])
    objects = json.loads((folder / "meta.json").read_text())["videos"]["hen"]["objects"]
    assert objects["1"] == {
        "category": "animal",
        "frames": [f"{index:05d}" for index in range(NUM_FRAMES)],
    }
    if shape_of is pair:
        assert objects["2"]["frames"] == [f"{i:05d}" for i in range(NUM_FRAMES) if i not in (3, 4)]


def test_davis_keeps_other_videos_and_drops_frames_and_videos_of_old(made):
    made.add("ant")
    made.add("bee")
    made.add("cat")
    run(made, "davis")
    folder = made.results / "export" / "davis"
    shutil.rmtree(folder / "Annotations" / "cat")
    (folder / "Annotations" / "bee" / "00099.png").write_bytes(b"of an earlier, longer run")
    assert run(made, "davis", sequences=("bee",)) == 0
    assert list(json.loads((folder / "meta.json").read_text())["videos"]) == ["ant", "bee"]
    assert len(list((folder / "Annotations" / "bee").iterdir())) == NUM_FRAMES


KILLED_EXPORT = """
import os, pathlib, sys
from utils.export.output_folder import replaced_folder
with replaced_folder(pathlib.Path(sys.argv[1])) as folder:
    (folder / "00000.png").touch()
    os._exit(9)
"""


@pytest.mark.skipif(os.name == "nt", reason="there it goes by age")
def test_what_a_killed_export_left_is_removed_by_the_next_one(made):
    """It stayed in the data set for ever."""
    folder = made.results / "export" / "davis" / "Annotations"
    command = [sys.executable, "-c", KILLED_EXPORT, str(folder / "hen")]
    assert subprocess.run(command, cwd=paths.ROOT).returncode == 9
    assert [path.name[:9] for path in folder.iterdir()] == [".writing-"]
    made.add("cow")
    with replaced_folder(folder / "bee") as still_written:
        run(made, "davis")
        assert sorted(folder.iterdir()) == sorted([still_written, folder / "cow"])


def test_what_an_export_on_another_machine_left_is_removed_a_day_later(made):
    folder = made.results / "export" / "davis" / "Annotations"
    new, old = folder / ".writing-0123abcd-77-11111111", folder / ".writing-77-22222222"
    for path, hours in ((new, 23), (old, 25)):
        path.mkdir(parents=True)
        os.utime(path, times=(time.time() - 3600 * hours,) * 2)
    made.add("cow")
    run(made, "davis")
    assert sorted(folder.iterdir()) == sorted([new, folder / "cow"])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 14))
def test_shapes_agree_with_regionprops(seed, height, width):
    mask = (np.random.default_rng(seed).random((height, width)) < 0.5).astype(np.uint8)
    shape = dict(zip(COLUMNS, measure_shape(mask), strict=True))
    if not mask.any():
        assert shape["area_px"] == shape["num_components"] == 0
        assert np.isnan(shape["centroid_x"]) and np.isnan(shape["orientation_degrees"])
        return
    (expected,) = regionprops(mask)
    top, left, bottom, right = expected.bbox
    assert shape["area_px"] == expected.area
    assert (shape["centroid_y"], shape["centroid_x"]) == pytest.approx(expected.centroid)
    assert (shape["box_x"], shape["box_y"]) == (left, top)
    assert (shape["box_width"], shape["box_height"]) == (right - left, bottom - top)
    # There a pixel is a point; as a square it has a variance of 1/12 of its own.
    major, minor = (
        np.sqrt(length**2 + 16 / 12)
        for length in (expected.axis_major_length, expected.axis_minor_length)
    )
    assert shape["major_axis_px"] == pytest.approx(major)
    assert shape["minor_axis_px"] == pytest.approx(minor)
    if shape["major_axis_px"] - shape["minor_axis_px"] > 1e-3:
        # There the angle is between the rows' axis and the major one.
        turn = (shape["orientation_degrees"] - np.degrees(expected.orientation) - 90) % 180
        assert min(turn, 180 - turn) < 1e-6


@pytest.mark.parametrize("degrees", [-60, -1, 0, 30, 45, 89, 90])
def test_orientation_is_counter_clockwise_from_the_x_axis(degrees):
    mask = np.zeros((200, 200), np.uint8)
    # OpenCV turns clockwise as seen on the screen.
    cv2.ellipse(mask, (100, 100), (80, 20), -degrees, 0, 360, 1, -1)
    shape = dict(zip(COLUMNS, measure_shape(mask), strict=True))
    assert -90 < shape["orientation_degrees"] <= 90
    assert (shape["orientation_degrees"] - degrees + 90) % 180 - 90 == pytest.approx(0, abs=0.5)
    assert shape["major_axis_px"] == pytest.approx(160, rel=0.02)
    assert shape["minor_axis_px"] == pytest.approx(40, rel=0.04)


def test_a_square_points_nowhere():
    mask = np.zeros((9, 9), np.uint8)
    mask[2:6, 3:7] = 1
    assert np.isnan(dict(zip(COLUMNS, measure_shape(mask), strict=True))["orientation_degrees"])


def test_components_touch_by_a_corner_too():
    mask = np.zeros((9, 9), np.uint8)
    mask[0, 0] = mask[1, 1] = mask[5:8, 5:8] = 1
    shape = dict(zip(COLUMNS, measure_shape(mask), strict=True))
    assert (shape["num_components"], shape["largest_component_px"]) == (2, 9)


def test_table_has_a_line_per_frame_and_animal(made):
    made.add("two", [pair(index) for index in range(NUM_FRAMES)], labelled=(2,))
    assert run(made, "csv") == 0
    rows = read_rows(made.results / "export" / "csv" / "two.csv")
    assert tuple(rows[0]) == TABLE_HEADER
    assert [(int(row["frame"]), int(row["animal"])) for row in rows] == [
        (index, number) for index in range(NUM_FRAMES) for number in (1, 2)
    ]
    for row in rows:
        region = pair(int(row["frame"])) == int(row["animal"])
        assert row["file"] == f"{int(row['frame']):05d}.png"
        assert row["visible"] == str(bool(region.any()))
        assert int(row["area_px"]) == region.sum()
        assert row["labelled"] == str(row["frame"] == "2")
        assert row["confidence"] == ""
        if region.any():
            assert float(row["centroid_x"]) == pytest.approx(np.nonzero(region)[1].mean(), abs=1e-3)
        else:
            assert row["centroid_x"] == row["box_width"] == row["orientation_degrees"] == ""


def test_times_are_those_of_the_video_and_a_folder_has_none(made, capsys):
    made.add("film", is_file=True)
    made.add("folder")
    made.add("moved", is_file=True)
    (made.root / "moved.mp4").unlink()
    assert run(made, "csv") == 0
    tables = {
        name: [row["time_seconds"] for row in read_rows(made.results / f"export/csv/{name}.csv")]
        for name in ("film", "folder", "moved")
    }
    expected = [FRAME_SECONDS * index + 0.05 * (index > 4) for index in range(NUM_FRAMES)]
    assert [float(time) for time in tables["film"]] == pytest.approx(expected, abs=1e-4)
    assert tables["folder"] == tables["moved"] == [""] * NUM_FRAMES
    assert "moved: time_seconds and pixel_aspect stay empty" in capsys.readouterr().out


@pytest.mark.parametrize("what", ["csv", "coco"])
def test_a_video_that_may_not_be_read_is_as_one_that_has_moved(made, monkeypatch, capsys, what):
    """Its tables were refused, where those of a video that was deleted were written."""
    made.add("hen")

    def refuse(video):
        raise PermissionError(errno.EACCES, "Permission denied", str(video.input_path))

    monkeypatch.setattr("utils.evaluation.results._open_frames", refuse)
    assert run(made, what) == 0
    assert "found none that can be read ([Errno 13] Permission denied" in capsys.readouterr().out


def test_a_folder_of_frames_is_read_once_for_its_tables(made, monkeypatch):
    made.add("hen")
    read = []
    monkeypatch.setattr("utils.media.frame_folder.sha256_of", lambda path: read.append(path) or "")
    assert run(made, "csv") == 0
    assert len(read) == NUM_FRAMES


def test_results_that_cannot_be_written_are_said_before_any_mask_is_read(made, monkeypatch):
    made.add("hen")
    monkeypatch.setattr("utils.files.os.access", lambda path, mode: False)
    with pytest.raises(InputError, match="Choose a copy of the results with --results"):
        run(made, "csv")


def test_tables_load_into_pandas(made):
    pandas = pytest.importorskip("pandas")
    made.add("hen")
    made.add("two", [pair(index) for index in range(NUM_FRAMES)])
    run(made, "csv")
    folder = made.results / "export"
    table = pandas.read_csv(folder / "csv" / "two.csv")
    assert table["visible"].dtype == bool
    assert table["area_px"].dtype.kind == "i"
    assert table["centroid_x"].isna().sum() == 2
    points = pandas.read_csv(folder / "deeplabcut" / "hen.csv", header=[0, 1, 2], index_col=0)
    x = points[PROGRAM]["centroid"]["x"]
    assert x.tolist() == pytest.approx([30 + 2 * i for i in range(NUM_FRAMES)], abs=0.1)
    points = pandas.read_csv(folder / "deeplabcut" / "two.csv", header=[0, 1, 2, 3], index_col=0)
    assert points.columns.get_level_values(1).unique().tolist() == ["animal1", "animal2"]


def test_deeplabcut_track_has_its_three_header_rows(made):
    masks = [animal(index) for index in range(NUM_FRAMES)]
    masks[6] = np.zeros_like(masks[6])
    made.add("hen", masks)
    run(made, "csv")
    with (made.results / "export" / "deeplabcut" / "hen.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert [row[0] for row in rows[:3]] == ["scorer", "bodyparts", "coords"]
    assert rows[2][1:] == ["x", "y", "likelihood"]
    assert [int(row[0]) for row in rows[3:]] == list(range(NUM_FRAMES))
    assert rows[3 + 6][1:] == ["", "", "0.0"]
    y, x = (indices.mean() for indices in np.nonzero(masks[8]))
    assert [float(value) for value in rows[3 + 8][1:3]] == pytest.approx([x, y], abs=1e-3)
    consistencies = consistency(follow_animals(iter(masks))[1])
    assert float(rows[3 + 8][3]) == pytest.approx(consistencies[8], abs=1e-4)


@pytest.mark.parametrize("file", ["confidence.json", "run.json"])
def test_confidence_of_stage_3_is_exported(made, file):
    values = [index / 20 for index in range(NUM_FRAMES)]
    content = {"confidence": values, "animals": {"2": values[::-1]}}
    if file == "run.json":
        made.add("two", [pair(index) for index in range(NUM_FRAMES)], **content)
    else:
        made.add("two", [pair(index) for index in range(NUM_FRAMES)])
        made.write_record("two", content, file)
    assert run(made, "csv") == 0
    rows = read_rows(made.results / "export" / "csv" / "two.csv")
    found = {number: [float(r["confidence"]) for r in rows[number - 1 :: 2]] for number in (1, 2)}
    assert found == {1: values, 2: values[::-1]}
    with (made.results / "export" / "deeplabcut" / "two.csv").open(newline="") as file:
        likelihood = [float(row[3]) for row in list(csv.reader(file))[4:]]
    assert likelihood == values


def correct(made, name: str, entries, are_masks_written: bool = True) -> None:
    """Writes a list of corrections; an entry is kind, animals, first and last frame."""
    listed = [
        {"number": number, "kind": kind, "animals": list(animals), "first": first, "last": last}
        | {"holds_in": [[first, last]], "note": ""}
        | ({"drawn": first} if kind == "masks" else {})
        for number, (kind, animals, first, last) in enumerate(entries, start=1)
    ]
    content = {"num_frames": NUM_FRAMES, "frames_sha256": "", "corrections": listed}
    content |= {"are_masks_written": are_masks_written, "is_overlay_written": True}
    made.write_record(name, content, "corrections.json")


def test_a_mask_by_hand_has_no_confidence_and_is_certain_to_deeplabcut(made):
    made.add("two", [pair(index) for index in range(NUM_FRAMES)])
    made.write_record("two", {"confidence": [0.5] * NUM_FRAMES}, "confidence.json")
    entries = [("piece", (1, 0), 2, 2), ("swap", (1, 2), 5, 6), ("masks", (2,), 3, 3)]
    correct(made, "two", entries)
    by_hand = {1: {2, 5, 6}, 2: {3, 5, 6}}
    assert run(made, "csv", all=True) == 0
    folder = made.results / "export"
    for path in (folder / "csv" / "two.csv", folder / "all.csv"):
        for row in read_rows(path):
            is_by_hand = int(row["frame"]) in by_hand[int(row["animal"])]
            assert row["confidence"] == ("" if is_by_hand else "0.5000")
    with (folder / "deeplabcut" / "two.csv").open(newline="") as file:
        rows = list(csv.reader(file))[4:]
    for index, row in enumerate(rows):
        assert row[3] == ("1.0000" if index in by_hand[1] else "0.5000")
        # Animal 2 is away in 3 and 4; also where a person said so there is no point to rely on.
        seen = "1.0000" if index in by_hand[2] else "0.5000"
        assert row[6] == ("0.0" if index in (3, 4) else seen)
    for row in read_rows(folder / "via_tracks" / "two.csv"):
        region = json.loads(row["region_attributes"])
        index = json.loads(row["file_attributes"])["frame"]
        assert ("confidence" in region) == (index not in by_hand[int(region["track"])])


def test_without_confidence_a_mask_by_hand_is_certain_to_deeplabcut_as_well(made):
    masks = [animal(index) for index in range(NUM_FRAMES)]
    masks[4][:, :38] = 0
    made.add("hen", masks)
    correct(made, "hen", [("masks", (1,), 4, 4)])
    assert run(made, "csv") == 0
    with (made.results / "export" / "deeplabcut" / "hen.csv").open(newline="") as file:
        likelihood = [row[3] for row in list(csv.reader(file))[3:]]
    assert likelihood[4] == "1.0000" and max(likelihood[3], likelihood[5]) < "0.9"


@pytest.mark.parametrize(
    "content",
    ["{", [], {}, {"confidence": [0.5]}, {"confidence": [2.0] * NUM_FRAMES}, {"confidence": "1"}]
    + [{"confidence": [0.5] * NUM_FRAMES, "animals": {"hen": [0.5] * NUM_FRAMES}}],
    ids=str,
)
def test_malformed_confidence_is_named(made, capsys, content):
    made.add("hen")
    made.write_record("hen", content, "confidence.json")
    if isinstance(content, str):
        (made.results / "runs" / "hen" / "confidence.json").write_text(content)
    assert run(made, "csv") == 1
    assert "confidence.json" in capsys.readouterr().err


def test_an_animal_that_only_moves_is_consistent():
    masks = [np.roll(animal(0), 3 * index, axis=1) for index in range(8)]
    track = follow_animals(iter(masks))[1]
    np.testing.assert_array_equal(track.overlaps, np.ones(7))
    np.testing.assert_array_equal(consistency(track), np.ones(8))


@pytest.mark.parametrize("shape, axes", [((1080, 1920), (10, 6)), ((2160, 3840), (20, 10))])
def test_a_small_animal_that_only_moves_is_consistent_in_a_large_video(shape, axes):
    masks = [np.zeros(shape, np.uint8) for _ in range(8)]
    for index, mask in enumerate(masks):
        cv2.ellipse(mask, (400 + 7 * index, 300 + 3 * index), axes, 20, 0, 360, 1, -1)
    np.testing.assert_array_equal(follow_animals(iter(masks))[1].overlaps, np.ones(7))


def test_a_large_animal_is_compared_at_a_smaller_size_as_exactly():
    masks = [np.zeros((1500, 2000), np.uint8) for _ in range(4)]
    for index, mask in enumerate(masks):
        cv2.ellipse(mask, (800 + 37 * index, 700 + 11 * index), (600, 400), 20, 0, 360, 1, -1)
    masks[3][700:, 800:] = 0
    overlaps = follow_animals(iter(masks))[1].overlaps
    assert overlaps[:2].min() > 0.99 and overlaps[2] < 0.85


@pytest.mark.parametrize("height, width", [(1, 1), (600, 1), (20, 1), (1, 200)])
def test_a_large_animal_of_which_a_sliver_is_left_is_compared_as_well(height, width):
    masks = np.zeros((2, 1080, 1920), np.uint8)
    masks[0, 100:700, :200] = 1
    masks[1, 100 : 100 + height, :width] = 1
    assert 0 <= follow_animals(iter(masks))[1].overlaps[0] < 0.05


@pytest.mark.parametrize("fault", ["hole", "gone", "spill", "far away"])
def test_a_frame_that_goes_wrong_is_the_first_to_check(fault):
    masks = [animal(index) for index in range(NUM_FRAMES)]
    if fault == "hole":
        masks[7][:, :42] = 0
    elif fault == "gone":
        masks[7][:] = 0
    elif fault == "spill":
        masks[7][40:, :60] = 1
    else:
        masks[7][2:9, 80:95] = 1
    consistencies = consistency(follow_animals(iter(masks))[1])
    assert frames_to_check(consistencies)[0] == 7
    assert 7 not in frames_to_check(consistencies, labelled=(7,))


def test_a_fault_that_lasts_some_frames_is_seen_in_all_of_them():
    masks = [np.roll(animal(0), index, axis=1) for index in range(40)]
    for mask in masks[20:25]:
        mask[34:] = 0
    consistencies = consistency(follow_animals(iter(masks))[1])
    assert consistencies[20:25].max() < 0.75
    assert np.delete(consistencies, range(19, 26)).min() == 1


def test_a_part_that_flashes_up_far_away_is_seen_in_all_its_frames():
    masks = [animal(0) for _ in range(40)]
    for mask in masks[20:25]:
        mask[:12, 70:] = 1
    track = follow_animals(iter(masks))[1]
    largest_share = track.column("largest_component_px") / track.column("area_px")
    area_ratio = track.column("area_px")[0] / track.column("area_px")[22]
    assert consistency(track)[22] == pytest.approx(largest_share[22] * area_ratio)


def test_an_animal_that_comes_closer_is_consistent():
    masks = []
    for index in range(30):
        masks.append(np.zeros((200, 200), np.uint8))
        cv2.circle(masks[-1], (100, 100), 20 + 2 * index, 1, -1)
    assert consistency(follow_animals(iter(masks))[1]).min() > 0.8


def test_frames_to_check_are_few_apart_and_never_perfect():
    values = np.ones(300)
    values[40:60] = np.linspace(0.5, 0.4, 20)
    values[200] = 0.45
    chosen = frames_to_check(values)
    assert chosen[0] == 59 and 200 in chosen and len(chosen) <= 6
    assert min(abs(a - b) for a in chosen for b in chosen if a != b) >= 9
    assert len(chosen) == 2  # the two dips, not the slope beside them
    assert frames_to_check(np.ones(300)) == []


def test_cutout_pngs_are_the_animal_on_nothing(made):
    made.add("hen")
    assert run(made, "cutout", cutout_as="png") == 0
    folder = made.results / "export" / "cutout"
    source = made.dataset / "JPEGImages" / "hen"
    for index in range(NUM_FRAMES):
        with Image.open(folder / "hen" / f"{index:05d}.png") as image:
            assert image.mode == "RGBA"
            pixels = np.array(image)
        inside = animal(index) > 0
        np.testing.assert_array_equal(pixels[..., 3], 255 * inside)
        expected = np.array(Image.open(source / f"{index:05d}.jpg"))
        np.testing.assert_array_equal(pixels[inside][:, :3], expected[inside])
        assert not pixels[~inside].any()
    assert not (folder / "hen.webm").exists()


def decode_webm(path) -> tuple[list[np.ndarray], list[float]]:
    """RGBA frames and times; FFmpeg's own VP9 decoder drops the alpha, libvpx's keeps it."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.metadata["alpha_mode"] == "1"
        decoder = av.CodecContext.create("libvpx-vp9", "r")
        frames = []
        for packet in container.demux(stream):
            frames += decoder.decode(packet if packet.size else None)
        times = [float(one.pts * stream.time_base) for one in frames]
        assert {one.format.name for one in frames} == {"yuva420p"}
        return [one.to_ndarray(format="rgba") for one in frames], times


def test_cutout_video_carries_alpha_and_the_times(made):
    made.add("film", is_file=True)
    assert run(made, "cutout", cutout_as="webm") == 0
    frames, times = decode_webm(made.results / "export" / "cutout" / "film.webm")
    expected = [FRAME_SECONDS * index + 0.05 * (index > 4) for index in range(NUM_FRAMES)]
    assert times == pytest.approx(expected, abs=2e-3)
    for index, pixels in enumerate(frames):
        assert pixels.shape == (HEIGHT, WIDTH, 4)
        inside = animal(index) > 0
        assert np.mean((pixels[..., 3] > 127) == inside) > 0.99
        well_inside = cv2.erode(animal(index), np.ones((5, 5), np.uint8)) > 0
        error = np.abs(pixels[..., :3].astype(int) - frame(index))[well_inside]
        assert error.mean() < 12  # of 255: two lossy steps, but no dark fringe and no shift of hue
    assert not (made.results / "export" / "cutout" / "film").exists()


def test_a_cutout_video_of_odd_size_keeps_it(tmp_path):
    image = np.zeros((33, 51, 4), np.uint8)
    image[10:20, 10:30] = (200, 80, 40, 255)
    write_transparent_video(tmp_path / "odd.webm", iter([image] * 3), [0.0, 0.04, 0.08])
    frames, _ = decode_webm(tmp_path / "odd.webm")
    assert [pixels.shape for pixels in frames] == [image.shape] * 3
    assert np.abs(frames[2][15, 20].astype(int) - (200, 80, 40, 255)).max() < 12


def test_a_browser_sees_through_the_cutout_video(made):
    made.add("film", is_file=True)
    run(made, "cutout")
    folder = made.results / "export" / "cutout"
    (folder / "page.html").write_text('<video src="film.webm" muted></video>')
    # A file's pixels may not be read by script, but drawn over blue they can be seen. A frame may
    # be decoded some time after the browser says that it has one, so it is drawn again and again.
    draw = """() => {
        const video = document.querySelector("video"), canvas = document.createElement("canvas");
        canvas.width = video.videoWidth;
        canvas.height = video.videoHeight;
        canvas.style.cssText = "display: block; background: rgb(0, 0, 255)";
        document.body.style.margin = 0;
        document.body.prepend(canvas);
        const again = () => {
            const context = canvas.getContext("2d");
            context.clearRect(0, 0, canvas.width, canvas.height);
            context.drawImage(video, 0, 0);
            requestAnimationFrame(again);
        };
        again();
    }"""
    with open_page(folder / "page.html") as page:
        wait_until(page, "document.querySelector('video').readyState >= 2")
        page.evaluate(draw)
        clip = {"x": 0, "y": 0, "width": WIDTH, "height": HEIGHT}

        def is_background() -> np.ndarray:
            seen = np.array(Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB"))
            return (np.abs(seen.astype(int) - (0, 0, 255)) < 40).all(axis=-1)

        wait_until(page, lambda: not is_background().all())
        assert np.mean(is_background() == (animal(0) == 0)) > 0.97


def test_a_cutout_needs_the_video_that_was_segmented(made, capsys):
    made.add("moved", is_file=True)
    (made.root / "moved.mp4").unlink()
    made.add("shorter")
    (made.dataset / "JPEGImages" / "shorter" / "00011.jpg").unlink()
    made.add("unknown", labelled=None)
    made.add("resized")
    path = made.dataset / "JPEGImages" / "resized" / "00002.jpg"
    Image.fromarray(frame(2)).resize((50, 40)).save(path)
    made.add("well")
    assert run(made, "cutout") == 1
    errors = capsys.readouterr().err.splitlines()
    assert [line.split(":")[1].strip() for line in errors] == [
        "moved",
        "resized",
        "shorter",
        "unknown",
    ]
    assert "moved.mp4" in errors[0] and "put them back" in errors[0]
    assert "00002.png" in errors[1] and "50x40" in errors[1]
    written = [path.name for path in (made.results / "export" / "cutout").iterdir()]
    assert sorted(written) == ["well", "well.webm"]


@pytest.mark.parametrize("what", ["coco", "davis", "csv"])
def test_a_bad_mask_stops_neither_the_others_nor_spoils_what_was_there(made, capsys, what):
    made.add("ant")
    made.add("bee")
    made.add("cat")
    assert run(made, what) == 0
    before = contents(made.results / "export")
    bad = made.mask_path("bee", 6)
    bad.write_bytes(bad.read_bytes()[:50])
    write_label(made.mask_path("cat", 6), np.ones((5, 5), np.uint8))
    write_label(made.mask_path("ant", 6), animal(0))
    assert run(made, what) == 1
    after = contents(made.results / "export")
    changed = {path for path in before if before[path] != after.get(path)}
    assert changed and all("ant" in path or "meta" in path for path in changed)
    assert set(before) == set(after)  # nothing half-written lies about
    errors = capsys.readouterr().err
    assert str(bad) in errors and str(made.mask_path("cat", 6)) in errors


def contents(folder) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("what", get_args(export.Format))
def test_an_unfinished_video_is_refused_and_the_others_are_exported(made, capsys, what):
    made.add("finished")
    made.add("masks_missing")
    made.mask_path("masks_missing", 4).unlink()
    made.add("killed_while_writing_masks")
    made.leave_unfinished("killed_while_writing_masks", num_masks=7)
    (made.results / "runs" / "just_begun" / "partial").mkdir(parents=True)
    assert run(made, what) == 1
    (error,) = capsys.readouterr().err.splitlines()
    assert "unfinished" in error and "finetune_test.py" in error
    assert "killed_while_writing_masks (7 masks so far)" in error
    assert "masks_missing (11 of 12 masks)" in error and "just_begun" in error
    written = contents(made.results / "export")
    assert any("finished" in path for path in written)
    assert not [path for path in written if "killed" in path or "missing" in path]


@pytest.mark.parametrize("what", get_args(export.Format))
@pytest.mark.parametrize("entries", [[("piece", (1, 0), 4, 4)], []], ids=["made", "undone"])
def test_masks_of_half_written_corrections_are_refused_and_others_exported(
    made, capsys, what, entries
):
    made.add("cow")
    made.add("hen")
    correct(made, "cow", [("piece", (1, 0), 4, 4)])
    correct(made, "hen", entries, are_masks_written=False)
    assert run(made, what) == 1
    (error,) = capsys.readouterr().err.splitlines()
    assert error.startswith("error: hen: ") and "open annotate.py on this video" in error
    written = contents(made.results / "export")
    assert any("cow" in path for path in written) and not any("hen" in path for path in written)


def test_a_finished_video_with_leftover_state_is_exported(made):
    made.add("hen")
    (made.results / "runs" / "hen" / "partial").mkdir()
    assert run(made, "csv") == 0


def test_masks_of_another_program_are_exported(made):
    made.add("hen", labelled=None)
    assert run(made, "csv") == 0
    assert len(read_rows(made.results / "export" / "csv" / "hen.csv")) == NUM_FRAMES


@pytest.mark.parametrize("name", ["480p", "1080p", "Full-Resolution"])
def test_a_video_may_be_named_like_a_resolution(made, name):
    made.add(name)
    assert run(made, "csv") == 0
    assert len(read_rows(made.results / "export" / "csv" / f"{name}.csv")) == NUM_FRAMES


def three_and_seven(index: int) -> np.ndarray:
    """The two animals of `pair` as 3 and 7."""
    return np.array([0, 3, 7], np.uint8)[pair(index)]


def test_animals_keep_the_numbers_of_the_label(made):
    masks = [three_and_seven(index) for index in range(NUM_FRAMES)]
    made.add("two", masks)
    for what in ("csv", "coco", "davis"):
        assert run(made, what) == 0
    folder = made.results / "export"
    rows = read_rows(folder / "csv" / "two.csv")
    assert [(int(row["frame"]), int(row["animal"])) for row in rows] == [
        (index, number) for index in range(NUM_FRAMES) for number in (3, 7)
    ]
    for row in rows:
        shown = masks[int(row["frame"])] == int(row["animal"])
        assert int(row["area_px"]) == shown.sum()
    with (folder / "deeplabcut" / "two.csv").open(newline="") as file:
        assert list(csv.reader(file))[1] == ["individuals"] + 3 * ["animal3"] + 3 * ["animal7"]
    np.testing.assert_array_equal(decode_coco(folder / "coco" / "two.json")[1], masks)
    objects = json.loads((folder / "davis" / "meta.json").read_text())["videos"]["two"]["objects"]
    assert list(objects) == ["3", "7"]


def test_an_animal_that_no_mask_shows_has_its_rows(made):
    masks = [3 * animal(index) for index in range(NUM_FRAMES)]
    made.add("two", masks, label_animals=(3, 7))
    assert run(made, "csv") == 0
    rows = read_rows(made.results / "export" / "csv" / "two.csv")
    assert [row["animal"] for row in rows] == ["3", "7"] * NUM_FRAMES
    assert {(row["visible"], row["area_px"], row["centroid_x"]) for row in rows[1::2]} == {
        ("False", "0", "")
    }


def test_values_of_the_table_of_one_animal(made):
    masks = [animal(index) for index in range(NUM_FRAMES)]
    masks[4][:, :38] = 0
    masks[6][:] = 0
    made.add("hen", masks)
    run(made, "csv")
    lines = (made.results / "export" / "csv" / "hen.csv").read_text().splitlines()
    assert lines[1 + 3] == (
        "3,00003.png,,1,True,549,35.982,33.973,20,22,33,25,30.894,37.036,18.917,1,549,"
        ",,,,,,0.7545,,True,1"
    )
    assert lines[1 + 4] == (
        "4,00004.png,,1,True,284,44.789,31.222,38,22,17,23,61.523,23.881,16.015,1,284,"
        ",,,,,,0.2633,,False,1"
    )
    assert lines[1 + 6] == "6,00006.png,,1,False,0,,,,,,,,,,0,0,,,,,,,0.0000,,False,1"


def test_named_videos_only_and_unknown_names(made):
    made.add("ant")
    made.add("bee")
    assert run(made, "coco", sequences=("bee", "bee")) == 0
    assert [path.name for path in (made.results / "export" / "coco").iterdir()] == ["bee.json"]
    with pytest.raises(UsageError, match="ant, bee"):
        run(made, "coco", sequences=("cow",))


def test_nothing_segmented_says_what_to_run(made):
    with pytest.raises(InputError, match="finetune_test.py"):
        run(made, "csv")


def test_without_a_format_it_lists_and_writes_nothing(made, capsys):
    made.add("hen")
    config = parse_config(export.Config, None, ["--results", str(made.results)])
    assert export.main(config) == 0
    out = capsys.readouterr().out.splitlines()
    assert [line.split()[:4] for line in out if line.startswith("hen")] == [
        ["hen", "12", "1", "finished"]
    ]
    assert not (made.results / "export").exists()


def test_flags():
    config = parse_config(export.Config, None, ["coco", "--sequences", "a", "b"])
    assert (config.format, config.sequences) == ("coco", ("a", "b"))
    for words in (["yolo"], ["coco", "davis"], ["coco", "--seq", "a"]):
        with pytest.raises(SystemExit) as stop:
            parse_config(export.Config, None, words)
        assert stop.value.code == 2


# In a process of its own: what other tests have imported and left behind is none of its memory.
MEASURE_PEAKS = """
import sys, tracemalloc
from pathlib import Path
import numpy as np
from tests.made_results import NUM_FRAMES, MadeResults, animal
from utils.evaluation.mask_tracks import follow_animals
from utils.evaluation.results import open_segmented
from utils.export.coco import export_coco
from utils.export.davis import export_davis
from utils.export.tables import export_table

what, made = sys.argv[1], MadeResults(Path(sys.argv[2]))
made.add("hen")

def peak(repeats):
    masks = (np.pad(animal(k % NUM_FRAMES), 200) for k in range(repeats * NUM_FRAMES))
    longer = open_segmented(made.results, "hen")
    paths = longer.mask_paths[:1] * (repeats * NUM_FRAMES)
    object.__setattr__(longer, "mask_paths", paths)
    tracemalloc.start()
    if what == "coco":
        export_coco(made.root / "long.json", longer, masks, [path.name for path in paths])
    elif what == "davis":
        export_davis(made.root / "long", longer, masks)
    else:
        export_table(made.root / "long.csv", longer, follow_animals(masks), None, None)
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found

peak(1)  # what is made once
print(peak(2), peak(20), np.pad(animal(0), 200).nbytes)
"""


@pytest.mark.parametrize("what", ["coco", "csv", "davis"])
def test_memory_does_not_grow_with_the_video(tmp_path, what):
    done = subprocess.run(
        [sys.executable, "-c", MEASURE_PEAKS, what, str(tmp_path)],
        cwd=paths.ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    short, long, one_mask = map(int, done.stdout.split())
    assert long - short < one_mask  # 216 frames more, in the room of less than one


def test_masks_of_the_exported_davis_folder_read_back(made):
    made.add("two", [pair(index) for index in range(NUM_FRAMES)])
    run(made, "davis")
    folder = made.results / "export" / "davis" / "Annotations" / "two"
    for index in range(NUM_FRAMES):
        np.testing.assert_array_equal(read_label(folder / f"{index:05d}.png").values, pair(index))
