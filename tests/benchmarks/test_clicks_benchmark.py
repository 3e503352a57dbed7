"""NoC on generated data: which objects count, where clicks go, what is printed."""

import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from benchmarks import clicks
from tests.bright_hen import ellipse, picture
from utils.errors import InputError, UsageError
from utils.media.labels import VOID, davis_palette
from utils.training.animals import UNNUMBERED

SIZE = (120, 160)


@pytest.fixture
def dataset(tmp_path):
    """Three pictures of a bright ellipse; with Instances/, its left and right half by number."""
    for folder in ("JPEGImages", "Annotations"):
        (tmp_path / folder).mkdir()
    for index in range(3):
        Image.fromarray(picture(index)).save(tmp_path / f"JPEGImages/{index}.png")
        annotation = np.where(ellipse(index), 255, 0).astype("uint8")
        annotation[0:5, 0:5] = 255  # too small to be an object
        annotation[-5:] = 128
        Image.fromarray(annotation).save(tmp_path / f"Annotations/{index}.png")
    return tmp_path


def add_instances(dataset):
    (dataset / "Instances").mkdir()
    for index in range(3):
        halves = ellipse(index) * (1 + (np.arange(SIZE[1]) > 70))
        image = Image.fromarray(halves.astype("uint8"), "P")
        image.putpalette(davis_palette().tobytes())
        image.save(dataset / f"Instances/{index}.png")


class Oracle:
    """Finds the object after some clicks, of which it keeps the places."""

    def __init__(self, truth, needed=1):
        self.truth, self.needed, self.marks = truth, needed, []

    def segment(self, frame, image, marks):
        self.marks.append(marks)
        found = self.truth if len(marks.clicks) >= self.needed else marks.current
        return found.astype(np.uint8)


def labelled(truth) -> clicks.LabelledObject:
    return clicks.LabelledObject(0, "hen", picture(0), truth.astype(np.uint8))


def test_the_benchmark_clicks_as_the_page_does_and_ends_with_its_line(dataset, capsys):
    means = clicks.main(clicks.Config(dataset, network="none"))
    last = capsys.readouterr().out.splitlines()[-1]
    assert re.fullmatch(r"NoC@85 \d+\.\d\d NoC@90 \d+\.\d\d", last)
    assert means["objects"] == 3
    assert 1 <= means["NoC@85"] <= means["NoC@90"] <= 4
    assert 0.7 < means["IoU 1"] <= 1


def test_with_instances_every_animal_is_an_object(dataset, tmp_path):
    assert len(clicks.object_numbers(clicks.list_pairs(dataset, None)[0][1])) == 1
    add_instances(dataset)
    pairs = clicks.list_pairs(dataset, None)
    assert [clicks.object_numbers(label) for _, label in pairs] == [[1, 2]] * 3
    list_path = tmp_path / "list.txt"
    list_path.write_text("JPEGImages/1.png Annotations/1.png\n")
    assert clicks.list_pairs(dataset, list_path) == pairs[1:2]


def test_images_of_one_name_are_as_many_objects_and_a_repeated_line_is_one(dataset, tmp_path):
    for folder, kind in (("JPEGImages", "a"), ("Annotations", "a")):
        (tmp_path / kind / folder).mkdir(parents=True)
        shutil.copy(dataset / folder / "1.png", tmp_path / kind / folder / "0.png")
    list_path = tmp_path / "list.txt"
    lines = ["JPEGImages/0.png Annotations/0.png", "a/JPEGImages/0.png a/Annotations/0.png"]
    list_path.write_text("\n".join([*lines, lines[0]]))
    path = tmp_path / "clicks.json"
    means = clicks.main(clicks.Config(dataset, list=list_path, network="none", json=path))
    assert means["objects"] == 2 == len(json.loads(path.read_text())["ious"])


def test_animals_without_a_number_are_neither_clicked_nor_background(dataset):
    add_instances(dataset)
    path = dataset / "Instances/0.png"
    values = np.asarray(Image.open(path)).copy()
    values[values == 2] = UNNUMBERED
    image = Image.fromarray(values, "P")
    image.putpalette(davis_palette().tobytes())
    image.save(path)
    pairs = clicks.list_pairs(dataset, None)[:1]
    assert clicks.object_numbers(pairs[0][1]) == [1]
    (found,) = clicks.read_objects([(pairs[0], 1)])
    assert set(np.unique(found.target[values == UNNUMBERED])) == {VOID}


def test_misses_vary_the_result_and_the_spread_is_shown(dataset, capsys):
    config = clicks.Config(dataset, network="none", images=2, miss=0.33, repeats=2)
    first = clicks.main(config)
    assert "standard deviation of 2 repeats" in capsys.readouterr().out
    assert clicks.main(config) == first


def test_clicks_go_to_the_middle_of_the_error_or_miss_it_by_a_share_of_its_radius():
    truth = np.zeros(SIZE, bool)
    truth[20:81, 40:101] = True
    rng = np.random.default_rng(0)
    oracle = Oracle(truth)
    ious = clicks.click_until_good(oracle, labelled(truth), 0.0, 20, rng)
    assert ious == [1.0] * 3
    assert len(oracle.marks) == 1  # nothing was left to click at
    click = oracle.marks[0].clicks[0]
    assert (click.x, click.y, click.is_positive) == (70.5, 50.5, True)
    away = []
    for _ in range(30):
        oracle = Oracle(truth)
        clicks.click_until_good(oracle, labelled(truth), 0.3, 20, rng)
        click = oracle.marks[0].clicks[0]
        away.append(np.hypot(click.x - 70.5, click.y - 50.5))
    assert max(away) <= 0.3 * 31 and np.mean(away) > 2


def test_each_click_sees_the_mask_before_and_all_clicks():
    truth = ellipse(0)
    oracle = Oracle(truth, needed=3)
    ious = clicks.click_until_good(oracle, labelled(truth), 0.0, 20, np.random.default_rng(0))
    assert ious == [0.0, 0.0, 1.0]
    assert [len(marks.clicks) for marks in oracle.marks] == [1, 2, 3]
    places = {(click.x, click.y) for click in oracle.marks[-1].clicks}
    assert len(places) == 3  # no pixel is clicked twice
    assert not any(marks.is_given for marks in oracle.marks)


def test_what_is_never_reached_counts_as_twenty_clicks():
    truth = ellipse(0)
    oracle = Oracle(truth, needed=99)
    ious = clicks.click_until_good(oracle, labelled(truth), 0.0, 20, np.random.default_rng(0))
    assert len(ious) == 20
    row = clicks.summarise([ious, [0.5, 0.86, 0.91]], 20)
    assert row["NoC@85"] == (20 + 2) / 2 and row["NoC@90"] == (20 + 3) / 2
    assert row["never 85"] == row["never 90"] == 1
    assert (row["IoU 1"], row["IoU 2"], row["IoU 3"]) == (0.25, 0.43, 0.455)


def test_void_does_not_count():
    target = np.zeros((10, 10), np.uint8)
    target[:5], target[5] = 1, 255
    mask = np.zeros((10, 10), np.uint8)
    mask[:6] = 1
    assert clicks.overlap(mask > 0, target) == 1


def test_wrong_arguments_and_empty_data_are_one_line(dataset, tmp_path):
    with pytest.raises(UsageError, match="--miss"):
        clicks.main(clicks.Config(dataset, miss=1.5))
    with pytest.raises(InputError, match="found no image"):
        clicks.main(clicks.Config(tmp_path / "nothing"))


def test_colours_alone_take_no_flags_of_a_network(dataset):
    for flags in ({"weights": dataset / "deeplab.safetensors"}, {"grabcut": True}):
        with pytest.raises(UsageError, match="--network none"):
            clicks.main(clicks.Config(dataset, network="none", **flags))
