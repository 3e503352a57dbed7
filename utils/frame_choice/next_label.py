"""Which further frame of a segmented video to label: where the masks are doubtful."""

from dataclasses import dataclass
from pathlib import Path

from utils import paths
from utils.errors import InputError
from utils.evaluation.label_gain import frame_difficulty, gain_of, rank_next_frames
from utils.evaluation.results import open_segmented
from utils.inputs.parts import take_sequence_part
from utils.inputs.sequences import VideoSequence, find_annotations
from utils.stage3.presets import name_preset


@dataclass(frozen=True)
class NextLabel:
    """The further frame to label; frames are numbered as in the whole video.

    Attributes:
        frame: the frame, None if every frame is labelled.
        labelled: the frames that have a label now, in increasing order; none yet where the video
            was segmented without a label.
        without_file: those of them whose label is where only `--label` finds it.
        part: the only part of the video that was segmented, as in `--frames A:B`; None is all.
        preset: of the run; None where it had a recipe that no preset has now.
        gain: of the frame's label, as of `utils.evaluation.label_gain.LabelGain`.
    """

    frame: int | None
    labelled: tuple[int, ...]
    without_file: tuple[int, ...]
    part: tuple[int, int] | None = None
    preset: str | None = "default"
    gain: float = 0.0


def find_next_label(sequence: VideoSequence, results: Path) -> NextLabel:
    """Finds the frame of a segmented video whose label promises most.

    Args:
        sequence: the whole video; labels made since the run count as well.
        results: the results folder.

    Raises:
        InputError: if the video has not been segmented, or the masks are of another one.
    """
    video = sequence.video
    masks = results / paths.SEGMENTATION / video.name
    if not masks.is_dir():
        raise InputError(
            f"{masks}: --next looks at the masks of a finished run, found none. Run "
            "finetune_test.py first, or name its --results."
        )
    segmented = open_segmented(results, video.name)
    part = segmented.record.get("part")
    if part and part[1] <= len(video):  # a longer one is of another video, refused below
        sequence = take_sequence_part(sequence, *part)
        video = sequence.video
    has_labels = segmented.labelled_frames or segmented.is_without_label
    if len(segmented) != len(video) or not has_labels:
        raise InputError(
            f"{segmented.run_dir / paths.RUN_FILE}: expected the record of a run with "
            f"{len(video)} masks that names the labelled frames, found {len(segmented)} masks and "
            f"{len(segmented.labelled_frames)} labelled frames. Run finetune_test.py first."
        )
    if segmented.frames_sha256 not in ("", video.sha256()):
        raise InputError(
            f"{masks}: expected the masks of {video.path}, found those of other frames, "
            f"{segmented.input_path or 'an unknown video'} as they were then. Run "
            "finetune_test.py on these, or name the --results of their run."
        )
    labelled = set(segmented.labelled_frames)
    if sequence.source == "datasets/labels":
        labelled |= set(sequence.labels)
    files = set(sequence.labels)
    if sequence.annotation_dir is not None:  # a frame that --guidance names may have either
        files |= set(find_annotations(sequence.annotation_dir, video))
    difficulty = frame_difficulty(segmented)
    ranking = rank_next_frames(difficulty, labelled)
    numbers = range(video.first_frame, video.first_frame + len(video))
    return NextLabel(
        numbers[ranking[0]] if ranking else None,
        tuple(numbers[frame] for frame in sorted(labelled)),
        tuple(numbers[frame] for frame in sorted(labelled - files)),
        tuple(part) if part else None,
        name_preset(segmented.record),
        gain_of(difficulty, sorted(labelled), ranking[0]) if ranking else 0.0,
    )
