"""Does the stand-in rank frames as the real fine-tuning does? Spearman's rank correlation per
video.

For some measured frames of each video of a table (`train_bubblenet.py --measure`), stage 3 is run
with that frame labelled; what is compared is J + F over the official frames, the labelled one left
out, of both. `best` is what the real fine-tuning gives with the frame that the stand-in likes best:
to be held against the mean and the maximum over the frames that were run.

Reads   the table; the data set, all frames annotated; weights that have not seen its videos, the
        same as for the table; or, with --scores, only the table and a file that it wrote.
Writes  RESULTS/FRAME/..., results of finetune_test.py, and RESULTS/scores.json after each video:
        {SEQ: {FRAME: J + F}}.

    python -m benchmarks.standin_agreement --dataset DIR --sequences bear elephant

A minute or two per frame with `--preset fast` on two cores. Finished runs are only read.
"""

from dataclasses import dataclass
from pathlib import Path

from utils import backend, paths  # noqa: F401  backend before Keras: it starts it without noise

# isort: split
import numpy as np

from benchmarks.stage3_runs import start_stage3
from utils.command_line import run_script, setting
from utils.errors import InputError, UsageError
from utils.files import read_json, write_json
from utils.frame_choice.measured_videos import MeasuredVideo, read_table
from utils.frame_choice.standin_scoring import spread_frames
from utils.stage3.presets import PresetName


@dataclass(frozen=True)
class Config:
    table: Path = setting(paths.BUBBLENET_TABLE, "folder of SEQ.npz")
    dataset: Path = setting(paths.DAVIS_TRAIN_DATASET, "folder with JPEGImages/ and Annotations/")
    sequences: tuple[str, ...] = setting((), "names of the table's videos; all if absent")
    frames_per_video: int = setting(8, "measured frames to run stage 3 with, evenly spaced")
    preset: PresetName = setting("fast", "of finetune_test.py")
    weights: Path = setting(
        paths.PASCAL_BASE_WEIGHTS / "deeplab.safetensors", "that the table was measured with"
    )
    seed: int = setting(0, "of fine-tuning")
    results: Path = setting(paths.RESULTS / "standin_agreement", "where the runs go")
    scores: Path | None = setting(None, "a scores.json of earlier runs: nothing is run")


def main(config: Config) -> None:
    videos = {video.name: video for video in read_table(config.table)}
    for name in config.sequences:
        if name not in videos:
            raise UsageError(f"No {name}.npz in {config.table}; there are: {', '.join(videos)}.")
    videos = [videos[name] for name in config.sequences or videos]
    real = read_scores(config.scores) if config.scores else run_stage3(config, videos)
    rows = [
        compare(video, {int(frame): score for frame, score in real[video.name].items()})
        for video in videos
        if len(real.get(video.name, {})) > 1
    ]
    if not rows:
        raise InputError(
            f"{config.scores}: expected scores of two or more frames of a video of the table, "
            "found none. Name the scores.json of its videos."
        )
    print_table(rows)


def run_stage3(config: Config, videos: list[MeasuredVideo]) -> dict[str, dict[str, float]]:
    """J + F for each frame that stage 3 was run with, by video; written after each video."""
    run = start_stage3(config.dataset, config.results, config.weights, config.preset, config.seed)
    real = {}
    for video in videos:
        real[video.name] = {}
        for frame in frames_to_run(video, config.frames_per_video):
            result = run(video.name, [frame])
            real[video.name][str(frame)] = result.j_left_out + result.f_left_out
        write_json(config.results / "scores.json", real)
    return real


def frames_to_run(video: MeasuredVideo, count: int) -> list[int]:
    """Some of the measured frames, evenly spaced, without those that show no animal."""
    frames = [int(frame) for frame in video.measured if video.scores[frame] > 0]
    return [frames[place] for place in spread_frames(len(frames), count)]


def read_scores(path: Path) -> dict[str, dict[str, float]]:
    """What `run_stage3` wrote. Raises: InputError."""
    scores = read_json(path)
    if isinstance(scores, dict) and all(isinstance(video, dict) for video in scores.values()):
        return scores
    raise InputError(
        f"{path}: expected {{SEQ: {{FRAME: J + F}}}}, found something else. Name the scores.json "
        "that this benchmark wrote."
    )


def compare(video: MeasuredVideo, real: dict[int, float]) -> dict:
    """Both scores of one video's frames, and how well they agree.

    Raises: InputError for a frame that is not in the table.
    """
    frames = sorted(real)
    unexpected = [frame for frame in frames if frame not in video.measured]
    if unexpected:
        raise InputError(
            f"{video.name}: frame {unexpected[0]} is not measured in the table. Measure the video "
            "again, or take the frame away."
        )
    standin, scores = video.scores[frames], np.array([real[frame] for frame in frames])
    return {
        "video": video.name,
        "frames": frames,
        "standin": standin.tolist(),
        "real": scores.tolist(),
        "correlation": rank_correlation(standin, scores),
        "best": float(scores[np.argmax(standin)]),
        "mean": float(scores.mean()),
        "max": float(scores.max()),
    }


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's: the correlation of the ranks, equals sharing the mean of theirs; NaN where all
    are equal."""

    def ranks(values):
        _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
        return (np.cumsum(counts) - (counts - 1) / 2)[group]

    a, b = ranks(np.asarray(a)), ranks(np.asarray(b))
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def print_table(rows: list[dict]) -> None:
    width = max(len("video"), *(len(row["video"]) for row in rows))
    print(f"\n{'video':<{width}}  frames  correlation   best   mean    max")
    for row in rows:
        print(
            f"{row['video']:<{width}}  {len(row['frames']):6d}  {row['correlation']:11.2f}  "
            f"{row['best']:.3f}  {row['mean']:.3f}  {row['max']:.3f}"
        )
    columns = [[row[key] for row in rows] for key in ("correlation", "best", "mean", "max")]
    correlation, best, mean, highest = (float(np.nanmean(column)) for column in columns)
    print(f"{'mean':<{width}}  {'':6}  {correlation:11.2f}  {best:.3f}  {mean:.3f}  {highest:.3f}")
    for row in rows:
        pairs = zip(row["frames"], row["real"], row["standin"], strict=True)
        cells = ", ".join(f"{frame}: {real:.3f} / {standin:.3f}" for frame, real, standin in pairs)
        print(f"{row['video']}, real / stand-in: {cells}")


if __name__ == "__main__":
    run_script(main, Config, __doc__)
