"""Which frame to label: looks at an unlabelled video and names the frame whose label helps most.

BubbleNets compare the frames two by two (BN0 and BNLF, where trained weights are there), a rule
stands beside them and in for them. No label is needed. With no argument: the videos of
datasets/finetune_test_dataset, else the bundled sample. With --next: the further frame to label,
for videos that are segmented.

Reads   DIR/JPEGImages/480p/SEQ or --video; weights/bubblenet_weights/{BN0,BNLF}.safetensors and
        the backbone they were trained on; with --next results/segmentation/SEQ and
        results/runs/SEQ/run.json.

Writes  DIR/bubbleNet_data/rawData/SEQ/frame_selection/{BN0,BNLF,all,rule}.txt, which
        finetune_test.py reads, and results/frame_selection/SEQ.png, the ranking as thumbnails.

A second for ten frames on two CPU cores, once; a video that was ranked by the same weights is only
read. Paper: Griffin and Corso, "BubbleNets", CVPR 2019.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from utils import backend, paths  # noqa: F401  backend before Keras: it starts it without noise

# isort: split
from models import build_model
from models.bubblenets import build_bubblenet
from utils.command_line import run_script, setting, shown_command
from utils.console import frame_progress
from utils.errors import InputError, UsageError
from utils.evaluation.confidence import consistency, read_confidence
from utils.evaluation.mask_tracks import follow_animals
from utils.evaluation.results import SegmentedVideo, open_segmented, read_masks
from utils.frame_choice.ranking_strip import write_ranking_strip
from utils.frame_choice.rules import rank_next_frames
from utils.frame_choice.selection_files import (
    BUBBLENETS,
    RULE,
    Chooser,
    Selection,
    choose_frames,
    frame_file,
    load_chooser,
)
from utils.inputs.guidance import TRUSTED
from utils.inputs.sequences import VideoSequence, find_sequences
from utils.media.videos import Video, VideoFile


@dataclass(frozen=True)
class Config:
    dataset: Path | None = setting(None, "folder with JPEGImages/")
    sequences: tuple[str, ...] = setting((), "names of the data set's videos; all if absent")
    video: tuple[Path, ...] = setting(
        (), "video files or folders of frames, in place of a data set"
    )
    next: bool = setting(False, "for segmented videos: the further frame whose label helps most")
    results: Path = setting(paths.RESULTS, "where thumbnails go, and results are for --next")
    features: Literal["xception", "resnet50v2"] | None = setting(
        None, "backbone that looks at the frames; that of the networks if absent"
    )


def main(config: Config) -> int:
    dataset, openers = find_sequences(config.dataset, config.sequences, config.video, (), "auto")
    if config.dataset is None and dataset == paths.SAMPLE_DATASET:
        print(f"{paths.FINETUNE_TEST_DATASET} holds no videos: choosing in the sample, {dataset}.")
    chooser = None
    if not config.next:
        chooser = load_chooser(build_model, build_bubblenet, config.features)
        print_chooser(chooser)
    failed = 0
    for name, open_sequence in openers.items():
        try:
            sequence = open_sequence()
            if config.next:
                flags = ["--dataset", str(dataset), "--sequences", name]
                if config.video:
                    flags = ["--video", str(sequence.video.path)]
                if config.results != paths.RESULTS:
                    flags += ["--results", str(config.results)]
                print(next_label(sequence, config.results, flags), flush=True)
            else:
                print(first_label(sequence.video, dataset, chooser, config.results), flush=True)
            sequence.video.close()
        except UsageError:
            raise
        except (InputError, OSError) as error:
            if len(openers) == 1:
                raise
            failed += 1
            print(f"error: {name}: {' '.join(str(error).split())}", flush=True)
    if chooser and failed < len(openers):
        print(f"thumbnails of the rankings: {config.results / paths.FRAME_SELECTION}")
    return 1 if failed else 0


def print_chooser(chooser: Chooser) -> None:
    """Says in one line which networks are missing, and what chooses then."""
    missing = [name for name in BUBBLENETS if name not in chooser.networks]
    if missing:
        instead = "" if chooser.networks else f": the rule ({chooser.rule}) chooses"
        print(
            f"No trained {' and '.join(missing)} in {paths.BUBBLENET_WEIGHTS}, where "
            f"train_bubblenet.py puts them{instead}."
        )


def first_label(video: Video, dataset: Path, chooser: Chooser, results: Path) -> str:
    """Chooses, writes the files and the thumbnails. Returns: the line for the screen."""
    video.check()
    folder = paths.frame_selection_dir(dataset, video.name)
    selection = choose_frames(video, folder, chooser, frame_progress)
    strip = results / paths.FRAME_SELECTION / f"{video.name}.png"
    if selection.is_new or not strip.is_file():
        titles = {name: name for name in BUBBLENETS} | {RULE: f"rule: {selection.rule}"}
        rows = {
            f"{title}, best to worst": selection.rankings[name]
            for name, title in titles.items()
            if name in selection.rankings
        }
        write_ranking_strip(strip, video, rows)
    return describe(video, selection)


def describe(video: Video, selection: Selection) -> str:
    """As "cockatoo: label frame 20 (00020.jpg), by rule (middle); BNLF says 37, BN0 says 32"."""
    last_word = selection.chosen_by
    frame = selection.rankings[last_word][0]
    words = {RULE: f"the rule ({selection.rule})", **{name: f"{name} says" for name in BUBBLENETS}}
    said = [
        f"{words[name]} {selection.rankings[name][0]}"
        for name in TRUSTED
        if name in selection.rankings and name != last_word
    ]
    alone = f", by rule ({selection.rule})" if last_word == RULE else ""
    text = f"{video.name}: label frame {frame} ({where(video, frame)}){alone}"
    return f"{text}; {', '.join(said)}" if said else text


def where(video: Video, frame: int) -> str:
    """The frame's file, or when a video file shows it."""
    if isinstance(video, VideoFile):
        return f"at {video.times_seconds()[frame]:.2f} s"
    return frame_file(video, frame)


def next_label(sequence: VideoSequence, results: Path, flags: Sequence[str]) -> str:
    """The further frame to label. Returns: the line for the screen.

    Args:
        flags: name the video to finetune_test.py.

    Raises: InputError if the video has not been segmented.
    """
    video = sequence.video
    masks = results / paths.SEGMENTATION / video.name
    if not masks.is_dir():
        raise InputError(
            f"{masks}: --next looks at the masks of a finished run, found none. Run "
            "finetune_test.py first, or name its --results."
        )
    segmented = open_segmented(results, video.name)
    if len(segmented) != len(video) or not segmented.labelled_frames:
        raise InputError(
            f"{segmented.run_dir / paths.RUN_FILE}: expected the record of a run with "
            f"{len(video)} masks that names the labelled frames, found {len(segmented)} masks and "
            f"{len(segmented.labelled_frames)} labelled frames. Run finetune_test.py first."
        )
    labelled = set(segmented.labelled_frames)
    if sequence.source == "datasets/labels":  # made since then, too
        labelled |= set(sequence.labels)
    ranking = rank_next_frames(frame_difficulty(segmented), sorted(labelled))
    if not ranking:
        return f"{video.name}: every frame is labelled"
    frame, known = ranking[0], ", ".join(map(str, sorted(labelled)))
    flags = [*flags, "--guidance", ",".join(map(str, sorted({*labelled, frame})))]
    return (
        f"{video.name}: label frame {frame} ({where(video, frame)}) next, labelled so far: "
        f"{known}; then {shown_command(paths.ROOT / 'finetune_test.py', flags)}"
    )


def frame_difficulty(segmented: SegmentedVideo) -> np.ndarray:
    """How doubtful the mask of each frame is, 0..1: what the network's confidence lacks, where
    stage 3 saved it, else how much the masks jump; of several animals the worst counts."""
    confidence = read_confidence(segmented)
    if confidence is not None:
        return 1 - confidence.frames
    tracks = follow_animals(read_masks(segmented)).values()
    return 1 - np.min([consistency(track) for track in tracks], axis=0)


if __name__ == "__main__":
    run_script(main, Config, __doc__)
