"""finetune_test.py with a tiny network and a few steps, to be started as a script: its arguments
are those of finetune_test.py, after the folder for what it needs."""

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from utils import backend  # noqa: E402, F401  before Keras: it starts it without noise

# isort: split
import finetune_test  # noqa: E402
from tests.stage3_world import save_tiny_weights, small_stage3_in  # noqa: E402
from utils.command_line import run_script  # noqa: E402

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, small_stage3_in(Path(folder)):
        weights = save_tiny_weights(Path(folder))
        sys.argv += ["--weights", str(weights)]
        if "--precision" not in sys.argv:
            sys.argv += ["--precision", "float32"]
        run_script(finetune_test.main, finetune_test.Config, finetune_test.__doc__)
