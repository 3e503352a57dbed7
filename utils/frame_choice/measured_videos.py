"""The table that BubbleNets learn from: videos with the scores that some labelled frames gave."""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from utils.errors import InputError
from utils.frame_choice.features import CUES, FrameFeatures, load_features
from utils.frame_choice.rules import cue_matrix, fit_linear
from utils.media.images import list_files


@dataclass(frozen=True)
class MeasuredVideo:
    """A row of the table.

    Attributes:
        name: name of the video.
        features: features of all its n frames.
        scores: float32 (n,), the score of the whole video (J + F, 0..2) with this frame labelled;
            NaN where it was not measured.
    """

    name: str
    features: FrameFeatures
    scores: np.ndarray

    @property
    def measured(self) -> np.ndarray:
        """The frames with a score, in order."""
        return np.flatnonzero(np.isfinite(self.scores))


def read_table(folder: Path) -> list[MeasuredVideo]:
    """Reads all SEQ.npz of a folder.

    Each has "features" (n, d) and "scores" (n,), NaN where not measured, and, if they are there,
    cues and hashes as `utils.frame_choice.features.save_features` writes them.

    Raises:
        InputError: if there is no file, one is malformed or has fewer than two scores, or their
            features are not of one backbone.
    """
    files = list_files(folder, (".npz",))
    if not files:
        raise InputError(f"{folder}: expected a table (SEQ.npz), found none. Name another --table.")
    videos = [_read_video(path) for path in files]
    kinds = {
        (v.features.vectors.shape[1], v.features.source, v.features.weights_sha256) for v in videos
    }
    if len(kinds) > 1:
        raise InputError(
            f"{folder}: expected features of one backbone, found {len(kinds)} kinds (size, source, "
            f"sha256: {sorted(kinds)[:3]}). Compute them again with the same weights."
        )
    return videos


def read_scores(path: Path, measured_by: str) -> np.ndarray | None:
    """Reads the scores of one SEQ.npz, if they were measured in this way.

    Args:
        path: the file.
        measured_by: as given to `utils.frame_choice.features.save_features`.

    Returns:
        float32 (n,), or None.
    """
    try:
        with np.load(path) as file:
            if str(file["measured_by"]) == measured_by:
                return file["scores"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        pass
    return None


def have_cues(videos: Sequence[MeasuredVideo]) -> bool:
    """Returns whether the table has all cues of all videos."""
    return all(set(CUES) <= video.features.cues.keys() for video in videos)


def fit_linear_rule(videos: Sequence[MeasuredVideo]) -> np.ndarray:
    """Fits the coefficients of the rule "linear", float64 (k,), to measured scores."""
    return fit_linear([cue_matrix(v.features) for v in videos], [v.scores for v in videos])


def _read_video(path: Path) -> MeasuredVideo:
    features = load_features(path)
    remedy = "Write it with utils.frame_choice.features.save_features."
    try:
        with np.load(path) as file:
            scores = file["scores"].astype("float32")
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f'{path}: expected "scores", found none ({error}). {remedy}') from error
    if features is None or features.vectors.ndim != 2:
        raise InputError(f'{path}: expected "features" (frames, size), found none. {remedy}')
    vectors = features.vectors.astype("float32")
    if scores.shape != vectors.shape[:1] or not np.isfinite(vectors).all():
        raise InputError(
            f"{path}: expected a finite vector and a score per frame, found {vectors.shape} and "
            f"{scores.shape}, or values that are not finite. {remedy}"
        )
    video = MeasuredVideo(path.stem, features, scores)
    if len(video.measured) < 2:
        raise InputError(
            f"{path}: expected at least two measured frames, found {len(video.measured)}. Measure "
            "more, or remove the file."
        )
    return video
