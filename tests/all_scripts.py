"""Runs every script on one video, as a user would one after the other, with a tiny network."""

import contextlib
import io
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

import annotate
import bubblenet_select
import evaluate
import export
import finetune_test
from tests.frame_choice_world import make_chooser
from tests.page_client import TOKEN
from utils import paths
from utils.annotator.server import create_app
from utils.errors import InputError, UsageError, one_line
from utils.media.videos import FrameFolder, VideoFile


@dataclass
class Outcome:
    """How a script ended: exit status and what it printed, the line of an error included."""

    status: int
    output: str


def call(main, config) -> Outcome:
    """Runs a script's `main` as `run_script` does; a bug is raised."""
    printed = io.StringIO()
    status = 0
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            result = main(config)
            status = result if isinstance(result, int) else 0
        except (InputError, OSError) as error:
            status = 2 if isinstance(error, UsageError) else 1
            print(f"error: {one_line(error)}")
    return Outcome(status, printed.getvalue())


class Scripts:
    """All scripts on one video.

    Args:
        root: where results go.
        weights: of the tiny network.
    """

    def __init__(self, root: Path, weights: Path):
        self.root, self.weights = root, weights
        self.results = root / "results"
        self.empty_dataset = root / "no data set"
        (self.empty_dataset / "Annotations").mkdir(parents=True, exist_ok=True)

    def segment(self, video: Path, *labels: Path, **flags) -> Outcome:
        config = finetune_test.Config(
            video=(video,),
            label=labels,
            preset="fast",
            precision="float32",
            results=self.results,
            weights=self.weights,
            **flags,
        )
        return call(finetune_test.main, config)

    def masks(self, name: str) -> list[Path]:
        return sorted((self.results / "segmentation" / name).glob("*.png"))

    def check_masks(self, video: Path) -> None:
        """As many masks as frames, at their size, and a record; nothing half-written."""
        frames = FrameFolder(video) if video.is_dir() else VideoFile(video)
        name = video.name if video.is_dir() else video.stem
        masks = {path.stem for path in self.masks(name)}
        assert masks == set(frames.frame_names)
        for path in self.masks(name):
            assert Image.open(path).size == (frames.width, frames.height)
        assert (self.results / "runs" / name / paths.RUN_FILE).is_file()
        assert not (self.results / "runs" / name / paths.PARTIAL).exists()
        self.check_nothing_half_written()

    def check_nothing_written(self) -> None:
        assert not list(self.results.glob("segmentation/*/*"))
        assert not list(self.results.glob("runs/*/run.json"))
        self.check_nothing_half_written()

    def check_nothing_half_written(self) -> None:
        assert not list(self.results.rglob(".writing-*"))

    def use(self, *formats: str) -> dict[str, Outcome]:
        """Evaluates and exports what was segmented."""
        done = {
            name: call(
                export.main, export.Config(format=name, results=self.results, cutout_as="both")
            )
            for name in formats or ("csv", "coco", "davis", "cutout")
        }
        config = evaluate.Config(dataset=self.empty_dataset, results=self.results, report=True)
        done["evaluate"] = call(evaluate.main, config)
        self.check_nothing_half_written()
        return done

    def choose(self, video: Path) -> Outcome:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(bubblenet_select, "load_chooser", lambda *_: make_chooser({}))
            patch.setattr(paths, "DATASETS", self.root / "datasets")
            config = bubblenet_select.Config(video=(video,), results=self.results)
            return call(bubblenet_select.main, config)

    def label_page(self, video: Path) -> Outcome:
        """Opens the page and looks at the first and the last frame, large and small."""

        def look(config: annotate.Config) -> int:
            task = annotate.open_task(config)
            client = create_app(task, TOKEN).test_client()
            client.get(f"/?token={TOKEN}")
            answer = client.get("/api/video")
            if answer.status_code != 200:
                raise InputError(answer.get_data(as_text=True))
            facts = answer.get_json()
            assert (facts["height"], facts["width"]) == (task.video.height, task.video.width)
            for index in (0, facts["num_frames"] - 1):
                for size in ("display", "full", "thumbnail"):
                    response = client.get(f"/api/frames/{index}/{size}.jpg")
                    if response.status_code != 200:
                        raise InputError(response.get_data(as_text=True))
            task.video.close()
            return 0

        return call(look, annotate.Config(video=video))

    def clear(self) -> None:
        shutil.rmtree(self.results, ignore_errors=True)
