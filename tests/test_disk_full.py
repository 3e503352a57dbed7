"""A full disk, whichever script finds it full: advice, status 1, and no half file."""

import ast
import errno
import os

import numpy as np
import pytest
from PIL import Image

import bubblenet_select
import evaluate
import export
import train_bubblenet
from tests.made_results import MadeResults
from tests.measured_table import make_video, write_table
from utils import files, paths
from utils.command_line import run_script
from utils.errors import one_line

SCRIPTS = sorted(paths.ROOT.glob("*.py"))


@pytest.fixture
def full_disk(monkeypatch):
    """From `full_disk()` on, no file can be written."""

    def fill(code=errno.ENOSPC):
        def replace(source, target):
            raise OSError(code, os.strerror(code), str(source))

        monkeypatch.setattr(files.os, "replace", replace)

    return fill


@pytest.fixture
def status_of(monkeypatch, capsys):
    """Runs a script with flags. Returns its exit status and what it printed as errors."""

    def run(script, *flags):
        monkeypatch.setattr("sys.argv", ["script", *map(str, flags)])
        with pytest.raises(SystemExit) as stop:
            run_script(script.main, script.Config, "")
        printed = capsys.readouterr()
        return stop.value.code, printed.out + printed.err

    return run


def assert_advice(outcome, folder):
    status, printed = outcome
    assert status == 1
    assert "error: " in printed and "the disk is full" in printed
    assert "Free some space" in printed and "Traceback" not in printed
    assert not list(folder.rglob(".writing-*"))


def test_evaluate_and_export_report_a_full_disk(tmp_path, full_disk, status_of):
    made = MadeResults(tmp_path)
    made.add("hen", annotated=range(12))
    made.add("duck", annotated=range(12))
    full_disk()
    folders = ("--dataset", made.dataset, "--results", made.results)
    assert_advice(status_of(evaluate, *folders), tmp_path)
    assert_advice(status_of(export, "csv", "--results", made.results), tmp_path)
    one_video = ("--sequences", "hen")
    assert_advice(status_of(export, "davis", "--results", made.results, *one_video), tmp_path)


@pytest.mark.parametrize("names", [("hen",), ("hen", "duck")], ids=len)
def test_the_choice_of_a_frame_reports_a_full_disk(
    tmp_path, monkeypatch, full_disk, status_of, names
):
    monkeypatch.setattr(paths, "BUBBLENET_WEIGHTS", tmp_path / "no_networks")
    for name in names:
        folder = tmp_path / "data" / "JPEGImages" / name
        folder.mkdir(parents=True)
        for frame in range(3):
            Image.fromarray(np.full((24, 32, 3), frame, "uint8")).save(folder / f"{frame}.png")
    full_disk(getattr(errno, "EDQUOT", errno.ENOSPC))
    flags = ("--dataset", tmp_path / "data", "--results", tmp_path / "results")
    assert_advice(status_of(bubblenet_select, *flags), tmp_path)


def test_the_training_of_bubblenets_reports_a_full_disk(tmp_path, full_disk, status_of):
    table = write_table(tmp_path / "table", [make_video("cat", 0), make_video("dove", 1)])
    full_disk()
    flags = ("--table", table, "--steps", 1, "--batch-size", 4, "--output", tmp_path / "weights")
    assert_advice(status_of(train_bubblenet, *flags), tmp_path)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_every_script_runs_where_a_full_disk_is_reported(path):
    guard = ast.parse(path.read_text(encoding="utf-8")).body[-1]
    assert ast.unparse(guard) == (
        "if __name__ == '__main__':\n    run_script(main, Config, __doc__)"
    )


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device", "a.png"),
        OSError(errno.ENOSPC, "Es ist kein Speicherplatz mehr verfügbar"),
        RuntimeError("; No space left on device\nwhile writing state"),  # as TensorFlow puts it
        OSError("Can't write data (errno = 28, error message = 'No space left on device')"),
    ],
    ids=repr,
)
def test_a_full_disk_is_known_by_its_code_or_its_words(error, status_of):
    class Script:
        Config = evaluate.Config

        @staticmethod
        def main(config):
            raise error

    status, printed = status_of(Script)
    assert status == 1 and printed.startswith("error: the disk is full (")
    assert printed.count("\n") == 1


def test_other_errors_get_no_advice_about_the_disk():
    assert one_line(OSError(errno.EACCES, "Permission denied", "a.png")) == (
        "[Errno 13] Permission denied: 'a.png'"
    )
    assert one_line(ValueError("two\n lines")) == "two lines"
    assert one_line(KeyError()) == "KeyError"
