"""Which animals a label shows as a sliver."""

import numpy as np
import pytest

from utils.media.labels import VOID, LabelMap
from utils.stage3.hidden_animals import hidden_animals
from utils.stage3.sharing import Sharing


def label_of(*boxes):
    label = np.zeros((90, 120), "uint8")
    for number, (top, left, bottom, right) in boxes:
        label[top:bottom, left:right] = number
    return label


MOTHER = (4, (20, 30, 70, 80))


@pytest.mark.parametrize(
    ("box", "hidden"),
    [
        ((25, 80, 65, 84), [2]),  # a sliver beside it
        ((25, 81, 65, 85), [2]),  # a void outline in between
        ((25, 100, 65, 104), []),  # as thin, but nothing is in front of it
        ((50, 80, 70, 100), []),  # a young one beside it: most of its outline is free
        ((25, 80, 65, 100), []),  # a third of it
        ((25, 116, 65, 120), [2]),  # at the frame's edge
    ],
)
def test_a_sliver_beside_another_animal_or_the_edge_is_mostly_hidden(box, hidden):
    label = label_of(MOTHER, (2, box))
    gap = label[:, 80:81]
    gap[gap == 0] = VOID
    assert hidden_animals(LabelMap(label, ()).masks(), Sharing()) == hidden


def test_a_label_without_animals_hides_none():
    assert hidden_animals(LabelMap(label_of(), ()).masks(), Sharing()) == []
    assert hidden_animals(LabelMap(label_of(MOTHER), ()).masks(), Sharing()) == []
