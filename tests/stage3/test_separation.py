"""Another animal that comes out from behind the labelled one is taken out of all its masks."""

import numpy as np
import pytest

from utils.stage3.motion import Motion, find_motion
from utils.stage3.separation import SeparationWatch, fill_from_nearest, inherit, pieces_apart
from utils.stage3.settings import Separation

HEIGHT, WIDTH = 96, 192
SIDE = 40


def square(left: int, side: int = SIDE, top: int = 28) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[top : top + side, max(0, left) : max(0, left + side)] = True
    return mask


class Scene:
    """The animal stands at column 20; another one comes out from behind it and walks off."""

    def __init__(self, lefts: list[int], side: int = SIDE):
        rng = np.random.default_rng(0)
        near, far, ground = (rng.integers(0, 255, (HEIGHT, WIDTH)).astype("uint8") for _ in "123")
        self.animal = square(20)
        self.others = [square(left, side) & ~self.animal for left in lefts]
        self.frames = []
        for left, other in zip(lefts, self.others, strict=True):
            moved = np.roll(far, left, axis=1)
            self.frames.append(np.where(self.animal, near, np.where(other, moved, ground)))
        self.regions = [self.animal | other for other in self.others]

    def motion(self, frame: int, other: int):
        return find_motion(self.frames[frame], self.frames[other])

    def watch(self, **settings) -> list[dict]:
        watch, found = SeparationWatch(Separation(**settings), self.motion), []
        for index, region in enumerate(self.regions):
            # What is known to be another animal does not come back.
            region = self.animal if any(found) else region
            found.append(watch(index, region, self.motion(index, max(0, index - 1))))
        return found


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


COMES_OUT = [20, 20, 26, 32, 38, 44, 50, 56, 62, 68, 74, 80, 86, 92]


def test_a_newcomer_is_taken_out_of_every_frame_once_it_stands_apart():
    scene = Scene(COMES_OUT)
    corrected = scene.watch()
    when = [index for index, found in enumerate(corrected) if found]
    assert len(when) == 1 and when[0] > 8
    for frame, region in corrected[when[0]].items():
        assert iou(region, scene.animal) > 0.9, frame
    touching = [i for i, other in enumerate(scene.others) if other.any() and i <= when[0]]
    assert set(touching) <= set(corrected[when[0]])


@pytest.mark.parametrize("share, is_found", [(0.1, False), (0.5, True)])
def test_where_hardly_any_flow_is_reliable_nothing_is_followed_back(share, is_found, monkeypatch):
    drawn = np.random.default_rng(1).random((HEIGHT, WIDTH)) < share
    scene = Scene(COMES_OUT)
    find = scene.motion

    def motion(frame, other):
        exact = find(frame, other)
        return Motion(exact.flow, exact.reliable & drawn)

    monkeypatch.setattr(scene, "motion", motion)
    assert any(scene.watch()) == is_found


def test_a_part_that_was_there_from_the_start_is_no_newcomer():
    scene = Scene([66 + 4 * step for step in range(14)])
    assert not any(scene.watch())


def test_a_small_part_that_comes_into_view_is_no_newcomer():
    assert not any(Scene(COMES_OUT[:10], side=14).watch())


def test_something_small_is_a_newcomer_once_it_is_far_away():
    corrected = Scene(COMES_OUT, side=14).watch()
    assert sum(map(bool, corrected)) == 1


def test_an_animal_that_was_seen_apart_before_it_touches_is_taken_out():
    comes_in = Scene([WIDTH - 6 * step for step in range(20)], side=30)
    corrected = comes_in.watch()
    when = next(index for index, found in enumerate(corrected) if found)
    for frame, region in corrected[when].items():
        assert not (region & comes_in.others[frame] & ~comes_in.animal).sum() > 30, frame


def test_an_animal_that_was_lost_in_part_and_is_found_again_stays_whole():
    scene = Scene([150])
    head, body = square(20, side=12), square(36, side=36)
    scene.frames = scene.frames * 8
    scene.regions = [head | body] * 3 + [head] * 2 + [head | body] * 3
    assert not any(scene.watch())


def test_an_animal_that_passes_behind_a_trunk_is_not_halved():
    scene = Scene([0])
    whole = [square(10 + 6 * step, SIDE) for step in range(14)]
    trunk = np.zeros((HEIGHT, WIDTH), bool)
    trunk[:, 60:70] = True
    scene.regions = [mask & ~trunk for mask in whole]
    scene.frames = [np.where(trunk, 90, np.where(mask, 200, 20)).astype("uint8") for mask in whole]
    assert not any(scene.watch())


def test_an_animal_that_has_passed_behind_a_post_and_comes_nearer_stays_whole():
    rng = np.random.default_rng(0)
    fur, ground = (rng.integers(0, 255, (HEIGHT, WIDTH)).astype("uint8") for _ in "12")
    post = np.zeros((HEIGHT, WIDTH), bool)
    post[:, 70:80] = True
    sides = [SIDE] * 13 + [44, 48, 52, 56]
    bodies = [square(20 + 6 * step, side) for step, side in enumerate(sides)]
    left_behind = square(2, side=12, top=80)  # a stone that the network takes for a part of it
    frames = [
        np.where(post, np.uint8(128), np.where(body, np.roll(fur, 6 * step, axis=1), ground))
        for step, body in enumerate(bodies)
    ]
    watch = SeparationWatch(
        Separation(), lambda one, other: find_motion(frames[one], frames[other])
    )
    for index, body in enumerate(bodies):
        motion = find_motion(frames[index], frames[max(0, index - 1)])
        assert not watch(index, body & ~post | left_behind, motion), index


@pytest.mark.parametrize(
    "sides, in_part",
    [
        ([0, 0, 0, 40], ()),  # much larger than the animal, at once
        ([0, 0, 0, 6, 8, 9, 10], (4, 5)),  # most of the animal is missed for a moment
    ],
)
def test_what_comes_from_elsewhere_is_taken_out_once_it_is_large(sides, in_part):
    animal = square(20, side=20)
    watch = SeparationWatch(Separation(), lambda one, other: None)
    for index, side in enumerate(sides):
        newcomer = square(80, side=side)
        seen = square(20, side=8, top=28) if index in in_part else animal
        corrected = watch(index, seen | newcomer, None)
        if corrected:
            break
    assert side == sides[-1]
    np.testing.assert_array_equal(corrected[index], animal)


class HiddenAnimal:
    """An animal of which half is then behind a trunk; its head is seen on the other side. No flow
    is reliable, so that nothing is followed back."""

    def __init__(self):
        self.whole, self.head = square(20, side=30), square(4, side=12, top=32)
        self.rear = self.whole.copy()
        self.rear[:, :35] = False
        unreliable = Motion(np.zeros((HEIGHT, WIDTH, 2), "float32"), np.zeros_like(self.whole))
        self.watch = SeparationWatch(Separation(), lambda one, other: unreliable)
        assert not self.watch(0, self.whole, None)
        self.frame = 0

    def see(self, *regions: np.ndarray) -> np.ndarray:
        """What is left of these regions in the next frame."""
        self.frame += 1
        region = np.any(regions, axis=0)
        return self.watch(self.frame, region, None).get(self.frame, region)


def test_a_head_that_came_out_stays_when_something_large_appears():
    animal = HiddenAnimal()
    parts = animal.rear | animal.head
    animal.see(parts)
    np.testing.assert_array_equal(animal.see(parts, square(100, side=28)), parts)


def test_what_stayed_when_something_large_appeared_may_still_be_another_animal():
    animal = HiddenAnimal()
    newcomer = square(100, side=14)
    animal.see(animal.rear, newcomer)
    kept = animal.see(animal.rear, newcomer, square(140, side=28))
    np.testing.assert_array_equal(kept, animal.rear | newcomer)
    for frame, side in enumerate(range(15, 30), start=3):
        corrected = animal.watch(frame, animal.rear | square(100, side=side), None)
        if corrected:
            break
    assert sorted(corrected) == list(range(1, frame + 1))
    assert not any(mask[:, 100:].any() for mask in corrected.values())


@pytest.mark.parametrize("with_specks", [False, True])
def test_a_newcomer_that_grows_is_taken_out_of_the_frames_that_show_it(with_specks):
    animal = HiddenAnimal()
    parts = animal.rear | animal.head
    for _ in range(5):
        animal.see(parts)
    for frame, side in enumerate(np.linspace(8, 30, 40).round().astype(int), start=6):
        speck = square(60 + 6 * (frame % 5), side=2, top=4)
        shown = parts | speck if with_specks and frame % 2 else parts
        corrected = animal.watch(frame, shown | square(100, side=side), None)
        if corrected:
            break
    assert sorted(corrected) == list(range(6, frame + 1))
    for mask in corrected.values():
        assert (mask & parts == parts).all() and not mask[:, 100:].any()
    assert not animal.watch(frame + 1, parts, None)


def test_all_strays_are_taken_out_where_either_could_be_the_animals():
    animal = HiddenAnimal()
    animal.see(animal.rear, square(100, side=21))
    kept = animal.see(animal.rear, square(100, side=21), square(140, side=20))
    np.testing.assert_array_equal(kept, animal.rear)


def test_two_that_never_part_stay_one():
    assert not any(Scene([20, 24, 28, 32, 36, 40, 40, 40, 40, 40]).watch())


def test_pieces_across_a_narrow_gap_are_one():
    region = square(20) | square(20 + SIDE + 2)
    pieces, count = pieces_apart(region, gap=0.02)
    assert count == 1 and (pieces > 0).sum() == region.sum()
    speck = square(20) | square(150, side=4)
    assert pieces_apart(speck, gap=0.02)[1] == 1
    pieces, count = pieces_apart(square(20) | square(120), gap=0.02)
    assert count == 2 and (pieces[square(20)] != pieces[square(120)][0]).all()


def test_pixels_without_an_owner_belong_to_the_nearest():
    owner = square(20).astype("uint8") + 2 * square(120)
    region = square(20) | square(120) | square(62, side=20)
    filled = fill_from_nearest(owner, region)
    assert (filled[square(62, side=20)] == 1).all() and not filled[~region].any()
    assert not fill_from_nearest(np.zeros_like(owner), region).any()


@pytest.mark.parametrize("with_motion", [True, False])
def test_an_owner_is_inherited_from_where_a_pixel_goes(with_motion):
    scene = Scene([80, 84])
    pieces = scene.animal.astype("uint8") + 2 * scene.others[1].astype("uint8")
    motion = scene.motion(0, 1) if with_motion else None
    owner = inherit(pieces, scene.regions[0], motion, 2)
    assert iou(owner == 2, scene.others[0]) > 0.95
    assert iou(owner == 1, scene.animal) > 0.95
