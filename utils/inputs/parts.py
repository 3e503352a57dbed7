"""A part of a video with its labels, `--frames A:B`; and whether a video is a single shot."""

from dataclasses import replace

from utils.console import Display
from utils.errors import InputError
from utils.inputs.sequences import VideoSequence
from utils.media.shot_changes import find_shot_changes
from utils.media.video_part import take_part
from utils.media.videos import Video

MAX_SHOWN = 8  # shot changes that a message names


def take_sequence_part(sequence: VideoSequence, first: int, end: int | None) -> VideoSequence:
    """The part of a video from frame `first` up to, but without, frame `end`.

    Args:
        sequence: the video and its labels.
        first, end: frame numbers; None is the end of the video.

    Returns: the part with the labels of its frames; those of others are left out.

    Raises:
        InputError: if the video is too short, or a label of --label is not in the part.
    """
    video = take_part(sequence.video, first, end)
    inside = {n - first: path for n, path in sequence.labels.items() if 0 <= n - first < len(video)}
    outside = sorted(set(sequence.labels) - {n + first for n in inside})
    if outside and sequence.source == "--label":
        raise InputError(
            f"{sequence.labels[outside[0]]}: labels frame {outside[0]}, which is not in the part "
            f"that --frames takes. Name other --frames, or another --label."
        )
    return replace(sequence, video=video, labels=inside)


def require_one_shot(video: Video, display: Display) -> None:
    """Refuses a video, or a part of one, across whose shot changes nothing can be followed.

    Args:
        video: all of its frames are read.
        display: shows progress.

    Raises:
        InputError: naming the times, and how to take one shot.
    """
    title = f"{video.name}: looking for shot changes"
    cuts = find_shot_changes(video, lambda frames: display.frames(frames, title, total=len(video)))
    if not cuts:
        return
    start = video.first_frame
    shown = [f"{video.locate(cut)} (frame {cut + start})" for cut in cuts[:MAX_SHOWN]]
    more = f" and {len(cuts) - MAX_SHOWN} more" if len(cuts) > MAX_SHOWN else ""
    bounds = [0, *cuts, len(video)]
    longest = max(range(len(cuts) + 1), key=lambda shot: bounds[shot + 1] - bounds[shot])
    raise InputError(
        f"{video.path}: expected one shot, found shot changes {', '.join(shown)}{more}. Take one "
        f"shot, the longest is --frames {bounds[longest] + start}:{bounds[longest + 1] + start}; "
        "or, if these are none, --shot-changes ignore."
    )
