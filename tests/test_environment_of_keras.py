"""Settings of Keras that another project left behind, and a backend that is not installed."""

import json
import os
import subprocess
import sys

import pytest

from utils import paths

SCRIPT = """
from utils import backend
import keras
print(keras.backend.backend(), keras.config.image_data_format(), keras.config.floatx())
"""


def start(home, **environment) -> subprocess.CompletedProcess:
    kept = {name: v for name, v in os.environ.items() if not name.startswith("KERAS")}
    return subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=paths.ROOT,
        env={**kept, "HOME": str(home), "USERPROFILE": str(home), **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize(
    "settings",
    [
        {"image_data_format": "channels_first", "floatx": "float16", "epsilon": 0.1},
        {"backend": "no_such_backend", "floatx": "no_such_type"},
    ],
)
def test_settings_of_another_project_are_ignored(tmp_path, settings):
    file = tmp_path / ".keras" / "keras.json"
    file.parent.mkdir()
    file.write_text(json.dumps(settings))
    done = start(tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["tensorflow", "channels_last", "float32"]
    assert json.loads(file.read_text()) == settings  # it is the other project's


def test_a_backend_that_is_missing_is_one_line(tmp_path):
    done = start(tmp_path, KERAS_BACKEND="no_such_backend")
    assert done.returncode == 1
    assert done.stderr.startswith("error: the backend of Keras cannot be imported")
    assert "no_such_backend" in done.stderr and len(done.stderr.splitlines()) == 1
