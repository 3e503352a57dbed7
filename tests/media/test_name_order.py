"""The order of frames by their names, as a person expects it."""

import pytest

from utils.media.images import list_frames
from utils.media.name_order import has_decimals, has_negatives, natural_key, spelled_as

COUNTERS = [
    ["clip1.8", "clip1.9", "clip1.10", "clip1.11"],
    ["1.98", "1.99", "1.100", "1.101", "2.1"],
    ["x", "x (1)", "x (2)", "x (10)"],
    ["2023.9.15", "2023.10.2", "2023.11.1"],
    ["v1.2.9", "v1.2.10"],
    ["a1.5", "a2.25", "a3.125"],
    [f"cam1.{number}" for number in [*range(1, 10), *range(14, 19)]],  # some frames were removed
    [f"GX01.{number}" for number in [*range(1, 9), *range(40, 60)]],
    [f"cam2.{number}" for number in [*range(1, 10), *range(31, 39)]],
    [f"cam3.{number:03d}" for number in range(995, 1005)],
    ["x1", "x1.1", "x1.2", "x1.13", "x2", "x2.1"],
]
DECIMALS = [
    ["0.4", "0.466667", "0.6"],
    ["t0.0", "t0.0333", "t0.0667", "t0.1", "t0.1333", "t0.1667", "t0.2"],
    ["0.0", "0.05", "0.1", "0.15", "0.2"],
    ["hen_9.75s", "hen_10.0s", "hen_10.25s", "hen_10.5s"],
    ["0.4", "0.466667"],
    [f"frame_{number / 4:g}" for number in range(9)],  # as MATLAB, R and JavaScript print them
    [f"{number / 15:.3g}s" for number in range(40)],
    ["0.0", "0.04", "0.08", "0.12", "0.16", "0.2"],
    [f"{number / 25:g}" for number in range(300, 310)],
    ["12.1", "12.134103", "12.192537", "12.207452"],
    ["9.5", "9.53", "9.55", "9.57", "9.58", "9.6", "9.62", "9.63"],  # one is missing
]
NEGATIVES = [  # counted from the trigger of a camera
    ["frame_-10", "frame_-2", "frame_-1", "frame_0", "frame_1", "frame_10"],
    ["-2", "-1", "0", "1"],
]
HYPHENS = [
    ["IMG-1", "IMG-2", "IMG-10"],
    ["day1", "day1-1", "day1-2"],
    ["cam_-1", "cam_-2", "cam_-10"],
]


@pytest.mark.parametrize(
    "stems", COUNTERS + DECIMALS + NEGATIVES + HYPHENS, ids=lambda stems: stems[1]
)
def test_numbers_are_in_their_order(tmp_path, stems):
    for stem in reversed(stems):
        (tmp_path / f"{stem}.jpg").touch()
    assert [path.stem for path in list_frames(tmp_path)] == stems
    assert has_decimals(stems) == (stems in DECIMALS)
    assert has_negatives(stems) == (stems in NEGATIVES)


def test_decimals_have_no_ties():
    names = ["0.5", "0.50", "0.500"]
    assert len({str(natural_key(name, decimal=True)) for name in names}) == 3


def test_a_name_is_found_however_its_accents_are_composed():
    stored = "Ku\u0308ken"  # as on a Mac's disk
    assert spelled_as("K\u00fcken", ["hen", stored]) == stored
    assert spelled_as("cock", ["hen", stored]) == "cock"
