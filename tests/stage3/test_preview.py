"""The preview: masks of a few frames, while the long part of a run goes on."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.stage3_world import HEIGHT, NUM_FRAMES, WIDTH, animal
from utils import paths
from utils.media.overlay import TILE_BOX_PX
from utils.media.videos import FrameFolder
from utils.stage3 import pipeline, presets, preview
from utils.stage3.animal_in_frame import AnimalInFrame
from utils.stage3.pipeline import Pipeline
from utils.stage3.settings import SecondLook

TILE_HEIGHT = round(TILE_BOX_PX[0] * HEIGHT / WIDTH)


@pytest.fixture
def second_look(small_stage3, monkeypatch):
    look = SecondLook(epochs=1, min_confidence=0)
    preset = replace(presets.PRESETS["fast"], second_look=look)
    monkeypatch.setitem(presets.PRESETS, "fast", preset)


@pytest.fixture
def kept(monkeypatch) -> list[np.ndarray]:
    """The previews that are on disk when the second look begins, or when the frames are
    segmented."""
    found, segment = [], Pipeline.segment

    def look_first(self, number):
        path = self.partial.preview_path
        if path.is_file():
            found.append(np.asarray(Image.open(path).convert("RGB"), int))
        segment(self, number)

    monkeypatch.setattr(Pipeline, "segment", look_first)
    return found


def found_in(frame: int, probability: int) -> AnimalInFrame:
    region = animal(frame % NUM_FRAMES) > 0
    return AnimalInFrame(frame, np.uint8(region * np.uint8(probability)), region)


def test_few_frames_all_over_a_long_video_are_segmented_for_the_preview_alone():
    assert frames_are_spread(preview.frames_to_preview(5_000), 5_000)
    assert preview.frames_to_preview(preview.MIN_FRAMES - 1) == []


def frames_are_spread(frames: list[int], num_frames: int) -> bool:
    steps = np.diff(frames)
    ends = (frames[0], frames[-1]) == (0, num_frames - 1)
    return ends and len(frames) == preview.NUM_FRAMES and steps.max() - steps.min() <= 1


def test_ten_of_the_surveyed_frames_are_shown_and_those_in_doubt_are_named(world, tmp_path):
    world.add(frames=30)
    video, path = FrameFolder(world.frames(), "hen"), tmp_path / "preview.png"
    surveyed = [found_in(f, 255 if f < 29 else 150) for f in (*range(15, 30), *range(14, -1, -1))]
    text = preview.write_preview(path, video, surveyed, 1, 0.5)
    assert text == "doubtful in frame 29 (0.59)"
    width, height = Image.open(path).size
    assert (width, height) == (5 * (TILE_BOX_PX[0] + 6) + 6, 2 * (TILE_HEIGHT + 6) + 6)
    assert preview.write_preview(path, video, surveyed[:1], 1, 0.5) == "none is doubtful"
    assert Image.open(path).width == TILE_BOX_PX[0] + 12


def test_each_animal_has_a_preview_before_its_frames_are_segmented(
    world, second_look, kept, capsys
):
    world.add_two()
    assert world.run() == 0
    first, second = kept
    assert first.shape == second.shape and (first != second).any()
    lines = [line for line in capsys.readouterr().out.splitlines() if "preview:" in line]
    path = world.results / paths.RUNS / "pair" / paths.PARTIAL / paths.PREVIEW_FILE
    assert lines[0].startswith(f"pair, animal 1 of 2: preview: {path}, ") and len(lines) == 2
    assert not path.exists()  # it was that of an unfinished run


@pytest.mark.usefixtures("small_stage3")
def test_a_preview_without_a_second_look_changes_no_mask(world, kept, monkeypatch):
    world.add()
    world.run()
    masks = world.masks()
    assert not kept  # of a short video
    monkeypatch.setattr(preview, "MIN_FRAMES", NUM_FRAMES)
    world.run(overwrite=True)
    assert len(kept) == 1
    np.testing.assert_array_equal(world.masks(), masks)


def test_a_preview_that_cannot_be_written_costs_nothing_else(
    world, second_look, monkeypatch, capsys
):
    def fail(*_):
        raise PermissionError("it is open elsewhere")

    monkeypatch.setattr(pipeline, "write_preview", fail)
    world.add()
    assert world.run() == 0
    printed = capsys.readouterr().out
    assert "preview.png: it could not be written (PermissionError: it is open elsewhere)" in printed
