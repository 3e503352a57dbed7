"""The page and stage 3 find the labels of a video by one rule."""

import numpy as np
import pytest

from tests.labelled_video import World, animal_label, write_label
from utils import paths
from utils.annotator.task import AnnotationTask
from utils.errors import InputError
from utils.media import labels


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "LABELS", tmp_path / "labels")
    return World(tmp_path)


def open_task(world) -> AnnotationTask:
    return AnnotationTask(world.open(), 0, "", ())


def test_animals_that_the_page_has_no_colour_for_are_refused_in_words(world):
    path = paths.LABELS / "hen" / "00003.png"
    label = animal_label() // 255
    label[:2] = 200
    labels.write_label(path, label, (1, 200))
    with pytest.raises(InputError, match="animals 1 to 32.*animal 200"):
        open_task(world).read_label(path)


def test_a_label_named_by_its_number_alone_is_listed_and_read(world):
    """labels/SEQ/3.png was used by stage 3, but the page did not list it."""
    path = write_label(paths.LABELS / "hen" / "3.png")
    world.annotate_in_labels(6)
    task = open_task(world)
    assert task.labelled_frames() == sorted(task.sequence.labels) == [3, 6]
    assert task.label_path(3) == path
    np.testing.assert_array_equal(task.read_label(path), animal_label() // 255)
    assert task.label_path(4) == paths.LABELS / "hen" / "00004.png"


def test_labels_that_stage_3_refuses_are_refused_by_the_page(world):
    task = open_task(world)
    world.annotate_in_labels(3)
    write_label(paths.LABELS / "hen" / "3.png")
    with pytest.raises(InputError, match=r"label one frame \(3\)"):
        task.labelled_frames()
