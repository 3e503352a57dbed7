"""Results of videos named 480p.mp4 or 1080p.mp4, which DAVIS uses as names of folders."""

import pytest

from tests.made_results import NUM_FRAMES, MadeResults, animal
from utils.evaluation.results import choose_results, open_segmented


@pytest.mark.parametrize("name", ["480p", "1080p"])
def test_masks_of_a_video_named_like_a_size_are_found(tmp_path, name):
    made = MadeResults(tmp_path)
    masks = [animal(index) for index in range(NUM_FRAMES)]
    made.add(name, masks, is_file=True)
    made.add("hen", masks)
    assert choose_results(made.results) == [name, "hen"]
    assert choose_results(made.results, (name,)) == [name]
    assert len(open_segmented(made.results, name)) == NUM_FRAMES
