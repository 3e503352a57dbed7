"""Exports, opened with the readers of the programs that they are for.

Those that are not installed are skipped: pip install movement supervision datumaro, best into an
environment of their own, since they bring other versions of NumPy and OpenCV.
"""

import re
import shutil

import numpy as np
import pytest

import export
from tests.made_results import HEIGHT, NUM_FRAMES, WIDTH, MadeResults, animal
from utils import paths
from utils.errors import UsageError
from utils.evaluation.mask_tracks import compute_speed, follow_animals
from utils.export.tables import ALL_HEADER, write_parquet


def pair(index: int) -> np.ndarray:
    """Two animals; the second is away in frames 3 and 4."""
    mask = animal(index)
    if index not in (3, 4):
        mask[50:60, 70:90] = 2
    return mask


@pytest.fixture
def made(tmp_path) -> MadeResults:
    made = MadeResults(tmp_path)
    made.add("hen", is_file=True, confidence=[0.5] * NUM_FRAMES)
    made.add("two", [pair(index) for index in range(NUM_FRAMES)])
    return made


def run(made, what, **flags) -> int:
    return export.main(export.Config(what, results=made.results, **flags))


# One table of all videos


def test_one_table_holds_all_videos(made, capsys):
    pandas = pytest.importorskip("pandas")
    assert run(made, "csv", all=True) == 0
    table = pandas.read_csv(made.results / "export" / "all.csv")
    assert tuple(table.columns) == ALL_HEADER
    assert table.groupby("video").size().to_dict() == {"hen": NUM_FRAMES, "two": 2 * NUM_FRAMES}
    single = pandas.read_csv(made.results / "export" / "csv" / "two.csv")
    joined = table[table["video"] == "two"].drop(columns="video").reset_index(drop=True)
    pandas.testing.assert_frame_equal(joined, single, check_dtype=False)
    away = table[(table["animal"] == 2) & table["frame"].isin([3, 4])]
    assert len(away) == 2 and not away["visible"].any()
    names = ["centroid_x", "box_width", "orientation_degrees", "speed_px_per_second"]
    assert away[names].isna().all(axis=None)
    assert f"all.csv, {3 * NUM_FRAMES} lines" in capsys.readouterr().out


def test_the_documented_lines_keep_the_names_of_videos(tmp_path, monkeypatch, capsys):
    """A video named NA was left out without a word, and 001 became 1."""
    pytest.importorskip("pandas")
    made = MadeResults(tmp_path)
    for name in ("NA", "001", "hen"):
        made.add(name)
    assert run(made, "csv", all=True) == 0
    text = (paths.ROOT / "docs" / "your_video.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"```\n(import pandas\n.*?)```", text, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    exec(lines, {})
    shown = [word for line in capsys.readouterr().out.splitlines() for word in line.split()[:1]]
    assert {"NA", "001", "hen"} <= {*shown}


def test_an_unfinished_video_is_not_in_the_table(made, capsys):
    made.leave_unfinished("hen", 4)
    assert run(made, "csv", all=True) == 1
    assert "unfinished, not exported: hen" in capsys.readouterr().err
    text = (made.results / "export" / "all.csv").read_text()
    assert "two," in text and "hen," not in text


def test_a_large_table_is_written_as_parquet_as_well(made, monkeypatch):
    pandas, _ = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    monkeypatch.setattr(export, "MAX_CSV_LINES", 10)
    assert run(made, "csv", all=True) == 0
    folder = made.results / "export"
    table = pandas.read_parquet(folder / "all.parquet")
    assert table["visible"].dtype == bool and table["area_px"].dtype == float
    expected = pandas.read_csv(folder / "all.csv")
    pandas.testing.assert_frame_equal(
        table.astype({"video": str, "file": str}),
        expected.astype({"video": str, "file": str}),
        check_dtype=False,
    )
    monkeypatch.setattr(export, "MAX_CSV_LINES", 1000)  # the file of before does not remain
    assert run(made, "csv", all=True) == 0 and not (folder / "all.parquet").exists()


def test_names_with_line_breaks_are_in_parquet_as_well(tmp_path):
    """They were an error where one was the last line break of a piece."""
    pandas, _ = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    table, names = tmp_path / "all.csv", ["two" + 50 * "\n" + "lines"] * 20_000
    content = pandas.DataFrame({"video": names}, columns=ALL_HEADER).assign(frame=0, animal=1)
    content.to_csv(table, index=False)
    assert table.stat().st_size > 2**20  # a piece
    assert write_parquet(tmp_path / "all.parquet", table)
    assert pandas.read_parquet(tmp_path / "all.parquet")["video"].tolist() == names


def test_a_name_that_parquet_cannot_hold_is_said_after_the_other_tables(made, monkeypatch, capsys):
    pytest.importorskip("pyarrow")
    monkeypatch.setattr(export, "MAX_CSV_LINES", 10)
    write_parquet = export.write_parquet

    def write_another(path, table):  # a folder need not accept such a name
        table.write_bytes(table.read_bytes().replace(b"two", b"caf\xe9"))
        return write_parquet(path, table)

    monkeypatch.setattr(export, "write_parquet", write_another)
    made.leave_unfinished("hen", 4)
    assert run(made, "csv", all=True) == 1
    error = capsys.readouterr().err
    assert "all.parquet: expected names of videos and frames in UTF-8" in error
    assert "unfinished, not exported: hen" in error
    folder = made.results / "export"
    assert (folder / "all.csv").is_file() and not (folder / "all.parquet").exists()


def test_without_pyarrow_a_large_table_says_how_to_get_parquet(made, monkeypatch, capsys):
    monkeypatch.setattr(export, "MAX_CSV_LINES", 10)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    assert run(made, "csv", all=True) == 0
    assert "pip install pyarrow" in capsys.readouterr().out
    assert not write_parquet(made.root / "a.parquet", made.results / "export" / "all.csv")


def test_all_goes_with_tables_alone(made):
    with pytest.raises(UsageError, match="goes with csv"):
        run(made, "coco", all=True)


def test_speed_is_the_way_of_the_centroid_by_the_time_between_frames():
    masks = [np.roll(animal(0), 3 * index, axis=1) for index in range(5)]
    masks[3] = np.zeros_like(masks[3])
    track = follow_animals(iter(masks))[1]
    speed = compute_speed(track, [0, 0.1, 0.3, 0.4, 0.5])
    assert speed[1:3].tolist() == pytest.approx([30, 15], rel=1e-6)
    assert np.isnan(speed[[0, 3, 4]]).all()
    assert np.isnan(compute_speed(track, None)).all()
    assert np.isnan(compute_speed(track, [0, 0, 0, 0, 0])).all()


# Other programs


def test_movement_reads_the_boxes(made):
    load_bboxes = pytest.importorskip("movement.io.load_bboxes")
    assert run(made, "csv") == 0
    path = made.results / "export" / "via_tracks" / "two.csv"
    boxes = load_bboxes.from_via_tracks_file(path, use_frame_numbers_from_file=True)
    assert boxes.sizes["time"] == NUM_FRAMES and boxes.individuals.values.tolist() == [
        "id_1",
        "id_2",
    ]
    second = boxes.sel(individuals="id_2")
    assert np.isnan(second.position.values[[3, 4]]).all()
    seen = [index for index in range(NUM_FRAMES) if index not in (3, 4)]
    np.testing.assert_allclose(second.position.values[seen], [[80, 55]] * len(seen))
    np.testing.assert_allclose(second["shape"].values[seen], [[20, 10]] * len(seen))


def test_movement_reads_confidence_and_points(made):
    load_bboxes = pytest.importorskip("movement.io.load_bboxes")
    load_poses = pytest.importorskip("movement.io.load_poses")
    assert run(made, "csv") == 0
    boxes = load_bboxes.from_via_tracks_file(made.results / "export" / "via_tracks" / "hen.csv")
    assert boxes.confidence.values.tolist() == [[0.5]] * NUM_FRAMES
    for name, animals in (("hen", 1), ("two", 2)):
        path = made.results / "export" / "deeplabcut" / f"{name}.csv"
        poses = load_poses.from_dlc_file(path, fps=10)
        assert (poses.sizes["time"], poses.sizes["individuals"]) == (NUM_FRAMES, animals)
        x = poses.position.sel(space="x").values.reshape(NUM_FRAMES, animals)[:, 0]
        assert x.tolist() == pytest.approx([30 + 2 * i for i in range(NUM_FRAMES)], abs=0.1)


def test_boxes_are_lines_as_via_writes_them(made):
    pandas = pytest.importorskip("pandas")
    assert run(made, "csv") == 0
    table = pandas.read_csv(made.results / "export" / "via_tracks" / "two.csv")
    assert len(table) == 2 * NUM_FRAMES - 2
    assert table["region_shape_attributes"][1] == (
        '{"name": "rect", "x": 70, "y": 50, "width": 20, "height": 10}'
    )
    assert table["region_attributes"][1] == '{"track": "2"}'
    assert table["region_count"].tolist()[:2] == [2, 2] and table["region_count"][6] == 1


def test_datumaro_imports_coco_as_cvat_does(made):
    dataset_class = pytest.importorskip("datumaro").Dataset
    assert run(made, "coco") == 0
    folder = made.root / "cvat"
    (folder / "annotations").mkdir(parents=True)
    coco = made.results / "export" / "coco" / "two.json"
    (folder / "annotations" / "instances_default.json").write_bytes(coco.read_bytes())
    shutil.copytree(made.dataset / "JPEGImages" / "two", folder / "images" / "default")
    dataset = dataset_class.import_from(str(folder), "coco")
    counts = [sum(a.type.name == "mask" for a in item.annotations) for item in dataset]
    assert sorted(counts) == [1] * 2 + [2] * (NUM_FRAMES - 2)


def test_supervision_reads_coco(made):
    supervision = pytest.importorskip("supervision")
    assert run(made, "coco") == 0
    frames = made.dataset / "JPEGImages" / "two"
    dataset = supervision.DetectionDataset.from_coco(
        str(frames), str(made.results / "export" / "coco" / "two.json"), force_masks=True
    )
    assert dataset.classes == ["animal"] and len(dataset) == NUM_FRAMES
    areas = {path: detections.area for path, detections in dataset.annotations.items()}
    assert areas[str(frames / "00003.jpg")].tolist() == [int((pair(3) == 1).sum())]
    assert (HEIGHT, WIDTH) == next(iter(dataset.annotations.values())).mask.shape[1:]
