"""J and F of weights on annotated videos without any fine-tuning: what the network takes for an
object before it is shown one.

Official frames of DAVIS 2016 (first and last left out), probability 0.5, mirror image averaged in,
no temporal filter. No label reaches the network.

Reads   the weights files and a data set with annotated frames.
Writes  the scores to the screen and with --json to a file.

    python -m benchmarks.without_fine_tuning --weights FILE [FILE ...] --dataset DIR
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from utils import backend, paths  # backend before Keras: it starts it without noise

# isort: split
import keras
import numpy as np
from tqdm import tqdm

from benchmarks.class_agnostic_iou import read_heads
from models import build_model
from utils.command_line import run_script, setting
from utils.errors import InputError
from utils.evaluation.measures import contour_accuracy, region_similarity
from utils.files import write_json
from utils.inputs.sequences import choose_sequences, sequence_dir
from utils.media.images import list_frames, read_image
from utils.media.labels import VOID, read_label
from utils.stage3.inference import predict_probability
from utils.training.weights import load_weights


@dataclass(frozen=True)
class Config:
    weights: tuple[Path, ...] = setting((), "weights files to compare")
    dataset: Path = setting(paths.SAMPLE_DATASET, "folder with JPEGImages/ and Annotations/")
    sequences: tuple[str, ...] = setting((), "names of the data set's videos (default: all)")
    json: Path | None = setting(None, "write all numbers here as well")


def main(config: Config) -> None:
    heads = read_heads(config.weights)
    videos = {
        name: annotated_frames(config.dataset, name)
        for name in choose_sequences(config.dataset, config.sequences)
    }
    backend.make_deterministic(0)
    results = {}
    for path, head in heads.items():
        model = build_model(head)
        load_weights(model, path)
        print(path)
        for name, frames in videos.items():
            j, f = score(model, frames)
            results.setdefault(str(path), {})[name] = {"J": j, "F": f}
            print(f"  {name:<20} J {j:.3f}  F {f:.3f}", flush=True)
        mean = {key: np.mean([row[key] for row in results[str(path)].values()]) for key in "JF"}
        print(f"  {'mean':<20} J {mean['J']:.3f}  F {mean['F']:.3f}", flush=True)
    if config.json:
        write_json(config.json, results)


def annotated_frames(dataset: Path, sequence: str) -> list[tuple[Path, Path]]:
    """The official frames of a video that are annotated, and their annotations.

    Raises:
        InputError: if there are none.
    """
    annotations = sequence_dir(dataset, "Annotations", sequence) or Path(
        dataset, "Annotations", sequence
    )
    official = list_frames(sequence_dir(dataset, "JPEGImages", sequence))[1:-1]
    pairs = [(path, annotations / f"{path.stem}.png") for path in official]
    annotated = [pair for pair in pairs if pair[1].is_file()]
    if not annotated:
        raise InputError(
            f"{annotations}: expected annotations of frames between the first and the last one, "
            "which are not scored; found none. Annotate more, or name others with --sequences."
        )
    return annotated


def score(model: keras.Model, frames: Sequence[tuple[Path, Path]]) -> tuple[float, float]:
    """Returns the means of J and F over frames and their annotations, 0..1."""
    scores = []
    for path, annotation in tqdm(frames, leave=False):
        truth = read_label(annotation).values
        prediction = predict_probability(model, read_image(path), flip=True) > 0.5
        masks = prediction, (truth > 0) & (truth < VOID), truth == VOID
        scores.append((region_similarity(*masks), contour_accuracy(*masks)))
    return tuple(float(value) for value in np.mean(scores, axis=0))


if __name__ == "__main__":
    run_script(main, Config, __doc__)
