"""Which frames of a whole study to label next."""

import os

import pytest

from tests.made_results import NUM_FRAMES, MadeResults
from utils import paths
from utils.frame_choice.study_labels import rank_results


@pytest.mark.skipif(os.name == "nt", reason="links need permissions there")
def test_a_video_with_a_broken_link_among_its_labels_is_left_out(tmp_path, monkeypatch):
    """It ended the ranking of all videos."""
    monkeypatch.setattr(paths, "LABELS", tmp_path / "labels")
    made = MadeResults(tmp_path)
    for name in ("ant", "bee", "cat"):
        made.add(name)
        made.write_record(name, {"confidence": [0.5] * NUM_FRAMES}, "confidence.json")
    link = paths.LABELS / "bee" / "00005.png"
    link.parent.mkdir(parents=True)
    link.symlink_to("gone.png")
    found = rank_results(made.results, ("ant", "bee", "cat"))
    assert list(found.left_out) == ["bee"] and "00005.png" in found.left_out["bee"]
    assert {one.video.name for one in found.ranking} == {"ant", "cat"}
