"""bubblenet_select.py: which frame to label, and with --next which further one."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import annotate
import bubblenet_select
import finetune_test
import utils.frame_choice.chooser as chooser_module
from bubblenet_select import Config
from tests.frame_choice_world import REDS, colour_extractor, make_chooser, write_frames
from tests.made_results import NUM_FRAMES, MadeResults
from utils import paths
from utils.command_line import parse_config
from utils.errors import InputError, UsageError
from utils.frame_choice.chooser import rank_video
from utils.frame_choice.selection_files import read_selection
from utils.inputs.sequences import find_sequences
from utils.media.labels import write_label
from utils.media.video_part import VideoPart
from utils.media.video_writing import write_video
from utils.media.videos import FrameFolder
from utils.stage3.presets import PRESETS, as_recorded


@pytest.fixture
def script(tmp_path, monkeypatch, weights_dir, both):
    """Runs the script with trained networks that look at colours; see `video` for the data."""
    monkeypatch.setattr(paths, "DATASETS", tmp_path / "datasets")
    monkeypatch.setattr(paths, "LABELS", tmp_path / "datasets" / "labels")
    chooser = make_chooser(both)
    monkeypatch.setattr(bubblenet_select, "load_chooser", lambda *_: chooser)

    def run(**flags):
        return bubblenet_select.main(Config(results=tmp_path / "results", **flags))

    return run


def test_the_script_names_the_frame_and_writes_files_and_thumbnails(
    script, video, tmp_path, capsys
):
    dataset = tmp_path / "data"
    assert script(dataset=dataset) == 0
    assert (
        "hen: label frame 3 (00003.png), by rule (middle); BNLF says 4, BN0 says 5"
        in capsys.readouterr().out
    )
    folder = paths.frame_selection_dir(dataset, "hen")
    assert read_selection(folder, "BNLF", video.frame_names) == [4]
    strip = Image.open(tmp_path / "results" / paths.FRAME_SELECTION / "hen.png")
    assert strip.height > 3 * 150  # a row each


def test_thumbnails_are_those_of_the_video_that_is_named(script, video, tmp_path):
    """Those of another video of the name stayed where the ranking was known."""
    other = write_frames(tmp_path / "other" / "JPEGImages" / "hen", [90] * 6)
    strip = tmp_path / "results" / paths.FRAME_SELECTION / "hen.png"
    script(dataset=tmp_path / "data")
    first = strip.read_bytes()
    script(video=(other,))
    assert strip.read_bytes() != first
    script(dataset=tmp_path / "data")
    assert strip.read_bytes() == first


def test_results_that_cannot_be_written_are_said_before_the_frames_are_looked_at(
    script, video, tmp_path
):
    """They were looked at first, and the message was that of the operating system."""
    (tmp_path / "results").write_bytes(b"a file")
    with pytest.raises(InputError, match="results is not a folder.*another folder with --results"):
        script(dataset=tmp_path / "data")
    assert not paths.frame_selection_dir(tmp_path / "data", "hen").exists()


def test_a_data_set_that_cannot_be_written_is_said_before_the_frames_are_looked_at(
    tmp_path, video, both, monkeypatch
):
    """As one on a read-only share: every frame was looked at first."""
    extractor = colour_extractor()
    chooser = make_chooser(both, extractor=extractor)
    monkeypatch.setattr(bubblenet_select, "load_chooser", lambda *_: chooser)
    (tmp_path / "data" / "bubbleNet_data").write_bytes(b"a file")
    config = Config(dataset=tmp_path / "data", results=tmp_path / "results")
    with pytest.raises(InputError, match="bubbleNet_data is not a folder.*--dataset"):
        bubblenet_select.main(config)
    assert not extractor.prepare.seen
    folder = paths.frame_selection_dir(config.dataset, video.name)
    assert rank_video(video, folder, chooser, write=False).is_new  # as a dry run


def test_the_script_goes_by_whom_the_project_trusts(script, video, tmp_path, monkeypatch, capsys):
    for module in (bubblenet_select, chooser_module):
        monkeypatch.setattr(module, "SELECTION_PREFERENCE", ("BNLF", "BN0", "rule"))
    script(dataset=tmp_path / "data")
    said = "hen: label frame 4 (00004.png); BN0 says 5, the rule (middle) 3"
    assert said in capsys.readouterr().out


def test_a_video_file_is_told_by_its_times(script, tmp_path, capsys):
    frames = [np.full((48, 64, 3), (red, 60, 90), "uint8") for red in REDS]
    write_video(tmp_path / "clip.mp4", iter(frames), None, 25.0)
    assert script(video=(tmp_path / "clip.mp4",)) == 0
    assert (
        "clip: label frame 3 (at 0.12 s), by rule (middle); BNLF says 4, BN0 says 5"
        in capsys.readouterr().out
    )
    folder = paths.frame_selection_dir(paths.DATASETS, "clip")  # where stage 3 looks for --video
    assert read_selection(folder, "BNLF", [f"{i:05d}" for i in range(6)]) == [4]


def test_without_networks_the_script_says_so_and_goes_by_the_rule(
    tmp_path, video, weights_dir, monkeypatch, capsys
):
    results = tmp_path / "results"
    status = bubblenet_select.main(Config(dataset=tmp_path / "data", results=results))
    lines = capsys.readouterr().out.splitlines()
    assert status == 0 and lines[0].startswith("No trained BNLF and BN0 in")
    assert "hen: label frame 3 (00003.png), by rule (middle)" in lines
    folder = paths.frame_selection_dir(tmp_path / "data", "hen")
    assert [path.name for path in folder.glob("*.txt")] == ["rule.txt"]


def test_a_broken_video_does_not_stop_the_others(script, video, tmp_path, capsys):
    broken = write_frames(video.path.parent / "broken", REDS)
    (broken / "00002.png").write_bytes(b"no image")
    assert script(dataset=tmp_path / "data") == 1
    out = capsys.readouterr().out
    assert "error: broken: " in out and "00002.png" in out and "hen: label frame 3" in out
    with pytest.raises(InputError, match="00002.png"):
        script(dataset=tmp_path / "data", sequences=("broken",))


def test_arguments_that_exclude_each_other_are_a_usage_error(script, video, tmp_path):
    with pytest.raises(UsageError, match="--video stands in place"):
        script(video=(video.path,), dataset=tmp_path / "data")
    with pytest.raises(UsageError, match="No sequence cat"):
        script(dataset=tmp_path / "data", sequences=("cat",))


# --next


def segment(
    results: Path, num_frames: int = 40, labelled=(5,), lost=(30,), first: int = 0, **record
) -> None:
    """What stage 3 leaves: an animal that stands still, and is lost in some frames."""
    for index in range(first, first + num_frames):
        mask = np.zeros((24, 32), "uint8")
        mask[6:18, 8:20] = 0 if index in lost else 1
        path = results / paths.SEGMENTATION / "hen" / f"{index:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_label(path, mask)
    record |= {"labelled_frames": list(labelled), "num_frames": num_frames}
    write_record(results, record)


def write_record(results: Path, record: dict) -> None:
    path = results / paths.RUNS / "hen" / paths.RUN_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record))


@pytest.fixture
def long_video(tmp_path):
    write_frames(tmp_path / "data" / "JPEGImages" / "hen", [90] * 40)
    return tmp_path / "data"


def proposed(text: str) -> int:
    return int(text.split("label frame ")[1].split()[0])


def test_next_proposes_a_frame_where_the_masks_jump(script, long_video, tmp_path, capsys):
    segment(tmp_path / "results")
    assert script(dataset=long_video, next=True) == 0
    text = capsys.readouterr().out
    frame = proposed(text)
    assert 28 <= frame <= 32 and "labelled so far: 5;" in text
    flags = f"--dataset {long_video} --sequences hen --results {tmp_path / 'results'}"
    assert f"finetune_test.py {flags} --guidance 5,{frame}" in text


def test_next_goes_by_the_confidence_that_stage_3_saved(script, long_video, tmp_path, capsys):
    segment(tmp_path / "results")
    confidence = [0.99] * 40
    confidence[17:20] = [0.6] * 3
    path = tmp_path / "results" / paths.RUNS / "hen" / paths.CONFIDENCE_FILE
    path.write_text(json.dumps({"confidence": confidence}))
    script(dataset=long_video, next=True)
    assert 16 <= proposed(capsys.readouterr().out) <= 20


@pytest.mark.parametrize("confidence, is_little", [(1.0, True), (0.5, False)])
def test_next_of_one_video_says_when_its_frame_promises_little(
    script, long_video, tmp_path, capsys, confidence, is_little
):
    """The list of all results named none, and this one without a word."""
    segment(tmp_path / "results")
    path = tmp_path / "results" / paths.RUNS / "hen" / paths.CONFIDENCE_FILE
    path.write_text(json.dumps({"confidence": [confidence] * 40}))
    script(dataset=long_video, next=True)
    text = capsys.readouterr().out
    assert proposed(text) != 5
    assert ("a further label promises little (0.0 frames)" in text) == is_little


def test_next_does_not_ask_again_for_a_label_made_since(script, long_video, tmp_path, capsys):
    segment(tmp_path / "results")
    label_path = paths.LABELS / "hen" / "00030.png"
    label_path.parent.mkdir(parents=True)
    write_label(label_path, np.eye(24, 32, dtype="uint8"))
    script(dataset=long_video, next=True)
    text = capsys.readouterr().out
    assert proposed(text) != 30 and "labelled so far: 5, 30;" in text


def test_next_asks_for_the_first_label_of_a_video_segmented_without_one(
    script, long_video, tmp_path, capsys
):
    """It was refused, with the advice to segment the video."""
    segment(tmp_path / "results", labelled=())
    folder = long_video / "JPEGImages" / "hen"
    assert script(video=(folder,), next=True) == 0
    text = capsys.readouterr().out
    frame = proposed(text)
    assert 28 <= frame <= 32 and "next, labelled so far: none; then" in text
    flags = f"--video {folder} --results {tmp_path / 'results'}"
    assert text.rstrip().endswith(f"finetune_test.py {flags} --guidance {frame}")


def test_next_says_where_the_label_of_an_earlier_call_has_to_be(
    script, long_video, tmp_path, capsys
):
    """The command that it printed was refused: --guidance does not find what --label named."""
    segment(tmp_path / "results")
    script(dataset=long_video, next=True)
    line = capsys.readouterr().out
    assert f"; put what --label named into {paths.LABELS / 'hen'} as 00005.png; then" in line
    for folder in (paths.LABELS, long_video / "Annotations"):
        path = folder / "hen" / "00005.png"
        path.parent.mkdir(parents=True)
        write_label(path, np.eye(24, 32, dtype="uint8"))
        script(dataset=long_video, next=True)
        line = capsys.readouterr().out
        assert "--label" not in line
        _, opened = find_sequences(long_video, (), (), (), "0")
        labels = opened["hen"]().labels
        assert {*map(int, line.split("--guidance ")[1].split(","))} - {*labels} == {proposed(line)}
        path.unlink()


@pytest.mark.parametrize("record", [{"labelled_frames": [40]}, {"guidance": "unknown"}])
def test_next_refuses_a_record_that_does_not_say_what_was_labelled(
    script, long_video, tmp_path, record
):
    segment(tmp_path / "results")
    write_record(tmp_path / "results", {"num_frames": 40, **record})
    with pytest.raises(InputError, match=r"names the labelled frames.*0 labelled frames"):
        script(dataset=long_video, next=True)


def test_next_without_results_says_what_to_run(script, long_video, tmp_path):
    with pytest.raises(InputError, match=r"hen: --next looks.*finetune_test\.py"):
        script(dataset=long_video, next=True)
    segment(tmp_path / "results", num_frames=30)
    with pytest.raises(InputError, match=r"40 masks.*found 30 masks.*finetune_test\.py"):
        script(dataset=long_video, next=True)


def test_next_refuses_the_masks_of_another_video_of_the_name(script, long_video, tmp_path, capsys):
    """With as many frames, the advice was of its masks."""
    hen, results = long_video / "JPEGImages" / "hen", tmp_path / "results"
    other = write_frames(tmp_path / "other" / "hen", [120] * 40)
    segment(results)
    key = {"sha256": {"frames": FrameFolder(hen).sha256()}}
    record = {"labelled_frames": [5], "num_frames": 40, "input": str(hen), "key": key}
    write_record(results, record)
    with pytest.raises(InputError, match=rf"expected the masks of {other}.*, {hen} as"):
        script(video=(other,), next=True)
    assert script(video=(hen,), next=True) == 0
    assert 28 <= proposed(capsys.readouterr().out) <= 32


def test_a_video_that_was_segmented_under_another_name_is_found_by_it(
    script, long_video, tmp_path, capsys
):
    """There was no --name, though the message about an impossible name advised to give it."""
    segment(tmp_path / "results")
    path = write_frames(tmp_path / "day1", [90] * 40)
    assert script(video=(path,), name="hen", next=True) == 0
    text = capsys.readouterr().out
    assert text.startswith("hen: label frame ") and f"--video {path} --name hen" in text
    assert script(video=(path,), name="hen") == 0
    assert "hen: label frame 20 (00020.png)" in capsys.readouterr().out
    folder = paths.frame_selection_dir(paths.DATASETS, "hen")
    assert read_selection(folder, "rule", [f"{i:05d}" for i in range(40)]) == [20]
    for flags in ({}, {"dataset": long_video}):
        with pytest.raises(UsageError, match="--name goes with --video"):
            script(name="hen", next=True, **flags)


def test_next_goes_by_the_masks_of_a_part_of_the_video(script, long_video, tmp_path, capsys):
    """It was refused, with the advice to run finetune_test.py."""
    hen, results = long_video / "JPEGImages" / "hen", tmp_path / "results"
    key = {"sha256": {"frames": VideoPart(FrameFolder(hen), 10, 29).sha256()}}
    segment(results, 20, labelled=(12,), lost=(25,), first=10, part=[10, 30], key=key)
    for frame in (4, 12):  # the first is not in the part
        path = paths.LABELS / "hen" / f"{frame:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_label(path, np.eye(24, 32, dtype="uint8"))
    assert script(video=(hen,), next=True) == 0
    text = capsys.readouterr().out
    frame = proposed(text)
    assert 23 <= frame <= 27 and f"({frame:05d}.png) next, labelled so far: 12; then" in text
    assert text.rstrip().endswith(f" --results {results} --frames 10:30 --guidance 12,{frame}")
    script(dataset=long_video, next=True)
    assert capsys.readouterr().out.rstrip().endswith(f" --frames 10:30 --guidance 12,{frame}")


def test_next_without_a_video_ranks_all_results_in_one_list(script, tmp_path, capsys):
    made = MadeResults(tmp_path)
    for name, doubtful in (("ant", (6,)), ("bee", range(4, 11)), ("cat", ())):
        made.add(name, labelled=(0,))
        confidence = [0.3 if index in doubtful else 0.99 for index in range(NUM_FRAMES)]
        made.write_record(name, {"confidence": confidence}, "confidence.json")
    assert script(next=True) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    ranked = [row[1] for row in rows if row and row[0].isdecimal()]
    assert ranked[0] == "bee" and set(ranked) == {"ant", "bee", "cat"}
    first = next(row for row in rows if row[:1] == ["1"])
    assert 4 <= int(first[2]) <= 10 and first[4] == "0"
    folder = str(tmp_path / "dataset" / "JPEGImages" / "bee")
    assert any("annotate.py" in " ".join(row) and folder in " ".join(row) for row in rows)
    script(next=True, sequences=("ant",))
    assert "bee" not in capsys.readouterr().out


@pytest.mark.parametrize("unfinished, finished", [("bee", "ant"), ("ant", "bee")])
def test_next_over_all_results_leaves_out_videos_that_cannot_be_looked_at(
    script, tmp_path, capsys, unfinished, finished
):
    made = MadeResults(tmp_path)
    made.add(finished, labelled=(0,), confidence=[0.5] * NUM_FRAMES)
    made.add(unfinished, labelled=(0,))
    made.leave_unfinished(unfinished, 4)
    assert script(next=True) == 1
    text = capsys.readouterr().out
    assert f"error: {unfinished}: unfinished (4 masks" in text
    assert f" {finished} " in text and f" {unfinished} " not in text


def test_next_prints_a_command_that_takes_names_that_begin_with_a_hyphen(
    script, tmp_path, capsys, monkeypatch
):
    """They were taken for flags: a Path has dropped the ./ before them."""
    segment(tmp_path / "results")
    write_frames(tmp_path / "-day1", [90] * 40)
    monkeypatch.chdir(tmp_path)
    script(video=(Path("./-day1"),), name="hen", next=True)
    command = capsys.readouterr().out.split("; then ")[1]
    config = parse_config(finetune_test.Config, "", shlex.split(command)[2:])
    assert (config.video, config.name) == ((Path("-day1"),), "hen")


def test_next_names_a_video_in_its_command_as_it_was_named_among_others(
    script, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(paths, "LABELS", tmp_path / "labels")
    for folder in ("mon", "tue"):
        write_frames(tmp_path / folder / "day1", [90] * NUM_FRAMES)
        MadeResults(tmp_path).add(f"{folder}_day1", labelled=(0,))
    videos = tuple(tmp_path / folder / "day1" for folder in ("mon", "tue"))
    assert script(video=videos, next=True) == 0
    for line, path, name in zip(
        capsys.readouterr().out.splitlines(), videos, ("mon_day1", "tue_day1"), strict=True
    ):
        assert f"finetune_test.py --video {path} --name {name} " in line


def test_next_names_no_frame_where_no_label_promises_much(script, tmp_path, capsys):
    """It named frames of a gain of 0.0, where the report said that no label promises much."""
    made = MadeResults(tmp_path)
    made.add("hen")
    made.write_record("hen", {"confidence": [0.999] * NUM_FRAMES}, "confidence.json")
    assert script(next=True) == 0
    text = capsys.readouterr().out
    assert text.startswith("In no video does a further label promise much") and "0.0" in text
    assert "annotate.py" not in text


# What the commands that --next prints keep of the run before


def make_doubtful(made, name="hen", **options) -> None:
    made.add(name, labelled=(3,), **options)
    confidence = [0.9] * 6 + [0.1] * (NUM_FRAMES - 6)
    made.write_record(name, {"confidence": confidence}, "confidence.json")


def after(text: str, script_name: str) -> list[str]:
    """The words of the printed command that runs a script."""
    words = shlex.split(text[text.index("Next: ") :])
    return words[next(i for i, word in enumerate(words) if word.endswith(script_name)) + 1 :]


@pytest.mark.parametrize("size", ["", "480p"])
def test_the_page_of_a_sequence_is_opened_with_its_annotations(script, tmp_path, capsys, size):
    """As a video by itself, the sequence lost the label that the run had."""
    made = MadeResults(tmp_path)
    make_doubtful(made, annotated=(3,))
    folders = [made.dataset / kind for kind in ("JPEGImages", "Annotations")]
    for folder in folders if size else ():
        (folder / size).mkdir()
        (folder / "hen").rename(folder / size / "hen")
    frames = folders[0] / size / "hen"
    record = {"input": str(frames), "num_frames": NUM_FRAMES, "labelled_frames": [3]}
    made.write_record("hen", record)
    assert script(next=True) == 0
    text = capsys.readouterr().out
    dataset = str(made.dataset)
    words = after(text, "annotate.py")
    assert words[:6] == [
        "--dataset", dataset, "--sequence", "hen", "--results", f"{made.results},"
    ]  # fmt: skip
    assert "its page has the command" in text
    task = annotate.open_task(
        annotate.Config(dataset=made.dataset, sequence="hen", results=made.results)
    )
    task.save_label(8, np.eye(64, 96, dtype="uint8"))
    assert "--guidance 3,8" in task.next_command()


def test_what_the_page_does_not_know_of_a_run_is_in_the_command_that_follows(
    script, tmp_path, capsys
):
    """A part (--frames) and what --label named were lost without a word."""
    made = MadeResults(tmp_path)
    make_doubtful(made, is_file=True, stems=[f"{i:05d}" for i in range(100, 112)])
    record = {"input": str(tmp_path / "hen.mp4"), "num_frames": 12, "labelled_frames": [103]}
    made.write_record("hen", record | {"part": [100, 112]})
    assert script(next=True) == 0
    text = capsys.readouterr().out
    assert f"put what --label named into {paths.LABELS / 'hen'} as 00103.png; then" in text
    words = after(text, "finetune_test.py")
    assert words[-4:] == ["--frames", "100:112", "--guidance", f"103,{proposed_first(text)}"]
    label = paths.LABELS / "hen" / "00103.png"
    write_label(label, np.eye(24, 32, dtype="uint8"))
    script(next=True)
    text = capsys.readouterr().out
    assert "what --label named" not in text and "--frames 100:112" in text


def proposed_first(text: str) -> int:
    row = next(row.split() for row in text.splitlines() if row.split()[:1] == ["1"])
    return int(row[2])


def test_a_video_that_has_moved_is_said_to_be_gone(script, tmp_path, capsys):
    """The command that was printed opened nothing."""
    made = MadeResults(tmp_path)
    make_doubtful(made)
    made.dataset.rename(tmp_path / "elsewhere")
    assert script(next=True) == 0
    text = capsys.readouterr().out
    assert f"no longer at {made.dataset / 'JPEGImages' / 'hen'}: put it back" in text
    assert after(text, "annotate.py")[:4] == ["--video", "FILE", "--name", "hen"]


def test_next_repeats_the_preset_of_the_run(script, tmp_path, capsys):
    """It named no preset: the run that uses the label was one with the default."""
    made = MadeResults(tmp_path)
    for name, preset, expected in (
        ("pig", as_recorded(PRESETS["herd"]), "; then python"),
        ("cow", as_recorded(PRESETS["default"]), "; then python"),
        ("owl", {"lines": 480}, "; then, with the flags of the earlier run, python"),
    ):
        make_doubtful(made, name, key={"preset": preset}, annotated=(3,))
        assert script(dataset=made.dataset, sequences=(name,), next=True) == 0
        text = capsys.readouterr().out
        assert expected in text
        assert ("--preset herd" in text) == (name == "pig") and text.count("--preset") < 2
