"""What a person corrected in the masks of a results folder, for those who read them."""

from utils.errors import InputError
from utils.evaluation.results import SegmentedVideo
from utils.stage3.correction_files import Corrections, MaskFolder, drawn_frames, summarise


def describe_corrections(video: SegmentedVideo) -> str:
    """How many corrections a person made in the masks, and where, in words.

    Args:
        video: from `open_segmented`.

    Returns: empty if there are none, or none that hold in these masks.
    """
    return describe_applied(_folder_of(video), video.first_frame)


def describe_applied(masks: MaskFolder, first_frame: int = 0) -> str:
    """As `describe_corrections`, also before the run of these masks has its record."""
    corrections = _open_corrections(masks)
    if corrections is None:
        return ""
    summary = summarise(corrections.entries, first_frame)
    if corrections.are_masks_written:
        return summary if corrections.frames() else ""
    if summary:
        return f"{summary}; not all of them are in the masks yet: open annotate.py once more"
    return "corrections that were undone are still in some masks: open annotate.py once more"


def require_corrected(video: SegmentedVideo) -> None:
    """Refuses a video of which some masks lack their corrections, or have one that was undone.

    Args:
        video: from `open_segmented`.

    Raises:
        InputError: saying how to finish them.
    """
    corrections = _open_corrections(_folder_of(video))
    if corrections is not None and not corrections.are_masks_written:
        raise InputError(
            f"{corrections.path}: expected masks with all corrections by hand, found some that are "
            "not rewritten yet; open annotate.py on this video once more, so that it finishes them."
        )


def corrected_frames(video: SegmentedVideo) -> dict[int, set[int]]:
    """The frames in which a person corrected an animal's mask.

    Args:
        video: from `open_segmented`.

    Returns: the animal's number -> indices of frames; without animals that were not corrected.
    """
    corrections = _open_corrections(_folder_of(video))
    frames: dict[int, set[int]] = {}
    for entry in corrections.entries if corrections else ():
        for animal in filter(None, entry.operation.animals):  # 0 is the background
            frames.setdefault(animal, set()).update(entry.holds_in)
    return frames


def find_drawn_frames(video: SegmentedVideo) -> set[int]:
    """Indices of the frames whose masks a person drew after the run.

    Args:
        video: from `open_segmented`.
    """
    corrections = _open_corrections(_folder_of(video))
    return drawn_frames(corrections.entries) if corrections else set()


def _folder_of(video: SegmentedVideo) -> MaskFolder:
    sha256 = video.frames_sha256
    return MaskFolder(video.results, video.name, video.frame_names, video.animals, sha256)


def _open_corrections(masks: MaskFolder) -> Corrections | None:
    """The list of a video; None if it is damaged, or of other frames: it was not applied."""
    try:
        return Corrections(masks)
    except InputError:
        return None
