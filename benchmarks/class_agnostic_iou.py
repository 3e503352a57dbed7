"""Class-agnostic IoU and boundary F of weights on labelled images, by kind, without fine-tuning.

Means over images at probability 0.5. Void is left out, the mirror image is averaged in, and other
sizes with `--scales`. F has the tolerance of DAVIS (0.008 of the diagonal). The kind of an image is
its name up to the first "_", or, without one, the name of its folder, as for frames of a video.

Reads   the weights files and the pairs of --list, whose paths are relative to --dataset.
Writes  the table to the screen; with --json all numbers; with --worst DIR pictures of the worst
        images of each kind, with missed pixels in blue and false ones in red.

    python -m benchmarks.class_agnostic_iou --weights FILE [FILE ...]
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from utils import backend, paths  # backend before Keras: it starts it without noise

# isort: split
import cv2
import numpy as np
from tabulate import tabulate
from tqdm import tqdm

from models import HEADS, build_model
from utils.command_line import run_script, setting
from utils.errors import InputError, UsageError
from utils.evaluation.measures import contour_accuracy, region_similarity
from utils.files import write_json
from utils.media.labels import VOID
from utils.stage3.inference import predict_probability
from utils.training.animals import AnimalSample
from utils.training.batches import FileSample
from utils.training.sample_lists import read_sample_list
from utils.training.weights import load_weights, read_weights

THUMBNAIL_PX = 240  # side of a square in the pictures of the worst images


@dataclass(frozen=True)
class Config:
    weights: tuple[Path, ...] = setting((), "weights files to compare")
    dataset: Path = setting(paths.PASCAL_DATASET, "folder with JPEGImages/ and Annotations/")
    list: Path = setting(paths.PASCAL_VALIDATION_LIST, "text file of image and annotation pairs")
    scales: tuple[float, ...] = setting((1.0,), "sizes of the images that are averaged")
    worst: Path | None = setting(None, "folder for pictures of the worst images")
    json: Path | None = setting(None, "write all numbers here as well")


def main(config: Config) -> None:
    heads = read_heads(config.weights)
    backend.make_deterministic(0)
    samples = list(dict.fromkeys(read_sample_list(config.list, config.dataset)))
    results = {}
    for path, head in heads.items():
        model = build_model(head)
        load_weights(model, path)
        scored = [
            (*score(model, sample, config.scales), sample)
            for sample in tqdm(samples, desc=path.name)
        ]
        results[str(path)] = {
            name_of(sample, config.dataset): (iou, f) for iou, f, _, sample in scored
        }
        print_table(path, scored)
        if config.worst:
            draw_worst(config.worst / f"{path.parent.name}_{path.stem}.jpg", scored)
    if config.json:
        write_json(config.json, results)


def read_heads(weights: Sequence[Path]) -> dict[Path, str]:
    """Checks the files of `--weights`.

    Returns: file -> head of its network.

    Raises:
        UsageError: if there are none.
        InputError: if a file is not that of a whole network.
    """
    if not weights:
        raise UsageError("--weights: name at least one weights file, see weights/README.md.")
    heads = {path: read_weights(path)[1].get("head", "none") for path in weights}
    for path, head in heads.items():
        if head not in HEADS:
            found = "no head, as in ImageNet weights" if head == "none" else f"head {head}"
            raise InputError(
                f"{path}: expected weights of a whole network, with head {' or '.join(HEADS)}; "
                f"found {found}. Name others with --weights, see weights/README.md."
            )
    return heads


def score(model, sample: FileSample, scales: tuple[float, ...]) -> tuple[float, float, np.ndarray]:
    """Returns IoU, boundary F and the predicted mask, bool (h, w), of one image."""
    image, target, _ = sample.read()
    prediction = predict_probability(model, image, flip=True, scales=scales) > 0.5
    masks = prediction, target == 1, target == VOID
    return region_similarity(*masks), contour_accuracy(*masks), prediction


def name_of(sample: FileSample, dataset: Path) -> str:
    """The path of its image in the data set: frames of several videos may share a name."""
    path = sample.image_path
    return (path.relative_to(dataset) if path.is_relative_to(dataset) else path).as_posix()


def kind_of(sample: FileSample) -> str:
    return AnimalSample(sample.image_path, sample.annotation_path).kind


def print_table(path: Path, scored: list) -> None:
    kinds = defaultdict(list)
    for iou, f, _, sample in scored:
        kinds[kind_of(sample)].append((iou, f))
    kinds = dict(sorted(kinds.items())) | {"all": [(iou, f) for iou, f, *_ in scored]}
    rows = [(kind, *np.mean(values, axis=0), len(values)) for kind, values in kinds.items()]
    print(f"{path}\n{tabulate(rows, ('kind', 'IoU', 'F', 'images'), floatfmt='.3f')}", flush=True)


def draw_worst(path: Path, scored: list, columns: int = 8) -> None:
    """Writes a picture with one row per kind, the worst image first."""
    kinds = defaultdict(list)
    for iou, _, prediction, sample in sorted(scored, key=lambda item: item[0]):
        kinds[kind_of(sample)].append((iou, prediction, sample))
    rows = []
    for _, items in sorted(kinds.items()):
        row = [draw(*item) for item in items[:columns]]
        row += [np.zeros_like(row[0])] * (columns - len(row))
        rows.append(np.hstack(row))
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.vstack(rows)[..., ::-1])


def draw(iou: float, prediction: np.ndarray, sample: FileSample) -> np.ndarray:
    """Returns a square with the image, its errors in colour and its IoU, uint8 RGB."""
    image, target, _ = sample.read()
    shown = image.astype("float32")
    for mask, color in (
        (prediction & (target == 1), (255, 255, 255)),
        (prediction & (target == 0), (255, 0, 0)),
        (~prediction & (target == 1), (0, 0, 255)),
    ):
        shown[mask] = 0.6 * shown[mask] + 0.4 * np.array(color)
    scale = THUMBNAIL_PX / max(target.shape)
    small = cv2.resize(
        shown.astype("uint8"), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA
    )
    square = np.zeros((THUMBNAIL_PX, THUMBNAIL_PX, 3), "uint8")
    square[: small.shape[0], : small.shape[1]] = small
    cv2.putText(square, f"{iou:.2f}", (4, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 0), 1)
    return square


if __name__ == "__main__":
    run_script(main, Config, __doc__)
