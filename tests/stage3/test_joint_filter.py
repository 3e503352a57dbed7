"""Several animals in what one network finds of all of them: whose is which pixel."""

from dataclasses import replace

import numpy as np
import pytest

from utils.media.labels import VOID
from utils.stage3 import joint_filter
from utils.stage3.joint_filter import JointFilter
from utils.stage3.motion import Motion
from utils.stage3.presets import PRESETS
from utils.stage3.sharing import Sharing

SIZE = (60, 160)
NOTHING = np.zeros(SIZE, bool)
SURE = Motion(np.zeros((*SIZE, 2), "float32"), ~NOTHING)  # nothing moves
UNSURE = Motion(np.zeros((*SIZE, 2), "float32"), NOTHING)
PRESET = replace(PRESETS["fast"], separation=None, crossing=None)


def square(left, top=20, side=20):
    mask = np.zeros(SIZE, bool)
    mask[top : top + side, max(0, left) : max(0, left + side)] = True
    return mask


def follower(*animals, preset=PRESET, sharing=None):
    """Follows these animals, with the numbers 3, 5, 7."""
    label = np.zeros(SIZE, "uint8")
    for number, mask in zip((3, 5, 7), animals, strict=False):
        label[mask] = number
    return JointFilter(preset, sharing or Sharing(), lambda *_: SURE, label)


def look(joint_filter, frame, *found, motion=SURE):
    probability = np.where(np.any([NOTHING, *found], axis=0), 250, 0).astype("uint8")
    return joint_filter(frame, probability, motion, 1)


def expect_regions(regions, **expected):
    for name, mask in expected.items():
        np.testing.assert_array_equal(regions[int(name[1:])], mask, err_msg=name)


def test_animals_keep_their_numbers_and_void_is_none():
    label = np.zeros(SIZE, "uint8")
    label[square(10)], label[square(60)], label[square(100)] = 3, 5, VOID
    joint = JointFilter(PRESET, Sharing(), lambda *_: SURE, label)
    assert joint.numbers == [3, 5]
    (regions,) = look(joint, 1, square(12), square(58)).values()
    expect_regions(regions, n3=square(12), n5=square(58))


def test_a_region_that_two_share_is_divided_where_they_were():
    joint = follower(square(20), square(50))
    together = square(20) | square(50) | square(40, top=25, side=10)  # a bridge
    (regions,) = look(joint, 1, together, motion=UNSURE).values()
    np.testing.assert_array_equal(regions[3] | regions[5], together)
    assert not (regions[3] & regions[5]).any()
    assert regions[3][square(20)].all() and regions[5][square(50)].all()
    bridge = together & ~square(20) & ~square(50)
    assert 0.4 < np.mean(regions[3][bridge]) < 0.6


def test_pixels_outside_of_all_reach_are_of_none_and_stay_so():
    preset = replace(PRESET, refinement=replace(PRESET.refinement, radius=0.1))
    joint = follower(square(10), square(40), preset=preset)
    for left in range(130, 80, -10):
        (regions,) = look(joint, 1, square(10), square(40), square(left)).values()
        expect_regions(regions, n3=square(10), n5=square(40))
    # Now it is near enough, but it is known to be another one.
    (regions,) = look(joint, 2, square(10), square(40), square(64)).values()
    expect_regions(regions, n3=square(10), n5=square(40))
    np.testing.assert_array_equal(joint.others, square(64))


def test_known_background_is_no_animal_while_the_flow_is_reliable():
    far = square(10, top=46, side=8)  # the label shows that there is none
    for motion, is_animal in ((SURE, False), (UNSURE, True)):
        joint = follower(square(10), square(60))
        (regions,) = look(joint, 1, square(10), square(60), far, motion=motion).values()
        assert regions[3][far].all() == is_animal


def test_a_slice_of_another_animal_goes_to_that_one():
    joint = follower(square(10), square(60))
    slice_ = square(60) & (np.arange(SIZE[1]) < 64)
    joint.regions = {3: square(10) | slice_, 5: square(60) & ~slice_}
    (regions,) = look(joint, 1, square(10), square(60)).values()
    expect_regions(regions, n3=square(10), n5=square(60))


def test_most_of_an_animal_keeps_its_part_of_a_common_piece():
    joint = follower(square(20), square(40))
    (regions,) = look(joint, 1, square(20), square(40)).values()
    expect_regions(regions, n3=square(20), n5=square(40))


def lose(joint, number, last=None, frames=20):
    """The animal has been out of sight for some frames; `last`: where it was then."""
    joint._frames_since[number] = frames
    if last is not None:
        joint.regions[number] = last


def test_a_lost_animal_is_found_again_in_a_piece_that_nobody_needs():
    joint = follower(square(40), square(62, side=16))
    lose(joint, 5)
    (regions,) = look(joint, 1, square(40)).values()
    expect_regions(regions, n3=square(40), n5=NOTHING)
    came_out = square(20, side=16)
    for frame in (2, 3):
        (regions,) = look(joint, frame, square(40), came_out, motion=UNSURE).values()
        expect_regions(regions, n3=square(40), n5=came_out)


@pytest.mark.parametrize(
    "piece, sharing",
    [
        (square(20, side=6), Sharing()),  # too small
        (square(20, side=16), Sharing(area=(1.5, 2.0))),
        (square(20, side=16), Sharing(reach=0.05)),  # too far away
    ],
)
def test_other_pieces_are_not_a_lost_animal(piece, sharing):
    joint = follower(square(40), square(62, side=16), sharing=sharing)
    lose(joint, 5)
    (regions,) = look(joint, 1, square(40), piece, motion=UNSURE).values()
    assert not regions[5].any()


def test_a_lost_animal_is_not_looked_for_in_what_is_known_to_be_another_one():
    joint = follower(square(10), square(60))
    stranger = square(90, side=18)
    for frame in range(1, 5):
        (regions,) = look(joint, frame, square(10), square(60), stranger).values()
    for frame in range(5, 40):  # the network misses it
        (regions,) = look(joint, frame, square(10), stranger).values()
        expect_regions(regions, n3=square(10), n5=NOTHING)


@pytest.mark.parametrize("motion, left", [(SURE, 60), (UNSURE, 90)])
def test_a_lost_animal_that_comes_out_of_hiding_bit_by_bit_is_found_again(motion, left):
    joint = follower(square(20), square(60))
    for frame in range(1, 11):
        look(joint, frame, square(20))
    for frame, width in enumerate(range(2, 21, 2), start=11):
        visible = square(left) & (np.arange(SIZE[1]) < left + width)
        (regions,) = look(joint, frame, square(20), visible, motion=motion).values()
    expect_regions(regions, n3=square(20), n5=square(left))


def test_a_piece_is_not_taken_from_an_animal_that_has_nothing_else():
    joint = follower(square(40), square(62))
    lose(joint, 5)
    (regions,) = look(joint, 1, square(42), motion=UNSURE).values()
    expect_regions(regions, n3=square(42), n5=NOTHING)


def test_two_lost_animals_do_not_get_the_same_piece():
    joint = follower(square(70), square(40), square(10))
    lose(joint, 5)
    lose(joint, 7)
    (regions,) = look(joint, 1, square(70), square(38, side=16), motion=UNSURE).values()
    expect_regions(regions, n3=square(70), n5=square(38, side=16), n7=NOTHING)


def test_an_animal_that_was_missed_for_a_frame_goes_on_in_a_common_piece():
    joint = follower(square(20), square(40))
    (regions,) = look(joint, 1, square(20)).values()
    expect_regions(regions, n3=square(20), n5=NOTHING)
    assert joint.is_in_doubt and joint.expect(SURE)[square(20)].all()
    (regions,) = look(joint, 2, square(20), square(40)).values()
    expect_regions(regions, n3=square(20), n5=square(40))
    assert not joint.is_in_doubt


def test_a_sliver_is_a_lost_animal_and_does_not_say_how_large_it_is():
    joint = follower(square(20), square(60))
    for frame in range(1, 40):
        look(joint, frame, square(20), square(60, side=4))
    assert joint._frames_since[5] == 39 and joint._typical_area(5) == 400
    assert not joint.is_in_doubt  # for so long
    assert not joint.expect(SURE)[square(60)].any()
    lose(joint, 3)
    assert joint.expect(SURE) is None


def test_two_that_hold_slices_of_each_other_lose_no_pixel():
    joint = follower(square(10), square(60))
    left, right = square(10) & (np.arange(SIZE[1]) < 16), square(60) & (np.arange(SIZE[1]) < 66)
    joint.regions = {3: square(10) & ~left | right, 5: square(60) & ~right | left}
    (regions,) = look(joint, 1, square(10), square(60)).values()
    expect_regions(regions, n3=square(10), n5=square(60))


def test_what_comes_in_far_from_all_of_them_is_another_one():
    joint = follower(square(12), square(70))
    motion = replace(UNSURE, reliable=square(12) | square(70))
    (regions,) = look(joint, 1, square(12), square(70), square(-17), motion=motion).values()
    expect_regions(regions, n3=square(12), n5=square(70))


@pytest.mark.parametrize("sure, is_animal", [(square(12), False), (square(70), True)])
def test_what_comes_in_may_be_the_nearest_one_where_its_flow_is_not_reliable(sure, is_animal):
    """A fast animal along the frame's edge was taken for a newcomer."""
    joint = follower(square(12), square(70))
    motion, seen = replace(UNSURE, reliable=sure), (square(12), square(70), square(-17))
    regions = look(joint, 1, *seen, motion=motion)[1]
    assert regions[3][square(-17)].all() == is_animal
    assert joint.others[square(-17)].all() == (not is_animal)
    expect_regions(regions, n5=square(70))


# Crossings and newcomers


class Told:
    """Stands for a watch of crossings: in frame 3 the first one is where the second one seems."""

    goes_on = True

    def __init__(self, settings, radius, find_motion, label):
        assert radius > 0 and all(mask.any() for mask in label)

    def __call__(self, frame, found, animal, others, motion):
        np.testing.assert_array_equal(found, animal | others)
        return {2: others, 3: others} if frame == 3 else {}


@pytest.fixture
def crossing(monkeypatch):
    monkeypatch.setattr(joint_filter, "CrossingWatch", Told)
    return follower(square(20), square(60), preset=replace(PRESETS["fast"], separation=None))


def follow_to_frame_3(joint, seen_of_other=20):
    both = square(20), square(60)
    look(joint, 1, *both)
    look(joint, 2, both[0], square(60, side=seen_of_other))
    return look(joint, 3, *both)


def test_two_that_the_flow_has_followed_do_not_change_places(crossing):
    regions = follow_to_frame_3(crossing)
    assert list(regions) == [3]
    expect_regions(regions[3], n3=square(20), n5=square(60))


def test_two_of_which_one_was_hidden_may_change_places(crossing):
    regions = follow_to_frame_3(crossing, seen_of_other=6)
    assert sorted(regions) == [2, 3]
    expect_regions(regions[3], n3=square(60), n5=square(20))
    expect_regions(regions[2], n3=square(60, side=6), n5=square(20))
    (after,) = look(crossing, 4, square(20), square(60)).values()
    expect_regions(after, n3=square(60), n5=square(20))


@pytest.mark.parametrize("third_left, is_crowded", [(80, True), (120, False)])
def test_a_crossing_in_which_a_third_one_was_in_between_is_not_judged(
    monkeypatch, third_left, is_crowded
):
    def tell_the_first_pair(self, frame, found, animal, others, motion):
        is_first = animal[30, 25] and others[30, 62]
        return {frame: others} if frame == 3 and is_first else {}

    monkeypatch.setattr(joint_filter, "CrossingWatch", Told)
    monkeypatch.setattr(Told, "__call__", tell_the_first_pair)
    three = square(20), square(60), square(third_left)
    joint = follower(*three, preset=replace(PRESETS["fast"], separation=None))
    look(joint, 1, *three)
    look(joint, 2, three[0], square(60, side=6), three[2], motion=UNSURE)
    moved_on = square(third_left + 4)  # by now it is not with them
    regions = look(joint, 3, *three[:2], moved_on, motion=UNSURE)
    one, other = three[:2] if is_crowded else three[1::-1]
    expect_regions(regions[3], n3=one, n5=other, n7=moved_on)


def test_what_agrees_with_the_flow_is_taken_over(crossing, monkeypatch):
    mixed = np.where(np.arange(SIZE[1]) < 30, square(20), square(60)) > 0

    def tell(self, frame, found, animal, others, motion):
        return {frame: mixed & (animal | others)} if frame == 3 else {}

    monkeypatch.setattr(Told, "__call__", tell)
    regions = follow_to_frame_3(crossing)
    expect_regions(regions[3], n3=mixed, n5=(square(20) | square(60)) & ~mixed)


def test_a_newcomer_is_taken_out_and_is_none_of_them_from_then_on(monkeypatch):
    class Newcomer:
        def __init__(self, settings, find_motion):
            pass

        def __call__(self, frame, region, motion):
            part = region & (np.arange(SIZE[1]) < 20)
            return {1: part, 2: part} if frame == 2 and region[square(10)].any() else {}

    monkeypatch.setattr(joint_filter, "SeparationWatch", Newcomer)
    joint = follower(square(10), square(80), preset=replace(PRESETS["fast"], crossing=None))
    both = square(10) | square(22), square(80)
    look(joint, 1, *both)
    regions = look(joint, 2, *both)
    kept = square(10) & (np.arange(SIZE[1]) < 20)
    assert sorted(regions) == [1, 2]
    for frame in (1, 2):
        expect_regions(regions[frame], n3=kept, n5=square(80))
    (after,) = look(joint, 3, *both).values()
    assert not (after[3] & square(30, side=12)).any()


def test_animals_that_do_not_touch_cost_no_crossing(monkeypatch):
    noted = []

    class Watch(Told):
        goes_on = False

        def __call__(self, *_):
            raise AssertionError("was asked")

        def stand_apart(self, animal, others, motion):
            noted.append((animal, others))

    monkeypatch.setattr(joint_filter, "CrossingWatch", Watch)
    joint = follower(square(20), square(60), preset=replace(PRESETS["fast"], separation=None))
    look(joint, 1, square(20), square(60))
    np.testing.assert_array_equal(noted[0], (square(20), square(60)))


class LeavesAtFrame2:
    """Finds in frame 2 that what the first animal has from column 70 on came out in frame 1."""

    def __init__(self, settings, find_motion):
        self.corrected = {}

    def __call__(self, frame, region, motion):
        part = region & (np.arange(SIZE[1]) < 70)
        return {1: part, 2: part} if frame == 2 and region[30, 60] else {}

    def correct(self, regions):
        self.corrected |= regions


FRONT, OUT = square(50), square(70, side=16)  # what comes out is beside the first one


def let_out(monkeypatch, *others, found=None, out=OUT):
    """Two frames in which something comes out from behind animal 3; what is found of the others
    is what their label shows, unless it is given."""
    monkeypatch.setattr(joint_filter, "SeparationWatch", LeavesAtFrame2)
    refinement = replace(PRESET.refinement, radius=0.1)
    joint = follower(
        FRONT, *others, preset=replace(PRESETS["fast"], crossing=None, refinement=refinement)
    )
    seen = [FRONT, out, *(others if found is None else found)]
    look(joint, 1, *seen, motion=UNSURE)
    return joint, look(joint, 2, *seen, motion=UNSURE)


def test_a_newcomer_is_the_labelled_one_of_which_the_label_shows_a_sliver(monkeypatch):
    sliver = np.any([square(48, top=top, side=2) for top in range(22, 38, 2)], axis=0)
    joint, regions = let_out(monkeypatch, sliver)
    for frame in (1, 2):
        expect_regions(regions[frame], n3=FRONT, n5=sliver | OUT)
    assert sorted(joint._separations[5].corrected) == [1, 2]
    assert joint._typical_area(5) == np.count_nonzero(sliver | OUT)
    (after,) = look(joint, 3, FRONT, OUT, sliver, motion=UNSURE).values()
    expect_regions(after, n3=FRONT, n5=sliver | OUT)


@pytest.mark.parametrize(
    "other",
    [
        square(150, top=30, side=10),  # a sliver at the frame's edge, but somewhere else
        square(41, top=36, side=9),  # small and beside the first one, but in full sight
    ],
)
def test_a_newcomer_is_no_labelled_one_that_is_in_sight(monkeypatch, other):
    joint, regions = let_out(monkeypatch, other)
    for frame in (1, 2):
        expect_regions(regions[frame], n3=FRONT, n5=other)
    assert joint.others[OUT].all()


@pytest.mark.parametrize(
    ("left", "is_heir"),
    [
        (30, True),  # it vanished beside the first one
        (0, False),  # it was lost at the frame's edge, so it may have left
        (120, False),  # elsewhere
    ],
)
def test_a_newcomer_is_the_one_that_vanished_there(monkeypatch, left, is_heir):
    other = square(left, side=18)
    if left == 0:
        other |= square(18, side=30) & ~FRONT
    _, regions = let_out(monkeypatch, other, found=())
    expect_regions(regions[2], n3=FRONT, n5=OUT if is_heir else NOTHING)


def test_of_two_that_are_hidden_each_gets_the_piece_that_is_nearer(monkeypatch):
    upper = np.any([square(left, top=18, side=2) for left in range(60, 70, 2)], axis=0)
    lower = np.any([square(left, top=40, side=2) for left in range(60, 70, 2)], axis=0)
    out = square(70, top=18, side=8), square(70, top=32, side=10)
    _, regions = let_out(monkeypatch, upper, lower, out=out[0] | out[1])
    expect_regions(regions[2], n3=FRONT, n5=upper | out[0], n7=lower | out[1])


def test_a_newcomer_is_not_a_lost_animal_that_was_much_smaller(monkeypatch):
    _, regions = let_out(monkeypatch, square(40, top=25, side=8), found=())
    expect_regions(regions[2], n3=FRONT, n5=NOTHING)


def test_a_sliver_that_has_come_out_by_itself_gets_no_newcomer(monkeypatch):
    sliver = square(48, side=2)
    for top in range(22, 38, 2):
        sliver |= square(48, top=top, side=2)
    grown = square(41, top=22, side=9)  # less than a quarter of the first one
    _, regions = let_out(monkeypatch, sliver, found=(grown,))
    expect_regions(regions[2], n3=FRONT, n5=grown)


@pytest.mark.parametrize("preset", [PRESETS["fast"], PRESETS["fast"].without_newcomers()])
@pytest.mark.parametrize("is_first", [True, False])
def test_what_comes_out_is_the_hidden_one_whatever_its_number(preset, is_first):
    front = square(40, top=10, side=40)
    sliver = square(37, top=12, side=36) & ~front & ~square(40, top=12, side=36)
    animals = (sliver, front) if is_first else (front, sliver)
    joint = follower(*animals, preset=replace(preset, crossing=None))
    for frame in (1, 2):
        look(joint, frame, front, sliver, motion=UNSURE)
    for frame in range(3, 15):  # it comes out at once, and goes on
        out = square(80 + 2 * (frame - 3), top=17, side=26)
        regions = look(joint, frame, front, sliver, out, motion=UNSURE)[frame]
    of_front, of_hidden = (regions[number] for number in ((5, 3) if is_first else (3, 5)))
    assert np.count_nonzero(of_hidden & out) > 0.9 * np.count_nonzero(out)
    assert np.count_nonzero(of_front & front) > 0.9 * np.count_nonzero(front)


def test_what_is_given_to_an_animal_stays_if_something_else_is_taken_out_of_it(monkeypatch):
    sliver = np.any([square(48, top=top, side=2) for top in range(22, 38, 2)], axis=0)

    class AlsoTakesFromTheSliver(LeavesAtFrame2):
        def __call__(self, frame, region, motion):
            if frame == 2 and not region[30, 60]:
                kept = region & (np.arange(SIZE[0]) < 36)[:, None]
                return {1: kept, 2: kept}
            return super().__call__(frame, region, motion)

    monkeypatch.setattr(joint_filter, "SeparationWatch", AlsoTakesFromTheSliver)
    joint = follower(FRONT, sliver, preset=replace(PRESETS["fast"], crossing=None))
    look(joint, 1, FRONT, OUT, sliver, motion=UNSURE)
    regions = look(joint, 2, FRONT, OUT, sliver, motion=UNSURE)
    for frame in (1, 2):
        assert regions[frame][5][OUT].all()
