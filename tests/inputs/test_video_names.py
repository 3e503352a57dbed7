"""Names under which results can be stored."""

from pathlib import Path

import pytest

from utils.errors import UsageError
from utils.inputs import video_names
from utils.inputs.sequences import find_sequences


def test_the_root_of_a_disk_has_no_name_to_store_results_under():
    """They would have been stored beside those of all videos, whose masks were removed first."""
    with pytest.raises(UsageError, match="cannot have the name ''.*--name"):
        find_sequences(None, (), (Path("/"),), (), "auto")


@pytest.mark.parametrize("name", ["hen: day 1", "a?b", "CON", "nul.txt", "hen.", "hen ", "COM1"])
def test_what_windows_cannot_store_is_refused_there(name, monkeypatch):
    video_names.check_name(name, "--name")
    monkeypatch.setattr(video_names, "IS_WINDOWS", True)
    monkeypatch.setattr(video_names, "FORBIDDEN", video_names.FORBIDDEN + '<>:"|?*')
    with pytest.raises(UsageError, match="--name NAME"):
        video_names.check_name(name, "--name")
    video_names.check_name("hen day 1", "--name")
