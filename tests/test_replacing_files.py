"""Files that are replaced while another program looks at them."""

import os

import pytest

from utils import files
from utils.export.output_folder import replaced_folder


class HeldError(OSError):
    """As Windows refuses while a virus scanner reads the file."""

    winerror = 32


def refuse(monkeypatch, times, error=HeldError):
    real, refused = os.replace, []

    def replace(source, target):
        if len(refused) < times:
            refused.append(target)
            raise error("in use")
        return real(source, target)

    monkeypatch.setattr(files.os, "replace", replace)
    monkeypatch.setattr(files, "_RETRY_SECONDS", (0, 0))
    return refused


def test_a_file_that_is_held_for_a_moment_is_replaced_after_it(tmp_path, monkeypatch):
    path = tmp_path / "run.json"
    refused = refuse(monkeypatch, 2)
    files.write_json(path, {"a": 1})
    assert files.read_json(path) == {"a": 1} and len(refused) == 2


@pytest.mark.parametrize("times, error", [(3, HeldError), (1, OSError)])
def test_a_file_that_stays_held_is_an_error_and_leaves_nothing_behind(
    tmp_path, monkeypatch, times, error
):
    path = tmp_path / "run.json"
    path.write_text("before")
    refuse(monkeypatch, times, error)
    with pytest.raises(error):
        files.write_json(path, {"a": 1})
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"] and path.read_text() == "before"


@pytest.mark.parametrize("which", ["the old one", "the new one"])
def test_an_export_that_cannot_be_replaced_stays_as_it_is(tmp_path, monkeypatch, which):
    """All or some of its files were removed, and then the new ones as well."""
    folder = tmp_path / "hen"
    folder.mkdir()
    (folder / "00000.png").write_text("before")
    real = os.replace

    def replace(source, target):
        is_new = target == folder and not source.name.endswith("-old")
        if (source == folder) if which == "the old one" else is_new:
            raise HeldError("in use")
        return real(source, target)

    with monkeypatch.context() as patched, pytest.raises(HeldError):
        patched.setattr(files.os, "replace", replace)
        patched.setattr(files, "_RETRY_SECONDS", (0, 0))
        with replaced_folder(folder) as new:
            (new / "00000.png").write_text("now")
    assert (folder / "00000.png").read_text() == "before"
    with replaced_folder(folder) as new:
        (new / "00001.png").write_text("now")
    assert [path.name for path in folder.iterdir()] == ["00001.png"]
    assert [path.name for path in tmp_path.iterdir()] == ["hen"]


def test_an_export_that_is_stopped_while_it_is_replaced_stays_as_it_is(tmp_path, monkeypatch):
    """The old one was removed with the new one."""
    folder = tmp_path / "hen"
    folder.mkdir()
    (folder / "00000.png").write_text("before")
    real = os.replace

    def replace(source, target):
        if target == folder and not source.name.endswith("-old"):
            raise KeyboardInterrupt
        return real(source, target)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(files.os, "replace", replace)
        with replaced_folder(folder) as new:
            (new / "00000.png").write_text("now")
    assert (folder / "00000.png").read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["hen"]


def test_a_record_that_a_person_saved_with_a_byte_order_mark_is_read(tmp_path):
    """It counted as none, and a finished video as not segmented."""
    path = tmp_path / "run.json"
    path.write_text('{"input": "hen.mp4"}', encoding="utf-8-sig")
    assert files.read_json(path) == {"input": "hen.mp4"}
