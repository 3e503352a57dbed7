"""Names the frame of a video whose label helps most; no label is needed for that.

Without arguments it looks at the videos of datasets/finetune_test_dataset, else at the bundled
sample. The BubbleNets BN0 and BNLF compare the frames two by two; a simple rule chooses beside
them, and alone if no network is trained.

With --next it names the further frames to label in videos that are already segmented: those of all
videos in the results folder (or of the named --sequences) in one list, best first, or that of each
--video or video of a --dataset.

Reads   DIR/JPEGImages/480p/SEQ or --video; weights/bubblenet_weights/{BN0,BNLF}.safetensors and
        the backbone they were trained on; with --next results/segmentation/SEQ and
        results/runs/SEQ/run.json.

Writes  DIR/bubbleNet_data/rawData/SEQ/frame_selection/{BN0,BNLF,all,rule}.txt, which
        finetune_test.py reads, and results/frame_selection/SEQ.png, the ranking as thumbnails.

Two CPU cores look at ten frames per second; a video that they looked at before takes a second.
Paper: Griffin and Corso, "BubbleNets", CVPR 2019.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from utils import backend, paths  # noqa: F401  backend before Keras: it starts it without noise

# isort: split
from tabulate import tabulate

from utils.command_line import flag_words, run_script, setting, shown_command
from utils.console import frame_progress
from utils.errors import InputError, UsageError, one_line
from utils.evaluation.label_gain import MIN_GAIN_FRAMES, find_without_file
from utils.evaluation.results import choose_results
from utils.files import check_writable
from utils.frame_choice.chooser import Chooser, Selection, load_chooser, rank_video
from utils.frame_choice.next_label import NextLabel, find_next_label
from utils.frame_choice.ranking_strip import write_ranking_strip
from utils.frame_choice.selection_files import BUBBLENETS, RULE
from utils.frame_choice.study_labels import StudyLabel, rank_results
from utils.inputs.guidance import SELECTION_PREFERENCE
from utils.inputs.sequences import VideoSequence, find_sequences, sequence_dir
from utils.inputs.video_names import video_name
from utils.media.videos import Video
from utils.stage3.presets import name_preset

MAX_NEXT_LABELS = 15  # lines of --next over all videos


@dataclass(frozen=True)
class Config:
    dataset: Path | None = setting(None, "folder with JPEGImages/")
    sequences: tuple[str, ...] = setting((), "names of videos of the data set; all if absent")
    video: tuple[Path, ...] = setting((), "video files or folders of frames, instead of a data set")
    name: str | None = setting(None, "name of the results of the one video (default: its file's)")
    next: bool = setting(False, "in segmented videos: name the further frames to label")
    results: Path = setting(paths.RESULTS, "results folder: for thumbnails, and read by --next")
    features: Literal["xception", "resnet50v2"] | None = setting(
        None, "backbone that describes the frames; that of the networks if absent"
    )


def main(config: Config) -> int:
    if config.next and config.dataset is None and not config.video and config.name is None:
        return rank_next_labels(config.results, config.sequences)
    dataset, open_by_name = find_sequences(
        config.dataset, config.sequences, config.video, (), "auto", config.name
    )
    if config.dataset is None and dataset == paths.SAMPLE_DATASET:
        print(f"{paths.FINETUNE_TEST_DATASET} has no videos: choosing in the sample, {dataset}.")
    chooser = None if config.next else load_chooser(config.features)
    if chooser:
        print_missing_networks(chooser)
    failed = 0
    for name, open_sequence in open_by_name.items():
        try:
            sequence = open_sequence()
            if chooser:
                line = first_label(sequence.video, dataset, chooser, config.results)
            else:
                line = next_label(sequence, dataset, config)
            print(line, flush=True)
            sequence.video.close()
        except UsageError:
            raise
        except (InputError, OSError) as error:
            if len(open_by_name) == 1:
                raise
            failed += 1
            print(f"error: {name}: {one_line(error)}", flush=True)
    if chooser and failed < len(open_by_name):
        print(f"thumbnails of the rankings: {config.results / paths.FRAME_SELECTION}")
    return 1 if failed else 0


def print_missing_networks(chooser: Chooser) -> None:
    """Says in one line which networks are missing, and what chooses then."""
    missing = [name for name in BUBBLENETS if name not in chooser.networks]
    if missing:
        instead = "" if chooser.networks else f": the rule ({chooser.rule}) chooses"
        print(
            f"No trained {' and '.join(missing)} in {paths.BUBBLENET_WEIGHTS}, where "
            f"train_bubblenet.py puts them{instead}."
        )


def first_label(video: Video, dataset: Path, chooser: Chooser, results: Path) -> str:
    """Chooses the frame, writes files and thumbnails. Returns the line for the screen."""
    for warning in video.check():
        print(f"warning: {warning}", flush=True)
    folder = paths.frame_selection_dir(dataset, video.name)
    strip = results / paths.FRAME_SELECTION / f"{video.name}.png"
    check_writable(strip.parent, "another folder with --results")
    selection = rank_video(video, folder, chooser, frame_progress)
    titles = {name: name for name in BUBBLENETS} | {RULE: f"rule: {selection.rule}"}
    rows = {
        f"{title}, best to worst": selection.rankings[name]
        for name, title in titles.items()
        if name in selection.rankings
    }
    # Always: what is there may be of another video of this name, or of an older ranking.
    write_ranking_strip(strip, video, rows)
    return format_selection(video, selection)


def format_selection(video: Video, selection: Selection) -> str:
    """Formats "hen: label frame 20 (00020.jpg), by rule (middle); BNLF says 37, BN0 says 9"."""
    chosen_by, rule = selection.chosen_by, selection.rule
    frame = selection.rankings[chosen_by][0]
    voices = {RULE: f"the rule ({rule})", **{name: f"{name} says" for name in BUBBLENETS}}
    others = [
        f"{voices[name]} {selection.rankings[name][0]}"
        for name in SELECTION_PREFERENCE
        if name in selection.rankings and name != chosen_by
    ]
    by_rule = f", by rule ({rule})" if chosen_by == RULE else ""
    text = f"{video.name}: label frame {frame} ({video.locate(frame)}){by_rule}"
    return "; ".join([text, *([", ".join(others)] if others else [])])


def next_label(sequence: VideoSequence, dataset: Path, config: Config) -> str:
    """Finds the further frame to label. Returns the line for the screen, with the next command."""
    video = sequence.video
    found = find_next_label(sequence, config.results)
    if found.frame is None:
        return f"{video.name}: every frame is labelled"
    flags = [*flag_words("--dataset", dataset), *flag_words("--sequences", video.name)]
    if config.video:
        flags = video_flags(video.path, video.name)
    names = [video.frame_names[frame] for frame in found.without_file]
    little = ""
    if found.gain < MIN_GAIN_FRAMES:
        little = f"a further label promises little ({found.gain:.1f} frames); if at all, "
    return (
        f"{video.name}: {little}label frame {found.frame} ({video.locate(found.frame)}) next, "
        f"labelled so far: {', '.join(map(str, found.labelled)) or 'none'}; "
        f"{format_run(found, flags, config.results, paths.LABELS / video.name, names)}"
    )


def format_run(
    found: NextLabel, flags: Sequence[str], results: Path, labels: Path, without_file: Sequence[str]
) -> str:
    """Formats "then python finetune_test.py ...", the run that uses the label.

    Args:
        found: the frame to label, and the run before.
        flags: that name the video.
        results: the results folder.
        labels: where labels of the video are found.
        without_file: names of the frames whose label is elsewhere.
    """
    flags = list(flags)
    if found.preset not in (None, "default"):
        flags += ["--preset", found.preset]
    if results != paths.RESULTS:
        flags += flag_words("--results", results)
    if found.part:
        flags += ["--frames", "{}:{}".format(*found.part)]
    frames = sorted({*found.labelled, found.frame})
    flags += ["--guidance", ",".join(map(str, frames))]
    move = ""
    if without_file:  # which --guidance does not find
        names = ", ".join(f"{name}.png" for name in without_file)
        move = f"put what --label named into {labels} as {names}; "
    as_before = "" if found.preset else ", with the flags of the earlier run,"
    return f"{move}then{as_before} {shown_command(paths.ROOT / 'finetune_test.py', flags)}"


def video_flags(path: Path, name: str) -> list[str]:
    """The flags for a video by itself, by the name that it has among others."""
    own_name = [] if name == video_name(path) else flag_words("--name", name)
    return [*flag_words("--video", path), *own_name]


def rank_next_labels(results: Path, sequences: Sequence[str]) -> int:
    """Prints the frames of all segmented videos that are worth a label, and how to label the best.

    Returns: the exit status, 1 if a video could not be looked at.
    """
    names = choose_results(results, sequences)
    found = rank_results(results, names)
    for name, reason in found.left_out.items():
        print(f"error: {name}: {reason}", flush=True)
    best = found.ranking[0].gain if found.ranking else 0.0
    rows = [
        (rank, one.video.name, one.number, one.gain, ", ".join(map(str, one.labelled)) or "none")
        for rank, one in enumerate(found.ranking[:MAX_NEXT_LABELS], start=1)
    ]
    if rows and best < MIN_GAIN_FRAMES:
        print(f"In no video does a further label promise much: the best gain is {best:.1f} frames.")
    elif rows:
        headers = ("", "video", "label frame", "gain", "labelled so far")
        print(tabulate(rows, headers, floatfmt=".1f", disable_numparse=[1, 4]))
        print(
            "gain: doubtful frames near it that no label reaches yet; 10 frames of confidence 0.5 "
            "count 5."
        )
        print_labelling(found.ranking[0], results)
    elif len(found.left_out) < len(names):
        print("Every frame is labelled, or no mask is doubtful: there is nothing to label.")
    return 1 if found.left_out else 0


def print_labelling(one: StudyLabel, results: Path) -> None:
    """Prints the command that opens the labelling page of a video, and what uses the label."""
    video, path = one.video, one.video.input_path
    if path is None:
        return
    at_results = [] if results == paths.RESULTS else flag_words("--results", results)
    script = paths.ROOT / "annotate.py"
    if not os.path.exists(path):
        flags = ["--video", "FILE", *flag_words("--name", video.name), *at_results]
        print(
            f"Next: frame {one.number} of {video.name}. Its video is no longer at {path}: put it "
            f"back, or name it where it is now, {shown_command(script, flags)}"
        )
        return
    flags = stage3_flags = video_flags(path, video.name)
    dataset, annotation_dir = find_dataset(path, video.name), None
    if dataset is not None:  # as a video by itself, it would lose its annotations
        annotation_dir = sequence_dir(dataset, "Annotations", video.name)
        of_dataset = flag_words("--dataset", dataset)
        flags = [*of_dataset, *flag_words("--sequence", video.name)]
        stage3_flags = [*of_dataset, *flag_words("--sequences", video.name)]
    command = f"{shown_command(script, [*flags, *at_results])}, frame {one.number}"
    part, elsewhere = video.record.get("part"), find_without_file(video, annotation_dir)
    if not part and not elsewhere:
        print(f"Next: {command}; its page has the command that uses the label.")
        return
    # Which the page's own command would lose.
    numbers = tuple(frame + video.first_frame for frame in elsewhere)
    part = tuple(part) if part else None
    found = NextLabel(one.number, one.labelled, numbers, part, name_preset(video.record))
    names = [video.frame_names[frame] for frame in elsewhere]
    then = format_run(found, stage3_flags, results, paths.LABELS / video.name, names)
    print(f"Next: {command}; {then}")


def find_dataset(path: Path, name: str) -> Path | None:
    """The data set that a folder of frames is a sequence of, if that has annotations of it."""
    parent = path.parent.parent if path.parent.name == "480p" else path.parent
    dataset = parent.parent
    is_sequence = parent.name == "JPEGImages" and path.name == name and path.is_dir()
    return dataset if is_sequence and sequence_dir(dataset, "Annotations", name) else None


if __name__ == "__main__":
    run_script(main, Config, __doc__)
