"""How much J is lost at which distance from the true outline, and how sharp masks could be.

Per video, means over the annotated official frames (first and last left out) without the labelled
ones: J, and J if errors within 1, 2, 3 and 5 pixels of the true outline did not count; how far the
outline is misplaced on average, outward positive; what is false and what is missing more than 3
pixels from the outline, as a share of the animal; J of the true mask reduced to strides 8, 4 and 2
and enlarged again. J on the labelled frames tells how exactly the network draws its own label.
Several animals count as one. Frames that the annotation shows no animal in are left out.

Reads   a data set with annotations, and one or more results folders of finetune_test.py.
Writes  a table to the screen and with --json to a file.

    python -m benchmarks.outline --dataset DIR --results DIR [DIR ...]
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tabulate import tabulate

from utils import paths
from utils.command_line import run_script, setting
from utils.evaluation.outline_errors import DISTANCES, FAR, outline_errors, stride_ceiling
from utils.evaluation.results import (
    SegmentedVideo,
    choose_results,
    open_segmented,
    require_finished,
)
from utils.evaluation.scoring import check_same_size
from utils.files import write_json
from utils.inputs.sequences import sequence_dir
from utils.media.labels import VOID, read_label

STRIDES = (8, 4, 2)
HEADERS = (
    "video", "J", *(f"J beyond {d} px" for d in DISTANCES), "offset, px",
    f"false > {FAR} px", f"missed > {FAR} px", *(f"stride {s}" for s in STRIDES),
    "J, labelled",
)  # fmt: skip


@dataclass(frozen=True)
class Config:
    dataset: Path = setting(paths.SAMPLE_DATASET, "folder with JPEGImages/ and Annotations/")
    results: tuple[Path, ...] = setting((paths.RESULTS,), "results folders of finetune_test.py")
    sequences: tuple[str, ...] = setting((), "names of videos (default: all with results)")
    json: Path | None = setting(None, "write all numbers here as well")


def main(config: Config) -> None:
    tables = {}
    for results in config.results:
        names = choose_results(results, config.sequences)
        rows = {name: measure(config.dataset, open_segmented(results, name)) for name in names}
        rows["mean"] = np.nanmean(list(rows.values()), axis=0).tolist()
        lines = [(name, *values) for name, values in rows.items()]
        print(f"{results}\n{tabulate(lines, HEADERS, floatfmt='.3f')}\n", flush=True)
        tables[str(results)] = {
            name: {
                key: None if np.isnan(v) else v for key, v in zip(HEADERS[1:], values, strict=True)
            }
            for name, values in rows.items()
        }
    if config.json:
        write_json(config.json, tables)


def measure(dataset: Path, video: SegmentedVideo) -> list[float]:
    """Returns the numbers of one video under HEADERS; nan where no frame gives one."""
    require_finished(video)
    labelled = {video.frame_names[frame] for frame in video.labelled_frames}
    official = set(video.frame_names[1:-1])
    rows, on_labels = [], []
    for stem, mask, truth, void in read_frames(dataset, video):
        if not truth.any():
            continue
        errors = outline_errors(mask, truth, void)
        if stem in labelled:
            on_labels.append(errors.j)
        elif stem in official:
            ceilings = [stride_ceiling(truth, void, stride) for stride in STRIDES]
            far = (errors.offset, errors.false, errors.missed)
            rows.append([errors.j, *errors.forgiven, *far, *ceilings])
    means = np.mean(rows, axis=0).tolist() if rows else [np.nan] * (len(HEADERS) - 2)
    return [*means, float(np.mean(on_labels)) if on_labels else np.nan]


def read_frames(
    dataset: Path, video: SegmentedVideo
) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    """Yields stem, mask, truth and void, bool (H, W), of the annotated frames.

    Raises:
        InputError: if a mask has another size than its annotation.
    """
    annotations = sequence_dir(dataset, "Annotations", video.name)
    for path in video.mask_paths if annotations else ():
        annotation = annotations / f"{path.stem}.png"
        if not annotation.is_file():
            continue
        values = read_label(annotation).values
        void = values == VOID
        mask = read_label(path).values
        check_same_size(path, mask, annotation, values)
        yield path.stem, (mask > 0) & (mask != VOID), (values > 0) & ~void, void


if __name__ == "__main__":
    run_script(main, Config, __doc__)
