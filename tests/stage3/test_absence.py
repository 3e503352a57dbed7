"""Confidence in frames in which an animal is not found."""

import numpy as np
import pytest

from utils.stage3.absence import Sighting, trust_absences

INSIDE = Sighting(0.95, 400, False)
LEAVING = Sighting(0.9, 60, True)
ABSENT = Sighting(0.0, 0, False)


def test_a_sighting_knows_its_area_and_whether_it_is_at_the_edge():
    mask = np.zeros((20, 30), bool)
    assert Sighting.of(mask, 0.0) == ABSENT
    mask[5:9, 10:20] = True
    assert Sighting.of(mask, 0.95) == Sighting(0.95, 40, False)
    mask[5:9, 0:2] = True
    assert Sighting.of(mask, 0.9) == Sighting(0.9, 48, True)


@pytest.mark.parametrize(
    "sightings, absences",
    [
        ([INSIDE, INSIDE, LEAVING, ABSENT, ABSENT], [0.9, 0.9]),  # it left
        ([ABSENT, LEAVING, INSIDE, INSIDE], [0.9]),  # it came
        ([INSIDE, INSIDE, LEAVING, ABSENT, LEAVING, INSIDE], [0.9]),
        ([INSIDE, INSIDE, ABSENT, ABSENT], [0, 0]),  # lost, or hidden behind something
        ([INSIDE, INSIDE, LEAVING, ABSENT, INSIDE], [0]),  # it came back elsewhere: lost before
        ([INSIDE, INSIDE, Sighting(0.9, 390, True), ABSENT], [0]),  # too much of it to leave
        ([ABSENT, ABSENT], [0, 0]),
        ([*[INSIDE] * 3, ABSENT, Sighting(0.8, 5, True), ABSENT], [0, 0]),  # lost, then a spot
    ],
)
def test_absence_is_trusted_where_the_animal_left_across_the_edge(sightings, absences):
    values = trust_absences(sightings)
    assert [v for v, s in zip(values, sightings, strict=True) if not s.area] == absences
    seen = [(v, s.confidence) for v, s in zip(values, sightings, strict=True) if s.area]
    assert all(value == confidence for value, confidence in seen)


LARGE = Sighting(0.8, 390, True)


@pytest.mark.parametrize(
    "sightings, absences",
    [
        # What may have been in sight already is not trusted.
        ([INSIDE, INSIDE, LEAVING, *[ABSENT] * 4, LARGE, INSIDE], [0.8, 0.8, 0, 0]),
        ([INSIDE, LARGE, *[ABSENT] * 4, LEAVING, INSIDE, INSIDE], [0, 0, 0.8, 0.8]),
        ([INSIDE, INSIDE, LEAVING, *[ABSENT] * 2, LARGE, INSIDE], [0, 0]),
        ([INSIDE, INSIDE, LEAVING, *[ABSENT] * 4, LEAVING, INSIDE], [0.9] * 4),
        ([INSIDE, INSIDE, LEAVING, *[ABSENT] * 4, INSIDE], [0] * 4),
        ([INSIDE, INSIDE, LARGE, *[ABSENT] * 4, LARGE, INSIDE], [0] * 4),
        ([INSIDE, INSIDE, LARGE, *[ABSENT] * 4], [0] * 4),
        (
            [*[INSIDE] * 3, LEAVING, *[ABSENT] * 4, Sighting(0.8, 5, True), ABSENT],
            [0] * 5,
        ),  # a spot
    ],
)
def test_an_animal_that_is_not_looked_for_in_every_frame_may_come_back_large(sightings, absences):
    values = trust_absences(sightings, unseen_frames=2)
    assert [v for v, s in zip(values, sightings, strict=True) if not s.area] == absences
    if LARGE in sightings:  # where each frame is looked at, it was lost
        values = trust_absences(sightings)
        assert not any(v for v, s in zip(values, sightings, strict=True) if not s.area)
