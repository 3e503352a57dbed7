"""The lists of image and annotation pairs that stages 1 and 2 train on."""

from pathlib import Path

from utils.errors import InputError
from utils.training.batches import FileSample
from utils.training.pair_lists import read_pairs


def read_sample_list(list_path: Path, dataset: Path) -> list[FileSample]:
    """Reads lines `JPEGImages/ID.jpg Annotations/ID.png`, paths relative to the data set.

    A repeated line is a sample that is seen more often. Empty lines and lines that begin with #
    do not count.

    Returns: one sample per line, in the order of the list.

    Raises:
        InputError: if the list or any file it names is missing, or a line is not a pair.
    """
    samples = [
        FileSample(dataset / image, dataset / annotation)
        for image, annotation in read_pairs(list_path)
    ]
    files = (path for sample in samples for path in (sample.image_path, sample.annotation_path))
    missing = [path for path in files if not path.is_file()]
    if missing:
        raise InputError(
            f"{list_path}: {len(missing)} of the files it lists are missing, the first: "
            f"{missing[0]}. Run prepare_data.py, or name another --dataset or --list."
        )
    if not samples:
        raise InputError(f"{list_path} lists no images. Name another --list.")
    return samples
