"""Clicks and boxes to masks with a network that takes them as its prompt."""

import gc

import keras
import numpy as np
import pytest

import models
from models.instances import build_instance_head, build_trunk
from tests.bright_hen import HEIGHT, NOTHING, WIDTH, ellipse, overlap, picture
from tests.bright_parts import MASK, NEGATIVE, OTHERS, POSITIVE, Finder
from tests.tiny_prompted import (
    network_with_tiny_backbone,
    tiny_plain_network,
    tiny_prompted_network,
)
from utils import paths
from utils.annotator.click_marks import (
    OTHER_ANIMAL,
    SURE_ANIMAL,
    SURE_BACKGROUND,
    Click,
    Marks,
    work_size,
)
from utils.annotator.click_network import load_segmenter
from utils.annotator.prompted_segmenter import PromptedSegmenter
from utils.annotator.segment_click import ClickSegmenter
from utils.media.images import resize_image
from utils.media.regions import touching
from utils.stage3.animal_grouping import InstanceMaps
from utils.stage3.instance_network import InstanceNetwork
from utils.training.weights import save_weights


def bright_parts(*masks: np.ndarray) -> np.ndarray:
    image = np.zeros((*masks[0].shape, 3), np.uint8)
    for mask in masks:
        image[mask] = 200
    return image


def box_of(top, left, bottom, right, size=(HEIGHT, WIDTH)) -> np.ndarray:
    mask = np.zeros(size, bool)
    mask[top:bottom, left:right] = True
    return mask


def segment(image, clicks=(), box=None, current=None, sure=None, is_given=False, network=None):
    current = np.zeros(image.shape[:2], bool) if current is None else current
    sure = np.zeros(image.shape[:2], np.uint8) if sure is None else sure
    marks = Marks([Click(*click) for click in clicks], box, current, sure, is_given)
    return PromptedSegmenter(network or Finder()).segment(0, image, marks)


def test_a_click_is_answered_by_the_network_with_the_frame_s_size():
    network, truth = Finder(), box_of(20, 30, 100, 130)
    mask = segment(bright_parts(truth), [(70, 60, True)], network=network)
    assert mask.dtype == np.uint8 and overlap(mask, truth) > 0.97
    prompt = network.prompts[-1]
    assert prompt.shape[:2] == work_size(HEIGHT, WIDTH)
    assert prompt[144, 168, POSITIVE] and not prompt[..., NEGATIVE:].any()


def test_a_known_animal_is_looked_at_in_more_detail():
    network, truth = Finder(), box_of(200, 300, 700, 900, size=(900, 1600))
    segmenter, image = PromptedSegmenter(network), bright_parts(truth)
    nothing = np.zeros(truth.shape, np.uint8)
    clicks = [Click(600, 450, True), Click(320, 220, True)]
    found = segmenter.segment(0, image, Marks(clicks[:1], None, truth & False, nothing))
    segmenter.segment(0, image, Marks(clicks, None, found > 0, nothing))
    assert [max(shape) for shape in network.looked] == [544, 854]
    # A small frame is not enlarged any further.
    assert work_size(270, 480, is_known=False) == (216, 384)
    assert work_size(270, 480, is_known=True) == (270, 480)
    assert work_size(120, 160, is_known=True) == (288, 384)


def test_the_backbone_looks_once_at_a_window():
    network, truth = Finder(), box_of(10, 20, 110, 150)
    segmenter, image = PromptedSegmenter(network), bright_parts(truth)
    current, clicks = np.zeros(truth.shape, bool), []
    for x in (60, 80, 100, 120):
        clicks.append(Click(x, 60, True))
        current = segmenter.segment(7, image, Marks(clicks, None, current, NOTHING)) > 0
    # The first click is also compared with what is seen without it.
    assert len(network.looked) == 1 and len(network.prompts) == 4 + 1
    assert network.prompts[-1][..., MASK].any() and network.prompts[-1][..., POSITIVE].sum() > 200
    segmenter.segment(8, image, Marks(clicks, None, current, NOTHING))
    assert len(network.looked) == 2


class HalfHearted(Finder):
    """With a click alone it is sure of the upper half of the picture only."""

    def probability(self, image, prompt):
        found = super().probability(image, prompt)
        if prompt[..., POSITIVE].any() and not prompt[..., MASK].any():
            found[len(found) // 2 :] *= 0.2
        return found


@pytest.mark.parametrize("x", [50, 82])  # inside, and a little beside its outline
def test_the_first_click_takes_the_whole_piece_that_is_seen_without_it_and_no_other(x):
    truth, other = box_of(40, 20, 140, 80), box_of(40, 120, 140, 170)
    segmenter = PromptedSegmenter(HalfHearted())
    image = bright_parts(truth | other)
    nothing = np.zeros(truth.shape, bool)
    found = segmenter.segment(1, image, Marks([Click(x, 60, True)], None, nothing, NOTHING)) > 0
    assert (found & truth).sum() > 0.9 * truth.sum()
    assert not (found & other).any()


class SeesDimOnesOnlyIfClicked(Finder):
    """Without a click it finds all that is bright; after one, the piece in the middle of which the
    click is, bright or dim."""

    def probability(self, image, prompt):
        clicks = np.argwhere(prompt[..., POSITIVE] > 0)
        if not len(clicks):
            return super().probability(image, prompt)
        spot = np.zeros(prompt.shape[:2], bool)
        spot[tuple(clicks.mean(axis=0).round().astype(int))] = True
        return np.where(touching(image.mean(axis=2) > 60, spot), 0.9, 0.1).astype(np.float32)


def test_a_click_between_two_animals_means_the_nearer_one():
    left, right = box_of(40, 20, 100, 78), box_of(40, 84, 100, 140)
    network = HalfHearted()
    found = segment(bright_parts(left, right), [(79, 60, True)], network=network) > 0
    assert overlap(found, left) > 0.9 and not (found & right).any()


def test_a_click_beside_a_large_animal_may_mean_a_small_one_that_is_seen_only_then():
    mother, young = box_of(20, 20, 110, 100), box_of(60, 101, 75, 116)
    image = bright_parts(mother)
    image[young] = 100
    found = segment(image, [(102, 66, True)], network=SeesDimOnesOnlyIfClicked()) > 0
    assert not (found & mother).any() and (found & young).sum() > 0.8 * young.sum()


class Apart:
    """Tells the left half of what is bright from the right one."""

    def look_apart(self, image, height, width):
        mask = (image.mean(axis=2) > 120).astype(np.float32)
        columns = np.arange(0, width, 4)
        centres = width * np.where(columns < width / 2, 0.25, 0.75)
        offset = np.zeros((-(-height // 4), len(columns), 2), np.float32)
        offset[..., 0] = centres - columns
        offset[..., 1] = height / 2 - np.arange(0, height, 4)[:, None]
        peaks = np.zeros(offset.shape[:2], np.float32)
        peaks[height // 8, [len(columns) // 4, 3 * len(columns) // 4]] = 0.9, 0.8
        return InstanceMaps(mask, peaks, offset, stride=4)


@pytest.mark.parametrize("is_loaded", [True, False])
def test_the_first_click_leaves_out_the_other_animals_of_a_group(is_loaded):
    network, both = Finder(), box_of(40, 10, 80, 150)
    segmenter = PromptedSegmenter(network, load_instances=Apart)
    if is_loaded:
        segmenter.prepare_look_apart()
    click, nothing = Click(30, 60, True), np.zeros(both.shape, np.uint8)
    mask = segmenter.segment(0, bright_parts(both), Marks([click], None, both & False, nothing))
    left = both & (np.arange(WIDTH) < WIDTH / 2)
    assert overlap(mask, left if is_loaded else both) > 0.9
    assert network.prompts[-1][..., OTHERS].any() == is_loaded


def test_a_small_animal_is_looked_at_closely():
    network, truth = Finder(), box_of(600, 800, 640, 850, (1200, 1600))
    mask = segment(bright_parts(truth), [(820, 620, True)], network=network)
    assert len(network.looked) == 2 and overlap(mask, truth) > 0.9


def test_a_box_limits_what_is_found_and_is_shown_to_the_network():
    network, truth = Finder(), box_of(20, 30, 60, 70)
    other = box_of(20, 110, 60, 150)
    mask = segment(bright_parts(truth, other), box=(25, 15, 75, 65), network=network)
    assert overlap(mask, truth) > 0.9
    assert network.prompts[0][..., MASK].any()


def test_other_animals_and_what_was_drawn_are_kept():
    network, truth = Finder(), box_of(20, 30, 100, 130)
    sure = np.zeros(truth.shape, np.uint8)
    sure[20:100, 100:140] = OTHER_ANIMAL
    sure[20:30, 30:50] = SURE_BACKGROUND
    sure[105:115, 30:50] = SURE_ANIMAL
    mask = segment(bright_parts(truth), [(70, 60, True)], sure=sure, network=network)
    assert network.prompts[-1][140, 260, OTHERS]
    assert not mask[(sure == OTHER_ANIMAL) | (sure == SURE_BACKGROUND)].any()
    assert mask[sure == SURE_ANIMAL].all() and mask[60, 70]


def test_a_click_holds_where_it_is_and_crumbs_are_left_out():
    crumb = box_of(5, 5, 9, 9)
    image = bright_parts(box_of(20, 30, 100, 130), crumb)
    mask = segment(image, [(70, 60, True), (150, 110, True), (50, 40, False)])
    assert mask[60, 70] and mask[110, 150] and not mask[40, 50]
    assert not mask[crumb].any()
    assert segment(image, [(7, 7, True)])[crumb].any()


def test_a_mask_that_was_given_changes_around_the_click_only():
    truth, island = box_of(20, 80, 100, 150), box_of(90, 5, 110, 25)
    given = box_of(20, 80, 100, 130) | island
    mask = segment(bright_parts(truth), [(140, 60, True)], current=given, is_given=True)
    assert mask[60, 140] and mask[island].all()
    assert not segment(bright_parts(truth), [(140, 60, True)], current=given)[island].any()


@pytest.mark.parametrize("is_given", [False, True])
def test_a_click_that_takes_away_adds_nothing(is_given):
    animal, arm, face = (
        box_of(20, 30, 80, 130),
        box_of(80, 60, 110, 100),
        box_of(20, 140, 80, 160),
    )
    found_so_far = animal | arm
    clicks = [(70, 50, True), (80, 95, False)]

    class ChangesItsMind(Finder):
        def probability(self, image, prompt):
            return resize_image((animal | face).astype(np.float32), *prompt.shape[:2])

    mask = segment(
        bright_parts(animal),
        clicks,
        current=found_so_far,
        is_given=is_given,
        network=ChangesItsMind(),
    )
    assert overlap(mask, animal) > 0.97 and not mask[face].any()
    assert not (mask.astype(bool) & ~found_so_far).any()


def test_animals_are_followed_one_by_one_and_share_no_pixel():
    left, right = box_of(20, 10, 100, 70), box_of(20, 90, 100, 150)
    before = np.zeros((HEIGHT, WIDTH), np.uint8)
    before[30:110, 15:75], before[30:110, 85:145] = 2, 5  # as in an earlier frame
    network = Finder()
    segmenter = PromptedSegmenter(network)
    found = segmenter.follow(7, bright_parts(left, right), before)
    assert overlap(found == 2, left) > 0.9 and overlap(found == 5, right) > 0.9
    for prompt, number in zip(network.prompts, (2, 5), strict=True):
        size = prompt.shape[:2]
        assert overlap(prompt[..., MASK], resize_image((before == number) * 1.0, *size) > 0.5) > 0.9
        assert prompt[..., OTHERS].any() and not prompt[..., :MASK].any()
    assert not segmenter.follow(7, bright_parts(left), np.zeros_like(before)).any()


def test_what_was_looked_at_first_is_kept_for_the_click():
    network, truth = Finder(), box_of(20, 30, 100, 130)
    segmenter, image = PromptedSegmenter(network), bright_parts(truth)
    probability = segmenter.look(7, image)
    assert probability.shape == work_size(HEIGHT, WIDTH)
    assert overlap(resize_image(probability, HEIGHT, WIDTH) > 0.5, truth) > 0.95
    segmenter.segment(7, image, Marks([Click(70, 60, True)], None, NOTHING > 0, NOTHING))
    assert len(network.looked) == 1


def test_colours_may_settle_what_the_network_leaves_open():
    class Unsure(Finder):
        def probability(self, image, prompt):
            return np.where(resize_image(inner, *prompt.shape[:2]) > 0.5, 0.99, 0.5).astype("f4")

    inner = ellipse(3).astype(np.float32) * box_of(50, 60, 70, 90)
    marks = Marks([Click(75, 60, True)], None, np.zeros((HEIGHT, WIDTH), bool), NOTHING)
    plain = PromptedSegmenter(Unsure()).segment(0, picture(3), marks)
    refined = PromptedSegmenter(Unsure(), use_colours=True).segment(0, picture(3), marks)
    assert overlap(plain, ellipse(3)) < 0.5 < 0.9 < overlap(refined, ellipse(3))


@pytest.mark.parametrize("has_prompted", [True, False])
def test_the_prompted_network_is_used_where_its_weights_are(
    tmp_path, monkeypatch, has_prompted, capsys
):
    networks = {
        "PROMPTED_WEIGHTS": (tiny_prompted_network, "prompted"),
        "PASCAL_BASE_WEIGHTS": (tiny_plain_network, "pascal_base"),
    }
    for name, (build, stage) in networks.items():
        monkeypatch.setattr(paths, name, tmp_path / stage)
        if has_prompted or stage != "prompted":
            facts = {"stage": stage, "head": "deeplab"}
            save_weights(build(), tmp_path / stage / "deeplab.safetensors", facts)
    monkeypatch.setattr(models, "build_prompted_model", tiny_prompted_network)
    monkeypatch.setattr(models, "build_model", lambda head: tiny_plain_network())
    segmenter = load_segmenter(3, picture(3))
    assert isinstance(segmenter, PromptedSegmenter if has_prompted else ClickSegmenter)
    assert gc.isenabled()
    assert (
        str(tmp_path / ("prompted" if has_prompted else "pascal_base")) in capsys.readouterr().out
    )
    mask = segmenter.segment(
        0, picture(3), Marks([Click(75, 60, True)], None, NOTHING > 0, NOTHING)
    )
    assert mask.shape == (HEIGHT, WIDTH) and mask[60, 75]


def save_pair(folder, monkeypatch, fits=True):
    """Tiny weights of the prompted network, and of an instance head that fits it or does not."""
    monkeypatch.setattr(paths, "PROMPTED_WEIGHTS", folder)
    monkeypatch.setattr(models, "build_prompted_model", network_with_tiny_backbone)
    keras.utils.set_random_seed(0)  # what a click finds decides how often the network looks
    model = network_with_tiny_backbone()
    facts = {"stage": "prompted", "head": "deeplab"}
    sha256 = save_weights(model, folder / "deeplab.safetensors", facts)
    facts = {"stage": "instances", "trained_beside": sha256 if fits else "f00d"}
    head = build_instance_head(build_trunk(model))
    save_weights(head, folder / "instances.safetensors", facts)


@pytest.mark.parametrize("fits", [True, False])
def test_the_instance_head_is_loaded_when_it_is_asked_for_and_fits(
    tmp_path, monkeypatch, capsys, fits
):
    save_pair(tmp_path, monkeypatch, fits)
    segmenter = load_segmenter(3, picture(3))
    assert "told apart" not in capsys.readouterr().out
    maps = [segmenter.look_apart(3, picture(3)) for _ in range(2)]
    said = capsys.readouterr().out
    assert said.count("told apart") == 1 and ("not told apart" in said) != fits
    assert all((seen is not None) == fits for seen in maps)
    if fits:
        assert maps[0].mask.shape == work_size(HEIGHT, WIDTH)


def test_the_instance_head_has_looked_once_when_the_first_click_meets_it(tmp_path, monkeypatch):
    def look_apart(self, maps, height, width):
        looked.append((height, width))
        if len(looked) == 1:
            click_on(segmenter)  # is answered meanwhile, and without the head
        return look_for_real(self, maps, height, width)

    def click_on(segmenter):
        marks = Marks([Click(75, 60, True)], None, NOTHING > 0, NOTHING)
        return segmenter.segment(3, picture(3), marks)

    save_pair(tmp_path, monkeypatch)
    looked, look_for_real = [], InstanceNetwork.look_apart
    monkeypatch.setattr(InstanceNetwork, "look_apart", look_apart)
    segmenter = load_segmenter(3, picture(3))
    segmenter.prepare_look_apart()
    assert looked == [work_size(HEIGHT, WIDTH)]
    click_on(segmenter)
    assert looked == [work_size(HEIGHT, WIDTH)] * 2  # at the same size: nothing is traced anew
