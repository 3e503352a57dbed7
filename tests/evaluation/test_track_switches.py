"""IDF1 and identity switches of several animals, by hand and beside TrackEval."""

import numpy as np
import pytest

from utils.evaluation.identity_measures import track_frame, track_switches, tracks_f1

SIZE = (12, 40)


def squares(*lefts: int | None) -> np.ndarray:
    """Numbered squares of 8 pixels; None is out of view."""
    values = np.zeros(SIZE, "uint8")
    for number, left in enumerate(lefts, start=1):
        if left is not None:
            values[2:10, left : left + 8] = number
    return values


def measure(masks, annotations, animals):
    pairs = zip(masks, annotations, strict=True)
    frames = [track_frame(mask, truth, animals) for mask, truth in pairs]
    return tracks_f1(frames, len(animals)), track_switches(frames)


def test_tracks_that_stay_on_their_animals_lose_nothing():
    truth = [squares(2 + i, 20 - i) for i in range(5)]
    assert measure(truth, truth, (1, 2)) == (1, 0)


def test_two_that_swap_are_two_switches_and_half_of_the_identities():
    truth = [squares(2, 20)] * 6
    masks = truth[:3] + [squares(20, 2)] * 3
    assert measure(masks, truth, (1, 2)) == (0.5, 2)
    assert measure(masks + truth[:3], truth + truth[:3], (1, 2))[1] == 4


def test_a_jump_to_nothing_is_no_switch():
    truth = [squares(2, 20)] * 6
    masks = truth[:2] + [squares(30, 20)] * 2 + truth[:2]
    f1, switches = measure(masks, truth, (1, 2))
    assert switches == 0 and f1 == pytest.approx(10 / 12)


def test_where_an_animal_has_no_number_its_track_counts_for_nothing():
    truth = [squares(2, 20), squares(2, None), squares(2, 20)]
    masks = [squares(2, 20)] * 3
    assert measure(masks, truth, (1, 2)) == (1, 0)
    assert measure([squares(2, 20), squares(2, 30), squares(2, 20)], truth, (1, 2)) == (1, 0)


def test_numbers_need_not_be_consecutive():
    truth = [np.where(squares(2, 20) == 2, 5, squares(2, 20))] * 3
    assert measure(truth, truth, (1, 5)) == (1, 0)


@pytest.mark.parametrize("seed", range(30))
def test_random_tracks_have_what_trackeval_says(seed):
    """TrackEval is the reference of the field for both measures."""
    metrics = pytest.importorskip("trackeval.metrics", reason="TrackEval is not installed")
    rng = np.random.default_rng(seed)
    num_animals = int(rng.integers(1, 4))
    frames = []
    order = np.arange(num_animals)
    for _ in range(12):
        if rng.random() < 0.4:
            order = rng.permutation(num_animals)
        lefts = [1 + 13 * k + int(rng.integers(3)) for k in range(num_animals)]
        shown = [left if rng.random() < 0.8 else None for left in lefts]
        of_tracks = [lefts[k] + int(rng.integers(-3, 4)) for k in order]
        of_tracks = [max(0, left) if rng.random() < 0.85 else None for left in of_tracks]
        mask, truth = squares(*of_tracks), squares(*shown)
        frames.append(track_frame(mask, truth, range(1, num_animals + 1)))
    data = {
        "num_gt_ids": num_animals,
        "num_tracker_ids": num_animals,
        "num_gt_dets": sum(len(frame.animals) for frame in frames),
        "num_tracker_dets": sum(len(frame.tracks) for frame in frames),
        "num_timesteps": len(frames),
        "gt_ids": [frame.animals for frame in frames],
        "tracker_ids": [frame.tracks for frame in frames],
        "similarity_scores": [frame.j for frame in frames],
    }
    quiet = {"PRINT_CONFIG": False}
    identity = metrics.Identity(quiet).eval_sequence(data)
    clear = metrics.CLEAR(quiet).eval_sequence(data)
    assert tracks_f1(frames, num_animals) == pytest.approx(identity["IDF1"])
    assert track_switches(frames) == clear["IDSW"]
