"""evaluate.py on generated folders: protocol, errors, files, and agreement with vos_benchmark."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import evaluate
from utils import paths
from utils.command_line import parse_config
from utils.errors import InputError, UsageError
from utils.evaluation.measures import NUMBERS
from utils.evaluation.scoring import NothingToScoreError, score_folders
from utils.inputs.sequences import default_dataset, list_sequences, sequence_dir
from utils.media.labels import write_label
from utils.media.videos import FrameFolder

NUM_FRAMES = 7
SHAPE = (60, 80)


def animal(index: int, shift: int = 0) -> np.ndarray:
    mask = np.zeros(SHAPE, np.uint8)
    mask[10 + index : 40 + index, 10 + shift : 40 + shift] = 1
    return mask


class World:
    """A data set and a results folder below `root`, filled video by video."""

    def __init__(self, root):
        self.dataset, self.results = root / "dataset", root / "results"

    def add(self, sequence, shift=0, labelled=None, annotated=range(NUM_FRAMES), layout="480p"):
        """Predictions are the annotations shifted to the right by `shift` pixels."""
        for index in range(NUM_FRAMES):
            name = f"{index:05d}.png"
            frame = self.dataset / "JPEGImages" / layout / sequence / name
            frame.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", SHAPE[::-1]).save(frame)
            self.write(self.prediction(sequence, index), animal(index, shift))
            if index in annotated:
                self.write(self.dataset / "Annotations" / layout / sequence / name, animal(index))
        if labelled is not None:
            self.write_run(sequence, {"labelled_frames": labelled})

    def prediction(self, sequence, index):
        return self.results / "segmentation" / sequence / f"{index:05d}.png"

    def annotation(self, sequence, index):
        return self.dataset / "Annotations" / "480p" / sequence / f"{index:05d}.png"

    def write(self, path, mask, num_animals=1):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_label(path, mask, range(1, num_animals + 1))

    def write_run(self, sequence, record):
        path = self.results / "runs" / sequence / "run.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record))

    def evaluate(self, **flags):
        config = evaluate.Config(dataset=self.dataset, results=self.results, **flags)
        status = evaluate.main(config)
        return status, json.loads((self.results / "scores.json").read_text())


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def test_first_and_last_frame_are_not_scored(world):
    world.add("hen", labelled=[0])
    for index in (0, NUM_FRAMES - 1):
        world.write(world.prediction("hen", index), animal(index, 20))
    status, record = world.evaluate()
    hen = record["sequences"]["hen"]
    assert status == 0
    assert hen["frames"] == ["00001", "00002", "00003", "00004", "00005"]
    assert hen["J"] == hen["F"] == [1.0] * 5
    assert (hen["J&F-Mean"], hen["J-Recall"], hen["J-Decay"]) == (1, 1, 0)


def test_masks_of_the_first_and_last_frame_may_be_missing(world):
    world.add("hen")
    world.prediction("hen", 0).unlink()
    world.prediction("hen", NUM_FRAMES - 1).unlink()
    assert world.evaluate()[0] == 0


@pytest.mark.parametrize(
    ("labelled", "exclude_guidance", "protocol", "num_scored"),
    [
        ([0], False, "first", 5),
        ([0], True, "first", 5),
        ([3], False, "chosen", 5),
        ([3], True, "chosen, labelled frame left out", 4),
        ([0, 2, 3], True, "chosen, labelled frame left out", 3),
        (None, False, "unknown", 5),
    ],
)
def test_protocol(world, labelled, exclude_guidance, protocol, num_scored):
    world.add("hen", labelled=labelled)
    _, record = world.evaluate(exclude_guidance=exclude_guidance)
    hen = record["sequences"]["hen"]
    assert (hen["protocol"], hen["labelled_frames"]) == (protocol, labelled)
    assert hen["num_scored"] == len(hen["J"]) == num_scored
    assert list(record["means"]) == [protocol]


def tuned_on(video, *frames):
    return {"network": {"tuned_on": [{"video": video, "frames": list(frames), "sha256": ""}]}}


@pytest.mark.parametrize(
    ("labelled", "before", "protocol"),
    [
        ([0], tuned_on("hen", 0), "first"),  # by --together, alone
        ([0], tuned_on("cock", 2), "chosen, labelled frame left out"),
        ([], tuned_on("cock", 2), "no label"),
        ([], tuned_on("hen", 2), "chosen, labelled frame left out"),
        ([3], tuned_on("hen", 2), "chosen, labelled frame left out"),
    ],
)
def test_frames_that_the_network_had_learnt_before_are_labelled_ones(
    world, labelled, before, protocol
):
    world.add("hen")
    world.write_run("hen", {"labelled_frames": labelled} | before)
    hen = world.evaluate(exclude_guidance=True)[1]["sequences"]["hen"]
    assert hen["protocol"] == protocol
    learnt = {*labelled, 2} if before == tuned_on("hen", 2) else {*labelled}
    assert hen["labelled_frames"] == sorted(learnt)
    assert hen["frames"] == [f"{index:05d}" for index in range(1, 6) if index not in learnt]


def test_a_network_that_learnt_another_video_of_this_name_is_not_first(world):
    world.add("hen")
    record = {"labelled_frames": [0], "key": {"sha256": {"frames": "a"}}}
    for sha256, protocol in (("a", "first"), ("b", "chosen")):
        entry = {"video": "hen", "frames": [0], "sha256": sha256}
        world.write_run("hen", record | {"network": {"tuned_on": [entry]}})
        assert world.evaluate()[1]["sequences"]["hen"]["protocol"] == protocol


@pytest.mark.parametrize(
    "network",
    ["yolo", {"tuned_on": None}, {"tuned_on": ["hen"]}, {"tuned_on": [{"video": "hen"}]}]
    + [{"tuned_on": [{"video": "hen", "frames": [frame], "sha256": ""}]} for frame in ("2", -1)],
)
def test_what_is_no_network_is_passed_over(world, network):
    world.add("hen")
    world.write_run("hen", {"labelled_frames": [0], "network": network})
    assert world.evaluate()[1]["sequences"]["hen"]["protocol"] == "first"


def test_scores_are_in_the_order_of_the_video_where_few_frames_are_annotated(tmp_path):
    """The annotated names alone may be numbers with a hyphen before them."""
    numbers = range(-4, 5)
    for index, number in enumerate(numbers):
        mask = tmp_path / "masks" / f"frame_{number}.png"
        mask.parent.mkdir(exist_ok=True)
        write_label(mask, animal(0, 2 * index), (1,))
        if number < 0:
            annotation = tmp_path / "annotations" / mask.name
            annotation.parent.mkdir(exist_ok=True)
            write_label(annotation, animal(0), (1,))
    names = [f"frame_{number}" for number in numbers]
    score = score_folders("hen", tmp_path / "masks", tmp_path / "annotations", names, [0])
    assert score.frames == names[1:4]
    assert score.scores["J"] == sorted(score.scores["J"], reverse=True)
    assert score.scores["J-Decay"] > 0


def test_void_around_a_mask_is_background(world):
    world.add("hen", labelled=[0])
    for index in range(NUM_FRAMES):
        values = np.full(SHAPE, 0, np.uint8)
        values[8 + index : 42 + index, 8:42] = 255
        values[10 + index : 40 + index, 10:40] = 1
        world.write(world.prediction("hen", index), values)
    hen = world.evaluate(stability=True)[1]["sequences"]["hen"]
    assert hen["J-Mean"] == hen["F-Mean"] == 1


def test_excluding_guidance_without_a_record_is_an_error(world, capsys):
    world.add("hen")
    status, record = world.evaluate(exclude_guidance=True)
    assert status == 1
    assert "labelled_frames" in record["failed"]["hen"]
    assert "hen" in capsys.readouterr().err


@pytest.mark.parametrize(
    "record", [{"labelled_frames": "3"}, {"labelled_frames": [True]}, [], {"labelled_frames": [7]}]
)
def test_malformed_run_record_fails_that_video(world, record):
    world.add("hen")
    world.write_run("hen", record)
    status, scores = world.evaluate()
    assert status == 1
    assert list(scores["failed"]) == ["hen"]


def test_protocols_get_a_mean_each(world, capsys):
    world.add("ant", shift=15, labelled=[0])
    world.add("bee", labelled=[0])
    world.add("cat", labelled=[4])
    _, record = world.evaluate()
    means = record["means"]
    assert means["first"]["num_sequences"] == 2
    assert means["first"]["J-Mean"] == pytest.approx((1 / 3 + 1) / 2)
    assert means["chosen"]["J-Mean"] == 1
    assert "not to be compared" in capsys.readouterr().out


def test_how_many_videos_the_mean_of_t_is_of(world, capsys):
    """Its line had the number of all videos, also of those that have no T."""
    for name in ("hen", "owl"):
        world.add(name, labelled=[0])
    _, record = world.evaluate(stability=True)
    assert record["means"]["first"]["num_with_T"] == 2
    assert "The mean of T" not in capsys.readouterr().out
    for index in range(NUM_FRAMES):
        both = animal(index)
        both[50:, 50:] = 2
        for path in (world.prediction("owl", index), world.annotation("owl", index)):
            world.write(path, both, num_animals=2)
    _, record = world.evaluate(stability=True)
    mean = record["means"]["first"]
    assert (mean["num_sequences"], mean["num_with_T"]) == (2, 1)
    assert "The mean of T (first) is of 1 of 2 videos" in capsys.readouterr().out


def test_missing_prediction_fails_one_video_and_scores_the_others(world, capsys):
    world.add("ant")
    world.add("bee")
    world.prediction("ant", 2).unlink()
    status, record = world.evaluate()
    assert status == 1
    assert list(record["sequences"]) == ["bee"]
    assert "00002.png" in record["failed"]["ant"]
    assert str(world.prediction("ant", 2)) in capsys.readouterr().err


def test_mask_of_another_size_is_named(world):
    world.add("hen")
    world.write(world.prediction("hen", 3), np.ones((60, 81), np.uint8))
    status, record = world.evaluate()
    assert status == 1
    assert "00003.png" in record["failed"]["hen"]
    assert "60x81" in record["failed"]["hen"] and "60x80" in record["failed"]["hen"]


def test_sparse_annotations_are_scored_where_they_are(world, capsys):
    world.add("hen", annotated=(0, 2, 4), labelled=[2])
    status, record = world.evaluate()
    hen = record["sequences"]["hen"]
    assert status == 0
    assert hen["frames"] == ["00002", "00004"]
    assert (hen["num_frames"], hen["num_annotated"], hen["num_scored"]) == (7, 3, 2)
    assert "3 of 7 frames are annotated, 2 of them scored" in capsys.readouterr().out


def test_an_empty_folder_of_annotations_is_nothing_to_score(world, capsys):
    """One video without annotations made the whole command fail."""
    world.add("ant", annotated=())
    world.add("bee")
    folder = world.annotation("ant", 0).parent
    folder.mkdir()
    (folder / ".DS_Store").touch()
    status, record = world.evaluate()
    assert (status, list(record["sequences"])) == (0, ["bee"])
    assert f"ant: nothing to score, expected annotations in {folder}" in capsys.readouterr().out
    status, record = world.evaluate(sequences=("ant",))
    assert (status, list(record["failed"])) == (1, ["ant"])


@pytest.mark.parametrize("file", ["00003.tif", "notes/00003.png"])
def test_annotations_that_would_be_passed_over_are_an_error(world, file):
    world.add("ant", annotated=())
    path = world.annotation("ant", 0).parent / file
    path.parent.mkdir(parents=True)
    path.touch()
    assert list(world.evaluate()[1]["failed"]) == ["ant"]


def test_the_label_alone_is_nothing_to_score(world, capsys):
    world.add("ant", annotated=[3], labelled=[3])
    world.add("bee")
    status, record = world.evaluate()
    assert (status, list(record["sequences"])) == (0, ["bee"])
    assert "ant: nothing to score" in capsys.readouterr().out
    status, record = world.evaluate(sequences=("ant",))
    assert (status, list(record["failed"])) == (1, ["ant"])


def test_frames_may_be_absent_and_the_480p_folder_too(world):
    world.add("hen", layout="")
    for path in (world.dataset / "JPEGImages" / "hen").iterdir():
        path.unlink()
    (world.dataset / "JPEGImages" / "hen").rmdir()
    assert world.evaluate()[1]["sequences"]["hen"]["num_scored"] == 5


def test_several_animals_are_matched_by_index(world):
    world.add("two")
    pair = animal(0) + 2 * animal(0, 35)
    for index in range(NUM_FRAMES):
        # Where only animal 2 is left, it must not be taken for animal 1.
        prediction = np.where(pair == 2, pair, 0) if index in (2, 3) else pair
        annotation = np.where(pair == 2, pair, 0) if index == 3 else pair
        world.write(world.prediction("two", index), prediction, num_animals=2)
        world.write(world.annotation("two", index), annotation, num_animals=2)
    two = world.evaluate()[1]["sequences"]["two"]
    assert two["animals"]["1"]["J"] == [1, 0, 1, 1, 1]
    assert two["animals"]["2"]["J"] == [1, 1, 1, 1, 1]
    assert two["J"] == two["F"] == [1, 0.5, 1, 1, 1]
    assert two["J-Recall"] == pytest.approx(0.9)


def test_what_was_compared_is_on_the_screen_and_in_the_file(world, capsys):
    world.add("hen", labelled=[0])
    for index in range(NUM_FRAMES):
        both = animal(index)
        both[50:, 50:] = 2
        world.write(world.prediction("hen", index), both, num_animals=2)
    _, record = world.evaluate()
    note = "one animal is annotated, 2 were segmented: all masks together are compared"
    assert record["sequences"]["hen"]["note"] == note
    assert f"note: hen: {note}." in capsys.readouterr().out


def test_masks_of_one_animal_do_not_pass_for_several(world):
    world.add("two")
    for index in range(NUM_FRAMES):
        pair = animal(0) + 2 * animal(0, 35)
        world.write(world.annotation("two", index), pair, num_animals=2)
    assert "index per animal" in world.evaluate()[1]["failed"]["two"]


def test_void_is_not_scored(world):
    world.add("hen", shift=10)
    for index in range(NUM_FRAMES):
        levels = 255 * animal(index)
        levels[animal(index) != animal(index, 10)] = 128
        Image.fromarray(levels).save(world.annotation("hen", index))
    assert world.evaluate()[1]["sequences"]["hen"]["J"] == [1] * 5


def test_unreadable_mask_is_named(world):
    world.add("hen")
    world.prediction("hen", 3).write_bytes(world.prediction("hen", 3).read_bytes()[:60])
    assert "00003.png" in world.evaluate()[1]["failed"]["hen"]


def test_only_the_named_sequences(world):
    world.add("ant")
    world.add("bee")
    assert list(world.evaluate(sequences=("bee", "bee"))[1]["sequences"]) == ["bee"]
    with pytest.raises(UsageError, match="ant, bee"):
        world.evaluate(sequences=("cow",))


def test_a_mistyped_name_is_answered_with_all_that_would_do(world):
    world.add("ant")
    world.write(world.prediction("own", 0), animal(0))
    with pytest.raises(UsageError, match=r"expected one of ant \(.*Annotations\)"):
        world.evaluate(sequences=("cow",))
    with pytest.raises(UsageError, match=r"expected one of ant, own \(.*segmentation\)"):
        world.evaluate(sequences=("cow",), report=True)


def test_a_name_is_found_however_its_accents_are_composed(world):
    """As `export.py` does; Macs store them decomposed."""
    stored = "Ku\u0308ken"
    world.add(stored)
    world.add("hen")
    status, record = world.evaluate(sequences=("K\u00fcken",), report=True)
    assert (status, list(record["sequences"])) == (0, [stored])
    assert f"<h2>{stored}</h2>" in (world.results / paths.REPORT_FILE).read_text("utf-8")


@pytest.mark.parametrize("sequences", [(), ("caf\u00e9",), ("cafe\u0301",)])
@pytest.mark.parametrize("report", [False, True])
def test_results_and_data_set_may_compose_accents_differently(world, sequences, report):
    """Such a video was not scored, and failed where it was named."""
    ours, theirs = "cafe\u0301", "caf\u00e9"
    world.add(theirs, labelled=[0])
    for folder in ("segmentation", "runs"):
        (world.results / folder / theirs).rename(world.results / folder / ours)
    status, record = world.evaluate(sequences=sequences, report=report)
    assert status == 0 and record["sequences"][ours]["J-Mean"] == 1
    assert not record["failed"]


def test_segmented_videos_without_annotations_are_passed_over(world, capsys):
    world.add("ant")
    world.write(world.prediction("own", 0), animal(0))
    assert world.evaluate()[0] == 0
    assert "own: not scored" in capsys.readouterr().out
    assert world.evaluate(sequences=("own",))[0] == 1


def test_another_video_of_the_name_of_an_annotated_one_is_shown_and_not_scored(world, capsys):
    world.add("hen")
    world.write(world.prediction("hen", NUM_FRAMES), animal(0))
    film = {"labelled_frames": [NUM_FRAMES], "num_frames": NUM_FRAMES + 1, "input": "/my/hen.mp4"}
    world.write_run("hen", film)
    status, record = world.evaluate(report=True)
    assert status == 0 and not record["failed"] and not record["sequences"]
    out = capsys.readouterr().out
    assert "not scored" in out and "/my/hen.mp4" in out and f"{NUM_FRAMES} frames" in out
    assert "another video of this name" in (world.results / paths.REPORT_FILE).read_text()


def test_masks_of_other_frames_of_the_same_number_are_pointed_out(world, capsys):
    """They were scored without a word, where a video by itself had the name and the length."""
    frames = {}
    for name in ("hen", "ant"):
        world.add(name)
        folder = world.dataset / "JPEGImages" / "480p" / name
        frames[name] = FrameFolder(folder, name).sha256()
    for name, sha256 in (("hen", "of others"), ("ant", frames["ant"])):
        key = {"sha256": {"frames": sha256}}
        world.write_run(name, {"labelled_frames": [0], "input": f"/my/{name}.mp4", "key": key})
    status, record = world.evaluate()
    assert status == 0 and "note" not in record["sequences"]["ant"]
    assert "/my/hen.mp4, not of the frames" in record["sequences"]["hen"]["note"]
    assert "note: hen: its masks are of /my/hen.mp4" in capsys.readouterr().out


def test_scores_need_no_frames_that_can_be_read(world, monkeypatch):
    world.add("hen")
    world.write_run("hen", {"labelled_frames": [0], "key": {"sha256": {"frames": "of others"}}})

    def refuse(path):
        raise PermissionError(f"Permission denied: {path}")

    monkeypatch.setattr("utils.media.frame_folder.sha256_of", refuse)
    status, record = world.evaluate()
    assert status == 0 and "note" not in record["sequences"]["hen"]


def test_nothing_segmented_is_an_error(world):
    world.add("ant", annotated=())
    with pytest.raises(InputError, match="no sequence to score"):
        world.evaluate()


def test_annotation_without_a_frame_is_named(world):
    world.add("hen")
    world.write(world.annotation("hen", 99), animal(0))
    assert "00099.png" in world.evaluate()[1]["failed"]["hen"]


def test_an_unfinished_video_is_not_scored_and_counts_as_failed(world, capsys):
    world.add("ant", labelled=[0])
    world.add("killed")
    (world.results / "runs" / "killed" / "partial").mkdir(parents=True)
    world.add("missing", annotated=(2, 3))
    world.write_run("missing", {"labelled_frames": [0], "num_frames": NUM_FRAMES})
    world.prediction("missing", 5).unlink()  # not even a frame to score
    status, record = world.evaluate(report=True)
    assert status == 1
    assert list(record["sequences"]) == ["ant"]
    assert "unfinished (7 masks so far)" in record["failed"]["killed"]
    assert "unfinished (6 of 7 masks)" in record["failed"]["missing"]
    errors = capsys.readouterr().err
    assert errors.count("killed: unfinished") == errors.count("missing: unfinished") == 1
    page = (world.results / paths.REPORT_FILE).read_text()
    for name in ("killed", "missing"):
        assert f"<strong>{name}</strong> is unfinished" in page


@pytest.mark.parametrize("report", [False, True])
@pytest.mark.parametrize("wrong", ["no_such_folder", "results"])
def test_a_wrong_dataset_is_an_error_and_overwrites_nothing(world, report, wrong):
    world.add("hen", labelled=[0])
    world.evaluate(report=True)
    files = [world.results / name for name in ("scores.json", "scores.csv", paths.REPORT_FILE)]
    before = [path.read_bytes() for path in files]
    folder = world.dataset.parent / wrong
    config = evaluate.Config(dataset=folder, results=world.results, report=report)
    with pytest.raises(InputError, match=f"{wrong}.*--dataset"):
        evaluate.main(config)
    assert [path.read_bytes() for path in files] == before


@pytest.mark.parametrize("flags", [{}, {"report": True}, {"report": True, "json": "copy.json"}])
def test_results_that_cannot_be_written_are_said_before_anything_is_scored(
    world, tmp_path, monkeypatch, flags
):
    """All videos were scored first; the message named a hidden file."""
    world.add("hen", labelled=[0])
    make_read_only(world.results, monkeypatch)
    monkeypatch.setattr(evaluate, "score_one", None)
    flags |= {"json": tmp_path / flags["json"]} if "json" in flags else {}
    with pytest.raises(InputError, match=f"{world.results} is not .*writable. Choose .* with --"):
        world.evaluate(**flags)


def test_of_results_that_cannot_be_written_the_copy_of_the_scores_is(
    world, tmp_path, monkeypatch, capsys
):
    world.add("hen", labelled=[0])
    make_read_only(world.results, monkeypatch)
    copy = tmp_path / "copy.json"
    config = evaluate.Config(dataset=world.dataset, results=world.results, json=copy)
    assert evaluate.main(config) == 0
    assert json.loads(copy.read_text())["sequences"]["hen"]["J-Mean"] == 1
    text = capsys.readouterr().out
    assert f"warning: {world.results} is not writable" in text and "Written" not in text
    assert not (world.results / "scores.json").exists()


def make_read_only(folder, monkeypatch) -> None:
    """Also for root, who may write everywhere."""
    access = os.access

    def may(path, mode):
        return not (mode & os.W_OK and Path(path).is_relative_to(folder)) and access(path, mode)

    monkeypatch.setattr("utils.files.os.access", may)


def test_a_report_without_anything_to_score_keeps_earlier_scores(world, capsys):
    """They were replaced by none, with exit status 0."""
    world.add("hen", labelled=[0])
    _, before = world.evaluate()
    table = (world.results / "scores.csv").read_bytes()
    (world.dataset / "Annotations").rename(world.dataset / "annotations elsewhere")
    copy = world.results / "copy.json"
    assert world.evaluate(report=True, json=copy) == (0, before)
    assert json.loads(copy.read_text())["sequences"] == {}
    assert (world.results / "scores.csv").read_bytes() == table
    assert "scores.json and scores.csv stay as they were" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["480p", "1080p"])
def test_a_video_named_like_a_resolution_is_scored_and_shown(world, name):
    world.add(name, labelled=[0], layout="480p")
    status, record = world.evaluate(report=True)
    assert (status, list(record["sequences"])) == (0, [name])
    assert f"<h2>{name}</h2>" in (world.results / paths.REPORT_FILE).read_text()


def test_numbers_of_one_video_are_these(world):
    world.add("hen", shift=3, labelled=[0])
    hen = world.evaluate()[1]["sequences"]["hen"]
    assert {key: round(hen[key], 6) for key in NUMBERS} == {
        "J&F-Mean": 0.659091,
        "J-Mean": 0.818182,
        "J-Recall": 1.0,
        "J-Decay": 0.0,
        "F-Mean": 0.5,
        "F-Recall": 0.0,
        "F-Decay": 0.0,
    }


def test_files_and_table_say_the_same(world, tmp_path, capsys):
    world.add("ant", shift=10, labelled=[0])
    world.add("bee", labelled=[3])
    copy = tmp_path / "elsewhere" / "copy.json"
    _, record = world.evaluate(json=copy)
    assert json.loads(copy.read_text()) == record
    with (world.results / "scores.csv").open() as file:
        rows = {row["sequence"]: row for row in csv.DictReader(file)}
    table = capsys.readouterr().out
    assert list(rows) == ["ant", "bee"]
    for name, row in rows.items():
        assert (row["protocol"], row["num_scored"]) == (record["sequences"][name]["protocol"], "5")
        assert {key: float(row[key]) for key in NUMBERS} == {
            key: record["sequences"][name][key] for key in NUMBERS
        }
        line = next(line for line in table.splitlines() if line.startswith(name))
        assert f"{float(row['J-Mean']):.3f}" in line
    assert rows["bee"]["labelled_frames"] == "3"
    assert not [
        path for path in world.results.iterdir() if path.suffix not in ("", ".json", ".csv")
    ]


def test_score_folders_serves_other_scripts(world):
    world.add("hen", shift=15, labelled=[0])
    folders = (world.prediction("hen", 0).parent, world.annotation("hen", 0).parent)
    names = [f"{index:05d}" for index in range(NUM_FRAMES)]
    score = score_folders("hen", *folders, names, labelled_frames=[0])
    assert score.protocol == "first"
    assert score.scores["J-Mean"] == pytest.approx(1 / 3)
    with pytest.raises(NothingToScoreError):
        score_folders("hen", *folders, names, labelled_frames=range(NUM_FRAMES))


def test_default_dataset_is_the_sample_where_there_is_no_other(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "FINETUNE_TEST_DATASET", tmp_path / "own")
    monkeypatch.setattr(paths, "SAMPLE_DATASET", tmp_path / "sample")
    assert default_dataset() == tmp_path / "sample"
    (tmp_path / "own" / "JPEGImages" / "480p" / "hen").mkdir(parents=True)
    assert default_dataset() == tmp_path / "own"
    assert list_sequences(tmp_path / "own") == ["hen"]
    assert sequence_dir(tmp_path / "own", "Annotations", "hen") is None


def test_flags():
    args = ["--dataset", "d", "--sequences", "a", "b", "--exclude-guidance"]
    config = parse_config(evaluate.Config, None, args)
    assert config.sequences == ("a", "b")
    assert config.exclude_guidance
    with pytest.raises(SystemExit) as stop:
        parse_config(evaluate.Config, None, ["--seq", "a"])
    assert stop.value.code == 2


@pytest.mark.filterwarnings("ignore")
def test_agrees_with_vos_benchmark(world):
    evaluator = pytest.importorskip("vos_benchmark.benchmark").VideoEvaluator
    rng = np.random.default_rng(0)
    world.add("hen")
    for index in range(NUM_FRAMES):
        y, x = np.mgrid[:270, :480]
        annotation = (y - 130) ** 2 + (x - 200 - 9 * index) ** 2 < 80**2
        prediction = np.roll(annotation, rng.integers(-9, 9, 2), (0, 1))
        prediction[100:130, 180 : 180 + 12 * index] = False
        prediction |= rng.random(prediction.shape) < 0.001
        world.write(world.annotation("hen", index), annotation.astype(np.uint8))
        world.write(world.prediction("hen", index), prediction.astype(np.uint8))
    hen = world.evaluate()[1]["sequences"]["hen"]
    folders = (world.dataset / "Annotations" / "480p", world.results / "segmentation")
    _, j, f = evaluator(*map(str, folders))("hen")
    assert 0.3 < hen["F-Mean"] < 0.9
    assert 100 * hen["J-Mean"] == pytest.approx(j[255], abs=1e-9)
    assert 100 * hen["F-Mean"] == pytest.approx(f[255], abs=1e-9)
