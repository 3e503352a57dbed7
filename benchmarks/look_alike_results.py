"""Opens what stage 3 found of one animal among others, beside what the annotations say.

Not a benchmark itself; see look_alikes.py.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.look_alike_list import LookAlike
from utils import paths
from utils.errors import InputError
from utils.evaluation.identity_measures import IdentityScore, score_identity
from utils.inputs.sequences import sequence_dir
from utils.media.images import list_frames
from utils.media.labels import read_labels


@dataclass(frozen=True)
class Video:
    """One followed animal with everything to score it: frames without annotation are left out.

    Attributes:
        item: the line of the list.
        stems: names of the frames.
        annotations: uint8 (H, W) per frame, by numbers of animals.
        animals: all numbers in them.
        animal: the number of the one that was labelled.
        masks: bool (H, W) per frame.
    """

    item: LookAlike
    stems: list[str]
    annotations: list[np.ndarray]
    animals: tuple[int, ...]
    animal: int
    masks: list[np.ndarray]

    def score(self) -> IdentityScore:
        pairs = zip(self.masks, self.annotations, strict=True)
        return score_identity(pairs, self.animals, self.animal)


def open_video(dataset: Path, results: Path, item: LookAlike) -> Video:
    """Reads annotations and masks.

    Raises:
        InputError: if one is missing.
    """
    folder = sequence_dir(dataset, "Annotations", item.video)
    masks = sequence_dir(results, paths.SEGMENTATION, item.name)
    if folder is None or masks is None:
        missing = "annotations" if folder is None else "masks"
        raise InputError(
            f"{item.name}: no {missing} in {dataset if folder is None else results}. Run "
            "python -m benchmarks.look_alikes run, or name --sequences."
        )
    files = list_frames(folder)
    labels = read_labels(files)
    found = read_labels([masks / file.name for file in files])
    tracks = found[0].animals
    # One label is one track, whatever its number; of several, it is the one of that number.
    track = tracks[0] if len(tracks) == 1 else item.animal
    animals = labels[0].animals
    animal = animals[0] if len(animals) == 1 else item.animal
    return Video(
        item,
        [file.stem for file in files],
        [label.values for label in labels],
        animals,
        animal,
        [label.values == track for label in found],
    )
