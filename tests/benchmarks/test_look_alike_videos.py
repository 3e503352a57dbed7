"""The generator of look-alike videos."""

import cv2
import numpy as np
import pytest

from benchmarks.look_alike_list import LookAlike, read_list, write_list
from benchmarks.look_alike_paths import Meeting
from benchmarks.look_alike_scenes import compose, cut_out, draw, empty_scene, place
from benchmarks.look_alike_sources import CROSSINGS, SOURCES, THIRD, ImageSource
from benchmarks.look_alike_videos import make_video
from tests.look_alike_world import animal_at, paint, write_sources
from utils.errors import InputError


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Crossing -> the frames of a video that shows it."""
    folder = tmp_path_factory.mktemp("sources")
    return {
        crossing.removesuffix(THIRD): list(make_video(folder, source, crossing, 3))
        for source in write_sources(folder)
        for crossing in source.crossings
    }


def test_every_crossing_is_made(made):
    assert set(made) == set(CROSSINGS)
    assert all(20 <= len(frames) <= 30 for frames in made.values())


@pytest.mark.parametrize("crossing", CROSSINGS)
def test_annotations_are_exact_for_what_is_seen(made, crossing):
    for frame in made[crossing]:
        numbers, alone = frame.numbers, frame.alone_numbers
        assert set(np.unique(alone)) == {0, 1}
        assert set(np.unique(numbers)) <= {0, 1, 2, 3}
        # The labelled animal is where it is without the others, but for what they hide.
        assert ((numbers == 1) <= (alone == 1)).all()
        covered = (alone == 1) & (numbers != 1)
        assert (numbers[covered] > 1).all()
        # Apart from the others and the soft outlines, the frame is the same.
        outline = cv2.morphologyEx(alone, cv2.MORPH_GRADIENT, np.ones((7, 7)))
        others = cv2.dilate((numbers > 1).astype("uint8"), np.ones((9, 9)))
        same = (outline == 0) & (others == 0)
        np.testing.assert_array_equal(frame.image[same], frame.alone[same])
        red = frame.image[..., 0].astype(int) > frame.image[..., 1] + 60
        inside = cv2.erode((numbers > 0).astype("uint8"), np.ones((5, 5))) > 0
        assert red[inside].mean() > 0.99 if inside.any() else True


def test_the_animal_of_a_video_keeps_its_annotation(made):
    shapes = {frame.alone_numbers.shape for frame in made["behind"]}
    assert shapes == {(120, 240)}
    masks = [animal_at(110 + 0.4 * i, 62 + 2 * np.sin(i / 3)) for i in range(40)]
    first = made["behind"][0].alone_numbers == 1
    assert any((first == mask).all() for mask in masks)


def test_an_animal_that_comes_out_is_hidden_first_and_stands_apart_last(made):
    areas = [(frame.numbers == 2).sum() for frame in made["comes_out"]]
    assert areas[0] < 0.15 * max(areas)
    last = made["comes_out"][-1].numbers
    touching = cv2.dilate((last == 1).astype("uint8"), np.ones((5, 5))) > 0
    assert not (touching & (last == 2)).any() and (last == 2).any()


def test_crossing_in_front_hides_the_labelled_animal_and_behind_it_does_not(made):
    def seen(crossing):
        return min(
            (frame.numbers == 1).sum() / (frame.alone_numbers == 1).sum()
            for frame in made[crossing]
        )

    assert 0.1 < seen("in_front") < 0.75
    assert seen("behind") == 1


def test_the_same_seed_makes_the_same_video(tmp_path, made):
    source = write_sources(tmp_path)[0]
    again = list(make_video(tmp_path, source, "in_front", 3))
    for one, other in zip(made["in_front"], again, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.numbers, other.numbers)
    other_seed = list(make_video(tmp_path, source, "in_front", 4))
    assert not np.array_equal(other_seed[0].image, again[0].image)


def test_sources_are_split_and_no_image_is_in_both_halves():
    used = {}
    for source in SOURCES:
        if isinstance(source, ImageSource):
            images = [source.labelled.image, source.scene]
            images += [source.second.image] if source.second else []
        else:
            images = [source.name]
        for image in images:
            assert used.setdefault(image, source.half) == source.half
    for half in ("choose", "evaluate"):
        crossings = [c for source in SOURCES if source.half == half for c in source.crossings]
        assert len(crossings) >= 18
        assert {c.removesuffix(THIRD) for c in crossings} == set(CROSSINGS)
        thirds = sum(c.endswith(THIRD) for c in crossings)
        assert abs(thirds - len(crossings) / 3) <= 1
    names = [(source.name, c) for source in SOURCES for c in source.crossings]
    assert len(set(names)) == len(names)


def test_a_cut_out_has_no_rim_of_its_background():
    mask = animal_at(100, 60)
    cut = cut_out(paint(mask), mask)
    layer = draw(cut, place(cut, (120, 80), 0.9, mirrored=True), (120, 240), 2)
    image, numbers = compose(np.full((120, 240, 3), 255, "uint8"), [layer])
    greenest = (image[..., 1].astype(int) - image[..., 0]).max()
    assert greenest <= 2  # white and red, nothing of the grass
    ys, xs = np.nonzero(numbers == 2)
    assert abs(xs.mean() - 120) < 2 and abs(ys.max() - 80) < 2
    assert xs[ys == ys.min()].mean() < 120  # mirrored: the head is on the left


def test_nearer_animals_hide_those_behind():
    mask = animal_at(100, 60)
    cut = cut_out(paint(mask), mask)
    layers = [
        draw(cut, place(cut, (x, 70), 1, False), (120, 240), n) for x, n in ((100, 1), (115, 2))
    ]
    empty = np.zeros((120, 240, 3), "uint8")
    front, back = (compose(empty, order)[1] for order in (layers, layers[::-1]))
    assert (front == 2).sum() == (back == 1).sum() == mask.sum()
    assert 0 < (front == 1).sum() == (back == 2).sum() < mask.sum()


def test_an_emptied_scene_shows_neither_the_animal_nor_a_smooth_spot():
    mask = animal_at(100, 60)
    scene = empty_scene(paint(mask), mask).astype(int)
    assert (scene[..., 0] < 60)[mask].all()
    assert scene[mask][:, 1].std() > 0.3 * scene[~mask][:, 1].std()


def test_a_meeting_is_a_crossing_only_if_it_is_seen():
    def meeting(labelled=(1, 1, 1, 1, 1, 1), second=(1, 1, 1, 1, 1, 1), gap=(1, 0, 0, 1, 1, 1)):
        arrays = (np.array(values, float) for values in (labelled, second))
        return Meeting(*arrays, np.ones(6), np.array(gap, float))

    assert meeting(second=(0, 0.2, 0.5, 1, 1, 1)).shows("comes_out")
    assert not meeting(second=(0.5, 0.2, 0.5, 1, 1, 1)).shows("comes_out")
    assert not meeting(second=(0, 0.2, 0.5, 1, 1, 1), gap=[0] * 6).shows("comes_out")
    assert meeting(labelled=(1, 0.8, 0.4, 0.8, 1, 1)).shows("in_front")
    assert not meeting(labelled=(1, 0.8, 0.1, 0.8, 1, 1)).shows("in_front")  # as good as gone
    assert meeting(second=(1, 0.8, 0.1, 0.8, 1, 1)).shows("behind")
    assert not meeting(second=(1, 1, 0.9, 1, 1, 1)).shows("behind")
    assert meeting(gap=(1, 1, 0, 0, 0, 0)).shows("beside")
    assert not meeting().shows("beside")
    assert meeting(gap=(0, 0, 0, 1, 1, 1)).shows("leaves")
    assert not meeting(gap=(1, 0, 0, 1, 1, 1)).shows("leaves")


def test_the_list_is_read_as_it_was_written(tmp_path):
    items = [LookAlike("a", 1, 20, "hen", "behind", "choose", "a")]
    items.append(LookAlike("b", 1, 30, "cock", "leaves", "evaluate", "b"))
    write_list(tmp_path, items)
    assert read_list(tmp_path) == items


def test_a_list_without_halves_gives_every_second_video_to_choosing(tmp_path):
    (tmp_path / "clips.txt").write_text("a 4 9 pen\nb 1 9 pen\nc 1 9 pen\nc 2 9 pen\n")
    items = read_list(tmp_path)
    assert [item.half for item in items] == ["choose", "evaluate", "choose", "choose"]
    assert [item.name for item in items] == ["a", "b", "c_1", "c_2"]
    assert items[0].animal == 4 and items[0].crossing == "-"


@pytest.mark.parametrize("line", ["a 1", "a one 20 pen", "a 1 20 pen behind"])
def test_a_wrong_line_of_the_list_is_named(tmp_path, line):
    (tmp_path / "clips.txt").write_text(line + "\n")
    with pytest.raises(InputError, match=line):
        read_list(tmp_path)
