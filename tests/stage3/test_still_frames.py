"""Frames that the network need not see: which they are, and that masks stay the same.

The network is replaced by one that knows the animal, and is a little unsure of its outline.
"""

import dataclasses

import numpy as np
import pytest

import finetune_test
from tests.stage3_world import animal, frame
from utils.stage3.motion import find_motion
from utils.stage3.settings import Stillness
from utils.stage3.still_frames import NextFrame, StillFrames
from utils.stage3.window import WindowedView

SIZE = (96, 128)
WHOLE_EVERY = 5
TEXTURE = np.random.default_rng(0).integers(40, 110, (24, 32)).repeat(8, 0).repeat(8, 1)


def square(x, y=40):
    mask = np.zeros(SIZE, bool)
    mask[y : y + 20, x : x + 24] = True
    return mask


def picture(number, *masks, shift=0):
    """Grey levels with noise of its own for each number; the camera has moved by `shift`."""
    noise = np.random.default_rng(number).normal(0, 2, SIZE)
    grey = TEXTURE[: SIZE[0], 32 - shift : 32 - shift + SIZE[1]].astype("float64")
    grey[np.any(masks, axis=0)] = 200
    return np.clip(grey + noise, 0, 255).astype("uint8")


def follow(greys, masks, network=None, still=None):
    """Walks forward over frames; returns what was found, and the frames that the network saw."""
    still = still or StillFrames(Stillness(), margin=12, threshold=0.5)
    found, seen, before, expected = [], [], greys[0], masks[0]
    for index, (grey, mask) in enumerate(zip(greys, masks, strict=True)):

        def look(index=index, mask=mask):
            seen.append(index)
            return network(index) if network else mask.astype("uint8") * np.uint8(240)

        following = NextFrame(index, grey, find_motion(grey, before), expected)
        found.append(still(following, look, is_whole=index % WHOLE_EVERY == 0))
        expected, before = found[-1] > 127, grey
        expected = expected if expected.any() else None
    assert still.num_seen == len(seen)
    return np.stack(found) > 127, seen


def test_few_frames_of_a_resting_animal_are_seen_and_all_masks_are_its_own():
    greys = [picture(number, square(50)) for number in range(300)]
    found, seen = follow(greys, [square(50)] * 300)
    assert (found == square(50)).all()
    assert len(seen) < 40
    assert max(np.diff(seen)) == Stillness().max_interval


def test_while_the_animal_is_away_and_nothing_moves_few_frames_are_seen():
    leaving = [square(max(0, 24 - 8 * n)) if n < 4 else square(0) & False for n in range(200)]
    _, seen = follow([picture(n, mask) for n, mask in enumerate(leaving)], leaving)
    assert {0, 1, 2, 3, 4} <= set(seen)
    assert len(seen) < 20
    assert max(np.diff(seen)) == Stillness().max_interval


def test_an_animal_that_comes_back_anywhere_is_seen_at_once():
    away = [square(50)] * 2 + [square(50) & False] * 90
    masks = away + [square(x, 72)[:, ::-1] for x in range(0, 20, 2)]
    found, seen = follow([picture(n, mask) for n, mask in enumerate(masks)], masks)
    assert set(range(92, len(masks))) <= set(seen) and len(seen) < 40
    assert (found == np.stack(masks)).all()


def test_every_frame_of_a_moving_animal_is_seen():
    masks = [square(20 + number) for number in range(60)]
    found, seen = follow([picture(n, mask) for n, mask in enumerate(masks)], masks)
    assert seen == list(range(60))
    assert (found == np.stack(masks)).all()


def test_an_animal_that_begins_to_move_is_seen_at_once():
    places = [30] * 90 + list(range(32, 60, 2))
    masks = [square(x) for x in places]
    found, seen = follow([picture(n, mask) for n, mask in enumerate(masks)], masks)
    assert set(range(90, len(places))) <= set(seen)
    assert (found == np.stack(masks)).all()


def test_while_others_move_far_away_frames_are_seen_as_a_whole_in_their_turn():
    """Or a newcomer would not be known before it comes near."""
    greys = [picture(n, square(90, 10), square(n // 2, 72)) for n in range(60)]
    _, seen = follow(greys, [square(90, 10)] * 60)
    assert set(range(0, 60, WHOLE_EVERY)) <= set(seen)
    assert len(seen) < 30


def test_frames_are_seen_where_masks_change_though_the_picture_does_not():
    """Checked in between: an interval that proves wrong becomes shorter."""

    def changing(index):
        return square(50 + 4 * (index % 3)).astype("uint8") * np.uint8(240)

    greys = [picture(number, square(50)) for number in range(60)]
    _, seen = follow(greys, [square(50)] * 60, changing)
    assert len(seen) >= 50


def test_where_the_camera_trembles_the_mask_goes_with_the_picture():
    shifts = [round(3 * np.sin(number / 4)) for number in range(80)]
    masks = [square(50 + shift) for shift in shifts]
    greys = [
        picture(n, mask, shift=s) for n, (mask, s) in enumerate(zip(masks, shifts, strict=True))
    ]
    found, seen = follow(greys, masks)
    assert len(seen) < 60
    errors = (found != np.stack(masks)).sum((1, 2)) / square(50).sum()
    assert errors.max() < 0.03


def test_another_way_out_from_a_label_begins_with_a_look():
    still = StillFrames(Stillness(), margin=12, threshold=0.5)
    grey, looks = picture(0, square(50)), []

    def look():
        looks.append(1)
        return square(50).astype("uint8") * np.uint8(240)

    for index, count in ((7, 1), (8, 1), (3, 2), (2, 2)):
        still(NextFrame(index, grey, None, square(50)), look, is_whole=False)
        assert len(looks) == count


def test_labelled_frames_and_lost_animals_are_looked_at():
    still = StillFrames(Stillness(first_interval=40), margin=12, threshold=0.5)
    grey, looks = picture(0, square(50)), []

    def look():
        looks.append(1)
        return square(50).astype("uint8") * np.uint8(240)

    for index, (expected, is_labelled) in enumerate(
        [(square(50), False), (square(50), True), (None, False), (square(50) & False, False)]
    ):
        frame = NextFrame(index, grey, find_motion(grey, grey), expected)
        still(frame, look, is_whole=False, must_look=is_labelled)
        assert len(looks) == index + 1


# The whole script


NUM_FRAMES = 60


@pytest.fixture
def resting(world, monkeypatch):
    """A video in which the animal rests, and then moves; the network is shown what is still in a
    video of ten frames already."""
    world.add(frames=0)
    for index in range(NUM_FRAMES):
        place = max(0, index - 50)
        noise = np.random.default_rng(index).normal(0, 1, frame(place).shape)
        image = np.clip(frame(place) + noise, 0, 255).astype("uint8")
        world.write_frame("hen", f"{index:05d}.png", image)
    world.write_label("hen", 2, animal(0) * np.uint8(255))
    settings = dataclasses.replace(Stillness(), min_frames=10)
    monkeypatch.setattr(finetune_test, "Stillness", lambda: settings)
    return world


@pytest.fixture
def looks(monkeypatch):
    """The frames that the network is shown."""
    shown, around = [], WindowedView.around

    def counted(view, index, *arguments, **options):
        shown.append(index)
        return around(view, index, *arguments, **options)

    monkeypatch.setattr(WindowedView, "around", counted)
    return shown


def test_a_resting_animal_costs_few_looks_and_has_the_masks_of_all_frames(resting, looks):
    assert resting.run() == 0
    assert len(looks) < 30 and {2, 51} <= set(looks)
    record, masks = resting.record(), resting.masks()
    assert record["frames_seen_by_network"] == {"1": len(looks)}
    assert record["key"]["stillness"]["min_frames"] == 10
    looks.clear()
    assert resting.run(every_frame=True) == 0
    assert len(looks) == NUM_FRAMES
    assert resting.record()["frames_seen_by_network"] == {"1": NUM_FRAMES}
    assert "stillness" not in resting.record()["key"]
    everywhere = resting.masks()
    for mask, of_network in zip(masks, everywhere, strict=True):
        union = np.count_nonzero((mask > 0) | (of_network > 0))
        assert np.count_nonzero((mask > 0) & (of_network > 0)) >= 0.95 * union


@pytest.mark.parametrize("calls", [1, 9, 15])
def test_a_run_that_was_cut_off_sees_the_same_frames(resting, looks, calls):
    resting.run()
    masks, shown = resting.masks(), len(looks)
    resting.results = resting.root / "again"
    resting.run_cut_off(WindowedView, "around", calls)
    looks.clear()
    assert resting.run() == 0
    np.testing.assert_array_equal(resting.masks(), masks)
    assert resting.record()["frames_seen_by_network"] == {"1": shown}
    assert len(looks) == shown - calls


def test_the_network_sees_every_frame_of_a_short_video(world, looks):
    world.add()
    world.run()
    assert sorted(looks) == list(range(6))
    assert "stillness" not in world.record()["key"]
    assert world.record()["frames_seen_by_network"] == {"1": 6}
